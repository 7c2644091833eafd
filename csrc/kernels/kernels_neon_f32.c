/* float kernels: AArch64 Advanced SIMD. */
#include "kernels/vec_neon.h"

#define LE_TABLE le_kernels_neon_f32
#define LE_TABLE_NAME "neon"
#define LE_TABLE_DESCRIPTION "AArch64 Advanced SIMD"
#define LE_TABLE_CPU LE_CPU_NEON
#include "kernels/table_body.h"
