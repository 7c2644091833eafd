/* Packed weights given back are the bits that came, whoever packed them, and a weight that is not there is refused. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

static const net_spec nets[] = {
    {.name = "tokens, lstm, dense",
     .vocabulary = 9,
     .features = 5,
     .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 7, 0, 0}},
     .units = 67},
    {.name = "projection", .features = 3, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 21, 9, 0}}},
    {.name = "gru",
     .features = 6,
     .layers = {{LE_GRU, LE_REVERSE, 37, 0, 0}, {LE_GRU, LE_FORWARD, 5, 0, LINEAR_BEFORE_RESET}}},
    {.name = "rnn", .features = 65, .layers = {{LE_RNN, LE_BIDIRECTIONAL, 130, 0, 0}}},
    /* Each matrix above the megabyte from which a team packs. */
    {.name = "large", .features = 290, .layers = {{LE_LSTM, LE_FORWARD, 301, 0, 0}}, .units = 901},
};

/* More than what is packed before the caller is told of it, in every layout. */
static const net_spec large_nets[] = {
    {.name = "consumed",
     .vocabulary = 3001,
     .features = 500,
     .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 601, 0, 0}},
     .units = 1101},
    {.name = "consumed, projection", .features = 500, .layers = {{LE_LSTM, LE_FORWARD, 1201, 1100, 0}}},
    {.name = "consumed, gru", .features = 1001, .layers = {{LE_GRU, LE_REVERSE, 701, 0, 0}}},
};

enum { MARK = 0x5a };

/* Rows first .. first+count-1 of a weight, at a place that has a byte more. */
static void rows_given_back(const net *n, const le_model *model, size_t op, le_weight which, const void *weights,
                            size_t element, size_t columns, size_t first, size_t count, char *out)
{
    const size_t row = columns * element, bytes = count * row;
    memset(out, MARK, bytes + 1);
    CHECK(le_model_unpack(model, op, which, first, count, out, bytes, NULL) == LE_OK, "%s: weight %d of %zu", n->spec.name,
          (int)which, op);
    CHECK(memcmp(out, (const char *)weights + first * row, bytes) == 0,
          "%s, %s, %s, %d packers: %zu rows from %zu on of weight %d of operation %zu have other bits", n->spec.name,
          small_name(n->spec.weights), n->spec.isa, n->spec.packers, count, first, (int)which, op);
    CHECK(out[bytes] == MARK, "%s: weight %d of operation %zu is written past its end", n->spec.name, (int)which, op);
}

