/* The LSTM step of one panel: gates i,o,f,c of LANES units end their product together, and the cell follows.
 *
 * https://onnx.ai/onnx/operators/onnx__LSTM.html:
 *   i = f(Xi + Hi + Pi c'), f = f(Xf + Hf + Pf c'), c~ = g(Xc + Hc), c = f c' + i c~, o = f(Xo + Ho + Po c), h = o h(c)
 */
#ifndef LE_LSTM_BODY_H
#define LE_LSTM_BODY_H

#include "kernels/activation_body.h"
#include "kernels/partial_body.h"
#include "kernels/product_body.h"

enum { GATE_I, GATE_O, GATE_F, GATE_C, LSTM_GATES, WIDTH = LSTM_GATES * LANES };

/* Pre-activation j of one row. tail: the gates stand side by side; constant where this is inlined. */
LE_INLINE vec lstm_gate(const int tail, int j, size_t units, const real *x, const real *sums, const real *bias)
{
    if (!tail)
        return v_add(v_add(v_load(x + j * LANES), v_load(sums + j * LANES)), v_load(bias + j * LANES));
    const size_t at = (size_t)j * units;
    return v_add(v_add(v_load_n(x + at, units), v_load_n(sums + at, units)), v_load(bias + j * LANES));
}

/* The common cell of one row, sigmoid, tanh, tanh, in two parts: first c, and the output gate; then h. */
LE_INLINE quotient lstm_state(const int tail, size_t units, const real *x, const real *bias, const real *sums, real *c)
{
    vec gate[LSTM_GATES];
#pragma GCC unroll 4
    for (int j = 0; j < LSTM_GATES; j++)
        gate[j] = lstm_gate(tail, j, units, x, sums, bias);
    const vec f = v_sigmoid(gate[GATE_F]);
    const vec ig = v_divide_product(sigmoid_quotient(gate[GATE_I]), tanh_quotient(gate[GATE_C]));
    v_store(c, v_fma(f, v_load(c), ig));
    return sigmoid_quotient(gate[GATE_O]);
}

/* The whole is one long chain; with the parts apart, several rows are under way in the CPU at a time. The output gate
 * waits in place of the sums. */
LE_INLINE void lstm_state_apart(const real *x, const real *bias, real *sums, real *c)
{
    const quotient o = lstm_state(0, LANES, x, bias, sums, c);
    v_store(sums, o.over);
    v_store(sums + LANES, o.under);
}

LE_INLINE void lstm_output(quotient o, const real *c, real *h, size_t units)
{
    store_units(h, v_divide_product(o, tanh_quotient(v_load(c))), units);
}

LE_INLINE void lstm_output_apart(const real *sums, const real *c, real *h, size_t units)
{
    const quotient o = {v_load(sums), v_load(sums + LANES)};
    lstm_output(o, c, h, units);
}

/* A panel with its gates side by side: its sums have no room for the output gate to wait in. */
LE_INLINE void lstm_tail(size_t units, const real *x, const real *bias, const real *sums, real *c, real *h)
{
    const quotient o = lstm_state(1, units, x, bias, sums, c);
    lstm_output(o, c, h, units);
}

/* The common cells alone, some rows at a time, so that their chains overlap. */
static void lstm_cells(const le_lstm_cells *cells)
{
    const le_cells *s = &cells->panel;
    const size_t width = (size_t)cells->nv * LANES;
    const real *const x = s->x_part;
    real *const sums = s->sums, *const c = cells->c;
    if (cells->nv < LSTM_GATES) {
        for (size_t r = 0; r < s->rows; r++)
            lstm_tail(s->units, x + r * width, s->bias, sums + r * width, c + r * LANES, (real *)s->h_out[r] + s->first);
        return;
    }
    for (size_t row = 0; row < s->rows;) {
        const size_t end = s->rows - row < TILE_ROWS ? s->rows : row + TILE_ROWS;
        for (size_t r = row; r < end; r++)
            lstm_state_apart(x + r * WIDTH, s->bias, sums + r * WIDTH, c + r * LANES);
        for (; row < end; row++)
            lstm_output_apart(sums + row * WIDTH, c + row * LANES, (real *)s->h_out[row] + s->first, s->units);
    }
}

