/* Sums of products of four bytes at a time by AVX-VNNI: rows unsigned, moved up by 128, weights signed. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/int8_rows256.h"

typedef __m256i q_sum, q_weights, q_row;

enum { Q_ROW_GROUP = 4, Q_COLUMNS = 4 };

LE_INLINE q_sum q_zero(void)
{
    return _mm256_setzero_si256();
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    (void)half;
    return _mm256_loadu_si256((const __m256i *)w);
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    (void)half;
    int32_t four;
    memcpy(&four, row, sizeof four);
    return _mm256_set1_epi32(four);
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
#if defined(__GNUC__)
    /* As in int8_vnni512.h; {vex} chooses the encoding that CPUs without AVX-512 have. */
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "xm"(w));
    return sum;
#else
    return _mm256_dpbusd_avx_epi32(sum, x, w);
#endif
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return _mm256_add_epi32(a, b);
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    return _mm256_cvtepi32_ps(_mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)offset)));
}

LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const __m256 factor = _mm256_set1_ps(inverse);
    const __m128i up = _mm_set1_epi16(128), none = _mm_setzero_si128();
    for (size_t i = 0; i < k; i += LANES) {
        const __m128i bytes = _mm_packus_epi16(_mm_add_epi16(q_words(x + i, k - i, factor), up), none);
        char eight[16];
        _mm_storeu_si128((__m128i *)eight, bytes);
        memcpy(to + i, eight, k - i > 4 ? 8 : 4);
    }
}

#endif
