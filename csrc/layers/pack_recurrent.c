/* Packing of recurrent weights: which kernels run a cell, and its panels, biases and peepholes.
 *
 *   LSTM               gates i,o,f,c                                 lstm, or lstm_general
 *   LSTM, projected    gates i,o,f,c -> middle; columns P            lstm.., projection
 *   GRU, reset after   gates z,r,h                                   gru_after
 *   GRU, reset before  gates z,r -> middle (r * h); columns h        gru_before_gates, gru_before_candidate
 *   RNN                columns h                                     rnn
 */
#include <string.h>

#include "base/status.h"
#include "layers/recurrent.h"

/* One direction of a layer as it comes: plain weights. */
typedef struct plain_weights {
    le_matrix w, r, proj; /* [gates*H, I], [gates*H, output], [P, H] */
    const char *b, *p;    /* [2*gates*H], [3*H]; null: none */
    size_t es, features, hidden, output, gates;
} plain_weights;

/* A matrix from one of its rows of `columns` numbers on. */
static le_matrix rows_from(const le_packer *packer, le_matrix matrix, size_t row, size_t columns)
{
    return (le_matrix){.values = (const char *)matrix.values + row * columns * packer->products->element,
                       .scales = matrix.scales ? matrix.scales + row : NULL};
}

static const char *bias_of(const plain_weights *plain, int recurrent, size_t gate)
{
    return plain->b ? plain->b + ((recurrent ? plain->gates : 0) + gate) * plain->hidden * plain->es : NULL;
}

/* A phase of `gates` gates side by side, from `first_gate` on. */
static le_status pack_gate_phase(const le_packer *packer, const plain_weights *plain, size_t first_gate, int gates,
                                 le_phase_kind kind, le_phase *phase)
{
    const size_t skip = first_gate * plain->hidden;
    phase->kind = kind;
    phase->first_gate = (int)first_gate;
    phase->units = plain->hidden;
    phase->panel_units = (size_t)packer->kernels->lanes;
    phase->bias_bytes = (size_t)gates * phase->panel_units * plain->es;
    /* The kernels of an LSTM take a packed tail. */
    phase->order = gates == LE_MAX_NV ? LE_ORDER_PACKED_TAIL : LE_ORDER_GATES;
    le_status status = le_pack_rows(packer, phase->order, gates, plain->hidden, plain->features,
                                    rows_from(packer, plain->w, skip, plain->features), &phase->w);
    if (status == LE_OK)
        status = le_pack_rows(packer, phase->order, gates, plain->hidden, plain->output,
                              rows_from(packer, plain->r, skip, plain->output), &phase->r);
    if (status == LE_OK)
        status = le_pack_bias(packer, gates, plain->hidden, bias_of(plain, 0, first_gate), bias_of(plain, 1, first_gate),
                              &phase->bias);
    if (status == LE_OK && plain->p)
        status = le_pack_bias(packer, 3, plain->hidden, plain->p, NULL, &phase->peephole);
    return status;
}

/* A phase of one gate, its units as columns. */
static le_status pack_column_phase(const le_packer *packer, const plain_weights *plain, size_t gate, le_phase_kind kind,
                                   le_phase *phase)
{
    const size_t skip = gate * plain->hidden;
    phase->kind = kind;
    phase->first_gate = (int)gate;
    phase->units = plain->hidden;
    phase->panel_units = LE_MAX_NV * (size_t)packer->kernels->lanes;
    phase->bias_bytes = phase->panel_units * plain->es;
    phase->order = LE_ORDER_UNITS;
    le_status status = le_pack_rows(packer, LE_ORDER_UNITS, 1, plain->hidden, plain->features,
                                    rows_from(packer, plain->w, skip, plain->features), &phase->w);
    if (status == LE_OK)
        status = le_pack_rows(packer, LE_ORDER_UNITS, 1, plain->hidden, plain->output,
                              rows_from(packer, plain->r, skip, plain->output), &phase->r);
    if (status == LE_OK)
        status = le_pack_units(packer, plain->hidden, bias_of(plain, 0, gate), bias_of(plain, 1, gate), &phase->bias);
    return status;
}

