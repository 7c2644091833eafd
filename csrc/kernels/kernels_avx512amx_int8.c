/* int8 products: AMX for some rows at a time, AVX-512 VNNI for few. The sums are the same numbers. */
#include "base/cpu.h"
#include "kernels/int8_vnni512.h"

#include "kernels/int8_body.h"

#include "kernels/amx_body.h"

/* A tile's products take the same time for one row as for 16. */
enum { LEAST_ROWS = 4, BLOCK_GROUPS = AMX_ROWS };

/* Two vectors of a panel, from `w` on, by one or two tiles of rows: sums [rows][2][lanes]. */
LE_INLINE void sum_two(const int tiles, const amx_rows *a, amx_split split, size_t blocks, const char *w, size_t step,
                       int32_t *sums)
{
    const char *const second = a->at + split.first * a->step;
    _tile_zero(0);
    _tile_zero(1);
    if (tiles == 2) {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t block = 0; block < blocks; block++, w += BLOCK_GROUPS * step) {
        _tile_loadd(4, a->at + block * TILE_BYTES, a->step);
        if (tiles == 2)
            _tile_loadd(5, second + block * TILE_BYTES, a->step);
        _tile_loadd(6, w, step);
        _tile_dpbusd(0, 4, 6);
        if (tiles == 2)
            _tile_dpbusd(2, 5, 6);
        _tile_loadd(7, w + AMX_VECTOR, step);
        _tile_dpbusd(1, 4, 7);
        if (tiles == 2)
            _tile_dpbusd(3, 5, 7);
    }
    int32_t *const later = sums + split.first * 2 * LANES;
    _tile_stored(0, sums, 2 * AMX_VECTOR);
    _tile_stored(1, sums + LANES, 2 * AMX_VECTOR);
    if (tiles == 2) {
        _tile_stored(2, later, 2 * AMX_VECTOR);
        _tile_stored(3, later + LANES, 2 * AMX_VECTOR);
    }
}

static void write_rows(int nv, int first, int count, size_t rows, const char *const *a, const int32_t *sums,
                       const char *panel, real *out)
{
    const q_part part = q_part_of(nv, panel, first);
    for (size_t r = 0; r < rows; r++)
        for (int j = 0; j < count; j++) {
            real scale;
            memcpy(&scale, a[r], sizeof scale);
            const __m512i sum = _mm512_load_si512(sums + (r * 2 + (size_t)j) * LANES);
            q_write_vector(scale, sum, &part, j, out + r * (size_t)nv * LANES);
        }
}

static void product(int nv, size_t rows, const void *const *rows_of, size_t k, const void *panel, const void *next,
                    void *out)
{
    const char *const *a = (const char *const *)rows_of;
    const size_t step = (size_t)nv * GROUP_BYTES, blocks = (k + TILE_BYTES - 1) / TILE_BYTES;
    if (rows < LEAST_ROWS || nv % 2 != 0 || k == 0 || !equal_steps(rows, a)) {
        int8_product(nv, rows, rows_of, k, panel, next, out);
        return;
    }
    _Alignas(64) int32_t sums[MOST_ROWS * 2 * LANES];
    const char *const w = (const char *)panel + (size_t)nv * LANES * COLUMN_HEAD;
    const size_t apart = (size_t)(a[1] - a[0]); /* here: the last row of all may be alone, and nothing follows it */
    fetch_panel(next, (size_t)nv * LANES * COLUMN_HEAD + blocks * BLOCK_GROUPS * step);
    for (real *to = out; rows > 0;) {
        const amx_split split = split_rows(rows);
        const size_t count = split.first + split.second;
        const amx_rows some = {a[0] + ROW_HEAD, apart};
        set_up((int)split.first, (int)split.second);
        for (int first = 0; first < nv; first += 2) {
            if (split.second)
                sum_two(2, &some, split, blocks, w + first * AMX_VECTOR, step, sums);
            else
                sum_two(1, &some, split, blocks, w + first * AMX_VECTOR, step, sums);
            write_rows(nv, first, 2, count, a, sums, panel, to);
        }
        a += count;
        rows -= count;
        to += count * (size_t)nv * LANES;
    }
}

const le_products le_products_avx512amx_int8 = {
    .name = "avx512amx",
    .cpu = LE_CPU_AVX512 | LE_CPU_AVX512_VNNI | LE_CPU_AMX_INT8,
    .type = LE_WEIGHTS_INT8,
    .lanes = LANES,
    .element = 1,
    .group = GROUP,
    .round = TILE_BYTES,
    .head = COLUMN_HEAD,
    .speed = 8,
    .row_bytes = int8_row_bytes,
    .prepare = int8_prepare,
    .product = product,
    .row_product = int8_row_product,
    .finish = amx_finish,
};
