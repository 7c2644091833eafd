#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t gates_of[] = {[LE_LSTM] = 4, [LE_GRU] = 3, [LE_RNN] = 1};

le_weight_type net_weights(const net *n, int operation)
{
    return n->spec.mixed ? (le_weight_type)(((int)n->spec.weights + operation - TABLE) % WEIGHT_TYPES) : n->spec.weights;
}

size_t stored_bytes(const net *n, int operation)
{
    const le_weight_type type = net_weights(n, operation);
    return type == LE_WEIGHTS_FULL ? dtype_size(n->spec.dtype) : small_bytes(type);
}

/* Store a matrix [rows, columns] of an operation as its type says. */
static small_matrix store(const net *n, int operation, size_t rows, size_t columns, void *floats)
{
    const le_weight_type type = net_weights(n, operation);
    if (type == LE_WEIGHTS_FULL || floats == NULL)
        return (small_matrix){NULL, NULL};
    return small_of(type, rows, columns, operation == DENSE, floats);
}

static void store_all(net *n)
{
    for (int i = 0; i < n->layers; i++) {
        layer_weights *own = &n->weights[i];
        const size_t hidden = n->spec.layers[i].hidden, rows = own->dirs * own->gates * hidden;
        own->small_w = store(n, i, rows, own->features, own->w);
        own->small_r = store(n, i, rows, own->output, own->r);
        own->small_proj = store(n, i, own->dirs * own->output, hidden, own->proj);
    }
    n->small_table = store(n, TABLE, n->spec.vocabulary, n->spec.features, n->table);
    const layer_weights *last = &n->weights[n->layers ? n->layers - 1 : 0];
    n->small_kernel = store(n, DENSE, n->layers ? last->dirs * last->output : n->spec.features, n->spec.units, n->kernel);
}

net net_new(const net_spec *spec)
{
    net n = {.spec = *spec};
    rng random = {spec->seed + 17};
    size_t features = spec->features;
    if (spec->vocabulary)
        n.table = random_array(&random, spec->dtype, spec->vocabulary * features, 1);
    n.sequence = 1;
    for (; n.layers < MAX_LAYERS && spec->layers[n.layers].hidden > 0; n.layers++) {
        const layer_spec *layer = &spec->layers[n.layers];
        layer_weights *own = &n.weights[n.layers];
        const size_t h = layer->hidden, gates = gates_of[layer->cell], dirs = layer->direction == LE_BIDIRECTIONAL ? 2 : 1;
        const size_t output = layer->projection ? layer->projection : h;
        /* Scales keep pre-activations near the bend of the activations, where errors show. */
        *own = (layer_weights){.features = features, .gates = gates, .dirs = dirs, .output = output};
        own->w = random_array(&random, spec->dtype, dirs * gates * h * features, 0.7);
        own->r = random_array(&random, spec->dtype, dirs * gates * h * output, output > 16 ? 0.25 : 0.7);
        if (!(layer->extras & NO_BIAS))
            own->b = random_array(&random, spec->dtype, dirs * 2 * gates * h, 0.5);
        if (layer->extras & PEEPHOLES)
            own->p = random_array(&random, spec->dtype, dirs * 3 * h, 0.5);
        if (layer->projection)
            own->proj = random_array(&random, spec->dtype, dirs * output * h, 0.5);
        features = dirs * output;
        n.h_size = features;
        n.c_size = layer->cell == LE_LSTM ? dirs * h : 0;
        n.state_size += n.h_size + n.c_size;
    }
    n.sequence = spec->top == TOP_NONE;
    if (spec->units) {
        n.kernel = random_array(&random, spec->dtype, features * spec->units, 0.5);
        n.bias = random_array(&random, spec->dtype, spec->units, 0.5);
        features = spec->units;
    }
    n.width = features;
    store_all(&n);
    return n;
}