/* A matrix [rows, columns] of the operation that a net calls `part`. */
static void given_back(const net *n, const le_model *model, size_t op, int part, le_weight which, const void *weights,
                       size_t rows, size_t columns)
{
    const size_t element = stored_bytes(n, part), row = columns * element, bytes = rows * row;
    char *out = must_alloc(bytes + 1);
    rows_given_back(n, model, op, which, weights, element, columns, 0, rows, out);
    const size_t parts[][2] = {{0, 1}, {rows - 1, 1}, {rows / 3, rows / 2}, {rows / 2, 0}, {rows, 0}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        rows_given_back(n, model, op, which, weights, element, columns, parts[i][0], parts[i][1], out);
    CHECK(le_model_unpack(model, op, which, 0, rows, out, bytes - 1, NULL) == LE_ERROR_ARGUMENT, "another size is taken");
    CHECK(le_model_unpack(model, op, which, 1, rows, out, bytes, NULL) == LE_ERROR_ARGUMENT, "rows past the end are taken");
    CHECK(le_model_unpack(model, op, which, SIZE_MAX, 2, out, 2 * row, NULL) == LE_ERROR_ARGUMENT, "rows that overflow");
    free(out);
}

/* All weights that `model` gives back are those of `n`. */
static void compare(const net *n, const le_model *model)
{
    size_t op = 0, features = n->spec.features;
    if (n->spec.vocabulary)
        given_back(n, model, op++, TABLE, LE_WEIGHT_TABLE, stored(n->table, &n->small_table), n->spec.vocabulary, features);
    for (int i = 0; i < n->layers; i++, op++) {
        const layer_weights *own = &n->weights[i];
        const size_t hidden = n->spec.layers[i].hidden, rows = own->dirs * own->gates * hidden;
        given_back(n, model, op, i, LE_WEIGHT_W, stored(own->w, &own->small_w), rows, own->features);
        given_back(n, model, op, i, LE_WEIGHT_R, stored(own->r, &own->small_r), rows, own->output);
        if (own->proj)
            given_back(n, model, op, i, LE_WEIGHT_PROJECTION, stored(own->proj, &own->small_proj), own->dirs * own->output,
                       hidden);
        else
            CHECK(le_model_unpack(model, op, LE_WEIGHT_PROJECTION, 0, 0, NULL, 0, NULL) == LE_ERROR_ARGUMENT,
                  "no projection");
        features = own->dirs * own->output;
    }
    if (n->spec.units)
        given_back(n, model, op++, DENSE, LE_WEIGHT_KERNEL, stored(n->kernel, &n->small_kernel), features, n->spec.units);
    CHECK(le_model_unpack(model, op, LE_WEIGHT_W, 0, 0, NULL, 0, NULL) == LE_ERROR_ARGUMENT, "operation %zu does not exist",
          op);
}

static void overwrite(void *context, const void *part, size_t bytes)
{
    (void)context;
    memset((void *)part, MARK, bytes);
}

static void overwritten(const net *n, int part, const char *what, const void *weights, size_t count)
{
    const size_t bytes = count * stored_bytes(n, part);
    size_t at = 0;
    while (at < bytes && ((const char *)weights)[at] == MARK)
        at++;
    CHECK(at == bytes, "%s, %s, gemm %d: of %s byte %zu is not told of", n->spec.name, small_name(n->spec.weights),
          (int)n->spec.gemm, what, at);
}

/* What the caller has been told of is not read again, and he is told of all that goes to kernels. */
static void consume(const net_spec *spec)
{
    net_spec given = *spec;
    given.consumed = overwrite;
    net kept = net_new(spec), gone = net_new(&given);
    le_model *model = net_must_build(&gone);
    if (model != NULL) {
        compare(&kept, model);
        const layer_weights *own = &gone.weights[0];
        const size_t rows = own->dirs * own->gates * gone.spec.layers[0].hidden;
        if (gone.table)
            overwritten(&gone, TABLE, "the table", stored(gone.table, &gone.small_table),
                        gone.spec.vocabulary * gone.spec.features);
        if (gone.spec.gemm == LE_GEMM_PACKED || own->small_w.values) {
            overwritten(&gone, 0, "W", stored(own->w, &own->small_w), rows * own->features);
            overwritten(&gone, 0, "R", stored(own->r, &own->small_r), rows * own->output);
        }
        if (gone.kernel)
            overwritten(&gone, DENSE, "the kernel", stored(gone.kernel, &gone.small_kernel),
                        own->dirs * own->output * gone.spec.units);
    }
    le_model_free(model);
    net_free(&kept);
    net_free(&gone);
}

static void build_and_compare(net_spec spec, const char *isa)
{
    if (!combination_tried())
        return;
    spec.isa = isa;
    net n = net_new(&spec);
    le_model *model = net_must_build(&n);
    if (model != NULL)
        compare(&n, model);
    le_model_free(model);
    net_free(&n);
}

void test_weights(void)
{
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
            net_spec spec = nets[i];
            spec.seed = 300 + i;
            for (spec.packers = 1; spec.packers < 4; spec.packers += 2) {
                spec.dtype = LE_FLOAT64;
                build_and_compare(spec, isa);
                spec.dtype = LE_FLOAT32;
                for (int type = LE_WEIGHTS_FULL; type < WEIGHT_TYPES; type++) {
                    spec.weights = (le_weight_type)type;
                    build_and_compare(spec, isa);
                    spec.mixed = 1;
                    build_and_compare(spec, isa);
                    spec.mixed = 0;
                }
                spec.weights = LE_WEIGHTS_FULL;
            }
        }
    for (size_t i = 0; i < sizeof large_nets / sizeof large_nets[0]; i++)
        for (int gemm = 0; gemm < 2; gemm++) {
            net_spec spec = large_nets[i];
            spec.gemm = gemm ? LE_GEMM_BLAS : LE_GEMM_PACKED;
            spec.packers = 1 + 2 * gemm;
            spec.seed = 400 + i;
            consume(&spec);
            spec.weights = gemm ? LE_WEIGHTS_INT8 : LE_WEIGHTS_BFLOAT16;
            consume(&spec);
        }
}
