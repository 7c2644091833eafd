/* The nets of net.h in double precision, one row and one step at a time, as ONNX writes the equations:
 * https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

double oracle_activation(le_activation f, double x)
{
    if (isnan(x))
        return x;
    switch (f.kind) {
    case LE_ACT_SIGMOID:
        return sigmoid(x);
    case LE_ACT_TANH:
        return tanh(x);
    case LE_ACT_RELU:
        return x > 0 ? x : 0;
    case LE_ACT_AFFINE:
        return f.alpha * x + f.beta;
    case LE_ACT_LEAKY_RELU:
        return x < 0 ? f.alpha * x : x;
    case LE_ACT_THRESHOLDED_RELU:
        return x > f.alpha ? x : 0;
    case LE_ACT_SCALED_TANH:
        return f.alpha * tanh(f.beta * x);
    case LE_ACT_HARD_SIGMOID:
        return clamp(f.alpha * x + f.beta, 0, 1);
    case LE_ACT_ELU:
        return x < 0 ? f.alpha * expm1(x) : x;
    case LE_ACT_SOFTSIGN:
        return isinf(x) ? copysign(1, x) : x / (1 + fabs(x));
    case LE_ACT_SOFTPLUS:
        return softplus(x);
    case LE_ACT_SELU:
        return f.beta * (x < 0 ? f.alpha * expm1(x) : x);
    case LE_ACT_GELU:
        return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case LE_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case LE_ACT_SILU:
        return x * sigmoid(x);
    case LE_ACT_EXPONENTIAL:
        return exp(x);
    case LE_ACT_RELU6:
        return clamp(x, 0, 6);
    case LE_ACT_MISH:
        return x * tanh(softplus(x));
    case LE_ACT_HARD_SILU:
        return x * clamp(x / 6 + 0.5, 0, 1);
    case LE_ACT_HARD_TANH:
        return clamp(x, -1, 1);
    case LE_ACT_LOG_SIGMOID:
        return -softplus(-x);
    default:
        return x;
    }
}

void oracle_softmax(int log_form, size_t count, double *x)
{
    double largest = -INFINITY, total = 0;
    for (size_t i = 0; i < count; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < count; i++)
        total += exp(x[i] - largest);
    for (size_t i = 0; i < count; i++)
        x[i] = log_form ? x[i] - largest - log(total) : exp(x[i] - largest) / total;
}

/* A row of k numbers as the products of an operation take it, rounded where its weights are int8 or bfloat16, to `taken`. */
static void take_row(const net *n, int operation, size_t k, const double *row, double *taken)
{
    const le_weight_type type = net_weights(n, operation);
    if (type != LE_WEIGHTS_INT8 && type != LE_WEIGHTS_BFLOAT16) {
        memmove(taken, row, k * sizeof *row);
        return;
    }
    float *numbers = must_alloc(k * sizeof *numbers);
    for (size_t i = 0; i < k; i++)
        numbers[i] = (float)row[i];
    const double scale = small_row(type, k, numbers, taken);
    for (size_t i = 0; i < k; i++)
        taken[i] *= scale;
    free(numbers);
}

/* One direction of one layer on one row. */
typedef struct cell {
    const net *n;
    int number;             /* of the layer */
    const layer_spec *layer;
    const layer_weights *weights;
    size_t d;
    double *h, *c, *h_next; /* [output], [H], [output] */
    double *taken;          /* [output]: h as it is multiplied */
    double *gate;           /* [gates, H]: x part + bias */
} cell;

static double weight(const cell *s, const void *array, size_t index)
{
    return array ? element_at(s->n->spec.dtype, array, index) : 0;
}

/* (h R')[gate, unit] + the recurrent bias, `h` being any vector of the layer's output size. */
static double h_part(const cell *s, const double *h, size_t gate, size_t unit)
{
    const size_t hidden = s->layer->hidden, gates = s->weights->gates, out = s->weights->output;
    const size_t row = (s->d * gates + gate) * hidden + unit;
    double sum = weight(s, s->weights->b, (s->d * 2 * gates + gates + gate) * hidden + unit);
    for (size_t k = 0; k < out; k++)
        sum += h[k] * weight(s, s->weights->r, row * out + k);
    return sum;
}

static double curved(const cell *s, double x)
{
    return s->layer->extras & RELU ? (x > 0 ? x : 0) : tanh(x);
}

static double clipped(const cell *s, double x)
{
    return s->layer->extras & CLIP ? clamp(x, -0.5, 0.5) : x;
}

