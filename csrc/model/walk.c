/* One member's way through a model: begin, run and finish every operation of every stage, block of steps by block.
 *
 * All members of a thread group execute the same code on the same group of rows (as one program on many data); each layer does
 * its member's share and waits for the others. Row groups never wait for each other.
 */
#include <string.h>

#include "model/running.h"

typedef struct walker {
    le_running *all;
    le_group *group;
    le_thread_group threads;
    int member; /* whose scratch is used; also the thread group's, unless this member works on layers of its own */
} walker;

/* Where a layer working on `axis` finds rows of a batch. */
static const uint32_t *order_outside(const walker *w, int axis)
{
    return axis < 0 ? w->group->batch_row : w->group->order_batch[axis];
}

/* The rows of an embedding's table that its ids name. */
static le_rows table_rows(const walker *w, const le_op *op, int axis)
{
    const le_value_info *ids = &w->all->model->values[op->x];
    return (le_rows){.base = op->as.embedding.table,
                     .row_bytes = op->as.embedding.features * op->as.embedding.products->element,
                     .order = order_outside(w, axis),
                     .ids = w->all->run->inputs[ids->input],
                     .ids_step = 1,
                     .ids_row = ids->rank == LE_SEQUENCE ? w->all->run->axes[ids->axis].steps : 1};
}

/* The rows of a value as a layer working on `axis` (-1: vectors) sees them; `first_step`: what its block begins with. */
static le_rows rows_of(const walker *w, le_value value, int axis, size_t first_step)
{
    const le_model *model = w->all->model;
    const le_run *run = w->all->run;
    const le_value_info *info = &model->values[value];
    const le_op *producer = info->producer < 0 ? NULL : &model->ops[info->producer];
    const int sequence = info->rank == LE_SEQUENCE;
    const uint32_t *outside = order_outside(w, axis);
    if (le_looked_up(model, value))
        return table_rows(w, producer, axis);
    const size_t bytes = info->features * model->element;
    const void *outer = info->input >= 0 ? run->inputs[info->input] : info->output >= 0 ? run->outputs[info->output] : NULL;
    if (outer)
        return (le_rows){.base = (char *)outer,
                         .step_bytes = sequence ? bytes : 0,
                         .row_bytes = sequence ? bytes * run->axes[info->axis].steps : bytes,
                         .order = outside};
    const size_t stored = le_stored_row(model, value);
    if (sequence && !info->crosses && first_step > 0) {
        /* Members that follow each other through the layers each have their block of it. */
        const le_schedule *schedule = &w->all->workspace->schedule;
        const size_t block = schedule->stages[producer->stage].block, slots = le_slots(schedule, producer->stage);
        return (le_rows){.base = w->group->storage[value] + first_step / block % slots * block * stored * w->group->rows,
                         .step_bytes = stored * w->group->rows,
                         .row_bytes = stored,
                         .first_step = first_step};
    }
    if (sequence)
        return (le_rows){.base = w->group->storage[value], .step_bytes = stored * w->group->rows, .row_bytes = stored};
    return (le_rows){
        .base = w->group->storage[value], .row_bytes = stored, .order = axis < 0 ? NULL : w->group->order_local[axis]};
}

/* The carried state of a recurrent layer before its first step. */
static void begin_recurrent(walker *w, const le_op *op, int number, int axis)
{
    const le_model *model = w->all->model;
    const le_run *run = w->all->run;
    le_rows h = {0}, c = {0};
    if (le_op_from_zero(op, run)) {
        if (w->threads.member == 0)
            le_recurrent_zero(&op->as.recurrent, &w->threads, &w->group->states[number], w->group->rows);
        return;
    }
    if (op->initial_h != LE_NONE)
        h = rows_of(w, op->initial_h, axis, 0);
    if (op->initial_c != LE_NONE)
        c = rows_of(w, op->initial_c, axis, 0);
    size_t row, last;
    le_share(&w->threads, w->group->rows, &row, &last);
    for (; row < last; row++) {
        const char *state = run->state_in ? run->state_in[w->group->order_batch[axis][row]] : NULL;
        const void *row_h = h.base ? le_row(&h, 0, row) : state ? state + op->h_offset * model->element : NULL;
        const void *row_c = c.base                              ? le_row(&c, 0, row)
                            : state && op->c_offset != SIZE_MAX ? state + op->c_offset * model->element
                                                                : NULL;
        le_recurrent_put(&op->as.recurrent, &w->group->states[number], w->group->rows, row, row_h, row_c);
    }
}

static void zero_rows(walker *w, const le_rows *rows, size_t bytes)
{
    size_t row, last;
    le_share(&w->threads, w->group->rows, &row, &last);
    for (; row < last; row++)
        memset(le_row(rows, 0, row), 0, bytes);
}

