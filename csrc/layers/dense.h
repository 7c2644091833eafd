/* Dense and element-wise layers over lists of rows. */
#ifndef LE_LAYERS_DENSE_H
#define LE_LAYERS_DENSE_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "layers/packed.h"
#include "layers/view.h"

typedef struct le_dense_layer {
    const le_kernels *kernels;
    le_gemm gemm;
    size_t features, units;
    le_activation activation;
    le_packed w;
    char *bias;    /* [panels][LE_MAX_NV*lanes] */
    char *w_plain; /* [features, units] for gemm = blas, or null */
} le_dense_layer;

/* kernel [features, units], bias [units] or null; packed on at most `threads`. On failure the layer holds nothing. */
le_status le_dense_pack(const le_kernels *kernels, le_gemm gemm, size_t features, size_t units, const void *kernel,
                        const void *bias, le_activation activation, int threads, le_dense_layer *layer, le_error *error);
void le_dense_free(le_dense_layer *layer);
size_t le_dense_bytes(const le_dense_layer *layer);

enum { LE_DENSE_CHUNK = 96 };

/* What one member needs. */
typedef struct le_dense_work {
    const void **in;        /* [block rows] */
    void **out;             /* [block rows] */
    char *scratch;          /* [LE_DENSE_CHUNK][LE_MAX_NV*lanes] */
    char *gathered, *plain; /* gemm = blas: [block rows, features], [block rows, units] */
    void **sums;            /* [chunk]: rows of logits */
    char *logits;           /* [chunk rows][logits_stride]: what a softmax is taken of */
    size_t logits_stride;   /* bytes */
    int fetch;              /* fetch weights ahead of their use */
    int past_cache;         /* a softmax is written around the cache */
    size_t chunk;           /* rows that go through all panels before the next ones do, at most LE_DENSE_CHUNK */
} le_dense_work;

void le_dense_lay_work(const le_dense_layer *layer, size_t block_rows, size_t chunk, le_arena *arena,
                       le_dense_work *work);

/* y = activation(x kernel + bias) for the active rows of the block. The crew has met when it returns. */
void le_dense_block(const le_dense_layer *layer, const le_crew *crew, const le_block *block, const le_rows *x,
                    const le_rows *y, const le_dense_work *work);

/* y = activation(x) for the active rows of the block, rows of `features` elements. */
void le_activate_block(const le_kernels *kernels, le_activation activation, size_t features, const le_crew *crew,
                       const le_block *block, const le_rows *x, const le_rows *y);

/* Pool a block into y (a vector, zeroed before the first block): the last row, the running sum, the running maximum. */
void le_pool_block(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_crew *crew,
                   const le_block *block, const le_rows *x, const le_rows *y);
/* After the last block: sums become means. */
void le_pool_finish(const le_kernels *kernels, le_pool_kind kind, size_t features, const le_crew *crew,
                    const le_block *block, const le_rows *y);

#endif
