/* The kernel tables themselves: products and dense panels of every variant against double precision, with the same
 * bits for a row in every tile shape, and no write beyond what was asked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "net.h"

enum { MAX_ROWS = 14 };

static const size_t depths[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193, 300};

typedef struct product_case {
    const le_kernels *kernels;
    size_t width, k;      /* nv * lanes */
    char *rows[MAX_ROWS]; /* [k] */
    void *panel;          /* [k][width] */
} product_case;

static product_case case_new(const le_kernels *kernels, int nv, size_t k, rng *random)
{
    product_case one = {.kernels = kernels, .width = (size_t)nv * (size_t)kernels->lanes, .k = k};
    for (int r = 0; r < MAX_ROWS; r++)
        one.rows[r] = random_array(random, kernels->dtype, k, 1);
    one.panel = random_array(random, kernels->dtype, k * one.width, 1);
    return one;
}

static void case_free(product_case *one)
{
    for (int r = 0; r < MAX_ROWS; r++)
        free(one->rows[r]);
    free(one->panel);
}

static double exact(const product_case *one, size_t row, size_t column)
{
    double sum = 0;
    for (size_t k = 0; k < one->k; k++)
        sum += element_at(one->kernels->dtype, one->rows[row], k) *
               element_at(one->kernels->dtype, one->panel, k * one->width + column);
    return sum;
}

/* Rounding of a sum of k products of size at most 1 in blocks of 64: under k units of the last place of 1, very safely. */
static double allowed(const product_case *one)
{
    return ((double)one->k + 1) * (one->kernels->dtype == LE_FLOAT64 ? 0x1p-52 : 0x1p-23);
}

static void products(const le_kernels *kernels, int nv, size_t depth, rng *random)
{
    product_case one = case_new(kernels, nv, depth, random);
    const size_t es = dtype_size(kernels->dtype), row_bytes = one.width * es;
    char *alone = must_alloc(MAX_ROWS * row_bytes), *together = must_alloc((MAX_ROWS + 1) * row_bytes);
    for (size_t r = 0; r < MAX_ROWS; r++) {
        const void *row = one.rows[r];
        kernels->products.product(nv, 1, &row, depth, one.panel, NULL, alone + r * row_bytes);
        for (size_t j = 0; j < one.width; j++) {
            const double got = element_at(kernels->dtype, alone, r * one.width + j), expected = exact(&one, r, j);
            CHECK(fabs(got - expected) <= allowed(&one), "%s: product nv %d, k %zu: %g, expected %g", kernels->name, nv,
                  depth, got, expected);
        }
    }
    for (size_t count = 2; count <= MAX_ROWS; count++) {
        memset(together, 0x5a, (MAX_ROWS + 1) * row_bytes);
        /* Fetching what comes next changes nothing. */
        const void *next = count % 2 ? NULL : one.panel;
        kernels->products.product(nv, count, (const void *const *)one.rows, depth, one.panel, next, together);
        CHECK(memcmp(alone, together, count * row_bytes) == 0,
              "%s: product of %zu rows, nv %d, k %zu: other bits than alone", kernels->name, count, nv, depth);
        CHECK(together[count * row_bytes] == 0x5a, "%s: product of %zu rows writes past its end", kernels->name, count);
    }
    free(alone);
    free(together);
    case_free(&one);
}

