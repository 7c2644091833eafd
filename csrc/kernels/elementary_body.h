/* Elementary functions on vectors, written once against vec_<isa>.h.
 *
 * exp by Cody-Waite reduction, x = n ln2 + r, |r| <= ln2 / 2, and expm1(r) = r + r^2 q(r) with a minimax q
 * (float: degree 4, relative error of exp 3.1e-9; double: Taylor to r^13, 2e-17). Sigmoid and tanh are built on
 * it so that no argument overflows and none cancels:
 *   sigmoid(x) = z / (1 + z),  z = exp(x)
 *   tanh(x)    = m / (m + 1),  m = expm1(2 x) / 2
 * Both are within 3 ulp of the exact value over every finite argument, denormal results included
 * (docs/numerics.md). NaN comes out as NaN: v_min and v_max give their second operand then.
 */
#ifndef LE_ELEMENTARY_BODY_H
#define LE_ELEMENTARY_BODY_H

#include "kernels/kernels.h"

#if defined(LE_REAL_DOUBLE)
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to a whole number in the low bits */
#define LN2_HIGH 6.93147180369123816490e-01 /* the low 21 bits are zero, so n * LN2_HIGH is exact */
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_LOW -750.0
#define EXP_HIGH 710.0
#define SIGMOID_LIMIT 40.0 /* sigmoid rounds to 1 from 36.74 on; z + 1 rounds to z here */
#define TANH_LIMIT 20.0 /* tanh rounds to 1 from 19.06 on */
static const real expm1_q[] = {1. / 2,     1. / 6,      1. / 24,      1. / 120,      1. / 720,       1. / 5040,
                               1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
#define LOG1P_TERMS 17
#else
#define MAGIC 12582912.0f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.428606765330187e-06f
#define EXP_LOW -104.0f
#define EXP_HIGH 89.0f
#define SIGMOID_LIMIT 18.0f /* sigmoid rounds to 1 from 16.64 on; z + 1 rounds to z here */
#define TANH_LIMIT 10.0f /* tanh rounds to 1 from 9.011 on */
static const real expm1_q[] = {0.499999934125f, 0.166665201078f, 0.0416683942109f, 0.00836878041118f, 0.00138144670593f};
#define LOG1P_TERMS 9
#endif
/* As MAGIC, with the exponent's bias added: a shift alone then makes 2^n, n in the normal range. */
#define MAGIC_POW2 (MAGIC + (sizeof(real) == 4 ? 127 : 1023))
#define LN2 ((real)0.69314718055994530942)
#define LOG2_E ((real)1.44269504088896340736)

#if !defined(LE_HAS_SCALE)
/* p * 2^n in two steps, so that neither factor leaves the normal range; only the second product rounds. */
LE_INLINE vec v_scale(vec p, vec n)
{
    const vec magic = v_set1(MAGIC_POW2);
    const vec half = v_fma(n, v_set1((real)0.5), magic);
    const vec rest = v_add(v_sub(n, v_sub(half, magic)), magic);
    return v_mul(v_mul(p, v_pow2(half)), v_pow2(rest));
}
#endif

/* scale * q(scale * r), where expm1(u) = u + u^2 q(u). `scale` is a power of two, so that the coefficients stay exact. */
LE_INLINE vec v_expm1_q(real scale, vec r)
{
    const int degree = (int)(sizeof expm1_q / sizeof expm1_q[0]) - 1;
    real power = scale;
    for (int i = 0; i < degree; i++)
        power *= scale;
    vec q = v_set1(expm1_q[degree] * power);
    for (int i = degree - 1; i >= 0; i--) {
        power /= scale;
        q = v_fma(q, r, v_set1(expm1_q[i] * power));
    }
    return q;
}

/* x = n ln2 + r, |r| <= ln2 / 2. */
LE_INLINE vec v_reduce(vec x, vec *n)
{
    *n = v_sub(v_fma(x, v_set1(LOG2_E), v_set1(MAGIC)), v_set1(MAGIC));
    return v_fnma(*n, v_set1(LN2_LOW), v_fnma(*n, v_set1(LN2_HIGH), x));
}

/* exp(x) for EXP_LOW <= x <= EXP_HIGH. */
LE_INLINE vec v_exp_within(vec x)
{
    vec n;
    const vec one = v_set1(1), r = v_reduce(x, &n);
    return v_scale(v_fma(v_fma(v_expm1_q(1, r), r, one), r, one), n);
}

LE_INLINE vec v_exp(vec x)
{
    return v_exp_within(v_max(v_set1(EXP_LOW), v_min(v_set1(EXP_HIGH), x)));
}

/* exp(x) - 1 without cancellation, for x <= EXP_HIGH - 1. */
LE_INLINE vec v_expm1(vec x)
{
    vec n;
    const vec r = v_reduce(v_max(v_set1(-40), x), &n); /* exp(x) - 1 is -1 long before */
    const vec p = v_fma(v_mul(v_expm1_q(1, r), r), r, r), s = v_pow2(v_add(n, v_set1(MAGIC_POW2)));
    return v_fma(s, p, v_sub(s, v_set1(1)));
}

/* A quotient not yet divided: products of quotients then cost one division, the slowest step of all. */
typedef struct quotient {
    vec over, under;
} quotient;

LE_INLINE vec v_divide(quotient q)
{
    return v_div(q.over, q.under);
}

/* All four are at most 1 + exp(2 * TANH_LIMIT), so the products are far from overflow. */
LE_INLINE vec v_divide_product(quotient a, quotient b)
{
    return v_div(v_mul(a.over, b.over), v_mul(a.under, b.under));
}

LE_INLINE quotient sigmoid_quotient(vec x)
{
    const vec z = v_exp_within(v_max(v_set1(EXP_LOW), v_min(v_set1(SIGMOID_LIMIT), x)));
    return (quotient){z, v_add(z, v_set1(1))};
}

LE_INLINE quotient tanh_quotient(vec x)
{
    /* 2 x = n ln2 + 2 r. n is small here, so one constant for ln2 is exact enough: its error is damped by the flatness
     * of tanh. */
    const vec a = v_max(v_set1(-TANH_LIMIT), v_min(v_set1(TANH_LIMIT), x)), half = v_set1((real)0.5);
    const vec shifted = v_fma(a, v_set1(2 * LOG2_E), v_set1(MAGIC_POW2)), n = v_sub(shifted, v_set1(MAGIC_POW2));
    const vec r = v_fnma(n, v_set1(LN2 / 2), a), p = v_fma(v_mul(v_expm1_q(2, r), r), r, r), s = v_pow2(shifted);
    const vec m = v_fma(s, p, v_fma(s, half, v_sub(v_set1(0), half)));
    return (quotient){m, v_add(m, v_set1(1))};
}

LE_INLINE vec v_sigmoid(vec x)
{
    return v_divide(sigmoid_quotient(x));
}

#if defined(LE_REAL_DOUBLE)
/* With the sign of x also where it is 0. */
LE_INLINE vec v_tanh(vec x)
{
    return v_with_sign(v_abs(v_divide(tanh_quotient(x))), x);
}
#else
/* Below 0.625, where most candidates are, an odd polynomial has half the quotient's rounding error. */
LE_INLINE vec v_tanh(vec x)
{
    static const real odd[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f, 2.06390887954e-2f,
                               -5.70498872745e-3f};
    const vec a = v_abs(x), z = v_mul(a, a);
    vec p = v_set1(odd[4]);
    for (int i = 3; i >= 0; i--)
        p = v_fma(p, z, v_set1(odd[i]));
    const vec small = v_fma(v_mul(a, z), p, a);
    return v_with_sign(v_select(v_less(a, v_set1((real)0.625)), small, v_abs(v_divide(tanh_quotient(x)))), x);
}
#endif

/* log(1 + z) for 0 <= z <= 1, as 2 atanh(z / (2 + z)). */
LE_INLINE vec v_log1p(vec z)
{
    const vec s = v_div(z, v_add(z, v_set1(2))), s2 = v_mul(s, s);
    vec sum = v_set1((real)1 / (2 * LOG1P_TERMS - 1));
    for (int k = LOG1P_TERMS - 2; k >= 0; k--)
        sum = v_fma(sum, s2, v_set1((real)1 / (2 * k + 1)));
    return v_mul(v_add(s, s), sum);
}

LE_INLINE vec v_softplus(vec x)
{
    return v_add(v_max(v_set1(0), x), v_log1p(v_exp(v_sub(v_set1(0), v_abs(x)))));
}

LE_INLINE vec v_clamp(vec x, real low, real high)
{
    return v_max(v_set1(low), v_min(v_set1(high), x));
}

/* x limited to [-limit, limit]; 0 means no limit. NaN stays NaN. */
LE_INLINE vec v_clip(vec x, double limit)
{
    return limit > 0 ? v_clamp(x, (real)-limit, (real)limit) : x;
}

#endif
