/* Activations on vectors and arrays; the row-wise ones are in softmax_body.h. */
#ifndef LE_ACTIVATION_BODY_H
#define LE_ACTIVATION_BODY_H

#include <math.h>

#include "kernels/elementary_body.h"

/* Rare and not worth a polynomial of our own: the C library's, lane by lane. */
static vec v_erf(vec x)
{
    real lane[LANES];
    v_store(lane, x);
    for (int l = 0; l < LANES; l++)
        lane[l] = sizeof(real) == 4 ? (real)erff((float)lane[l]) : (real)erf(lane[l]);
    return v_load(lane);
}

/* Any element-wise activation; see LE_ACTIVATION_LIST and lstm_engine/graph/activations.py for the equations. */
static vec v_activate(le_activation f, vec x)
{
    const vec zero = v_set1(0), one = v_set1(1);
    const vec alpha = v_set1((real)f.alpha), beta = v_set1((real)f.beta);
    switch (f.kind) {
    case LE_ACT_SIGMOID:
        return v_sigmoid(x);
    case LE_ACT_TANH:
        return v_tanh(x);
    case LE_ACT_RELU:
        return v_max(zero, x);
    case LE_ACT_AFFINE:
        return v_add(v_mul(alpha, x), beta);
    case LE_ACT_LEAKY_RELU:
        return v_select(v_less(x, zero), v_mul(alpha, x), x);
    case LE_ACT_THRESHOLDED_RELU:
        return v_select(v_less(alpha, x), x, v_min(zero, v_max(zero, x))); /* 0, but NaN stays NaN */
    case LE_ACT_SCALED_TANH:
        return v_mul(alpha, v_tanh(v_mul(beta, x)));
    case LE_ACT_HARD_SIGMOID:
        return v_clamp(v_add(v_mul(alpha, x), beta), 0, 1);
    case LE_ACT_ELU:
        return v_select(v_less(x, zero), v_mul(alpha, v_expm1(v_min(zero, x))), x);
    case LE_ACT_SOFTSIGN:
        return v_select(v_less(v_abs(x), v_set1((real)INFINITY)), v_div(x, v_add(one, v_abs(x))),
                        v_with_sign(v_min(one, v_abs(x)), x));
    case LE_ACT_SOFTPLUS:
        return v_softplus(x);
    case LE_ACT_SELU:
        return v_mul(beta, v_select(v_less(x, zero), v_mul(alpha, v_expm1(v_min(zero, x))), x));
    case LE_ACT_GELU:
        return v_mul(v_mul(v_set1((real)0.5), x), v_add(one, v_erf(v_mul(x, v_set1((real)0.70710678118654752440)))));
    case LE_ACT_GELU_TANH: {
        const vec cube = v_mul(v_mul(x, x), x);
        const vec inner = v_mul(v_set1((real)0.79788456080286535588), v_fma(v_set1((real)0.044715), cube, x));
        return v_mul(v_mul(v_set1((real)0.5), x), v_add(one, v_tanh(inner)));
    }
    case LE_ACT_SILU:
        return v_mul(x, v_sigmoid(x));
    case LE_ACT_EXPONENTIAL:
        return v_exp(x);
    case LE_ACT_RELU6:
        return v_clamp(x, 0, 6);
    case LE_ACT_MISH:
        return v_mul(x, v_tanh(v_softplus(x)));
    case LE_ACT_HARD_SILU:
        return v_mul(x, v_clamp(v_add(v_mul(v_set1((real)(1. / 6)), x), v_set1((real)0.5)), 0, 1));
    case LE_ACT_HARD_TANH:
        return v_clamp(x, -1, 1);
    case LE_ACT_LOG_SIGMOID:
        return v_sub(zero, v_softplus(v_sub(zero, x)));
    default:
        return x;
    }
}

static void activate(le_activation activation, size_t n, void *values)
{
    real *x = values;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(x + i, v_activate(activation, v_load(x + i)));
    if (i < n)
        v_store_n(x + i, v_activate(activation, v_load_n(x + i, n - i)), n - i);
}

/* Sigmoid and tanh, where a cell has them and does not clip (`common`), without the detour over a switch. */
LE_INLINE vec gate_function(int common, le_activation f, double clip, vec x)
{
    return common ? v_sigmoid(x) : v_activate(f, v_clip(x, clip));
}

LE_INLINE vec candidate_function(int common, le_activation g, double clip, vec x)
{
    return common ? v_tanh(x) : v_activate(g, v_clip(x, clip));
}

#endif
