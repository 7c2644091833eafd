/* What a recurrent layer keeps: the state it carries, in and out of the panels it is carried in, and its scratch. */
#include <string.h>

#include "layers/recurrent.h"

/* ---- carried state ---------------------------------------------------------------------------------- */

void le_recurrent_lay_state(const le_recurrent_layer *layer, size_t rows, le_arena *arena, le_recurrent_state *state)
{
    const int keeps_c = layer->cell == LE_LSTM || layer->direction[0].phases == 2;
    for (int d = 0; d < layer->dirs; d++) {
        state->h[d] = le_arena_take(arena, le_mul(2, rows), layer->h_stride);
        state->c[d] = keeps_c ? le_arena_take(arena, le_mul(rows, layer->lanes_hidden), le_recurrent_element(layer)) : NULL;
        state->middle[d] = layer->middle_stride ? le_arena_take(arena, rows, layer->middle_stride) : NULL;
    }
}

/* Copy one row of c between its plain form [H] and the panels it is carried in. */
static void copy_c(const le_recurrent_layer *layer, char *panels, size_t rows, size_t row, char *plain, int to_panels)
{
    const size_t es = le_recurrent_element(layer), lanes = (size_t)layer->kernels->lanes;
    for (size_t unit = 0; unit < layer->hidden; unit += lanes) {
        const size_t bytes = (layer->hidden - unit < lanes ? layer->hidden - unit : lanes) * es;
        char *panel = panels + (unit / lanes * rows + row) * lanes * es;
        if (to_panels)
            memcpy(panel, plain + unit * es, bytes);
        else
            memcpy(plain + unit * es, panel, bytes);
    }
}

static void zero_c(const le_recurrent_layer *layer, char *panels, size_t rows, size_t row)
{
    const size_t lane_bytes = (size_t)layer->kernels->lanes * le_recurrent_element(layer);
    for (size_t panel = 0; panel < layer->lanes_hidden / (size_t)layer->kernels->lanes; panel++)
        memset(panels + (panel * rows + row) * lane_bytes, 0, lane_bytes);
}

void le_recurrent_put(const le_recurrent_layer *layer, le_recurrent_state *state, size_t rows, size_t row, const void *h,
                      const void *c)
{
    const size_t es = le_recurrent_element(layer), h_bytes = layer->output * es, c_bytes = layer->hidden * es;
    for (int d = 0; d < layer->dirs; d++) {
        char *to = state->h[d] + row * layer->h_stride;
        if (h)
            memcpy(to, (const char *)h + (size_t)d * h_bytes, h_bytes);
        else
            memset(to, 0, h_bytes);
        if (layer->cell != LE_LSTM)
            continue;
        zero_c(layer, state->c[d], rows, row); /* the lanes past H too */
        if (c)
            copy_c(layer, state->c[d], rows, row, (char *)c + (size_t)d * c_bytes, 1);
    }
}

/* Clear memory, part by part: pages fresh from the system take a second a gigabyte, and the caller may not want to wait. */
static void clear(const le_thread_group *threads, char *to, size_t bytes)
{
    const size_t part = 8 << 20;
    const double operations_of_a_byte = 16;
    for (size_t at = 0; at < bytes; at += part) {
        const size_t count = bytes - at < part ? bytes - at : part;
        if (le_stopped(threads, operations_of_a_byte * (double)count))
            return;
        memset(to + at, 0, count);
    }
}

void le_recurrent_zero(const le_recurrent_layer *layer, const le_thread_group *threads, le_recurrent_state *state,
                       size_t rows)
{
    for (int d = 0; d < layer->dirs; d++) {
        clear(threads, state->h[d], rows * layer->h_stride);
        if (layer->cell == LE_LSTM)
            clear(threads, state->c[d], rows * layer->lanes_hidden * le_recurrent_element(layer));
    }
}

void le_recurrent_get(const le_recurrent_layer *layer, const le_recurrent_state *state, size_t rows, size_t row, void *h,
                      void *c)
{
    const size_t es = le_recurrent_element(layer), h_bytes = layer->output * es, c_bytes = layer->hidden * es;
    for (int d = 0; d < layer->dirs; d++) {
        if (h)
            memcpy((char *)h + (size_t)d * h_bytes, state->h[d] + row * layer->h_stride, h_bytes);
        if (c && layer->cell == LE_LSTM)
            copy_c(layer, state->c[d], rows, row, (char *)c + (size_t)d * c_bytes, 0);
    }
}

/* ---- scratch ---------------------------------------------------------------------------------------- */

/* The largest number of panels one member of a thread group can own. */
static size_t own_panels(const le_recurrent_layer *layer, const le_packed *packed, int members)
{
    const size_t sharers = layer->dirs == 2 && members > 1 ? (size_t)members / 2 : (size_t)members;
    return (packed->panels + sharers - 1) / sharers;
}

/* Numbers of the longest row that is multiplied in a step. */
static size_t longest_row(const le_recurrent_layer *layer)
{
    size_t longest = 0;
    for (int i = 0; i < layer->direction[0].phases; i++)
        longest = layer->direction[0].phase[i].r.k > longest ? layer->direction[0].phase[i].r.k : longest;
    return longest;
}

void le_recurrent_lay_work(const le_recurrent_layer *layer, size_t rows, size_t block_rows, int members, le_arena *arena,
                           le_recurrent_work *work)
{
    const size_t es = le_recurrent_element(layer);
    work->x_rows = le_arena_take(arena, block_rows, sizeof *work->x_rows);
    work->h_prev = le_arena_take(arena, rows, sizeof *work->h_prev);
    work->h_out = le_arena_take(arena, rows, sizeof *work->h_out);
    work->middle_in = le_arena_take(arena, rows, sizeof *work->middle_in);
    work->middle_out = le_arena_take(arena, rows, sizeof *work->middle_out);
    work->prepared = work->prepared_x = NULL;
    work->prepared_rows = NULL;
    if (layer->products->prepare) {
        work->prepared_rows = le_arena_take(arena, rows, sizeof *work->prepared_rows);
        work->prepared = le_arena_take(arena, rows, layer->products->row_bytes(longest_row(layer)));
        work->prepared_x = le_arena_take(arena, block_rows, layer->products->row_bytes(layer->features));
    }
    for (int i = 0; i < layer->direction[0].phases; i++) {
        const le_packed *w = &layer->direction[0].phase[i].w;
        const size_t panels = own_panels(layer, w, members);
        work->x_part[i] = le_arena_take(arena, le_mul(panels, block_rows), le_recurrent_width(layer, w));
    }
    /* Sums of all rows of a panel, or of all panels of a row. */
    size_t panels = 0;
    for (int i = 0; i < layer->direction[0].phases; i++) {
        const size_t own = own_panels(layer, &layer->direction[0].phase[i].r, members);
        panels = own > panels ? own : panels;
    }
    work->scratch =
        le_arena_take(arena, le_mul(rows > panels ? rows : panels, LE_MAX_NV * (size_t)layer->kernels->lanes), es);
    work->gathered = work->plain = NULL;
    work->sweep = 0;
    if (layer->gemm == LE_GEMM_BLAS) {
        work->gathered = le_arena_take(arena, le_mul(block_rows, layer->features), es);
        work->plain = le_arena_take(arena, le_mul(block_rows, (size_t)layer->gates * layer->hidden), es);
    }
}
