/* The ends of what weights of fewer bits can be: integers as large as they get, the same sums on every instruction set, rows
 * that are rounded on a tie, and every half and bfloat16 that there is. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "net.h"
#include "small.h"

/* A panel of one vector of int8, weight k of column c being weights[k * lanes + c]; every scale is 1. */
static char *integers_new(const le_products *products, size_t k, const int8_t *weights)
{
    const size_t lanes = (size_t)products->lanes, group = products->group, round = products->round ? products->round : group;
    const size_t bytes = lanes * products->head + (k + round - 1) / round * round * lanes;
    char *packed = must_alloc(bytes);
    memset(packed, 0, bytes);
    for (size_t c = 0; c < lanes; c++) {
        const float scale = 1;
        int32_t sum = 0;
        for (size_t row = 0; row < k; row++) {
            packed[lanes * products->head + (row / group * lanes + c) * group + row % group] = weights[row * lanes + c];
            sum += weights[row * lanes + c];
        }
        sum *= -128;
        memcpy(packed + c * sizeof scale, &scale, sizeof scale);
        memcpy(packed + (lanes + c) * sizeof scale, &sum, sizeof sum);
    }
    return packed;
}

/* The products of one to three such rows; they have a tile each, and the largest has four chains. */
static void integer_products(const le_products *products, size_t k, const float *row, const char *packed, float *out)
{
    char *taken = must_alloc(products->row_bytes(k));
    const void *const rows[] = {taken, taken, taken};
    const size_t lanes = (size_t)products->lanes;
    float *together = must_alloc(3 * lanes * sizeof *together);
    products->prepare(row, k, taken);
    products->product(1, 1, rows, k, packed, NULL, out);
    for (size_t count = 2; count < 4; count++) {
        products->product(1, count, rows, k, packed, NULL, together);
        for (size_t r = 0; r < count; r++)
            CHECK(memcmp(together + r * lanes, out, lanes * sizeof *out) == 0, "%s: row %zu of %zu has other bits",
                  products->name, r, count);
    }
    free(together);
    free(taken);
    if (products->finish)
        products->finish();
}

/* As many products as are allowed, each as large as it gets: the sum, and the one that is moved up by 128, are exact. */
static void largest_sums(const le_products *products)
{
    static const size_t depths[] = {LE_INT8_INPUTS, LE_INT8_INPUTS - 1, 32768, 1};
    const size_t lanes = (size_t)products->lanes;
    for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
        for (int signs = 0; signs < 4; signs++) {
            const size_t k = depths[d];
            int8_t *weights = must_alloc(k * lanes);
            float *row = must_alloc(k * sizeof *row), *out = must_alloc(lanes * sizeof *out);
            int64_t *sums = must_alloc(lanes * sizeof *sums);
            for (size_t i = 0; i < k; i++) {
                row[i] = signs & 1 ? -127 : 127;
                for (size_t c = 0; c < lanes; c++) {
                    /* The first column goes all the way; others end below it, so that no digit is lost to the float. */
                    const int far = i >= c * 3;
                    weights[i * lanes + c] = (int8_t)(far ? (signs & 2 ? -127 : 127) : 0);
                    sums[c] += (int64_t)row[i] * weights[i * lanes + c];
                }
            }
            char *packed = integers_new(products, k, weights);
            integer_products(products, k, row, packed, out);
            for (size_t c = 0; c < lanes; c++)
                CHECK(out[c] == (float)sums[c], "%s: %zu products of 127, signs %d, column %zu: %.9g, expected %lld",
                      products->name, k, signs, c, (double)out[c], (long long)sums[c]);
            free(packed);
            free(weights);
            free(row);
            free(out);
            free(sums);
        }
}

/* Every number is multiplied with 1 in a column of its own: what comes out are the integers of the row. */
static void rounded_rows(const le_products *products)
{
    enum { K = 61 };
    const size_t lanes = (size_t)products->lanes;
    const float tops[] = {127, 254, 1, 3e38f, FLT_MIN, 1e-40f, FLT_TRUE_MIN, 5e-37f, 3.7e-37f, 3.8e-37f, 0.3f};
    for (size_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
        float row[K];
        double taken[K];
        rng random = {t};
        row[0] = tops[t];
        for (size_t i = 1; i < K; i++) /* a half above an integer, or close to that */
            row[i] = (float)(tops[t] * ((double)i * 2 - K + 0.5 + (i % 3 ? 0 : rng_next(&random) * 1e-6)) / 127);
        const float scale = small_row(LE_WEIGHTS_INT8, K, row, taken);
        for (size_t first = 0; first < K; first += lanes) {
            int8_t *weights = must_alloc(K * lanes);
            float *out = must_alloc(lanes * sizeof *out);
            for (size_t c = 0; c < lanes && first + c < K; c++)
                weights[(first + c) * lanes + c] = 1;
            char *packed = integers_new(products, K, weights);
            integer_products(products, K, row, packed, out);
            for (size_t c = 0; c < lanes && first + c < K; c++)
                CHECK(same_number(out[c], (float)(int)taken[first + c] * scale),
                      "%s: %.9g of a row up to %.9g: %.9g, expected %g * %.9g", products->name, (double)row[first + c],
                      (double)tops[t], (double)out[c], taken[first + c], (double)scale);
            free(packed);
            free(weights);
            free(out);
        }
    }
}

/* The sums of one matrix, [k, COLUMNS], with scales of 1, whichever panels it is cut into. */
enum { COLUMNS = 16 };

