/* Packed weights given back are the bits that came, whoever packed them, and a weight that is not there is refused. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

static const net_spec nets[] = {
    {.name = "tokens, lstm, dense", .vocabulary = 9, .features = 5, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 7, 0, 0}}, .units = 67},
    {.name = "projection", .features = 3, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 21, 9, 0}}},
    {.name = "gru", .features = 6, .layers = {{LE_GRU, LE_REVERSE, 37, 0, 0}, {LE_GRU, LE_FORWARD, 5, 0, LINEAR_BEFORE_RESET}}},
    {.name = "rnn", .features = 65, .layers = {{LE_RNN, LE_BIDIRECTIONAL, 130, 0, 0}}},
    /* Each matrix above the megabyte from which a team packs. */
    {.name = "large", .features = 290, .layers = {{LE_LSTM, LE_FORWARD, 301, 0, 0}}, .units = 901},
};

static void given_back(const net *n, const le_model *model, size_t op, le_weight which, const void *weights, size_t count)
{
    const size_t bytes = count * dtype_size(n->spec.dtype);
    char *out = must_alloc(bytes + 1);
    memset(out, 0x5a, bytes + 1);
    CHECK(le_model_unpack(model, op, which, out, bytes, NULL) == LE_OK, "%s: weight %d of %zu", n->spec.name, (int)which, op);
    CHECK(memcmp(out, weights, bytes) == 0, "%s, %s, %d packers: weight %d of operation %zu has other bits", n->spec.name,
          n->spec.isa, n->spec.packers, (int)which, op);
    CHECK(out[bytes] == 0x5a, "%s: weight %d of operation %zu is written past its end", n->spec.name, (int)which, op);
    CHECK(le_model_unpack(model, op, which, out, bytes - 1, NULL) == LE_ERROR_ARGUMENT, "another size is taken");
    free(out);
}

static void compare(const net *n)
{
    le_model *model = net_must_build(n);
    if (model == NULL)
        return;
    size_t op = 0, features = n->spec.features;
    if (n->spec.vocabulary)
        given_back(n, model, op++, LE_WEIGHT_TABLE, n->table, n->spec.vocabulary * features);
    for (int i = 0; i < n->layers; i++, op++) {
        const layer_weights *own = &n->weights[i];
        const size_t hidden = n->spec.layers[i].hidden, rows = own->dirs * own->gates * hidden;
        given_back(n, model, op, LE_WEIGHT_W, own->w, rows * own->features);
        given_back(n, model, op, LE_WEIGHT_R, own->r, rows * own->output);
        if (own->proj)
            given_back(n, model, op, LE_WEIGHT_PROJECTION, own->proj, own->dirs * own->output * hidden);
        else
            CHECK(le_model_unpack(model, op, LE_WEIGHT_PROJECTION, NULL, 0, NULL) == LE_ERROR_ARGUMENT, "no projection");
        features = own->dirs * own->output;
    }
    if (n->spec.units)
        given_back(n, model, op++, LE_WEIGHT_KERNEL, n->kernel, features * n->spec.units);
    CHECK(le_model_unpack(model, op, LE_WEIGHT_W, NULL, 0, NULL) == LE_ERROR_ARGUMENT, "operation %zu does not exist", op);
    le_model_free(model);
}

void test_weights(void)
{
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
            for (int dtype = 0; dtype < 2; dtype++)
                for (int packers = 1; packers < 4; packers += 2) {
                    net_spec spec = nets[i];
                    spec.isa = isa;
                    spec.dtype = dtype ? LE_FLOAT64 : LE_FLOAT32;
                    spec.packers = packers;
                    spec.seed = 300 + i;
                    net n = net_new(&spec);
                    compare(&n);
                    net_free(&n);
                }
}
