#include "layers/prepared.h"

void le_prepare_rows(const le_products *products, const le_thread_group *threads, size_t count, size_t k,
                     const void *const *rows, char *to, const void **prepared)
{
    const double operations_of_a_number = 8;
    const size_t bytes = products->row_bytes(k);
    for (size_t row = 0; row < count; row++) {
        char *const own = to + row * bytes;
        if (!le_stopped(threads, operations_of_a_number * (double)k))
            products->prepare(rows[row], k, own);
        prepared[row] = own;
    }
}