/* One row by several panels, in either order of reading, gives the bits of one panel at a time. */
static void row_products(const le_kernels *kernels, int nv, size_t depth, rng *random)
{
    enum { PANELS = 5 };
    product_case one = case_new(kernels, nv, depth, random);
    const size_t es = dtype_size(kernels->dtype), width_bytes = one.width * es, panel_bytes = depth * width_bytes;
    char *panels = must_alloc(PANELS * panel_bytes + 1), *alone = must_alloc(PANELS * width_bytes);
    char *together = must_alloc((PANELS + 1) * width_bytes);
    const void *row = one.rows[0];
    for (size_t p = 0; p < PANELS; p++) {
        void *values = random_array(random, kernels->dtype, depth * one.width + 1, 1);
        memcpy(panels + p * panel_bytes, values, panel_bytes);
        free(values);
        kernels->products.product(nv, 1, &row, depth, panels + p * panel_bytes, NULL, alone + p * width_bytes);
    }
    for (size_t count = 1; count <= PANELS; count++)
        for (int way = 0; way < 2 * (nv == LE_MAX_NV ? LE_MAX_NV : 1); way++) {
            /* Gates side by side leave the last panel with fewer vectors. */
            const int backwards = way % 2, last_nv = nv == LE_MAX_NV ? way / 2 + 1 : nv;
            const size_t whole = count - (last_nv < nv), last_bytes = (size_t)last_nv * (size_t)kernels->lanes * es;
            const le_panels some = {
                .count = count, .first = panels, .bytes = panel_bytes, .backwards = backwards, .last_nv = last_nv};
            char *const end = together + (count - 1) * width_bytes + last_bytes;
            memset(together, 0x5a, (PANELS + 1) * width_bytes);
            kernels->products.row_product(nv, &some, row, depth, together);
            CHECK(memcmp(alone, together, whole * width_bytes) == 0,
                  "%s: a row by %zu panels, nv %d, last %d, k %zu: other bits than one by one", kernels->name, count, nv,
                  last_nv, depth);
            if (last_nv < nv) {
                void *last = must_alloc(last_bytes);
                kernels->products.product(last_nv, 1, &row, depth, panels + whole * panel_bytes, NULL, last);
                CHECK(memcmp(last, end - last_bytes, last_bytes) == 0,
                      "%s: the last of %zu panels, of %d vectors, k %zu: other bits than alone", kernels->name, count,
                      last_nv, depth);
                free(last);
            }
            CHECK(*end == 0x5a, "%s: a row by %zu panels writes past its end", kernels->name, count);
        }
    free(panels);
    free(alone);
    free(together);
    case_free(&one);
}

static void dense_panels(const le_kernels *kernels, size_t depth, size_t units, rng *random)
{
    product_case one = case_new(kernels, LE_MAX_NV, depth, random);
    const le_activation sigmoid = {LE_ACT_SIGMOID, 0, 0};
    const size_t es = dtype_size(kernels->dtype), first = 3;
    void *bias = random_array(random, kernels->dtype, one.width, 1), *out[MAX_ROWS];
    void *scratch = must_alloc(MAX_ROWS * one.width * es);
    for (size_t rows = 1; rows <= MAX_ROWS; rows += 4) {
        for (size_t r = 0; r < rows; r++)
            out[r] = random_array(random, kernels->dtype, first + units + 1, 1);
        double before = element_at(kernels->dtype, out[0], first - 1),
               after = element_at(kernels->dtype, out[0], first + units);
        const le_dense_panel panel = {.rows = rows,
                                      .units = units,
                                      .k = depth,
                                      .first = first,
                                      .panel = one.panel,
                                      .a = (const void *const *)one.rows,
                                      .bias = bias,
                                      .out = out,
                                      .activation = sigmoid,
                                      .scratch = scratch};
        kernels->dense(&panel);
        for (size_t r = 0; r < rows; r++)
            for (size_t u = 0; u < units; u++) {
                const double expected = oracle_activation(sigmoid, exact(&one, r, u) + element_at(kernels->dtype, bias, u));
                const double got = element_at(kernels->dtype, out[r], first + u);
                /* The slope of sigmoid is at most 1/4; 4 units of the last place of 1 are its own. */
                CHECK(fabs(got - expected) <= allowed(&one) + (kernels->dtype == LE_FLOAT64 ? 0x1p-51 : 0x1p-22),
                      "%s: dense, k %zu, %zu units: %g, expected %g", kernels->name, depth, units, got, expected);
            }
        CHECK(element_at(kernels->dtype, out[0], first - 1) == before &&
                  element_at(kernels->dtype, out[0], first + units) == after,
              "%s: dense with %zu units writes beside them", kernels->name, units);
        for (size_t r = 0; r < rows; r++)
            free(out[r]);
    }
    free(bias);
    free(scratch);
    case_free(&one);
}

