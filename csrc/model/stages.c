/* Cutting a finished model into stages.
 *
 * A stage is a run of operations that go through time together, one block of steps after the other, so that what
 * passes between them stays in the cache and needs memory for one block only. A new stage begins where an operation
 * needs something whole: all steps of its input (a reverse direction), the last state of a layer before it, or
 * another time axis.
 */
#include "base/status.h"
#include "model/model.h"

double le_op_flops(const le_model *model, const le_op *op)
{
    switch (op->kind) {
    case LE_OP_RECURRENT: {
        const le_recurrent_layer *layer = &op->as.recurrent;
        const double products = (double)(layer->features + layer->output) / layer->products->speed;
        return 2.0 * layer->dirs * layer->gates * (double)layer->hidden *
               (products + 16); /* 16: about what a cell costs, in products */
    }
    case LE_OP_DENSE:
        return 2.0 * (double)op->as.dense.units * ((double)op->as.dense.features / op->as.dense.products->speed + 8);
    case LE_OP_EMBEDDING:
        return le_embedding_in_place(&op->as.embedding) ? 0 : 4.0 * (double)op->as.embedding.features;
    default:
        return 16.0 * (double)model->values[op->x].features;
    }
}

/* Whether `value` is complete before stage `stage` begins. */
static int ready(const le_model *model, le_value value, int stage)
{
    if (value == LE_NONE || model->values[value].producer < 0)
        return 1;
    return le_looked_up(model, value) || model->ops[model->values[value].producer].stage < stage;
}

static void mark_crossing(le_model *model, le_value value, int stage)
{
    if (value != LE_NONE && model->values[value].producer >= 0 && model->ops[model->values[value].producer].stage != stage)
        model->values[value].crosses = 1;
}

le_status le_model_finish(le_model *model, le_error *error)
{
    if (model->finished)
        return le_fail(error, LE_ERROR_STATE, "the model is finished already");
    if (model->output_count == 0)
        return le_fail(error, LE_ERROR_ARGUMENT, "the model has no output");
    model->stages = le_calloc(le_mul((size_t)model->op_count + 1, sizeof *model->stages));
    if (model->stages == NULL)
        return le_fail(error, LE_ERROR_MEMORY, "out of memory");
    int open = -1; /* the stage that more operations may join */
    for (int i = 0; i < model->op_count; i++) {
        le_op *op = &model->ops[i];
        const int sequential = le_op_sequential(model, op);
        const int axis = sequential ? model->values[op->x].axis : -1;
        int joins = open >= 0 && model->stages[open].axis == axis;
        if (joins && sequential)
            joins = !le_op_whole(op) && ready(model, op->initial_h, open) && ready(model, op->initial_c, open);
        const int in_place = le_looked_up(model, op->y); /* a table is read where it stands by whoever needs its rows */
        if (!joins && !in_place) {
            open = model->stage_count++;
            model->stages[open] = (le_stage){.first = i, .axis = axis};
        }
        op->stage = open;
        if (in_place)
            continue;
        model->stages[open].last = i + 1;
        model->stages[open].flops += le_op_flops(model, op);
        mark_crossing(model, op->x, open);
        mark_crossing(model, op->initial_h, open);
        mark_crossing(model, op->initial_c, open);
        if (sequential && le_op_whole(op)) {
            if (op->y != LE_NONE)
                model->values[op->y].crosses = 1;
            open = -1;
        }
    }
    model->finished = 1;
    model->packer.store = NULL; /* it may go now */
    return LE_OK;
}

size_t le_model_state_size(const le_model *model)
{
    return model->state_size;
}

size_t le_model_layer_count(const le_model *model)
{
    return (size_t)model->layer_count;
}

le_status le_model_state_slot(const le_model *model, size_t index, size_t *h_offset, size_t *h_size, size_t *c_offset,
                              size_t *c_size)
{
    for (int i = 0; i < model->op_count; i++) {
        const le_op *op = &model->ops[i];
        if (op->kind != LE_OP_RECURRENT || index-- > 0)
            continue;
        *h_offset = op->h_offset;
        *h_size = (size_t)op->as.recurrent.dirs * op->as.recurrent.output;
        *c_offset = op->c_offset;
        *c_size = op->c_offset == SIZE_MAX ? 0 : (size_t)op->as.recurrent.dirs * op->as.recurrent.hidden;
        return LE_OK;
    }
    return LE_ERROR_ARGUMENT;
}

void le_model_visit_weights(const le_model *model, le_visit_block visit, void *context)
{
    for (int i = 0; i < model->op_count; i++) {
        const le_op *op = &model->ops[i];
        if (op->kind == LE_OP_EMBEDDING)
            le_embedding_visit(&op->as.embedding, visit, context);
        else if (op->kind == LE_OP_RECURRENT)
            le_recurrent_visit(&op->as.recurrent, visit, context);
        else if (op->kind == LE_OP_DENSE)
            le_dense_visit(&op->as.dense, visit, context);
    }
}

const char *le_model_isa(const le_model *model)
{
    return model->kernels->name;
}

int le_model_causal(const le_model *model)
{
    for (int i = 0; i < model->op_count; i++)
        if (le_op_whole(&model->ops[i]) || model->ops[i].kind == LE_OP_POOL)
            return 0;
    return 1;
}
