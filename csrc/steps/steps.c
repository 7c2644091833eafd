/* Lists of steps: each is checked and laid out when it is added, and run without a look at either. */
#include "steps/step.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

struct le_steps {
    le_ready *steps;
    size_t count, room;
};

/* Sizes and strides that can be added and multiplied without a thought of overflow: far more than any memory. */
static const int64_t MOST_SIZE = (int64_t)1 << 31, MOST_STRIDE = (int64_t)1 << 40;

typedef struct le_extent {
    uintptr_t low, high;
} le_extent;

/* The bytes that a view of `axes` sizes, none of them 0, shows; 0 where they do not lie in its block. */
static int extent_of(const le_view *view, int axes, const int64_t *size, size_t itemsize, le_extent *extent)
{
    const uintptr_t block = (uintptr_t)view->block, first = (uintptr_t)view->first;
    if (!view->block || !view->first || view->bytes > (size_t)PTRDIFF_MAX / 16 || first < block ||
        first - block > view->bytes)
        return 0;
    uint64_t before = 0, after = itemsize;
    for (int axis = 0; axis < axes; axis++) {
        const int64_t stride = view->strides[axis];
        if (stride < -MOST_STRIDE || stride > MOST_STRIDE || stride % (int64_t)itemsize)
            return 0;
        const uint64_t steps = (uint64_t)(size[axis] - 1), step = (uint64_t)(stride < 0 ? -stride : stride);
        if (step && steps > view->bytes / step)
            return 0;
        *(stride < 0 ? &before : &after) += steps * step;
    }
    if (before > first - block || after > view->bytes - (first - block) || first % itemsize)
        return 0;
    extent->low = first - (uintptr_t)before;
    extent->high = first + (uintptr_t)after;
    return 1;
}

static int same_view(const le_view *a, const le_view *b, const le_step *step)
{
    if (a->first != b->first)
        return 0;
    for (int axis = 0; axis < step->axes; axis++)
        if (step->shape[axis] > 1 && a->strides[axis] != b->strides[axis])
            return 0;
    return 1;
}

static int inputs_of(le_step_kind kind)
{
    switch (kind) {
    case LE_STEP_COPY:
    case LE_STEP_SQUARE_ROOT:
    case LE_STEP_NEGATE:
    case LE_STEP_RELU:
    case LE_STEP_SUM_PAIRWISE:
    case LE_STEP_SUM_IN_TURN:
        return 1;
    default:
        return 2;
    }
}

static int64_t magnitude(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

/* Whether `inner` and the axis outside it are one axis for all operands. */
static int is_one_run(const le_loop *loop, int inputs, int inner, int outer)
{
    const int64_t size = loop->size[inner];
    int one = loop->out_stride[outer] == loop->out_stride[inner] * size;
    for (int i = 0; i < inputs; i++)
        one = one && loop->in_stride[i][outer] == loop->in_stride[i][inner] * size;
    return one;
}

static void move_axis(le_loop *loop, int to, int from)
{
    loop->size[to] = loop->size[from];
    loop->out_stride[to] = loop->out_stride[from];
    for (int i = 0; i < LE_STEP_INPUTS; i++)
        loop->in_stride[i][to] = loop->in_stride[i][from];
}

static void swap_axes(le_loop *loop, int a, int b)
{
    const le_loop before = *loop;
    move_axis(loop, a, b);
    loop->size[b] = before.size[a];
    loop->out_stride[b] = before.out_stride[a];
    for (int i = 0; i < LE_STEP_INPUTS; i++)
        loop->in_stride[i][b] = before.in_stride[i][a];
}

/* Axes of one element are left out, the smallest stride of out comes first, and axes that are one run are one. */
static void lay_out(le_loop *loop, int inputs)
{
    int axes = 0;
    for (int axis = 0; axis < loop->axes; axis++)
        if (loop->size[axis] != 1)
            move_axis(loop, axes++, axis);
    for (int axis = 1; axis < axes; axis++)
        for (int k = axis; k > 0 && magnitude(loop->out_stride[k]) < magnitude(loop->out_stride[k - 1]); k--)
            swap_axes(loop, k, k - 1);
    int merged = 0;
    for (int axis = 1; axis < axes; axis++) {
        if (is_one_run(loop, inputs, merged, axis))
            loop->size[merged] *= loop->size[axis];
        else
            move_axis(loop, ++merged, axis);
    }
    loop->axes = axes ? merged + 1 : 1;
    if (!axes) {
        loop->size[0] = 1;
        loop->out_stride[0] = (int64_t)sizeof(float);
        for (int i = 0; i < LE_STEP_INPUTS; i++)
            loop->in_stride[i][0] = (int64_t)sizeof(float);
    }
}

/* Whether no two positions of a laid-out loop write to the same bytes: each axis steps over all that is inside it. */
static int writes_apart(const le_loop *loop, size_t itemsize)
{
    int64_t reach = (int64_t)itemsize;
    for (int axis = 0; axis < loop->axes; axis++) {
        if (loop->size[axis] > 1 && magnitude(loop->out_stride[axis]) < reach)
            return 0;
        reach += (loop->size[axis] - 1) * magnitude(loop->out_stride[axis]);
    }
    return 1;
}

static le_status outside(const char *what, le_error *error)
{
    return le_fail(error, LE_ERROR_ARGUMENT,
                   "%s of a step has elements outside its block, or not at multiples of their size", what);
}

/* The loop of a step over its axes, those of a sum that are kept. */
static void loop_of(const le_step *step, int inputs, le_loop *loop)
{
    const int sum = step->kind == LE_STEP_SUM_PAIRWISE || step->kind == LE_STEP_SUM_IN_TURN;
    memset(loop, 0, sizeof *loop);
    loop->out = step->out.first;
    for (int i = 0; i < inputs; i++)
        loop->in[i] = step->in[i].first;
    for (int axis = 0; axis < step->axes; axis++) {
        if (sum && step->reduced[axis])
            continue;
        loop->size[loop->axes] = step->shape[axis];
        loop->out_stride[loop->axes] = step->out.strides[axis];
        for (int i = 0; i < inputs; i++)
            loop->in_stride[i][loop->axes] = step->in[i].strides[axis];
        loop->axes++;
    }
}

/* What is summed, as one run: the loop of the reduced axes in the order in which the input stands in memory. */
static le_status reduced_of(const le_step *step, le_ready *ready, le_error *error)
{
    le_loop loop;
    memset(&loop, 0, sizeof loop);
    for (int axis = 0; axis < step->axes; axis++)
        if (step->reduced[axis]) {
            loop.size[loop.axes] = step->shape[axis];
            loop.out_stride[loop.axes] = loop.in_stride[0][loop.axes] = step->in[0].strides[axis];
            loop.axes++;
        }
    lay_out(&loop, 1);
    if (loop.axes != 1 || loop.in_stride[0][0] < 0)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "a sum over axes that are not one run of memory");
    ready->count = loop.size[0];
    ready->apart = loop.in_stride[0][0];
    return LE_OK;
}

