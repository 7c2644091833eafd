/* Same sequence, same bits: whatever the batch, the row, the padding, the threads, their split and the time blocks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define LSTM(direction, hidden) {LE_LSTM, direction, hidden, 0, 0}

static const net_spec nets[] = {
    {.name = "lstm 45", .features = 70, .layers = {LSTM(LE_FORWARD, 45)}},
    {.name = "lstm 150", .features = 3, .layers = {LSTM(LE_FORWARD, 150)}},
    {.name = "stack", .features = 6, .layers = {LSTM(LE_FORWARD, 66), LSTM(LE_FORWARD, 35), LSTM(LE_FORWARD, 5)}},
    {.name = "mixed ways",
     .features = 6,
     .layers = {LSTM(LE_BIDIRECTIONAL, 40), LSTM(LE_REVERSE, 34), LSTM(LE_BIDIRECTIONAL, 8)}},
    {.name = "tokens, softmax",
     .vocabulary = 40,
     .features = 64,
     .layers = {LSTM(LE_FORWARD, 48)},
     .units = 200,
     .activation = {LE_ACT_SOFTMAX, 0, 0}},
    {.name = "last state, dense",
     .features = 12,
     .layers = {LSTM(LE_BIDIRECTIONAL, 36)},
     .top = TOP_LAST_STATE,
     .units = 70,
     .activation = {LE_ACT_SIGMOID, 0, 0}},
    {.name = "pool mean",
     .features = 12,
     .layers = {LSTM(LE_FORWARD, 36)},
     .top = TOP_POOL_MEAN,
     .units = 2,
     .activation = {LE_ACT_LINEAR, 0, 0}},
    {.name = "relu", .features = 12, .layers = {{LE_LSTM, LE_FORWARD, 50, 0, RELU}}},
    {.name = "projection", .features = 12, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 50, 21, 0}}},
    {.name = "gru",
     .features = 70,
     .layers = {{LE_GRU, LE_FORWARD, 150, 0, LINEAR_BEFORE_RESET}, {LE_GRU, LE_REVERSE, 37, 0, 0}}},
    {.name = "rnn", .features = 12, .layers = {{LE_RNN, LE_FORWARD, 130, 0, 0}, {LE_RNN, LE_FORWARD, 9, 0, 0}}},
};

enum { BATCH = 11, STEPS = 10 };

static const way plain = {1, LE_SPLIT_ROWS, 0};

/* The bytes of one row and step of the input. */
static size_t step_bytes(const net *n)
{
    return n->spec.vocabulary ? sizeof(int32_t) : n->spec.features * dtype_size(n->spec.dtype);
}

static size_t length_of(const feed *f, size_t row)
{
    return f->lengths ? (size_t)f->lengths[row] : f->steps;
}

/* Row `row` of `f` on its own, with `extra` steps of padding; `poison` fills the padding with NaN. */
static feed one_row(const net *n, const feed *f, size_t row, size_t extra, int32_t *length)
{
    const size_t bytes = step_bytes(n), steps = f->steps + extra, state = n->state_size * dtype_size(n->spec.dtype);
    feed one = {.batch = 1, .steps = steps};
    one.x = must_alloc(steps * bytes);
    memset(one.x, n->spec.vocabulary ? 0 : 0xff, steps * bytes);
    memcpy(one.x, (char *)f->x + row * f->steps * bytes, length_of(f, row) * bytes);
    *length = (int32_t)length_of(f, row);
    one.lengths = length;
    if (f->state) {
        one.state = must_alloc(state);
        memcpy(one.state, (char *)f->state + row * state, state);
    }
    return one;
}

static void rows_alone(const net *n, le_model *model, const feed *f, const results *whole)
{
    for (size_t row = 0; row < f->batch; row++)
        for (size_t extra = 0; extra < 9; extra += 8) {
            int32_t length;
            feed one = one_row(n, f, row, extra, &length);
            results got = net_must_run(n, model, &one, (way){1, LE_SPLIT_AUTO, 3});
            check_same_row(n, &got, 0, one.steps, whole, row, f->steps, f->steps, "a row alone, padded");
            results_free(&got);
            free(one.x);
            free(one.state);
        }
}

