/* Products of rows with a packed panel; the order of summation is the one of kernels.h in every shape. */
#ifndef LE_GEMM_BODY_H
#define LE_GEMM_BODY_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/tiling_body.h"

typedef vec tile_sums[TILE_ROWS][LE_MAX_NV];

/* sums[r][j] = chain over k0..k0+count of a[r][k] * w[k-k0][j]. `rows`, `nv` and `lines` are constants where this is
 * inlined. */
LE_INLINE void tile_block(const int rows, const int nv, const int lines, const real *const *a, size_t k0, size_t count,
                          const real *w, const char *next, tile_sums sums)
{
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            sums[r][j] = v_set1(0);
    for (size_t k = k0; k < k0 + count; k++, w += nv * LANES) {
        vec column[LE_MAX_NV];
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            column[j] = v_load(w + j * LANES);
#pragma GCC unroll 4
        for (int i = 0; i < lines; i++)
            __builtin_prefetch(next + i * CACHE_LINE, 0, 3);
        next += lines * CACHE_LINE;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vec x = v_set1(a[r][k]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                sums[r][j] = v_fma(x, column[j], sums[r][j]);
        }
    }
}

/* A whole block and the next one, of `count`, side by side: with one or two rows a single block has too few chains to hide
 * the latency of an FMA. */
LE_INLINE void tile_two_blocks(const int rows, const int nv, const real *const *a, size_t k0, size_t count, const real *w,
                               tile_sums first, tile_sums second)
{
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            first[r][j] = second[r][j] = v_set1(0);
    w += k0 * (size_t)(nv * LANES);
    const real *later = w + (size_t)LE_K_BLOCK * (size_t)(nv * LANES);
    size_t k = k0;
    for (; k < k0 + count; k++, w += nv * LANES, later += nv * LANES) {
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
    for (; k < k0 + LE_K_BLOCK; k++, w += nv * LANES)
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
            const vec x = v_set1(a[r][k]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                first[r][j] = v_fma(x, v_load(w + j * LANES), first[r][j]);
        }
}

/* out (+)= sums; `first` says that nothing is there yet. */
LE_INLINE void tile_add(const int rows, const int nv, vec (*sums)[LE_MAX_NV], int first, real *out)
{
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            real *at = out + (r * nv + j) * LANES;
            v_store(at, first ? sums[r][j] : v_add(v_load(at), sums[r][j]));
        }
}

/* out (+)= a w over the block k0..k0+count, for the rows of one tile; w is where the block begins. */
LE_INLINE void tile_of(const int rows, const int nv, const real *const *a, size_t k0, size_t count, const real *w,
                       fetch next, real *out)
{
    const int all = (nv * LANES * (int)sizeof(real) + CACHE_LINE - 1) / CACHE_LINE;
    tile_sums sums;
    if (next.lines == 0)
        tile_block(rows, nv, 0, a, k0, count, w, next.at, sums);
    else if (next.lines == 1)
        tile_block(rows, nv, 1, a, k0, count, w, next.at, sums);
    else if (next.lines == 2)
        tile_block(rows, nv, 2, a, k0, count, w, next.at, sums);
    else
        tile_block(rows, nv, all, a, k0, count, w, next.at, sums);
    tile_add(rows, nv, sums, k0 == 0, out);
}

/* A function of its own for each width: its loops hold all vector registers, and inlined into a larger function gcc
 * spills some of them inside the loop. */
#define LE_TILE_FUNCTION(NV)                                                                                     \
    static LE_NOINLINE void tile_##NV(size_t rows, const real *const *a, size_t k0, size_t count, const real *w, \
                                      fetch next, real *out)                                                     \
    {                                                                                                            \
        switch (rows) {                                                                                          \
            LE_EACH_TILE_SIZE(LE_TILE_CASE_##NV)                                                                 \
        }                                                                                                        \
    }
#define LE_TILE_CASE(SIZE, NV)                         \
    case SIZE:                                         \
        tile_of(SIZE, NV, a, k0, count, w, next, out); \
        break;
#define LE_TILE_CASE_1(SIZE) LE_TILE_CASE(SIZE, 1)
#define LE_TILE_CASE_2(SIZE) LE_TILE_CASE(SIZE, 2)
#define LE_TILE_CASE_3(SIZE) LE_TILE_CASE(SIZE, 3)
#define LE_TILE_CASE_4(SIZE) LE_TILE_CASE(SIZE, 4)
LE_TILE_FUNCTION(1)
LE_TILE_FUNCTION(2)
LE_TILE_FUNCTION(3)
LE_TILE_FUNCTION(4)

LE_INLINE void tile_any(const int nv, size_t rows, const real *const *a, size_t k0, size_t count, const real *w, fetch next,
                        real *out)
{
    if (nv == 1)
        tile_1(rows, a, k0, count, w, next, out);
    else if (nv == 2)
        tile_2(rows, a, k0, count, w, next, out);
    else if (nv == 3)
        tile_3(rows, a, k0, count, w, next, out);
    else
        tile_4(rows, a, k0, count, w, next, out);
}

/* out[r] (+)= a[r] w over the block k0..k0+count, which begins at w, all row tiles, so that its weights stay in L1. */
LE_INLINE void product_block(const int nv, size_t rows, const real *const *a, size_t k0, size_t count, const real *w,
                             const void *next, real *out)
{
    tiling t = tiles_of(nv, rows, next, count);
    for (size_t tile = 0; tile < t.tiles; tile++) {
        const size_t m = tile_rows(&t, tile);
        tile_any(nv, m, a, k0, count, w, t.next, out);
        tile_fetched(&t, count);
        a += m;
        out += m * (size_t)(nv * LANES);
    }
}

/* The block at k0 and the next one, of `count`, for one or two rows. */
LE_INLINE void product_two_blocks(const int nv, size_t rows, const real *const *a, size_t k0, size_t count, const real *w,
                                  real *out)
{
    tile_sums first, second;
    if (rows == 1) {
        tile_two_blocks(1, nv, a, k0, count, w, first, second);
        tile_add(1, nv, first, k0 == 0, out);
        tile_add(1, nv, second, 0, out);
    } else {
        tile_two_blocks(2, nv, a, k0, count, w, first, second);
        tile_add(2, nv, first, k0 == 0, out);
        tile_add(2, nv, second, 0, out);
    }
}

/* The blocks before `stop`. `next`: what is read after this panel, or null where all weights stay in the cache. */
LE_INLINE void product_until(const int nv, size_t rows, const real *const *a, size_t stop, const real *w, const void *next,
                             real *out)
{
    size_t k = 0;
    if (rows == 1 || rows == 2) /* the loads of these keep the memory busy by themselves */
        for (; k + LE_K_BLOCK < stop; k += 2 * LE_K_BLOCK)
            product_two_blocks(nv, rows, a, k, stop - k < 2 * LE_K_BLOCK ? stop - k - LE_K_BLOCK : LE_K_BLOCK, w, out);
    for (; k < stop; k += LE_K_BLOCK) {
        const size_t count = stop - k < LE_K_BLOCK ? stop - k : LE_K_BLOCK;
        const void *following = next == NULL || k + count == stop ? next : w + (k + count) * (size_t)(nv * LANES);
        product_block(nv, rows, a, k, count, w + k * (size_t)(nv * LANES), following, out);
    }
}

#endif
