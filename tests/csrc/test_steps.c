/* Lists of steps: what each makes, element by element, and that nothing outside a block is ever taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "check.h"
#include "le_steps.h"
#include "net.h"

static le_error error;

static le_view view_of(void *block, size_t bytes, size_t offset, const int64_t *strides, int axes)
{
    le_view view = {(char *)block + offset, block, bytes, {0}};
    for (int axis = 0; axis < axes; axis++)
        view.strides[axis] = strides[axis];
    return view;
}

/* A view of random strides, offset and block for these sizes: dense in a random order of axes, some of them backwards, some
 * broadcast where that is allowed, or with anything else, mostly beyond the block. */
static le_view random_view(rng *random, int axes, const int64_t *shape, size_t itemsize, int read, void **block)
{
    int64_t strides[LE_STEP_AXES] = {0}, next = (int64_t)itemsize, before = 0, reach = (int64_t)itemsize;
    int order[LE_STEP_AXES];
    for (int axis = 0; axis < axes; axis++)
        order[axis] = axis;
    for (int axis = axes - 1; axis > 0; axis--) {
        const int other = (int)rng_below(random, (size_t)axis + 1), swapped = order[axis];
        order[axis] = order[other], order[other] = swapped;
    }
    for (int k = 0; k < axes; k++) {
        const int axis = order[k];
        if (read && rng_below(random, 4) == 0)
            continue;
        strides[axis] = rng_below(random, 4) == 0 ? -next : next;
        if (strides[axis] < 0)
            before += next * (shape[axis] - 1);
        reach += next * (shape[axis] - 1);
        next *= shape[axis] + (int64_t)rng_below(random, 2);
    }
    size_t bytes = (size_t)reach;
    if (rng_below(random, 8) == 0 && bytes > itemsize)
        bytes -= itemsize * (1 + rng_below(random, 2)); /* too little by one or two */
    if (rng_below(random, 16) == 0 && axes)
        strides[rng_below(random, (size_t)axes)] *= 3;
    *block = must_alloc(bytes);
    for (size_t i = 0; i + sizeof(float) <= bytes; i += sizeof(float)) {
        const float number = (float)rng_next(random);
        memcpy((char *)*block + i, &number, sizeof number);
    }
    return view_of(*block, bytes, (size_t)before, strides, axes);
}

static int64_t place_of(const le_view *view, int axes, const int64_t *at)
{
    int64_t place = 0;
    for (int axis = 0; axis < axes; axis++)
        place += view->strides[axis] * at[axis];
    return place;
}

static float number_at(const le_view *view, int axes, const int64_t *at)
{
    float number;
    memcpy(&number, (const char *)view->first + place_of(view, axes, at), sizeof number);
    return number;
}

/* Whether the view lies in its block, computed as plainly as can be. */
static int lies_within(const le_view *view, int axes, const int64_t *shape, size_t itemsize)
{
    int64_t low = (const char *)view->first - (const char *)view->block, high = low + (int64_t)itemsize;
    for (int axis = 0; axis < axes; axis++)
        *(view->strides[axis] < 0 ? &low : &high) += view->strides[axis] * (shape[axis] - 1);
    return low >= 0 && high <= (int64_t)view->bytes;
}

static int next_place(int axes, const int64_t *shape, int64_t *at)
{
    for (int axis = axes - 1; axis >= 0; axis--) {
        if (++at[axis] < shape[axis])
            return 1;
        at[axis] = 0;
    }
    return 0;
}

static float expected(le_step_kind kind, float a, float b)
{
    switch (kind) {
    case LE_STEP_ADD:
        return a + b;
    case LE_STEP_SUBTRACT:
        return a - b;
    case LE_STEP_MULTIPLY:
        return a * b;
    case LE_STEP_DIVIDE:
        return a / b;
    case LE_STEP_SQUARE_ROOT:
        return sqrtf(a);
    case LE_STEP_NEGATE:
        return -a;
    case LE_STEP_RELU:
        return a > 0 ? a : a == a ? 0 : a;
    case LE_STEP_PRELU:
        return a < 0 ? a * b : a;
    default:
        return a;
    }
}