/* Steps past a sequence's end are zero in every output that keeps them. */
static void zero_padding(walker *w, const le_op *op, const le_block *whole, int axis)
{
    const le_value_info *info = &w->all->model->values[op->y];
    if (whole->lengths == NULL || info->rank != LE_SEQUENCE)
        return;
    if (info->output < 0 || w->all->run->outputs[info->output] == NULL)
        return; /* nobody reads the padding of a value inside */
    const le_rows rows = rows_of(w, op->y, axis, 0);
    size_t row, last;
    le_share(&w->threads, w->group->rows, &row, &last);
    for (; row < last; row++)
        for (size_t step = whole->lengths[row]; step < whole->steps; step++)
            memset(le_row(&rows, step, row), 0, info->features * w->all->model->element);
}

static void begin_op(walker *w, const le_op *op, int number, const le_block *whole, int axis)
{
    if (op->kind == LE_OP_RECURRENT)
        begin_recurrent(w, op, number, axis);
    if (op->kind == LE_OP_POOL) {
        const le_rows rows = rows_of(w, op->y, axis, 0);
        zero_rows(w, &rows, w->all->model->values[op->y].features * w->all->model->element);
    }
    if (op->y != LE_NONE)
        zero_padding(w, op, whole, axis);
}

static void run_op(walker *w, const le_op *op, int number, const le_block *block, int axis)
{
    const le_model *model = w->all->model;
    const le_rows x = op->kind == LE_OP_EMBEDDING ? table_rows(w, op, axis) : rows_of(w, op->x, axis, block->begin);
    le_rows y = {0};
    if (op->y != LE_NONE)
        y = rows_of(w, op->y, axis, block->begin);
    const le_op_work *work = &w->group->work[w->member][number];
    switch (op->kind) {
    case LE_OP_EMBEDDING:
        if (!le_embedding_in_place(&op->as.embedding))
            le_embedding_block(&op->as.embedding, &w->threads, block, &x, &y);
        break;
    case LE_OP_RECURRENT:
        le_recurrent_block(&op->as.recurrent, &w->threads, block, &x, y.base ? &y : NULL, &w->group->states[number],
                           &work->recurrent, le_op_from_zero(op, w->all->run));
        break;
    case LE_OP_DENSE:
        le_dense_block(&op->as.dense, &w->threads, block, &x, &y, &work->dense);
        break;
    case LE_OP_ACTIVATE:
        le_activate_block(model->kernels, op->as.activation, model->values[op->x].features, &w->threads, block, &x, &y);
        break;
    case LE_OP_POOL:
        le_pool_block(model->kernels, op->as.pool, model->values[op->x].features, &w->threads, block, &x, &y);
        break;
    }
}

static void finish_op(walker *w, const le_op *op, int number, const le_block *whole, int axis)
{
    if (op->kind == LE_OP_POOL) {
        const le_rows rows = rows_of(w, op->y, axis, 0);
        le_pool_finish(w->all->model->kernels, op->as.pool, w->all->model->values[op->y].features, &w->threads, whole,
                       &rows);
    }
    if (op->kind != LE_OP_RECURRENT)
        return;
    /* The next run begins with the panels that this one read last. */
    le_recurrent_work *work = &w->group->work[w->member][number].recurrent;
    work->sweep = (int)(((size_t)work->sweep + whole->steps) % 2);
    if (op->y_h == LE_NONE && op->y_c == LE_NONE)
        return;
    le_rows h = {0}, c = {0};
    if (op->y_h != LE_NONE)
        h = rows_of(w, op->y_h, axis, 0);
    if (op->y_c != LE_NONE)
        c = rows_of(w, op->y_c, axis, 0);
    const int zero = op->empty_zero && !(w->all->run->resumed && op->initial_h == LE_NONE);
    size_t row, last;
    le_share(&w->threads, w->group->rows, &row, &last);
    for (; row < last; row++) {
        char *row_h = h.base ? le_row(&h, 0, row) : NULL, *row_c = c.base ? le_row(&c, 0, row) : NULL;
        if (!zero || le_length(whole, row) > 0) {
            le_recurrent_get(&op->as.recurrent, &w->group->states[number], w->group->rows, row, row_h, row_c);
            continue;
        }
        if (row_h)
            memset(row_h, 0, w->all->model->values[op->y_h].features * w->all->model->element);
        if (row_c)
            memset(row_c, 0, w->all->model->values[op->y_c].features * w->all->model->element);
    }
}

/* Wait for the others, and learn whether to stop: member 0 decides for all. Before it writes to the same place again
 * there is one more barrier, and nobody still reads it: blocks alternate between two places, stages have a third, and a
 * barrier at their end. */