/* Every number of threads with every split. The time block goes round the list as `shift` does: over the nets, each of
 * the 140 combinations is tried twice or more, and over their types of weights again. */
static void all_ways(const net *n, le_model *model, const feed *f, const results *whole, size_t shift)
{
    static const int threads[] = {1, 2, 3, 5, 8};
    static const le_split splits[] = {LE_SPLIT_AUTO, LE_SPLIT_ROWS, LE_SPLIT_UNITS, LE_SPLIT_LAYERS};
    static const size_t blocks[] = {0, 1, 2, 3, 7, STEPS, 100};
    char what[64];
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++)
        for (size_t s = 0; s < 4; s++) {
            const size_t block = blocks[(4 * t + s + shift) % (sizeof blocks / sizeof blocks[0])];
            results got = net_must_run(n, model, f, (way){threads[t], splits[s], block});
            snprintf(what, sizeof what, "%d threads, split %d, blocks of %zu", threads[t], (int)splits[s], block);
            for (size_t row = 0; row < f->batch; row++)
                check_same_row(n, &got, row, f->steps, whole, row, f->steps, f->steps, what);
            results_free(&got);
        }
}

/* Rows in reverse order among rows of NaN: neither place nor neighbours may show. */
static void other_neighbours(const net *n, le_model *model, const feed *f, const results *whole)
{
    if (n->spec.vocabulary)
        return; /* ids have no NaN */
    const size_t bytes = step_bytes(n), state = n->state_size * dtype_size(n->spec.dtype);
    int32_t lengths[2 * BATCH];
    feed mixed = {.batch = 2 * f->batch, .steps = f->steps, .lengths = lengths};
    mixed.x = must_alloc(mixed.batch * f->steps * bytes);
    mixed.state = must_alloc(mixed.batch * state);
    for (size_t i = 0; i < mixed.batch; i++) {
        const size_t row = f->batch - 1 - i / 2;
        char *x = (char *)mixed.x + i * f->steps * bytes;
        lengths[i] = i % 2 ? (int32_t)f->steps : (int32_t)length_of(f, row);
        if (i % 2)
            memset(x, 0xff, f->steps * bytes);
        else
            memcpy(x, (char *)f->x + row * f->steps * bytes, f->steps * bytes);
        if (f->state && i % 2 == 0)
            memcpy((char *)mixed.state + i * state, (char *)f->state + row * state, state);
    }
    for (int threads = 1; threads < 4; threads++) {
        results got = net_must_run(n, model, &mixed, (way){threads, LE_SPLIT_AUTO, 4});
        for (size_t i = 0; i < mixed.batch; i += 2)
            check_same_row(n, &got, i, f->steps, whole, f->batch - 1 - i / 2, f->steps, f->steps, "among rows of NaN");
        results_free(&got);
    }
    free(mixed.x);
    free(mixed.state);
}

static void in_every_way(const net_spec *spec, int ragged, size_t shift)
{
    net n = net_new(spec);
    le_model *model = net_must_build(&n);
    feed f = feed_new(&n, BATCH, STEPS, ragged, ragged);
    results whole = net_must_run(&n, model, &f, plain);
    all_ways(&n, model, &f, &whole, shift);
    rows_alone(&n, model, &f, &whole);
    other_neighbours(&n, model, &f, &whole);
    results_free(&whole);
    feed_free(&f);
    le_model_free(model);
    net_free(&n);
}

void test_bits(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        const char *isa;
        for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
            for (int ragged = 0; ragged < 2; ragged++)
                for (int type = LE_WEIGHTS_FULL; type < WEIGHT_TYPES; type++) {
                    if ((type != LE_WEIGHTS_FULL && ((int)i + type) % 2 != ragged) || !combination_tried())
                        continue; /* of weights of fewer bits, half of the nets are ragged */
                    net_spec spec = nets[i];
                    spec.isa = isa;
                    spec.weights = (le_weight_type)type;
                    spec.mixed = type != LE_WEIGHTS_FULL && i % 3 == 2;
                    spec.seed = 100 + i;
                    in_every_way(&spec, ragged, 2 * i + (size_t)(ragged + type));
                }
    }
}
