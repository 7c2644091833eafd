/* float kernels: AVX2 and FMA. */
#include "kernels/vec_avx2.h"

#define LE_TABLE le_kernels_avx2_f32
#define LE_TABLE_NAME "avx2"
#define LE_TABLE_DESCRIPTION "AVX2 and FMA"
#define LE_TABLE_CPU LE_CPU_AVX2_FMA
#include "kernels/table_body.h"
