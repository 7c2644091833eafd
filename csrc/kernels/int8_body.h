/* Products of integers: rows of floats, quantised one by one, with panels of int8.
 *
 *   q = rint(x * (127 / max|x|)), ties to even; scale = max|x| / 127        a row of x
 *   out[j] = (float)(sum over k of q[k] w[k][j]) * (scale * scale[j])
 *
 * The sums are exact (LE_INT8_INPUTS), so that every instruction set has the same numbers. Where 127 / max|x| would
 * overflow it is FLT_MAX, and the scale its reciprocal; a row of zeros has scale 1; one with an infinity or a NaN has scale
 * NaN. Included after int8_<how>.h, which says how four inputs are multiplied at a time.
 */
#ifndef LE_INT8_BODY_H
#define LE_INT8_BODY_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/by_panels_body.h"
#include "kernels/kernels.h"
#include "kernels/tiling_body.h"

/* A prepared row: its scale, then its numbers, on lines of their own. */
enum { ROW_HEAD = 64, GROUP = 4, COLUMN_HEAD = 8, GROUP_BYTES = LANES * GROUP };

#if !defined(Q_HALVES) /* four inputs are multiplied at once, not two and two */
enum { Q_HALVES = 1 };
#endif
#if !defined(Q_ALONE) /* a row is multiplied alone as it is with others */
enum { Q_ALONE_GROUP = 0 };
#endif

LE_INLINE size_t groups_of(size_t k)
{
    return (k + GROUP - 1) / GROUP;
}

LE_INLINE size_t number_bytes(size_t k)
{
    return groups_of(k) * (Q_ROW_GROUP + Q_ALONE_GROUP);
}

