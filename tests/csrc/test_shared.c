/* Packed weights that models have in common: one block of memory, the same bits, free when the last of them goes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "net.h"

static const net_spec nets[] = {
    {.name = "tokens, lstm, dense",
     .vocabulary = 9,
     .features = 5,
     .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 7, 0, PEEPHOLES}},
     .units = 67},
    {.name = "projection", .features = 3, .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 21, 9, 0}}},
    {.name = "gru",
     .features = 6,
     .layers = {{LE_GRU, LE_REVERSE, 37, 0, 0}, {LE_GRU, LE_FORWARD, 5, 0, LINEAR_BEFORE_RESET}}},
    {.name = "no bias", .features = 3, .layers = {{LE_GRU, LE_FORWARD, 9, 0, LINEAR_BEFORE_RESET | NO_BIAS}}},
    {.name = "rnn", .features = 65, .layers = {{LE_RNN, LE_BIDIRECTIONAL, 130, 0, 0}}},
};

enum { MODELS = 5, MOST_BLOCKS = 256, BATCH = 5, STEPS = 4 };

typedef struct blocks {
    const void *at[MOST_BLOCKS];
    size_t bytes[MOST_BLOCKS];
    size_t count;
} blocks;

static void note_block(void *context, const void *block, size_t bytes)
{
    blocks *all = context;
    if (all->count < MOST_BLOCKS) {
        all->at[all->count] = block;
        all->bytes[all->count++] = bytes;
    }
}

static blocks blocks_of(const le_model *model)
{
    blocks all = {.count = 0};
    le_model_visit_weights(model, note_block, &all);
    CHECK(all.count > 0 && all.count < MOST_BLOCKS, "%zu blocks", all.count);
    return all;
}

/* How many blocks of a stand at places where b has one too. */
static size_t in_common(const blocks *a, const blocks *b)
{
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (a->at[i] == b->at[j]) {
                CHECK(a->bytes[i] == b->bytes[j] && a->bytes[i] > 0, "one block of two sizes");
                count++;
                break;
            }
    return count;
}

static le_store *new_store(void)
{
    le_store *store = NULL;
    CHECK(le_store_new(&store, NULL) == LE_OK && store != NULL, "no store");
    return store;
}

/* What a model computes, and the weights it gives back through le_model_unpack (test_weights.c), do not depend on who
 * packed them. */
static void same_results(const net *n, le_model *model, const feed *f, const results *expected, const char *what)
{
    results r = net_must_run(n, model, f, (way){2, LE_SPLIT_AUTO, 0});
    for (size_t row = 0; row < f->batch; row++)
        check_same_row(n, &r, row, f->steps, expected, row, f->steps, f->steps, what);
    results_free(&r);
}

static void models_of_one_store(const net_spec *given)
{
    net n = net_new(given);
    feed f = feed_new(&n, BATCH, STEPS, 1, 1);
    le_model *alone = net_must_build(&n);
    results expected = net_must_run(&n, alone, &f, (way){2, LE_SPLIT_AUTO, 0});
    const blocks own = blocks_of(alone);

    le_store *store = n.spec.store = new_store();
    le_model *models[MODELS];
    for (int i = 0; i < MODELS; i++)
        models[i] = net_must_build(&n);
    const blocks first = blocks_of(models[0]);
    CHECK(first.count == own.count && in_common(&first, &own) == 0, "%s: a model without a store shares", given->name);
    for (int i = 1; i < MODELS; i++) {
        const blocks other = blocks_of(models[i]);
        CHECK(in_common(&other, &first) == other.count, "%s: %zu of %zu blocks are shared", given->name,
              in_common(&other, &first), other.count);
    }
    le_model_free(models[0]); /* the one that packed */
    le_store_free(store);
    for (int i = MODELS - 1; i > 0; i--) {
        same_results(&n, models[i], &f, &expected, "with shared weights");
        le_model_free(models[i]);
    }
    le_model_free(alone);
    results_free(&expected);
    feed_free(&f);
    net_free(&n);
}

