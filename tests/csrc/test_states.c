/* Carried states: chunks give the bits of the whole, initial states may be inputs or another layer's final ones, a
 * cancelled run leaves them alone. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define LSTM(direction, hidden) {LE_LSTM, direction, hidden, 0, 0}

static const net_spec nets[] = {
    {.name = "lstm 45", .features = 7, .layers = {LSTM(LE_FORWARD, 45)}},
    {.name = "stack",
     .vocabulary = 20,
     .features = 6,
     .layers = {LSTM(LE_FORWARD, 66), LSTM(LE_FORWARD, 35)},
     .units = 11,
     .activation = {LE_ACT_SOFTMAX, 0, 0}},
};

/* What has no c, or another size of h than of c. */
static const net_spec other_cells[] = {
    {.name = "projection", .features = 7, .layers = {{LE_LSTM, LE_FORWARD, 45, 17, 0}}},
    {.name = "gru",
     .features = 7,
     .layers = {{LE_GRU, LE_FORWARD, 45, 0, LINEAR_BEFORE_RESET}, {LE_GRU, LE_FORWARD, 18, 0, 0}}},
    {.name = "rnn", .features = 7, .layers = {{LE_RNN, LE_FORWARD, 70, 0, 0}}},
};

enum { BATCH = 6, STEPS = 11 };

/* The whole sequence in chunks of `chunk` steps, the state going in and out of the same rows. */
static void in_chunks(const net *n, le_model *model, const feed *f, const results *whole, size_t chunk, int threads)
{
    const size_t es = dtype_size(n->spec.dtype), x_step = n->spec.vocabulary ? sizeof(int32_t) : n->spec.features * es;
    feed part = {
        .batch = f->batch, .x = must_alloc(f->batch * chunk * x_step), .state = must_alloc(whole->state_count * es)};
    memcpy(part.state, f->state, whole->state_count * es);
    for (size_t begin = 0; begin < f->steps; begin += chunk) {
        part.steps = f->steps - begin < chunk ? f->steps - begin : chunk;
        for (size_t row = 0; row < f->batch; row++)
            memcpy((char *)part.x + row * part.steps * x_step, (char *)f->x + (row * f->steps + begin) * x_step,
                   part.steps * x_step);
        results got = results_new(n, f->batch, part.steps);
        void *const own = got.state;
        got.state = part.state; /* in place: state_out may equal state_in */
        CHECK(net_run(n, model, &part, (way){threads, LE_SPLIT_AUTO, 0}, &got, NULL) == LE_OK, "a chunk fails");
        for (size_t row = 0; row < f->batch; row++)
            CHECK(memcmp((char *)got.y + row * part.steps * n->width * es,
                         (char *)whole->y + (row * f->steps + begin) * n->width * es, part.steps * n->width * es) == 0,
                  "%s, %s: other bits in chunks of %zu", n->spec.name, n->spec.isa, chunk);
        got.state = own;
        results_free(&got);
    }
    CHECK(memcmp(part.state, whole->state, whole->state_count * es) == 0, "%s: another state after chunks of %zu",
          n->spec.name, chunk);
    free(part.x);
    free(part.state);
}

static void slots(const net *n, const le_model *model)
{
    size_t at = 0, h, h_size, c, c_size;
    CHECK(le_model_state_size(model) == n->state_size, "%zu elements of state", le_model_state_size(model));
    CHECK(le_model_layer_count(model) == (size_t)n->layers, "%zu layers", le_model_layer_count(model));
    for (int i = 0; i < n->layers; i++) {
        CHECK(le_model_state_slot(model, (size_t)i, &h, &h_size, &c, &c_size) == LE_OK, "no slot %d", i);
        CHECK(h == at && h_size == n->spec.layers[i].hidden && c == at + h_size && c_size == h_size, "slot %d is elsewhere",
              i);
        at += h_size + c_size;
    }
    CHECK(le_model_causal(model), "%s can be run step by step", n->spec.name);
}

