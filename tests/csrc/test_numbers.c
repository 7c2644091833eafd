/* The caller's floating-point mode must not show, and IEEE's special numbers go through as they should. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "net.h"

#if defined(__x86_64__)
#include <immintrin.h>
static void flush_to_zero(void)
{
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush-to-zero and denormals-are-zero */
}
static unsigned mode(void)
{
    return _mm_getcsr() & ~0x3fu; /* without the sticky flags */
}
#elif defined(__aarch64__)
static void flush_to_zero(void)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
}
static unsigned mode(void)
{
    uint64_t bits;
    __asm__ volatile("mrs %0, fpcr" : "=r"(bits));
    return (unsigned)bits;
}
#else
static void flush_to_zero(void)
{
}
static unsigned mode(void)
{
    return 0;
}
#endif

static void round_upward(void)
{
    fesetround(FE_UPWARD);
}

static void *scaled(void *array, size_t count, float scale)
{
    for (size_t i = 0; i < count; i++)
        ((float *)array)[i] *= scale;
    return array;
}

/* Build and run in the caller's mode; weights, biases and inputs are denormal, so that flushing would show. */
static void in_mode(const char *isa, void (*set_mode)(void), const char *what)
{
    const net_spec spec = {.name = what,
                           .isa = isa,
                           .features = 20,
                           .layers = {{LE_LSTM, LE_FORWARD, 23, 0, 0}},
                           .units = 7,
                           .activation = {LE_ACT_LINEAR, 0, 0}};
    net n = net_new(&spec);
    scaled(n.weights[0].b, 8 * 23, 1e-38f);
    scaled(n.bias, 7, 1e-39f);
    scaled(n.kernel, 23 * 7, 1e-38f);
    feed f = feed_new(&n, 5, 9, 1, 1);
    scaled(f.x, 5 * 9 * 20, 1e-39f);
    scaled(f.state, 5 * n.state_size, 1e-39f);
    le_model *model = net_must_build(&n);
    results expected = net_must_run(&n, model, &f, (way){1, LE_SPLIT_AUTO, 0});
    le_model_free(model);

    fenv_t saved;
    fegetenv(&saved);
    set_mode();
    const unsigned before = mode();
    model = net_must_build(&n);
    results alone = net_must_run(&n, model, &f, (way){1, LE_SPLIT_AUTO, 0});
    results shared = net_must_run(&n, model, &f, (way){3, LE_SPLIT_UNITS, 2});
    const unsigned after = mode();
    fesetenv(&saved);
    CHECK(before == after, "%s, %s: the caller's mode was %x and is %x", isa, what, before, after);
    for (size_t row = 0; row < f.batch; row++) {
        check_same_row(&n, &alone, row, f.steps, &expected, row, f.steps, f.steps, what);
        check_same_row(&n, &shared, row, f.steps, &expected, row, f.steps, f.steps, what);
    }
    results_free(&alone);
    results_free(&shared);
    results_free(&expected);
    le_model_free(model);
    feed_free(&f);
    net_free(&n);
}

/* Inputs of every kind through an LSTM: NaN stays NaN, infinities saturate, and nothing else turns into either. */
static void special(const char *isa, double value)
{
    const net_spec spec = {.name = "special numbers",
                           .isa = isa,
                           .features = 3,
                           .layers = {{LE_LSTM, LE_FORWARD, 9, 0, 0}},
                           .units = 5,
                           .activation = {LE_ACT_SIGMOID, 0, 0}};
    net n = net_new(&spec);
    le_model *model = net_must_build(&n);
    feed f = feed_new(&n, 3, 4, 0, 0);
    for (size_t t = 0; t < 4; t++) /* one feature of row 1 alone, so that products of infinity and 0 do not arise */
        set_element(LE_FLOAT32, f.x, (1 * 4 + t) * 3 + 1, value);
    results expected = oracle_run(&n, &f), got = net_must_run(&n, model, &f, (way){1, LE_SPLIT_AUTO, 0});
    check_close(&n, &got, &expected, 4e-6, "special numbers"); /* as in test_models.c */
    results_free(&got);
    results_free(&expected);
    feed_free(&f);
    le_model_free(model);
    net_free(&n);
}

void test_numbers(void)
{
    static const double values[] = {INFINITY, -INFINITY, NAN, 3e38, -3e38, 1e-42, -0.};
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++) {
        in_mode(isa, flush_to_zero, "flush to zero");
        in_mode(isa, round_upward, "rounding upward");
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            special(isa, values[i]);
    }
}
