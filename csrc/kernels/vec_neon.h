/* Vectors of AArch64's Advanced SIMD (NEON). Part of a kernel translation unit: everything is static. */
#ifndef LE_VEC_H
#define LE_VEC_H

#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "vec_neon.h needs AArch64"
#endif

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 24 sums, 4 columns and a broadcast of the 32 registers. */
#define TILE_ROWS 6
#define LE_INLINE static inline __attribute__((always_inline))
#define LE_NOINLINE __attribute__((noinline))

#if defined(LE_REAL_DOUBLE)
typedef double real;
typedef float64x2_t vec;
typedef uint64x2_t vmask;
#define LANES 2
#define V(op) v##op##_f64
#define V_BITS(a) vreinterpretq_u64_f64(a)
#define V_UNBITS(a) vreinterpretq_f64_u64(a)
#define V_SIGN vdupq_n_u64((uint64_t)1 << 63)
#define V_AND vandq_u64
#define V_OR vorrq_u64
#define V_SHIFT_MANTISSA(a) vshlq_n_u64(a, 52)
#else
typedef float real;
typedef float32x4_t vec;
typedef uint32x4_t vmask;
#define LANES 4
#define V(op) v##op##_f32
#define V_BITS(a) vreinterpretq_u32_f32(a)
#define V_UNBITS(a) vreinterpretq_f32_u32(a)
#define V_SIGN vdupq_n_u32((uint32_t)1 << 31)
#define V_AND vandq_u32
#define V_OR vorrq_u32
#define V_SHIFT_MANTISSA(a) vshlq_n_u32(a, 23)
#endif

LE_INLINE vec v_set1(real x)
{
    return V(dupq_n)(x);
}
LE_INLINE vec v_load(const real *p)
{
    return V(ld1q)(p);
}
LE_INLINE void v_store(real *p, vec a)
{
    V(st1q)(p, a);
}
LE_INLINE vec v_load_n(const real *p, size_t n)
{
    real lane[LANES] = {0};
    memcpy(lane, p, n * sizeof(real));
    return v_load(lane);
}
LE_INLINE void v_store_n(real *p, vec a, size_t n)
{
    real lane[LANES];
    v_store(lane, a);
    memcpy(p, lane, n * sizeof(real));
}
LE_INLINE vec v_add(vec a, vec b)
{
    return V(addq)(a, b);
}
LE_INLINE vec v_sub(vec a, vec b)
{
    return V(subq)(a, b);
}
LE_INLINE vec v_mul(vec a, vec b)
{
    return V(mulq)(a, b);
}
LE_INLINE vec v_div(vec a, vec b)
{
    return V(divq)(a, b);
}
LE_INLINE vec v_sqrt(vec a)
{
    return V(sqrtq)(a);
}
LE_INLINE vec v_fma(vec a, vec b, vec c)
{
    return V(fmaq)(c, a, b);
}
LE_INLINE vec v_fnma(vec a, vec b, vec c)
{
    return V(fmsq)(c, a, b);
}
LE_INLINE vmask v_less(vec a, vec b)
{
    return V(cltq)(a, b);
}
LE_INLINE vec v_select(vmask m, vec a, vec b)
{
    return V(bslq)(m, a, b);
}
/* The second operand when either is NaN, which FMIN and FMAX would give back instead. */
LE_INLINE vec v_min(vec a, vec b)
{
    return v_select(v_less(a, b), a, b);
}
LE_INLINE vec v_max(vec a, vec b)
{
    return v_select(v_less(b, a), a, b);
}
LE_INLINE vec v_abs(vec a)
{
    return V(absq)(a);
}
/* The magnitude of a (whose sign bit is clear) with the sign of b. */
LE_INLINE vec v_with_sign(vec a, vec b)
{
    return V_UNBITS(V_OR(V_BITS(a), V_AND(V_BITS(b), V_SIGN)));
}
/* 2^n, the biased exponent n + bias standing in the lowest bits of the number. */
LE_INLINE vec v_pow2(vec a)
{
    return V_UNBITS(V_SHIFT_MANTISSA(V_BITS(a)));
}

/* No stores around the cache here. */
#define LE_STREAM_ALIGN sizeof(real)
LE_INLINE void v_stream(real *p, vec a)
{
    v_store(p, a);
}
LE_INLINE void v_stream_end(void)
{
}

#endif