static void any_elements(rng *random, le_step_kind kind)
{
    le_step step = {.kind = kind, .axes = (int)rng_below(random, 5), .itemsize = sizeof(float)};
    void *blocks[3] = {NULL, NULL, NULL};
    int fits = 1;
    le_steps *steps = NULL;
    for (int axis = 0; axis < step.axes; axis++)
        step.shape[axis] = 1 + (int64_t)rng_below(random, 9);
    step.out = random_view(random, step.axes, step.shape, sizeof(float), 0, &blocks[2]);
    fits = lies_within(&step.out, step.axes, step.shape, sizeof(float));
    const int two = kind == LE_STEP_ADD || kind == LE_STEP_SUBTRACT || kind == LE_STEP_MULTIPLY || kind == LE_STEP_DIVIDE ||
                    kind == LE_STEP_PRELU;
    for (int i = 0; i < 1 + two; i++) {
        step.in[i] = random_view(random, step.axes, step.shape, sizeof(float), 1, &blocks[i]);
        fits = fits && lies_within(&step.in[i], step.axes, step.shape, sizeof(float));
    }
    CHECK(le_steps_new(&steps, &error) == LE_OK, "no list");
    const le_status status = le_steps_add(steps, &step, &error);
    CHECK(fits ? status != LE_ERROR_ARGUMENT : status == LE_ERROR_ARGUMENT, "kind %d, %s: status %d", (int)kind,
          fits ? "within its blocks" : "outside of them", (int)status);
    CHECK(le_steps_run(steps, &error) == LE_OK, "the list does not run");
    if (status == LE_OK) {
        int64_t at[LE_STEP_AXES] = {0};
        do {
            const float a = number_at(&step.in[0], step.axes, at), b = two ? number_at(&step.in[1], step.axes, at) : 0;
            const float made = number_at(&step.out, step.axes, at), wanted = expected(kind, a, b);
            CHECK(memcmp(&made, &wanted, sizeof made) == 0 || (made != made && wanted != wanted), "kind %d: %g, expected %g",
                  (int)kind, (double)made, (double)wanted);
        } while (next_place(step.axes, step.shape, at));
    }
    le_steps_free(steps);
    for (int i = 0; i < 3; i++)
        free(blocks[i]);
}

/* A sum of whole numbers is the same in every order. */
static void any_sum(rng *random, le_step_kind kind)
{
    le_step step = {.kind = kind, .axes = 1 + (int)rng_below(random, 3)};
    void *blocks[2];
    int64_t kept[LE_STEP_AXES];
    le_steps *steps = NULL;
    for (int axis = 0; axis < step.axes; axis++) {
        step.shape[axis] = 1 + (int64_t)rng_below(random, rng_below(random, 6) ? 12 : 300);
        step.reduced[axis] = rng_below(random, 2) == 0;
        kept[axis] = step.reduced[axis] ? 1 : step.shape[axis];
    }
    step.out = random_view(random, step.axes, kept, sizeof(float), 0, &blocks[1]);
    step.in[0] = random_view(random, step.axes, step.shape, sizeof(float), 1, &blocks[0]);
    for (int axis = 0; axis < step.axes; axis++)
        if (step.reduced[axis])
            step.out.strides[axis] = 0;
    for (size_t i = 0; i + sizeof(float) <= step.in[0].bytes; i += sizeof(float))
        *(float *)((char *)blocks[0] + i) = (float)rng_below(random, 100) - 50;
    CHECK(le_steps_new(&steps, &error) == LE_OK, "no list");
    const le_status status = le_steps_add(steps, &step, &error);
    const int fits = lies_within(&step.out, step.axes, kept, sizeof(float)) &&
                     lies_within(&step.in[0], step.axes, step.shape, sizeof(float));
    CHECK(fits ? status != LE_ERROR_ARGUMENT : status == LE_ERROR_ARGUMENT, "a sum: status %d", (int)status);
    CHECK(le_steps_run(steps, &error) == LE_OK, "the list does not run");
    if (status == LE_OK) {
        int64_t to[LE_STEP_AXES] = {0};
        do {
            int64_t at[LE_STEP_AXES] = {0};
            float wanted = 0;
            do {
                int here = 1;
                for (int axis = 0; axis < step.axes; axis++)
                    here = here && (step.reduced[axis] || at[axis] == to[axis]);
                if (here)
                    wanted += number_at(&step.in[0], step.axes, at);
            } while (next_place(step.axes, step.shape, at));
            CHECK(number_at(&step.out, step.axes, to) == wanted, "a sum is %g, expected %g",
                  (double)number_at(&step.out, step.axes, to), (double)wanted);
        } while (next_place(step.axes, kept, to));
    }
    le_steps_free(steps);
    free(blocks[0]);
    free(blocks[1]);
}

