/* The driver of every recurrent cell: project the inputs of a block of steps, then step through time.
 *
 *   x part   = x W'         all steps of the block at once, panel by panel
 *   h_t, c_t = cell(x part_t + h_{t-1} R' + b)     one kernel call a panel and step
 *
 * Hidden units (panels) are shared by a thread group; its members wait for each other after every phase, because what
 * follows reads all units. Odd steps go through the panels backwards: the end of the weights is then still in the cache.
 */
#include "layers/recurrent.h"

#include <string.h>

#include "blas/blas.h"
#include "layers/prepared.h"

/* Vectors of a panel, and bytes of a row of it. */
static int panel_nv(const le_packed *packed, size_t panel)
{
    return panel + 1 == packed->panels ? packed->last_nv : packed->nv;
}

static size_t panel_width(const le_recurrent_layer *layer, const le_packed *packed, size_t panel)
{
    return (size_t)panel_nv(packed, panel) * (size_t)layer->kernels->lanes * le_recurrent_element(layer);
}

/* Operations of a panel's product with `rows` rows. */
static double panel_work(const le_recurrent_layer *layer, const le_packed *packed, size_t rows)
{
    return 2.0 * (double)rows * (double)packed->k * packed->nv * layer->kernels->lanes;
}

/* ---- input projection ------------------------------------------------------------------------------- */

/* The step in time that a direction takes as its `step`-th for a row. */
static inline size_t time_of(const le_recurrent_direction *direction, const le_block *block, size_t step, size_t row)
{
    return direction->reverse ? le_length(block, row) - 1 - step : step;
}

/* Pointers to the input rows of all steps of the block, step by step, active rows only; returns their number. */
static size_t list_inputs(const le_recurrent_direction *direction, const le_block *block, const le_rows *x,
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

/* Bring a phase's gates of the plain projection [count, gates*H] into panel order. */
static void scatter_panels(const le_recurrent_layer *layer, const le_phase *phase, size_t count,
                           const le_recurrent_work *work, char *to)
{
    const size_t es = le_recurrent_element(layer), lanes = (size_t)layer->kernels->lanes;
    const size_t row_bytes = (size_t)layer->gates * layer->hidden * es;
    const int columns = phase->panel_units != lanes;
    const int tail = phase->w.last_nv < phase->w.nv;
    for (size_t panel = 0; panel < phase->w.panels - (size_t)tail; panel++)
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < (size_t)phase->w.nv; j++, to += lanes * es) {
                const size_t unit = panel * phase->panel_units + (columns ? j * lanes : 0);
                const size_t gate = (size_t)phase->first_gate + (columns ? 0 : j);
                const size_t left = unit < layer->hidden ? layer->hidden - unit : 0, units = left < lanes ? left : lanes;
                memcpy(to, work->plain + i * row_bytes + (gate * layer->hidden + unit) * es, units * es);
                memset(to + units * es, 0, (lanes - units) * es);
            }
    const size_t left = layer->hidden % lanes, width = panel_width(layer, &phase->w, phase->w.panels - 1);
    for (size_t i = 0; tail && i < count; i++, to += width) {
        for (size_t j = 0; j < (size_t)phase->w.nv; j++)
            memcpy(to + j * left * es, work->plain + i * row_bytes + ((j + 1) * layer->hidden - left) * es, left * es);
        memset(to + (size_t)phase->w.nv * left * es, 0, width - (size_t)phase->w.nv * left * es);
    }
}

/* The whole projection as one BLAS product. Only a thread alone calls this. */
static void project_blas(const le_recurrent_layer *layer, const le_recurrent_direction *direction, size_t count,
                         const le_recurrent_work *work)
{
    const size_t es = le_recurrent_element(layer);
    for (size_t i = 0; i < count; i++)
        memcpy(work->gathered + i * layer->features * es, work->x_rows[i], layer->features * es);
    le_blas_gemm(layer->kernels->dtype, count, (size_t)layer->gates * layer->hidden, layer->features, work->gathered,
                 direction->w_plain, work->plain);
    for (int i = 0; i < direction->phases; i++)
        scatter_panels(layer, &direction->phase[i], count, work, work->x_part[i]);
}

/* Where a panel's weights are. */
static const char *panel_at(const le_packed *packed, size_t panel)
{
    return packed->data + panel * packed->panel_bytes;
}

/* The inputs of one panel for all rows of the block; `next`: the weights that are read after it. */
static void project_panel(const le_recurrent_layer *layer, const le_packed *w, size_t panel, size_t count,
                          const le_recurrent_work *work, const char *next, char *to)
{
    layer->products->product(panel_nv(w, panel), count, work->x_rows, layer->features, panel_at(w, panel),
                             work->fetch_inputs ? next : NULL, to);
}