static double gate_of(const cell *s, size_t gate, size_t unit)
{
    return s->gate[gate * s->layer->hidden + unit] + h_part(s, s->taken, gate, unit);
}

static void lstm_step(cell *s)
{
    const size_t hidden = s->layer->hidden;
    const unsigned extras = s->layer->extras;
    const void *p = s->weights->p;
    double *raw = must_alloc(hidden * sizeof *raw);
    for (size_t u = 0; u < hidden; u++) {
        const double c_old = s->c[u];
        const double pi = weight(s, p, (s->d * 3 + 0) * hidden + u), po = weight(s, p, (s->d * 3 + 1) * hidden + u);
        const double pf = weight(s, p, (s->d * 3 + 2) * hidden + u);
        const double i = sigmoid(clipped(s, gate_of(s, 0, u) + pi * c_old));
        const double f = extras & INPUT_FORGET ? 1 - i : sigmoid(clipped(s, gate_of(s, 2, u) + pf * c_old));
        double c = f * c_old + i * curved(s, clipped(s, gate_of(s, 3, u)));
        if (extras & CELL_CLIP)
            c = clamp(c, -0.25, 0.25);
        const double seen = extras & PEEPHOLE_PREVIOUS ? c_old : c;
        raw[u] = sigmoid(clipped(s, gate_of(s, 1, u) + po * seen)) * curved(s, c);
        s->c[u] = c;
    }
    if (s->layer->projection)
        take_row(s->n, s->number, hidden, raw, raw);
    for (size_t u = 0; u < s->weights->output; u++) {
        s->h_next[u] = s->layer->projection ? 0 : raw[u];
        for (size_t k = 0; s->layer->projection && k < hidden; k++)
            s->h_next[u] += raw[k] * weight(s, s->weights->proj, (s->d * s->weights->output + u) * hidden + k);
    }
    free(raw);
}

static void gru_step(cell *s)
{
    const size_t hidden = s->layer->hidden;
    double *reset = must_alloc(hidden * sizeof *reset), *kept = must_alloc(hidden * sizeof *kept);
    for (size_t u = 0; u < hidden; u++) {
        reset[u] = sigmoid(clipped(s, gate_of(s, 1, u)));
        kept[u] = reset[u] * s->h[u];
    }
    take_row(s->n, s->number, hidden, kept, kept);
    for (size_t u = 0; u < hidden; u++) {
        const double z = sigmoid(clipped(s, gate_of(s, 0, u)));
        const double part =
            s->layer->extras & LINEAR_BEFORE_RESET ? reset[u] * h_part(s, s->taken, 2, u) : h_part(s, kept, 2, u);
        const double candidate = curved(s, clipped(s, s->gate[2 * hidden + u] + part));
        s->h_next[u] = (1 - z) * candidate + z * s->h[u];
    }
    free(reset);
    free(kept);
}

static void rnn_step(cell *s)
{
    for (size_t u = 0; u < s->layer->hidden; u++)
        s->h_next[u] = curved(s, clipped(s, gate_of(s, 0, u)));
}

/* y [steps, dirs*output] of one layer on one row x [steps, features], which is rounded; state: h of all directions, then c. */
static void run_layer(const net *n, int number, size_t steps, double *x, double *y, double *state)
{
    const layer_spec *layer = &n->spec.layers[number];
    const layer_weights *own = &n->weights[number];
    const size_t hidden = layer->hidden, out = own->output, wide = own->dirs * out;
    cell s = {.n = n, .number = number, .layer = layer, .weights = own};
    s.taken = must_alloc(out * sizeof(double));
    s.h_next = must_alloc(out * sizeof(double));
    s.gate = must_alloc(own->gates * hidden * sizeof(double));
    for (size_t step = 0; step < steps; step++)
        take_row(n, number, own->features, x + step * own->features, x + step * own->features);
    for (s.d = 0; s.d < own->dirs; s.d++) {
        const int reverse = layer->direction == LE_REVERSE || s.d == 1;
        s.h = state + s.d * out;
        s.c = state + wide + s.d * hidden;
        for (size_t step = 0; step < steps; step++) {
            const size_t t = reverse ? steps - 1 - step : step;
            for (size_t row = 0; row < own->gates * hidden; row++) {
                s.gate[row] = weight(&s, own->b, s.d * 2 * own->gates * hidden + row);
                for (size_t k = 0; k < own->features; k++)
                    s.gate[row] +=
                        x[t * own->features + k] * weight(&s, own->w, (s.d * own->gates * hidden + row) * own->features + k);
            }
            take_row(n, number, out, s.h, s.taken);
            if (layer->cell == LE_LSTM)
                lstm_step(&s);
            else if (layer->cell == LE_GRU)
                gru_step(&s);
            else
                rnn_step(&s);
            memcpy(s.h, s.h_next, out * sizeof(double));
            memcpy(y + t * wide + s.d * out, s.h, out * sizeof(double));
        }
    }
    free(s.h_next);
    free(s.taken);
    free(s.gate);
}

