/* The cells of one panel of a GRU, a simple RNN and a projection.
 *
 * https://onnx.ai/onnx/operators/onnx__GRU.html:
 *   z = f(Xz + Hz), r = f(Xr + Hr), h = (1 - z) h~ + z h'
 *   linear_before_reset = 0: h~ = g(Xh + (r h') Rh + Rbh + Wbh)
 *   linear_before_reset = 1: h~ = g(Xh + r (h' Rh + Rbh) + Wbh)
 * https://onnx.ai/onnx/operators/onnx__RNN.html: h = f(X + h' R + Wb + Rb)
 */
#ifndef LE_GRU_BODY_H
#define LE_GRU_BODY_H

#include "kernels/math_body.h"

enum { GATE_Z, GATE_R, GATE_H, GRU_GATES };
enum { BIAS_Z, BIAS_R, BIAS_WH, BIAS_RH };
enum { COLUMNS = LE_MAX_NV };

/* The common functions without the detour over a switch. */
LE_INLINE vec gate_function(int common, le_activation f, double clip, vec x)
{
    return common ? v_sigmoid(x) : v_activate(f, v_clip(x, clip));
}

LE_INLINE vec candidate_function(int common, le_activation g, double clip, vec x)
{
    return common ? v_tanh(x) : v_activate(g, v_clip(x, clip));
}

static int is_common_gru(const le_cell_config *cell)
{
    return cell->f.kind == LE_ACT_SIGMOID && cell->g.kind == LE_ACT_TANH && cell->clip <= 0;
}

/* (1 - z) h~ + z h', as h~ + z (h' - h~). */
LE_INLINE vec gru_blend(vec z, vec candidate, vec h_old)
{
    return v_fma(z, v_sub(h_old, candidate), candidate);
}

LE_INLINE void gru_after_rows(const int common, const le_step *s)
{
    const le_cell_config *cell = s->cell;
    const real *bias = s->bias;
    for (size_t row = 0; row < s->rows; row++) {
        const real *x = (const real *)s->x_part + row * (GRU_GATES * LANES);
        const real *sums = (const real *)s->scratch + row * (GRU_GATES * LANES);
        const vec z_in = v_add(v_add(v_load(x), v_load(sums)), v_load(bias + BIAS_Z * LANES));
        const vec r_in = v_add(v_add(v_load(x + GATE_R * LANES), v_load(sums + GATE_R * LANES)),
                               v_load(bias + BIAS_R * LANES));
        const vec z = gate_function(common, cell->f, cell->clip, z_in);
        const vec r = gate_function(common, cell->f, cell->clip, r_in);
        const vec h_part = v_add(v_load(sums + GATE_H * LANES), v_load(bias + BIAS_RH * LANES));
        const vec x_part = v_add(v_load(x + GATE_H * LANES), v_load(bias + BIAS_WH * LANES));
        const vec candidate = candidate_function(common, cell->g, cell->clip, v_fma(r, h_part, x_part));
        const vec h_old = load_units((const real *)s->h_old[row] + s->first, s->units);
        store_units((real *)s->h_out[row] + s->first, gru_blend(z, candidate, h_old), s->units);
    }
}

static void gru_after(const le_step *s)
{
    if (is_common_gru(s->cell))
        gru_after_rows(1, s);
    else
        gru_after_rows(0, s);
}

static void gru_before_gates(const le_step *s)
{
    enum { GATES = 2 };
    const le_cell_config *cell = s->cell;
    const int common = is_common_gru(cell);
    for (size_t row = 0; row < s->rows; row++) {
        const real *x = (const real *)s->x_part + row * (GATES * LANES), *bias = s->bias;
        const real *sums = (const real *)s->scratch + row * (GATES * LANES);
        vec in[GATES];
        for (int j = 0; j < GATES; j++)
            in[j] = v_add(v_add(v_load(x + j * LANES), v_load(sums + j * LANES)), v_load(bias + j * LANES));
        const vec z = gate_function(common, cell->f, cell->clip, in[GATE_Z]);
        const vec r = gate_function(common, cell->f, cell->clip, in[GATE_R]);
        v_store((real *)s->c + row * LANES, z);
        const vec h_old = load_units((const real *)s->h_old[row] + s->first, s->units);
        store_units((real *)s->h_out[row] + s->first, v_mul(r, h_old), s->units);
    }
}

/* The pre-activation of one vector of a panel of columns. */
LE_INLINE vec column_input(const le_step *s, size_t row, size_t unit)
{
    const size_t at = row * (COLUMNS * LANES) + unit;
    return v_add(v_add(v_load((const real *)s->x_part + at), v_load((const real *)s->scratch + at)),
                 v_load((const real *)s->bias + unit));
}

static void gru_before_candidate(const le_step *s)
{
    const le_cell_config *cell = s->cell;
    const int common = is_common_gru(cell);
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES) {
            const vec candidate = candidate_function(common, cell->g, cell->clip, column_input(s, row, unit));
            const vec z = v_load((const real *)s->c + unit / LANES * s->c_panel + row * LANES);
            const vec h_old = load_units((const real *)s->h_old[row] + s->first + unit, s->units - unit);
            store_units((real *)s->h_out[row] + s->first + unit, gru_blend(z, candidate, h_old), s->units - unit);
        }
}

static void rnn(const le_step *s)
{
    const le_cell_config *cell = s->cell;
    const int common = cell->f.kind == LE_ACT_TANH && cell->clip <= 0;
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES)
            store_units((real *)s->h_out[row] + s->first + unit,
                        candidate_function(common, cell->f, cell->clip, column_input(s, row, unit)), s->units - unit);
}

static void projection(const le_step *s)
{
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES)
            store_units((real *)s->h_out[row] + s->first + unit,
                        v_load((const real *)s->scratch + row * (COLUMNS * LANES) + unit), s->units - unit);
}

#endif
