/* One row by several panels, by a product that takes one: what products with small weights do. */
#ifndef LE_BY_PANELS_BODY_H
#define LE_BY_PANELS_BODY_H

#include "kernels/kernels.h"

typedef void product_function(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next,
                              void *out);

/* fetch: each panel's weights are fetched while the one before it is multiplied. */
LE_INLINE void row_by_panels(product_function *product, int fetch, int nv, const le_panels *panels, const void *a, size_t k,
                             void *out)
{
    for (size_t i = 0; i < panels->count; i++) {
        const size_t at = panels->backwards ? panels->count - 1 - i : i, after = panels->backwards ? at - 1 : at + 1;
        const int narrow = panels->last_nv > 0, last = at + 1 == panels->count;
        /* A narrow last panel is shorter: nothing is fetched past it. */
        const int fetched = fetch && i + 1 < panels->count && !(narrow && after + 1 == panels->count);
        const char *const first = panels->first;
        product(last && narrow ? panels->last_nv : nv, 1, &a, k, first + at * panels->bytes,
                fetched ? first + after * panels->bytes : NULL, (real *)out + at * (size_t)nv * LANES);
    }
}

#endif
