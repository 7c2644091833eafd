/* The memory of a run, kept between runs of the same shape.
 *
 *   one block of memory
 *   ├── group 0 ── rows of the batch (per axis: order, lengths)
 *   │             ── values: whole sequences, blocks, vectors
 *   │             ── carried state of each recurrent layer
 *   │             └─ member 0 .. members-1: scratch of the layers, shared by all layers in turn
 *   └── group 1 ...
 */
#ifndef LE_MODEL_WORKSPACE_H
#define LE_MODEL_WORKSPACE_H

#include "base/barrier.h"
#include "model/model.h"
#include "model/schedule.h"

/* Layers of a member work one after the other, so the scratch of each is laid over the same memory. */
typedef union le_op_work {
    le_recurrent_work recurrent;
    le_dense_work dense;
} le_op_work;

typedef struct le_group {
    size_t rows;
    uint32_t *batch_row;     /* [rows]: place in the batch */
    uint32_t **order_local;  /* [axes][rows]: sorted place -> row of the group */
    uint32_t **order_batch;  /* [axes][rows]: sorted place -> place in the batch */
    uint32_t **lengths;      /* [axes][rows]: falling */
    char **storage;          /* [values]: memory of a value, null when it is the caller's or has none */
    le_recurrent_state *states; /* [ops] */
    le_op_work **work;       /* [members][ops] */
    le_barrier *barriers;    /* [3]: all, and each direction */
    int stop[3];             /* member 0's decisions for all: see wait_to_go_on in walk.c */
} le_group;

/* Bytes from one row of a stored value to the next: rows begin on cache lines. */
static inline size_t le_stored_row(const le_model *model, le_value value)
{
    return le_round_up(model->values[value].features * model->element, LE_ALIGN);
}

/* Blocks of a value that stand side by side: one for each member that may be at another block. */
static inline size_t le_slots(const le_schedule *schedule, int stage)
{
    return schedule->stages[stage].by_layers ? (size_t)schedule->members : 1;
}

/* What schedule and layout depend on, beside the steps of each axis and which outputs are wanted; runs that agree in
 * all of it share workspaces. */
typedef struct le_shape {
    size_t batch, block_steps;
    int threads, has_lengths, resumes; /* resumes: with states of a run before */
    le_split split;
} le_shape;

struct le_workspace {
    le_workspace *next;
    le_shape shape;
    size_t *steps;           /* [axes] */
    char *wanted;            /* [outputs]: it is written */
    le_schedule schedule;
    le_group *groups;        /* [schedule.groups] */
    int partitioned;         /* the groups know their rows: see le_partition_rows */
    int64_t alone_ns;        /* what one thread takes for such a run: guessed, then measured */
    size_t bytes;
    char *memory;
};

/* An idle workspace for runs such as this, or a new one; null when memory is short. */
le_workspace *le_workspace_take(le_model *model, const le_run *run);
/* Bytes that such a run's would take; SIZE_MAX when that overflows, or memory is short even for counting. */
size_t le_workspace_measure(const le_model *model, const le_run *run);
/* Give it back for the next run. */
void le_workspace_give(le_model *model, le_workspace *workspace);
void le_workspace_free_list(le_workspace *list);

#endif
