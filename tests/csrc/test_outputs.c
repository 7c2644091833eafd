/* Which outputs are wanted may change from run to run; memory that is kept must follow. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

/* More outputs than a word has bits: a run that wants all, then one that wants all but one, which is then memory of the
 * workspace's own. `left`: the one that is not wanted. */
static void more_than_a_word(int left)
{
    enum { OUTPUTS = 70, BATCH = 3, STEPS = 4, FEATURES = 5, UNITS = 6 };
    le_error error = {LE_OK, -1, ""};
    const le_model_options options = {.dtype = LE_FLOAT32, .threads = 1};
    le_model *model = NULL;
    CHECK(le_model_new(&options, &model, &error) == LE_OK, "%s", error.message);
    float *kernel = random_array(&(rng){5}, LE_FLOAT32, FEATURES * UNITS, 1);
    float *x = random_array(&(rng){6}, LE_FLOAT32, BATCH * STEPS * FEATURES, 1);
    le_value in, y;
    CHECK(le_model_input(model, LE_SEQUENCE, 0, FEATURES, &in, &error) == LE_OK, "%s", error.message);
    for (int i = 0; i < OUTPUTS; i++) {
        CHECK(le_model_dense(model, in, kernel, NULL, UNITS, (le_activation){LE_ACT_TANH, 0, 0}, &y, &error) == LE_OK, "%s",
              error.message);
        CHECK(le_model_output(model, y, &error) == LE_OK, "%s", error.message);
    }
    CHECK(le_model_finish(model, &error) == LE_OK, "%s", error.message);
    const size_t count = BATCH * STEPS * UNITS;
    float *made = must_alloc(2 * OUTPUTS * count * sizeof *made);
    void *outputs[OUTPUTS];
    const void *const inputs[] = {x};
    const le_axis axis = {STEPS, NULL};
    le_run run = {.batch = BATCH, .axes = &axis, .inputs = inputs, .outputs = outputs, .threads = 1};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < OUTPUTS; i++)
            outputs[i] = round == 1 && i == left ? NULL : made + (size_t)(round * OUTPUTS + i) * count;
        CHECK(le_model_run(model, &run, &error) == LE_OK, "%s", error.message);
    }
    for (int i = 0; i < OUTPUTS; i++)
        CHECK(i == left || memcmp(made + (size_t)i * count, made + (size_t)(OUTPUTS + i) * count, count * 4) == 0,
              "output %d differs without output %d", i, left);
    free(kernel);
    free(x);
    free(made);
    le_model_free(model);
}

void test_outputs(void)
{
    more_than_a_word(69);
    more_than_a_word(3);
}
