/* The last vector of a row, which may be a part of one. */
#ifndef LE_PARTIAL_BODY_H
#define LE_PARTIAL_BODY_H

#include <stddef.h>

/* The first `units` elements (all of them at most LANES) of a row that may end there. */
LE_INLINE void store_units(real *at, vec value, size_t units)
{
    if (units >= LANES)
        v_store(at, value);
    else
        v_store_n(at, value, units);
}

LE_INLINE vec load_units(const real *at, size_t units)
{
    return units >= LANES ? v_load(at) : v_load_n(at, units);
}

/* The last, partial vector of a row, with `fill` in the lanes past its end. */
LE_INLINE vec v_load_filled(const real *p, size_t n, real fill)
{
    real lane[LANES];
    for (size_t l = 0; l < LANES; l++)
        lane[l] = l < n ? p[l] : fill;
    return v_load(lane);
}

#endif
