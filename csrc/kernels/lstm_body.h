/* The LSTM step of one panel: gates i,o,f,c of LANES units end their product together, and the cell follows.
 *
 * https://onnx.ai/onnx/operators/onnx__LSTM.html:
 *   i = f(Xi + Hi + Pi c'), f = f(Xf + Hf + Pf c'), c~ = g(Xc + Hc), c = f c' + i c~, o = f(Xo + Ho + Po c), h = o h(c)
 */
#ifndef LE_LSTM_BODY_H
#define LE_LSTM_BODY_H

#include "kernels/gemm_body.h"
#include "kernels/math_body.h"

enum { GATE_I, GATE_O, GATE_F, GATE_C, LSTM_GATES };

/* The last block of k for a tile of rows, its sums kept in registers, then the cell in two passes over the rows:
 * the chain from the gates to h is long, and rows side by side hide its latency. */
LE_INLINE void lstm_tile(const int rows, const le_step *s, size_t row, size_t k0, size_t count)
{
    tile_sums gate;
    quotient o[TILE_ROWS];
    vec c_new[TILE_ROWS];
    const size_t at = row * (LSTM_GATES * LANES);
    const real *scratch = (const real *)s->scratch + at, *x = (const real *)s->x_part + at, *bias = s->bias;
    real *c = (real *)s->c + row * LANES;
    tile_block(rows, LSTM_GATES, (const real *const *)s->h_prev + row, k0, count, s->panel, gate);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < LSTM_GATES; j++) {
            const size_t lane = (size_t)(r * LSTM_GATES + j) * LANES;
            const vec h_part = k0 > 0 ? v_add(v_load(scratch + lane), gate[r][j]) : gate[r][j];
            gate[r][j] = v_add(v_add(v_load(x + lane), h_part), v_load(bias + j * LANES));
        }
        const vec f = v_sigmoid(gate[r][GATE_F]);
        const vec ig = v_divide_product(sigmoid_quotient(gate[r][GATE_I]), tanh_quotient(gate[r][GATE_C]));
        c_new[r] = v_fma(f, v_load(c + r * LANES), ig);
        o[r] = sigmoid_quotient(gate[r][GATE_O]);
        v_store(c + r * LANES, c_new[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        store_units((real *)s->h_out[row + (size_t)r] + s->first, v_divide_product(o[r], tanh_quotient(c_new[r])), s->units);
}

static void lstm(const le_step *s)
{
    const size_t last = s->k > 0 ? (s->k - 1) / LE_K_BLOCK * LE_K_BLOCK : 0;
    const size_t tiles = tile_count(s->rows);
    product_until(LSTM_GATES, s->rows, (const real *const *)s->h_prev, last, s->panel, s->scratch);
    for (size_t tile = 0, row = 0; tile < tiles; tile++) {
        const size_t m = tile_rows_at(s->rows, tiles, tile);
        switch (m) {
#define X(size)                                          \
    case size:                                           \
        lstm_tile(size, s, row, last, s->k - last);      \
        break;
            LE_EACH_TILE_SIZE(X)
#undef X
        }
        row += m;
    }
}

/* Any LSTM cell for one row: sums of the h part come from scratch. */
static void lstm_cell_general(const le_step *s, size_t row)
{
    const size_t at = row * (LSTM_GATES * LANES);
    const real *x = (const real *)s->x_part + at, *sums = (const real *)s->scratch + at;
    const real *bias = s->bias, *peephole = s->peephole;
    const le_cell_config *cell = s->cell;
    real *c = (real *)s->c + row * LANES;
    vec gate[LSTM_GATES];
    for (int j = 0; j < LSTM_GATES; j++)
        gate[j] = v_add(v_add(v_load(x + j * LANES), v_load(sums + j * LANES)), v_load(bias + j * LANES));
    const vec c_old = v_load(c);
    if (peephole) {
        gate[GATE_I] = v_fma(v_load(peephole), c_old, gate[GATE_I]);
        gate[GATE_F] = v_fma(v_load(peephole + 2 * LANES), c_old, gate[GATE_F]);
        if (cell->peephole_previous)
            gate[GATE_O] = v_fma(v_load(peephole + LANES), c_old, gate[GATE_O]);
    }
    const vec i = v_activate(cell->f, v_clip(gate[GATE_I], cell->clip));
    const vec f = cell->input_forget ? v_sub(v_set1(1), i) : v_activate(cell->f, v_clip(gate[GATE_F], cell->clip));
    const vec g = v_activate(cell->g, v_clip(gate[GATE_C], cell->clip));
    const vec next = v_clip(v_fma(f, c_old, v_mul(i, g)), cell->cell_clip);
    if (peephole && !cell->peephole_previous)
        gate[GATE_O] = v_fma(v_load(peephole + LANES), next, gate[GATE_O]);
    const vec o = v_activate(cell->f, v_clip(gate[GATE_O], cell->clip));
    v_store(c, next);
    store_units((real *)s->h_out[row] + s->first, v_mul(o, v_activate(cell->h, next)), s->units);
    if (s->trace) {
        real *trace = (real *)s->trace + at;
        v_store(trace + GATE_I * LANES, i);
        v_store(trace + GATE_O * LANES, o);
        v_store(trace + GATE_F * LANES, f);
        v_store(trace + GATE_C * LANES, g);
    }
}

static void lstm_general(const le_step *s)
{
    product_all(LSTM_GATES, s->rows, (const real *const *)s->h_prev, s->k, s->panel, s->scratch);
    for (size_t row = 0; row < s->rows; row++)
        lstm_cell_general(s, row);
}

#endif
