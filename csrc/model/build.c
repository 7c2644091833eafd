/* Building a model: values and operations are added in an order in which inputs come before their use. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "model/model.h"
#include "model/workspace.h"

/* Sizes far above any real model; they keep later products from overflowing. */
#define LE_MAX_SIZE ((size_t)1 << 31)

le_status le_model_new(const le_model_options *options, le_model **out, le_error *error)
{
    const le_kernels *kernels;
    const le_status status = le_kernels_find(options->isa, options->dtype, &kernels, error);
    if (status != LE_OK)
        return status;
    le_model *model = le_calloc(sizeof *model);
    if (model == NULL)
        return le_fail(error, LE_ERROR_MEMORY, "out of memory");
    model->kernels = kernels;
    model->gemm = options->gemm;
    model->element = le_dtype_size(options->dtype);
    model->packer = (le_packer){
        .kernels = kernels, .products = &kernels->products, .threads = options->threads > 1 ? options->threads : 1};
    *out = model;
    return LE_OK;
}

void le_model_free(le_model *model)
{
    if (model == NULL)
        return;
    for (int i = 0; i < model->op_count; i++) {
        le_op *op = &model->ops[i];
        if (op->kind == LE_OP_EMBEDDING)
            le_embedding_free(&op->as.embedding);
        else if (op->kind == LE_OP_RECURRENT)
            le_recurrent_free(&op->as.recurrent);
        else if (op->kind == LE_OP_DENSE)
            le_dense_free(&op->as.dense);
    }
    le_workspace_free_list(model->idle);
    le_free(model->values);
    le_free(model->ops);
    le_free(model->stages);
    le_free(model->inputs);
    le_free(model->outputs);
    le_free(model);
}

void le_model_share(le_model *model, le_store *store)
{
    model->packer.store = store;
}

void le_model_consume(le_model *model, le_consumed consumed, void *context)
{
    model->packer.consumed = consumed;
    model->packer.consumed_context = context;
}

static le_status check_open(const le_model *model, le_error *error)
{
    if (model->finished)
        return le_fail(error, LE_ERROR_STATE, "the model is finished and can no longer change");
    return LE_OK;
}

le_status le_model_weights(le_model *model, const le_weights *weights, le_error *error)
{
    const le_weights given = weights ? *weights : (le_weights){.type = LE_WEIGHTS_FULL};
    const le_status status = check_open(model, error);
    if (status != LE_OK)
        return status;
    if (given.type < LE_WEIGHTS_FULL || given.type > LE_WEIGHTS_INT8_WIDENED)
        return le_fail(error, LE_ERROR_ARGUMENT, "weights of type %d: there is no such type", (int)given.type);
    if (given.type != LE_WEIGHTS_FULL && model->kernels->dtype != LE_FLOAT32)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "weights of fewer bits are for models of float32");
    model->weights = given;
    model->packer.products = le_products_find(model->kernels, given.type);
    return LE_OK;
}

/* Whether integers of a type have scales, and inputs not more than their sums can hold. */
static le_status check_integers(const le_model *model, const char *what, const float *scales, size_t channels, size_t inputs,
                                le_error *error)
{
    const le_weight_type type = model->weights.type;
    if (type != LE_WEIGHTS_INT8 && type != LE_WEIGHTS_INT8_WIDENED)
        return LE_OK;
    if (scales == NULL)
        return le_fail(error, LE_ERROR_ARGUMENT, "%s: int8 weights need scales", what);
    for (size_t i = 0; i < channels; i++)
        if (!(scales[i] > 0) || scales[i] > FLT_MAX)
            return le_fail(error, LE_ERROR_ARGUMENT, "%s: scale %zu is %g; expected a finite number above 0", what, i,
                           (double)scales[i]);
    if (type == LE_WEIGHTS_INT8 && inputs > LE_INT8_INPUTS)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "%s: an int8 product has at most %d inputs, got %zu", what,
                       LE_INT8_INPUTS, inputs);
    return LE_OK;
}

