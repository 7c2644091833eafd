/* Products with small weights that are widened to float32: portable C. */
#include "base/cpu.h"
#include "kernels/widen_scalar.h"

#define LE_WIDENED_ISA scalar
#define LE_WIDENED_NAME "scalar"
#define LE_WIDENED_CPU 0
#include "kernels/widened_body.h"
