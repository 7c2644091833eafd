/* Products with small weights in float32: a block of k is widened into the nearest cache, and multiplied there by the
 * tiles of gemm_body.h. So the numbers are those of a model of float32 that has the widened weights, to the bit; of bfloat16
 * the rows are rounded to it too. Included after widen_<isa>.h, which says how a vector of weights is widened.
 */
#ifndef LE_WIDENED_BODY_H
#define LE_WIDENED_BODY_H

#include <string.h>

#include "kernels/by_panels_body.h"
#include "kernels/gemm_body.h"

enum { SCALE_BYTES = sizeof(real) };

/* A vector of weights; `type` is a constant where this is inlined. */
LE_INLINE vec widened(const le_weight_type type, const char *w, const real *scales)
{
    if (type == LE_WEIGHTS_FLOAT16)
        return widen_half((const uint16_t *)w);
    if (type == LE_WEIGHTS_BFLOAT16)
        return widen_bfloat((const uint16_t *)w);
    return v_mul(widen_int8((const int8_t *)w), v_load(scales));
}

/* The blocks k0 and k0 + LE_K_BLOCK, of `count`, for one or two rows, widened where they are multiplied: what goes through the
 * cache first would take longer. `count` may be 0. */
LE_INLINE void widened_two_blocks(const le_weight_type type, const int rows, const int nv, const real *const *a, size_t k0,
                                  size_t first_count, size_t count, const char *w, const real *scales, real *out)
{
    const size_t row = (size_t)nv * LANES * (type == LE_WEIGHTS_INT8_WIDENED ? 1 : 2), vector = row / (size_t)nv;
    const char *later = w + LE_K_BLOCK * row;
    tile_sums first, second;
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            first[r][j] = second[r][j] = v_set1(0);
    size_t k = 0;
    for (; k < count; k++, w += row, later += row)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            const vec one = widened(type, w + (size_t)j * vector, scales + j * LANES);
            const vec other = widened(type, later + (size_t)j * vector, scales + j * LANES);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) {
                first[r][j] = v_fma(v_set1(a[r][k0 + k]), one, first[r][j]);
                second[r][j] = v_fma(v_set1(a[r][k0 + k + LE_K_BLOCK]), other, second[r][j]);
            }
        }
    for (; k < first_count; k++, w += row)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            const vec one = widened(type, w + (size_t)j * vector, scales + j * LANES);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++)
                first[r][j] = v_fma(v_set1(a[r][k0 + k]), one, first[r][j]);
        }
    tile_add(rows, nv, first, k0 == 0, out);
    if (count > 0)
        tile_add(rows, nv, second, 0, out);
}

LE_INLINE void widened_few(const le_weight_type type, const int rows, const int nv, const real *const *a, size_t k,
                           const char *w, const real *scales, real *out)
{
    const size_t row = (size_t)nv * LANES * (type == LE_WEIGHTS_INT8_WIDENED ? 1 : 2);
    for (size_t k0 = 0; k0 < k; k0 += 2 * LE_K_BLOCK) {
        const size_t left = k - k0, first = left < LE_K_BLOCK ? left : LE_K_BLOCK;
        const size_t second = left - first < LE_K_BLOCK ? left - first : LE_K_BLOCK;
        widened_two_blocks(type, rows, nv, a, k0, first, second, w + k0 * row, scales, out);
    }
}

LE_INLINE void widened_rows(const le_weight_type type, const int nv, size_t rows, const void *const *a, size_t k,
                            const char *panel, const char *next, real *out)
{
    const size_t width = (size_t)nv * LANES, element = type == LE_WEIGHTS_INT8_WIDENED ? 1 : 2;
    const real *const scales = (const real *)panel;
    const char *w = panel + (type == LE_WEIGHTS_INT8_WIDENED ? width * SCALE_BYTES : 0);
    _Alignas(64) real block[LE_K_BLOCK * LE_MAX_NV * LANES];
    if (k == 0)
        memset(out, 0, rows * width * sizeof *out);
    if (rows == 1 || (rows == 2 && TILE_ROWS >= 6)) { /* sums of two blocks have registers */
        if (rows == 1)
            widened_few(type, 1, nv, (const real *const *)a, k, w, scales, out);
        else
            widened_few(type, 2, nv, (const real *const *)a, k, w, scales, out);
        return;
    }
    for (size_t k0 = 0; k0 < k; k0 += LE_K_BLOCK) {
        const size_t count = k - k0 < LE_K_BLOCK ? k - k0 : LE_K_BLOCK, bytes = count * width * element;
        for (size_t at = 0; next && at < bytes; at += CACHE_LINE)
            __builtin_prefetch(next + k0 * width * element + at, 0, 3);
        for (size_t at = 0; at < count; at++, w += width * element)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                v_store(block + at * width + (size_t)j * LANES,
                        widened(type, w + (size_t)j * LANES * element, scales + j * LANES));
        product_block(nv, rows, (const real *const *)a, k0, count, block, NULL, out);
    }
}

