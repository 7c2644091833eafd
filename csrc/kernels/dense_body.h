/* A panel of a Dense layer: its product, bias and activation. */
#ifndef LE_DENSE_BODY_H
#define LE_DENSE_BODY_H

#include "kernels/activation_body.h"
#include "kernels/gemm_body.h"
#include "kernels/partial_body.h"

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

LE_INLINE void dense_any(const le_dense_panel *p, size_t row, size_t end)
{
    if (p->activation.kind == LE_ACT_LINEAR)
        dense_rows(p, 1, row, end);
    else
        dense_rows(p, 0, row, end);
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
        tile_any(NV, end - row, a + row, last, p->k - last, panel + last * (NV * LANES), t.next,
                 scratch + row * (NV * LANES));
        tile_fetched(&t, p->k - last);
        dense_any(p, row, end);
    }
}

static void dense_output(const le_dense_panel *p)
{
    dense_any(p, 0, p->rows);
}

#endif
