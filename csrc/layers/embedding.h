/* A table whose rows are looked up by token id. */
#ifndef LE_LAYERS_EMBEDDING_H
#define LE_LAYERS_EMBEDDING_H

#include "layers/packed.h"
#include "layers/view.h"

typedef struct le_embedding_layer {
    const le_products
        *products; /* their type says that of the table; of the model's dtype, rows are read where they stand */
    const le_products *widening; /* of small weights: how a row becomes floats */
    char *table;                 /* [vocabulary, features], a block */
    char *scales;                /* int8: one float for each row, a block; else null */
    size_t vocabulary, features;
} le_embedding_layer;

/* On failure the layer holds nothing. */
le_status le_embedding_pack(const le_packer *packer, size_t vocabulary, size_t features, le_matrix table,
                            le_embedding_layer *layer, le_error *error);
void le_embedding_free(le_embedding_layer *layer);
void le_embedding_visit(const le_embedding_layer *layer, le_visit_block visit, void *context);

static inline int le_embedding_in_place(const le_embedding_layer *layer)
{
    return layer->products->type == LE_WEIGHTS_FULL;
}

/* y = rows of the table as floats, for the active rows of the block; `rows`: where they stand in it. All members have reached
 * the thread group's barrier when it returns. */
void le_embedding_block(const le_embedding_layer *layer, const le_thread_group *threads, const le_block *block,
                        const le_rows *rows, const le_rows *y);

#endif