/* GRU with reset after: its h keeps two biases. */
static le_status split_gru_bias(const le_packer *packer, const plain_weights *plain, le_phase *phase)
{
    le_block_drop(phase->bias);
    phase->bias = NULL;
    phase->bias_bytes = 4 * (size_t)packer->kernels->lanes * plain->es;
    return le_pack_gru_bias(packer, plain->hidden, bias_of(plain, 0, 0), bias_of(plain, 1, 0), &phase->bias);
}

static int is(le_activation activation, le_act_kind kind)
{
    return activation.kind == kind;
}

/* The common LSTM has a kernel of its own; everything else goes through the general cell. */
static int is_common_lstm(const le_recurrent *spec, const le_cell_config *config)
{
    return !spec->p && config->clip <= 0 && config->cell_clip <= 0 && !config->input_forget &&
           is(config->f, LE_ACT_SIGMOID) && is(config->g, LE_ACT_TANH) && is(config->h, LE_ACT_TANH);
}

static le_status pack_lstm(const le_packer *packer, const le_recurrent *spec, const plain_weights *plain,
                           le_recurrent_direction *direction)
{
    const le_kernels *kernels = packer->kernels;
    le_phase *gates = &direction->phase[0], *projection = &direction->phase[1];
    direction->phases = 1;
    const le_phase_kind kind = is_common_lstm(spec, &direction->config) ? LE_PHASE_LSTM : LE_PHASE_LSTM_GENERAL;
    le_status status = pack_gate_phase(packer, plain, 0, 4, kind, gates);
    if (status != LE_OK || !spec->projection)
        return status;
    direction->phases = 2;
    gates->to_middle = projection->from_middle = 1;
    projection->kind = LE_PHASE_PROJECTION;
    projection->units = spec->projection;
    projection->panel_units = LE_MAX_NV * (size_t)kernels->lanes;
    projection->order = LE_ORDER_UNITS;
    return le_pack_rows(packer, LE_ORDER_UNITS, 1, spec->projection, plain->hidden, plain->proj, &projection->r);
}

static le_status pack_gru(const le_packer *packer, const le_recurrent *spec, const plain_weights *plain,
                          le_recurrent_direction *direction)
{
    direction->phases = spec->linear_before_reset ? 1 : 2;
    if (spec->linear_before_reset) {
        const le_status status = pack_gate_phase(packer, plain, 0, 3, LE_PHASE_GRU_AFTER, &direction->phase[0]);
        return status == LE_OK ? split_gru_bias(packer, plain, &direction->phase[0]) : status;
    }
    direction->phase[0].to_middle = direction->phase[1].from_middle = 1;
    const le_status status = pack_gate_phase(packer, plain, 0, 2, LE_PHASE_GRU_GATES, &direction->phase[0]);
    return status == LE_OK ? pack_column_phase(packer, plain, 2, LE_PHASE_GRU_CANDIDATE, &direction->phase[1]) : status;
}

static le_status pack_direction(const le_packer *given, le_gemm gemm, const le_recurrent *spec, int d,
                                const plain_weights *plain, le_recurrent_direction *direction)
{
    le_packer once = *given;
    const le_packer *packer = &once;
    if (gemm == LE_GEMM_BLAS)
        once.consumed = NULL; /* W is read again below */
    direction->reverse = spec->direction == LE_REVERSE || d == 1;
    direction->config = (le_cell_config){
        .f = spec->activations[d][0],
        .g = spec->activations[d][1],
        .h = spec->activations[d][2],
        .clip = spec->clip,
        .cell_clip = spec->cell_clip,
        .input_forget = spec->input_forget,
        .peephole_previous = spec->peephole_previous,
    };
    le_status status;
    if (spec->cell == LE_LSTM) {
        status = pack_lstm(packer, spec, plain, direction);
    } else if (spec->cell == LE_GRU) {
        status = pack_gru(packer, spec, plain, direction);
    } else {
        direction->phases = 1;
        status = pack_column_phase(packer, plain, 0, LE_PHASE_RNN, &direction->phase[0]);
    }
    if (status == LE_OK && gemm == LE_GEMM_BLAS)
        status =
            le_pack_transposed(packer, plain->gates * plain->hidden, plain->features, plain->w.values, &direction->w_plain);
    return status;
}

