/* The product of rows with a panel, of any width. */
#ifndef LE_PRODUCT_BODY_H
#define LE_PRODUCT_BODY_H

#include "kernels/gemm_body.h"

LE_INLINE void product_all(const int nv, size_t rows, const real *const *a, size_t k, const real *w, const void *next,
                           real *out)
{
    if (rows == 0)
        return;
    if (k == 0)
        memset(out, 0, rows * (size_t)(nv * LANES) * sizeof *out);
    product_until(nv, rows, a, k, w, next, out);
}

static void product(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next, void *out)
{
    const real *const *const in = (const real *const *)a;
    switch (nv) {
    case 1:
        product_all(1, rows, in, k, panel, next, out);
        break;
    case 2:
        product_all(2, rows, in, k, panel, next, out);
        break;
    case 3:
        product_all(3, rows, in, k, panel, next, out);
        break;
    default:
        product_all(4, rows, in, k, panel, next, out);
    }
}

#endif
