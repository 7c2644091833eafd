/* Vectors of four in portable C. Part of a kernel translation unit: everything is static. */
#ifndef LE_VEC_H
#define LE_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(LE_REAL_DOUBLE)
typedef double real;
typedef uint64_t real_bits;
#else
typedef float real;
typedef uint32_t real_bits;
#endif

#define LANES 4
#define TILE_ROWS 2
#define LE_INLINE static inline __attribute__((always_inline))
#define LE_NOINLINE __attribute__((noinline))

typedef struct vec {
    real v[LANES];
} vec;
typedef struct vmask {
    real_bits v[LANES];
} vmask;

#define LE_EACH(expression)         \
    vec result;                     \
    for (int l = 0; l < LANES; l++) \
        result.v[l] = (expression); \
    return result

LE_INLINE vec v_set1(real x)
{
    LE_EACH(x);
}
LE_INLINE vec v_load(const real *p)
{
    LE_EACH(p[l]);
}
LE_INLINE void v_store(real *p, vec a)
{
    memcpy(p, a.v, sizeof a.v);
}
LE_INLINE vec v_load_n(const real *p, size_t n)
{
    LE_EACH((size_t)l < n ? p[l] : 0);
}
LE_INLINE void v_store_n(real *p, vec a, size_t n)
{
    memcpy(p, a.v, n * sizeof(real));
}
LE_INLINE vec v_add(vec a, vec b)
{
    LE_EACH(a.v[l] + b.v[l]);
}
LE_INLINE vec v_sub(vec a, vec b)
{
    LE_EACH(a.v[l] - b.v[l]);
}
LE_INLINE vec v_mul(vec a, vec b)
{
    LE_EACH(a.v[l] * b.v[l]);
}
LE_INLINE vec v_div(vec a, vec b)
{
    LE_EACH(a.v[l] / b.v[l]);
}
LE_INLINE vec v_sqrt(vec a)
{
    LE_EACH((real)sqrt(a.v[l]));
}
LE_INLINE vec v_fma(vec a, vec b, vec c)
{
    LE_EACH(a.v[l] * b.v[l] + c.v[l]);
}
LE_INLINE vec v_fnma(vec a, vec b, vec c)
{
    LE_EACH(c.v[l] - a.v[l] * b.v[l]);
}
/* As minps and maxps: the second operand when either is NaN. */
LE_INLINE vec v_min(vec a, vec b)
{
    LE_EACH(a.v[l] < b.v[l] ? a.v[l] : b.v[l]);
}
LE_INLINE vec v_max(vec a, vec b)
{
    LE_EACH(a.v[l] > b.v[l] ? a.v[l] : b.v[l]);
}

LE_INLINE real_bits bits_of(real x)
{
    real_bits b;
    memcpy(&b, &x, sizeof b);
    return b;
}

LE_INLINE real real_of(real_bits b)
{
    real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

#define SIGN_BIT ((real_bits)1 << (sizeof(real) * 8 - 1))
#define MANTISSA (sizeof(real) == 4 ? 23 : 52)
LE_INLINE vec v_abs(vec a)
{
    LE_EACH(real_of(bits_of(a.v[l]) & ~SIGN_BIT));
}
/* The magnitude of a (whose sign bit is clear) with the sign of b. */
LE_INLINE vec v_with_sign(vec a, vec b)
{
    LE_EACH(real_of(bits_of(a.v[l]) | (bits_of(b.v[l]) & SIGN_BIT)));
}
/* 2^n, the biased exponent n + bias standing in the lowest bits of the number. */
LE_INLINE vec v_pow2(vec a)
{
    LE_EACH(real_of(bits_of(a.v[l]) << MANTISSA));
}

LE_INLINE vmask v_less(vec a, vec b)
{
    vmask m;
    for (int l = 0; l < LANES; l++)
        m.v[l] = a.v[l] < b.v[l] ? ~(real_bits)0 : 0;
    return m;
}
LE_INLINE vec v_select(vmask m, vec a, vec b)
{
    LE_EACH(m.v[l] ? a.v[l] : b.v[l]);
}

#undef LE_EACH
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