/* What a run of this shape is said to take before it is made. */
static size_t measured(le_model *model, const feed *f, way how)
{
    const le_axis axis = {f->steps, f->lengths};
    const void *const inputs[] = {f};
    void *const outputs[] = {model, model, model}; /* not looked at */
    size_t bytes = 0;
    const le_run run = {.batch = f->batch,
                        .axes = &axis,
                        .inputs = inputs,
                        .outputs = outputs,
                        .threads = how.threads,
                        .state_in = f->state ? inputs : NULL,
                        .split = how.split,
                        .block_steps = how.block_steps};
    CHECK(le_model_run_bytes(model, &run, &bytes, NULL) == LE_OK, "not measured");
    return bytes;
}

/* The first run of a model takes as much as was said. One thread: a run that is granted fewer than it asked for lays
 * its memory anew. */
static void memory_is_foreseen(const net *n, const feed *f)
{
    const way ways[] = {{1, LE_SPLIT_AUTO, 0}, {1, LE_SPLIT_ROWS, 2}, {1, LE_SPLIT_UNITS, 3}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        le_model *model = net_must_build(n);
        const size_t bytes = measured(model, f, ways[i]);
        results r = net_must_run(n, model, f, ways[i]);
        results_free(&r);
        const size_t taken = le_model_workspace_bytes(model);
        CHECK(taken > 0 && taken == bytes, "%zu bytes foreseen, %zu taken", bytes, taken);
        le_model_free(model);
    }
}

/* Runs of one shape keep at most one workspace for each number of threads that they may be granted, however often they
 * run: one thread or two, as the machine is busy.
 */
static void memory_is_kept(const net *n, le_model *model, const feed *f)
{
    const size_t before = le_model_workspace_bytes(model), one = measured(model, f, (way){1, LE_SPLIT_ROWS, 0}),
                 two = measured(model, f, (way){2, LE_SPLIT_ROWS, 0});
    for (int i = 0; i < 8; i++) {
        results r = net_must_run(n, model, f, (way){2, LE_SPLIT_ROWS, 0});
        results_free(&r);
        CHECK(le_model_workspace_bytes(model) <= before + one + two,
              "run %d: the workspaces grew from %zu to %zu bytes, "
              "one for each number of threads is %zu + %zu",
              i, before, le_model_workspace_bytes(model), one, two);
    }
}

/* An encoder whose final states start a decoder on a second time axis, against two models run one after the other. */
static void encoder_decoder(const char *isa)
{
    enum { FEATURES = 5, HIDDEN = 19, ENCODED = 7, DECODED = 4 };
    net_spec spec = {
        .name = "encoder or decoder", .isa = isa, .features = FEATURES, .layers = {LSTM(LE_FORWARD, HIDDEN)}, .seed = 1};
    net encoder = net_new(&spec);
    spec.seed = 2;
    net decoder = net_new(&spec);
    feed source = feed_new(&encoder, BATCH, ENCODED, 1, 0), target = feed_new(&decoder, BATCH, DECODED, 0, 0);
    le_model *first = net_must_build(&encoder), *second = net_must_build(&decoder);
    results encoded = net_must_run(&encoder, first, &source, (way){1, LE_SPLIT_AUTO, 0});
    target.state = must_alloc(encoded.state_count * sizeof(float));
    memcpy(target.state, encoded.state, encoded.state_count * sizeof(float));
    results expected = net_must_run(&decoder, second, &target, (way){1, LE_SPLIT_AUTO, 0});

    const le_model_options options = {.isa = isa, .dtype = LE_FLOAT32, .gemm = LE_GEMM_PACKED};
    le_model *both = NULL;
    le_value x = 0, z = 0, h = 0, c = 0, y = 0;
    le_recurrent r = {.cell = LE_LSTM, .hidden = HIDDEN, .initial_h = LE_NONE, .initial_c = LE_NONE};
    for (int d = 0; d < 2; d++) {
        r.activations[d][0].kind = LE_ACT_SIGMOID;
        r.activations[d][1].kind = r.activations[d][2].kind = LE_ACT_TANH;
    }
    le_status status = le_model_new(&options, &both, NULL);
    status |= le_model_input(both, LE_SEQUENCE, 0, FEATURES, &x, NULL);
    status |= le_model_input(both, LE_SEQUENCE, 1, FEATURES, &z, NULL);
    r.x = x, r.w = encoder.weights[0].w, r.r = encoder.weights[0].r, r.b = encoder.weights[0].b;
    status |= le_model_recurrent(both, &r, NULL, &h, &c, NULL);
    r.x = z, r.w = decoder.weights[0].w, r.r = decoder.weights[0].r, r.b = decoder.weights[0].b;
    r.initial_h = h, r.initial_c = c;
    status |= le_model_recurrent(both, &r, &y, NULL, NULL, NULL);
    status |= le_model_output(both, y, NULL);
    status |= le_model_finish(both, NULL);
    CHECK(status == LE_OK, "building an encoder and a decoder in one model");

    float *got = must_alloc(expected.y_count * sizeof *got);
    const le_axis axes[] = {{ENCODED, source.lengths}, {DECODED, NULL}};
    const void *const inputs[] = {source.x, target.x};
    void *const outputs[] = {got};
    for (int threads = 1; threads < 4; threads++) {
        const le_run run = {.batch = BATCH,
                            .axes = axes,
                            .inputs = inputs,
                            .outputs = outputs,
                            .threads = threads,
                            .split = threads == 3 ? LE_SPLIT_UNITS : LE_SPLIT_ROWS};
        memset(got, 0xff, expected.y_count * sizeof *got);
        CHECK(le_model_run(both, &run, NULL) == LE_OK, "running an encoder and a decoder in one model");
        CHECK(memcmp(got, expected.y, expected.y_count * sizeof *got) == 0, "%s: the decoder starts elsewhere (%d threads)",
              isa, threads);
    }
    free(got);
    le_model_free(both);
    le_model_free(first);
    le_model_free(second);
    results_free(&encoded);
    results_free(&expected);
    feed_free(&source);
    feed_free(&target);
    net_free(&encoder);
    net_free(&decoder);
}

