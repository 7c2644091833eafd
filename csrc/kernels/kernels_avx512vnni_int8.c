/* int8 products: AVX-512 VNNI. */
#include "base/cpu.h"
#include "kernels/int8_vnni512.h"

#define LE_INT8_TABLE le_products_avx512vnni_int8
#define LE_INT8_NAME "avx512vnni"
#define LE_INT8_CPU (LE_CPU_AVX512 | LE_CPU_AVX512_VNNI)
#define LE_INT8_SPEED 4
#include "kernels/int8_body.h"
