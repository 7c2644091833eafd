#include "layers/packed.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "base/crowding.h"
#include "base/team.h"

size_t le_dtype_size(le_dtype dtype)
{
    return dtype == LE_FLOAT64 ? sizeof(double) : sizeof(float);
}

/* Below this a team costs more than it saves. */
#define TEAM_FROM ((size_t)1 << 20)
#define CLAIM_BYTES ((size_t)1 << 16)

static le_status allocate(const le_kernels *kernels, int nv, int last_nv, size_t panels, size_t k, le_packed *out)
{
    const size_t vector = (size_t)kernels->lanes * le_dtype_size(kernels->dtype);
    *out = (le_packed){.k = k, .panels = panels, .nv = nv, .last_nv = last_nv,
                       .panel_bytes = le_mul(k, (size_t)nv * vector), .last_bytes = le_mul(k, (size_t)last_nv * vector)};
    const size_t bytes = panels ? le_add(le_mul(out->panel_bytes, panels - 1), out->last_bytes) : 0;
    if (bytes == SIZE_MAX)
        return LE_ERROR_OVERFLOW;
    out->data = le_alloc(bytes);
    return out->data ? LE_OK : LE_ERROR_MEMORY;
}

/* A packing (or unpacking) under way; the members of a team claim some panels at a time. */
typedef struct packing {
    le_panel_order order;
    le_dtype dtype;
    size_t lanes, units;
    const le_packed *packed;
    const char *from;
    char *to;        /* of an unpacking */
    atomic_int not_finite;
    atomic_size_t claimed; /* panels that somebody has begun */
} packing;

/* The rows that stand in vector j of a panel: the first, and their number (the lanes after them are zero). */
static size_t rows_of_vector(const packing *job, size_t panel, size_t j, size_t *first)
{
    const int gates = job->order != LE_ORDER_UNITS;
    const size_t unit = (gates ? panel : panel * (size_t)job->packed->nv + j) * job->lanes;
    *first = unit + (gates ? j * job->units : 0);
    return unit >= job->units ? 0 : job->units - unit < job->lanes ? job->units - unit : job->lanes;
}

/* to[p * to_stride + r] = from[r * k + p] for p < k, r < rows, and 0 up to `lanes`. Column after column of a few rows:
 * what is written goes out in whole cache lines, what is read comes in as `rows` streams. */
#define DEFINE_INTERLEAVE(name, real)                                                                       \
    static void name(size_t rows, size_t lanes, size_t k, const real *from, real *to, size_t to_stride)    \
    {                                                                                                       \
        for (size_t p = 0; p < k; p++) {                                                                    \
            for (size_t r = 0; r < rows; r++)                                                               \
                to[p * to_stride + r] = from[r * k + p];                                                    \
            for (size_t r = rows; r < lanes; r++)                                                           \
                to[p * to_stride + r] = 0;                                                                  \
        }                                                                                                   \
    }
DEFINE_INTERLEAVE(interleave_f32, float)
DEFINE_INTERLEAVE(interleave_f64, double)

/* The reverse, the real rows alone. */
#define DEFINE_SEPARATE(name, real)                                                                         \
    static void name(size_t rows, size_t k, const real *from, size_t from_stride, real *to)                \
    {                                                                                                       \
        for (size_t p = 0; p < k; p++)                                                                      \
            for (size_t r = 0; r < rows; r++)                                                               \
                to[r * k + p] = from[p * from_stride + r];                                                  \
    }
DEFINE_SEPARATE(separate_f32, float)
DEFINE_SEPARATE(separate_f64, double)

/* Whether a panel has its gates side by side, and then how many units it has. */
static size_t close_units(const packing *job, size_t panel)
{
    const le_packed *packed = job->packed;
    return panel + 1 == packed->panels && packed->last_nv < packed->nv ? job->units - panel * job->lanes : 0;
}

/* Whether no exponent is all ones. The bits are compared, not the numbers: gcc makes vectors of this. */
#define DEFINE_FINITE(name, bits, exponent)                                                                 \
    static int name(size_t count, const void *numbers)                                                     \
    {                                                                                                       \
        int found = 0;                                                                                      \
        for (size_t i = 0; i < count; i++) {                                                                \
            bits number;                                                                                    \
            memcpy(&number, (const char *)numbers + i * sizeof number, sizeof number);                      \
            found |= (number & (exponent)) == (exponent);                                                   \
        }                                                                                                   \
        return !found;                                                                                      \
    }
DEFINE_FINITE(finite_f32, uint32_t, UINT32_C(0x7f800000))
DEFINE_FINITE(finite_f64, uint64_t, UINT64_C(0x7ff0000000000000))

/* The next panels first..end-1 of a member: enough to be worth the claim; whether there are any. */
static int claim_panels(packing *job, size_t *first, size_t *end)
{
    const size_t panels = job->packed->panels, bytes = job->packed->panel_bytes;
    const size_t some = bytes > 0 && bytes < CLAIM_BYTES ? CLAIM_BYTES / bytes : 1;
    *first = atomic_fetch_add_explicit(&job->claimed, some, memory_order_relaxed);
    *end = *first + some < panels ? *first + some : panels;
    return *first < panels;
}

static void interleave(const packing *job, size_t rows, size_t lanes, const void *from, void *to, size_t to_stride)
{
    if (job->dtype == LE_FLOAT64)
        interleave_f64(rows, lanes, job->packed->k, from, to, to_stride);
    else
        interleave_f32(rows, lanes, job->packed->k, from, to, to_stride);
}

