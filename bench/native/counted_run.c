/* One run of one layer through the public C API, for bench/callgrind.py to count the instructions of
 * `counted_run`.
 *
 *     counted_run ISA DTYPE KIND ACTIVATION INPUTS HIDDEN BATCH STEPS
 *
 * KIND: lstm, gru, rnn or dense; ACTIVATION: of the candidate and the output (dense: of the layer). The sum
 * of the outputs goes to stdout, so that a run that computes nothing does not pass for a fast one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

/* Fixed here, because the cost model would ask the machine for its caches. */
enum { BLOCK_STEPS = 16 };

static void must(le_status status, const le_error *error)
{
    if (status == LE_OK)
        return;
    fprintf(stderr, "%s: %s\n", le_status_text(status), error->message);
    exit(status == LE_ERROR_UNSUPPORTED || status == LE_ERROR_ISA ? 3 : 1);
}

/* `count` numbers in [-0.25, 0.25), always the same. */
static void *numbers(le_dtype dtype, size_t count, unsigned seed)
{
    void *data = malloc(count * (dtype == LE_FLOAT64 ? sizeof(double) : sizeof(float)) + 64);
    if (!data)
        exit(2);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        const double value = (double)(seed >> 8) / (1u << 25) - 0.25;
        if (dtype == LE_FLOAT64)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
    return data;
}

__attribute__((noinline)) le_status counted_run(le_model *model, const le_run *run, le_error *error)
{
    return le_model_run(model, run, error);
}

int main(int argc, char **argv)
{
    if (argc != 9)
        return 2;
    const le_dtype dtype = strcmp(argv[2], "float64") ? LE_FLOAT32 : LE_FLOAT64;
    const char *kind = argv[3];
    const size_t inputs = strtoul(argv[5], NULL, 10), hidden = strtoul(argv[6], NULL, 10);
    const size_t batch = strtoul(argv[7], NULL, 10), steps = strtoul(argv[8], NULL, 10);
    const int function = le_activation_find(argv[4]), dense = !strcmp(kind, "dense");
    const size_t gates = !strcmp(kind, "lstm") ? 4 : !strcmp(kind, "gru") ? 3 : 1;
    if (function < 0)
        return 2;

    le_error error;
    le_model *model;
    le_value x, y;
    const le_model_options options = {.isa = argv[1], .dtype = dtype, .gemm = LE_GEMM_PACKED};
    must(le_model_new(&options, &model, &error), &error);
    must(le_model_input(model, LE_SEQUENCE, 0, inputs, &x, &error), &error);
    const le_activation chosen = {.kind = (le_act_kind)function}, gate = {.kind = LE_ACT_SIGMOID};
    if (dense) {
        void *kernel = numbers(dtype, inputs * hidden, 1), *bias = numbers(dtype, hidden, 2);
        must(le_model_dense(model, x, kernel, bias, hidden, chosen, &y, &error), &error);
    } else {
        const le_recurrent layer = {
            .cell = gates == 4   ? LE_LSTM
                    : gates == 3 ? LE_GRU
                                 : LE_RNN,
            .hidden = hidden,
            .x = x,
            .initial_h = LE_NONE,
            .initial_c = LE_NONE,
            .w = numbers(dtype, gates * hidden * inputs, 1),
            .r = numbers(dtype, gates * hidden * hidden, 2),
            .b = numbers(dtype, 2 * gates * hidden, 3),
            .activations = {{gates == 1 ? chosen : gate, chosen, chosen}},
            .linear_before_reset = 1,
        };
        must(le_model_recurrent(model, &layer, &y, NULL, NULL, &error), &error);
    }
    must(le_model_output(model, y, &error), &error);
    must(le_model_finish(model, &error), &error);

    const le_axis axis = {.steps = steps};
    const void *in[] = {numbers(dtype, batch * steps * inputs, 4)};
    void *out[] = {numbers(dtype, batch * steps * hidden, 5)};
    const le_run run = {
        .batch = batch, .axes = &axis, .inputs = in, .outputs = out, .threads = 1, .block_steps = BLOCK_STEPS};
    must(le_model_run(model, &run, &error), &error); /* makes the workspace */
    must(counted_run(model, &run, &error), &error);
    double sum = 0;
    for (size_t i = 0; i < batch * steps * hidden; i++)
        sum += dtype == LE_FLOAT64 ? ((double *)out[0])[i] : (double)((float *)out[0])[i];
    printf("%.6e\n", sum);
    le_model_free(model);
    return 0;
}
