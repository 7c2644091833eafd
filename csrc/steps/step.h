/* A step that has been checked, as it is run. */
#ifndef LE_STEPS_STEP_H
#define LE_STEPS_STEP_H

#include "le_steps.h"

/* Sizes and strides in bytes, sorted and merged: axes[0] is the innermost. Nothing of it is checked again. */
typedef struct le_loop {
    int axes;
    int64_t size[LE_STEP_AXES];
    char *out;
    const char *in[LE_STEP_INPUTS];
    int64_t out_stride[LE_STEP_AXES];
    int64_t in_stride[LE_STEP_INPUTS][LE_STEP_AXES];
} le_loop;

typedef struct le_ready {
    le_step_kind kind;   /* LE_STEP_KINDS: a run of a model */
    size_t itemsize;     /* of a copy */
    le_loop loop;        /* of a sum: what is kept */
    int64_t count;       /* of a sum: what is summed, */
    int64_t apart;       /* and bytes from one to the next */
    le_step windows;     /* of windows: as they came */
    le_model *model;
    const le_run *run;
} le_ready;

/* Element by element: LE_STEP_COPY .. LE_STEP_PRELU. */
void le_run_elements(const le_ready *step);
/* LE_STEP_SUM_PAIRWISE, LE_STEP_SUM_IN_TURN. */
void le_run_sum(const le_ready *step);
/* LE_STEP_DEPTHWISE. */
void le_run_windows(const le_ready *step);

/* The next position on the axes from `from` on, and the pointers that go with it; 0 past the last. at: [axes]. */
static inline int le_next(const le_loop *loop, int from, int inputs, int64_t *at, char **out, const char **in)
{
    for (int axis = from; axis < loop->axes; axis++) {
        *out += loop->out_stride[axis];
        for (int i = 0; i < inputs; i++)
            in[i] += loop->in_stride[i][axis];
        if (++at[axis] < loop->size[axis])
            return 1;
        *out -= loop->out_stride[axis] * loop->size[axis];
        for (int i = 0; i < inputs; i++)
            in[i] -= loop->in_stride[i][axis] * loop->size[axis];
        at[axis] = 0;
    }
    return 0;
}

/* Before a loop whose iterations read and write their own elements alone, in place or apart: the compiler need not ask. */
#if defined(__clang__)
#define LE_EACH_APART _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define LE_EACH_APART _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define LE_EACH_APART __pragma(loop(ivdep))
#else
#define LE_EACH_APART
#endif

#endif
