/* Products with weights of fewer bits, of every table that this CPU runs: each number is the one of its definition, to the
 * bit, in every tile shape, so that all instruction sets agree; nothing is read or written beside what was given. All arrays
 * have just the size that is asked for: the sanitizers look. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "net.h"
#include "small.h"

enum { MAX_ROWS = 14, MOST_PANELS = 4, MARK = 0x5a };

static const size_t depths[] = {0, 1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 191, 193, 255, 300, 1021};

/* A panel [k][columns] as kernels.h lays it out, and the weights that it holds as floats. */
typedef struct panel {
    int nv;
    size_t k, columns, bytes;
    char *packed;
    int8_t *integers; /* [k][columns], of int8 */
    float *scales;    /* [columns], of int8 */
    float *weights;   /* [k][columns] */
} panel;

static panel panel_new(const le_products *products, int nv, size_t k, rng *random)
{
    const size_t columns = (size_t)nv * (size_t)products->lanes, group = products->group, element = products->element;
    panel p = {.nv = nv, .k = k, .columns = columns};
    const size_t round = products->round ? products->round : group;
    p.bytes = columns * products->head + (k + round - 1) / round * round * columns * element;
    p.packed = must_alloc(p.bytes);
    memset(p.packed, 0, p.bytes);
    p.integers = must_alloc(k * columns);
    p.scales = must_alloc(columns * sizeof *p.scales);
    p.weights = must_alloc(k * columns * sizeof *p.weights);
    for (size_t c = 0; c < columns; c++)
        p.scales[c] = (float)((rng_next(random) + 1.5) / 100);
    for (size_t i = 0; i < k * columns; i++) {
        const size_t row = i / columns, column = i % columns;
        char *const to =
            p.packed + columns * products->head + ((row / group * columns + column) * group + row % group) * element;
        if (element == 1) {
            p.integers[i] = (int8_t)((int)rng_below(random, 255) - 127);
            p.weights[i] = (float)p.integers[i] * p.scales[column];
            memcpy(to, &p.integers[i], 1);
        } else {
            const float number = (float)rng_next(random);
            const uint16_t bits = products->type == LE_WEIGHTS_FLOAT16 ? half_of(number) : bfloat_of(number);
            p.weights[i] = small_weight(products->type, &bits, 0, 1);
            memcpy(to, &bits, sizeof bits);
        }
    }
    for (size_t c = 0; products->head && c < columns; c++) {
        memcpy(p.packed + c * sizeof(float), &p.scales[c], sizeof(float));
        int32_t sum = 0;
        for (size_t row = 0; row < k; row++)
            sum += p.integers[row * columns + c];
        sum *= -128;
        if (products->head > sizeof(float))
            memcpy(p.packed + (columns + c) * sizeof(float), &sum, sizeof sum);
    }
    return p;
}

static void panel_free(panel *p)
{
    free(p->packed);
    free(p->integers);
    free(p->scales);
    free(p->weights);
}

/* Rows of all sorts; their kinds go round, so that each shape has some. */
static float *row_new(size_t kind, size_t k, rng *random)
{
    static const double sizes[MAX_ROWS] = {1, 1, 1e-40, 1e-38, 3e-37, 1e30, 1, 1, 1, 1, 1e-3, 1, 1, 100};
    float *row = random_array(random, LE_FLOAT32, k, sizes[kind]);
    for (size_t i = 0; i < k; i++)
        if (kind == 1)
            row[i] = i % 2 ? 0.f : -0.f;
        else if (kind == 7) /* an inverse of 1, and ties */
            row[i] = i == 0 ? 127 : (float)((int)rng_below(random, 253) - 126) + 0.5f;
    if (k == 0)
        return row;
    const size_t at = rng_below(random, k);
    if (kind == 6)
        row[at] = 3e38f; /* the others are nothing beside it */
    else if (kind == 8)
        row[at] = NAN;
    else if (kind == 9)
        row[at] = -INFINITY;
    else if (kind == 11)
        row[at] = FLT_MIN / 2;
    return row;
}

/* What vdpbf16ps does with a denormal. */
static float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static float fused(float sum, double x, float w)
{
    return flushed(fmaf(flushed((float)x), flushed(w), flushed(sum)));
}

