/* int8 products: AMX for some rows at a time, AVX-512 VNNI for few. The sums are the same numbers. */
#include "base/cpu.h"
#include "kernels/int8_vnni512.h"

#include "kernels/int8_body.h"

#define AMX_PRODUCT _tile_dpbusd
#include "kernels/amx_body.h"

/* A tile's products take the same time for one row as for 16. */
enum { LEAST_ROWS = 4 };

LE_INLINE void write_rows(const int nv, size_t rows, const char *const *a, const int32_t *sums, const char *panel, real *out)
{
    const q_part part = q_part_of(nv, panel, 0);
    for (size_t r = 0; r < rows; r++, sums += nv * LANES, out += nv * LANES) {
        real scale;
        memcpy(&scale, a[r], sizeof scale);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            q_write_vector(scale, _mm512_load_si512(sums + j * LANES), &part, j, out);
    }
}

static void write_any(int nv, size_t rows, const char *const *a, const int32_t *sums, const char *panel, real *out)
{
    switch (nv) {
    case 1:
        write_rows(1, rows, a, sums, panel, out);
        break;
    case 2:
        write_rows(2, rows, a, sums, panel, out);
        break;
    case 3:
        write_rows(3, rows, a, sums, panel, out);
        break;
    default:
        write_rows(4, rows, a, sums, panel, out);
    }
}

static void product(int nv, size_t rows, const void *const *rows_of, size_t k, const void *panel, const void *next,
                    void *out)
{
    const char *const *a = (const char *const *)rows_of;
    const size_t head = (size_t)nv * LANES * COLUMN_HEAD;
    if (rows < LEAST_ROWS || k == 0 || !equal_steps(rows, a)) {
        int8_product(nv, rows, rows_of, k, panel, next, out);
        return;
    }
    _Alignas(64) int32_t sums[MOST_ROWS * LE_MAX_NV * LANES];
    amx_weights weights = {.at = (const char *)panel + head,
                           .next = next ? (const char *)next + head : NULL,
                           .blocks = (k + TILE_BYTES - 1) / TILE_BYTES,
                           .step = (size_t)nv * GROUP_BYTES};
    const size_t step = (size_t)(a[1] - a[0]);
    for (real *to = out; rows > 0; weights.next = NULL) {
        const amx_split split = split_rows(rows);
        const size_t count = split.first + split.second;
        const amx_rows some = {a[0] + ROW_HEAD, step};
        amx_panel(nv, &some, split, weights, (char *)sums);
        write_any(nv, count, a, sums, panel, to);
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
    .rows = MOST_ROWS,
    .row_bytes = int8_row_bytes,
    .prepare = int8_prepare,
    .product = product,
    .row_product = int8_row_product,
    .finish = le_tiles_release,
};