static void project_packed(const le_recurrent_layer *layer, const le_recurrent_direction *direction,
                           const le_thread_group *threads, size_t count, const le_recurrent_work *work)
{
    for (int i = 0; i < direction->phases; i++) {
        const le_packed *w = &direction->phase[i].w;
        size_t first, last;
        le_share(threads, w->panels, &first, &last);
        for (size_t panel = first; panel < last && !le_stopped(threads, panel_work(layer, w, count)); panel++)
            project_panel(layer, w, panel, count, work, panel_at(w, panel + 1 < last ? panel + 1 : panel),
                          work->x_part[i] + (panel - first) * count * le_recurrent_width(layer, w));
    }
}

/* ---- stepping --------------------------------------------------------------------------------------- */

/* The projected inputs of a phase in a block: rows before this step's, and of the whole block. */
typedef struct projected {
    char *rows;
    size_t at, count;
    int on_demand; /* a block of one step projects each panel just before it is used, while its rows are in the nearest cache */
    int from_zero; /* this step's h_prev is zero */
} projected;

/* One row by this member's panels of a matrix. */
static void row_panels(const le_recurrent_layer *layer, const le_packed *packed, const le_thread_group *threads,
                       const void *row, size_t k, int backwards, char *to)
{
    size_t first, last;
    le_share(threads, packed->panels, &first, &last);
    const le_panels panels = {.count = last - first,
                              .first = panel_at(packed, first),
                              .bytes = packed->panel_bytes,
                              .backwards = backwards,
                              .last_nv = last == packed->panels ? packed->last_nv : 0};
    layer->products->row_product(packed->nv, &panels, row, k, to);
}

/* One step of a phase: what its kernels are given, panel by panel. */
typedef struct stepping {
    union {
        le_cells cells; /* what all families begin with */
        le_lstm_step lstm;
        le_gru_cells gru;
    } of;
    const void *const *source; /* [rows] -> [k] */
    const void *const *h_prev; /* the same, or as the products take them: what is multiplied */
    char *c; /* [panels][rows][lanes] of a member: c of an LSTM, z of a GRU */
    size_t c_panel; /* elements from one group of `lanes` units of c to the next */
} stepping;

/* What stays the same from step to step. c: of the direction. */
static stepping begin_phase(const le_recurrent_layer *layer, const le_recurrent_direction *direction, int number,
                            size_t rows, char *c, const le_recurrent_work *work)
{
    const le_phase *phase = &direction->phase[number];
    stepping step = {.c = c, .c_panel = rows * (size_t)layer->kernels->lanes};
    step.source = phase->from_middle ? work->middle_in : work->h_prev;
    step.h_prev = work->prepared_rows ? work->prepared_rows : step.source;
    step.of.cells.sums = work->scratch;
    step.of.cells.h_out = phase->to_middle ? work->middle_out : work->h_out;
    step.of.cells.config = &direction->config;
    if (layer->cell == LE_GRU)
        step.of.gru.h_old = work->h_prev;
    else if (phase->kind == LE_PHASE_LSTM)
        step.of.lstm.h_prev = step.h_prev;
    return step;
}

/* The panel that `step` is about to take: its weights' place, not what they are multiplied with. */
static void set_panel(const le_recurrent_layer *layer, const le_phase *phase, size_t panel, stepping *step)
{
    const size_t es = le_recurrent_element(layer), lanes = (size_t)layer->kernels->lanes;
    le_cells *cells = &step->of.cells;
    cells->first = panel * phase->panel_units;
    cells->units = phase->units - cells->first < phase->panel_units ? phase->units - cells->first : phase->panel_units;
    cells->bias = phase->bias ? phase->bias + panel * phase->bias_bytes : NULL;
    char *const c = step->c ? step->c + cells->first / lanes * step->c_panel * es : NULL;
    if (phase->kind == LE_PHASE_LSTM || phase->kind == LE_PHASE_LSTM_GENERAL) {
        step->of.lstm.cells.nv = panel_nv(&phase->r, panel);
        step->of.lstm.cells.peephole = phase->peephole ? phase->peephole + panel * 3 * lanes * es : NULL;
        step->of.lstm.cells.c = c;
    } else if (phase->kind == LE_PHASE_GRU_GATES || phase->kind == LE_PHASE_GRU_CANDIDATE) {
        step->of.gru.z = c;
        step->of.gru.z_panel = step->c_panel;
    }
}