/* The last block of k a tile at a time, each followed by its cells: their inputs are then in the nearest cache, and the
 * cells' long chains run beside the next tile's products. */
static void lstm(const le_lstm_step *step)
{
    const le_cells *s = &step->cells.panel;
    if (step->cells.nv < LSTM_GATES) {
        product(step->cells.nv, s->rows, step->h_prev, step->k, step->weights, step->next, s->sums);
        lstm_cells(&step->cells);
        return;
    }
    const size_t last = step->k > 0 ? (step->k - 1) / LE_K_BLOCK * LE_K_BLOCK : 0;
    const real *const *const h = (const real *const *)step->h_prev;
    const real *const weights = step->weights;
    real *const sums = s->sums, *const c = step->cells.c;
    const void *const last_block = step->next ? weights + last * WIDTH : NULL;
    product_until(LSTM_GATES, s->rows, h, last, weights, last_block, sums);
    tiling t = tiles_of(LSTM_GATES, s->rows, step->next, step->k - last);
    for (size_t tile = 0, row = 0; tile < t.tiles; tile++) {
        const size_t end = row + tile_rows(&t, tile);
        tile_any(LSTM_GATES, end - row, h + row, last, step->k - last, weights + last * WIDTH, t.next, sums + row * WIDTH);
        tile_fetched(&t, step->k - last);
        for (size_t r = row; r < end; r++)
            lstm_state_apart((const real *)s->x_part + r * WIDTH, s->bias, sums + r * WIDTH, c + r * LANES);
        for (; row < end; row++)
            lstm_output_apart(sums + row * WIDTH, c + row * LANES, (real *)s->h_out[row] + s->first, s->units);
    }
}

/* One row: its panels take the place of rows, for the same reason. */
static void lstm_row(const le_lstm_row *s)
{
    const real *x = s->x_part, *bias = s->bias;
    real *const sums = s->sums, *const c = s->c, *const h = s->h;
    const size_t whole = s->last_nv < LSTM_GATES ? s->panels - 1 : s->panels;
    for (size_t i = 0; i < whole; i++)
        lstm_state_apart(x + i * s->x_panel, bias + i * WIDTH, sums + i * WIDTH, c + i * s->c_panel);
    if (whole < s->panels)
        lstm_tail(s->units - whole * LANES, s->x_last, bias + whole * WIDTH, sums + whole * WIDTH, c + whole * s->c_panel,
                  h + whole * LANES);
    for (size_t i = 0; i < whole; i++)
        lstm_output_apart(sums + i * WIDTH, c + i * s->c_panel, h + i * LANES, s->units - i * LANES);
}

/* Any LSTM cell for one row: sums of the h part come from scratch. */
LE_INLINE void lstm_cell_general(const int tail, const le_lstm_cells *cells, size_t row)
{
    const le_cells *s = &cells->panel;
    const size_t at = row * (size_t)(cells->nv * LANES);
    const real *x = (const real *)s->x_part + at, *sums = (const real *)s->sums + at;
    const real *bias = s->bias, *peephole = cells->peephole;
    const le_cell_config *cell = s->config;
    real *c = (real *)cells->c + row * LANES;
    vec gate[LSTM_GATES];
    for (int j = 0; j < LSTM_GATES; j++)
        gate[j] = lstm_gate(tail, j, s->units, x, sums, bias);
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
}

static void lstm_general(const le_lstm_cells *cells)
{
    if (cells->nv == LSTM_GATES)
        for (size_t row = 0; row < cells->panel.rows; row++)
            lstm_cell_general(0, cells, row);
    else
        for (size_t row = 0; row < cells->panel.rows; row++)
            lstm_cell_general(1, cells, row);
}

#endif