void net_free(net *n)
{
    for (int i = 0; i < n->layers; i++) {
        free(n->weights[i].w);
        free(n->weights[i].r);
        free(n->weights[i].b);
        free(n->weights[i].p);
        free(n->weights[i].proj);
        small_free(&n->weights[i].small_w);
        small_free(&n->weights[i].small_r);
        small_free(&n->weights[i].small_proj);
    }
    small_free(&n->small_table);
    small_free(&n->small_kernel);
    free(n->table);
    free(n->kernel);
    free(n->bias);
}

/* Tell the model of what type the next operation's matrices are. */
static le_status give_weights(const net *n, int operation, le_model *model, const small_matrix *w, const small_matrix *r,
                              const small_matrix *projection, le_error *error)
{
    const le_weights weights = {
        .type = net_weights(n, operation), .w = w->scales, .r = r->scales, .projection = projection->scales};
    return le_model_weights(model, weights.type == LE_WEIGHTS_FULL ? NULL : &weights, error);
}

static le_status add_layer(const net *n, int i, le_model *model, le_value x, le_value *y, le_value *y_h, le_value *y_c,
                           le_error *error)
{
    const layer_spec *layer = &n->spec.layers[i];
    const layer_weights *own = &n->weights[i];
    const le_act_kind curved = layer->extras & RELU ? LE_ACT_RELU : LE_ACT_TANH;
    le_recurrent r = {
        .cell = layer->cell,
        .direction = layer->direction,
        .hidden = layer->hidden,
        .projection = layer->projection,
        .x = x,
        .initial_h = LE_NONE,
        .initial_c = LE_NONE,
        .w = stored(own->w, &own->small_w),
        .r = stored(own->r, &own->small_r),
        .b = own->b,
        .p = own->p,
        .proj = stored(own->proj, &own->small_proj),
        .clip = layer->extras & CLIP ? 0.5 : 0,
        .cell_clip = layer->extras & CELL_CLIP ? 0.25 : 0,
        .input_forget = (layer->extras & INPUT_FORGET) != 0,
        .linear_before_reset = (layer->extras & LINEAR_BEFORE_RESET) != 0,
        .peephole_previous = (layer->extras & PEEPHOLE_PREVIOUS) != 0,
    };
    for (int d = 0; d < 2; d++) {
        const le_act_kind first = layer->cell == LE_RNN ? curved : LE_ACT_SIGMOID;
        r.activations[d][0] = (le_activation){first, 0, 0};
        r.activations[d][1] = r.activations[d][2] = (le_activation){curved, 0, 0};
    }
    const le_status status = give_weights(n, i, model, &own->small_w, &own->small_r, &own->small_proj, error);
    return status == LE_OK ? le_model_recurrent(model, &r, y, y_h, layer->cell == LE_LSTM ? y_c : NULL, error) : status;
}

static le_status add_all(const net *n, le_model *model, le_error *error)
{
    const net_spec *spec = &n->spec;
    const small_matrix none = {NULL, NULL};
    le_value x = LE_NONE, y_h = LE_NONE, y_c = LE_NONE;
    le_status status;
    if (spec->vocabulary) {
        status = le_model_input_ids(model, LE_SEQUENCE, 0, &x, error);
        if (status == LE_OK)
            status = give_weights(n, TABLE, model, &n->small_table, &none, &none, error);
        if (status == LE_OK)
            status =
                le_model_embedding(model, x, stored(n->table, &n->small_table), spec->vocabulary, spec->features, &x, error);
    } else {
        status = le_model_input(model, LE_SEQUENCE, 0, spec->features, &x, error);
    }
    for (int i = 0; i < n->layers && status == LE_OK; i++) {
        const int last = i == n->layers - 1;
        const int unread = last && spec->top == TOP_LAST_STATE; /* nobody needs y: the engine may leave it out */
        status = add_layer(n, i, model, x, unread ? NULL : &x, last ? &y_h : NULL, last ? &y_c : NULL, error);
    }
    if (status == LE_OK && spec->top == TOP_LAST_STATE)
        x = y_h;
    else if (status == LE_OK && spec->top != TOP_NONE)
        status = le_model_pool(model, x, (le_pool_kind)(spec->top - TOP_POOL_LAST), &x, error);
    if (status == LE_OK && spec->units)
        status = give_weights(n, DENSE, model, &n->small_kernel, &none, &none, error);
    if (status == LE_OK && spec->units)
        status =
            le_model_dense(model, x, stored(n->kernel, &n->small_kernel), n->bias, spec->units, spec->activation, &x, error);
    if (status == LE_OK)
        status = le_model_output(model, x, error);
    if (status == LE_OK && n->layers > 0)
        status = le_model_output(model, y_h, error);
    if (status == LE_OK && y_c != LE_NONE)
        status = le_model_output(model, y_c, error);
    return status == LE_OK ? le_model_finish(model, error) : status;
}

