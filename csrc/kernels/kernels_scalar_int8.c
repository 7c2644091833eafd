/* int8 products: portable C. */
#include "base/cpu.h"
#include "kernels/int8_scalar.h"

#define LE_INT8_TABLE le_products_scalar_int8
#define LE_INT8_NAME "scalar"
#define LE_INT8_CPU 0
#define LE_INT8_SPEED 1
#include "kernels/int8_body.h"
