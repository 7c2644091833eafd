/* Sums of products of four bytes at a time in portable C. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/vec_scalar.h"

#include "kernels/int8_rows_plain.h"

typedef struct q_sum {
    int32_t v[LANES];
} q_sum;
typedef struct q_weights {
    int8_t v[LANES][4];
} q_weights;
typedef struct q_row {
    int8_t v[4];
} q_row;

LE_INLINE q_sum q_zero(void)
{
    return (q_sum){{0}};
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    (void)half;
    q_weights loaded;
    memcpy(&loaded, w, sizeof loaded);
    return loaded;
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    (void)half;
    q_row loaded;
    memcpy(&loaded, row, sizeof loaded);
    return loaded;
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < 4; i++)
            sum.v[l] += x.v[i] * w.v[l][i];
    return sum;
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    for (int l = 0; l < LANES; l++)
        a.v[l] += b.v[l];
    return a;
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    (void)offset;
    vec result;
    for (int l = 0; l < LANES; l++)
        result.v[l] = (real)sum.v[l];
    return result;
}

#endif
