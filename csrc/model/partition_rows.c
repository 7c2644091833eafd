#include "model/partition_rows.h"

#include <stdlib.h>

#include "base/arena.h"

typedef struct weighed_row {
    uint64_t steps;
    uint32_t row;
} weighed_row;

/* Longest first; equal rows in their own order, so that the partition is the same every time. */
static int by_falling_steps(const void *a, const void *b)
{
    const weighed_row *x = a, *y = b;
    if (x->steps != y->steps)
        return x->steps < y->steps ? 1 : -1;
    return x->row < y->row ? -1 : x->row > y->row;
}

le_status le_partition_rows(const le_model *model, const le_run *run, le_workspace *workspace)
{
    const size_t groups = (size_t)workspace->schedule.groups;
    weighed_row *sorted = NULL;
    if (workspace->partitioned && !workspace->shape.has_lengths)
        return LE_OK;
    if (workspace->shape.has_lengths) {
        sorted = le_alloc(le_mul(run->batch ? run->batch : 1, sizeof *sorted));
        if (sorted == NULL)
            return LE_ERROR_MEMORY;
        for (size_t row = 0; row < run->batch; row++) {
            sorted[row] = (weighed_row){0, (uint32_t)row};
            for (int axis = 0; axis < model->axes; axis++)
                sorted[row].steps += run->axes[axis].lengths ? (uint64_t)run->axes[axis].lengths[row] : 0;
        }
        qsort(sorted, run->batch, sizeof *sorted, by_falling_steps);
    }
    /* Round robin over rows by falling length gives every group the same share of the work; equal rows stay in order. */
    size_t first = 0;
    for (size_t g = 0; g < groups; g++) {
        le_group *group = &workspace->groups[g];
        for (size_t i = 0; i < group->rows; i++)
            group->batch_row[i] = sorted ? sorted[i * groups + g].row : (uint32_t)(first + i);
        first += group->rows;
    }
    for (size_t g = 0; g < groups; g++) {
        le_group *group = &workspace->groups[g];
        for (int axis = 0; axis < model->axes; axis++) {
            const int32_t *lengths = run->axes[axis].lengths;
            for (size_t i = 0; sorted && i < group->rows; i++)
                sorted[i] = (weighed_row){lengths ? (uint64_t)lengths[group->batch_row[i]] : 0, (uint32_t)i};
            if (lengths)
                qsort(sorted, group->rows, sizeof *sorted, by_falling_steps);
            for (size_t i = 0; i < group->rows; i++) {
                const uint32_t local = sorted ? sorted[i].row : (uint32_t)i;
                group->order_local[axis][i] = local;
                group->order_batch[axis][i] = group->batch_row[local];
                if (lengths)
                    group->lengths[axis][i] = (uint32_t)sorted[i].steps;
            }
        }
    }
    le_free(sorted);
    workspace->partitioned = 1;
    return LE_OK;
}
