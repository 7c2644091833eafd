/* The driver of every recurrent cell: project the inputs of a block of steps, then step through time.
 *
 *   x part   = x W'         all steps of the block at once, panel by panel
 *   h_t, c_t = cell(x part_t + h_{t-1} R' + b)     one kernel call a panel and step
 *
 * Hidden units (panels) are shared by the crew; its members meet after every step, because the next step reads
 * all of h. Odd steps go through the panels backwards: the end of the weights is then still in the cache.
 */
#include "layers/recurrent.h"

#include <string.h>

#include "blas/blas.h"

static size_t element(const le_recurrent_layer *layer)
{
    return le_dtype_size(layer->kernels->dtype);
}

static size_t tile_bytes(const le_recurrent_layer *layer)
{
    return (size_t)layer->gates * (size_t)layer->kernels->lanes * element(layer);
}

void le_recurrent_lay_state(const le_recurrent_layer *layer, size_t rows, le_arena *arena, le_recurrent_state *state)
{
    for (int d = 0; d < layer->dirs; d++) {
        state->h[d] = le_arena_take(arena, le_mul(2, rows), layer->h_stride);
        state->c[d] = layer->cell == LE_LSTM
                          ? le_arena_take(arena, le_mul(rows, layer->lanes_hidden), element(layer)) : NULL;
    }
}

void le_recurrent_put(const le_recurrent_layer *layer, le_recurrent_state *state, size_t row, const void *h,
                      const void *c)
{
    const size_t es = element(layer), h_bytes = layer->output * es, c_bytes = layer->hidden * es;
    for (int d = 0; d < layer->dirs; d++) {
        char *to = state->h[d] + row * layer->h_stride;
        if (h)
            memcpy(to, (const char *)h + (size_t)d * h_bytes, h_bytes);
        else
            memset(to, 0, h_bytes);
        if (layer->cell != LE_LSTM)
            continue;
        to = state->c[d] + row * layer->lanes_hidden * es;
        memset(to, 0, layer->lanes_hidden * es);
        if (c)
            memcpy(to, (const char *)c + (size_t)d * c_bytes, c_bytes);
    }
}

void le_recurrent_get(const le_recurrent_layer *layer, const le_recurrent_state *state, size_t row, void *h, void *c)
{
    const size_t es = element(layer), h_bytes = layer->output * es, c_bytes = layer->hidden * es;
    for (int d = 0; d < layer->dirs; d++) {
        if (h)
            memcpy((char *)h + (size_t)d * h_bytes, state->h[d] + row * layer->h_stride, h_bytes);
        if (c && layer->cell == LE_LSTM)
            memcpy((char *)c + (size_t)d * c_bytes, state->c[d] + row * layer->lanes_hidden * es, c_bytes);
    }
}

/* The largest number of panels one member of the crew can own. */
static size_t own_panels(const le_recurrent_layer *layer, int members)
{
    const size_t crew = layer->dirs == 2 && members > 1 ? (size_t)members / 2 : (size_t)members;
    return (layer->direction[0].r.panels + crew - 1) / crew;
}

void le_recurrent_lay_work(const le_recurrent_layer *layer, size_t rows, size_t block_rows, int members, le_arena *arena,
                           le_recurrent_work *work)
{
    const size_t es = element(layer);
    work->x_rows = le_arena_take(arena, block_rows, sizeof *work->x_rows);
    work->h_prev = le_arena_take(arena, rows, sizeof *work->h_prev);
    work->h_out = le_arena_take(arena, rows, sizeof *work->h_out);
    work->x_part = le_arena_take(arena, le_mul(own_panels(layer, members), block_rows), tile_bytes(layer));
    work->scratch = le_arena_take(arena, rows, tile_bytes(layer));
    work->gathered = work->plain = NULL;
    if (layer->gemm == LE_GEMM_BLAS) {
        work->gathered = le_arena_take(arena, le_mul(block_rows, layer->features), es);
        work->plain = le_arena_take(arena, le_mul(block_rows, (size_t)layer->gates * layer->hidden), es);
    }
}

/* The step in time that a direction takes as its `step`-th for a row. */
static inline size_t time_of(const struct le_recurrent_direction *direction, const le_block *block, size_t step,
                             size_t row)
{
    return direction->reverse ? le_length(block, row) - 1 - step : step;
}

/* Pointers to the input rows of all steps of the block, step by step, active rows only; returns their number. */
static size_t list_inputs(const struct le_recurrent_direction *direction, const le_block *block, const le_rows *x,
                          const void **list)
{
    size_t count = 0, active = block->rows;
    for (size_t step = block->begin; step < block->end; step++) {
        active = le_active(block, step, active);
        for (size_t row = 0; row < active; row++)
            list[count++] = le_row(x, time_of(direction, block, step, row), row);
    }
    return count;
}

