/* double kernels: AVX-512 F, VL, BW, DQ. */
#define LE_REAL_DOUBLE 1
#include "kernels/vec_avx512.h"

#define LE_TABLE le_kernels_avx512_f64
#define LE_TABLE_NAME "avx512"
#define LE_TABLE_DESCRIPTION "AVX-512 F, VL, BW, DQ"
#define LE_TABLE_CPU LE_CPU_AVX512
#include "kernels/table_body.h"
