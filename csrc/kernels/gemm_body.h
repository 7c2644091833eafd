/* Products of rows with a packed panel; the order of summation is the one of kernels.h in every shape. */
#ifndef LE_GEMM_BODY_H
#define LE_GEMM_BODY_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/math_body.h"

typedef vec tile_sums[TILE_ROWS][LE_MAX_NV];

/* Weights that are read next, to be fetched while others are multiplied: `lines` cache lines beside each k. */
typedef struct fetch {
    const char *at;
    int lines; /* 0: nothing */
} fetch;

enum { CACHE_LINE = 64 };

/* sums[r][j] = chain over k0..k0+count of a[r][k] * w[k][j]. `rows`, `nv` and `lines` are constants where this is inlined. */
LE_INLINE void tile_block(const int rows, const int nv, const int lines, const real *const *a, size_t k0, size_t count,
                          const real *w, const char *next, tile_sums sums)
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

/* out (+)= a w over the block k0..k0+count, for the rows of one tile. */
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

#if TILE_ROWS == 6
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif TILE_ROWS == 3
#define LE_EACH_TILE_SIZE(X) X(1) X(2) X(3)
#elif TILE_ROWS == 2
#define LE_EACH_TILE_SIZE(X) X(1) X(2)
#else
#error "no list of tile sizes for TILE_ROWS"
#endif

/* A function of its own for each width: its loops hold all vector registers, and inlined into a larger function gcc
 * spills some of them inside the loop. */
#define LE_TILE_FUNCTION(NV)                                                                                          \
    static LE_NOINLINE void tile_##NV(size_t rows, const real *const *a, size_t k0, size_t count, const real *w,      \
                                      fetch next, real *out)                                                          \
    {                                                                                                                 \
        switch (rows) {                                                                                               \
            LE_EACH_TILE_SIZE(LE_TILE_CASE_##NV)                                                                      \
        }                                                                                                             \
    }
#define LE_TILE_CASE(SIZE, NV)                                                                                        \
    case SIZE:                                                                                                        \
        tile_of(SIZE, NV, a, k0, count, w, next, out);                                                                \
        break;
#define LE_TILE_CASE_1(SIZE) LE_TILE_CASE(SIZE, 1)
#define LE_TILE_CASE_2(SIZE) LE_TILE_CASE(SIZE, 2)
#define LE_TILE_CASE_3(SIZE) LE_TILE_CASE(SIZE, 3)
#define LE_TILE_CASE_4(SIZE) LE_TILE_CASE(SIZE, 4)
LE_TILE_FUNCTION(1)
LE_TILE_FUNCTION(2)
LE_TILE_FUNCTION(3)
LE_TILE_FUNCTION(4)

LE_INLINE void tile_any(const int nv, size_t rows, const real *const *a, size_t k0, size_t count, const real *w,
                        fetch next, real *out)
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

/* Rows are cut into nearly equal tiles: an uneven cut would leave a tile with few rows, which wastes its loads. The next
 * block of weights is fetched a share beside each tile. */
typedef struct tiling {
    size_t tiles, least, larger; /* the first `larger` tiles have one row more than `least` */
    size_t left;                 /* lines of the next block not yet fetched */
    fetch next;
} tiling;

LE_INLINE tiling tiles_of(const int nv, size_t rows, const void *next, size_t count)
{
    const size_t lines = (nv * LANES * sizeof(real) + CACHE_LINE - 1) / CACHE_LINE;
    tiling t = {.tiles = 1, .least = rows, .next = {next, 0}};
    if (rows > TILE_ROWS) {
        t.tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        t.least = rows / t.tiles;
        t.larger = rows % t.tiles;
    }
    if (next) {
        t.left = lines * count;
        t.next.lines = t.tiles >= lines ? 1 : t.tiles > 1 ? 2 : (int)lines;
    }
    return t;
}

LE_INLINE size_t tile_rows(const tiling *t, size_t tile)
{
    return t->least + (tile < t->larger);
}

LE_INLINE void tile_fetched(tiling *t, size_t count)
{
    const size_t lines = (size_t)t->next.lines * count;
    t->next.at += lines * CACHE_LINE;
    t->left = t->left > lines ? t->left - lines : 0;
    if (t->left == 0)
        t->next.lines = 0;
}

/* out[r] (+)= a[r] panel over the block k0..k0+count, all row tiles, so that the weights of the block stay in L1. */
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

/* The blocks before `stop`. `next`: what is read after this panel, or null where all weights stay in the cache. */
LE_INLINE void product_until(const int nv, size_t rows, const real *const *a, size_t stop, const real *w,
                             const void *next, real *out)
{
    size_t k = 0;
    if (rows == 1 || rows == 2) /* the loads of these keep the memory busy by themselves */
        for (; k + 2 * LE_K_BLOCK <= stop; k += 2 * LE_K_BLOCK)
            product_two_blocks(nv, rows, a, k, w, out);
    for (; k < stop; k += LE_K_BLOCK) {
        const size_t count = stop - k < LE_K_BLOCK ? stop - k : LE_K_BLOCK;
        const void *following = next == NULL || k + count == stop ? next : w + (k + count) * (size_t)(nv * LANES);
        product_block(nv, rows, a, k, count, w, following, out);
    }
}

LE_INLINE void product_all(const int nv, size_t rows, const real *const *a, size_t k, const real *w, const void *next,
                           real *out)
{
    if (rows == 0)
        return;
    if (k == 0)
        memset(out, 0, rows * (size_t)(nv * LANES) * sizeof *out);
    product_until(nv, rows, a, k, w, next, out);
}

static void product(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next, void *out)
{
    const real *const *const in = (const real *const *)a;
    switch (nv) {
    case 1:
        product_all(1, rows, in, k, panel, next, out);
        break;
    case 2:
        product_all(2, rows, in, k, panel, next, out);
        break;
    case 3:
        product_all(3, rows, in, k, panel, next, out);
        break;
    default:
        product_all(4, rows, in, k, panel, next, out);
    }
}

/* The block k0..k0+count of one row by two panels: chains enough, where one panel's would wait for each other. */
LE_INLINE void tile_two_panels(const int nv, const real *a, size_t k0, size_t count, const real *w, const real *v,
                               tile_sums first, tile_sums second)
{
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
        first[0][j] = second[0][j] = v_set1(0);
    w += k0 * (size_t)(nv * LANES);
    v += k0 * (size_t)(nv * LANES);
    for (size_t k = k0; k < k0 + count; k++, w += nv * LANES, v += nv * LANES) {
        const vec x = v_set1(a[k]);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            first[0][j] = v_fma(x, v_load(w + j * LANES), first[0][j]);
            second[0][j] = v_fma(x, v_load(v + j * LANES), second[0][j]);
        }
    }
}

