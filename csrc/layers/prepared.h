/* Rows as the products of a layer take them. */
#ifndef LE_LAYERS_PREPARED_H
#define LE_LAYERS_PREPARED_H

#include "kernels/kernels.h"
#include "layers/view.h"

/* Rows of k floats, `count` of them, in the form of products that have one: into `to`, [count][row_bytes(k)], and where
 * each stands into `prepared`, which may be `rows`. */
void le_prepare_rows(const le_products *products, const le_thread_group *threads, size_t count, size_t k,
                     const void *const *rows, char *to, const void **prepared);

/* After a thread's last product for a while. */
static inline void le_finish_products(const le_products *products)
{
    if (products->finish)
        products->finish();
}

#endif