static void softmax_rows(const le_kernels *kernels, size_t n, rng *random)
{
    const size_t es = dtype_size(kernels->dtype);
    for (int log_form = 0; log_form < 2; log_form++) {
        void *x = random_array(random, kernels->dtype, n + 1, 20);
        double *expected = must_alloc(n * sizeof *expected);
        for (size_t i = 0; i < n; i++)
            expected[i] = element_at(kernels->dtype, x, i);
        const double beside = element_at(kernels->dtype, x, n);
        oracle_softmax(log_form, n, expected);
        /* Out of place, around the cache or not, from any address: the same bits as in place. */
        enum { AWAY = 17 };
        void *in = must_alloc((n + 1) * es), *out = must_alloc((n + AWAY + 1) * es),
             *before = must_alloc((n + AWAY + 1) * es);
        for (int way = 0; way < 2 * AWAY; way++) {
            const size_t at = (size_t)(way / 2) * es;
            memcpy(in, x, (n + 1) * es);
            memset(out, 7, (n + AWAY + 1) * es);
            memset(before, 7, (n + AWAY + 1) * es);
            kernels->softmax(log_form, n, in, (char *)out + at, way % 2);
            memcpy(in, x, (n + 1) * es);
            kernels->softmax(log_form, n, in, in, 0);
            memcpy((char *)before + at, in, n * es);
            CHECK(memcmp(before, out, (n + AWAY + 1) * es) == 0, "%s: softmax of %zu to element %d%s", kernels->name, n,
                  way / 2, way % 2 ? ", around the cache" : "");
        }
        free(in);
        free(out);
        free(before);
        kernels->softmax(log_form, n, x, x, 0);
        /* Log-softmax here reaches -40 (so 64 ulp of 1); softmax is at most 1, its sum of n terms the main error. */
        const double ulp = kernels->dtype == LE_FLOAT64 ? 0x1p-52 : 0x1p-23,
                     difference = largest_difference(kernels->dtype, x, expected, n);
        CHECK(difference <= (log_form ? 64 : 8) * ulp, "%s: softmax of %zu differs by %g", kernels->name, n, difference);
        CHECK(element_at(kernels->dtype, x, n) == beside, "%s: softmax of %zu writes past its end", kernels->name, n);
        free(x);
        free(expected);
    }
}

void test_kernels(void)
{
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (int dtype = 0; dtype < 2; dtype++) {
            const le_kernels *kernels;
            le_error error = {LE_OK, -1, ""};
            rng random = {number * 2 + (size_t)dtype};
            if (!CHECK(le_kernels_find(isa, dtype ? LE_FLOAT64 : LE_FLOAT32, &kernels, &error) == LE_OK, "%s",
                       error.message))
                continue;
            CHECK(strcmp(kernels->name, isa) == 0, "asked for %s, got %s", isa, kernels->name);
            CHECK(kernels->dtype == (dtype ? LE_FLOAT64 : LE_FLOAT32), "%s: a table of the other dtype", isa);
            for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++) {
                for (int nv = 1; nv <= LE_MAX_NV; nv++) {
                    products(kernels, nv, depths[d], &random);
                    row_products(kernels, nv, depths[d], &random);
                }
                const size_t width = LE_MAX_NV * (size_t)kernels->lanes;
                for (size_t units = 1; units <= width; units = units < 5 || units + 3 > width ? units + 1 : units + 3)
                    dense_panels(kernels, depths[d], units, &random);
            }
            for (size_t n = 1; n < 70; n++)
                softmax_rows(kernels, n, &random);
        }
}
