/* The cells of one panel of a simple RNN.
 *
 * https://onnx.ai/onnx/operators/onnx__RNN.html: h = f(X + h' R + Wb + Rb)
 */
#ifndef LE_RNN_BODY_H
#define LE_RNN_BODY_H

#include "kernels/activation_body.h"
#include "kernels/columns_body.h"
#include "kernels/partial_body.h"

static void rnn(const le_cells *s)
{
    const le_cell_config *cell = s->config;
    const int common = cell->f.kind == LE_ACT_TANH && cell->clip <= 0;
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES)
            store_units((real *)s->h_out[row] + s->first + unit,
                        candidate_function(common, cell->f, cell->clip, column_input(s, row, unit)), s->units - unit);
}

#endif
