/* What every way of multiplying integers with AVX2 knows of a row of floats. */
#ifndef LE_INT8_ROWS256_H
#define LE_INT8_ROWS256_H

#include <string.h>

#include "kernels/vec_avx2.h"

/* The largest |x|, as bits, which are in the order of the numbers; those of a NaN are above those of infinity. */
LE_INLINE uint32_t q_most_bits(const float *x, size_t k)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i first = _mm256_setzero_si256(), second = first;
    size_t i = 0;
    for (; i + 2 * LANES <= k; i += 2 * LANES) {
        first = _mm256_max_epi32(first, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), magnitude));
        second = _mm256_max_epi32(second, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i + LANES)), magnitude));
    }
    if (i + LANES <= k) {
        first = _mm256_max_epi32(first, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), magnitude));
        i += LANES;
    }
    if (i < k)
        second = _mm256_max_epi32(second, _mm256_and_si256(_mm256_castps_si256(v_load_n(x + i, k - i)), magnitude));
    const __m256i both = _mm256_max_epi32(first, second);
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(1, 0, 3, 2)));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(most);
}

/* Eight numbers from x on, of which `count` are there, as 16 bits. */
LE_INLINE __m128i q_words(const float *x, size_t count, __m256 factor)
{
    const __m256i numbers = _mm256_cvtps_epi32(_mm256_mul_ps(count >= LANES ? v_load(x) : v_load_n(x, count), factor));
    return _mm_packs_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256(numbers, 1));
}

#endif