static void pack_rows_panels(packing *job, size_t panel, size_t end)
{
    const le_packed *packed = job->packed;
    const size_t es = le_dtype_size(job->dtype), nv = (size_t)packed->nv, stride = nv * job->lanes;
    for (; panel < end; panel++) {
        const size_t close = close_units(job, panel), lanes = close ? close : job->lanes;
        const size_t all = close ? (size_t)packed->last_nv * job->lanes : stride;
        char *const made = packed->data + panel * packed->panel_bytes;
        for (size_t j = 0; j < nv; j++) {
            size_t first;
            const size_t rows = rows_of_vector(job, panel, j, &first);
            interleave(job, rows, j + 1 == nv ? all - j * lanes : lanes, job->from + (rows ? first * packed->k * es : 0),
                       made + j * lanes * es, all);
        }
        const size_t numbers = packed->k * all;
        if (!(job->dtype == LE_FLOAT64 ? finite_f64 : finite_f32)(numbers, made))
            atomic_store_explicit(&job->not_finite, 1, memory_order_relaxed);
    }
}

static void pack_columns_panels(packing *job, size_t panel, size_t end)
{
    const le_packed *packed = job->packed;
    const size_t es = le_dtype_size(job->dtype), width = (size_t)packed->nv * job->lanes;
    for (; panel < end; panel++) {
        const size_t first = panel * width, count = job->units - first < width ? job->units - first : width;
        for (size_t row = 0; row < packed->k; row++) {
            char *to = packed->data + panel * packed->panel_bytes + row * width * es;
            memcpy(to, job->from + (row * job->units + first) * es, count * es);
            memset(to + count * es, 0, (width - count) * es);
        }
    }
}

static void pack_rows_member(int member, void *context)
{
    (void)member;
    for (size_t first, end; claim_panels(context, &first, &end);)
        pack_rows_panels(context, first, end);
}

static void pack_columns_member(int member, void *context)
{
    (void)member;
    for (size_t first, end; claim_panels(context, &first, &end);)
        pack_columns_panels(context, first, end);
}

static void run_packing(packing *job, le_team_work work, int threads)
{
    const size_t bytes = le_packed_bytes(job->packed);
    atomic_init(&job->claimed, 0);
    atomic_init(&job->not_finite, 0);
    const int taken = le_threads_take(bytes >= TEAM_FROM && threads > 1 ? threads : 1, (int64_t)bytes); /* 1 ns a byte */
    le_team_run(taken, work, job, NULL);
    le_threads_give(taken);
}

le_status le_pack_rows(const le_kernels *kernels, le_panel_order order, int gates, size_t units, size_t k,
                       const void *weights, int threads, le_packed *out)
{
    const size_t lanes = (size_t)kernels->lanes;
    const int nv = order == LE_ORDER_UNITS ? LE_MAX_NV : gates;
    const size_t width = order == LE_ORDER_UNITS ? LE_MAX_NV * lanes : lanes;
    const size_t left = order == LE_ORDER_CLOSE_GATES ? units % lanes : 0;
    const int last_nv = left ? (int)(((size_t)gates * left + lanes - 1) / lanes) : nv;
    const le_status status = allocate(kernels, nv, last_nv, (units + width - 1) / width, k, out);
    if (status != LE_OK)
        return status;
    packing job = {.order = order, .dtype = kernels->dtype, .lanes = lanes, .units = units, .packed = out,
                   .from = weights};
    run_packing(&job, pack_rows_member, threads);
    out->finite = !atomic_load(&job.not_finite);
    return LE_OK;
}

le_status le_pack_columns(const le_kernels *kernels, size_t units, size_t k, const void *kernel, int threads,
                          le_packed *out)
{
    const size_t width = LE_MAX_NV * (size_t)kernels->lanes;
    const le_status status = allocate(kernels, LE_MAX_NV, LE_MAX_NV, (units + width - 1) / width, k, out);
    if (status != LE_OK)
        return status;
    packing job = {.order = LE_ORDER_UNITS, .dtype = kernels->dtype, .lanes = (size_t)kernels->lanes, .units = units,
                   .packed = out, .from = kernel};
    run_packing(&job, pack_columns_member, threads);
    return LE_OK;
}

void le_unpack_rows(const le_kernels *kernels, le_panel_order order, size_t units, const le_packed *packed,
                    void *weights)
{
    const packing job = {.order = order, .dtype = kernels->dtype, .lanes = (size_t)kernels->lanes, .units = units,
                         .packed = packed, .to = weights};
    const size_t es = le_dtype_size(kernels->dtype), nv = (size_t)packed->nv;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const size_t close = close_units(&job, panel), lanes = close ? close : job.lanes;
        const size_t stride = (size_t)(close ? packed->last_nv : packed->nv) * job.lanes;
        for (size_t j = 0; j < nv; j++) {
            size_t first;
            const size_t rows = rows_of_vector(&job, panel, j, &first);
            const void *from = packed->data + panel * packed->panel_bytes + j * lanes * es;
            void *to = job.to + (rows ? first * packed->k * es : 0);
            if (kernels->dtype == LE_FLOAT64)
                separate_f64(rows, packed->k, from, stride, to);
            else
                separate_f32(rows, packed->k, from, stride, to);
        }
    }
}

void le_unpack_columns(const le_kernels *kernels, size_t units, const le_packed *packed, void *kernel)
{
    const size_t es = le_dtype_size(kernels->dtype), width = (size_t)packed->nv * (size_t)kernels->lanes;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const size_t first = panel * width, count = units - first < width ? units - first : width;
        for (size_t row = 0; row < packed->k; row++)
            memcpy((char *)kernel + (row * units + first) * es,
                   packed->data + panel * packed->panel_bytes + row * width * es, count * es);
    }
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