/* Windows of each channel, whole numbers again: dense x [b, h, w, c], taps, bias and out. */
static void any_windows(rng *random)
{
    enum { F = sizeof(float) };
    le_step step = {.kind = LE_STEP_DEPTHWISE, .axes = 4};
    const int64_t channels = 1 + (int64_t)rng_below(random, 70), batch = 1 + (int64_t)rng_below(random, 2);
    step.shape[0] = batch, step.shape[3] = channels;
    for (int axis = 0; axis < 2; axis++) {
        step.sizes[axis] = 1 + (int64_t)rng_below(random, 8), step.kernel[axis] = 1 + (int64_t)rng_below(random, 4);
        step.stride[axis] = 1 + (int64_t)rng_below(random, 3), step.dilation[axis] = 1 + (int64_t)rng_below(random, 3);
        step.pad[axis] = (int64_t)rng_below(random, 5);
        step.shape[axis + 1] = 1 + (int64_t)rng_below(random, 9); /* windows may lie beside x altogether */
    }
    const int64_t H = step.sizes[0], W = step.sizes[1], K = step.kernel[0], L = step.kernel[1];
    const size_t counts[4] = {(size_t)(batch * H * W * channels), (size_t)(K * L * channels), (size_t)channels,
                              (size_t)(batch * step.shape[1] * step.shape[2] * channels)};
    float *arrays[4];
    for (int i = 0; i < 4; i++) {
        arrays[i] = must_alloc(counts[i] * F);
        for (size_t k = 0; k < counts[i]; k++)
            arrays[i][k] = (float)rng_below(random, 20) - 10;
    }
    const int64_t x_strides[4] = {H * W * channels * F, W * channels * F, channels * F, F};
    const int64_t w_strides[3] = {L * channels * F, channels * F, F}, bias_strides[1] = {F};
    const int64_t out_strides[4] = {step.shape[1] * step.shape[2] * channels * F, step.shape[2] * channels * F, channels * F,
                                    F};
    step.in[0] = view_of(arrays[0], counts[0] * F, 0, x_strides, 4);
    step.in[1] = view_of(arrays[1], counts[1] * F, 0, w_strides, 3);
    const int biased = rng_below(random, 2) == 0;
    if (biased)
        step.in[2] = view_of(arrays[2], counts[2] * F, 0, bias_strides, 1);
    step.out = view_of(arrays[3], counts[3] * F, 0, out_strides, 4);
    le_steps *steps = NULL;
    CHECK(le_steps_new(&steps, &error) == LE_OK, "no list");
    for (int i = 0; i < 3 + biased; i++) { /* a block that is too small by one element is refused */
        le_view *view = i < 2 ? &step.in[i] : i == 2 ? &step.out : &step.in[2];
        view->bytes -= F;
        CHECK(le_steps_add(steps, &step, &error) == LE_ERROR_ARGUMENT, "windows outside of block %d", i);
        view->bytes += F;
    }
    CHECK(le_steps_add(steps, &step, &error) == LE_OK, "windows: %s", error.message);
    CHECK(le_steps_run(steps, &error) == LE_OK, "the list does not run");
    int64_t at[4] = {0};
    do {
        float wanted = biased ? arrays[2][at[3]] : 0;
        for (int64_t k = 0; k < K; k++)
            for (int64_t l = 0; l < L; l++) {
                const int64_t i = at[1] * step.stride[0] + k * step.dilation[0] - step.pad[0];
                const int64_t j = at[2] * step.stride[1] + l * step.dilation[1] - step.pad[1];
                if (i >= 0 && i < H && j >= 0 && j < W)
                    wanted +=
                        arrays[1][(k * L + l) * channels + at[3]] * arrays[0][((at[0] * H + i) * W + j) * channels + at[3]];
            }
        CHECK(number_at(&step.out, 4, at) == wanted, "windows make %g, expected %g", (double)number_at(&step.out, 4, at),
              (double)wanted);
    } while (next_place(4, step.shape, at));
    le_steps_free(steps);
    for (int i = 0; i < 4; i++)
        free(arrays[i]);
}