le_status net_build(const net *n, le_model **out, le_error *error)
{
    const le_model_options options = {
        .isa = n->spec.isa, .dtype = n->spec.dtype, .gemm = n->spec.gemm, .threads = n->spec.packers};
    le_model *model = NULL;
    le_status status = le_model_new(&options, &model, error);
    if (status != LE_OK)
        return status;
    le_model_share(model, n->spec.store);
    le_model_consume(model, n->spec.consumed, NULL);
    status = add_all(n, model, error);
    if (status == LE_OK)
        *out = model;
    else
        le_model_free(model);
    return status;
}

le_model *net_must_build(const net *n)
{
    le_model *model = NULL;
    le_error error = {LE_OK, -1, ""};
    const le_status status = net_build(n, &model, &error);
    CHECK(status == LE_OK, "%s: %s", n->spec.name, error.message);
    return status == LE_OK ? model : NULL;
}

feed feed_new(const net *n, size_t batch, size_t steps, int ragged, int with_state)
{
    rng random = {n->spec.seed + 1000};
    feed f = {.batch = batch, .steps = steps};
    if (n->spec.vocabulary) {
        int32_t *ids = must_alloc(batch * steps * sizeof *ids);
        for (size_t i = 0; i < batch * steps; i++)
            ids[i] = (int32_t)rng_below(&random, n->spec.vocabulary);
        f.x = ids;
    } else {
        f.x = random_array(&random, n->spec.dtype, batch * steps * n->spec.features, 1);
    }
    if (ragged) {
        int32_t *lengths = must_alloc(batch * sizeof *lengths);
        for (size_t row = 0; row < batch; row++)
            lengths[row] = row == 0 ? (int32_t)steps : row == 1 ? 0 : (int32_t)rng_below(&random, steps + 1);
        f.lengths = lengths;
    }
    if (with_state)
        f.state = random_array(&random, n->spec.dtype, batch * n->state_size, 1);
    return f;
}

void feed_free(feed *f)
{
    free(f->x);
    free((void *)f->lengths);
    free(f->state);
}

results results_new(const net *n, size_t batch, size_t steps)
{
    const size_t es = dtype_size(n->spec.dtype);
    results r = {.y_count = batch * (n->sequence ? steps : 1) * n->width,
                 .h_count = batch * n->h_size,
                 .c_count = batch * n->c_size,
                 .state_count = batch * n->state_size};
    r.y = must_alloc(r.y_count * es);
    r.h = must_alloc(r.h_count * es);
    r.c = must_alloc(r.c_count * es);
    r.state = must_alloc(r.state_count * es);
    memset(r.y, 0xff, r.y_count * es); /* NaN: an element nobody writes shows */
    memset(r.h, 0xff, r.h_count * es);
    memset(r.c, 0xff, r.c_count * es);
    return r;
}

void results_free(results *r)
{
    free(r->y);
    free(r->h);
    free(r->c);
    free(r->state);
}

