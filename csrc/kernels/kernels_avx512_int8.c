/* int8 products: AVX-512 BW. */
#include "base/cpu.h"
#include "kernels/int8_madd512.h"

#define LE_INT8_TABLE le_products_avx512_int8
#define LE_INT8_NAME "avx512"
#define LE_INT8_CPU LE_CPU_AVX512
#define LE_INT8_SPEED 1.25
#include "kernels/int8_body.h"
