/* int8 products: NEON. */
#include "base/cpu.h"
#include "kernels/int8_neon.h"

#define LE_INT8_TABLE le_products_neon_int8
#define LE_INT8_NAME "neon"
#define LE_INT8_CPU LE_CPU_NEON
#define LE_INT8_SPEED 1
#include "kernels/int8_body.h"
