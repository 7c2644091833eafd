/* Every misuse that le.h speaks of, and its status; a failed call leaves the model usable. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static le_error error;

/* Check the status, and that a failure says something. */
#define FAILS(call, expected)                                                                                      \
    do {                                                                                                           \
        error = (le_error){LE_OK, -1, ""};                                                                         \
        const le_status status_ = (call);                                                                          \
        CHECK(status_ == (expected), "status %d (%s), expected %d", (int)status_, error.message, (int)(expected)); \
        CHECK((expected) == LE_OK || (error.status == (expected) && error.message[0] != 0), "no message");         \
        CHECK(le_status_text(status_)[0] != 0, "no text for status %d", (int)status_);                             \
    } while (0)

static const le_activation linear = {LE_ACT_LINEAR, 0, 0};
static const float weights[64];

static le_recurrent lstm_spec(le_value x, size_t hidden)
{
    le_recurrent r = {
        .cell = LE_LSTM, .hidden = hidden, .x = x, .initial_h = LE_NONE, .initial_c = LE_NONE, .w = weights, .r = weights};
    for (int d = 0; d < 2; d++) {
        r.activations[d][0].kind = LE_ACT_SIGMOID;
        r.activations[d][1].kind = r.activations[d][2].kind = LE_ACT_TANH;
    }
    return r;
}

static void unknown_machine(void)
{
    le_model *model = NULL;
    le_model_options options = {.isa = "mmx", .dtype = LE_FLOAT32, .gemm = LE_GEMM_PACKED};
    FAILS(le_model_new(&options, &model, &error), LE_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "mmx") != NULL, "the message does not name what was asked for: %s", error.message);
    CHECK(model == NULL, "a model in spite of the failure");
    for (size_t i = 0; i < le_isa_count(); i++) {
        options.isa = le_isa_name(i);
        FAILS(le_model_new(&options, &model, &error), le_isa_supported(i) ? LE_OK : LE_ERROR_ISA);
        if (le_isa_supported(i)) {
            CHECK(strcmp(le_model_isa(model), options.isa) == 0, "asked for %s, got %s", options.isa, le_model_isa(model));
            le_model_free(model);
        }
        CHECK(le_isa_description(i)[0] != 0, "no description");
    }
    CHECK(le_isa_name(le_isa_count()) == NULL && !le_isa_supported(le_isa_count()), "an instruction set past the end");
}

/* A model with one input [batch, steps, 2], one of ids, one vector of 3 features. */
static le_model *open_model(le_value *sequence, le_value *ids, le_value *vector)
{
    const le_model_options options = {.dtype = LE_FLOAT32, .gemm = LE_GEMM_PACKED};
    le_model *model = NULL;
    FAILS(le_model_new(&options, &model, &error), LE_OK);
    FAILS(le_model_input(model, LE_SEQUENCE, 0, 2, sequence, &error), LE_OK);
    FAILS(le_model_input_ids(model, LE_SEQUENCE, 0, ids, &error), LE_OK);
    FAILS(le_model_input(model, LE_VECTOR, 0, 3, vector, &error), LE_OK);
    return model;
}

