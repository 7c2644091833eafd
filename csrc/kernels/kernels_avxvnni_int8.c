/* int8 products: AVX-VNNI. */
#include "base/cpu.h"
#include "kernels/int8_vnni256.h"

#define LE_INT8_TABLE le_products_avxvnni_int8
#define LE_INT8_NAME "avxvnni"
#define LE_INT8_CPU (LE_CPU_AVX2_FMA | LE_CPU_AVX_VNNI)
#define LE_INT8_SPEED 4
#include "kernels/int8_body.h"
