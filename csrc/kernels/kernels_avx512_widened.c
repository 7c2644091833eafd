/* Products with small weights that are widened to float32: AVX-512. */
#include "base/cpu.h"
#include "kernels/widen_avx512.h"

#define LE_WIDENED_ISA avx512
#define LE_WIDENED_NAME "avx512"
#define LE_WIDENED_CPU LE_CPU_AVX512
#include "kernels/widened_body.h"
