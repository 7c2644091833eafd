#include "blas/blas.h"

#include <string.h>

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111 };

/* cblas_?gemm, with 32-bit (LP64) or 64-bit (ILP64) integers. */
typedef void sgemm_lp64(int, int, int, int32_t, int32_t, int32_t, float, const float *, int32_t, const float *, int32_t,
                        float, float *, int32_t);
typedef void sgemm_ilp64(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                         float, float *, int64_t);
typedef void dgemm_lp64(int, int, int, int32_t, int32_t, int32_t, double, const double *, int32_t, const double *,
                        int32_t, double, double *, int32_t);
typedef void dgemm_ilp64(int, int, int, int64_t, int64_t, int64_t, double, const double *, int64_t, const double *,
                         int64_t, double, double *, int64_t);

#if defined(LE_BLAS_LINKED)
/* Linked at build time (LSTM_ENGINE_BLAS): the standard names with 32-bit integers. */
extern sgemm_lp64 cblas_sgemm;
extern dgemm_lp64 cblas_dgemm;
static void *provider_sgemm = (void *)cblas_sgemm, *provider_dgemm = (void *)cblas_dgemm;
#else
static void *provider_sgemm, *provider_dgemm;
#endif
static int provider_ilp64;

int le_blas_linked(void)
{
#if defined(LE_BLAS_LINKED)
    return 1;
#else
    return 0;
#endif
}

void le_blas_set(void *sgemm, void *dgemm, int ilp64)
{
    provider_sgemm = sgemm;
    provider_dgemm = dgemm;
    provider_ilp64 = ilp64;
}

/* LP64 providers take sizes below 2^31. */
static int fits(size_t m, size_t n, size_t k)
{
    return provider_ilp64 || (m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX);
}

void le_blas_sgemm(size_t m, size_t n, size_t k, const float *a, const float *b, float *c)
{
    if (m == 0 || n == 0)
        return;
    if (provider_sgemm == NULL || k == 0 || !fits(m, n, k)) {
        memset(c, 0, m * n * sizeof *c);
        for (size_t i = 0; i < m; i++)
            for (size_t p = 0; p < k; p++)
                for (size_t j = 0; j < n; j++)
                    c[i * n + j] += a[i * k + p] * b[p * n + j];
    } else if (provider_ilp64) {
        const int64_t lda = (int64_t)k, ldb = (int64_t)n;
        ((sgemm_ilp64 *)provider_sgemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int64_t)m, (int64_t)n,
                                        (int64_t)k, 1, a, lda, b, ldb, 0, c, ldb);
    } else {
        const int32_t lda = (int32_t)k, ldb = (int32_t)n;
        ((sgemm_lp64 *)provider_sgemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int32_t)m, (int32_t)n,
                                       (int32_t)k, 1, a, lda, b, ldb, 0, c, ldb);
    }
}

void le_blas_dgemm(size_t m, size_t n, size_t k, const double *a, const double *b, double *c)
{
    if (m == 0 || n == 0)
        return;
    if (provider_dgemm == NULL || k == 0 || !fits(m, n, k)) {
        memset(c, 0, m * n * sizeof *c);
        for (size_t i = 0; i < m; i++)
            for (size_t p = 0; p < k; p++)
                for (size_t j = 0; j < n; j++)
                    c[i * n + j] += a[i * k + p] * b[p * n + j];
    } else if (provider_ilp64) {
        const int64_t lda = (int64_t)k, ldb = (int64_t)n;
        ((dgemm_ilp64 *)provider_dgemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int64_t)m, (int64_t)n,
                                        (int64_t)k, 1, a, lda, b, ldb, 0, c, ldb);
    } else {
        const int32_t lda = (int32_t)k, ldb = (int32_t)n;
        ((dgemm_lp64 *)provider_dgemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int32_t)m, (int32_t)n,
                                       (int32_t)k, 1, a, lda, b, ldb, 0, c, ldb);
    }
}

void le_blas_gemm(le_dtype dtype, size_t m, size_t n, size_t k, const void *a, const void *b, void *c)
{
    if (dtype == LE_FLOAT64)
        le_blas_dgemm(m, n, k, a, b, c);
    else
        le_blas_sgemm(m, n, k, a, b, c);
}
