/* double kernels: AArch64 Advanced SIMD. */
#define LE_REAL_DOUBLE 1
#include "kernels/vec_neon.h"

#define LE_TABLE le_kernels_neon_f64
#define LE_TABLE_NAME "neon"
#define LE_TABLE_DESCRIPTION "AArch64 Advanced SIMD"
#define LE_TABLE_CPU LE_CPU_NEON
#include "kernels/table_body.h"
