/* Products of bfloat16: AVX-512 BF16. Rows and weights are pairs of them, [k/2][nv][lanes][2]; vdpbf16ps adds the products
 * of a pair, the second first, rounded to nearest even in float32, denormals taken and given as zero. k runs in the blocks of
 * kernels.h, each one chain of pairs.
 */
#include <string.h>

#include "base/cpu.h"
#include "kernels/bfloat_rows512.h"
#include "kernels/kernels.h"

#include "kernels/by_panels_body.h"
#include "kernels/tiling_body.h"

enum { PAIR_BYTES = 4, VECTOR_BYTES = LANES * PAIR_BYTES, BLOCK_PAIRS = LE_K_BLOCK / PAIR };

/* sum + the products of a pair of a row with 16 pairs of weights. */
LE_INLINE vec add_pair(vec sum, __m512i x, __m512i w)
{
    /* The intrinsic, but gcc keeps the sum in its register: of that it writes each to memory every time. */
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}

LE_INLINE __m512i broadcast(const char *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return _mm512_set1_epi32(both);
}

/* The sums of a row, with names of their own: see int8_body.h. */
typedef struct row_sums {
    vec first, second, third, fourth;
} row_sums;

LE_INLINE row_sums none(void)
{
    return (row_sums){v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
}

LE_INLINE void load_columns(const int nv, const char *w, __m512i *columns)
{
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
        columns[j] = _mm512_loadu_si512(w + j * VECTOR_BYTES);
}

LE_INLINE row_sums add_products(const int nv, row_sums sums, __m512i x, const __m512i *columns)
{
    sums.first = add_pair(sums.first, x, columns[0]);
    if (nv > 1)
        sums.second = add_pair(sums.second, x, columns[1]);
    if (nv > 2)
        sums.third = add_pair(sums.third, x, columns[2]);
    if (nv > 3)
        sums.fourth = add_pair(sums.fourth, x, columns[3]);
    return sums;
}

/* out (+)= the sums of a block; `first` says that nothing is there yet. */
LE_INLINE void add_block(const int nv, row_sums sums, int first, real *out)
{
    v_store(out, first ? sums.first : v_add(v_load(out), sums.first));
    if (nv > 1)
        v_store(out + LANES, first ? sums.second : v_add(v_load(out + LANES), sums.second));
    if (nv > 2)
        v_store(out + 2 * LANES, first ? sums.third : v_add(v_load(out + 2 * LANES), sums.third));
    if (nv > 3)
        v_store(out + 3 * LANES, first ? sums.fourth : v_add(v_load(out + 3 * LANES), sums.fourth));
}

/* The block of `count` pairs that begins at pair `begin` and at `w`. */
LE_INLINE void block_rows(const int rows, const int nv, const int lines, const char *const *a, size_t begin, size_t count,
                          const char *w, const char *next, real *out)
{
    const int width = nv * LANES;
    row_sums s0 = none(), s1 = none(), s2 = none(), s3 = none(), s4 = none(), s5 = none();
    for (size_t at = begin * PAIR_BYTES, end = at + count * PAIR_BYTES; at < end; at += PAIR_BYTES, w += nv * VECTOR_BYTES) {
        __m512i columns[LE_MAX_NV];
        load_columns(nv, w, columns);
#pragma GCC unroll 4
        for (int i = 0; i < lines; i++)
            __builtin_prefetch(next + i * CACHE_LINE, 0, 3);
        next += lines * CACHE_LINE;
        s0 = add_products(nv, s0, broadcast(a[0] + at), columns);
        if (rows > 1)
            s1 = add_products(nv, s1, broadcast(a[1] + at), columns);
        if (rows > 2)
            s2 = add_products(nv, s2, broadcast(a[2] + at), columns);
        if (rows > 3)
            s3 = add_products(nv, s3, broadcast(a[3] + at), columns);
        if (rows > 4)
            s4 = add_products(nv, s4, broadcast(a[4] + at), columns);
        if (rows > 5)
            s5 = add_products(nv, s5, broadcast(a[5] + at), columns);
    }
    add_block(nv, s0, begin == 0, out);
    if (rows > 1)
        add_block(nv, s1, begin == 0, out + width);
    if (rows > 2)
        add_block(nv, s2, begin == 0, out + 2 * width);
    if (rows > 3)
        add_block(nv, s3, begin == 0, out + 3 * width);
    if (rows > 4)
        add_block(nv, s4, begin == 0, out + 4 * width);
    if (rows > 5)
        add_block(nv, s5, begin == 0, out + 5 * width);
}

/* A whole block and the one after it, of `count` pairs, side by side, for one or two rows: chains enough. */
LE_INLINE void two_blocks(const int rows, const int nv, const char *const *a, size_t begin, size_t count, const char *w,
                          real *out)
{
    enum { AFTER = BLOCK_PAIRS * PAIR_BYTES };
    const size_t later = (size_t)BLOCK_PAIRS * (size_t)nv * VECTOR_BYTES;
    const char *const second = a[rows - 1];
    row_sums s0 = none(), s1 = none(), t0 = none(), t1 = none();
    for (size_t i = 0, at = begin * PAIR_BYTES; i < BLOCK_PAIRS; i++, at += PAIR_BYTES, w += nv * VECTOR_BYTES) {
        __m512i columns[LE_MAX_NV];
        load_columns(nv, w, columns);
        s0 = add_products(nv, s0, broadcast(a[0] + at), columns);
        if (rows > 1)
            s1 = add_products(nv, s1, broadcast(second + at), columns);
        if (i >= count)
            continue;
        load_columns(nv, w + later, columns);
        t0 = add_products(nv, t0, broadcast(a[0] + at + AFTER), columns);
        if (rows > 1)
            t1 = add_products(nv, t1, broadcast(second + at + AFTER), columns);
    }
    add_block(nv, s0, begin == 0, out);
    add_block(nv, t0, 0, out);
    if (rows > 1) {
        add_block(nv, s1, begin == 0, out + nv * LANES);
        add_block(nv, t1, 0, out + nv * LANES);
    }
}

LE_INLINE void tile(const int rows, const int nv, const char *const *a, size_t begin, size_t count, const char *w,
                    fetch next, real *out)
{
    const int all = nv;
    if (next.lines == 0)
        block_rows(rows, nv, 0, a, begin, count, w, next.at, out);
    else if (next.lines == 1)
        block_rows(rows, nv, 1, a, begin, count, w, next.at, out);
    else if (next.lines == 2)
        block_rows(rows, nv, 2, a, begin, count, w, next.at, out);
    else
        block_rows(rows, nv, all, a, begin, count, w, next.at, out);
}

/* A function of its own for each width, as in gemm_body.h. */
#define TILE_FUNCTION(NV)                                                                                                 \
    static LE_NOINLINE void tile_##NV(size_t rows, const char *const *a, size_t begin, size_t count, const char *w,       \
                                      fetch next, real *out)                                                              \
    {                                                                                                                     \
        switch (rows) {                                                                                                   \
            LE_EACH_TILE_SIZE(TILE_CASE_##NV)                                                                             \
        }                                                                                                                 \
    }                                                                                                                     \
    static LE_NOINLINE void two_blocks_##NV(size_t rows, const char *const *a, size_t begin, size_t count, const char *w, \
                                            real *out)                                                                    \
    {                                                                                                                     \
        if (rows == 1)                                                                                                    \
            two_blocks(1, NV, a, begin, count, w, out);                                                                   \
        else                                                                                                              \
            two_blocks(2, NV, a, begin, count, w, out);                                                                   \
    }