static void wrong_building(void)
{
    le_value sequence, ids, vector, out = 77;
    le_model *model = open_model(&sequence, &ids, &vector);
    const size_t huge = (size_t)1 << 40;

    FAILS(le_model_input(model, LE_SEQUENCE, 2, 2, &out, &error), LE_ERROR_ARGUMENT);
    FAILS(le_model_input(model, LE_SEQUENCE, -1, 2, &out, &error), LE_ERROR_ARGUMENT);
    FAILS(le_model_input(model, LE_SEQUENCE, 0, 0, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_input(model, LE_VECTOR, 0, huge, &out, &error), LE_ERROR_SHAPE);

    FAILS(le_model_embedding(model, sequence, weights, 4, 2, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_embedding(model, 99, weights, 4, 2, &out, &error), LE_ERROR_ARGUMENT);
    FAILS(le_model_embedding(model, ids, weights, 0, 2, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_embedding(model, ids, weights, huge, 2, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_embedding(model, ids, weights, 4, 0, &out, &error), LE_ERROR_SHAPE);

    FAILS(le_model_dense(model, LE_NONE, weights, NULL, 4, linear, &out, &error), LE_ERROR_ARGUMENT);
    FAILS(le_model_dense(model, ids, weights, NULL, 4, linear, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_dense(model, sequence, weights, NULL, 0, linear, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_dense(model, sequence, weights, NULL, huge, linear, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_activate(model, ids, linear, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_pool(model, vector, LE_POOL_MEAN, &out, &error), LE_ERROR_SHAPE);
    FAILS(le_model_pool(model, ids, LE_POOL_MEAN, &out, &error), LE_ERROR_SHAPE);

    le_recurrent r = lstm_spec(vector, 2);
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r = lstm_spec(ids, 2);
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r = lstm_spec(sequence, 0);
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r = lstm_spec(sequence, huge);
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r = lstm_spec(sequence, 2);
    r.initial_h = vector; /* of 3 features, not 2 */
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r = lstm_spec(sequence, 2);
    r.initial_c = sequence;
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_SHAPE);
    r.initial_c = 55;
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_ARGUMENT);

    FAILS(le_model_output(model, ids, &error), LE_ERROR_SHAPE);
    FAILS(le_model_output(model, 1234, &error), LE_ERROR_ARGUMENT);
    CHECK(out == 77, "a failed call wrote its result");
    FAILS(le_model_finish(model, &error), LE_ERROR_ARGUMENT); /* no output */

    /* After all that the model can still be built and run. */
    r = lstm_spec(sequence, 2);
    FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_OK);
    FAILS(le_model_output(model, out, &error), LE_OK);
    const le_axis axis = {3, NULL};
    const le_run early = {.axes = &axis, .threads = 1};
    FAILS(le_model_run(model, &early, &error), LE_ERROR_STATE);
    FAILS(le_model_finish(model, &error), LE_OK);
    FAILS(le_model_finish(model, &error), LE_ERROR_STATE);
    FAILS(le_model_output(model, out, &error), LE_ERROR_STATE);
    FAILS(le_model_activate(model, out, linear, &out, &error), LE_ERROR_STATE);
    size_t size;
    CHECK(le_model_state_slot(model, 1, &size, &size, &size, &size) == LE_ERROR_ARGUMENT, "a layer that is not there");
    CHECK(le_model_run(model, &early, NULL) == LE_OK, "a batch of 0 rows, and nobody asking for the error");
    le_model_free(model);
    le_model_free(NULL);
}

/* A matrix is refused before anything of it is read, and the model can still be built. */
static void wrong_weights(void)
{
    static const float good[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const float wrong[] = {0, -1, NAN, INFINITY, -0.f};
    le_value sequence, ids, vector, wide, out = 77;
    const le_model_options doubles = {.dtype = LE_FLOAT64, .gemm = LE_GEMM_PACKED};
    le_model *model = NULL;
    FAILS(le_model_new(&doubles, &model, &error), LE_OK);
    for (int type = LE_WEIGHTS_FULL + 1; type < WEIGHT_TYPES; type++)
        FAILS(le_model_weights(model, &(le_weights){.type = (le_weight_type)type}, &error), LE_ERROR_UNSUPPORTED);
    FAILS(le_model_weights(model, NULL, &error), LE_OK);
    FAILS(le_model_weights(model, &(le_weights){.type = LE_WEIGHTS_FULL}, &error), LE_OK);
    le_model_free(model);

    model = open_model(&sequence, &ids, &vector);
    FAILS(le_model_weights(model, &(le_weights){.type = (le_weight_type)WEIGHT_TYPES}, &error), LE_ERROR_ARGUMENT);
    FAILS(le_model_weights(model, &(le_weights){.type = (le_weight_type)-1}, &error), LE_ERROR_ARGUMENT);
    for (int widened = 0; widened < 2; widened++) {
        le_weights given = {.type = widened ? LE_WEIGHTS_INT8_WIDENED : LE_WEIGHTS_INT8};
        le_recurrent r = lstm_spec(sequence, 2);
        FAILS(le_model_weights(model, &given, &error), LE_OK);
        FAILS(le_model_dense(model, vector, weights, NULL, 4, linear, &out, &error), LE_ERROR_ARGUMENT);
        FAILS(le_model_embedding(model, ids, weights, 4, 2, &out, &error), LE_ERROR_ARGUMENT);
        FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_ARGUMENT);
        given.w = good;
        FAILS(le_model_weights(model, &given, &error), LE_OK);
        FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_ARGUMENT); /* no scales of R */
        given.r = good;
        FAILS(le_model_weights(model, &given, &error), LE_OK);
        r.projection = 1, r.proj = weights;
        FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_ARGUMENT); /* nor of the projection */
        CHECK(strstr(error.message, "projection") != NULL, "the message names no matrix: %s", error.message);
        r.projection = 0, r.proj = NULL;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
            for (size_t at = 0; at < 8; at += 7) {
                float scales[8];
                memcpy(scales, good, sizeof scales);
                scales[at] = wrong[i];
                given.r = scales;
                FAILS(le_model_weights(model, &given, &error), LE_OK);
                FAILS(le_model_recurrent(model, &r, &out, NULL, NULL, &error), LE_ERROR_ARGUMENT);
                CHECK(strstr(error.message, at ? "R: scale 7" : "R: scale 0") != NULL, "not the scale: %s", error.message);
            }
        given.r = good;
    }
    /* More inputs than sums of 32 bits hold: integers are refused before they are read, floats of integers are not. */
    FAILS(le_model_input(model, LE_VECTOR, 0, LE_INT8_INPUTS + 1, &wide, &error), LE_OK);
    FAILS(le_model_weights(model, &(le_weights){.type = LE_WEIGHTS_INT8, .w = good}, &error), LE_OK);
    FAILS(le_model_dense(model, wide, NULL, NULL, 1, linear, &out, &error), LE_ERROR_UNSUPPORTED);
    CHECK(strstr(error.message, "65537") != NULL, "the message does not say how many: %s", error.message);
    int8_t *many = must_alloc(LE_INT8_INPUTS + 1);
    FAILS(le_model_weights(model, &(le_weights){.type = LE_WEIGHTS_INT8_WIDENED, .w = good}, &error), LE_OK);
    FAILS(le_model_dense(model, wide, many, NULL, 1, linear, &out, &error), LE_OK);
    free(many);
    FAILS(le_model_output(model, out, &error), LE_OK);
    FAILS(le_model_finish(model, &error), LE_OK);
    FAILS(le_model_weights(model, NULL, &error), LE_ERROR_STATE);
    le_model_free(model);
}

static void wrong_runs(void)
{
    net n =
        net_new(&(net_spec){.name = "tokens", .vocabulary = 5, .features = 3, .layers = {{LE_LSTM, LE_FORWARD, 4, 0, 0}}});
    le_model *model = net_must_build(&n);
    int32_t ids[] = {0, 1, 2, 3, 4, 0}, lengths[] = {2, 3};
    feed f = {.batch = 2, .steps = 3, .x = ids};
    results r = results_new(&n, 2, 3);
    const way alone = {1, LE_SPLIT_AUTO, 0};

    FAILS(net_run(&n, model, &f, (way){0, LE_SPLIT_AUTO, 0}, &r, &error), LE_ERROR_ARGUMENT);
    ids[5] = 5;
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_TOKEN);
    CHECK(error.index == 1, "the bad token is in row 1, not %d", (int)error.index);
    ids[5] = -1;
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_TOKEN);
    f.lengths = lengths; /* row 1 has 3 steps: the bad id counts */
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_TOKEN);
    lengths[1] = 2; /* now it is padding */
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_OK);
    lengths[0] = 4;
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_ARGUMENT);
    CHECK(error.index == 0, "the bad length is of row 0, not %d", (int)error.index);
    lengths[0] = -1;
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_ARGUMENT);
    f.steps = (size_t)1 << 40;
    f.lengths = NULL;
    FAILS(net_run(&n, model, &f, alone, &r, &error), LE_ERROR_OVERFLOW);
    results_free(&r);
    le_model_free(model);
    net_free(&n);
}

void test_errors(void)
{
    unknown_machine();
    wrong_building();
    wrong_weights();
    wrong_runs();
}
