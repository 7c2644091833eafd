/* h of a projected LSTM: the columns of its product as they are. */
#ifndef LE_PROJECTION_BODY_H
#define LE_PROJECTION_BODY_H

#include "kernels/columns_body.h"
#include "kernels/partial_body.h"

static void projection(const le_cells *s)
{
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES)
            store_units((real *)s->h_out[row] + s->first + unit,
                        v_load((const real *)s->sums + row * (COLUMNS * LANES) + unit), s->units - unit);
}

#endif
