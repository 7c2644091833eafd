/* Weights in the panel layout of kernels.h. */
#ifndef LE_LAYERS_PACKED_H
#define LE_LAYERS_PACKED_H

#include <stddef.h>

#include "kernels/kernels.h"

/* A matrix [k, columns] cut into panels [panel][k][nv][lanes]; columns past the end are zero. */
typedef struct le_packed {
    size_t k;
    size_t panels;
    int nv;
    size_t panel_bytes; /* of one panel */
    char *data;         /* 64-byte aligned; null when k is 0 */
} le_packed;

size_t le_dtype_size(le_dtype dtype);

/* Gates side by side: panel p, vector j, lane l is row (j * hidden + p * lanes + l) of `weights`
 * [gates*hidden, k]. `gates` is also nv. */
le_status le_pack_gates(const le_kernels *kernels, int gates, size_t hidden, size_t k, const void *weights,
                        le_packed *out);

/* Plain columns of `kernel` [k, units], LE_MAX_NV vectors of units a panel. */
le_status le_pack_columns(const le_kernels *kernels, size_t units, size_t k, const void *kernel, le_packed *out);

/* A per-gate vector [gates*hidden] (may be null: zeros) plus a second one (may be null), as [panel][gates][lanes]. */
le_status le_pack_bias(const le_kernels *kernels, int gates, size_t hidden, const void *first, const void *second,
                       char **out);

/* The sum of two per-unit vectors [units] (either may be null: zeros), as [panel][LE_MAX_NV][lanes]. */
le_status le_pack_units(const le_kernels *kernels, size_t units, const void *first, const void *second, char **out);

static inline size_t le_packed_bytes(const le_packed *packed)
{
    return packed->panels * packed->panel_bytes;
}

void le_packed_free(le_packed *packed);

#endif