/* The same arrays for other kernels, another dtype, another order of gates or another size are other blocks. */
static void what_differs_is_apart(const char *isa)
{
    enum { UNITS = 24, FEATURES = 24 };
    rng random = {7};
    void *array = random_array(&random, LE_FLOAT64, 4 * UNITS * FEATURES, 1);
    le_store *store = new_store();
    le_model *models[4];
    for (int i = 0; i < 4; i++) {
        const le_model_options options = {.isa = i == 3 ? "scalar" : isa, .dtype = i == 1 ? LE_FLOAT64 : LE_FLOAT32};
        CHECK(le_model_new(&options, &models[i], NULL) == LE_OK, "no model");
        le_model_share(models[i], store);
        le_value x = LE_NONE, y = LE_NONE;
        le_model_input(models[i], LE_SEQUENCE, 0, FEATURES, &x, NULL);
        le_recurrent layer = {.cell = i == 2 ? LE_RNN : LE_LSTM,
                              .hidden = UNITS,
                              .x = x,
                              .initial_h = LE_NONE,
                              .initial_c = LE_NONE,
                              .w = array,
                              .r = array};
        CHECK(le_model_recurrent(models[i], &layer, &y, NULL, NULL, NULL) == LE_OK, "no layer");
    }
    const blocks first = blocks_of(models[0]);
    for (int i = 1; i < 4; i++) {
        const blocks other = blocks_of(models[i]);
        const int same = i == 3 && strcmp(le_model_isa(models[0]), "scalar") == 0;
        CHECK((in_common(&other, &first) > 0) == same, "%s: model %d shares", isa, i);
    }
    le_store_free(store);
    for (int i = 0; i < 4; i++)
        le_model_free(models[i]);
    free(array);
}

/* Every allocation of two models of one store fails once; the sanitizers see what leaks or is freed twice. */
static void failures(const net_spec *given)
{
    net n = net_new(given);
    feed f = feed_new(&n, BATCH, STEPS, 1, 1);
    le_model *alone = net_must_build(&n);
    results expected = net_must_run(&n, alone, &f, (way){2, LE_SPLIT_AUTO, 0});
    long number = 1;
    for (int built = 0; built < 2 && number < 1000; number++) {
        le_model *models[2] = {NULL, NULL};
        n.spec.store = NULL;
        le_alloc_fail_after(number);
        le_status status = le_store_new(&n.spec.store, NULL);
        for (built = 0; built < 2 && status == LE_OK; built += status == LE_OK)
            status = net_build(&n, &models[built], NULL);
        le_alloc_fail_after(0);
        CHECK(status == LE_OK || status == LE_ERROR_MEMORY, "%s: allocation %ld: status %d", given->name, number, status);
        for (int i = 0; i < built; i++)
            same_results(&n, models[i], &f, &expected, "after a failed allocation");
        le_store_free(n.spec.store);
        for (int i = 0; i < 2; i++)
            le_model_free(models[i]);
    }
    CHECK(number > 10 && number < 1000, "%s: %ld allocations", given->name, number);
    le_model_free(alone);
    results_free(&expected);
    feed_free(&f);
    net_free(&n);
}

typedef struct owner {
    const net *n;
    le_model *model;
    const feed *f;
    const results *expected;
    int wrong;
} owner;

static void *run_and_free(void *argument)
{
    owner *self = argument;
    const size_t bytes = self->expected->y_count * dtype_size(self->n->spec.dtype);
    results got = results_new(self->n, self->f->batch, self->f->steps);
    self->wrong = net_run(self->n, self->model, self->f, (way){1, LE_SPLIT_AUTO, 0}, &got, NULL) != LE_OK ||
                  memcmp(got.y, self->expected->y, bytes) != 0;
    results_free(&got);
    le_model_free(self->model);
    return NULL;
}

static void freed_from_many_threads(const char *isa)
{
    net_spec spec = nets[0];
    spec.isa = isa;
    net n = net_new(&spec);
    feed f = feed_new(&n, BATCH, STEPS, 0, 0);
    n.spec.store = new_store();
    owner all[MODELS];
    pthread_t threads[MODELS];
    for (int i = 0; i < MODELS; i++)
        all[i] = (owner){.n = &n, .model = net_must_build(&n), .f = &f};
    le_store_free(n.spec.store);
    const results expected = net_must_run(&n, all[0].model, &f, (way){1, LE_SPLIT_AUTO, 0});
    for (int i = 0; i < MODELS; i++) {
        all[i].expected = &expected;
        CHECK(pthread_create(&threads[i], NULL, run_and_free, &all[i]) == 0, "no thread");
    }
    for (int i = 0; i < MODELS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(!all[i].wrong, "%s: a run beside models that are freed is wrong", isa);
    }
    results_free((results *)&expected);
    feed_free(&f);
    net_free(&n);
}

void test_shared(void)
{
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++) {
        for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
            for (int dtype = 0; dtype < 2; dtype++)
                for (int gemm = 0; gemm < 2; gemm++) {
                    net_spec spec = nets[i];
                    spec.isa = isa;
                    spec.dtype = dtype ? LE_FLOAT64 : LE_FLOAT32;
                    spec.gemm = gemm ? LE_GEMM_BLAS : LE_GEMM_PACKED;
                    for (int type = LE_WEIGHTS_FULL; type < (dtype ? 1 : WEIGHT_TYPES); type++) {
                        spec.weights = (le_weight_type)type;
                        models_of_one_store(&spec);
                        if (number == 0 && !dtype && (!gemm || !type))
                            failures(&spec);
                    }
                }
        what_differs_is_apart(isa);
        freed_from_many_threads(isa);
    }
    le_store_free(NULL);
}
