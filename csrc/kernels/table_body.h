/* The table of one variant, made of the generic bodies; included last by kernels_<isa>_<dtype>.c. */
#include <string.h>

#include "base/cpu.h"
#include "kernels/activation_body.h"
#include "kernels/dense_body.h"
#include "kernels/gru_body.h"
#include "kernels/lstm_body.h"
#include "kernels/product_body.h"
#include "kernels/projection_body.h"
#include "kernels/rnn_body.h"
#include "kernels/row_body.h"
#include "kernels/softmax_body.h"

const le_kernels LE_TABLE = {
    .name = LE_TABLE_NAME,
    .description = LE_TABLE_DESCRIPTION,
    .cpu = LE_TABLE_CPU,
#if defined(LE_REAL_DOUBLE)
    .dtype = LE_FLOAT64,
#else
    .dtype = LE_FLOAT32,
#endif
    .lanes = LANES,
    .tile_rows = TILE_ROWS,
    .products = {.name = LE_TABLE_NAME,
                 .cpu = LE_TABLE_CPU,
                 .type = LE_WEIGHTS_FULL,
                 .lanes = LANES,
                 .element = sizeof(real),
                 .group = 1,
                 .speed = 1,
                 .product = product,
                 .row_product = row_product},
    .dense = dense,
    .dense_output = dense_output,
    .lstm = lstm,
    .lstm_cells = lstm_cells,
    .lstm_row = lstm_row,
    .lstm_general = lstm_general,
    .projection = projection,
    .gru_after = gru_after,
    .gru_before_gates = gru_before_gates,
    .gru_before_candidate = gru_before_candidate,
    .rnn = rnn,
    .activate = activate,
    .softmax = softmax,
};