le_status le_recurrent_pack(const le_packer *packer, le_gemm gemm, size_t features, const le_recurrent *spec,
                            const le_weights *weights, le_recurrent_layer *layer, le_error *error)
{
    const le_kernels *kernels = packer->kernels;
    static const int gate_counts[] = {[LE_LSTM] = 4, [LE_GRU] = 3, [LE_RNN] = 1};
    const size_t es = le_dtype_size(kernels->dtype), hidden = spec->hidden, gates = (size_t)gate_counts[spec->cell];
    const size_t output = spec->projection ? spec->projection : hidden;
    *layer = (le_recurrent_layer){
        .kernels = kernels,
        .products = packer->products,
        .gemm = gemm,
        .cell = spec->cell,
        .gates = (int)gates,
        .dirs = spec->direction == LE_BIDIRECTIONAL ? 2 : 1,
        .features = features,
        .hidden = hidden,
        .output = output,
        .lanes_hidden = le_round_up(hidden, LE_MAX_NV * (size_t)kernels->lanes),
        .h_stride = le_round_up(le_mul(output, es), LE_ALIGN),
    };
    le_status status = LE_OK;
    for (int d = 0; d < layer->dirs && status == LE_OK; d++) {
        const size_t dir = (size_t)d, rows = gates * hidden;
        const plain_weights plain = {
            .w = rows_from(packer, (le_matrix){spec->w, weights->w}, dir * rows, features),
            .r = rows_from(packer, (le_matrix){spec->r, weights->r}, dir * rows, output),
            .b = spec->b ? (const char *)spec->b + dir * 2 * rows * es : NULL,
            .p = spec->p ? (const char *)spec->p + dir * 3 * hidden * es : NULL,
            .proj = spec->proj ? rows_from(packer, (le_matrix){spec->proj, weights->projection}, dir * output, hidden)
                               : (le_matrix){NULL, NULL},
            .es = es,
            .features = features,
            .hidden = hidden,
            .output = output,
            .gates = gates,
        };
        status = pack_direction(packer, gemm, spec, d, &plain, &layer->direction[d]);
    }
    if (layer->direction[0].phases == 2)
        layer->middle_stride = le_round_up(hidden * es, LE_ALIGN);
    if (status != LE_OK) {
        le_recurrent_free(layer);
        return le_fail(error, status, "packing a recurrent layer of %zu units: %s", hidden, le_status_text(status));
    }
    return LE_OK;
}

/* Of rows begin .. end-1 of a weight, which go to `out`, those that a phase has packed: from row `first` of the weight on. */
static void unpack_part(le_panel_order order, int gates, size_t units, const le_packed *packed, size_t first, size_t begin,
                        size_t end, char *out)
{
    const size_t own_end = first + (size_t)gates * units;
    const size_t from = first > begin ? first : begin, to = own_end < end ? own_end : end;
    if (from < to)
        le_unpack_rows(order, units, packed, from - first, to - first,
                       out + (from - begin) * packed->k * packed->products->element);
}