/* The block k0..k0+count of one row by one or two panels and the last, narrow one: that one's few chains alone would
 * wait for each other. */
LE_INLINE void tile_with_last(const int panels, const int nv, const int last_nv, const real *a, size_t k0, size_t count,
                              const real *const *panel, const real *last, vec (*sums)[LE_MAX_NV])
{
    const real *w = panel[0] + k0 * (size_t)(nv * LANES), *v = panels == 2 ? panel[1] + k0 * (size_t)(nv * LANES) : NULL;
    last += k0 * (size_t)(last_nv * LANES);
    for (int i = 0; i < 3; i++)
#pragma GCC unroll 4
        for (int j = 0; j < LE_MAX_NV; j++)
            sums[i][j] = v_set1(0);
    for (size_t end = k0 + count; k0 < end; k0++, w += nv * LANES, last += last_nv * LANES) {
        const vec x = v_set1(a[k0]);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            sums[0][j] = v_fma(x, v_load(w + j * LANES), sums[0][j]);
#pragma GCC unroll 4
        for (int j = 0; j < last_nv; j++)
            sums[2][j] = v_fma(x, v_load(last + j * LANES), sums[2][j]);
        if (panels == 2) {
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                sums[1][j] = v_fma(x, v_load(v + j * LANES), sums[1][j]);
            v += nv * LANES;
        }
    }
}

LE_INLINE void row_with_last(const int panels, const int nv, const int last_nv, const real *a, size_t k,
                             const real *const *w, const real *last, real *const *to, real *to_last)
{
    for (size_t k0 = 0; k0 < k; k0 += LE_K_BLOCK) {
        vec sums[3][LE_MAX_NV]; /* of one or two panels, then of the last one */
        tile_with_last(panels, nv, last_nv, a, k0, k - k0 < LE_K_BLOCK ? k - k0 : LE_K_BLOCK, w, last, sums);
        for (int i = 0; i < panels; i++)
            tile_add(1, nv, sums + i, k0 == 0, to[i]);
        tile_add(1, last_nv, sums + 2, k0 == 0, to_last);
    }
}

/* The last one or two of the whole panels together with the narrow one. */
static LE_NOINLINE void row_end(int panels, int last_nv, const real *a, size_t k, const real *const *w, const real *last,
                                real *const *to, real *to_last)
{
    switch (panels * LE_MAX_NV + last_nv) {
#define LE_CASE(PANELS, LAST)                                                                                         \
    case PANELS * LE_MAX_NV + LAST:                                                                                   \
        row_with_last(PANELS, LE_MAX_NV, LAST, a, k, w, last, to, to_last);                                           \
        break;
        LE_CASE(1, 1)
        LE_CASE(1, 2)
        LE_CASE(1, 3)
        LE_CASE(2, 1)
        LE_CASE(2, 2)
        LE_CASE(2, 3)
#undef LE_CASE
    }
}

