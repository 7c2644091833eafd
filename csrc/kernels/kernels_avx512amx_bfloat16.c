/* Products of bfloat16: AMX. Rows and weights are pairs of them, [k/2][nv][lanes][2], k filled up to 32. tdpbf16ps adds the
 * products of a tile's 16 pairs in its own order, rounded to nearest even in float32, denormals taken and given as zero;
 * tiles of k follow each other. Any number of rows goes this way, so that a row's bits are the same among others.
 */
#include "base/cpu.h"

#define AMX_PRODUCT _tile_dpbf16ps
#include "kernels/amx_body.h"
#include "kernels/bfloat_rows512.h"
#include "kernels/by_panels_body.h"

enum { BLOCK = TILE_BYTES / sizeof(uint16_t) };

static void product(int nv, size_t rows, const void *const *rows_of, size_t k, const void *panel, const void *next,
                    void *out)
{
    const char *const *a = (const char *const *)rows_of;
    const size_t width = (size_t)nv * AMX_VECTOR;
    if (k == 0) {
        memset(out, 0, rows * width);
        return;
    }
    const int equal = equal_steps(rows, a);
    const size_t step = rows > 1 && equal ? (size_t)(a[1] - a[0]) : TILE_BYTES;
    amx_weights weights = {.at = panel, .next = next, .blocks = (k + BLOCK - 1) / BLOCK, .step = width};
    for (char *to = out; rows > 0; weights.next = NULL) {
        /* Rows that lie anywhere go one by one: only tests have such. */
        const amx_split split = equal ? split_rows(rows) : (amx_split){1, 0};
        const size_t count = split.first + split.second;
        const amx_rows some = {a[0], step};
        amx_panel(nv, &some, split, weights, to);
        a += count;
        rows -= count;
        to += count * width;
    }
}

/* Tiles are not read ahead by the CPU: weights that its cache does not hold are fetched a panel before their use. */
static void row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)
{
    const size_t resident = (size_t)1 << 20;
    row_by_panels(product, panels->count * panels->bytes > resident, nv, panels, a, k, out);
}

const le_products le_products_avx512amx_bfloat16 = {
    .name = "avx512amx",
    .cpu = LE_CPU_AVX512 | LE_CPU_AMX_BF16,
    .type = LE_WEIGHTS_BFLOAT16,
    .lanes = LANES,
    .element = 2,
    .group = PAIR,
    .round = BLOCK,
    .speed = 6,
    .rows = MOST_ROWS,
    .row_bytes = bfloat_row_bytes,
    .prepare = bfloat_prepare,
    .product = product,
    .row_product = row_product,
    .finish = le_tiles_release,
};
