#include "model/check_run.h"

#include "base/status.h"

static le_status check_lengths(const le_run *run, const le_axis *axis, int number, le_error *error)
{
    for (size_t row = 0; axis->lengths && row < run->batch; row++)
        if (axis->lengths[row] < 0 || (size_t)axis->lengths[row] > axis->steps) {
            const le_status status =
                le_fail(error, LE_ERROR_ARGUMENT, "lengths[%zu] is %d; expected 0 to %zu (time axis %d)", row,
                        (int)axis->lengths[row], axis->steps, number);
            if (error)
                error->index = (int64_t)row;
            return status;
        }
    return LE_OK;
}

static le_status check_tokens(const le_model *model, const le_run *run, const le_op *op, le_error *error)
{
    const le_value_info *info = &model->values[op->x];
    const int32_t *ids = run->inputs[info->input];
    const size_t steps = info->rank == LE_SEQUENCE ? run->axes[info->axis].steps : 1;
    const int32_t *lengths = info->rank == LE_SEQUENCE ? run->axes[info->axis].lengths : NULL;
    for (size_t row = 0; row < run->batch; row++, ids += steps) {
        const size_t count = lengths ? (size_t)lengths[row] : steps;
        uint32_t largest = 0; /* a negative id is a very large unsigned one */
        for (size_t t = 0; t < count; t++)
            largest = (uint32_t)ids[t] > largest ? (uint32_t)ids[t] : largest;
        if (largest < op->as.embedding.vocabulary)
            continue;
        for (size_t t = 0; t < count; t++)
            if ((uint32_t)ids[t] >= op->as.embedding.vocabulary) {
                const le_status status =
                    le_fail(error, LE_ERROR_TOKEN, "token id %d at row %zu, step %zu is outside the vocabulary of %zu",
                            (int)ids[t], row, t, op->as.embedding.vocabulary);
                if (error)
                    error->index = (int64_t)row;
                return status;
            }
    }
    return LE_OK;
}

le_status le_check_sizes(const le_model *model, const le_run *run, le_error *error)
{
    if (!model->finished)
        return le_fail(error, LE_ERROR_STATE, "the model is not finished");
    if (run->batch > INT32_MAX)
        return le_fail(error, LE_ERROR_OVERFLOW, "a batch of %zu rows", run->batch);
    if (run->threads < 1)
        return le_fail(error, LE_ERROR_ARGUMENT, "threads is %d; expected at least 1", run->threads);
    for (int i = 0; i < model->axes; i++)
        if (run->axes[i].steps > UINT32_MAX / 2)
            return le_fail(error, LE_ERROR_OVERFLOW, "%zu steps", run->axes[i].steps);
    return LE_OK;
}

le_status le_check_run(const le_model *model, const le_run *run, le_error *error)
{
    le_status status = le_check_sizes(model, run, error);
    for (int i = 0; i < model->axes && status == LE_OK; i++)
        status = check_lengths(run, &run->axes[i], i, error);
    if (status != LE_OK)
        return status;
    for (int i = 0; i < model->op_count; i++)
        if (model->ops[i].kind == LE_OP_EMBEDDING) {
            status = check_tokens(model, run, &model->ops[i], error);
            if (status != LE_OK)
                return status;
        }
    return LE_OK;
}
