/* Dense and element-wise layers over lists of rows. */
#ifndef LE_LAYERS_DENSE_H
#define LE_LAYERS_DENSE_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "layers/packed.h"
#include "layers/view.h"

typedef struct le_dense_layer {
    const le_kernels *kernels;
    const le_products *products;
    le_gemm gemm;
    size_t features, units;
    le_activation activation;
    le_packed w;
    char *bias;    /* [panels][LE_MAX_NV*lanes] */
    char *w_plain; /* [features, units] for gemm = blas, or null */
} le_dense_layer;

/* kernel [features, units], bias [units] or null. On failure the layer holds nothing. */
le_status le_dense_pack(const le_packer *packer, le_gemm gemm, size_t features, size_t units, le_matrix kernel,
                        const void *bias, le_activation activation, le_dense_layer *layer, le_error *error);
void le_dense_free(le_dense_layer *layer);
void le_dense_visit(const le_dense_layer *layer, le_visit_block visit, void *context);
size_t le_dense_bytes(const le_dense_layer *layer);

/* Rows that go through all panels before the next ones do: so many that their products take longer than the weights to
 * come, and no more than the rows whose outputs a CPU's prefetcher can follow at once; a softmax then finds them in L2
 * (128 features, 10000 units, one thread: 148 GFLOP/s; 126 with 96 rows). */
enum { LE_DENSE_CHUNK = 32 };

/* What one member needs. */
typedef struct le_dense_work {
    const void **in;        /* [block rows] */
    void **out;             /* [block rows] */
    char *scratch;          /* [LE_DENSE_CHUNK][LE_MAX_NV*lanes] */
    char *gathered, *plain; /* gemm = blas: [block rows, features], [block rows, units] */
    char *prepared;         /* rows as the layer's products take them, [LE_DENSE_CHUNK], or null: as they are; and */
    const void **prepared_rows; /* where they are */
    void **sums;            /* [LE_DENSE_CHUNK]: rows of logits */
    char *logits;           /* [LE_DENSE_CHUNK][logits_stride]: what a softmax is taken of */
    size_t logits_stride;   /* bytes */
    int fetch;              /* fetch weights ahead of their use */
    int past_cache;         /* a softmax is written around the cache */
} le_dense_work;

void le_dense_lay_work(const le_dense_layer *layer, size_t block_rows, le_arena *arena, le_dense_work *work);

/* y = activation(x kernel + bias) for the active rows of the block. All members have reached its barrier when it returns. */
void le_dense_block(const le_dense_layer *layer, const le_thread_group *threads, const le_block *block, const le_rows *x,
                    const le_rows *y, const le_dense_work *work);

/* y = activation(x) for the active rows of the block, rows of `features` elements. */
void le_activate_block(const le_kernels *kernels, le_activation activation, size_t features, const le_thread_group *threads,
                       const le_block *block, const le_rows *x, const le_rows *y);

/* Pool a block into y (a vector, zeroed before the first block): the last row, the running sum, the running maximum. */
void le_pool_block(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_thread_group *threads,
                   const le_block *block, const le_rows *x, const le_rows *y);
/* After the last block: sums become means. */
void le_pool_finish(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_thread_group *threads,
                    const le_block *block, const le_rows *y);

#endif
