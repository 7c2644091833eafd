/* Products of rows with a packed panel; the order of summation is the one of kernels.h in every shape. */
#ifndef LE_GEMM_BODY_H
#define LE_GEMM_BODY_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/math_body.h"

typedef vec tile_sums[TILE_ROWS][LE_MAX_NV];

/* sums[r][j] = chain over k0..k0+count of a[r][k] * w[k][j]. `rows` and `nv` are constants where this is inlined. */
LE_INLINE void tile_block(const int rows, const int nv, const real *const *a, size_t k0, size_t count, const real *w,
                          tile_sums sums)
{
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            sums[r][j] = v_set1(0);
    w += k0 * (size_t)(nv * LANES);
    for (size_t k = k0; k < k0 + count; k++, w += nv * LANES) {
        vec column[LE_MAX_NV];
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            column[j] = v_load(w + j * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vec x = v_set1(a[r][k]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                sums[r][j] = v_fma(x, column[j], sums[r][j]);
        }
    }
}

/* Two whole blocks side by side: with one or two rows a single block has too few chains to hide the latency of an FMA. */
LE_INLINE void tile_two_blocks(const int rows, const int nv, const real *const *a, size_t k0, const real *w,
                               tile_sums first, tile_sums second)
{
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            first[r][j] = second[r][j] = v_set1(0);
    w += k0 * (size_t)(nv * LANES);
    const real *later = w + (size_t)LE_K_BLOCK * (size_t)(nv * LANES);
    for (size_t k = k0; k < k0 + LE_K_BLOCK; k++, w += nv * LANES, later += nv * LANES) {
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
            const vec x = v_set1(a[r][k]), y = v_set1(a[r][k + LE_K_BLOCK]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++) {
                first[r][j] = v_fma(x, v_load(w + j * LANES), first[r][j]);
                second[r][j] = v_fma(y, v_load(later + j * LANES), second[r][j]);
            }
        }
    }
}

/* out (+)= sums; `first` says that nothing is there yet. */
LE_INLINE void tile_add(const int rows, const int nv, tile_sums sums, int first, real *out)
{
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            real *at = out + (r * nv + j) * LANES;
            v_store(at, first ? sums[r][j] : v_add(v_load(at), sums[r][j]));
        }
}

/* Rows of each of `tiles` nearly equal tiles: an uneven cut would leave a tile with few rows, which wastes its loads. */
LE_INLINE size_t tile_count(size_t rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

LE_INLINE size_t tile_rows_at(size_t rows, size_t tiles, size_t tile)
{
    return rows / tiles + (tile < rows % tiles);
}

#if TILE_ROWS == 6
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif TILE_ROWS == 3
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3)
#elif TILE_ROWS == 2
#define LE_EACH_TILE_SIZE(X) X(1) X(2)
#else
#error "no list of tile sizes for TILE_ROWS"
#endif

/* out[r] (+)= a[r] panel over the block k0..k0+count, all row tiles, so that the weights of the block stay in L1. */
LE_INLINE void product_block(const int nv, size_t rows, const real *const *a, size_t k0, size_t count, const real *w,
                             real *out)
{
    const size_t tiles = tile_count(rows);
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t m = tile_rows_at(rows, tiles, tile);
        tile_sums sums;
        switch (m) {
#define X(size)                                           \
    case size:                                            \
        tile_block(size, nv, a, k0, count, w, sums);      \
        tile_add(size, nv, sums, k0 == 0, out);           \
        break;
            LE_EACH_TILE_SIZE(X)
#undef X
        }
        a += m;
        out += m * (size_t)(nv * LANES);
    }
}

/* The blocks k0 and k0 + LE_K_BLOCK for one or two rows. */
LE_INLINE void product_two_blocks(const int nv, size_t rows, const real *const *a, size_t k0, const real *w, real *out)
{
    tile_sums first, second;
    if (rows == 1) {
        tile_two_blocks(1, nv, a, k0, w, first, second);
        tile_add(1, nv, first, k0 == 0, out);
        tile_add(1, nv, second, 0, out);
    } else {
        tile_two_blocks(2, nv, a, k0, w, first, second);
        tile_add(2, nv, first, k0 == 0, out);
        tile_add(2, nv, second, 0, out);
    }
}

/* All blocks but the last `keep` ones; returns where it stopped. */
LE_INLINE size_t product_until(const int nv, size_t rows, const real *const *a, size_t stop, const real *w, real *out)
{
    size_t k = 0;
    if (rows == 1 || rows == 2)
        for (; k + 2 * LE_K_BLOCK <= stop; k += 2 * LE_K_BLOCK)
            product_two_blocks(nv, rows, a, k, w, out);
    for (; k < stop; k += LE_K_BLOCK)
        product_block(nv, rows, a, k, stop - k < LE_K_BLOCK ? stop - k : LE_K_BLOCK, w, out);
    return k;
}

LE_INLINE void product_all(const int nv, size_t rows, const real *const *a, size_t k, const real *w, real *out)
{
    if (rows == 0)
        return;
    if (k == 0)
        memset(out, 0, rows * (size_t)(nv * LANES) * sizeof *out);
    product_until(nv, rows, a, k, w, out);
}

static void product(int nv, size_t rows, const void *const *a, size_t k, const void *panel, void *out)
{
    const real *const *const in = (const real *const *)a;
    switch (nv) {
    case 1:
        product_all(1, rows, in, k, panel, out);
        break;
    case 2:
        product_all(2, rows, in, k, panel, out);
        break;
    case 3:
        product_all(3, rows, in, k, panel, out);
        break;
    default:
        product_all(4, rows, in, k, panel, out);
    }
}

static void dense(const le_dense_panel *p)
{
    enum { NV = 4 };
    real *scratch = p->scratch;
    product_all(NV, p->rows, (const real *const *)p->a, p->k, p->panel, scratch);
    for (size_t r = 0; r < p->rows; r++, scratch += NV * LANES) {
        real *out = (real *)p->out[r] + p->first;
        for (size_t at = 0; at < p->units; at += LANES) {
            const vec sum = v_add(v_load(scratch + at), v_load((const real *)p->bias + at));
            const vec y = v_activate(p->activation, sum);
            store_units(out + at, y, p->units - at);
        }
    }
}

#endif
