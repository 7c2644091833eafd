/* Packing of recurrent weights: which kernel runs a layer, and its panels, biases and peepholes. */
#include <string.h>

#include "base/status.h"
#include "layers/recurrent.h"

static int is(le_activation activation, le_act_kind kind)
{
    return activation.kind == kind;
}

/* The common LSTM has a kernel of its own; everything else goes through the general cell. */
static int is_common(const le_recurrent *spec)
{
    if (spec->p || spec->clip > 0 || spec->cell_clip > 0 || spec->input_forget)
        return 0;
    for (int d = 0; d < (spec->direction == LE_BIDIRECTIONAL ? 2 : 1); d++)
        if (!is(spec->activations[d][0], LE_ACT_SIGMOID) || !is(spec->activations[d][1], LE_ACT_TANH) ||
            !is(spec->activations[d][2], LE_ACT_TANH))
            return 0;
    return 1;
}

/* [gates*H, features] to [features, gates*H], as a BLAS product wants it. */
static char *transpose(le_dtype dtype, const void *w, size_t rows, size_t columns)
{
    const size_t es = le_dtype_size(dtype);
    char *out = le_alloc(le_mul(le_mul(rows, columns), es));
    for (size_t r = 0; out && r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(out + (c * rows + r) * es, (const char *)w + (r * columns + c) * es, es);
    return out;
}

le_status le_recurrent_pack(const le_kernels *kernels, le_gemm gemm, size_t features, const le_recurrent *spec,
                            le_recurrent_layer *layer, le_error *error)
{
    if (spec->cell != LE_LSTM || spec->projection)
        return le_fail(error, LE_ERROR_UNSUPPORTED, "this cell is not supported yet");
    const size_t es = le_dtype_size(kernels->dtype), hidden = spec->hidden, gates = 4;
    *layer = (le_recurrent_layer){
        .kernels = kernels,
        .gemm = gemm,
        .cell = spec->cell,
        .gates = (int)gates,
        .dirs = spec->direction == LE_BIDIRECTIONAL ? 2 : 1,
        .features = features,
        .hidden = hidden,
        .output = hidden,
        .lanes_hidden = le_round_up(hidden, (size_t)kernels->lanes),
        .h_stride = le_round_up(le_mul(hidden, es), LE_ALIGN),
        .step = is_common(spec) ? kernels->lstm : kernels->lstm_general,
    };
    le_status status = LE_OK;
    for (int d = 0; d < layer->dirs && status == LE_OK; d++) {
        struct le_recurrent_direction *direction = &layer->direction[d];
        const size_t rows = gates * hidden;
        const char *w = (const char *)spec->w + (size_t)d * rows * features * es;
        const char *r = (const char *)spec->r + (size_t)d * rows * hidden * es;
        const char *b = spec->b ? (const char *)spec->b + (size_t)d * 2 * rows * es : NULL;
        const char *p = spec->p ? (const char *)spec->p + (size_t)d * 3 * hidden * es : NULL;
        direction->reverse = spec->direction == LE_REVERSE || d == 1;
        direction->config = (le_cell_config){
            .f = spec->activations[d][0], .g = spec->activations[d][1], .h = spec->activations[d][2],
            .clip = spec->clip, .cell_clip = spec->cell_clip, .input_forget = spec->input_forget,
            .peephole_previous = spec->peephole_previous,
        };
        status = le_pack_gates(kernels, (int)gates, hidden, features, w, &direction->w);
        if (status == LE_OK)
            status = le_pack_gates(kernels, (int)gates, hidden, hidden, r, &direction->r);
        if (status == LE_OK)
            status = le_pack_bias(kernels, (int)gates, hidden, b, b ? b + rows * es : NULL, &direction->bias);
        if (status == LE_OK && p)
            status = le_pack_bias(kernels, 3, hidden, p, NULL, &direction->peephole);
        if (status == LE_OK && gemm == LE_GEMM_BLAS) {
            direction->w_plain = transpose(kernels->dtype, w, rows, features);
            status = direction->w_plain ? LE_OK : LE_ERROR_MEMORY;
        }
    }
    if (status != LE_OK) {
        le_recurrent_free(layer);
        return le_fail(error, status, "packing a recurrent layer of %zu units: %s", hidden, le_status_text(status));
    }
    return LE_OK;
}

void le_recurrent_free(le_recurrent_layer *layer)
{
    for (int d = 0; d < 2; d++) {
        struct le_recurrent_direction *direction = &layer->direction[d];
        le_packed_free(&direction->w);
        le_packed_free(&direction->r);
        le_free(direction->bias);
        le_free(direction->peephole);
        le_free(direction->w_plain);
        direction->bias = direction->peephole = direction->w_plain = NULL;
    }
}

size_t le_recurrent_bytes(const le_recurrent_layer *layer)
{
    size_t bytes = 0;
    for (int d = 0; d < layer->dirs; d++) {
        const struct le_recurrent_direction *direction = &layer->direction[d];
        bytes += le_packed_bytes(&direction->w) + le_packed_bytes(&direction->r);
        bytes += direction->r.panels * (size_t)layer->gates * (size_t)layer->kernels->lanes *
                 le_dtype_size(layer->kernels->dtype);
        if (direction->w_plain)
            bytes += layer->features * (size_t)layer->gates * layer->hidden * le_dtype_size(layer->kernels->dtype);
    }
    return bytes;
}