LE_INLINE void widened_any(const le_weight_type type, int nv, size_t rows, const void *const *a, size_t k, const void *panel,
                           const void *next, void *out)
{
    switch (nv) {
    case 1:
        widened_rows(type, 1, rows, a, k, panel, next, out);
        break;
    case 2:
        widened_rows(type, 2, rows, a, k, panel, next, out);
        break;
    case 3:
        widened_rows(type, 3, rows, a, k, panel, next, out);
        break;
    default:
        widened_rows(type, 4, rows, a, k, panel, next, out);
    }
}

/* The largest bfloat16 below a number's bits, or the next one, whichever is nearer, ties to even; NaN stays NaN. */
LE_INLINE uint32_t bfloat_bits(uint32_t bits)
{
    const uint32_t rounded = (bits + UINT32_C(0x7fff) + (bits >> 16 & 1)) & UINT32_C(0xffff0000);
    return (bits & UINT32_C(0x7fffffff)) > UINT32_C(0x7f800000) ? (bits | UINT32_C(0x00400000)) & UINT32_C(0xffff0000)
                                                                : rounded;
}

/* Rows of bfloat16 stand as the floats that they are. */
static size_t bfloat_row_bytes(size_t k)
{
    return (k * sizeof(real) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static void bfloat_prepare(const void *row, size_t k, void *prepared)
{
    for (size_t i = 0; i < k; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)row + i * sizeof bits, sizeof bits);
        bits = bfloat_bits(bits);
        memcpy((char *)prepared + i * sizeof bits, &bits, sizeof bits);
    }
}

/* Weights that stand side by side, with one scale. */
LE_INLINE void widen_row(const le_weight_type type, size_t n, const char *w, real scale, real *out)
{
    const size_t element = type == LE_WEIGHTS_INT8_WIDENED ? 1 : 2;
    real scales[LANES];
    v_store(scales, v_set1(scale));
    for (; n >= LANES; n -= LANES, w += LANES * element, out += LANES)
        v_store(out, widened(type, w, scales));
    if (n > 0) {
        _Alignas(uint16_t) char last[2 * LANES] = {0};
        memcpy(last, w, n * element);
        v_store_n(out, widened(type, last, scales), n);
    }
}

#define LE_WIDENED_FUNCTIONS(name, type)                                                                                 \
    static void name##_product(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next, \
                               void *out)                                                                                \
    {                                                                                                                    \
        widened_any(type, nv, rows, a, k, panel, next, out);                                                             \
    }                                                                                                                    \
    static void name##_widen(size_t n, const void *weights, float scale, void *out)                                      \
    {                                                                                                                    \
        widen_row(type, n, weights, scale, out);                                                                         \
    }                                                                                                                    \
    static void name##_row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)                  \
    {                                                                                                                    \
        row_by_panels(name##_product, 0, nv, panels, a, k, out);                                                         \
    }
LE_WIDENED_FUNCTIONS(float16, LE_WEIGHTS_FLOAT16)
LE_WIDENED_FUNCTIONS(bfloat16, LE_WEIGHTS_BFLOAT16)
LE_WIDENED_FUNCTIONS(widened_int8, LE_WEIGHTS_INT8_WIDENED)

#define LE_WIDENED_TABLE(isa, kind, ...) LE_WIDENED_TABLE_OF(isa, kind, __VA_ARGS__)
#define LE_WIDENED_TABLE_OF(isa, kind, ...)          \
    const le_products le_products_##isa##_##kind = { \
        .name = LE_WIDENED_NAME,                     \
        .cpu = LE_WIDENED_CPU,                       \
        .lanes = LANES,                              \
        .group = 1,                                  \
        .speed = 1,                                  \
        .product = kind##_product,                   \
        .row_product = kind##_row_product,           \
        .widen = kind##_widen,                       \
        __VA_ARGS__,                                 \
    }

LE_WIDENED_TABLE(LE_WIDENED_ISA, float16, .type = LE_WEIGHTS_FLOAT16, .element = 2);
LE_WIDENED_TABLE(LE_WIDENED_ISA, bfloat16, .type = LE_WEIGHTS_BFLOAT16, .element = 2, .row_bytes = bfloat_row_bytes,
                 .prepare = bfloat_prepare);
LE_WIDENED_TABLE(LE_WIDENED_ISA, widened_int8, .type = LE_WEIGHTS_INT8_WIDENED, .element = 1, .head = SCALE_BYTES);

#endif
