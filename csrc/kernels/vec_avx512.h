/* Vectors of AVX-512 (F, VL, BW, DQ). Part of a kernel translation unit: everything is static. */
#ifndef LE_VEC_H
#define LE_VEC_H

#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "vec_avx512.h needs -mavx512f -mavx512vl -mavx512bw -mavx512dq"
#endif

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define TILE_ROWS 6
#define LE_INLINE static inline __attribute__((always_inline))
#define LE_NOINLINE __attribute__((noinline))

#if defined(LE_REAL_DOUBLE)
typedef double real;
typedef __m512d vec;
typedef __mmask8 vmask;
#define LANES 8
#define V(op) _mm512_##op##_pd
#define V_LESS _mm512_cmp_pd_mask
#define V_CAST(a) _mm512_castpd_si512(a)
#define V_UNCAST(a) _mm512_castsi512_pd(a)
#define V_SHIFT_MANTISSA(a) _mm512_slli_epi64(a, 52)
#else
typedef float real;
typedef __m512 vec;
typedef __mmask16 vmask;
#define LANES 16
#define V(op) _mm512_##op##_ps
#define V_LESS _mm512_cmp_ps_mask
#define V_CAST(a) _mm512_castps_si512(a)
#define V_UNCAST(a) _mm512_castsi512_ps(a)
#define V_SHIFT_MANTISSA(a) _mm512_slli_epi32(a, 23)
#endif

LE_INLINE vmask v_first(size_t n)
{
    return (vmask)((1u << n) - 1);
}
LE_INLINE vec v_set1(real x)
{
    return V(set1)(x);
}
LE_INLINE vec v_load(const real *p)
{
    return V(loadu)(p);
}
LE_INLINE void v_store(real *p, vec a)
{
    V(storeu)(p, a);
}
LE_INLINE vec v_load_n(const real *p, size_t n)
{
    return V(maskz_loadu)(v_first(n), p);
}
LE_INLINE void v_store_n(real *p, vec a, size_t n)
{
    V(mask_storeu)(p, v_first(n), a);
}
LE_INLINE vec v_add(vec a, vec b)
{
    return V(add)(a, b);
}
LE_INLINE vec v_sub(vec a, vec b)
{
    return V(sub)(a, b);
}
LE_INLINE vec v_mul(vec a, vec b)
{
    return V(mul)(a, b);
}
LE_INLINE vec v_div(vec a, vec b)
{
    return V(div)(a, b);
}
LE_INLINE vec v_sqrt(vec a)
{
    return V(sqrt)(a);
}
LE_INLINE vec v_fma(vec a, vec b, vec c)
{
    return V(fmadd)(a, b, c);
}
LE_INLINE vec v_fnma(vec a, vec b, vec c)
{
    return V(fnmadd)(a, b, c);
}
/* The second operand when either is NaN. */
LE_INLINE vec v_min(vec a, vec b)
{
    return V(min)(a, b);
}
LE_INLINE vec v_max(vec a, vec b)
{
    return V(max)(a, b);
}
LE_INLINE vec v_abs(vec a)
{
    return V(abs)(a);
}
/* The magnitude of a (whose sign bit is clear) with the sign of b. */
LE_INLINE vec v_with_sign(vec a, vec b)
{
    return V(or)(a, V (and)(v_set1(-(real)0), b));
}
/* 2^n, the biased exponent n + bias standing in the lowest bits of the number. */
LE_INLINE vec v_pow2(vec a)
{
    return V_UNCAST(V_SHIFT_MANTISSA(V_CAST(a)));
}
/* p * 2^n, n a whole number: one rounding, also into the denormal range. */
#define LE_HAS_SCALE 1
LE_INLINE vec v_scale(vec p, vec n)
{
    return V(scalef)(p, n);
}
LE_INLINE vmask v_less(vec a, vec b)
{
    return V_LESS(a, b, _CMP_LT_OQ);
}
LE_INLINE vec v_select(vmask m, vec a, vec b)
{
    return V(mask_mov)(b, m, a);
}

/* Stores around the cache, to addresses of whole lines; they are seen by others only after v_stream_end. */
#define LE_STREAM_ALIGN 64
LE_INLINE void v_stream(real *p, vec a)
{
    V(stream)(p, a);
}
LE_INLINE void v_stream_end(void)
{
    _mm_sfence();
}

#endif