le_status net_run(const net *n, le_model *model, const feed *f, way how, results *r, le_error *error)
{
    const size_t row_bytes = n->state_size * dtype_size(n->spec.dtype);
    const void **state_in = must_alloc(f->batch * sizeof *state_in);
    void **state_out = must_alloc(f->batch * sizeof *state_out);
    for (size_t row = 0; row < f->batch; row++) {
        state_in[row] = f->state ? (char *)f->state + row * row_bytes : NULL;
        state_out[row] = (char *)r->state + row * row_bytes;
    }
    const le_axis axis = {f->steps, f->lengths};
    const void *const inputs[] = {f->x};
    void *const outputs[] = {r->y, r->h, r->c};
    const le_run run = {
        .batch = f->batch,
        .axes = &axis,
        .inputs = inputs,
        .outputs = outputs,
        .state_in = f->state ? state_in : NULL,
        .state_out = state_out,
        .threads = how.threads,
        .split = how.split,
        .block_steps = how.block_steps,
    };
    const le_status status = le_model_run(model, &run, error);
    free(state_in);
    free(state_out);
    return status;
}

results net_must_run(const net *n, le_model *model, const feed *f, way how)
{
    results r = results_new(n, f->batch, f->steps);
    le_error error = {LE_OK, -1, ""};
    const le_status status = net_run(n, model, f, how, &r, &error);
    CHECK(status == LE_OK, "%s: %s", n->spec.name, error.message);
    return r;
}

void check_close(const net *n, const results *got, const results *expected, double tolerance, const char *what)
{
    const struct {
        const char *part;
        const void *got, *expected;
        size_t count;
    } parts[] = {{"y", got->y, expected->y, got->y_count},
                 {"h", got->h, expected->h, got->h_count},
                 {"c", got->c, expected->c, got->c_count},
                 {"state", got->state, expected->state, got->state_count}};
    for (int i = 0; i < 4; i++) {
        const double difference = largest_difference(n->spec.dtype, parts[i].got, parts[i].expected, parts[i].count);
        CHECK(difference <= tolerance, "%s, %s, %s: %s differs by %g (allowed %g)", n->spec.name,
              n->spec.isa ? n->spec.isa : "best", what, parts[i].part, difference, tolerance);
    }
}

static int same_bytes(const void *a, size_t a_row, size_t a_bytes, const void *b, size_t b_row, size_t b_bytes, size_t bytes)
{
    return memcmp((const char *)a + a_row * a_bytes, (const char *)b + b_row * b_bytes, bytes) == 0;
}

void check_same_row(const net *n, const results *got, size_t row, size_t got_steps, const results *expected, size_t other,
                    size_t expected_steps, size_t steps, const char *what)
{
    const size_t es = dtype_size(n->spec.dtype), step = n->width * es;
    const size_t got_row = n->sequence ? got_steps * step : step, expected_row = n->sequence ? expected_steps * step : step;
    const size_t h = n->h_size * es, c = n->c_size * es, state = n->state_size * es;
    const char *const name = n->spec.name, *const isa = n->spec.isa ? n->spec.isa : "best";
    CHECK(same_bytes(got->y, row, got_row, expected->y, other, expected_row, n->sequence ? steps * step : step),
          "%s, %s, %s: other bits of y in row %zu", name, isa, what, other);
    CHECK(same_bytes(got->h, row, h, expected->h, other, h, h), "%s, %s, %s: other bits of h in row %zu", name, isa, what,
          other);
    CHECK(same_bytes(got->c, row, c, expected->c, other, c, c), "%s, %s, %s: other bits of c in row %zu", name, isa, what,
          other);
    CHECK(same_bytes(got->state, row, state, expected->state, other, state, state),
          "%s, %s, %s: other bits of the state in row %zu", name, isa, what, other);
}

static const char *only;

int only_isa(const char *name)
{
    for (size_t i = 0; i < le_isa_count(); i++)
        if (le_isa_supported(i) && strcmp(name, le_isa_name(i)) == 0)
            only = le_isa_name(i);
    return only != NULL;
}

const char *supported_isa(size_t number)
{
    if (only != NULL)
        return number == 0 ? only : NULL;
    for (size_t i = 0; i < le_isa_count(); i++)
        if (le_isa_supported(i) && number-- == 0)
            return le_isa_name(i);
    return NULL;
}
