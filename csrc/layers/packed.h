/* Weights in the panel layout of kernels.h. */
#ifndef LE_LAYERS_PACKED_H
#define LE_LAYERS_PACKED_H

#include <stddef.h>

#include "base/arena.h"
#include "kernels/kernels.h"
#include "layers/blocks.h"

/* A matrix [k, columns] cut into panels [panel][k][nv][lanes], or as le_products says of small weights; columns past the
 * end are zero. */
typedef struct le_packed {
    const le_products *products;
    size_t k;
    size_t panels;
    int nv, last_nv;    /* vectors of a panel, and of the last one: fewer where that one is a packed tail */
    size_t panel_bytes; /* of one panel */
    size_t last_bytes;  /* of the last one */
    char *data;         /* a block, see blocks.h: others may read it too, so it is never written again; null: none */
    int finite;         /* no weight is infinite or NaN: a product with zeros is zero (le_pack_rows alone sets it) */
} le_packed;

size_t le_dtype_size(le_dtype dtype);

/* How the rows of a weight matrix [columns, k] stand in panels. Gates: panel p, vector j, lane l is row
 * j * units + p * lanes + l, units being those of one gate and nv their number. Units: panel p, vector j, lane l is row
 * (p * nv + j) * lanes + l, and nv is LE_MAX_NV.
 * Packed tail: the last panel, of u < lanes units, has its gates side by side instead, gate j of its unit l being column
 * j * u + l (H = 100, 16 lanes: 25 vectors in place of 28). */
typedef enum le_panel_order { LE_ORDER_GATES, LE_ORDER_PACKED_TAIL, LE_ORDER_UNITS } le_panel_order;

/* Numbers of the type that the packer's products take, and of int8 a scale for each output channel, else null. */
typedef struct le_matrix {
    const void *values;
    const float *scales;
} le_matrix;

/* Pack the rows of a matrix [gates*units, k] (gates is 1 for LE_ORDER_UNITS). Where the packer's store has what is
 * wanted, this and the functions below hold that. */
le_status le_pack_rows(const le_packer *packer, le_panel_order order, int gates, size_t units, size_t k, le_matrix matrix,
                       le_packed *out);

/* Pack the columns of a kernel [k, units] in LE_ORDER_UNITS. */
le_status le_pack_columns(const le_packer *packer, size_t units, size_t k, le_matrix kernel, le_packed *out);

/* The inverses, to the bit: rows begin .. end-1 of what was packed go to `weights` [end-begin, k], or `kernel`
 * [end-begin, units]. */
void le_unpack_rows(le_panel_order order, size_t units, const le_packed *packed, size_t begin, size_t end, void *weights);
void le_unpack_columns(size_t units, const le_packed *packed, size_t begin, size_t end, void *kernel);

/* A per-gate vector [gates*hidden] (may be null: zeros) plus a second one (may be null), as [panel][gates][lanes]. */
le_status le_pack_bias(const le_packer *packer, int gates, size_t hidden, const void *first, const void *second, char **out);

/* The biases of a GRU with reset after: z and r add their two, h keeps them apart. input, recurrent [3*hidden], or both
 * null: zeros. [panel][z, r, Wb_h, Rb_h][lanes]. */
le_status le_pack_gru_bias(const le_packer *packer, size_t hidden, const void *input, const void *recurrent, char **out);

/* The sum of two per-unit vectors [units] (either may be null: zeros), as [panel][LE_MAX_NV][lanes]. */
le_status le_pack_units(const le_packer *packer, size_t units, const void *first, const void *second, char **out);

/* A matrix [rows, columns] as it is, in the type of the packer's products, and as [columns, rows], in the kernels' dtype. */
le_status le_pack_plain(const le_packer *packer, size_t rows, size_t columns, const void *matrix, char **out);
le_status le_pack_transposed(const le_packer *packer, size_t rows, size_t columns, const void *matrix, char **out);

static inline size_t le_packed_bytes(const le_packed *packed)
{
    return packed->panels ? (packed->panels - 1) * packed->panel_bytes + packed->last_bytes : 0;
}

/* Products of one row with all panels, columns that are not there too. */
static inline double le_packed_products(const le_packed *packed)
{
    if (packed->panels == 0)
        return 0;
    const double vectors = (double)(packed->panels - 1) * packed->nv + packed->last_nv;
    return vectors * packed->products->lanes * (double)packed->k;
}

/* Bytes of a panel of `nv` vectors: its head, and its weights. */
static inline size_t le_panel_bytes(const le_products *products, int nv, size_t k)
{
    const size_t columns = (size_t)nv * (size_t)products->lanes, round = products->round ? products->round : products->group;
    return le_add(columns * products->head, le_mul((k + round - 1) / round, columns * round * products->element));
}

void le_packed_free(le_packed *packed);

#endif