/* Row by column with vdpbf16ps: blocks of 64, pairs in ascending order, of a pair the second first (Intel's manual of
 * instructions, VDPBF16PS, "Operation"). */
static float dot_of_pairs(const panel *p, const double *taken, size_t column)
{
    float out = 0;
    for (size_t block = 0; block < p->k; block += LE_K_BLOCK) {
        float sum = 0;
        for (size_t k = block; k < p->k && k < block + LE_K_BLOCK; k += 2) {
            const int both = k + 1 < p->k;
            sum = fused(sum, both ? taken[k + 1] : 0, both ? p->weights[(k + 1) * p->columns + column] : 0);
            sum = fused(sum, taken[k], p->weights[k * p->columns + column]);
        }
        out = block == 0 ? sum : out + sum;
    }
    return out;
}

/* The same with tdpbf16ps: tiles of 32, in each the first and the second of all pairs apart, in ascending order, then their
 * sum, which is added to what the tiles before gave (the same manual, TDPBF16PS). */
static float dot_of_tiles(const panel *p, const double *taken, size_t column)
{
    enum { TILE = 32 };
    float out = 0;
    for (size_t tile = 0; tile < p->k; tile += TILE) {
        float sums[2] = {0, 0};
        for (size_t k = tile; k < tile + TILE; k++) {
            const int there = k < p->k;
            sums[k % 2] = fused(sums[k % 2], there ? taken[k] : 0, there ? p->weights[k * p->columns + column] : 0);
        }
        out = flushed(out + flushed(sums[0] + sums[1]));
    }
    return out;
}

/* The product of a row with a panel by the definition of its type, [columns]: integers are added up exactly; weights that are
 * widened are multiplied by the float32 kernels of the same instruction set, whose own test is test_kernels.c. */
static void expected_product(const le_products *products, const panel *p, const float *row, float *out)
{
    double *taken = must_alloc(p->k * sizeof *taken);
    const float scale = small_row(products->type, p->k, row, taken);
    if (products->type == LE_WEIGHTS_INT8) {
        for (size_t c = 0; c < p->columns; c++) {
            int64_t sum = 0;
            for (size_t k = 0; k < p->k; k++)
                sum += (int64_t)taken[k] * p->integers[k * p->columns + c];
            CHECK(sum >= INT32_MIN && sum <= INT32_MAX, "the test itself overflows");
            out[c] = p->k == 0 ? 0 : (float)sum * (scale * p->scales[c]);
        }
    } else if (products->group == 2) {
        for (size_t c = 0; c < p->columns; c++)
            out[c] = products->round ? dot_of_tiles(p, taken, c) : dot_of_pairs(p, taken, c);
    } else {
        const le_kernels *kernels = NULL;
        float *floats = must_alloc(p->k * sizeof *floats);
        for (size_t k = 0; k < p->k; k++)
            floats[k] = (float)taken[k];
        const void *only = floats;
        if (CHECK(le_kernels_find(products->name, LE_FLOAT32, &kernels, NULL) == LE_OK, "no kernels %s", products->name))
            kernels->products.product(p->nv, 1, &only, p->k, p->weights, NULL, out);
        free(floats);
    }
    free(taken);
}

static int same_numbers(const float *got, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!same_number(got[i], expected[i]))
            return 0;
    return 1;
}

/* The row as the products take it: itself, or what `prepare` makes of it where nothing was cleared. */
static void *prepared(const le_products *products, const float *row, size_t k)
{
    const size_t bytes = products->prepare ? products->row_bytes(k) : k * sizeof *row;
    char *to = must_alloc(bytes);
    memset(to, MARK, bytes);
    if (products->prepare)
        products->prepare(row, k, to);
    else
        memcpy(to, row, bytes);
    return to;
}