/* The cells of a panel whose product is there. */
static void run_cells(const le_kernels *kernels, const le_phase *phase, const stepping *step)
{
    switch (phase->kind) {
    case LE_PHASE_LSTM:
        kernels->lstm_cells(&step->of.lstm.cells);
        return;
    case LE_PHASE_LSTM_GENERAL:
        kernels->lstm_general(&step->of.lstm.cells);
        return;
    case LE_PHASE_PROJECTION:
        kernels->projection(&step->of.cells);
        return;
    case LE_PHASE_GRU_AFTER:
        kernels->gru_after(&step->of.gru);
        return;
    case LE_PHASE_GRU_GATES:
        kernels->gru_before_gates(&step->of.gru);
        return;
    case LE_PHASE_GRU_CANDIDATE:
        kernels->gru_before_candidate(&step->of.gru);
        return;
    case LE_PHASE_RNN:
        kernels->rnn(&step->of.cells);
        return;
    }
}

/* The projected inputs of a panel, the `own`-th of this member's, from this step's first row on. */
static char *inputs_of(const le_recurrent_layer *layer, const le_phase *phase, const projected *x, size_t own, size_t panel)
{
    return x->rows + own * x->count * le_recurrent_width(layer, &phase->r) + x->at * panel_width(layer, &phase->r, panel);
}

/* One step of one row: all panels this member owns at once. Backwards, what was read last comes first here too. */
static void run_row(const le_recurrent_layer *layer, const le_phase *phase, const le_thread_group *threads, stepping *step,
                    const projected *x, const le_recurrent_work *work, int backwards)
{
    const size_t width = le_recurrent_width(layer, &phase->r), k = x->from_zero && le_phase_idle(phase) ? 0 : phase->r.k;
    const int inputs = x->on_demand && phase->w.panels > 0;
    size_t first, last;
    le_share(threads, phase->r.panels, &first, &last);
    if (le_stopped(threads, (double)(last - first) * panel_work(layer, &phase->r, 1))) {
        le_group_wait(threads);
        return;
    }
    if (inputs && !backwards)
        row_panels(layer, &phase->w, threads, work->x_rows[0], layer->features, 0, x->rows);
    row_panels(layer, &phase->r, threads, step->h_prev[0], k, backwards, work->scratch);
    if (inputs && backwards)
        row_panels(layer, &phase->w, threads, work->x_rows[0], layer->features, 1, x->rows);
    if (phase->kind == LE_PHASE_LSTM && first < last) {
        const size_t es = le_recurrent_element(layer), unit = first * phase->panel_units;
        const le_lstm_row row = {
            .panels = last - first,
            .units = phase->units - unit,
            .last_nv = panel_nv(&phase->r, last - 1),
            .x_part = inputs_of(layer, phase, x, 0, first),
            .x_panel = x->count * (width / es),
            .x_last = inputs_of(layer, phase, x, last - 1 - first, last - 1),
            .sums = work->scratch,
            .bias = phase->bias + first * phase->bias_bytes,
            .c = step->c + first * step->c_panel * es,
            .c_panel = step->c_panel,
            .h = (char *)step->of.cells.h_out[0] + unit * es,
        };
        layer->kernels->lstm_row(&row);
    }
    for (size_t panel = first; panel < last && phase->kind != LE_PHASE_LSTM; panel++) {
        set_panel(layer, phase, panel, step);
        step->of.cells.x_part = inputs_of(layer, phase, x, panel - first, panel);
        step->of.cells.sums = work->scratch + (panel - first) * width;
        run_cells(layer->kernels, phase, step);
    }
    step->of.cells.sums = work->scratch;
    le_group_wait(threads);
}

/* One phase of one step: every panel this member owns. */
static void run_phase(const le_recurrent_layer *layer, const le_phase *phase, const le_thread_group *threads, stepping *step,
                      const projected *x, const le_recurrent_work *work, int backwards)
{
    const le_kernels *kernels = layer->kernels;
    const int idle = x->from_zero && le_phase_idle(phase), inputs = x->on_demand && phase->w.panels > 0;
    const le_packed *reads = inputs ? &phase->w : &phase->r; /* first of what each panel reads */
    const size_t k = idle ? 0 : phase->r.k, rows = step->of.cells.rows;
    size_t first, last;
    le_share(threads, phase->r.panels, &first, &last);
    const double work_of_a_panel = panel_work(layer, &phase->r, rows) + panel_work(layer, reads, rows);
    for (size_t i = first; i < last && !le_stopped(threads, work_of_a_panel); i++) {
        const size_t panel = backwards ? first + last - 1 - i : i;
        const size_t after = i + 1 == last ? panel : backwards ? panel - 1 : panel + 1;
        const char *const weights = panel_at(&phase->r, panel);
        const char *const next = work->fetch && !idle ? panel_at(reads, after) : NULL;
        set_panel(layer, phase, panel, step);
        if (inputs)
            project_panel(layer, &phase->w, panel, x->count, work, idle ? panel_at(&phase->w, after) : weights, x->rows);
        step->of.cells.x_part = x->on_demand ? x->rows : inputs_of(layer, phase, x, panel - first, panel);
        if (phase->kind == LE_PHASE_LSTM && layer->products == &kernels->products) {
            step->of.lstm.k = k;
            step->of.lstm.weights = weights;
            step->of.lstm.next = next;
            kernels->lstm(&step->of.lstm);
            continue;
        }
        layer->products->product(panel_nv(&phase->r, panel), rows, step->h_prev, k, weights, next, step->of.cells.sums);
        run_cells(kernels, phase, step);
    }
    le_group_wait(threads);
}