static le_status check_elements(const le_step *step, le_ready *ready, le_error *error)
{
    const int inputs = inputs_of(step->kind);
    const int sum = step->kind == LE_STEP_SUM_PAIRWISE || step->kind == LE_STEP_SUM_IN_TURN;
    const size_t itemsize = step->kind == LE_STEP_COPY ? step->itemsize : sizeof(float);
    le_extent written, read;
    if (itemsize != 1 && itemsize != 4 && itemsize != 8)
        return le_fail(error, LE_ERROR_ARGUMENT, "elements of %zu bytes; expected 1, 4 or 8", itemsize);
    for (int axis = 0; sum && axis < step->axes; axis++)
        if (step->reduced[axis] && step->out.strides[axis])
            return le_fail(error, LE_ERROR_ARGUMENT, "a sum writes along an axis that it is over");
    if (!extent_of(&step->out, step->axes, step->shape, itemsize, &written))
        return outside("out", error);
    for (int i = 0; i < inputs; i++) {
        if (!extent_of(&step->in[i], step->axes, step->shape, itemsize, &read))
            return outside("an input", error);
        const int apart = read.high <= written.low || written.high <= read.low;
        if (!apart && (sum || !same_view(&step->out, &step->in[i], step)))
            return le_fail(error, LE_ERROR_UNSUPPORTED, "an input of a step overlaps what it writes");
    }
    loop_of(step, inputs, &ready->loop);
    lay_out(&ready->loop, inputs);
    if (!writes_apart(&ready->loop, itemsize))
        return le_fail(error, LE_ERROR_UNSUPPORTED, "a step writes an element twice");
    ready->itemsize = itemsize;
    return sum ? reduced_of(step, ready, error) : LE_OK;
}

static int within(int64_t number, int64_t least, int64_t most)
{
    return number >= least && number <= most;
}

static le_status check_windows(const le_step *step, le_ready *ready, le_error *error)
{
    const int64_t F = sizeof(float), channels = step->axes == 4 ? step->shape[3] : 0;
    le_extent written, read;
    if (step->axes != 4)
        return le_fail(error, LE_ERROR_ARGUMENT, "windows make 4 axes, not %d", step->axes);
    for (int axis = 0; axis < 2; axis++)
        if (!within(step->sizes[axis], 1, MOST_SIZE) || !within(step->kernel[axis], 1, 1 << 20) ||
            !within(step->stride[axis], 1, 1 << 20) || !within(step->dilation[axis], 1, 1 << 20) ||
            !within(step->pad[axis], 0, MOST_SIZE))
            return le_fail(error, LE_ERROR_ARGUMENT, "sizes of windows are out of range");
    const int64_t x_shape[4] = {step->shape[0], step->sizes[0], step->sizes[1], channels};
    const int64_t w_shape[3] = {step->kernel[0], step->kernel[1], channels};
    const le_view *w = &step->in[1], *bias = &step->in[2];
    if (!extent_of(&step->out, 4, step->shape, sizeof(float), &written))
        return outside("out", error);
    if (!extent_of(&step->in[0], 4, x_shape, sizeof(float), &read))
        return outside("the input", error);
    if (step->out.strides[3] != F || step->in[0].strides[3] != F)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "windows of channels that do not stand side by side");
    int apart = read.high <= written.low || written.high <= read.low;
    if (w->strides[2] != F || w->strides[1] != F * channels || w->strides[0] != F * channels * w_shape[1])
        return le_fail(error, LE_ERROR_ARGUMENT, "the taps of windows are not dense");
    if (!extent_of(w, 3, w_shape, sizeof(float), &read))
        return outside("the taps", error);
    apart = apart && (read.high <= written.low || written.high <= read.low);
    if (bias->first) {
        if (bias->strides[0] != F || !extent_of(bias, 1, &channels, sizeof(float), &read))
            return outside("the bias", error);
        apart = apart && (read.high <= written.low || written.high <= read.low);
    }
    loop_of(step, 0, &ready->loop);
    lay_out(&ready->loop, 0);
    if (!apart || !writes_apart(&ready->loop, sizeof(float)))
        return le_fail(error, LE_ERROR_UNSUPPORTED, "windows overlap what they write");
    ready->windows = *step;
    return LE_OK;
}

