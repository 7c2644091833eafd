/* Softmax and log-softmax of a row. */
#ifndef LE_SOFTMAX_BODY_H
#define LE_SOFTMAX_BODY_H

#include <math.h>

#include "kernels/elementary_body.h"
#include "kernels/partial_body.h"

/* out[i] = x[i] * scale, or x[i] - shift for the logarithm. */
LE_INLINE vec softmax_end(int log_form, vec x, vec last)
{
    return log_form ? v_sub(x, last) : v_mul(x, last);
}

static void softmax_write(int log_form, size_t n, const real *x, vec last, real *out, int past_cache)
{
    size_t i = 0;
    if (past_cache) {
        /* What goes around the cache goes in whole lines. */
        const size_t before = (size_t)(-(uintptr_t)out % LE_STREAM_ALIGN) / sizeof *out;
        for (size_t count; i < before && i < n; i += count) {
            count = before - i < n - i ? before - i : n - i;
            count = count < LANES ? count : LANES;
            v_store_n(out + i, softmax_end(log_form, v_load_n(x + i, count), last), count);
        }
        for (; i + LANES <= n; i += LANES)
            v_stream(out + i, softmax_end(log_form, v_load(x + i), last));
    } else {
        for (; i + LANES <= n; i += LANES)
            v_store(out + i, softmax_end(log_form, v_load(x + i), last));
    }
    if (i < n)
        v_store_n(out + i, softmax_end(log_form, v_load_n(x + i, n - i), last), n - i);
    if (past_cache)
        v_stream_end();
}

static void softmax(int log_form, size_t n, void *values, void *out, int past_cache)
{
    real *x = values, lane[LANES], largest = (real)-INFINITY, total = 0;
    const size_t whole = n / LANES * LANES, rest = n - whole;
    vec top = v_set1(largest), sum = v_set1(0);
    for (size_t i = 0; i < whole; i += LANES)
        top = v_max(v_load(x + i), top);
    if (rest)
        top = v_max(v_load_filled(x + whole, rest, largest), top);
    v_store(lane, top);
    for (int l = 0; l < LANES; l++)
        largest = lane[l] > largest ? lane[l] : largest;
    top = v_set1(largest);
    for (size_t i = 0; i < whole; i += LANES) {
        const vec shifted = v_sub(v_load(x + i), top), e = v_exp(shifted);
        v_store(x + i, log_form ? shifted : e);
        sum = v_add(sum, e);
    }
    if (rest) {
        const vec shifted = v_sub(v_load_filled(x + whole, rest, (real)-INFINITY), top), e = v_exp(shifted);
        v_store_n(x + whole, log_form ? shifted : e, rest);
        sum = v_add(sum, e);
    }
    v_store(lane, sum);
    for (int l = 0; l < LANES; l++)
        total += lane[l];
    softmax_write(log_form, n, x, v_set1(log_form ? (real)log(total) : 1 / total), out, past_cache);
}

#endif
