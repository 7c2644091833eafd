#include "small.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

const char *small_name(le_weight_type type)
{
    switch (type) {
    case LE_WEIGHTS_INT8:
        return "int8";
    case LE_WEIGHTS_BFLOAT16:
        return "bfloat16";
    case LE_WEIGHTS_FLOAT16:
        return "float16";
    case LE_WEIGHTS_INT8_WIDENED:
        return "widened int8";
    default:
        return "full";
    }
}

static int is_int8(le_weight_type type)
{
    return type == LE_WEIGHTS_INT8 || type == LE_WEIGHTS_INT8_WIDENED;
}

size_t small_bytes(le_weight_type type)
{
    return is_int8(type) ? 1 : 2;
}

float float_of_half(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023, sign = half >> 15 ? -1 : 1;
    if (exponent == 31)
        return fraction ? NAN : (float)sign * INFINITY;
    return (float)(sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24)));
}

float float_of_bfloat(uint16_t bfloat)
{
    const int exponent = bfloat >> 7 & 255, fraction = bfloat & 127, sign = bfloat >> 15 ? -1 : 1;
    if (exponent == 255)
        return fraction ? NAN : (float)sign * INFINITY;
    const double size = exponent ? ldexp(128 + fraction, exponent - 134) : ldexp(fraction, -133);
    return (float)copysign(size, sign);
}

/* x to `digits` binary digits, ties to even; numbers below 2^(least - 1) in steps of those that are as large. */
static double rounded(double x, int digits, int least)
{
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexp(x, &exponent);
    exponent = exponent < least ? least : exponent;
    return ldexp(nearbyint(ldexp(x, digits - exponent)), exponent - digits);
}

uint16_t half_of(float x)
{
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    const double size = fabs(rounded(x, 11, -13));
    if (isnan(x))
        return sign | 0x7e00;
    if (size > 65504)
        return sign | 0x7c00;
    if (size < 0x1p-14)
        return (uint16_t)(sign | (uint16_t)ldexp(size, 24));
    int exponent;
    const double fraction = frexp(size, &exponent);
    return (uint16_t)(sign | ((exponent + 14) << 10) | ((int)ldexp(fraction, 11) - 1024));
}

uint16_t bfloat_of(float x)
{
    const float near = (float)rounded(x, 8, -125); /* infinity past the largest float: that of bfloat16 is below it */
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    return (uint16_t)(bits >> 16 | (isnan(x) ? 0x40 : 0));
}

float small_weight(le_weight_type type, const void *values, size_t index, float scale)
{
    if (is_int8(type))
        return (float)((const int8_t *)values)[index] * scale;
    const uint16_t bits = ((const uint16_t *)values)[index];
    return type == LE_WEIGHTS_FLOAT16 ? float_of_half(bits) : float_of_bfloat(bits);
}

/* The largest |x| of a channel, `count` numbers `stride` apart. */
static float largest(const float *x, size_t count, size_t stride)
{
    float most = 0;
    for (size_t i = 0; i < count; i++)
        most = fabsf(x[i * stride]) > most || isnan(x[i * stride]) ? fabsf(x[i * stride]) : most;
    return most;
}

small_matrix small_of(le_weight_type type, size_t rows, size_t columns, int channels_last, float *floats)
{
    const size_t count = rows * columns, channels = channels_last ? columns : rows;
    small_matrix made = {must_alloc(count * small_bytes(type)), NULL};
    if (is_int8(type)) {
        made.scales = must_alloc(channels * sizeof *made.scales);
        for (size_t c = 0; c < channels; c++) {
            const float most =
                channels_last ? largest(floats + c, rows, columns) : largest(floats + c * columns, columns, 1);
            made.scales[c] = most > 0 ? most / 127 : 1;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const float scale = made.scales ? made.scales[channels_last ? i % columns : i / columns] : 0;
        if (is_int8(type))
            ((int8_t *)made.values)[i] = (int8_t)fminf(127, fmaxf(-127, nearbyintf(floats[i] / scale)));
        else
            ((uint16_t *)made.values)[i] = type == LE_WEIGHTS_FLOAT16 ? half_of(floats[i]) : bfloat_of(floats[i]);
        floats[i] = small_weight(type, made.values, i, scale);
    }
    return made;
}

void small_free(small_matrix *matrix)
{
    free(matrix->values);
    free(matrix->scales);
}

float small_row(le_weight_type type, size_t k, const float *x, double *taken)
{
    const float most = largest(x, k, 1);
    float inverse = 0, scale = 1;
    if (type != LE_WEIGHTS_INT8) {
        for (size_t i = 0; i < k; i++)
            taken[i] = type == LE_WEIGHTS_BFLOAT16 ? float_of_bfloat(bfloat_of(x[i])) : x[i];
        return 1;
    }
    if (!isfinite(most)) {
        scale = NAN;
    } else if (most > 0) {
        inverse = 127 / most;
        scale = isinf(inverse) ? 1 / FLT_MAX : most / 127;
        inverse = isinf(inverse) ? FLT_MAX : inverse;
    }
    for (size_t i = 0; i < k; i++)
        taken[i] = isfinite(most) ? nearbyintf(x[i] * inverse) : 0;
    return scale;
}

const le_products *supported_products(size_t number)
{
    const le_products *one;
    for (size_t i = 0; (one = le_products_at(i)) != NULL; i++)
        if (le_products_run(one) && number-- == 0)
            return one;
    return NULL;
}

int same_number(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}