/* The last step, the mean or the maximum of x [steps, features] in its first row; zeros when there is no step. */
static void pool(top kind, size_t steps, size_t features, double *x)
{
    for (size_t i = 0; i < features; i++) {
        double value = 0;
        for (size_t t = 0; t < steps; t++) {
            const double here = x[t * features + i];
            if (kind == TOP_POOL_MEAN)
                value += here / (double)steps;
            else if (kind == TOP_POOL_LAST || t == 0 || here > value)
                value = here;
        }
        x[i] = value;
    }
}

static void dense(const net *n, size_t features, const double *row, double *y)
{
    double *x = must_alloc(features * sizeof *x);
    const size_t units = n->spec.units;
    const le_act_kind kind = n->spec.activation.kind;
    take_row(n, DENSE, features, row, x);
    for (size_t u = 0; u < units; u++) {
        y[u] = element_at(n->spec.dtype, n->bias, u);
        for (size_t k = 0; k < features; k++)
            y[u] += x[k] * element_at(n->spec.dtype, n->kernel, k * units + u);
        y[u] = oracle_activation(n->spec.activation, y[u]);
    }
    if (kind == LE_ACT_SOFTMAX || kind == LE_ACT_LOG_SOFTMAX)
        oracle_softmax(kind == LE_ACT_LOG_SOFTMAX, units, y);
    free(x);
}

results oracle_run(const net *n, const feed *f)
{
    net wide = *n;
    wide.spec.dtype = LE_FLOAT64;
    results r = results_new(&wide, f->batch, f->steps);
    const size_t states = n->state_size;
    for (size_t i = 0; i < r.y_count; i++)
        ((double *)r.y)[i] = 0;
    for (size_t row = 0; row < f->batch; row++) {
        const size_t steps = f->lengths ? (size_t)f->lengths[row] : f->steps;
        double *state = (double *)r.state + row * states, *at = state, *last = state;
        for (size_t i = 0; i < states; i++)
            state[i] = f->state ? element_at(n->spec.dtype, f->state, row * states + i) : 0;

        size_t features = n->spec.features;
        double *x = must_alloc((steps + 1) * features * sizeof *x);
        for (size_t i = 0; i < steps * features; i++) {
            const size_t t = i / features, place = row * f->steps + t;
            x[i] = n->spec.vocabulary
                       ? element_at(n->spec.dtype, n->table, (size_t)((int32_t *)f->x)[place] * features + i % features)
                       : element_at(n->spec.dtype, f->x, place * features + i % features);
        }
        for (int layer = 0; layer < n->layers; layer++) {
            const layer_weights *own = &n->weights[layer];
            const size_t h = own->dirs * own->output;
            double *y = must_alloc((steps + 1) * h * sizeof *y);
            run_layer(n, layer, steps, x, y, at);
            free(x);
            x = y;
            features = h;
            last = at;
            at += h + (n->spec.layers[layer].cell == LE_LSTM ? own->dirs * n->spec.layers[layer].hidden : 0);
        }
        if (n->layers) {
            memcpy((double *)r.h + row * n->h_size, last, n->h_size * sizeof *last);
            memcpy((double *)r.c + row * n->c_size, last + n->h_size, n->c_size * sizeof *last);
        }
        if (n->spec.top == TOP_LAST_STATE)
            memcpy(x, last, features * sizeof *x);
        else if (n->spec.top != TOP_NONE)
            pool(n->spec.top, steps, features, x);
        for (size_t t = 0; t < (n->sequence ? steps : 1); t++) {
            double *y = (double *)r.y + (row * (n->sequence ? f->steps : 1) + t) * n->width;
            if (n->spec.units)
                dense(n, features, x + t * features, y);
            else
                memcpy(y, x + t * features, features * sizeof *x);
        }
        free(x);
    }
    return r;
}