#define REFUSED(expected_status, ...)                                                                   \
    do {                                                                                                \
        le_step wrong = right;                                                                          \
        __VA_ARGS__;                                                                                    \
        const le_status status_ = le_steps_add(steps, &wrong, &error);                                  \
        CHECK(status_ == (expected_status) && error.message[0], "status %d, expected %d", (int)status_, \
              (int)(expected_status));                                                                  \
    } while (0)

static void refused(void)
{
    static float numbers[24], made[24];
    const int64_t strides[2] = {6 * sizeof(float), sizeof(float)};
    le_step right = {.kind = LE_STEP_ADD, .axes = 2, .shape = {4, 6}};
    right.out = view_of(made, sizeof made, 0, strides, 2);
    right.in[0] = right.in[1] = view_of(numbers, sizeof numbers, 0, strides, 2);
    le_steps *steps = NULL, *others = NULL;
    CHECK(le_steps_new(&steps, &error) == LE_OK && le_steps_new(&others, &error) == LE_OK, "no list");
    REFUSED(LE_ERROR_ARGUMENT, wrong.kind = LE_STEP_KINDS);
    REFUSED(LE_ERROR_ARGUMENT, wrong.axes = -1);
    REFUSED(LE_ERROR_ARGUMENT, wrong.axes = LE_STEP_AXES + 1);
    REFUSED(LE_ERROR_ARGUMENT, wrong.shape[0] = -1);
    REFUSED(LE_ERROR_ARGUMENT, wrong.shape[0] = INT64_MAX);
    REFUSED(LE_ERROR_ARGUMENT, wrong.shape[1] = 7);
    REFUSED(LE_ERROR_OVERFLOW, wrong.shape[0] = wrong.shape[1] = (int64_t)1 << 31);
    REFUSED(LE_ERROR_UNSUPPORTED, wrong.shape[0] = 0);
    REFUSED(LE_ERROR_ARGUMENT, wrong.out.first = NULL);
    REFUSED(LE_ERROR_ARGUMENT, wrong.in[1].block = NULL);
    REFUSED(LE_ERROR_ARGUMENT, wrong.in[0].first = made);
    REFUSED(LE_ERROR_ARGUMENT, wrong.in[0].strides[0] = INT64_MIN);
    REFUSED(LE_ERROR_ARGUMENT, wrong.in[0].strides[1] = 2);
    REFUSED(LE_ERROR_ARGUMENT, wrong.in[0].bytes = SIZE_MAX);
    REFUSED(LE_ERROR_UNSUPPORTED, wrong.out.strides[0] = 0);
    REFUSED(LE_ERROR_UNSUPPORTED, wrong.out = wrong.in[0], wrong.in[0].strides[0] = 0);
    REFUSED(LE_ERROR_ARGUMENT, wrong.kind = LE_STEP_COPY, wrong.itemsize = 3);
    REFUSED(LE_ERROR_ARGUMENT, wrong.kind = LE_STEP_SUM_IN_TURN, wrong.reduced[0] = 1);
    REFUSED(LE_ERROR_ARGUMENT, wrong.kind = LE_STEP_DEPTHWISE);
    CHECK(le_steps_add(others, &right, &error) == LE_OK, "%s", error.message);
    for (int i = 0; i < 24; i++)
        numbers[i] = (float)i, made[i] = -1;
    CHECK(le_steps_run(steps, &error) == LE_OK && made[5] == -1, "steps that were refused have run");
    CHECK(le_steps_add_all(steps, others, &error) == LE_OK, "%s", error.message);
    le_steps_free(others);
    CHECK(le_steps_run(steps, &error) == LE_OK && made[5] == 10, "steps of another list do not run");
    le_steps_free(steps);
    le_steps_free(NULL);
}

