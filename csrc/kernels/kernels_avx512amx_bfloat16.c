/* Products of bfloat16: AMX. Rows and weights are pairs of them, [k/2][nv][lanes][2], k filled up to 32. tdpbf16ps adds the
 * products of a tile's 16 pairs in its own order, rounded to nearest even in float32, denormals taken and given as zero;
 * tiles of k follow each other. Any number of rows goes this way, so that a row's bits are the same among others.
 */
#include "base/cpu.h"
#include "kernels/amx_body.h"
#include "kernels/bfloat_rows512.h"

enum { BLOCK = 32, BLOCK_PAIRS = BLOCK / PAIR };

/* Two vectors of a panel, or one, from `w` on, by one or two tiles of rows: into `out`, rows `width` bytes apart. */
LE_INLINE void sum_vectors(const int tiles, const int vectors, const amx_rows *a, amx_split split, size_t blocks,
                           const char *w, size_t step, char *out, size_t width)
{
    const char *const second = a->at + split.first * a->step;
    _tile_zero(0);
    _tile_zero(1);
    if (tiles == 2) {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t block = 0; block < blocks; block++, w += BLOCK_PAIRS * step) {
        _tile_loadd(4, a->at + block * TILE_BYTES, a->step);
        if (tiles == 2)
            _tile_loadd(5, second + block * TILE_BYTES, a->step);
        _tile_loadd(6, w, step);
        _tile_dpbf16ps(0, 4, 6);
        if (tiles == 2)
            _tile_dpbf16ps(2, 5, 6);
        if (vectors == 1)
            continue;
        _tile_loadd(7, w + AMX_VECTOR, step);
        _tile_dpbf16ps(1, 4, 7);
        if (tiles == 2)
            _tile_dpbf16ps(3, 5, 7);
    }
    char *const later = out + split.first * width;
    _tile_stored(0, out, width);
    if (vectors == 2)
        _tile_stored(1, out + AMX_VECTOR, width);
    if (tiles == 2)
        _tile_stored(2, later, width);
    if (tiles == 2 && vectors == 2)
        _tile_stored(3, later + AMX_VECTOR, width);
}

static void sum_panel(int nv, const amx_rows *a, amx_split split, size_t blocks, const char *panel, char *out)
{
    const size_t step = (size_t)nv * AMX_VECTOR;
    for (int first = 0; first < nv; first += 2) {
        const char *const w = panel + first * AMX_VECTOR;
        char *const to = out + first * AMX_VECTOR;
        if (split.second && first + 1 < nv)
            sum_vectors(2, 2, a, split, blocks, w, step, to, step);
        else if (split.second)
            sum_vectors(2, 1, a, split, blocks, w, step, to, step);
        else if (first + 1 < nv)
            sum_vectors(1, 2, a, split, blocks, w, step, to, step);
        else
            sum_vectors(1, 1, a, split, blocks, w, step, to, step);
    }
}

static void product(int nv, size_t rows, const void *const *rows_of, size_t k, const void *panel, const void *next,
                    void *out)
{
    const char *const *a = (const char *const *)rows_of;
    const size_t width = (size_t)nv * AMX_VECTOR, blocks = (k + BLOCK - 1) / BLOCK;
    if (k == 0) {
        memset(out, 0, rows * width);
        return;
    }
    fetch_panel(next, blocks * BLOCK_PAIRS * width);
    const int equal = equal_steps(rows, a);
    for (char *to = out; rows > 0;) {
        /* Rows that lie anywhere go one by one: only tests have such. */
        const amx_split split = equal ? split_rows(rows) : (amx_split){1, 0};
        const size_t count = split.first + split.second;
        const amx_rows some = {a[0], rows > 1 ? (size_t)(a[1] - a[0]) : TILE_BYTES};
        set_up((int)split.first, (int)split.second);
        sum_panel(nv, &some, split, blocks, panel, to);
        a += count;
        rows -= count;
        to += count * width;
    }
}

static void row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)
{
    for (size_t i = 0; i < panels->count; i++) {
        const size_t at = panels->backwards ? panels->count - 1 - i : i;
        const int own = at + 1 == panels->count && panels->last_nv > 0 ? panels->last_nv : nv;
        product(own, 1, &a, k, (const char *)panels->first + at * panels->bytes, NULL,
                (real *)out + at * (size_t)nv * LANES);
    }
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
    .row_bytes = bfloat_row_bytes,
    .prepare = bfloat_prepare,
    .product = product,
    .row_product = row_product,
    .finish = amx_finish,
};
