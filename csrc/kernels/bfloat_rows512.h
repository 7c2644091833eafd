/* Rows of bfloat16 for products that take pairs of them, by AVX-512. */
#ifndef LE_BFLOAT_ROWS512_H
#define LE_BFLOAT_ROWS512_H

#include "kernels/vec_avx512.h"

enum { PAIR = 2, ROW_LINE = 64 };

LE_INLINE size_t pairs_of(size_t k)
{
    return (k + 1) / PAIR;
}

/* Whole lines, what is past k being zero. */
static size_t bfloat_row_bytes(size_t k)
{
    return (k * sizeof(uint16_t) + ROW_LINE - 1) / ROW_LINE * ROW_LINE;
}

/* Rounded to nearest even as every variant does it: the conversion of AVX-512 BF16 would take denormals as zero. */
static void bfloat_prepare(const void *row, size_t k, void *prepared)
{
    const float *const x = row;
    const __m512i half = _mm512_set1_epi32(0x7fff), one = _mm512_set1_epi32(1), quiet = _mm512_set1_epi32(0x400000);
    uint16_t *const to = prepared;
    const size_t end = bfloat_row_bytes(k) / sizeof *to;
    for (size_t i = 0; i < end; i += LANES) {
        const vec number = i + LANES <= k ? v_load(x + i) : i < k ? v_load_n(x + i, k - i) : v_set1(0);
        const __m512i bits = _mm512_castps_si512(number);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
        const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, half), odd);
        const __mmask16 nan = _mm512_cmp_ps_mask(number, number, _CMP_UNORD_Q);
        const __m512i kept = _mm512_mask_or_epi32(rounded, nan, bits, quiet);
        _mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
    }
}

#endif
