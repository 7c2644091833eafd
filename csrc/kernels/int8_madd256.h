/* Sums of products of four bytes at a time by AVX2: widened to 16 bits, which cannot overflow, two by two. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/int8_rows256.h"

/* Of four inputs the first and third, and the second and fourth: a shift or two takes them out of a vector of bytes. */
typedef struct q_pairs {
    __m256i even, odd;
} q_pairs;
typedef __m256i q_sum;
typedef q_pairs q_weights, q_row;

/* A row's four numbers as 16 bits: the first, the third, the second, the fourth. */
enum { Q_ROW_GROUP = 8, Q_COLUMNS = 2 };

LE_INLINE q_sum q_zero(void)
{
    return _mm256_setzero_si256();
}
LE_INLINE q_weights q_load(const char *w)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)w);
    return (q_weights){_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
}
LE_INLINE q_row q_broadcast(const char *row)
{
    /* As floats: of two integers side by side gcc makes one load, and takes it apart. */
    float two[2];
    memcpy(two, row, sizeof two);
    return (q_row){_mm256_castps_si256(_mm256_set1_ps(two[0])), _mm256_castps_si256(_mm256_set1_ps(two[1]))};
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.even, w.even));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x.odd, w.odd));
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return _mm256_add_epi32(a, b);
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    (void)offset;
    return _mm256_cvtepi32_ps(sum);
}

/* Two groups: the middle two numbers of each exchanged. */
LE_INLINE __m128i q_exchanged(__m128i words)
{
    return _mm_shufflehi_epi16(_mm_shufflelo_epi16(words, _MM_SHUFFLE(3, 1, 2, 0)), _MM_SHUFFLE(3, 1, 2, 0));
}

LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const __m256 factor = _mm256_set1_ps(inverse);
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        _mm_storeu_si128((__m128i *)(to + 2 * i), q_exchanged(q_words(x + i, LANES, factor)));
    if (i < k) {
        char last[16];
        _mm_storeu_si128((__m128i *)last, q_exchanged(q_words(x + i, k - i, factor)));
        memcpy(to + 2 * i, last, k - i > 4 ? 16 : 8);
    }
}

#endif
