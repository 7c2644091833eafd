/* Weights given back in the layout they came in. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/model.h"

/* Bytes of a weight of an operation; 0: it has no such weight. */
static size_t weight_bytes(const le_op *op, le_weight which, size_t element)
{
    if (op->kind == LE_OP_EMBEDDING && which == LE_WEIGHT_TABLE)
        return op->as.embedding.vocabulary * op->as.embedding.features * element;
    if (op->kind == LE_OP_DENSE && which == LE_WEIGHT_KERNEL)
        return op->as.dense.features * op->as.dense.units * element;
    if (op->kind != LE_OP_RECURRENT)
        return 0;
    const le_recurrent_layer *layer = &op->as.recurrent;
    const size_t rows = (size_t)layer->dirs * (size_t)layer->gates * layer->hidden;
    if (which == LE_WEIGHT_W)
        return rows * layer->features * element;
    if (which == LE_WEIGHT_R)
        return rows * layer->output * element;
    const int projected = layer->cell == LE_LSTM && layer->direction[0].phases == 2;
    return which == LE_WEIGHT_PROJECTION && projected
               ? (size_t)layer->dirs * layer->output * layer->hidden * element : 0;
}

le_status le_model_unpack(const le_model *model, size_t op_number, le_weight which, void *out, size_t bytes,
                          le_error *error)
{
    if (op_number >= (size_t)model->op_count)
        return le_fail(error, LE_ERROR_ARGUMENT, "operation %zu does not exist", op_number);
    const le_op *op = &model->ops[op_number];
    const size_t expected = weight_bytes(op, which, model->element);
    if (expected == 0 || bytes != expected)
        return le_fail(error, LE_ERROR_ARGUMENT, "weight %d of operation %zu has %zu bytes, got %zu", (int)which,
                       op_number, expected, bytes);
    if (op->kind == LE_OP_EMBEDDING)
        memcpy(out, op->as.embedding.table, bytes);
    else if (op->kind == LE_OP_DENSE)
        le_unpack_columns(model->kernels, op->as.dense.units, &op->as.dense.w, out);
    else
        le_recurrent_unpack(&op->as.recurrent, which, out);
    return LE_OK;
}
