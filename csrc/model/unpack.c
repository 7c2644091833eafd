/* Weights given back in the layout they came in. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/model.h"

/* Bytes of a number of an operation's matrices; 0: it has none. */
static size_t element_of(const le_op *op)
{
    switch (op->kind) {
    case LE_OP_EMBEDDING:
        return op->as.embedding.products->element;
    case LE_OP_DENSE:
        return op->as.dense.products->element;
    case LE_OP_RECURRENT:
        return op->as.recurrent.products->element;
    default:
        return 0;
    }
}

/* Rows and columns of a weight of an operation, the axes before the last one taken together; 0: it has no such weight. */
static size_t weight_rows(const le_op *op, le_weight which, size_t *columns)
{
    *columns = 0;
    if (op->kind == LE_OP_EMBEDDING && which == LE_WEIGHT_TABLE) {
        *columns = op->as.embedding.features;
        return op->as.embedding.vocabulary;
    }
    if (op->kind == LE_OP_DENSE && which == LE_WEIGHT_KERNEL) {
        *columns = op->as.dense.units;
        return op->as.dense.features;
    }
    if (op->kind != LE_OP_RECURRENT)
        return 0;
    const le_recurrent_layer *layer = &op->as.recurrent;
    const size_t dirs = (size_t)layer->dirs, rows = dirs * (size_t)layer->gates * layer->hidden;
    if (which == LE_WEIGHT_W) {
        *columns = layer->features;
        return rows;
    }
    if (which == LE_WEIGHT_R) {
        *columns = layer->output;
        return rows;
    }
    const int projected = layer->cell == LE_LSTM && layer->direction[0].phases == 2;
    if (which != LE_WEIGHT_PROJECTION || !projected)
        return 0;
    *columns = layer->hidden;
    return dirs * layer->output;
}

le_status le_model_unpack(const le_model *model, size_t op_number, le_weight which, size_t first, size_t count, void *out,
                          size_t bytes, le_error *error)
{
    if (op_number >= (size_t)model->op_count)
        return le_fail(error, LE_ERROR_ARGUMENT, "operation %zu does not exist", op_number);
    const le_op *op = &model->ops[op_number];
    size_t columns;
    const size_t rows = weight_rows(op, which, &columns), row_bytes = columns * element_of(op);
    if (rows == 0 || first > rows || count > rows - first || bytes != count * row_bytes)
        return le_fail(error, LE_ERROR_ARGUMENT,
                       "weight %d of operation %zu has %zu rows of %zu bytes, got %zu bytes for %zu rows from %zu on",
                       (int)which, op_number, rows, row_bytes, bytes, count, first);
    if (op->kind == LE_OP_EMBEDDING)
        memcpy(out, op->as.embedding.table + first * row_bytes, bytes);
    else if (op->kind == LE_OP_DENSE)
        le_unpack_columns(op->as.dense.units, &op->as.dense.w, first, first + count, out);
    else
        le_recurrent_unpack(&op->as.recurrent, which, first, first + count, out);
    return LE_OK;
}
