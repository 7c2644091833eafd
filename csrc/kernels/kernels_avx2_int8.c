/* int8 products: AVX2. */
#include "base/cpu.h"
#include "kernels/int8_madd256.h"

#define LE_INT8_TABLE le_products_avx2_int8
#define LE_INT8_NAME "avx2"
#define LE_INT8_CPU LE_CPU_AVX2_FMA
#define LE_INT8_SPEED 1.25
#include "kernels/int8_body.h"