/* One row by all panels, two at a time: whole pairs of blocks of each, then what is left of both. */
LE_INLINE void row_product_all(const int nv, const le_panels *p, const real *a, size_t k, real *out)
{
    const size_t paired = k / (2 * LE_K_BLOCK) * (2 * LE_K_BLOCK);
    const size_t narrow = nv == LE_MAX_NV && p->last_nv > 0 && p->last_nv < nv, whole = p->count - narrow;
    const real *const last = (const real *)((const char *)p->first + whole * p->bytes);
    real *const to_last = out + whole * (size_t)(nv * LANES);
    if (narrow && whole == 0)
        product(p->last_nv, 1, (const void *const *)&a, k, last, NULL, to_last);
    for (size_t i = 0; i < whole; i += 2) {
        const size_t at[2] = {p->backwards ? whole - 1 - i : i, p->backwards ? whole - 2 - i : i + 1};
        const int pair = i + 1 < whole ? 2 : 1, with_last = narrow && i + 2 >= whole;
        const real *w[2] = {NULL, NULL};
        real *to[2] = {NULL, NULL};
        for (int n = 0; n < pair; n++) {
            w[n] = (const real *)((const char *)p->first + at[n] * p->bytes);
            to[n] = out + at[n] * (size_t)(nv * LANES);
            if (!with_last)
                product_until(nv, 1, &a, paired, w[n], NULL, to[n]);
        }
        if (with_last) {
            row_end(pair, p->last_nv, a, k, w, last, to, to_last);
            continue;
        }
        for (size_t k0 = paired; k0 < k; k0 += LE_K_BLOCK) {
            const size_t count = k - k0 < LE_K_BLOCK ? k - k0 : LE_K_BLOCK;
            if (pair == 1) {
                product_block(nv, 1, &a, k0, count, w[0], NULL, to[0]);
            } else {
                tile_sums first, second;
                tile_two_panels(nv, a, k0, count, w[0], w[1], first, second);
                tile_add(1, nv, first, k0 == 0, to[0]);
                tile_add(1, nv, second, k0 == 0, to[1]);
            }
        }
    }
    if (k == 0)
        memset(out, 0, (whole * (size_t)nv + (narrow ? (size_t)p->last_nv : 0)) * LANES * sizeof *out);
}

static void row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)
{
    switch (nv) {
    case 1:
        row_product_all(1, panels, a, k, out);
        break;
    case 2:
        row_product_all(2, panels, a, k, out);
        break;
    case 3:
        row_product_all(3, panels, a, k, out);
        break;
    default:
        row_product_all(4, panels, a, k, out);
    }
}

/* Activate the sums of some rows and write them out. */
LE_INLINE void dense_rows(const le_dense_panel *p, int linear, size_t row, size_t end)
{
    enum { NV = LE_MAX_NV };
    const real *sums = (const real *)p->scratch + row * (NV * LANES);
    for (; row < end; row++, sums += NV * LANES) {
        real *out = (real *)p->out[row] + p->first;
        for (size_t at = 0; at < p->units; at += LANES) {
            const vec sum = v_add(v_load(sums + at), v_load((const real *)p->bias + at));
            store_units(out + at, linear ? sum : v_activate(p->activation, sum), p->units - at);
        }
    }
}

/* The last block of k a tile at a time, each written out at once: a few lines that miss the cache are on their way while
 * the next tile is multiplied, where those of all rows together would be waited for. */
static void dense(const le_dense_panel *p)
{
    enum { NV = LE_MAX_NV };
    const size_t last = p->k > 0 ? (p->k - 1) / LE_K_BLOCK * LE_K_BLOCK : 0;
    const real *const *const a = (const real *const *)p->a;
    const real *const panel = p->panel;
    real *const scratch = p->scratch;
    product_until(NV, p->rows, a, last, panel, p->next ? panel + last * (NV * LANES) : NULL, scratch);
    tiling t = tiles_of(NV, p->rows, p->next, p->k - last);
    for (size_t tile = 0, row = 0, end; tile < t.tiles; tile++, row = end) {
        end = row + tile_rows(&t, tile);
        tile_any(NV, end - row, a + row, last, p->k - last, panel, t.next, scratch + row * (NV * LANES));
        tile_fetched(&t, p->k - last);
        if (p->activation.kind == LE_ACT_LINEAR)
            dense_rows(p, 1, row, end);
        else
            dense_rows(p, 0, row, end);
    }
}

#endif
