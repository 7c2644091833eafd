#include "model/workspace.h"

#include <string.h>

#include "base/lock.h"

/* Idle workspaces kept per model: enough for a few shapes in turn and a few threads at once. */
enum { LE_MAX_IDLE = 8 };

static le_shape shape_of(const le_model *model, const le_run *run)
{
    le_shape shape;
    memset(&shape, 0, sizeof shape); /* compared as bytes */
    shape.batch = run->batch;
    shape.block_steps = run->block_steps;
    shape.threads = run->threads;
    shape.split = run->split;
    shape.resumes = run->state_in != NULL;
    for (int axis = 0; axis < model->axes; axis++)
        shape.has_lengths |= run->axes[axis].lengths != NULL;
    return shape;
}

static int same_shape(const le_model *model, const le_workspace *workspace, const le_shape *shape, const le_run *run)
{
    if (memcmp(&workspace->shape, shape, sizeof *shape) != 0)
        return 0;
    for (int axis = 0; axis < model->axes; axis++)
        if (workspace->steps[axis] != run->axes[axis].steps)
            return 0;
    for (int i = 0; i < model->output_count; i++)
        if (workspace->wanted[i] != (run->outputs[i] != NULL))
            return 0;
    return 1;
}

/* Whether the value needs memory here, and for how many steps: 0 means it stands elsewhere. */
static size_t stored_steps(const le_model *model, const le_run *run, const le_workspace *workspace, le_value value)
{
    const le_value_info *info = &model->values[value];
    if (info->producer < 0 || le_looked_up(model, value))
        return 0;
    if (info->output >= 0 && run->outputs[info->output] != NULL)
        return 0;
    if (info->rank == LE_VECTOR)
        return 1;
    if (info->crosses)
        return run->axes[info->axis].steps;
    const int stage = model->ops[info->producer].stage;
    return le_mul(workspace->schedule.stages[stage].block, le_slots(&workspace->schedule, stage));
}

static void lay_member(const le_model *model, const le_workspace *workspace, size_t rows, le_arena *arena, le_group *group,
                       int member)
{
    le_op_work *works = le_arena_take(arena, (size_t)model->op_count, sizeof *works);
    const size_t start = arena->used;
    size_t end = start;
    for (int i = 0; i < model->op_count; i++) {
        const le_op *op = &model->ops[i];
        if (op->kind != LE_OP_RECURRENT && op->kind != LE_OP_DENSE)
            continue;
        const size_t block = workspace->schedule.stages[op->stage].block;
        const le_op_schedule *own = &workspace->schedule.ops[i];
        le_op_work work;
        arena->used = start;
        if (op->kind == LE_OP_RECURRENT) {
            le_recurrent_lay_work(&op->as.recurrent, rows, le_mul(rows, block), own->members, arena, &work.recurrent);
            work.recurrent.fetch = own->fetch;
            work.recurrent.fetch_inputs = own->fetch_inputs;
        } else {
            le_dense_lay_work(&op->as.dense, le_mul(rows, block), arena, &work.dense);
            work.dense.fetch = own->fetch;
            work.dense.past_cache = own->past_cache;
        }
        end = arena->used > end ? arena->used : end;
        if (works)
            works[i] = work;
    }
    arena->used = end;
    if (works)
        group->work[member] = works;
}

static void lay_group(const le_model *model, const le_run *run, const le_workspace *workspace, size_t rows, le_arena *arena,
                      le_group *group)
{
    const size_t axes = (size_t)model->axes;
    const int members = workspace->schedule.members;
    le_group laid = {.rows = rows};
    laid.batch_row = le_arena_take(arena, rows, sizeof *laid.batch_row);
    laid.order_local = le_arena_take(arena, axes, sizeof *laid.order_local);
    laid.order_batch = le_arena_take(arena, axes, sizeof *laid.order_batch);
    laid.lengths = le_arena_take(arena, axes, sizeof *laid.lengths);
    laid.storage = le_arena_take(arena, (size_t)model->value_count, sizeof *laid.storage);
    laid.states = le_arena_take(arena, (size_t)model->op_count, sizeof *laid.states);
    laid.work = le_arena_take(arena, (size_t)members, sizeof *laid.work);
    laid.barriers = le_arena_take(arena, 3, sizeof *laid.barriers);
    for (size_t axis = 0; axis < axes; axis++) {
        uint32_t *local = le_arena_take(arena, rows, sizeof *local), *batch = le_arena_take(arena, rows, sizeof *batch);
        uint32_t *lengths = le_arena_take(arena, rows, sizeof *lengths);
        if (arena->base) {
            laid.order_local[axis] = local;
            laid.order_batch[axis] = batch;
            laid.lengths[axis] = lengths;
        }
    }
    for (int value = 0; value < model->value_count; value++) {
        const size_t steps = stored_steps(model, run, workspace, value);
        char *memory = steps == 0 ? NULL : le_arena_take(arena, le_mul(steps, rows), le_stored_row(model, value));
        if (arena->base)
            laid.storage[value] = memory;
    }
    for (int i = 0; i < model->op_count; i++)
        if (model->ops[i].kind == LE_OP_RECURRENT) {
            le_recurrent_state state;
            le_recurrent_lay_state(&model->ops[i].as.recurrent, rows, arena, &state);
            if (arena->base)
                laid.states[i] = state;
        }
    for (int m = 0; m < members; m++)
        lay_member(model, workspace, rows, arena, &laid, m);
    if (arena->base)
        *group = laid;
}

