/* Vectors of a layer, one number a unit, in the order of its panels: biases, and what is added to them. */
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "layers/packed.h"

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

/* A block of zeros to add to, or one that the store has. */
static le_status take_zeros(const le_packer *packer, const le_block_key *key, size_t bytes, char **out, int *found)
{
    *found = le_block_take(packer, key, bytes, out);
    if (*out == NULL)
        return LE_ERROR_MEMORY;
    if (!*found)
        memset(*out, 0, bytes);
    return LE_OK;
}

/* Add a gate's vector [hidden] (null: zeros) as vector `at` of the `gates` of each panel. */
static void add_gate(const le_kernels *kernels, size_t gates, size_t at, size_t hidden, const char *vector, char *to)
{
    const size_t lanes = (size_t)kernels->lanes, es = le_dtype_size(kernels->dtype);
    for (size_t unit = 0; vector && unit < hidden; unit += lanes)
        add_to(kernels->dtype, hidden - unit < lanes ? hidden - unit : lanes, vector + unit * es,
               to + (unit * gates + at * lanes) * es);
}

static size_t bias_bytes(const le_kernels *kernels, size_t gates, size_t hidden)
{
    return le_mul(le_mul(le_round_up(hidden, (size_t)kernels->lanes), gates), le_dtype_size(kernels->dtype));
}

le_status le_pack_bias(const le_packer *packer, int gates, size_t hidden, const void *first, const void *second, char **out)
{
    const le_kernels *kernels = packer->kernels;
    const size_t count = (size_t)gates, gate = hidden * le_dtype_size(kernels->dtype);
    const char *const parts[] = {first, second};
    le_block_key key = le_block_key_of(LE_LAYOUT_BIAS, kernels, hidden, 0, first);
    key.second = second;
    key.gates = gates;
    int found;
    const le_status status = take_zeros(packer, &key, bias_bytes(kernels, count, hidden), out, &found);
    if (status != LE_OK || found)
        return status;
    for (int part = 0; part < 2; part++)
        for (size_t at = 0; parts[part] && at < count; at++)
            add_gate(kernels, count, at, hidden, parts[part] + at * gate, *out);
    return le_block_share(packer, &key, *out);
}

le_status le_pack_gru_bias(const le_packer *packer, size_t hidden, const void *input, const void *recurrent, char **out)
{
    const le_kernels *kernels = packer->kernels;
    const size_t gate = hidden * le_dtype_size(kernels->dtype);
    le_block_key key = le_block_key_of(LE_LAYOUT_GRU_BIAS, kernels, hidden, 0, input);
    key.second = recurrent;
    int found;
    const le_status status = take_zeros(packer, &key, bias_bytes(kernels, 4, hidden), out, &found);
    if (status != LE_OK || found)
        return status;
    for (size_t at = 0; input && at < 3; at++) {
        add_gate(kernels, 4, at, hidden, (const char *)input + at * gate, *out);
        add_gate(kernels, 4, at < 2 ? at : 3, hidden, (const char *)recurrent + at * gate, *out);
    }
    return le_block_share(packer, &key, *out);
}

le_status le_pack_units(const le_packer *packer, size_t units, const void *first, const void *second, char **out)
{
    const le_kernels *kernels = packer->kernels;
    const size_t width = LE_MAX_NV * (size_t)kernels->lanes;
    le_block_key key = le_block_key_of(LE_LAYOUT_UNITS, kernels, units, 0, first);
    key.second = second;
    int found;
    const le_status status =
        take_zeros(packer, &key, le_mul(le_round_up(units, width), le_dtype_size(kernels->dtype)), out, &found);
    if (status != LE_OK || found)
        return status;
    if (first)
        add_to(kernels->dtype, units, first, *out);
    if (second)
        add_to(kernels->dtype, units, second, *out);
    return le_block_share(packer, &key, *out);
}
