/* Small weights as vectors of floats, by NEON. */
#ifndef LE_WIDEN_H
#define LE_WIDEN_H

#include <string.h>

#include "kernels/vec_neon.h"

LE_INLINE vec widen_half(const uint16_t *w)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(w)));
}
LE_INLINE vec widen_bfloat(const uint16_t *w)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(w), 16));
}
LE_INLINE vec widen_int8(const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
}

#endif