void le_recurrent_unpack(const le_recurrent_layer *layer, le_weight which, size_t begin, size_t end, void *out)
{
    const size_t rows = (size_t)layer->gates * layer->hidden;
    for (int d = 0; d < layer->dirs; d++) {
        const le_phase *phases = layer->direction[d].phase;
        if (which == LE_WEIGHT_PROJECTION) {
            unpack_part(LE_ORDER_UNITS, 1, layer->output, &phases[1].r, (size_t)d * layer->output, begin, end, out);
            continue;
        }
        for (int i = 0; i < layer->direction[d].phases; i++) {
            const le_phase *phase = &phases[i];
            const int gates = phase->order == LE_ORDER_UNITS ? 1 : phase->w.nv;
            if (phase->w.panels > 0) /* not the projection */
                unpack_part(phase->order, gates, layer->hidden, which == LE_WEIGHT_W ? &phase->w : &phase->r,
                            (size_t)d * rows + (size_t)phase->first_gate * layer->hidden, begin, end, out);
        }
    }
}

void le_recurrent_free(le_recurrent_layer *layer)
{
    for (int d = 0; d < 2; d++) {
        le_recurrent_direction *direction = &layer->direction[d];
        for (int i = 0; i < 2; i++) {
            le_packed_free(&direction->phase[i].w);
            le_packed_free(&direction->phase[i].r);
            le_block_drop(direction->phase[i].bias);
            le_block_drop(direction->phase[i].peephole);
            direction->phase[i].bias = direction->phase[i].peephole = NULL;
        }
        le_block_drop(direction->w_plain);
        direction->w_plain = NULL;
    }
}

void le_recurrent_visit(const le_recurrent_layer *layer, le_visit_block visit, void *context)
{
    for (int d = 0; d < layer->dirs; d++) {
        const le_recurrent_direction *direction = &layer->direction[d];
        for (int i = 0; i < direction->phases; i++) {
            const le_phase *phase = &direction->phase[i];
            const char *const held[] = {phase->w.data, phase->r.data, phase->bias, phase->peephole};
            for (size_t at = 0; at < sizeof held / sizeof held[0]; at++)
                le_block_visit(held[at], visit, context);
        }
        le_block_visit(direction->w_plain, visit, context);
    }
}

size_t le_recurrent_bytes(const le_recurrent_layer *layer)
{
    size_t bytes = 0;
    for (int d = 0; d < layer->dirs; d++) {
        const le_recurrent_direction *direction = &layer->direction[d];
        for (int i = 0; i < direction->phases; i++) {
            const le_phase *phase = &direction->phase[i];
            bytes += le_packed_bytes(&phase->w) + le_packed_bytes(&phase->r) + phase->r.panels * phase->bias_bytes;
        }
        if (direction->w_plain)
            bytes += layer->features * (size_t)layer->gates * layer->hidden * le_dtype_size(layer->kernels->dtype);
    }
    return bytes;
}

size_t le_recurrent_step_bytes(const le_recurrent_layer *layer)
{
    size_t bytes = 0;
    for (int i = 0; i < layer->direction[0].phases; i++)
        bytes += le_packed_bytes(&layer->direction[0].phase[i].r);
    return bytes;
}

size_t le_recurrent_idle_bytes(const le_recurrent_layer *layer)
{
    size_t bytes = 0;
    for (int i = 0; i < layer->direction[0].phases; i++)
        if (le_phase_idle(&layer->direction[0].phase[i]))
            bytes += le_packed_bytes(&layer->direction[0].phase[i].r);
    return bytes;
}

double le_recurrent_idle_products(const le_recurrent_layer *layer)
{
    double products = 0;
    for (int i = 0; i < layer->direction[0].phases; i++)
        if (le_phase_idle(&layer->direction[0].phase[i]))
            products += le_packed_products(&layer->direction[0].phase[i].r);
    return products;
}

size_t le_recurrent_panels(const le_recurrent_layer *layer)
{
    size_t fewest = layer->direction[0].phase[0].r.panels;
    if (layer->direction[0].phases == 2 && layer->direction[0].phase[1].r.panels < fewest)
        fewest = layer->direction[0].phase[1].r.panels;
    return fewest;
}