/* Under empty_zero a row without steps shows zeros, or its state where the run goes on with earlier ones; what is carried
 * on is the state either way. */
static void rows_without_steps(const char *isa)
{
    enum { FEATURES = 3, HIDDEN = 21, ROWS = 2, SIZE = 2 * HIDDEN };
    net n = net_new(&(net_spec){.name = "no steps", .isa = isa, .features = FEATURES, .layers = {LSTM(LE_FORWARD, HIDDEN)}});
    le_recurrent r = {.cell = LE_LSTM,
                      .hidden = HIDDEN,
                      .initial_h = LE_NONE,
                      .initial_c = LE_NONE,
                      .empty_zero = 1,
                      .w = n.weights[0].w,
                      .r = n.weights[0].r,
                      .b = n.weights[0].b};
    r.activations[0][0].kind = LE_ACT_SIGMOID;
    r.activations[0][1].kind = r.activations[0][2].kind = LE_ACT_TANH;
    const le_model_options options = {.isa = isa, .dtype = LE_FLOAT32, .gemm = LE_GEMM_PACKED};
    le_model *model = NULL;
    le_value h = 0, c = 0;
    le_status status = le_model_new(&options, &model, NULL);
    status |= le_model_input(model, LE_SEQUENCE, 0, FEATURES, &r.x, NULL);
    status |= le_model_recurrent(model, &r, NULL, &h, &c, NULL);
    status |= le_model_output(model, h, NULL) | le_model_output(model, c, NULL) | le_model_finish(model, NULL);
    CHECK(status == LE_OK, "building a layer that shows zeros");

    float x[ROWS * FEATURES] = {1, 2, 3, 4, 5, 6}, start[ROWS * SIZE], end[ROWS * SIZE], got_h[ROWS * HIDDEN],
                   got_c[ROWS * HIDDEN];
    const float zeros[HIDDEN] = {0};
    for (int i = 0; i < ROWS * SIZE; i++)
        start[i] = 0.01F * (float)(i + 1);
    const int32_t lengths[ROWS] = {1, 0};
    const le_axis axis = {1, lengths};
    const void *const inputs[] = {x}, *const state_in[] = {start, start + SIZE};
    void *const outputs[] = {got_h, got_c}, *const state_out[] = {end, end + SIZE};
    for (int resumed = 0; resumed < 2; resumed++) {
        const le_run run = {.batch = ROWS,
                            .axes = &axis,
                            .inputs = inputs,
                            .outputs = outputs,
                            .state_in = state_in,
                            .state_out = state_out,
                            .resumed = resumed,
                            .threads = 1};
        CHECK(le_model_run(model, &run, NULL) == LE_OK, "running a row without steps");
        const float *const own = start + SIZE;
        CHECK(memcmp(got_h + HIDDEN, resumed ? own : zeros, sizeof zeros) == 0, "h of a row without steps, resumed %d",
              resumed);
        CHECK(memcmp(got_c + HIDDEN, resumed ? own + HIDDEN : zeros, sizeof zeros) == 0,
              "c of a row without steps, resumed %d", resumed);
        CHECK(memcmp(end + SIZE, own, SIZE * sizeof *own) == 0, "the state of a row without steps changes");
        CHECK(memcmp(got_h, end, sizeof zeros) == 0, "a row with steps shows another h than its state");
    }
    le_model_free(model);
    net_free(&n);
}

