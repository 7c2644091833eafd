/* Small weights as vectors of floats, by AVX-512. */
#ifndef LE_WIDEN_H
#define LE_WIDEN_H

#include "kernels/vec_avx512.h"

LE_INLINE vec widen_half(const uint16_t *w)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w));
}
LE_INLINE vec widen_bfloat(const uint16_t *w)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)w));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
LE_INLINE vec widen_int8(const int8_t *w)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)w)));
}

#endif