static void run_direction(const le_recurrent_layer *layer, int d, const le_thread_group *threads, const le_block *block,
                          const le_rows *x, const le_rows *y, le_recurrent_state *state, const le_recurrent_work *work,
                          int from_zero)
{
    const le_recurrent_direction *direction = &layer->direction[d];
    const size_t count = list_inputs(direction, block, x, work->x_rows);
    if (layer->products->prepare)
        le_prepare_rows(layer->products, threads, count, layer->features, work->x_rows, work->prepared_x, work->x_rows);
    const int on_demand = layer->gemm == LE_GEMM_PACKED && block->end - block->begin == 1;
    if (layer->gemm == LE_GEMM_BLAS)
        project_blas(layer, direction, count, work);
    else if (!on_demand)
        project_packed(layer, direction, threads, count, work);

    char *const carried = state->h[d], *const other = carried + block->rows * layer->h_stride;
    for (size_t row = 0; row < block->rows; row++) {
        work->h_prev[row] = carried + row * layer->h_stride;
        if (layer->middle_stride)
            work->middle_in[row] = work->middle_out[row] = state->middle[d] + row * layer->middle_stride;
    }
    stepping steps[2];
    for (int i = 0; i < direction->phases; i++)
        steps[i] = begin_phase(layer, direction, i, block->rows, state->c[d], work);
    size_t at = 0, active = block->rows;
    for (size_t s = block->begin; s < block->end; s++) {
        active = le_active(block, s, active);
        if (active == 0)
            break;
        char *const target = (s - block->begin) % 2 == 0 ? other : carried;
        const size_t offset = (size_t)d * layer->output * le_recurrent_element(layer);
        for (size_t row = 0; row < active; row++)
            work->h_out[row] =
                y ? le_row(y, time_of(direction, block, s, row), row) + offset : target + row * layer->h_stride;
        for (int i = 0; i < direction->phases; i++) {
            const le_phase *phase = &direction->phase[i];
            steps[i].of.cells.rows = active;
            if (layer->products->prepare && !(from_zero && s == 0 && le_phase_idle(phase)))
                le_prepare_rows(layer->products, threads, active, phase->r.k, steps[i].source, work->prepared,
                                work->prepared_rows);
            const projected inputs = {
                .rows = work->x_part[i], .at = at, .count = count, .on_demand = on_demand, .from_zero = from_zero && s == 0};
            const int backwards = (int)((s + (size_t)work->sweep) % 2);
            /* From two blocks of k on a panel has chains enough alone, and its cells run beside the next one's product. */
            const int side_by_side = active == 1 && (phase->kind == LE_PHASE_LSTM || phase->r.k < 2 * LE_K_BLOCK);
            (side_by_side ? run_row : run_phase)(layer, phase, threads, &steps[i], &inputs, work, backwards);
        }
        for (size_t row = 0; row < active; row++)
            work->h_prev[row] = work->h_out[row];
        at += active;
    }

    le_finish_products(layer->products);

    /* Outputs of this block may be overwritten by the next one: bring the last h of every row home. */
    size_t first_row, last_row;
    le_share(threads, block->rows, &first_row, &last_row);
    for (size_t row = first_row; row < last_row; row++) {
        char *home = carried + row * layer->h_stride;
        if (le_stopped(threads, (double)layer->output))
            break;
        if (work->h_prev[row] != home)
            memcpy(home, work->h_prev[row], layer->output * le_recurrent_element(layer));
    }
    le_group_wait(threads);
}

void le_recurrent_block(const le_recurrent_layer *layer, const le_thread_group *threads, const le_block *block,
                        const le_rows *x, const le_rows *y, le_recurrent_state *state, const le_recurrent_work *work,
                        int from_zero)
{
    if (layer->dirs == 2 && threads->members > 1) {
        const int half = threads->members / 2, d = threads->member >= half;
        const le_thread_group mine = {
            .member = d ? threads->member - half : threads->member,
            .members = d ? threads->members - half : half,
            .barrier = &threads->directions[d],
            .watch = threads->watch,
            .caller = threads->caller,
        };
        run_direction(layer, d, &mine, block, x, y, state, work, from_zero);
        le_group_wait(threads);
        return;
    }
    for (int d = 0; d < layer->dirs; d++)
        run_direction(layer, d, threads, block, x, y, state, work, from_zero);
}
