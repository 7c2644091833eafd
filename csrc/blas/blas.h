/* The BLAS slot: products over many rows at once, row-major. */
#ifndef LE_BLAS_H
#define LE_BLAS_H

#include "le.h"

/* C = A B, A [m, k], B [k, n], C [m, n], by the provider set with le_blas_set (a plain loop when there is none).
 * Must not be called from inside a team: a BLAS has a thread pool of its own. */
void le_blas_gemm(le_dtype dtype, size_t m, size_t n, size_t k, const void *a, const void *b, void *c);

#endif
