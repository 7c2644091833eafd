/* Panels of columns: units side by side in LE_MAX_NV vectors, one gate of each. */
#ifndef LE_COLUMNS_BODY_H
#define LE_COLUMNS_BODY_H

#include "kernels/kernels.h"

enum { COLUMNS = LE_MAX_NV };

/* The pre-activation of one vector of a panel of columns. */
LE_INLINE vec column_input(const le_cells *s, size_t row, size_t unit)
{
    const size_t at = row * (COLUMNS * LANES) + unit;
    return v_add(v_add(v_load((const real *)s->x_part + at), v_load((const real *)s->sums + at)),
                 v_load((const real *)s->bias + unit));
}

#endif
