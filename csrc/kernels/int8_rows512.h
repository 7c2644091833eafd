/* What every way of multiplying integers with AVX-512 knows of a row of floats. */
#ifndef LE_INT8_ROWS512_H
#define LE_INT8_ROWS512_H

#include <string.h>

#include "kernels/vec_avx512.h"

/* The largest |x|, as bits, which are in the order of the numbers; those of a NaN are above those of infinity. */
LE_INLINE uint32_t q_most_bits(const float *x, size_t k)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i first = _mm512_setzero_si512(), second = first;
    size_t i = 0;
    for (; i + 2 * LANES <= k; i += 2 * LANES) {
        first = _mm512_max_epi32(first, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
        second = _mm512_max_epi32(second, _mm512_and_si512(_mm512_loadu_si512(x + i + LANES), magnitude));
    }
    if (i + LANES <= k) {
        first = _mm512_max_epi32(first, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
        i += LANES;
    }
    if (i < k)
        second = _mm512_max_epi32(second, _mm512_and_si512(_mm512_castps_si512(v_load_n(x + i, k - i)), magnitude));
    return (uint32_t)_mm512_reduce_max_epi32(_mm512_max_epi32(first, second));
}

LE_INLINE __m512i q_rounded(const float *x, __m512 factor)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), factor));
}

#endif
