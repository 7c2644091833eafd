/* Sums of products of four bytes at a time by AVX2: widened to 16 bits, which cannot overflow, two by two; with one row,
 * whose weights would be widened for it alone, as bytes. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/int8_rows256.h"

typedef __m256i q_sum, q_weights, q_row;

/* Of four inputs first the first and third, then the second and fourth: a shift or two takes them out of a vector of bytes.
 * All four at once would need more registers than there are. */
#define Q_HALVES 2

/* A row's four numbers as 16 bits: the first, the third, the second, the fourth. */
enum { Q_ROW_GROUP = 8, Q_COLUMNS = 2 };

LE_INLINE q_sum q_zero(void)
{
    return _mm256_setzero_si256();
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)w);
    return _mm256_srai_epi16(half ? bytes : _mm256_slli_epi16(bytes, 8), 8);
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    /* As a float: of two integers side by side gcc makes one load, and takes it apart. */
    float two;
    memcpy(&two, row + 4 * half, sizeof two);
    return _mm256_castps_si256(_mm256_set1_ps(two));
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return _mm256_add_epi32(a, b);
}
/* Of a row alone, four numbers: |x| multiplied with weights that take the sign of x. A sum of two products, which has to
 * fit 16 bits, is at most 2 * 127 * 127: neither x nor a weight is -128. */
#define Q_ALONE
enum { Q_ALONE_GROUP = 8 };
typedef struct q_signed {
    __m256i magnitude, sign;
} q_signed;

LE_INLINE q_signed q_alone_broadcast(const char *row)
{
    float two[2]; /* as above */
    memcpy(two, row, sizeof two);
    return (q_signed){_mm256_castps_si256(_mm256_set1_ps(two[0])), _mm256_castps_si256(_mm256_set1_ps(two[1]))};
}
LE_INLINE q_sum q_alone_dot(q_sum sum, q_signed x, const char *w)
{
    const __m256i weights = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)w), x.sign);
    const __m256i pairs = _mm256_maddubs_epi16(x.magnitude, weights);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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

/* Two groups as a row alone has them: the magnitudes of four, and the four. */
LE_INLINE __m128i q_alone(__m128i words)
{
    const __m128i bytes = _mm_packs_epi16(words, words);
    return _mm_unpacklo_epi32(_mm_abs_epi8(bytes), bytes);
}

/* The numbers as several rows need them, after them as a row alone does. */
LE_INLINE void q_quantise(const float *x, size_t k, float inverse, char *to)
{
    const __m256 factor = _mm256_set1_ps(inverse);
    char *const alone = to + (k + 3) / 4 * Q_ROW_GROUP;
    size_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        const __m128i words = q_words(x + i, LANES, factor);
        _mm_storeu_si128((__m128i *)(to + 2 * i), q_exchanged(words));
        _mm_storeu_si128((__m128i *)(alone + 2 * i), q_alone(words));
    }
    if (i < k) {
        const __m128i words = q_words(x + i, k - i, factor);
        const size_t bytes = k - i > 4 ? 16 : 8;
        char last[16];
        _mm_storeu_si128((__m128i *)last, q_exchanged(words));
        memcpy(to + 2 * i, last, bytes);
        _mm_storeu_si128((__m128i *)last, q_alone(words));
        memcpy(alone + 2 * i, last, bytes);
    }
}

#endif