/* How the products of a layer to come are made: a BLAS knows no small weights. */
static le_gemm gemm_of(const le_model *model)
{
    return model->weights.type == LE_WEIGHTS_FULL ? model->gemm : LE_GEMM_PACKED;
}

/* Room for `extra` more elements at the end of an array; the array is moved when it must grow. */
static le_status reserve(void **array, int count, int extra, int *capacity, size_t size)
{
    if (count + extra <= *capacity)
        return LE_OK;
    const int wanted = 2 * (count + extra);
    void *grown = le_calloc(le_mul((size_t)wanted, size));
    if (grown == NULL)
        return LE_ERROR_MEMORY;
    if (count > 0)
        memcpy(grown, *array, (size_t)count * size);
    le_free(*array);
    *array = grown;
    *capacity = wanted;
    return LE_OK;
}

/* Room for one operation and three values, so that adding them afterwards cannot fail. */
static le_status make_room(le_model *model, le_error *error)
{
    if (reserve((void **)&model->ops, model->op_count, 1, &model->op_capacity, sizeof *model->ops) != LE_OK ||
        reserve((void **)&model->values, model->value_count, 3, &model->value_capacity, sizeof *model->values) != LE_OK)
        return le_fail(error, LE_ERROR_MEMORY, "out of memory");
    return check_open(model, error);
}

static le_value add_value(le_model *model, le_rank rank, int axis, size_t features, int producer)
{
    model->values[model->value_count] =
        (le_value_info){.rank = rank, .axis = axis, .features = features, .input = -1, .output = -1, .producer = producer};
    return model->value_count++;
}

/* The value, checked to be of this model and to hold numbers (or token ids). */
static le_status check_value(const le_model *model, le_value value, int ids, const char *what, le_error *error)
{
    if (value < 0 || value >= model->value_count)
        return le_fail(error, LE_ERROR_ARGUMENT, "%s: value %d does not exist", what, (int)value);
    if (model->values[value].ids != ids)
        return le_fail(error, LE_ERROR_SHAPE, "%s: expected %s", what, ids ? "token ids" : "numbers, got token ids");
    return LE_OK;
}

static le_status add_input(le_model *model, le_rank rank, int axis, size_t features, int ids, le_value *out, le_error *error)
{
    const le_status status = make_room(model, error);
    if (status != LE_OK)
        return status;
    if (rank == LE_SEQUENCE && (axis < 0 || axis > model->axes))
        return le_fail(error, LE_ERROR_ARGUMENT, "time axis %d: axes are numbered from 0 without gaps", axis);
    if (!ids && (features == 0 || features > LE_MAX_SIZE))
        return le_fail(error, LE_ERROR_SHAPE, "an input of %zu features", features);
    le_value *inputs = le_alloc((size_t)(model->input_count + 1) * sizeof *inputs);
    if (inputs == NULL)
        return le_fail(error, LE_ERROR_MEMORY, "out of memory");
    if (model->input_count > 0)
        memcpy(inputs, model->inputs, (size_t)model->input_count * sizeof *inputs);
    le_free(model->inputs);
    model->inputs = inputs;
    *out = add_value(model, rank, rank == LE_SEQUENCE ? axis : -1, ids ? 0 : features, -1);
    model->values[*out].ids = ids;
    model->values[*out].input = model->input_count;
    inputs[model->input_count++] = *out;
    if (rank == LE_SEQUENCE && axis == model->axes)
        model->axes++;
    return LE_OK;
}

le_status le_model_input(le_model *model, le_rank rank, int axis, size_t features, le_value *out, le_error *error)
{
    return add_input(model, rank, axis, features, 0, out, error);
}

le_status le_model_input_ids(le_model *model, le_rank rank, int axis, le_value *out, le_error *error)
{
    return add_input(model, rank, axis, 0, 1, out, error);
}