#define TILE_CASE(SIZE, NV)                            \
    case SIZE:                                         \
        tile(SIZE, NV, a, begin, count, w, next, out); \
        break;
#define TILE_CASE_1(SIZE) TILE_CASE(SIZE, 1)
#define TILE_CASE_2(SIZE) TILE_CASE(SIZE, 2)
#define TILE_CASE_3(SIZE) TILE_CASE(SIZE, 3)
#define TILE_CASE_4(SIZE) TILE_CASE(SIZE, 4)
TILE_FUNCTION(1)
TILE_FUNCTION(2)
TILE_FUNCTION(3)
TILE_FUNCTION(4)

typedef void tile_function(size_t rows, const char *const *a, size_t begin, size_t count, const char *w, fetch next,
                           real *out);
typedef void two_blocks_function(size_t rows, const char *const *a, size_t begin, size_t count, const char *w, real *out);
static tile_function *const tiles[] = {tile_1, tile_2, tile_3, tile_4};
static two_blocks_function *const pairs_of_blocks[] = {two_blocks_1, two_blocks_2, two_blocks_3, two_blocks_4};

static void bfloat16_product(int nv, size_t rows, const void *const *rows_of, size_t k, const void *panel, const void *next,
                             void *out)
{
    const char *const *const a = (const char *const *)rows_of;
    const size_t pairs = pairs_of(k), width = (size_t)nv * LANES, step = (size_t)nv * VECTOR_BYTES;
    size_t begin = 0;
    if (k == 0)
        memset(out, 0, rows * width * sizeof(real));
    if (rows == 1 || rows == 2)
        for (; begin + BLOCK_PAIRS < pairs; begin += 2 * BLOCK_PAIRS) {
            const size_t left = pairs - begin - BLOCK_PAIRS, count = left < BLOCK_PAIRS ? left : BLOCK_PAIRS;
            pairs_of_blocks[nv - 1](rows, a, begin, count, (const char *)panel + begin * step, out);
        }
    for (; begin < pairs; begin += BLOCK_PAIRS) {
        const size_t count = pairs - begin < BLOCK_PAIRS ? pairs - begin : BLOCK_PAIRS;
        const char *const w = (const char *)panel + begin * step;
        const char *const following = next == NULL || begin + count == pairs ? next : w + count * step;
        tiling t = tiles_of(nv, rows, following, count);
        for (size_t tile = 0, row = 0; tile < t.tiles && row < rows; tile++) {
            const size_t m = tile_rows(&t, tile);
            tiles[nv - 1](m, a + row, begin, count, w, t.next, (real *)out + row * width);
            tile_fetched(&t, count);
            row += m;
        }
    }
}

static void bfloat16_row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)
{
    row_by_panels(bfloat16_product, 0, nv, panels, a, k, out);
}

const le_products le_products_avx512bf16_bfloat16 = {
    .name = "avx512bf16",
    .cpu = LE_CPU_AVX512 | LE_CPU_AVX512_BF16,
    .worth = LE_CPU_FAST_BF16,
    .type = LE_WEIGHTS_BFLOAT16,
    .lanes = LANES,
    .element = 2,
    .group = PAIR,
    .speed = 2,
    .row_bytes = bfloat_row_bytes,
    .prepare = bfloat_prepare,
    .product = bfloat16_product,
    .row_product = bfloat16_row_product,
};
