/* int8 products: NEON with dot products. */
#include "base/cpu.h"
#include "kernels/int8_neon.h"

#define LE_INT8_TABLE le_products_neondot_int8
#define LE_INT8_NAME "neondot"
#define LE_INT8_CPU (LE_CPU_NEON | LE_CPU_NEON_DOTPROD)
#define LE_INT8_SPEED 4
#include "kernels/int8_body.h"
