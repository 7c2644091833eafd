/* Weights of fewer bits in the panels of le_products; packed.c chooses between these and those of a dtype. */
#ifndef LE_LAYERS_PACK_SMALL_H
#define LE_LAYERS_PACK_SMALL_H

#include "layers/packed.h"

/* As le_pack_rows and le_pack_columns, into panels that have memory. Whether no weight is infinite or NaN. */
int le_pack_small_rows(le_panel_order order, size_t units, le_matrix matrix, const le_packed *packed);
void le_pack_small_columns(size_t units, le_matrix kernel, const le_packed *packed);

/* As le_unpack_rows and le_unpack_columns. */
void le_unpack_small_rows(le_panel_order order, size_t units, const le_packed *packed, size_t begin, size_t end,
                          void *weights);
void le_unpack_small_columns(size_t units, const le_packed *packed, size_t begin, size_t end, void *kernel);

#endif
