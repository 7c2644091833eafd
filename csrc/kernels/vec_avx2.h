/* Vectors of AVX2 + FMA. Part of a kernel translation unit: everything is static. */
#ifndef LE_VEC_H
#define LE_VEC_H

#if !defined(__AVX2__) || !defined(__FMA__)
#error "vec_avx2.h needs -mavx2 -mfma"
#endif

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define TILE_ROWS 3
#define LE_INLINE static inline __attribute__((always_inline))
#define LE_NOINLINE __attribute__((noinline))

#if defined(LE_REAL_DOUBLE)
typedef double real;
typedef __m256d vec;
typedef __m256d vmask;
#define LANES 4
#define V(op) _mm256_##op##_pd
#define V_CAST(a) _mm256_castpd_si256(a)
#define V_UNCAST(a) _mm256_castsi256_pd(a)
#define V_SHIFT_MANTISSA(a) _mm256_slli_epi64(a, 52)
LE_INLINE __m256i v_first(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#else
typedef float real;
typedef __m256 vec;
typedef __m256 vmask;
#define LANES 8
#define V(op) _mm256_##op##_ps
#define V_CAST(a) _mm256_castps_si256(a)
#define V_UNCAST(a) _mm256_castsi256_ps(a)
#define V_SHIFT_MANTISSA(a) _mm256_slli_epi32(a, 23)
LE_INLINE __m256i v_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

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
    return V(maskload)(p, v_first(n));
}
LE_INLINE void v_store_n(real *p, vec a, size_t n)
{
    V(maskstore)(p, v_first(n), a);
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
    return V(andnot)(v_set1(-(real)0), a);
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
LE_INLINE vmask v_less(vec a, vec b)
{
    return V(cmp)(a, b, _CMP_LT_OQ);
}
LE_INLINE vec v_select(vmask m, vec a, vec b)
{
    return V(blendv)(b, a, m);
}

/* Stores around the cache, to addresses of whole vectors; they are seen by others only after v_stream_end. */
#define LE_STREAM_ALIGN 32
LE_INLINE void v_stream(real *p, vec a)
{
    V(stream)(p, a);
}
LE_INLINE void v_stream_end(void)
{
    _mm_sfence();
}

#endif
