/* How layers see values and the team: rows wherever they lie, a block of steps, the members that share the work. */
#ifndef LE_LAYERS_VIEW_H
#define LE_LAYERS_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/watch.h"

/* Rows of a value: a sequence [steps, rows, features] in any order of axes, or a vector (step 0).
 * Row r of a group may stand anywhere in the caller's batch: `order` maps it (null: as it is).
 * With `ids`, a row is found in `base` (an embedding table) by token id. */
typedef struct le_rows {
    char *base;
    size_t step_bytes, row_bytes;
    size_t first_step;      /* the step that stands at base: blocks hold a part of a sequence */
    const uint32_t *order;
    const int32_t *ids;     /* element step * ids_step + row * ids_row, or null */
    size_t ids_step, ids_row;
} le_rows;

static inline char *le_row(const le_rows *rows, size_t step, size_t row)
{
    if (rows->order)
        row = rows->order[row];
    if (rows->ids)
        return rows->base + (size_t)rows->ids[step * rows->ids_step + row * rows->ids_row] * rows->row_bytes;
    return rows->base + (step - rows->first_step) * rows->step_bytes + row * rows->row_bytes;
}

/* Steps begin..end of a group of rows sorted by falling length. A reverse layer counts steps from each row's own end. */
typedef struct le_block {
    size_t begin, end;
    size_t rows;
    const uint32_t *lengths; /* [rows], or null: every row has all steps */
    size_t steps;            /* of the whole sequence */
} le_block;

static inline size_t le_length(const le_block *block, size_t row)
{
    return block->lengths ? block->lengths[row] : block->steps;
}

/* Rows that have a step `step`: a prefix, since lengths fall. `from` is the answer for an earlier step. */
static inline size_t le_active(const le_block *block, size_t step, size_t from)
{
    if (!block->lengths)
        return block->steps > step ? block->rows : 0;
    while (from > 0 && block->lengths[from - 1] <= step)
        from--;
    return from;
}

/* The threads that work on one row group, and the barriers that they wait at; `member` is which of them this is. */
typedef struct le_thread_group {
    int member, members;
    le_barrier *barrier;    /* of all members */
    le_barrier *directions; /* [2]: of the members of each direction of a bidirectional layer */
    le_watch *watch;        /* of the run, or null: it always goes on */
    int caller;             /* this member is the caller's thread */
} le_thread_group;

/* Whether to leave the rest of a piece of work undone, asked before `work` operations. Members may learn of it at
 * different times: whoever does goes on to every barrier, and only leaves out the arithmetic between them. */
static inline int le_stopped(const le_thread_group *threads, double work)
{
    return threads->watch != NULL && le_watch_stops(threads->watch, threads->caller, work);
}

static inline void le_group_wait(const le_thread_group *threads)
{
    if (threads->members > 1)
        le_barrier_wait(threads->barrier);
}

/* This member's share of `count` things: begin..end. */
static inline void le_share(const le_thread_group *threads, size_t count, size_t *begin, size_t *end)
{
    *begin = count * (size_t)threads->member / (size_t)threads->members;
    *end = count * ((size_t)threads->member + 1) / (size_t)threads->members;
}

#endif
