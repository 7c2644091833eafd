/* The product of one row with many panels; the order of summation is the one of kernels.h. */
#ifndef LE_ROW_BODY_H
#define LE_ROW_BODY_H

#include "kernels/product_body.h"

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
#define LE_CASE(PANELS, LAST)                                               \
    case (PANELS) * LE_MAX_NV + (LAST):                                     \
        row_with_last(PANELS, LE_MAX_NV, LAST, a, k, w, last, to, to_last); \
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

/* One row by all panels. A panel alone has chains enough where its blocks of k go two by two, and then it is one panel,
 * not two, that the next step may still find in L1; a block left over goes beside the next panel's, or the narrow one. */
LE_INLINE void row_product_all(const int nv, const le_panels *p, const real *a, size_t k, real *out)
{
    const size_t blocks = (k + LE_K_BLOCK - 1) / LE_K_BLOCK;
    const size_t paired = blocks % 2 == 0 ? k : (blocks - 1) * LE_K_BLOCK; /* what those two by two cover */
    const size_t narrow = nv == LE_MAX_NV && p->last_nv > 0 && p->last_nv < nv, whole = p->count - narrow;
    const real *const last = (const real *)((const char *)p->first + whole * p->bytes);
    real *const to_last = out + whole * (size_t)(nv * LANES);
    if (narrow && (whole == 0 || paired == k))
        product(p->last_nv, 1, (const void *const *)&a, k, last, NULL, to_last);
    for (size_t i = 0; i < whole; i += 2) {
        const size_t at[2] = {p->backwards ? whole - 1 - i : i, p->backwards ? whole - 2 - i : i + 1};
        const int pair = i + 1 < whole ? 2 : 1, with_last = narrow && i + 2 >= whole && paired < k;
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
                product_block(nv, 1, &a, k0, count, w[0] + k0 * (size_t)(nv * LANES), NULL, to[0]);
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

#endif