/* The whole projection as one BLAS product, brought into panel order. Only a crew of one calls this. */
static void project_blas(const le_recurrent_layer *layer, const struct le_recurrent_direction *direction, size_t count,
                         const le_recurrent_work *work)
{
    const size_t es = element(layer), lanes = (size_t)layer->kernels->lanes, gates = (size_t)layer->gates;
    const size_t columns = gates * layer->hidden, tile = tile_bytes(layer);
    for (size_t i = 0; i < count; i++)
        memcpy(work->gathered + i * layer->features * es, work->x_rows[i], layer->features * es);
    le_blas_gemm(layer->kernels->dtype, count, columns, layer->features, work->gathered, direction->w_plain, work->plain);
    for (size_t panel = 0; panel < direction->w.panels; panel++) {
        const size_t unit = panel * lanes, units = layer->hidden - unit < lanes ? layer->hidden - unit : lanes;
        char *to = work->x_part + panel * count * tile;
        for (size_t i = 0; i < count; i++, to += tile)
            for (size_t gate = 0; gate < gates; gate++) {
                memcpy(to + gate * lanes * es, work->plain + (i * columns + gate * layer->hidden + unit) * es, units * es);
                memset(to + (gate * lanes + units) * es, 0, (lanes - units) * es);
            }
    }
}

static void run_direction(const le_recurrent_layer *layer, int d, const le_crew *crew, const le_block *block,
                          const le_rows *x, const le_rows *y, le_recurrent_state *state, const le_recurrent_work *work)
{
    const struct le_recurrent_direction *direction = &layer->direction[d];
    const size_t es = element(layer), lanes = (size_t)layer->kernels->lanes, tile = tile_bytes(layer);
    const size_t count = list_inputs(direction, block, x, work->x_rows);
    size_t first_panel, last_panel;
    le_share(crew, direction->r.panels, &first_panel, &last_panel);

    if (layer->gemm == LE_GEMM_BLAS)
        project_blas(layer, direction, count, work);
    else
        for (size_t panel = first_panel; panel < last_panel; panel++)
            layer->kernels->product(layer->gates, count, work->x_rows, layer->features,
                                    direction->w.data + panel * direction->w.panel_bytes,
                                    work->x_part + (panel - first_panel) * count * tile);

    char *const carried = state->h[d], *const other = carried + block->rows * layer->h_stride;
    const void **h_prev = work->h_prev;
    for (size_t row = 0; row < block->rows; row++)
        h_prev[row] = carried + row * layer->h_stride;

    le_step step = {
        .k = layer->output,
        .h_prev = h_prev,
        .h_out = work->h_out,
        .c_stride = layer->lanes_hidden,
        .cell = &direction->config,
        .scratch = work->scratch,
    };
    size_t at = 0, active = block->rows;
    for (size_t s = block->begin; s < block->end; s++) {
        active = le_active(block, s, active);
        if (active == 0)
            break;
        char *const target = (s - block->begin) % 2 == 0 ? other : carried;
        for (size_t row = 0; row < active; row++)
            work->h_out[row] = y ? le_row(y, time_of(direction, block, s, row), row) + (size_t)d * layer->output * es
                                 : target + row * layer->h_stride;
        step.rows = active;
        for (size_t i = first_panel; i < last_panel; i++) {
            const size_t panel = s % 2 == 0 ? i : first_panel + last_panel - 1 - i;
            step.first = panel * lanes;
            step.units = layer->hidden - step.first < lanes ? layer->hidden - step.first : lanes;
            step.panel = direction->r.data + panel * direction->r.panel_bytes;
            step.x_part = work->x_part + ((panel - first_panel) * count + at) * tile;
            step.bias = direction->bias + panel * tile;
            step.peephole = direction->peephole ? direction->peephole + panel * 3 * lanes * es : NULL;
            step.c = state->c[d] ? state->c[d] + step.first * es : NULL;
            layer->step(&step);
        }
        for (size_t row = 0; row < active; row++)
            h_prev[row] = work->h_out[row];
        at += active;
        le_meet(crew);
    }

    /* Outputs of this block may be overwritten by the next one: bring the last h of every row home. */
    size_t first_row, last_row;
    le_share(crew, block->rows, &first_row, &last_row);
    for (size_t row = first_row; row < last_row; row++) {
        char *home = carried + row * layer->h_stride;
        if (h_prev[row] != home)
            memcpy(home, h_prev[row], layer->output * es);
    }
    le_meet(crew);
}

void le_recurrent_block(const le_recurrent_layer *layer, const le_crew *crew, const le_block *block, const le_rows *x,
                        const le_rows *y, le_recurrent_state *state, const le_recurrent_work *work)
{
    if (layer->dirs == 2 && crew->members > 1) {
        const int half = crew->members / 2, d = crew->member >= half;
        const le_crew mine = {
            .member = d ? crew->member - half : crew->member,
            .members = d ? crew->members - half : half,
            .barrier = &crew->directions[d],
        };
        run_direction(layer, d, &mine, block, x, y, state, work);
        le_meet(crew);
        return;
    }
    for (int d = 0; d < layer->dirs; d++)
        run_direction(layer, d, crew, block, x, y, state, work);
}
