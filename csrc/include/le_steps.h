/* lstm-engine: steps around models, on arrays that stay where they are.
 *
 * What stands between the layers of a graph (sums, products of numbers, moved axes, means) takes less time than the
 * calls that ask for it. A list of such steps is made once, for given arrays, and everything is checked then: that all
 * elements of each view lie in the block it names, that what is written is written once, that nothing is read from
 * where it is written but in its own place. Running the list looks at nothing again: whoever makes it keeps the blocks
 * alive and in place as long as the list.
 *
 * Numbers are float32 unless said otherwise. Element by element they are what IEEE arithmetic gives, so the bits of any
 * other such implementation.
 */
#ifndef LE_STEPS_H
#define LE_STEPS_H

#include "le.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LE_STEP_AXES = 8, LE_STEP_INPUTS = 3 };

typedef enum le_step_kind {
    LE_STEP_COPY = 0,         /* out = a, elements of 1, 4 or 8 bytes of any type */
    LE_STEP_ADD = 1,          /* a + b */
    LE_STEP_SUBTRACT = 2,     /* a - b */
    LE_STEP_MULTIPLY = 3,     /* a * b */
    LE_STEP_DIVIDE = 4,       /* a / b */
    LE_STEP_SQUARE_ROOT = 5,  /* sqrt(a) */
    LE_STEP_NEGATE = 6,       /* -a */
    LE_STEP_RELU = 7,         /* a > 0 ? a : 0, +0 where a is -0; NaN stays */
    LE_STEP_PRELU = 8,        /* a < 0 ? a * b : a */
    LE_STEP_SUM_PAIRWISE = 9, /* of a over `reduced`: eight sums side by side, halves of more than 128 apart */
    LE_STEP_SUM_IN_TURN = 10, /* of a over `reduced`: one after the other */
    LE_STEP_DEPTHWISE = 11,   /* windows of each channel by itself; see le_step */
    LE_STEP_KINDS = 12
} le_step_kind;

/* An array as a step sees it. Element i, j, ... stands `strides[0] * i + strides[1] * j + ...` bytes behind the first. */
typedef struct le_view {
    void *first;
    const void *block; /* [bytes], where all elements must lie; never written through this pointer */
    size_t bytes;
    int64_t strides[LE_STEP_AXES];
} le_view;

/* One step. `shape` has `axes` sizes, those of what is computed: all views have these axes, with stride 0 where an input
 * is broadcast along one, or `out` is reduced.
 *
 * LE_STEP_DEPTHWISE: shape is that of out, [batch, rows, columns, channels]; x = in[0] is [batch, sizes[0], sizes[1],
 * channels], w = in[1] is [kernel[0], kernel[1], channels], dense, and in[2] a bias [channels], or its `first` is null.
 *     out[b, i, j, c] = sum over k, l of w[k, l, c] * x[b, i * stride[0] + k * dilation[0] - pad[0], ..., c], + bias[c]
 * in order of k, then l, what lies beside x left out. Channels stand side by side in x and out. */
typedef struct le_step {
    le_step_kind kind;
    int axes;                     /* 0 .. LE_STEP_AXES */
    int64_t shape[LE_STEP_AXES];
    int reduced[LE_STEP_AXES];    /* of sums: whether an axis is summed over */
    size_t itemsize;              /* of LE_STEP_COPY */
    le_view out;
    le_view in[LE_STEP_INPUTS];
    int64_t sizes[2], kernel[2], stride[2], dilation[2], pad[2]; /* of LE_STEP_DEPTHWISE */
} le_step;

typedef struct le_steps le_steps;

/* An empty list; free it with le_steps_free (null is fine). */
le_status le_steps_new(le_steps **steps, le_error *error);
void le_steps_free(le_steps *steps);

/* Add a step, which is copied. LE_ERROR_UNSUPPORTED: it is a right one that is not known here (views that overlap, sums
 * over axes that are not one run of memory). LE_ERROR_ARGUMENT: elements outside their block, or a shape that cannot be.
 * The list is as it was before where adding fails. */
le_status le_steps_add(le_steps *steps, const le_step *step, le_error *error);

/* Add a run of a finished model. Both must outlive the list, and so must all that the run points at. */
le_status le_steps_add_run(le_steps *steps, le_model *model, const le_run *run, le_error *error);

/* Add the steps of another list, which may be freed then. */
le_status le_steps_add_all(le_steps *steps, const le_steps *others, le_error *error);

/* Run all steps in order. What fails is a run of a model: the steps after it are not run. One thread at a time. */
le_status le_steps_run(const le_steps *steps, le_error *error);

#ifdef __cplusplus
}
#endif
#endif
