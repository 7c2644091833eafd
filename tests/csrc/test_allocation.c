/* Every allocation of building and running fails once: each time the status says so, nothing leaks (the sanitizers
 * look), and the same calls then succeed with the same bits. */
#include <stdlib.h>

#include "base/arena.h"
#include "net.h"

#define LSTM(direction, hidden) {LE_LSTM, direction, hidden, 0, 0}

static const net_spec nets[] = {
    {.name = "stack",
     .vocabulary = 9,
     .features = 5,
     .layers = {LSTM(LE_FORWARD, 7), LSTM(LE_BIDIRECTIONAL, 5)},
     .top = TOP_POOL_MEAN,
     .units = 3,
     .activation = {LE_ACT_SOFTMAX, 0, 0}},
    {.name = "peepholes", .features = 2, .layers = {{LE_LSTM, LE_FORWARD, 6, 0, PEEPHOLES}}},
    {.name = "last state", .features = 2, .layers = {LSTM(LE_FORWARD, 6)}, .top = TOP_LAST_STATE, .units = 2},
};

enum { BATCH = 5, STEPS = 4 };

/* Build and run with the n-th allocation failing; 1 when nothing failed, so that there are fewer than n. */
static int with_failure(const net *n, const feed *f, way how, const results *expected, long number)
{
    le_error error = {LE_OK, -1, ""};
    le_model *model = NULL;
    le_alloc_fail_after(number);
    le_status status = net_build(n, &model, &error);
    if (status != LE_OK) {
        le_alloc_fail_after(0);
        CHECK(status == LE_ERROR_MEMORY, "%s: building with allocation %ld failing: %s", n->spec.name, number,
              error.message);
        CHECK(model == NULL, "%s: a model in spite of the failure", n->spec.name);
        return 0;
    }
    results r = results_new(n, f->batch, f->steps);
    status = net_run(n, model, f, how, &r, &error);
    le_alloc_fail_after(0);
    const int whole = status == LE_OK;
    if (!whole) {
        CHECK(status == LE_ERROR_MEMORY, "%s: running with allocation %ld failing: %s", n->spec.name, number, error.message);
        results_free(&r);
        r = net_must_run(n, model, f, how);
    }
    for (size_t row = 0; row < f->batch; row++)
        check_same_row(n, &r, row, f->steps, expected, row, f->steps, f->steps, "after a failed allocation");
    results_free(&r);
    le_model_free(model);
    return whole;
}

void test_allocation(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int kind = 0; kind < WEIGHT_TYPES + 1; kind++) /* of weights, and a BLAS */
            for (int threads = 1; threads < 4; threads++) {
                net_spec spec = nets[i];
                spec.gemm = kind == WEIGHT_TYPES ? LE_GEMM_BLAS : LE_GEMM_PACKED;
                spec.weights = kind == WEIGHT_TYPES ? LE_WEIGHTS_FULL : (le_weight_type)kind;
                net n = net_new(&spec);
                feed f = feed_new(&n, BATCH, STEPS, 1, 1);
                const way how = {threads, threads == 2 ? LE_SPLIT_ROWS : LE_SPLIT_UNITS, 2};
                le_model *model = net_must_build(&n);
                results expected = net_must_run(&n, model, &f, how);
                le_model_free(model);
                long number = 1;
                while (number < 1000 && !with_failure(&n, &f, how, &expected, number))
                    number++;
                CHECK(number > 10 && number < 1000, "%s: %ld allocations", spec.name, number);
                results_free(&expected);
                feed_free(&f);
                net_free(&n);
            }
}
