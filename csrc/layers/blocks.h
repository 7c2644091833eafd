/* Blocks of packed weights: memory that several layers may hold, and the store in which they find each other's. */
#ifndef LE_LAYERS_BLOCKS_H
#define LE_LAYERS_BLOCKS_H

#include <stddef.h>

#include "kernels/kernels.h"

/* How weights stand in a block. */
typedef enum le_layout {
    LE_LAYOUT_ROWS,
    LE_LAYOUT_COLUMNS,
    LE_LAYOUT_BIAS,
    LE_LAYOUT_UNITS,
    LE_LAYOUT_GRU_BIAS,
    LE_LAYOUT_PLAIN,
    LE_LAYOUT_TRANSPOSED,
} le_layout;

/* What decides every byte of a block. Made with le_block_key: keys are compared as bytes, padding too. */
typedef struct le_block_key {
    const void *first, *second; /* the arrays that are packed; null: none */
    const le_kernels *kernels;  /* dtype and lanes */
    const le_products *products; /* how small weights stand in it; null where the dtype and lanes say all */
    size_t units, k;
    le_layout layout;
    int order, gates;
} le_block_key;

le_block_key le_block_key_of(le_layout layout, const le_kernels *kernels, size_t units, size_t k, const void *first);

/* A place to put the blocks of one layer: kernels and products to pack for, threads that may help, where to look for a block of the
 * same key first (null: nowhere), and who is told what has been packed (null: nobody; see le_model_consume). */
typedef struct le_packer {
    const le_kernels *kernels;
    const le_products *products; /* what the matrices are multiplied by */
    int threads;
    le_store *store;
    le_consumed consumed;
    void *consumed_context;
} le_packer;

/* Hold the block of this key in `data`: 1 if the store has it, else 0 and `bytes` of new memory to fill and then to
 * offer to others with le_block_share; null when memory is short. */
int le_block_take(const le_packer *packer, const le_block_key *key, size_t bytes, char **data);
le_status le_block_share(const le_packer *packer, const le_block_key *key, char *data);

/* Let go of a block (null is allowed); the last one to do so frees it. From any thread. */
void le_block_drop(char *data);

/* Call `visit` with a block and its bytes; null: not at all. */
void le_block_visit(const char *data, le_visit_block visit, void *context);

/* What its maker found out about the numbers of a block; 0 in a new one. */
int *le_block_note(char *data);

#endif