/* A new operation reading x; its y is made here too when it has `features`. */
static le_op *add_op(le_model *model, le_op_kind kind, le_value x, le_rank rank, size_t features)
{
    le_op *op = &model->ops[model->op_count];
    *op = (le_op){.kind = kind,
                  .x = x,
                  .y = LE_NONE,
                  .initial_h = LE_NONE,
                  .initial_c = LE_NONE,
                  .y_h = LE_NONE,
                  .y_c = LE_NONE,
                  .h_offset = SIZE_MAX,
                  .c_offset = SIZE_MAX};
    if (features > 0)
        op->y = add_value(model, rank, rank == LE_SEQUENCE ? model->values[x].axis : -1, features, model->op_count);
    model->op_count++;
    return op;
}

le_status le_model_embedding(le_model *model, le_value ids, const void *table, size_t vocabulary, size_t features,
                             le_value *out, le_error *error)
{
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, ids, 1, "embedding input", error);
    if (status != LE_OK)
        return status;
    if (model->values[ids].input < 0)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "embedding: token ids must be an input of the model");
    if (vocabulary == 0 || features == 0 || vocabulary > LE_MAX_SIZE || features > LE_MAX_SIZE)
        return le_fail(error, LE_ERROR_SHAPE, "an embedding table [%zu, %zu]", vocabulary, features);
    status = check_integers(model, "embedding table", model->weights.w, vocabulary, 0, error);
    if (status != LE_OK)
        return status;
    le_embedding_layer layer;
    status = le_embedding_pack(&model->packer, vocabulary, features, (le_matrix){table, model->weights.w}, &layer, error);
    if (status != LE_OK)
        return status;
    le_op *op = add_op(model, LE_OP_EMBEDDING, ids, model->values[ids].rank, features);
    op->as.embedding = layer;
    *out = op->y;
    return LE_OK;
}

le_status le_model_dense(le_model *model, le_value x, const void *kernel, const void *bias, size_t units,
                         le_activation activation, le_value *out, le_error *error)
{
    le_dense_layer layer;
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, x, 0, "dense input", error);
    if (status != LE_OK)
        return status;
    if (units == 0 || units > LE_MAX_SIZE)
        return le_fail(error, LE_ERROR_SHAPE, "a dense layer of %zu units", units);
    status = check_integers(model, "dense kernel", model->weights.w, units, model->values[x].features, error);
    if (status == LE_OK)
        status = le_dense_pack(&model->packer, gemm_of(model), model->values[x].features, units,
                               (le_matrix){kernel, model->weights.w}, bias, activation, &layer, error);
    if (status != LE_OK)
        return status;
    le_op *op = add_op(model, LE_OP_DENSE, x, model->values[x].rank, units);
    op->as.dense = layer;
    *out = op->y;
    return LE_OK;
}

le_status le_model_activate(le_model *model, le_value x, le_activation activation, le_value *out, le_error *error)
{
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, x, 0, "activation input", error);
    if (status != LE_OK)
        return status;
    le_op *op = add_op(model, LE_OP_ACTIVATE, x, model->values[x].rank, model->values[x].features);
    op->as.activation = activation;
    *out = op->y;
    return LE_OK;
}

le_status le_model_pool(le_model *model, le_value x, le_pool_kind kind, le_value *out, le_error *error)
{
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, x, 0, "pool input", error);
    if (status != LE_OK)
        return status;
    if (model->values[x].rank != LE_SEQUENCE)
        return le_fail(error, LE_ERROR_SHAPE, "pool input: expected a sequence, got a vector");
    le_op *op = add_op(model, LE_OP_POOL, x, LE_VECTOR, model->values[x].features);
    op->as.pool = kind;
    *out = op->y;
    return LE_OK;
}

/* An initial state given as a value: a vector of `features`, or none. */
static le_status check_initial(const le_model *model, le_value value, size_t features, const char *what, le_error *error)
{
    if (value == LE_NONE)
        return LE_OK;
    const le_status status = check_value(model, value, 0, what, error);
    if (status != LE_OK)
        return status;
    if (model->values[value].rank != LE_VECTOR || model->values[value].features != features)
        return le_fail(error, LE_ERROR_SHAPE, "%s: expected a vector of %zu features, got %zu", what, features,
                       model->values[value].features);
    return LE_OK;
}

