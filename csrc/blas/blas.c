#include "blas/blas.h"

#include <stdatomic.h>
#include <string.h>

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111 };

/* cblas_?gemm, with 32-bit (LP64) or 64-bit (ILP64) integers. */
typedef void sgemm_lp64(int, int, int, int32_t, int32_t, int32_t, float, const float *, int32_t, const float *, int32_t,
                        float, float *, int32_t);
typedef void sgemm_ilp64(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                         float, float *, int64_t);
typedef void dgemm_lp64(int, int, int, int32_t, int32_t, int32_t, double, const double *, int32_t, const double *, int32_t,
                        double, double *, int32_t);
typedef void dgemm_ilp64(int, int, int, int64_t, int64_t, int64_t, double, const double *, int64_t, const double *, int64_t,
                         double, double *, int64_t);
/* ?gemm of Fortran, as SciPy's cython_blas passes it on: everything by address, columns first. */
typedef void sgemm_fortran(char *, char *, int *, int *, int *, float *, float *, int *, float *, int *, float *, float *,
                           int *);
typedef void dgemm_fortran(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *, double *,
                           double *, int *);

#if defined(LE_BLAS_LINKED)
/* Linked at build time (LSTM_ENGINE_BLAS): the standard names with 32-bit integers. */
extern sgemm_lp64 cblas_sgemm;
extern dgemm_lp64 cblas_dgemm;
#define LINKED_SGEMM ((void *)cblas_sgemm)
#define LINKED_DGEMM ((void *)cblas_dgemm)
#else
#define LINKED_SGEMM NULL
#define LINKED_DGEMM NULL
#endif
typedef struct provider {
    void *sgemm, *dgemm;
    le_blas_kind kind;
} provider;

/* Entries are written once and then only read: a product finds addresses and kind that belong together, whoever sets
 * another provider meanwhile. */
enum { MOST_PROVIDERS = 16 };
static provider providers[MOST_PROVIDERS] = {{LINKED_SGEMM, LINKED_DGEMM, LE_BLAS_LP64}};
static int provider_count = 1; /* under `setting` */
static _Atomic(const provider *) current = &providers[0];
static atomic_flag setting = ATOMIC_FLAG_INIT;

int le_blas_linked(void)
{
#if defined(LE_BLAS_LINKED)
    return 1;
#else
    return 0;
#endif
}

le_status le_blas_set(void *sgemm, void *dgemm, le_blas_kind kind)
{
    const provider wanted = {sgemm ? sgemm : LINKED_SGEMM, dgemm ? dgemm : LINKED_DGEMM,
                             sgemm && dgemm ? kind : LE_BLAS_LP64};
    while (atomic_flag_test_and_set_explicit(&setting, memory_order_acquire))
        ; /* some loads and stores, never a wait for anything else */
    int i = 0;
    while (i < provider_count &&
           (providers[i].sgemm != wanted.sgemm || providers[i].dgemm != wanted.dgemm || providers[i].kind != wanted.kind))
        i++;
    if (i == provider_count && i < MOST_PROVIDERS)
        providers[provider_count++] = wanted;
    if (i < MOST_PROVIDERS)
        atomic_store_explicit(&current, &providers[i], memory_order_release);
    atomic_flag_clear_explicit(&setting, memory_order_release);
    return i < MOST_PROVIDERS ? LE_OK : LE_ERROR_STATE;
}

/* Providers with 32-bit integers take sizes below 2^31. */
static int fits(const provider *with, size_t m, size_t n, size_t k)
{
    return with->kind == LE_BLAS_ILP64 || (m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX);
}

/* Row by row, A B is what is, column by column, B' A'. */
#define DEFINE_GEMM(letter, real)                                                                                         \
    void le_blas_##letter##gemm(size_t m, size_t n, size_t k, const real *a, const real *b, real *c)                      \
    {                                                                                                                     \
        const provider *with = atomic_load_explicit(&current, memory_order_acquire);                                      \
        void *gemm = with->letter##gemm;                                                                                  \
        if (m == 0 || n == 0)                                                                                             \
            return;                                                                                                       \
        if (gemm == NULL || k == 0 || !fits(with, m, n, k)) {                                                             \
            memset(c, 0, m * n * sizeof *c);                                                                              \
            for (size_t i = 0; i < m; i++)                                                                                \
                for (size_t p = 0; p < k; p++)                                                                            \
                    for (size_t j = 0; j < n; j++)                                                                        \
                        c[i * n + j] += a[i * k + p] * b[p * n + j];                                                      \
        } else if (with->kind == LE_BLAS_ILP64) {                                                                         \
            ((letter##gemm_ilp64 *)gemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int64_t)m, (int64_t)n,         \
                                         (int64_t)k, 1, a, (int64_t)k, b, (int64_t)n, 0, c, (int64_t)n);                  \
        } else if (with->kind == LE_BLAS_LP64) {                                                                          \
            ((letter##gemm_lp64 *)gemm)(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_NO_TRANS, (int32_t)m, (int32_t)n,          \
                                        (int32_t)k, 1, a, (int32_t)k, b, (int32_t)n, 0, c, (int32_t)n);                   \
        } else {                                                                                                          \
            char plain = 'N';                                                                                             \
            int rows = (int)m, columns = (int)n, inner = (int)k;                                                          \
            real one = 1, zero = 0;                                                                                       \
            ((letter##gemm_fortran *)gemm)(&plain, &plain, &columns, &rows, &inner, &one, (real *)b, &columns, (real *)a, \
                                           &inner, &zero, c, &columns);                                                   \
        }                                                                                                                 \
    }
DEFINE_GEMM(s, float)
DEFINE_GEMM(d, double)

void le_blas_gemm(le_dtype dtype, size_t m, size_t n, size_t k, const void *a, const void *b, void *c)
{
    if (dtype == LE_FLOAT64)
        le_blas_dgemm(m, n, k, a, b, c);
    else
        le_blas_sgemm(m, n, k, a, b, c);
}
