/* The cells of one panel of a GRU.
 *
 * https://onnx.ai/onnx/operators/onnx__GRU.html:
 *   z = f(Xz + Hz), r = f(Xr + Hr), h = (1 - z) h~ + z h'
 *   linear_before_reset = 0: h~ = g(Xh + (r h') Rh + Rbh + Wbh)
 *   linear_before_reset = 1: h~ = g(Xh + r (h' Rh + Rbh) + Wbh)
 */
#ifndef LE_GRU_BODY_H
#define LE_GRU_BODY_H

#include "kernels/activation_body.h"
#include "kernels/columns_body.h"
#include "kernels/partial_body.h"

enum { GATE_Z, GATE_R, GATE_H, GRU_GATES };
enum { BIAS_Z, BIAS_R, BIAS_WH, BIAS_RH };

static int is_common_gru(const le_cell_config *cell)
{
    return cell->f.kind == LE_ACT_SIGMOID && cell->g.kind == LE_ACT_TANH && cell->clip <= 0;
}

/* (1 - z) h~ + z h', as h~ + z (h' - h~). */
LE_INLINE vec gru_blend(vec z, vec candidate, vec h_old)
{
    return v_fma(z, v_sub(h_old, candidate), candidate);
}

LE_INLINE void gru_after_rows(const int common, const le_gru_cells *gru)
{
    const le_cells *s = &gru->panel;
    const le_cell_config *cell = s->config;
    const real *bias = s->bias;
    for (size_t row = 0; row < s->rows; row++) {
        const real *x = (const real *)s->x_part + row * (GRU_GATES * LANES);
        const real *sums = (const real *)s->sums + row * (GRU_GATES * LANES);
        const vec z_in = v_add(v_add(v_load(x), v_load(sums)), v_load(bias + BIAS_Z * LANES));
        const vec r_in =
            v_add(v_add(v_load(x + GATE_R * LANES), v_load(sums + GATE_R * LANES)), v_load(bias + BIAS_R * LANES));
        const vec z = gate_function(common, cell->f, cell->clip, z_in);
        const vec r = gate_function(common, cell->f, cell->clip, r_in);
        const vec h_part = v_add(v_load(sums + GATE_H * LANES), v_load(bias + BIAS_RH * LANES));
        const vec x_part = v_add(v_load(x + GATE_H * LANES), v_load(bias + BIAS_WH * LANES));
        const vec candidate = candidate_function(common, cell->g, cell->clip, v_fma(r, h_part, x_part));
        const vec h_old = load_units((const real *)gru->h_old[row] + s->first, s->units);
        store_units((real *)s->h_out[row] + s->first, gru_blend(z, candidate, h_old), s->units);
    }
}

static void gru_after(const le_gru_cells *gru)
{
    if (is_common_gru(gru->panel.config))
        gru_after_rows(1, gru);
    else
        gru_after_rows(0, gru);
}

static void gru_before_gates(const le_gru_cells *gru)
{
    enum { GATES = 2 };
    const le_cells *s = &gru->panel;
    const le_cell_config *cell = s->config;
    const int common = is_common_gru(cell);
    for (size_t row = 0; row < s->rows; row++) {
        const real *x = (const real *)s->x_part + row * (GATES * LANES), *bias = s->bias;
        const real *sums = (const real *)s->sums + row * (GATES * LANES);
        vec in[GATES];
        for (int j = 0; j < GATES; j++)
            in[j] = v_add(v_add(v_load(x + j * LANES), v_load(sums + j * LANES)), v_load(bias + j * LANES));
        const vec z = gate_function(common, cell->f, cell->clip, in[GATE_Z]);
        const vec r = gate_function(common, cell->f, cell->clip, in[GATE_R]);
        v_store((real *)gru->z + row * LANES, z);
        const vec h_old = load_units((const real *)gru->h_old[row] + s->first, s->units);
        store_units((real *)s->h_out[row] + s->first, v_mul(r, h_old), s->units);
    }
}

static void gru_before_candidate(const le_gru_cells *gru)
{
    const le_cells *s = &gru->panel;
    const le_cell_config *cell = s->config;
    const int common = is_common_gru(cell);
    for (size_t row = 0; row < s->rows; row++)
        for (size_t unit = 0; unit < s->units; unit += LANES) {
            const vec candidate = candidate_function(common, cell->g, cell->clip, column_input(s, row, unit));
            const vec z = v_load((const real *)gru->z + unit / LANES * gru->z_panel + row * LANES);
            const vec h_old = load_units((const real *)gru->h_old[row] + s->first + unit, s->units - unit);
            store_units((real *)s->h_out[row] + s->first + unit, gru_blend(z, candidate, h_old), s->units - unit);
        }
}

#endif