/* Room for one more step. */
static le_status grow(le_steps *steps, le_error *error)
{
    if (steps->count < steps->room)
        return LE_OK;
    const size_t room = steps->room ? 2 * steps->room : 16;
    le_ready *more = le_alloc(le_mul(room, sizeof *more));
    if (!more)
        return le_fail(error, LE_ERROR_MEMORY, "no memory for %zu steps", room);
    if (steps->count)
        memcpy(more, steps->steps, steps->count * sizeof *more);
    le_free(steps->steps);
    steps->steps = more;
    steps->room = room;
    return LE_OK;
}

le_status le_steps_new(le_steps **steps, le_error *error)
{
    *steps = le_calloc(sizeof **steps);
    return *steps ? LE_OK : le_fail(error, LE_ERROR_MEMORY, "no memory for a list of steps");
}

void le_steps_free(le_steps *steps)
{
    if (steps) {
        le_free(steps->steps);
        le_free(steps);
    }
}

le_status le_steps_add(le_steps *steps, const le_step *step, le_error *error)
{
    int64_t elements = 1;
    if ((int)step->kind < 0 || step->kind >= LE_STEP_KINDS)
        return le_fail(error, LE_ERROR_ARGUMENT, "no step is called %d", (int)step->kind);
    if (step->axes < 0 || step->axes > LE_STEP_AXES)
        return le_fail(error, LE_ERROR_ARGUMENT, "a step of %d axes; expected 0 to %d", step->axes, LE_STEP_AXES);
    for (int axis = 0; axis < step->axes; axis++) {
        if (!within(step->shape[axis], 0, MOST_SIZE))
            return le_fail(error, LE_ERROR_ARGUMENT, "a size of a step is out of range");
        elements = step->shape[axis] && elements > MOST_STRIDE / step->shape[axis] ? -1 : elements * step->shape[axis];
        if (elements < 0)
            return le_fail(error, LE_ERROR_OVERFLOW, "a step of too many elements");
    }
    if (!elements)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "a step without elements");
    le_status status = grow(steps, error);
    if (status != LE_OK)
        return status;
    le_ready *ready = &steps->steps[steps->count];
    memset(ready, 0, sizeof *ready);
    ready->kind = step->kind;
    status = step->kind == LE_STEP_DEPTHWISE ? check_windows(step, ready, error) : check_elements(step, ready, error);
    steps->count += status == LE_OK;
    return status;
}

le_status le_steps_add_run(le_steps *steps, le_model *model, const le_run *run, le_error *error)
{
    const le_status status = grow(steps, error);
    if (status != LE_OK)
        return status;
    le_ready *ready = &steps->steps[steps->count++];
    memset(ready, 0, sizeof *ready);
    ready->kind = LE_STEP_KINDS;
    ready->model = model;
    ready->run = run;
    return LE_OK;
}

le_status le_steps_add_all(le_steps *steps, const le_steps *others, le_error *error)
{
    const size_t before = steps->count;
    for (size_t i = 0; i < others->count; i++) {
        const le_status status = grow(steps, error);
        if (status != LE_OK) {
            steps->count = before;
            return status;
        }
        steps->steps[steps->count++] = others->steps[i];
    }
    return LE_OK;
}

le_status le_steps_run(const le_steps *steps, le_error *error)
{
    const uint64_t mode = le_fp_default();
    le_status status = LE_OK;
    for (size_t i = 0; i < steps->count && status == LE_OK; i++) {
        const le_ready *ready = &steps->steps[i];
        if (ready->kind == LE_STEP_KINDS)
            status = le_model_run(ready->model, ready->run, error);
        else if (ready->kind == LE_STEP_DEPTHWISE)
            le_run_windows(ready);
        else if (ready->kind >= LE_STEP_SUM_PAIRWISE)
            le_run_sum(ready);
        else
            le_run_elements(ready);
    }
    le_fp_restore(mode);
    return status;
}