/* Outputs that are null are not written and change nothing else. */
static void outputs_left_out(const net *n, le_model *model, const feed *f, const results *whole)
{
    const le_axis axis = {f->steps, f->lengths};
    const void *const inputs[] = {f->x};
    for (int wanted = 0; wanted < 8; wanted++) {
        results got = results_new(n, f->batch, f->steps);
        void *const outputs[] = {wanted & 1 ? got.y : NULL, wanted & 2 ? got.h : NULL, wanted & 4 ? got.c : NULL};
        const void **state_in = must_alloc(f->batch * sizeof *state_in);
        for (size_t row = 0; row < f->batch; row++)
            state_in[row] = (char *)f->state + row * n->state_size * dtype_size(n->spec.dtype);
        const le_run run = {
            .batch = f->batch, .axes = &axis, .inputs = inputs, .outputs = outputs, .state_in = state_in, .threads = 2};
        CHECK(le_model_run(model, &run, NULL) == LE_OK, "outputs %d fail", wanted);
        const size_t es = dtype_size(n->spec.dtype);
        CHECK(!(wanted & 1) || memcmp(got.y, whole->y, whole->y_count * es) == 0,
              "other bits of y when outputs are left out");
        CHECK(!(wanted & 2) || memcmp(got.h, whole->h, whole->h_count * es) == 0,
              "other bits of h when outputs are left out");
        CHECK(!(wanted & 4) || memcmp(got.c, whole->c, whole->c_count * es) == 0,
              "other bits of c when outputs are left out");
        free(state_in);
        results_free(&got);
    }
}

static void one_net(const net_spec *spec, int lstm)
{
    net n = net_new(spec);
    le_model *model = net_must_build(&n);
    feed f = feed_new(&n, BATCH, STEPS, 0, 1);
    results whole = net_must_run(&n, model, &f, (way){1, LE_SPLIT_AUTO, 0});
    for (size_t chunk = 1; chunk <= STEPS; chunk += chunk < 4 ? 1 : 3)
        for (int threads = 1; threads < 4; threads++)
            in_chunks(&n, model, &f, &whole, chunk, threads);
    if (lstm)
        slots(&n, model);
    memory_is_kept(&n, model, &f);
    memory_is_foreseen(&n, &f);
    if (lstm)
        outputs_left_out(&n, model, &f, &whole);
    results_free(&whole);
    feed_free(&f);
    le_model_free(model);
    net_free(&n);
}

void test_states(void)
{
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++) {
        for (int type = LE_WEIGHTS_FULL; type < WEIGHT_TYPES; type++)
            for (size_t i = 0; i < sizeof nets / sizeof nets[0] + sizeof other_cells / sizeof other_cells[0]; i++) {
                const size_t lstms = sizeof nets / sizeof nets[0];
                net_spec spec = i < lstms ? nets[i] : other_cells[i - lstms];
                spec.isa = isa;
                spec.weights = (le_weight_type)type;
                one_net(&spec, i < lstms);
            }
        encoder_decoder(isa);
        rows_without_steps(isa);
    }
    net n = net_new(&(net_spec){.name = "both ways", .features = 2, .layers = {LSTM(LE_BIDIRECTIONAL, 3)}});
    le_model *model = net_must_build(&n);
    CHECK(!le_model_causal(model), "a reverse direction cannot be run step by step");
    le_model_free(model);
    net_free(&n);
}