static void lay(const le_model *model, const le_run *run, le_workspace *workspace, le_arena *arena)
{
    const size_t groups = (size_t)workspace->schedule.groups;
    le_group *all = le_arena_take(arena, groups, sizeof *all);
    for (size_t g = 0; g < groups; g++) {
        const size_t rows = run->batch / groups + (g < run->batch % groups);
        lay_group(model, run, workspace, rows, arena, all ? &all[g] : NULL);
    }
    workspace->groups = all;
}

/* The parts of the head: counted with a null workspace, then laid. */
static le_workspace *lay_head(const le_model *model, le_arena *arena)
{
    le_workspace *workspace = le_arena_take(arena, 1, sizeof *workspace);
    size_t *steps = le_arena_take(arena, (size_t)model->axes, sizeof *steps);
    char *wanted = le_arena_take(arena, (size_t)model->output_count, sizeof *wanted);
    le_stage_schedule *stages = le_arena_take(arena, (size_t)model->stage_count, sizeof *stages);
    le_op_schedule *ops = le_arena_take(arena, (size_t)model->op_count, sizeof *ops);
    if (workspace == NULL)
        return NULL;
    workspace->steps = steps;
    workspace->wanted = wanted;
    workspace->schedule.stages = stages;
    workspace->schedule.ops = ops;
    return workspace;
}

/* A workspace that knows how its time is cut, and has no memory yet; null when that is short. */
static le_workspace *plan_of(const le_model *model, const le_run *run, const le_shape *shape)
{
    le_arena head = {NULL, 0};
    lay_head(model, &head);
    char *block = le_calloc(head.used);
    if (block == NULL)
        return NULL;
    head = (le_arena){block, 0};
    le_workspace *workspace = lay_head(model, &head);
    workspace->shape = *shape;
    for (int axis = 0; axis < model->axes; axis++)
        workspace->steps[axis] = run->axes[axis].steps;
    for (int i = 0; i < model->output_count; i++)
        workspace->wanted[i] = run->outputs[i] != NULL;
    le_schedule_decide(model, run, &workspace->schedule);
    workspace->alone_ns = workspace->schedule.alone_ns;
    le_arena count = {NULL, 0};
    lay(model, run, workspace, &count);
    workspace->bytes = count.used;
    return workspace;
}

static le_workspace *create(const le_model *model, const le_run *run, const le_shape *shape)
{
    le_workspace *workspace = plan_of(model, run, shape);
    if (workspace == NULL)
        return NULL;
    workspace->memory = le_alloc(workspace->bytes);
    if (workspace->memory == NULL) {
        le_free(workspace);
        return NULL;
    }
    le_arena arena = {workspace->memory, 0};
    lay(model, run, workspace, &arena);
    return workspace;
}

static void destroy(le_workspace *workspace)
{
    le_free(workspace->memory);
    le_free(workspace);
}

le_workspace *le_workspace_take(le_model *model, const le_run *run)
{
    const le_shape shape = shape_of(model, run);
    le_lock();
    for (le_workspace **at = &model->idle; *at != NULL; at = &(*at)->next)
        if (same_shape(model, *at, &shape, run)) {
            le_workspace *found = *at;
            *at = found->next;
            le_unlock();
            return found;
        }
    le_unlock();
    return create(model, run, &shape);
}

size_t le_workspace_measure(const le_model *model, const le_run *run)
{
    const le_shape shape = shape_of(model, run);
    le_workspace *workspace = plan_of(model, run, &shape);
    const size_t bytes = workspace ? workspace->bytes : SIZE_MAX;
    le_free(workspace);
    return bytes;
}

void le_workspace_give(le_model *model, le_workspace *workspace)
{
    le_workspace *dropped = NULL;
    int kept = 1;
    le_lock();
    workspace->next = model->idle;
    model->idle = workspace;
    for (le_workspace *at = workspace; at != NULL; at = at->next, kept++)
        if (kept == LE_MAX_IDLE) {
            dropped = at->next;
            at->next = NULL;
        }
    le_unlock();
    le_workspace_free_list(dropped);
}

void le_workspace_free_list(le_workspace *list)
{
    while (list != NULL) {
        le_workspace *next = list->next;
        destroy(list);
        list = next;
    }
}

size_t le_model_workspace_bytes(const le_model *model)
{
    size_t bytes = 0;
    le_lock();
    for (const le_workspace *at = model->idle; at != NULL; at = at->next)
        bytes += at->bytes;
    le_unlock();
    return bytes;
}
