/* Pooling over time: a sequence becomes one vector, block by block. */
#include <string.h>

#include "layers/dense.h"

#define POOL_ROW(type)                                                                   \
    do {                                                                                 \
        const type *in = (const type *)from;                                             \
        type *out = (type *)to;                                                          \
        for (size_t i = 0; i < features; i++) {                                          \
            const type value = in[i];                                                    \
            if (kind == LE_POOL_MEAN)                                                    \
                out[i] += value;                                                         \
            else                                                                         \
                out[i] = step == 0 || value > out[i] || value != value ? value : out[i]; \
        }                                                                                \
    } while (0)

void le_pool_block(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_thread_group *threads,
                   const le_block *block, const le_rows *x, const le_rows *y)
{
    size_t first, last, active = block->rows;
    le_share(threads, block->rows, &first, &last);
    for (size_t step = block->begin; step < block->end; step++) {
        active = le_active(block, step, active);
        for (size_t row = first; row < last && row < active; row++) {
            const char *from = le_row(x, step, row);
            char *to = le_row(y, 0, row);
            if (kind == LE_POOL_LAST) {
                if (step + 1 == le_length(block, row))
                    memcpy(to, from, features * le_dtype_size(kernels->dtype));
            } else if (kernels->dtype == LE_FLOAT64) {
                POOL_ROW(double);
            } else {
                POOL_ROW(float);
            }
        }
    }
    le_group_wait(threads);
}

void le_pool_finish(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_thread_group *threads,
                    const le_block *block, const le_rows *y)
{
    size_t row, last;
    le_share(threads, block->rows, &row, &last);
    for (; kind == LE_POOL_MEAN && row < last; row++) {
        const size_t length = le_length(block, row);
        char *to = le_row(y, 0, row);
        for (size_t i = 0; length > 0 && i < features; i++) {
            if (kernels->dtype == LE_FLOAT64)
                ((double *)to)[i] /= (double)length;
            else
                ((float *)to)[i] /= (float)length;
        }
    }
    le_group_wait(threads);
}