static void sums_of(const le_products *products, size_t k, const float *row, const int8_t *weights, float *sums)
{
    const size_t lanes = (size_t)products->lanes;
    int8_t *part = must_alloc(k * lanes);
    for (size_t first = 0; first < COLUMNS; first += lanes) {
        for (size_t i = 0; i < k; i++)
            memcpy(part + i * lanes, weights + i * COLUMNS + first, lanes);
        char *packed = integers_new(products, k, part);
        integer_products(products, k, row, packed, sums + first);
        free(packed);
    }
    free(part);
}

static void same_sums_everywhere(size_t k)
{
    rng random = {k};
    int8_t *weights = must_alloc(k * COLUMNS);
    float *row = must_alloc(k * sizeof *row), first[COLUMNS], sums[COLUMNS];
    for (size_t i = 0; i < k; i++)
        row[i] = (float)rng_next(&random) * 127;
    row[0] = 127; /* a scale of 1: the sums themselves come out, below 2^24 */
    for (size_t i = 0; i < k * COLUMNS; i++)
        weights[i] = (int8_t)((int)rng_below(&random, 255) - 127);
    sums_of(&le_products_scalar_int8, k, row, weights, first);
    const le_products *products;
    for (size_t number = 0; (products = supported_products(number)) != NULL; number++) {
        if (products->type != LE_WEIGHTS_INT8)
            continue;
        sums_of(products, k, row, weights, sums);
        CHECK(memcmp(first, sums, sizeof sums) == 0, "scalar and %s: other sums of %zu products", products->name, k);
    }
    free(weights);
    free(row);
}

/* Every number of 16 bits as a float, side by side, and pieces of any length. */
static void every_number(const le_products *products)
{
    enum { ALL = 65536 };
    uint16_t *bits = must_alloc(ALL * sizeof *bits);
    float *out = must_alloc(ALL * sizeof *out);
    for (size_t i = 0; i < ALL; i++)
        bits[i] = (uint16_t)i;
    products->widen(ALL, bits, 1, out);
    for (size_t i = 0; i < ALL; i++)
        CHECK(same_number(out[i], small_weight(products->type, bits, i, 1)), "%s %s: %04x is %.9g, expected %.9g",
              small_name(products->type), products->name, (unsigned)i, (double)out[i],
              (double)small_weight(products->type, bits, i, 1));
    free(bits);
    free(out);
}

static void pieces(const le_products *products)
{
    const size_t element = products->element;
    for (size_t n = 0; n < 70; n++) {
        char *weights = must_alloc(n * element);
        float *out = must_alloc(n * sizeof *out);
        rng random = {n};
        for (size_t i = 0; i < n * element; i++) /* of two bytes the upper is below 0x60: none is infinite */
            weights[i] = (char)(rng_below(&random, 0x60));
        products->widen(n, weights, 0.37f, out);
        for (size_t i = 0; i < n; i++)
            CHECK(same_number(out[i], small_weight(products->type, weights, i, 0.37f)), "%s %s: %zu of %zu numbers widened",
                  small_name(products->type), products->name, i, n);
        free(weights);
        free(out);
    }
}

/* Rows of bfloat16 are rounded as they should be: one number times 1. */
static void rounded_numbers(const le_products *products)
{
    enum { RANDOM = 20000 };
    static const uint32_t special[] = {0,          0x80000000, 1,          0x00007fff, 0x00008000, 0x00008001,
                                       0x00018000, 0x007fffff, 0x00800000, 0x3f808000, 0x3f818000, 0x3f807fff,
                                       0x3f808001, 0x7f7f7fff, 0x7f7f8000, 0x7f7fffff, 0xff7fffff, 0x7f800000,
                                       0xff800000, 0x7f800001, 0x7fffffff, 0xffffffff, 0x7fc00000, 0xff800001};
    const size_t lanes = (size_t)products->lanes, specials = sizeof special / sizeof special[0];
    const size_t inputs = products->round ? products->round : products->group;
    uint16_t *packed = must_alloc(inputs * lanes * sizeof *packed);
    memset(packed, 0, inputs * lanes * sizeof *packed);
    for (size_t c = 0; c < lanes; c++)
        packed[c * products->group] = bfloat_of(1);
    float *out = must_alloc(lanes * sizeof *out);
    char *taken = must_alloc(products->row_bytes(1));
    rng random = {7};
    for (size_t i = 0; i < specials + RANDOM; i++) {
        const uint32_t bits =
            i < specials ? special[i] : (uint32_t)(rng_below(&random, 65536) << 16 | rng_below(&random, 65536));
        float x;
        memcpy(&x, &bits, sizeof x);
        products->prepare(&x, 1, taken);
        const void *row = taken;
        products->product(1, 1, &row, 1, packed, NULL, out);
        float expected = float_of_bfloat(bfloat_of(x));
        expected = products->group == 2 && fabsf(expected) < FLT_MIN ? 0 : expected; /* as these instructions do */
        /* A chain begins with 0: -0 is lost. */
        CHECK(same_number(out[0], expected + 0), "bfloat16 %s: %08x: %.9g, expected %.9g", products->name, (unsigned)bits,
              (double)out[0], (double)expected);
    }
    free(packed);
    free(out);
    free(taken);
    if (products->finish)
        products->finish();
}

void test_integers(void)
{
    static const size_t depths[] = {1, 2, 3, 4, 5, 15, 63, 64, 65, 129, 255, 300, 511, 999};
    const le_products *products;
    for (size_t number = 0; (products = supported_products(number)) != NULL; number++) {
        if (products->type == LE_WEIGHTS_INT8) {
            largest_sums(products);
            rounded_rows(products);
        } else if (products->widen) {
            pieces(products);
        }
        if (products->widen && products->element == 2)
            every_number(products);
        if (products->type == LE_WEIGHTS_BFLOAT16)
            rounded_numbers(products);
    }
    for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
        same_sums_everywhere(depths[d]);
}
