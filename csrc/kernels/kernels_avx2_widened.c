/* Products with small weights that are widened to float32: AVX2. */
#include "base/cpu.h"
#include "kernels/widen_avx2.h"

#define LE_WIDENED_ISA avx2
#define LE_WIDENED_NAME "avx2"
#define LE_WIDENED_CPU LE_CPU_AVX2_FMA
#include "kernels/widened_body.h"
