/* Small weights as vectors of floats, in portable C. */
#ifndef LE_WIDEN_H
#define LE_WIDEN_H

#include "kernels/vec_scalar.h"

LE_INLINE float float_of_bits(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

LE_INLINE float half_as_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) /* infinity, or NaN: quiet, as conversions of CPUs make it */
        return float_of_bits(sign | UINT32_C(0x7f800000) | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? UINT32_C(0x400000) : 0));
    if (rest >= 0x0400)
        return float_of_bits(sign | ((rest << 13) + UINT32_C(0x38000000)));
    const float small = (float)rest * 0x1p-24f;
    return sign ? -small : small;
}

LE_INLINE vec widen_half(const uint16_t *w)
{
    vec result;
    for (int l = 0; l < LANES; l++)
        result.v[l] = half_as_float(w[l]);
    return result;
}
LE_INLINE vec widen_bfloat(const uint16_t *w)
{
    vec result;
    for (int l = 0; l < LANES; l++)
        result.v[l] = float_of_bits((uint32_t)w[l] << 16);
    return result;
}
LE_INLINE vec widen_int8(const int8_t *w)
{
    vec result;
    for (int l = 0; l < LANES; l++)
        result.v[l] = w[l];
    return result;
}

#endif
