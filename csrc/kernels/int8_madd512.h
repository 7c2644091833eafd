/* Sums of products of four bytes at a time by AVX-512 BW: widened to 16 bits, which cannot overflow, two by two. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/int8_rows512.h"

typedef __m512i q_sum, q_weights, q_row;

/* Of four inputs first the first and third, then the second and fourth: a shift or two takes them out of a vector of bytes. */
#define Q_HALVES 2

/* A row's four numbers as 16 bits: the first, the third, the second, the fourth. */
enum { Q_ROW_GROUP = 8, Q_COLUMNS = 2 };

LE_INLINE q_sum q_zero(void)
{
    return _mm512_setzero_si512();
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    const __m512i bytes = _mm512_loadu_si512(w);
    return _mm512_srai_epi16(half ? bytes : _mm512_slli_epi16(bytes, 8), 8);
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    /* As a float: of two integers side by side gcc makes one load, and takes it apart. */
    float two;
    memcpy(&two, row + 4 * half, sizeof two);
    return _mm512_castps_si512(_mm512_set1_ps(two));
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return _mm512_add_epi32(a, b);
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    (void)offset;
    return _mm512_cvtepi32_ps(sum);
}

/* 16 numbers of four groups: as 16 bits, the middle two of each group exchanged. */
LE_INLINE __m256i q_exchanged(__m512i numbers)
{
    const __m256i words = _mm512_cvtepi32_epi16(numbers);
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, _MM_SHUFFLE(3, 1, 2, 0)), _MM_SHUFFLE(3, 1, 2, 0));
}

LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const __m512 factor = _mm512_set1_ps(inverse);
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        _mm256_storeu_si256((__m256i *)(to + 2 * i), q_exchanged(q_rounded(x + i, factor)));
    if (i < k) {
        const __m512i last = _mm512_cvtps_epi32(_mm512_mul_ps(v_load_n(x + i, k - i), factor));
        _mm256_mask_storeu_epi16(to + 2 * i, (__mmask16)((1u << ((k - i + 3) / 4 * 4)) - 1), q_exchanged(last));
    }
}

#endif
