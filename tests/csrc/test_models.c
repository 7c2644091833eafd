/* Whole models against the oracle: every variant, both dtypes, every layer, sizes on and beside the vector widths. */
#include "net.h"

/* float32: a pre-activation sums at most 200 products of size below 1, each rounded to 6e-8, so its error is a few 1e-7;
 * thirty steps carry it on, damped by the gates. float64 is 2^29 finer. */
#define FLOAT_TOLERANCE 4e-6
#define DOUBLE_TOLERANCE 2e-14

#define LSTM(direction, hidden) {LE_LSTM, direction, hidden, 0, 0}

static const net_spec nets[] = {
    {.name = "lstm 1", .features = 1, .layers = {LSTM(LE_FORWARD, 1)}},
    {.name = "lstm 7", .features = 5, .layers = {LSTM(LE_FORWARD, 7)}},
    {.name = "lstm 16", .features = 16, .layers = {LSTM(LE_FORWARD, 16)}},
    {.name = "lstm 33", .features = 65, .layers = {LSTM(LE_FORWARD, 33)}},
    {.name = "lstm 64", .features = 64, .layers = {LSTM(LE_FORWARD, 64)}},
    {.name = "lstm 130", .features = 129, .layers = {LSTM(LE_FORWARD, 130)}},
    {.name = "lstm 193", .features = 3, .layers = {LSTM(LE_FORWARD, 193)}},
    {.name = "lstm without bias", .features = 9, .layers = {{LE_LSTM, LE_FORWARD, 18, 0, NO_BIAS}}},
    {.name = "lstm reverse", .features = 6, .layers = {LSTM(LE_REVERSE, 19)}},
    {.name = "lstm both ways", .features = 6, .layers = {LSTM(LE_BIDIRECTIONAL, 21)}},
    {.name = "three lstm", .features = 4, .layers = {LSTM(LE_FORWARD, 17), LSTM(LE_FORWARD, 31), LSTM(LE_FORWARD, 5)}},
    {.name = "mixed ways", .features = 4, .layers = {LSTM(LE_FORWARD, 12), LSTM(LE_BIDIRECTIONAL, 9), LSTM(LE_REVERSE, 20)}},
    {.name = "tokens, lstm, softmax",
     .vocabulary = 37,
     .features = 11,
     .layers = {LSTM(LE_FORWARD, 23)},
     .units = 41,
     .activation = {LE_ACT_SOFTMAX, 0, 0}},
    {.name = "tokens, two lstm, last, sigmoid",
     .vocabulary = 50,
     .features = 20,
     .layers = {LSTM(LE_FORWARD, 24), LSTM(LE_FORWARD, 24)},
     .top = TOP_LAST_STATE,
     .units = 1,
     .activation = {LE_ACT_SIGMOID, 0, 0}},
    {.name = "both ways, last state",
     .features = 3,
     .layers = {LSTM(LE_BIDIRECTIONAL, 10)},
     .top = TOP_LAST_STATE,
     .units = 4,
     .activation = {LE_ACT_LINEAR, 0, 0}},
    {.name = "pool last",
     .features = 3,
     .layers = {LSTM(LE_FORWARD, 14)},
     .top = TOP_POOL_LAST,
     .units = 66,
     .activation = {LE_ACT_TANH, 0, 0}},
    {.name = "pool mean", .features = 3, .layers = {LSTM(LE_BIDIRECTIONAL, 14)}, .top = TOP_POOL_MEAN},
    {.name = "pool max",
     .features = 3,
     .layers = {LSTM(LE_FORWARD, 70)},
     .top = TOP_POOL_MAX,
     .units = 3,
     .activation = {LE_ACT_LOG_SOFTMAX, 0, 0}},
    {.name = "dense alone", .features = 131, .units = 67, .activation = {LE_ACT_RELU, 0, 0}},
    {.name = "tokens, dense", .vocabulary = 9, .features = 70, .units = 130, .activation = {LE_ACT_TANH, 0, 0}},
    {.name = "pool alone", .features = 5, .top = TOP_POOL_MEAN},
};

static const struct {
    size_t batch, steps;
    int ragged;
} shapes[] = {{1, 1, 0}, {2, 5, 0}, {1, 30, 0}, {7, 3, 1}, {13, 9, 1}, {3, 0, 0}, {3, 4, 1}, {0, 4, 0}};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* One net and dtype on every instruction set, with both kinds of products, against the same answers of the oracle. */
static void compare(const net_spec *spec)
{
    const double tolerance = spec->dtype == LE_FLOAT64 ? DOUBLE_TOLERANCE : FLOAT_TOLERANCE;
    net n = net_new(spec);
    feed feeds[SHAPES][2];
    results expected[SHAPES][2];
    for (size_t i = 0; i < SHAPES; i++)
        for (int with_state = 0; with_state < 2; with_state++) {
            feeds[i][with_state] = feed_new(&n, shapes[i].batch, shapes[i].steps, shapes[i].ragged, with_state);
            expected[i][with_state] = oracle_run(&n, &feeds[i][with_state]);
        }
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (int gemm = 0; gemm < 2; gemm++) {
            net variant = n; /* of the same weights */
            variant.spec.isa = isa;
            variant.spec.gemm = gemm ? LE_GEMM_BLAS : LE_GEMM_PACKED;
            le_model *model = net_must_build(&variant);
            for (size_t i = 0; model != NULL && i < SHAPES; i++)
                for (int with_state = 0; with_state < 2; with_state++) {
                    const way how = {1 + (int)(i % 3), LE_SPLIT_AUTO, 0};
                    results got = net_must_run(&variant, model, &feeds[i][with_state], how);
                    check_close(&variant, &got, &expected[i][with_state], tolerance,
                                shapes[i].ragged ? "ragged" : "equal lengths");
                    results_free(&got);
                }
            le_model_free(model);
        }
    for (size_t i = 0; i < SHAPES; i++)
        for (int with_state = 0; with_state < 2; with_state++) {
            feed_free(&feeds[i][with_state]);
            results_free(&expected[i][with_state]);
        }
    net_free(&n);
}

void test_models(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int dtype = 0; dtype < 2; dtype++) {
            net_spec spec = nets[i];
            spec.dtype = dtype ? LE_FLOAT64 : LE_FLOAT32;
            spec.seed = i;
            compare(&spec);
        }
}
