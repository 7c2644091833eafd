#include "layers/packed.h"

#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"

size_t le_dtype_size(le_dtype dtype)
{
    return dtype == LE_FLOAT64 ? sizeof(double) : sizeof(float);
}

static le_status allocate(const le_kernels *kernels, int nv, size_t panels, size_t k, le_packed *out)
{
    const size_t width = (size_t)nv * (size_t)kernels->lanes * le_dtype_size(kernels->dtype);
    *out = (le_packed){.k = k, .panels = panels, .nv = nv, .panel_bytes = le_mul(k, width)};
    const size_t bytes = le_mul(out->panel_bytes, panels);
    if (bytes == SIZE_MAX)
        return LE_ERROR_OVERFLOW;
    out->data = le_calloc(bytes);
    return out->data ? LE_OK : LE_ERROR_MEMORY;
}

/* to[i * to_stride] = from[i * from_stride], strides in elements. */
static void copy_strided(le_dtype dtype, size_t count, const void *from, size_t from_stride, void *to, size_t to_stride)
{
    if (dtype == LE_FLOAT64) {
        const double *source = from;
        double *target = to;
        for (size_t i = 0; i < count; i++)
            target[i * to_stride] = source[i * from_stride];
    } else {
        const float *source = from;
        float *target = to;
        for (size_t i = 0; i < count; i++)
            target[i * to_stride] = source[i * from_stride];
    }
}

le_status le_pack_gates(const le_kernels *kernels, int gates, size_t hidden, size_t k, const void *weights,
                        le_packed *out)
{
    const size_t lanes = (size_t)kernels->lanes, es = le_dtype_size(kernels->dtype);
    const size_t width = (size_t)gates * lanes;
    const le_status status = allocate(kernels, gates, (hidden + lanes - 1) / lanes, k, out);
    if (status != LE_OK)
        return status;
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t gate = 0; gate < (size_t)gates; gate++)
            copy_strided(kernels->dtype, k, (const char *)weights + (gate * hidden + unit) * k * es, 1,
                         out->data + unit / lanes * out->panel_bytes + (gate * lanes + unit % lanes) * es, width);
    return LE_OK;
}

le_status le_pack_columns(const le_kernels *kernels, size_t units, size_t k, const void *kernel, le_packed *out)
{
    const size_t width = LE_MAX_NV * (size_t)kernels->lanes, es = le_dtype_size(kernels->dtype);
    const le_status status = allocate(kernels, LE_MAX_NV, (units + width - 1) / width, k, out);
    if (status != LE_OK)
        return status;
    for (size_t panel = 0; panel < out->panels; panel++) {
        const size_t first = panel * width, count = units - first < width ? units - first : width;
        for (size_t row = 0; row < k; row++)
            memcpy(out->data + panel * out->panel_bytes + row * width * es,
                   (const char *)kernel + (row * units + first) * es, count * es);
    }
    return LE_OK;
}

/* In the default floating-point mode: a caller that flushes denormals must get the same weights. */
static void add_to(le_dtype dtype, size_t count, const void *from, void *to)
{
    const uint64_t mode = le_fp_default();
    if (dtype == LE_FLOAT64)
        for (size_t i = 0; i < count; i++)
            ((double *)to)[i] += ((const double *)from)[i];
    else
        for (size_t i = 0; i < count; i++)
            ((float *)to)[i] += ((const float *)from)[i];
    le_fp_restore(mode);
}

le_status le_pack_bias(const le_kernels *kernels, int gates, size_t hidden, const void *first, const void *second,
                       char **out)
{
    const size_t lanes = (size_t)kernels->lanes, es = le_dtype_size(kernels->dtype);
    const size_t panels = (hidden + lanes - 1) / lanes, width = (size_t)gates * lanes;
    const void *const parts[] = {first, second};
    *out = le_calloc(le_mul(le_mul(panels, width), es));
    if (*out == NULL)
        return LE_ERROR_MEMORY;
    for (int part = 0; part < 2; part++)
        for (size_t gate = 0; parts[part] && gate < (size_t)gates; gate++)
            for (size_t panel = 0; panel < panels; panel++) {
                const size_t unit = panel * lanes, count = hidden - unit < lanes ? hidden - unit : lanes;
                add_to(kernels->dtype, count, (const char *)parts[part] + (gate * hidden + unit) * es,
                       *out + (panel * width + gate * lanes) * es);
            }
    return LE_OK;
}

le_status le_pack_units(const le_kernels *kernels, size_t units, const void *first, const void *second, char **out)
{
    const size_t width = LE_MAX_NV * (size_t)kernels->lanes;
    *out = le_calloc(le_mul(le_round_up(units, width), le_dtype_size(kernels->dtype)));
    if (*out == NULL)
        return LE_ERROR_MEMORY;
    if (first)
        add_to(kernels->dtype, units, first, *out);
    if (second)
        add_to(kernels->dtype, units, second, *out);
    return LE_OK;
}

void le_packed_free(le_packed *packed)
{
    le_free(packed->data);
    packed->data = NULL;
}