static int wait_to_go_on(walker *w, const le_thread_group *threads, size_t place)
{
    if (threads->members == 1)
        return !atomic_load_explicit(&w->all->watch.cancelled, memory_order_relaxed);
    if (threads->member == 0)
        w->group->stop[place] = atomic_load(&w->all->watch.cancelled);
    le_group_wait(threads);
    return !w->group->stop[place];
}

static int run_blocks(walker *w, const le_stage *stage, const le_block *whole, size_t block_steps)
{
    const double least_work_of_a_block = 5e6;
    for (size_t begin = 0, pass = 0; begin < whole->steps; begin += block_steps, pass++) {
        le_block block = *whole;
        block.begin = begin;
        block.end = begin + block_steps < whole->steps ? begin + block_steps : whole->steps;
        le_stopped(&w->threads, least_work_of_a_block); /* layers that count none of their own: pools, look-ups */
        if ((pass > 0 || w->threads.members == 1) && !wait_to_go_on(w, &w->threads, pass % 2))
            return 0;
        for (int i = stage->first; i < stage->last; i++)
            run_op(w, &w->all->model->ops[i], i, &block, stage->axis);
    }
    return 1;
}

/* Each member takes layers of its own, one block of steps behind the member before it. */
static int run_layers(walker *w, const le_stage *stage, const le_block *whole, size_t block_steps)
{
    const le_thread_group all = w->threads, alone = {.members = 1, .watch = all.watch, .caller = all.caller};
    const size_t blocks = (whole->steps + block_steps - 1) / block_steps, member = (size_t)all.member;
    int first, last;
    le_stage_share(w->all->model, stage, all.member, all.members, &first, &last);
    for (size_t pass = 0; pass + 1 < blocks + (size_t)all.members; pass++) {
        if (pass >= member && pass - member < blocks) {
            le_block block = *whole;
            block.begin = (pass - member) * block_steps;
            block.end = block.begin + block_steps < whole->steps ? block.begin + block_steps : whole->steps;
            w->threads = alone;
            for (int i = first; i < last; i++)
                run_op(w, &w->all->model->ops[i], i, &block, stage->axis);
            w->threads = all;
        }
        if (!wait_to_go_on(w, &all, pass % 2))
            return 0;
    }
    return 1;
}

void le_walk_group(le_running *all, int g, int member, int caller)
{
    const le_model *model = all->model;
    le_group *group = &all->workspace->groups[g];
    walker w = {
        .all = all,
        .group = group,
        .threads = {.member = member,
                    .members = all->workspace->schedule.members,
                    .barrier = &group->barriers[0],
                    .directions = &group->barriers[1],
                    .watch = &all->watch,
                    .caller = caller},
        .member = member,
    };
    for (int s = 0; s < model->stage_count; s++) {
        const le_stage *stage = &model->stages[s];
        const int axis = stage->axis;
        const le_axis *time = axis < 0 ? NULL : &all->run->axes[axis];
        const size_t steps = time ? time->steps : 1;
        const le_block whole = {.end = steps,
                                .rows = group->rows,
                                .steps = steps,
                                .lengths = time && time->lengths ? group->lengths[axis] : NULL};
        for (int i = stage->first; i < stage->last; i++)
            begin_op(&w, &model->ops[i], i, &whole, axis);
        if (!wait_to_go_on(&w, &w.threads, 2))
            return;
        const le_stage_schedule *own = &all->workspace->schedule.stages[s];
        if (!(own->by_layers ? run_layers : run_blocks)(&w, stage, &whole, own->block))
            return;
        for (int i = stage->first; i < stage->last; i++)
            finish_op(&w, &model->ops[i], i, &whole, axis);
        if (s + 1 < model->stage_count)
            le_group_wait(&w.threads);
    }
}

void le_walk_states(le_running *all)
{
    const le_model *model = all->model;
    const le_run *run = all->run;
    for (int g = 0; run->state_out && g < all->workspace->schedule.groups; g++) {
        const le_group *group = &all->workspace->groups[g];
        for (int i = 0; i < model->op_count; i++) {
            const le_op *op = &model->ops[i];
            if (op->kind != LE_OP_RECURRENT)
                continue;
            const uint32_t *order = group->order_batch[model->values[op->x].axis];
            for (size_t row = 0; row < group->rows; row++) {
                char *state = run->state_out[order[row]];
                if (state)
                    le_recurrent_get(&op->as.recurrent, &group->states[i], group->rows, row,
                                     state + op->h_offset * model->element,
                                     op->c_offset == SIZE_MAX ? NULL : state + op->c_offset * model->element);
            }
        }
    }
}