/* A run of a model between steps; where it fails, those behind it are not run; where memory is short, nothing is lost. */
static void runs_of_models(void)
{
    le_model *model = NULL;
    le_value ids, rows;
    const le_model_options options = {.dtype = LE_FLOAT32, .gemm = LE_GEMM_PACKED};
    const float table[3] = {10, 20, 30};
    CHECK(le_model_new(&options, &model, &error) == LE_OK &&
              le_model_input_ids(model, LE_VECTOR, 0, &ids, &error) == LE_OK &&
              le_model_embedding(model, ids, table, 3, 1, &rows, &error) == LE_OK &&
              le_model_output(model, rows, &error) == LE_OK && le_model_finish(model, &error) == LE_OK,
          "%s", error.message);
    int32_t id[1] = {1};
    float row[1], twice[1] = {0};
    const void *inputs[1] = {id};
    void *outputs[1] = {row};
    const le_run run = {.batch = 1, .inputs = inputs, .outputs = outputs, .threads = 1};
    le_step step = {.kind = LE_STEP_ADD};
    step.out = view_of(twice, sizeof twice, 0, NULL, 0);
    step.in[0] = step.in[1] = view_of(row, sizeof row, 0, NULL, 0);
    le_steps *steps = NULL;
    le_alloc_fail_after(1);
    CHECK(le_steps_new(&steps, &error) == LE_ERROR_MEMORY && !steps, "a list without memory");
    CHECK(le_steps_new(&steps, &error) == LE_OK, "no list");
    le_alloc_fail_after(1);
    CHECK(le_steps_add_run(steps, model, &run, &error) == LE_ERROR_MEMORY, "a step without memory");
    for (int i = 0; i < 40; i++)
        CHECK(le_steps_add_run(steps, model, &run, &error) == LE_OK && le_steps_add(steps, &step, &error) == LE_OK, "%s",
              error.message);
    CHECK(le_steps_run(steps, &error) == LE_OK && twice[0] == 40, "twice 20 is %g", (double)twice[0]);
    id[0] = 3;
    twice[0] = 0;
    CHECK(le_steps_run(steps, &error) == LE_ERROR_TOKEN && twice[0] == 0, "a token that is not there");
    le_steps_free(steps);
    le_model_free(model);
}

void test_steps(void)
{
    rng random = {20};
    for (int kind = LE_STEP_COPY; kind <= LE_STEP_PRELU; kind++)
        for (int i = 0; i < 200; i++)
            if (combination_tried())
                any_elements(&random, (le_step_kind)kind);
    for (int i = 0; i < 100; i++)
        if (combination_tried()) {
            any_sum(&random, LE_STEP_SUM_PAIRWISE);
            any_sum(&random, LE_STEP_SUM_IN_TURN);
            any_windows(&random);
        }
    refused();
    runs_of_models();
}
