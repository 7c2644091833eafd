/* Sums of products of four bytes at a time by NEON: products of 16 bits, added to sums of 32 two by two. */
#ifndef LE_INT8_HOW_H
#define LE_INT8_HOW_H

#include "kernels/vec_neon.h"

#include "kernels/int8_rows_plain.h"

typedef int32x4_t q_sum;
typedef int8x16_t q_weights, q_row;

LE_INLINE q_sum q_zero(void)
{
    return vdupq_n_s32(0);
}
LE_INLINE q_weights q_load(const char *w, const int half)
{
    (void)half;
    return vld1q_s8((const int8_t *)w);
}
LE_INLINE q_row q_broadcast(const char *row, const int half)
{
    (void)half;
    int32_t four;
    memcpy(&four, row, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
LE_INLINE q_sum q_dot(q_sum sum, q_row x, q_weights w)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, x, w);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w)), high = vmull_high_s8(x, w);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}
LE_INLINE q_sum q_add(q_sum a, q_sum b)
{
    return vaddq_s32(a, b);
}
LE_INLINE vec q_float(q_sum sum, const int32_t *offset)
{
    (void)offset;
    return vcvtq_f32_s32(sum);
}

#endif
