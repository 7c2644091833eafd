/* Products with small weights that are widened to float32: NEON. */
#include "base/cpu.h"
#include "kernels/widen_neon.h"

#define LE_WIDENED_ISA neon
#define LE_WIDENED_NAME "neon"
#define LE_WIDENED_CPU LE_CPU_NEON
#include "kernels/widened_body.h"