static void in_every_shape(const le_products *products, int nv, size_t k, rng *random)
{
    panel p = panel_new(products, nv, k, random);
    void *rows[MAX_ROWS];
    float *alone = must_alloc(MAX_ROWS * p.columns * sizeof *alone), *expected = must_alloc(p.columns * sizeof *expected);
    for (size_t r = 0; r < MAX_ROWS; r++) {
        float *row = row_new(r, k, random), *const own = alone + r * p.columns;
        rows[r] = prepared(products, row, k);
        memset(own, MARK, p.columns * sizeof *own);
        products->product(nv, 1, (const void *const *)&rows[r], k, p.packed, NULL, own);
        expected_product(products, &p, row, expected);
        for (size_t c = 0; c < p.columns; c++)
            CHECK(same_number(own[c], expected[c]), "%s %s: row %zu, nv %d, k %zu, column %zu: %.9g, expected %.9g",
                  small_name(products->type), products->name, r, nv, k, c, (double)own[c], (double)expected[c]);
        free(row);
    }
    for (size_t first = 0; first < MAX_ROWS; first += 5)
        for (size_t count = 1; count <= MAX_ROWS - first; count++) {
            const size_t numbers = count * p.columns;
            char *out = must_alloc(numbers * sizeof(float) + 1);
            memset(out, MARK, numbers * sizeof(float) + 1);
            products->product(nv, count, (const void *const *)rows + first, k, p.packed, count % 2 ? NULL : p.packed, out);
            CHECK(same_numbers((const float *)out, alone + first * p.columns, numbers),
                  "%s %s: %zu rows from %zu on, nv %d, k %zu: other bits than alone", small_name(products->type),
                  products->name, count, first, nv, k);
            CHECK(out[numbers * sizeof(float)] == MARK, "%s %s: %zu rows are written past their end",
                  small_name(products->type), products->name, count);
            free(out);
        }
    for (size_t r = 0; r < MAX_ROWS; r++)
        free(rows[r]);
    free(alone);
    free(expected);
    panel_free(&p);
    if (products->finish)
        products->finish();
}

/* One row by `count` panels, the last of `last_nv` vectors, in either order of reading. */
static void by_panels(const le_products *products, int nv, int last_nv, size_t count, size_t k, rng *random)
{
    panel panels[MOST_PANELS];
    size_t bytes = 0, at = 0, numbers = 0;
    for (size_t i = 0; i < count; i++) {
        panels[i] = panel_new(products, i + 1 == count ? last_nv : nv, k, random);
        bytes += panels[i].bytes;
        numbers += panels[i].columns;
    }
    char *packed = must_alloc(bytes), *out = must_alloc(numbers * sizeof(float) + 1);
    float *row = row_new(count, k, random), *expected = must_alloc(numbers * sizeof *expected);
    void *taken = prepared(products, row, k);
    numbers = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(packed + at, panels[i].packed, panels[i].bytes);
        at += panels[i].bytes;
        expected_product(products, &panels[i], row, expected + numbers);
        numbers += panels[i].columns;
    }
    for (int backwards = 0; backwards < 2; backwards++) {
        const le_panels all = {.count = count,
                               .first = packed,
                               .bytes = panels[0].bytes,
                               .last_nv = last_nv < nv ? last_nv : 0,
                               .backwards = backwards};
        memset(out, MARK, numbers * sizeof(float) + 1);
        products->row_product(nv, &all, taken, k, out);
        CHECK(same_numbers((const float *)out, expected, numbers),
              "%s %s: a row by %zu panels of %d, the last of %d, k %zu: other bits than one by one",
              small_name(products->type), products->name, count, nv, last_nv, k);
        CHECK(out[numbers * sizeof(float)] == MARK, "%s %s: a row by %zu panels is written past its end",
              small_name(products->type), products->name, count);
    }
    for (size_t i = 0; i < count; i++)
        panel_free(&panels[i]);
    free(packed);
    free(out);
    free(row);
    free(expected);
    free(taken);
    if (products->finish)
        products->finish();
}

void test_products(void)
{
    const le_products *products;
    for (size_t number = 0; (products = supported_products(number)) != NULL; number++) {
        rng random = {900 + number};
        for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
            for (int nv = 1; nv <= LE_MAX_NV; nv++) {
                in_every_shape(products, nv, depths[d], &random);
                for (size_t count = 1; count <= MOST_PANELS && depths[d] < 1000; count++)
                    for (int last_nv = nv == LE_MAX_NV ? 1 : nv; last_nv <= nv; last_nv++)
                        by_panels(products, nv, last_nv, count, depths[d], &random);
            }
    }
}
