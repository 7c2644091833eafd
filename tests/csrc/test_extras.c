/* Cells beyond the common LSTM against the oracle: GRU and simple RNN, peepholes, projection, clipping, coupled gates. */
#include <stdio.h>

#include "net.h"

static const net_spec nets[] = {
    {.name = "relu", .features = 5, .layers = {{LE_LSTM, LE_FORWARD, 13, 0, RELU}}},
    {.name = "peepholes", .features = 5, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 13, 0, PEEPHOLES}}},
    {.name = "peepholes to the past",
     .features = 5,
     .layers = {{LE_LSTM, LE_FORWARD, 21, 0, PEEPHOLES | PEEPHOLE_PREVIOUS}}},
    {.name = "clip", .features = 5, .layers = {{LE_LSTM, LE_FORWARD, 13, 0, CLIP}}},
    {.name = "cell clip", .features = 5, .layers = {{LE_LSTM, LE_FORWARD, 13, 0, CELL_CLIP | PEEPHOLES}}},
    {.name = "coupled gates", .features = 5, .layers = {{LE_LSTM, LE_REVERSE, 13, 0, INPUT_FORGET | PEEPHOLES | CLIP}}},
    {.name = "projection", .features = 5, .layers = {{LE_LSTM, LE_FORWARD, 21, 9, 0}}},
    {.name = "projection both ways",
     .features = 5,
     .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 70, 33, NO_BIAS}, {LE_LSTM, LE_FORWARD, 18, 17, PEEPHOLES}}},
    {.name = "gru", .features = 5, .layers = {{LE_GRU, LE_FORWARD, 13, 0, 0}}},
    {.name = "gru 130", .features = 70, .layers = {{LE_GRU, LE_FORWARD, 130, 0, 0}}},
    {.name = "gru, reset after", .features = 5, .layers = {{LE_GRU, LE_BIDIRECTIONAL, 33, 0, LINEAR_BEFORE_RESET}}},
    {.name = "gru 150, reset after", .features = 5, .layers = {{LE_GRU, LE_FORWARD, 150, 0, LINEAR_BEFORE_RESET}}},
    {.name = "gru, clip", .features = 5, .layers = {{LE_GRU, LE_REVERSE, 20, 0, CLIP | NO_BIAS}}},
    {.name = "gru, relu", .features = 5, .layers = {{LE_GRU, LE_FORWARD, 20, 0, RELU | LINEAR_BEFORE_RESET}}},
    {.name = "rnn", .features = 5, .layers = {{LE_RNN, LE_FORWARD, 13, 0, 0}}},
    {.name = "rnn 150, relu", .features = 3, .layers = {{LE_RNN, LE_BIDIRECTIONAL, 150, 0, RELU | CLIP}}},
    {.name = "rnn 67", .features = 68, .layers = {{LE_RNN, LE_REVERSE, 67, 0, NO_BIAS}}, .top = TOP_LAST_STATE, .units = 3},
    {.name = "one of each",
     .vocabulary = 12,
     .features = 6,
     .layers = {{LE_GRU, LE_FORWARD, 37, 0, 0}, {LE_RNN, LE_FORWARD, 30, 0, 0}, {LE_LSTM, LE_FORWARD, 19, 0, 0}}},
};

static const struct {
    size_t batch, steps;
    int ragged;
} shapes[] = {{1, 1, 0}, {2, 17, 0}, {9, 5, 1}, {2, 0, 0}};

enum { BITS_BATCH = 9, BITS_STEPS = 8 };

/* The promise of test_bits.c in short: threads, splits, blocks and rows alone. */
static void same_bits(const net *n, le_model *model)
{
    feed f = feed_new(n, BITS_BATCH, BITS_STEPS, 1, 1);
    results whole = net_must_run(n, model, &f, (way){1, LE_SPLIT_ROWS, 0});
    for (int threads = 1; threads < 6; threads++)
        for (int split = 0; split < 4; split++) {
            results got = net_must_run(n, model, &f, (way){threads, (le_split)split, (size_t)(threads + split) % 4});
            for (size_t row = 0; row < f.batch; row++)
                check_same_row(n, &got, row, f.steps, &whole, row, f.steps, f.steps, "another way to run");
            results_free(&got);
        }
    const size_t es = dtype_size(n->spec.dtype), x_row = f.steps * (n->spec.vocabulary ? 4 : n->spec.features * es);
    for (size_t row = 0; row < f.batch; row++) {
        const feed one = {1, f.steps, f.lengths + row, (char *)f.x + row * x_row,
                          (char *)f.state + row * n->state_size * es};
        results got = net_must_run(n, model, &one, (way){1, LE_SPLIT_AUTO, 0});
        check_same_row(n, &got, 0, f.steps, &whole, row, f.steps, f.steps, "a row alone");
        results_free(&got);
    }
    results_free(&whole);
    feed_free(&f);
}

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* One net on every instruction set against the same answers of the oracle: packed, and in float32 with BLAS too. */
static void compare(const net_spec *spec)
{
    /* As in test_models.c; relu cells grow, so their errors do. */
    const double tolerance = spec->dtype == LE_FLOAT64 ? 1e-13 : 2e-5;
    net n = net_new(spec);
    feed feeds[SHAPES];
    results expected[SHAPES];
    for (size_t i = 0; i < SHAPES; i++) {
        feeds[i] = feed_new(&n, shapes[i].batch, shapes[i].steps, shapes[i].ragged, i != 1);
        expected[i] = oracle_run(&n, &feeds[i]);
    }
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (int gemm = 0; gemm < (spec->dtype == LE_FLOAT32 ? 2 : 1); gemm++) {
            net variant = n; /* of the same weights */
            variant.spec.isa = isa;
            variant.spec.gemm = gemm ? LE_GEMM_BLAS : LE_GEMM_PACKED;
            le_model *model = net_must_build(&variant);
            if (model == NULL)
                continue;
            for (size_t i = 0; i < SHAPES; i++) {
                results got = net_must_run(&variant, model, &feeds[i], (way){1, LE_SPLIT_AUTO, 0});
                check_close(&variant, &got, &expected[i], tolerance, shapes[i].ragged ? "ragged" : "equal lengths");
                results_free(&got);
            }
            if (spec->dtype == LE_FLOAT32 && !gemm)
                same_bits(&variant, model);
            le_model_free(model);
        }
    for (size_t i = 0; i < SHAPES; i++) {
        feed_free(&feeds[i]);
        results_free(&expected[i]);
    }
    net_free(&n);
}

void test_extras(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int dtype = 0; dtype < 2; dtype++) {
            net_spec spec = nets[i];
            spec.dtype = dtype ? LE_FLOAT64 : LE_FLOAT32;
            spec.seed = 200 + i;
            compare(&spec);
        }
}