static size_t int8_row_bytes(size_t k)
{
    return ROW_HEAD + (number_bytes(k) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static void int8_prepare(const void *row, size_t k, void *prepared)
{
    const uint32_t most_bits = q_most_bits(row, k), infinity = UINT32_C(0x7f800000);
    char *const numbers = (char *)prepared + ROW_HEAD;
    float most, scale = 1, inverse = 0;
    memcpy(&most, &most_bits, sizeof most);
    if (most_bits >= infinity) {
        scale = NAN;
        memset(numbers, 0, number_bytes(k));
    } else {
        if (most_bits != 0) {
            inverse = 127 / most;
            scale = most / 127;
            if (inverse > FLT_MAX) {
                inverse = FLT_MAX;
                scale = 1 / FLT_MAX;
            }
        }
        q_quantise(row, k, inverse, numbers);
    }
    memcpy(prepared, &scale, sizeof scale);
}

/* The sums of one row. Rows and vectors have names of their own: of arrays gcc writes every element to memory each time. */
typedef struct q_sums {
    q_sum first, second, third, fourth;
} q_sums;

LE_INLINE q_sums q_none(void)
{
    return (q_sums){q_zero(), q_zero(), q_zero(), q_zero()};
}

LE_INLINE void q_load_columns(const int nv, const char *w, const int half, q_weights *columns)
{
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
        columns[j] = q_load(w + j * GROUP_BYTES, half);
}

/* Add the products of four inputs of a row, or of half of them, with those of the first `nv` columns. */
LE_INLINE q_sums q_add_products(const int nv, q_sums sums, q_row x, const q_weights *columns)
{
    sums.first = q_dot(sums.first, x, columns[0]);
    if (nv > 1)
        sums.second = q_dot(sums.second, x, columns[1]);
    if (nv > 2)
        sums.third = q_dot(sums.third, x, columns[2]);
    if (nv > 3)
        sums.fourth = q_dot(sums.fourth, x, columns[3]);
    return sums;
}

/* The same of all of one row's four inputs. */
LE_INLINE q_sums q_add_group(const int nv, q_sums sums, const char *row, const char *w)
{
    q_weights columns[LE_MAX_NV];
#pragma GCC unroll 2
    for (int half = 0; half < Q_HALVES; half++) {
        q_load_columns(nv, w, half, columns);
        sums = q_add_products(nv, sums, q_broadcast(row, half), columns);
    }
    return sums;
}

LE_INLINE q_sums q_add_sums(q_sums a, q_sums b)
{
    return (q_sums){q_add(a.first, b.first), q_add(a.second, b.second), q_add(a.third, b.third), q_add(a.fourth, b.fourth)};
}

/* Columns of a panel that are multiplied together: the whole panel's, or as many as leave the registers for their sums. */
typedef struct q_part {
    const char *weights;    /* of the first group */
    const int32_t *offsets;
    const real *scales;
    int at;                 /* columns before them */
} q_part;

LE_INLINE q_part q_part_of(const int nv, const char *panel, int first)
{
    const int width = nv * LANES, at = first * LANES;
    return (q_part){.weights = panel + width * COLUMN_HEAD + first * GROUP_BYTES,
                    .offsets = (const int32_t *)(panel + width * sizeof(real)) + at,
                    .scales = (const real *)panel + at,
                    .at = at};
}

LE_INLINE void q_write_vector(real scale, q_sum sum, const q_part *part, int j, real *out)
{
    const vec factor = v_mul(v_set1(scale), v_load(part->scales + j * LANES));
    v_store(out + part->at + j * LANES, v_mul(q_float(sum, part->offsets + j * LANES), factor));
}

/* What a row's sums stand for. */
LE_INLINE void q_write(const int count, q_sums sums, const char *row, const q_part *part, real *out)
{
    real scale;
    memcpy(&scale, row, sizeof scale);
    q_write_vector(scale, sums.first, part, 0, out);
    if (count > 1)
        q_write_vector(scale, sums.second, part, 1, out);
    if (count > 2)
        q_write_vector(scale, sums.third, part, 2, out);
    if (count > 3)
        q_write_vector(scale, sums.fourth, part, 3, out);
}

/* Some rows by the columns first .. first+count-1 of a panel; all but `groups` are constants where this is inlined. */
LE_INLINE void int8_rows(const int rows, const int nv, const int first, const int count, const int lines,
                         const char *const *a, size_t groups, const char *panel, const char *next, real *out)
{
    const int width = nv * LANES;
    const q_part part = q_part_of(nv, panel, first);
    const char *w = part.weights;
    q_sums s0 = q_none(), s1 = q_none(), s2 = q_none(), s3 = q_none(), s4 = q_none(), s5 = q_none();
    for (size_t at = ROW_HEAD; groups > 0; groups--, at += Q_ROW_GROUP, w += nv * GROUP_BYTES) {
#pragma GCC unroll 4
        for (int i = 0; i < lines; i++)
            __builtin_prefetch(next + i * CACHE_LINE, 0, 3);
        next += lines * CACHE_LINE;
#pragma GCC unroll 2
        for (int half = 0; half < Q_HALVES; half++) {
            q_weights columns[LE_MAX_NV];
            q_load_columns(count, w, half, columns);
            s0 = q_add_products(count, s0, q_broadcast(a[0] + at, half), columns);
            if (rows > 1)
                s1 = q_add_products(count, s1, q_broadcast(a[1] + at, half), columns);
            if (rows > 2)
                s2 = q_add_products(count, s2, q_broadcast(a[2] + at, half), columns);
            if (rows > 3)
                s3 = q_add_products(count, s3, q_broadcast(a[3] + at, half), columns);
            if (rows > 4)
                s4 = q_add_products(count, s4, q_broadcast(a[4] + at, half), columns);
            if (rows > 5)
                s5 = q_add_products(count, s5, q_broadcast(a[5] + at, half), columns);
        }
    }
    q_write(count, s0, a[0], &part, out);
    if (rows > 1)
        q_write(count, s1, a[1], &part, out + width);
    if (rows > 2)
        q_write(count, s2, a[2], &part, out + 2 * width);
    if (rows > 3)
        q_write(count, s3, a[3], &part, out + 3 * width);
    if (rows > 4)
        q_write(count, s4, a[4], &part, out + 4 * width);
    if (rows > 5)
        q_write(count, s5, a[5], &part, out + 5 * width);
}

/* One or two rows, in four chains or two: a single one would wait for each sum. */
LE_INLINE void int8_chains(const int rows, const int nv, const int first, const int count, const char *const *a,
                           size_t groups, const char *panel, real *out)
{
    const int bytes = nv * GROUP_BYTES, chains = rows == 1 ? 4 : 2;
    const q_part part = q_part_of(nv, panel, first);
    const char *w = part.weights;
    const char *const other = rows == 1 ? a[0] + 2 * Q_ROW_GROUP : a[1];
    const int later = rows == 1 ? 2 * bytes : 0; /* from a row's weights to those that `other` is multiplied with */
    q_sums s0 = q_none(), s1 = q_none(), s2 = q_none(), s3 = q_none();
    size_t at = ROW_HEAD;
    for (; groups >= (size_t)chains; groups -= (size_t)chains, at += (size_t)chains * Q_ROW_GROUP, w += chains * bytes) {
        s0 = q_add_group(count, s0, a[0] + at, w);
        s2 = q_add_group(count, s2, other + at, w + later);
        s1 = q_add_group(count, s1, a[0] + at + Q_ROW_GROUP, w + bytes);
        s3 = q_add_group(count, s3, other + at + Q_ROW_GROUP, w + later + bytes);
    }
    for (; groups > 0; groups--, at += Q_ROW_GROUP, w += bytes) {
        s0 = q_add_group(count, s0, a[0] + at, w);
        if (rows == 2)
            s2 = q_add_group(count, s2, other + at, w);
    }
    s0 = q_add_sums(s0, s1);
    s2 = q_add_sums(s2, s3);
    if (rows == 1) {
        q_write(count, q_add_sums(s0, s2), a[0], &part, out);
    } else {
        q_write(count, s0, a[0], &part, out);
        q_write(count, s2, a[1], &part, out + nv * LANES);
    }
}

#if defined(Q_ALONE)
LE_INLINE void int8_alone(const int nv, const char *row, size_t groups, const char *panel, real *out)
{
    const q_part part = q_part_of(nv, panel, 0);
    const char *x = row + ROW_HEAD + groups * Q_ROW_GROUP, *w = part.weights;
    q_sums sums = q_none();
#pragma GCC unroll 2
    for (; groups > 0; groups--, x += Q_ALONE_GROUP, w += nv * GROUP_BYTES) {
        const q_signed four = q_alone_broadcast(x);
        sums.first = q_alone_dot(sums.first, four, w);
        if (nv > 1)
            sums.second = q_alone_dot(sums.second, four, w + GROUP_BYTES);
        if (nv > 2)
            sums.third = q_alone_dot(sums.third, four, w + 2 * GROUP_BYTES);
        if (nv > 3)
            sums.fourth = q_alone_dot(sums.fourth, four, w + 3 * GROUP_BYTES);
    }
    q_write(nv, sums, row, &part, out);
}
#endif

LE_INLINE void int8_part(const int rows, const int nv, const int first, const int count, const char *const *a, size_t groups,
                         const char *panel, fetch next, real *out)
{
    const int all = (nv * GROUP_BYTES + CACHE_LINE - 1) / CACHE_LINE;
    if (rows <= 2)
        int8_chains(rows, nv, first, count, a, groups, panel, out); /* whose loads keep the memory busy by themselves */
    else if (next.lines == 0)
        int8_rows(rows, nv, first, count, 0, a, groups, panel, next.at, out);
    else if (next.lines == 1)
        int8_rows(rows, nv, first, count, 1, a, groups, panel, next.at, out);
    else if (next.lines == 2)
        int8_rows(rows, nv, first, count, 2, a, groups, panel, next.at, out);
    else
        int8_rows(rows, nv, first, count, all, a, groups, panel, next.at, out);
}

LE_INLINE void int8_tile(const int rows, const int nv, const char *const *a, size_t groups, const char *panel, fetch next,
                         real *out)
{
#if defined(Q_ALONE)
    if (rows == 1) {
        int8_alone(nv, a[0], groups, panel, out);
        return;
    }
#endif
    if (nv <= Q_COLUMNS) {
        int8_part(rows, nv, 0, nv, a, groups, panel, next, out);
    } else {
        int8_part(rows, nv, 0, Q_COLUMNS, a, groups, panel, next, out);
        next.lines = 0;
        int8_part(rows, nv, Q_COLUMNS, nv - Q_COLUMNS, a, groups, panel, next, out);
    }
}

/* A function of its own for each width, as in gemm_body.h. */
#define LE_INT8_FUNCTION(NV)                                                                                                \
    static LE_NOINLINE void int8_tile_##NV(size_t rows, const char *const *a, size_t groups, const char *panel, fetch next, \
                                           real *out)                                                                       \
    {                                                                                                                       \
        switch (rows) {                                                                                                     \
            LE_EACH_TILE_SIZE(LE_INT8_CASE_##NV)                                                                            \
        }                                                                                                                   \
    }
#define LE_INT8_CASE(SIZE, NV)                            \
    case SIZE:                                            \
        int8_tile(SIZE, NV, a, groups, panel, next, out); \
        break;
#define LE_INT8_CASE_1(SIZE) LE_INT8_CASE(SIZE, 1)
#define LE_INT8_CASE_2(SIZE) LE_INT8_CASE(SIZE, 2)
#define LE_INT8_CASE_3(SIZE) LE_INT8_CASE(SIZE, 3)
#define LE_INT8_CASE_4(SIZE) LE_INT8_CASE(SIZE, 4)
LE_INT8_FUNCTION(1)
LE_INT8_FUNCTION(2)
LE_INT8_FUNCTION(3)
LE_INT8_FUNCTION(4)

LE_INLINE void int8_any(int nv, size_t rows, const char *const *a, size_t groups, const char *panel, fetch next, real *out)
{
    if (nv == 1)
        int8_tile_1(rows, a, groups, panel, next, out);
    else if (nv == 2)
        int8_tile_2(rows, a, groups, panel, next, out);
    else if (nv == 3)
        int8_tile_3(rows, a, groups, panel, next, out);
    else
        int8_tile_4(rows, a, groups, panel, next, out);
}

static void int8_product(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next, void *out)
{
    const size_t groups = groups_of(k), width = (size_t)nv * LANES;
    if (k == 0) {
        memset(out, 0, rows * width * sizeof(real));
        return;
    }
    tiling t = tiles_of(nv, rows, next, groups);
    for (size_t tile = 0, row = 0; tile < t.tiles && row < rows; tile++) {
        const size_t m = tile_rows(&t, tile);
        int8_any(nv, m, (const char *const *)a + row, groups, panel, t.next, (real *)out + row * width);
        tile_fetched(&t, groups);
        row += m;
    }
}

static void int8_row_product(int nv, const le_panels *panels, const void *a, size_t k, void *out)
{
    row_by_panels(int8_product, 0, nv, panels, a, k, out);
}

/* Not where a file has a better way for some rows, and a table of its own. */
#if defined(LE_INT8_TABLE)
const le_products LE_INT8_TABLE = {
    .name = LE_INT8_NAME,
    .cpu = LE_INT8_CPU,
    .type = LE_WEIGHTS_INT8,
    .lanes = LANES,
    .element = 1,
    .group = GROUP,
    .head = COLUMN_HEAD,
    .speed = LE_INT8_SPEED,
    .row_bytes = int8_row_bytes,
    .prepare = int8_prepare,
    .product = int8_product,
    .row_product = int8_row_product,
};
#endif

#endif
