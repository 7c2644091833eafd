/* Sums of products of four bytes at a time by AVX-512 VNNI: rows unsigned, moved up by 128, weights signed. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/int8_rows512.h"

typedef __m512i q_sum, q_weights, q_row;

enum { Q_ROW_GROUP = 4, Q_COLUMNS = 4 };

LE_INLINE q_sum q_zero(void)
{
    return _mm512_setzero_si512();
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    (void)half;
    return _mm512_loadu_si512(w);
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    (void)half;
    int32_t four;
    memcpy(&four, row, sizeof four);
    return _mm512_set1_epi32(four);
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
#if defined(__GNUC__)
    /* The intrinsic, but gcc keeps the sum in its register: of that it writes each to memory every time. */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, x, w);
#endif
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return _mm512_add_epi32(a, b);
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    return _mm512_cvtepi32_ps(_mm512_add_epi32(sum, _mm512_loadu_si512(offset)));
}

LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i up = _mm512_set1_epi32(128);
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        _mm_storeu_si128((__m128i *)(to + i), _mm512_cvtepi32_epi8(_mm512_add_epi32(q_rounded(x + i, factor), up)));
    if (i < k) {
        const __m512i last = _mm512_cvtps_epi32(_mm512_mul_ps(v_load_n(x + i, k - i), factor));
        _mm_mask_storeu_epi8(to + i, (__mmask16)((1u << ((k - i + 3) / 4 * 4)) - 1),
                             _mm512_cvtepi32_epi8(_mm512_add_epi32(last, up)));
    }
}

#endif