static le_status check_recurrent_integers(const le_model *model, const le_recurrent *spec, size_t dirs, le_error *error)
{
    static const size_t gates[] = {[LE_LSTM] = 4, [LE_GRU] = 3, [LE_RNN] = 1};
    const size_t rows = dirs * gates[spec->cell] * spec->hidden, output = spec->projection ? spec->projection : spec->hidden;
    const le_weights *weights = &model->weights;
    le_status status = check_integers(model, "W", weights->w, rows, model->values[spec->x].features, error);
    if (status == LE_OK)
        status = check_integers(model, "R", weights->r, rows, output, error);
    if (status == LE_OK && spec->projection)
        status = check_integers(model, "projection", weights->projection, dirs * output, spec->hidden, error);
    return status;
}

le_status le_model_recurrent(le_model *model, const le_recurrent *spec, le_value *y, le_value *y_h, le_value *y_c,
                             le_error *error)
{
    le_recurrent_layer layer;
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, spec->x, 0, "recurrent input", error);
    if (status != LE_OK)
        return status;
    if (model->values[spec->x].rank != LE_SEQUENCE)
        return le_fail(error, LE_ERROR_SHAPE, "recurrent input: expected a sequence, got a vector");
    if (spec->hidden == 0 || spec->hidden > LE_MAX_SIZE || spec->projection > LE_MAX_SIZE)
        return le_fail(error, LE_ERROR_SHAPE, "a recurrent layer of %zu units", spec->hidden);
    const size_t dirs = spec->direction == LE_BIDIRECTIONAL ? 2 : 1;
    const size_t h_size = dirs * (spec->projection ? spec->projection : spec->hidden), c_size = dirs * spec->hidden;
    status = check_initial(model, spec->initial_h, h_size, "initial_h", error);
    if (status == LE_OK)
        status = check_initial(model, spec->initial_c, c_size, "initial_c", error);
    if (status == LE_OK)
        status = check_recurrent_integers(model, spec, dirs, error);
    if (status == LE_OK)
        status = le_recurrent_pack(&model->packer, gemm_of(model), model->values[spec->x].features, spec, &model->weights,
                                   &layer, error);
    if (status != LE_OK)
        return status;

    le_op *op = add_op(model, LE_OP_RECURRENT, spec->x, LE_SEQUENCE, y ? h_size : 0);
    op->as.recurrent = layer;
    op->initial_h = spec->initial_h;
    op->initial_c = spec->initial_c;
    op->empty_zero = spec->empty_zero;
    op->h_offset = model->state_size;
    model->state_size += h_size;
    if (spec->cell == LE_LSTM) {
        op->c_offset = model->state_size;
        model->state_size += c_size;
    }
    model->layer_count++;
    if (y)
        *y = op->y;
    if (y_h)
        *y_h = op->y_h = add_value(model, LE_VECTOR, -1, h_size, model->op_count - 1);
    if (y_c)
        *y_c = op->y_c = add_value(model, LE_VECTOR, -1, c_size, model->op_count - 1);
    return LE_OK;
}

le_status le_model_output(le_model *model, le_value value, le_error *error)
{
    le_status status = make_room(model, error);
    if (status == LE_OK)
        status = check_value(model, value, 0, "output", error);
    if (status != LE_OK)
        return status;
    const le_value_info *info = &model->values[value];
    if (info->input >= 0 || info->output >= 0 || le_looked_up(model, value)) {
        /* Such a value has no memory of its own to hand out: an operation copies it. */
        status = le_model_activate(model, value, (le_activation){LE_ACT_LINEAR, 0, 0}, &value, error);
        if (status != LE_OK)
            return status;
    }
    le_value *outputs = le_alloc((size_t)(model->output_count + 1) * sizeof *outputs);
    if (outputs == NULL)
        return le_fail(error, LE_ERROR_MEMORY, "out of memory");
    if (model->output_count > 0)
        memcpy(outputs, model->outputs, (size_t)model->output_count * sizeof *outputs);
    le_free(model->outputs);
    model->outputs = outputs;
    model->values[value].output = model->output_count;
    outputs[model->output_count++] = value;
    return LE_OK;
}
