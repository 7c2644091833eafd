/* Every activation of every variant against the C library in double precision: a dense sample of the numbers there
 * are, denormals, both infinities and NaN; the same bits wherever in an array a number stands. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "net.h"

/* What an activation may be off by: in units in the last place of the exact result, or absolutely where it cancels
 * (in units of 2^-23 or 2^-52), or where x multiplies a denormal number (in smallest denormals, times |x|). */
typedef struct bound {
    const char *name;
    double alpha, beta;
    double ulps, absolute, denormals;
} bound;

static const bound bounds[] = {
    {"linear", 0, 0, 0, 0, 0},
    {"sigmoid", 0, 0, 3, 0, 0},
    {"tanh", 0, 0, 3, 0, 0},
    {"relu", 0, 0, 0, 0, 0},
    {"affine", 0.75, 0.5, 1, 1, 0}, /* cancels near its root */
    {"leaky_relu", 0.01, 0, 2, 0, 0},
    {"thresholded_relu", 1.5, 0, 0, 0, 0},
    {"scaled_tanh", 1.25, 0.5, 4, 0, 0},
    {"hard_sigmoid", 0.2, 0.5, 2, 1, 0},
    {"elu", 1.5, 0, 4, 0, 0},
    {"softsign", 0, 0, 2, 0, 0},
    {"softplus", 0, 0, 4, 0, 0},
    {"selu", 1.67326319217681884765625, 1.05070102214813232421875, 4, 0, 0},
    {"gelu", 0, 0, 4, 4, 0},      /* 1 + erf cancels for x below -1; the result is small there */
    {"gelu_tanh", 0, 0, 8, 8, 0}, /* so does 1 + tanh */
    {"silu", 0, 0, 4, 0, 1},
    {"exponential", 0, 0, 2, 0, 0},
    {"relu6", 0, 0, 0, 0, 0},
    {"mish", 0, 0, 6, 0, 2},
    {"hard_silu", 0, 0, 3, 2, 0},
    {"hard_tanh", 0, 0, 0, 0, 0},
    {"log_sigmoid", 0, 0, 4, 0, 0},
};

/* The distance of float neighbours at x: the smallest positive number where x is denormal or zero. */
static double ulp_of(le_dtype dtype, double x)
{
    const int digits = dtype == LE_FLOAT64 ? DBL_MANT_DIG : FLT_MANT_DIG;
    const int lowest = dtype == LE_FLOAT64 ? DBL_MIN_EXP : FLT_MIN_EXP;
    int exponent;
    frexp(x, &exponent);
    return ldexp(1, (exponent < lowest || x == 0 ? lowest : exponent) - digits);
}

static int acceptable(le_dtype dtype, const bound *b, double x, double got, double exact)
{
    if (isnan(exact))
        return isnan(got);
    const double top = dtype == LE_FLOAT64 ? DBL_MAX : (double)FLT_MAX;
    if (fabs(exact) > top || isinf(got)) /* beyond the range the nearest number is infinite, with half an ulp to spare */
        return fabs(exact) > top * (1 - 1e-6) && (got > 0) == (exact > 0) && fabs(got) >= top * (1 - 1e-6);
    const double unit = dtype == LE_FLOAT64 ? 0x1p-52 : 0x1p-23;
    const double denormal = dtype == LE_FLOAT64 ? 0x1p-1074 : 0x1p-149;
    return fabs(got - exact) <= (b->ulps + 0.5) * ulp_of(dtype, exact) + b->absolute * unit +
                                    (b->denormals > 0 ? b->denormals * (1 + fabs(x)) * denormal : 0);
}

/* A sample that has every exponent, both signs, values dense where activations bend, and the special ones. */
static size_t sample(le_dtype dtype, void *x, size_t capacity)
{
    static const double special[] = {0., -0., 1, -1, 3, -3, 6, -6, 0.5, -0.5, 1.5, INFINITY, -INFINITY, NAN};
    const double top = dtype == LE_FLOAT64 ? DBL_MAX : (double)FLT_MAX;
    const int low = dtype == LE_FLOAT64 ? -1074 : -149, high = dtype == LE_FLOAT64 ? 1024 : 128;
    rng random = {5};
    size_t n = 0;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        set_element(dtype, x, n++, special[i]);
    set_element(dtype, x, n++, top);
    set_element(dtype, x, n++, -top);
    for (int exponent = low; exponent < high; exponent++)
        for (int i = 0; i < 4; i++)
            set_element(dtype, x, n++, (i % 2 ? -1 : 1) * ldexp(1 + fabs(rng_next(&random)) * 0.99, exponent));
    for (; n < capacity; n++)
        set_element(dtype, x, n, rng_next(&random) * (n % 3 ? 9 : 120));
    return n;
}

static void one_activation(const le_kernels *kernels, const bound *b, const void *x, size_t n)
{
    const size_t es = dtype_size(kernels->dtype);
    le_activation f = {LE_ACT_LINEAR, b->alpha, b->beta};
    const int kind = le_activation_find(b->name);
    if (!CHECK(kind >= 0, "no activation is called %s", b->name))
        return;
    f.kind = (le_act_kind)kind;
    /* The kernel computes with the parameters rounded to its own dtype. */
    le_activation exact = f;
    if (kernels->dtype == LE_FLOAT32) {
        exact.alpha = (double)(float)f.alpha;
        exact.beta = (double)(float)f.beta;
    }
    char *y = must_alloc((n + 1) * es);
    memcpy(y, x, n * es);
    memset(y + n * es, 0x5a, es);
    kernels->activate(f, n, y);
    CHECK(y[n * es] == 0x5a, "%s: %s writes past its end", kernels->name, b->name);
    for (size_t i = 0; i < n; i++) {
        const double at = element_at(kernels->dtype, x, i), got = element_at(kernels->dtype, y, i);
        const double expected = oracle_activation(exact, at);
        CHECK(acceptable(kernels->dtype, b, at, got, expected), "%s: %s(%.17g) = %.17g, expected %.17g (%g ulp)",
              kernels->name, b->name, at, got, expected, fabs(got - expected) / ulp_of(kernels->dtype, expected));
    }
    for (size_t count = 1; count < 40; count++) { /* the last, partial vector of an array */
        char *few = must_alloc(count * es);
        memcpy(few, (const char *)x + count * es, count * es);
        kernels->activate(f, count, few);
        for (size_t i = 0; i < count; i++) {
            const double got = element_at(kernels->dtype, few, i);
            CHECK(memcmp(few + i * es, y + (count + i) * es, es) == 0 || isnan(got),
                  "%s: %s has other bits in an array of %zu", kernels->name, b->name, count);
        }
        free(few);
    }
    free(y);
}

void test_activations(void)
{
    enum { SAMPLE = 40000 };
    const char *isa;
    CHECK(sizeof bounds / sizeof bounds[0] == LE_ACT_SOFTMAX, "an activation has no bound here");
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (int dtype = 0; dtype < 2; dtype++) {
            const le_kernels *kernels;
            if (!CHECK(le_kernels_find(isa, dtype ? LE_FLOAT64 : LE_FLOAT32, &kernels, NULL) == LE_OK, "%s", isa))
                continue;
            void *x = must_alloc(SAMPLE * sizeof(double));
            const size_t n = sample(kernels->dtype, x, SAMPLE);
            for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
                one_activation(kernels, &bounds[i], x, n);
            free(x);
        }
}
