/* Small weights as vectors of floats, by AVX2 and F16C. */
#ifndef LE_WIDEN_H
#define LE_WIDEN_H

#include "kernels/vec_avx2.h"

LE_INLINE vec widen_half(const uint16_t *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)w));
}
LE_INLINE vec widen_bfloat(const uint16_t *w)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
LE_INLINE vec widen_int8(const int8_t *w)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)w)));
}

#endif
