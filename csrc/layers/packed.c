#include "layers/packed.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/crowding.h"
#include "base/team.h"
#include "layers/pack_small.h"

size_t le_dtype_size(le_dtype dtype)
{
    return dtype == LE_FLOAT64 ? sizeof(double) : sizeof(float);
}

/* Below this a team costs more than it saves. */
#define TEAM_FROM ((size_t)1 << 20)
#define CLAIM_BYTES ((size_t)1 << 16)
/* A source that is consumed is packed so many bytes at a time. */
#define CONSUME_BYTES ((size_t)4 << 20)

/* Memory for panels, or a block of the store that has them: then `found`, and nothing is to be done. */
static le_status take_panels(const le_packer *packer, const le_block_key *key, int nv, int last_nv, size_t panels,
                             le_packed *out, int *found)
{
    *out = (le_packed){.products = packer->products,
                       .k = key->k,
                       .panels = panels,
                       .nv = nv,
                       .last_nv = last_nv,
                       .panel_bytes = le_panel_bytes(packer->products, nv, key->k),
                       .last_bytes = le_panel_bytes(packer->products, last_nv, key->k)};
    const size_t bytes = panels ? le_add(le_mul(out->panel_bytes, panels - 1), out->last_bytes) : 0;
    if (bytes == SIZE_MAX)
        return LE_ERROR_OVERFLOW;
    *found = le_block_take(packer, key, bytes, &out->data);
    return out->data ? LE_OK : LE_ERROR_MEMORY;
}

/* A packing under way (or an unpacking, which needs the first line alone); the members of a team claim some panels at a
 * time. */
typedef struct packing {
    le_panel_order order;
    le_dtype dtype;
    size_t lanes, units;
    const le_packed *packed;
    const char *from;
    size_t end_panel;          /* of the panels that are packed now, and */
    size_t first_row, end_row; /* of a source packed by columns, the rows */
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
#define DEFINE_INTERLEAVE(name, real)                                                                   \
    static void name(size_t rows, size_t lanes, size_t k, const real *from, real *to, size_t to_stride) \
    {                                                                                                   \
        for (size_t p = 0; p < k; p++) {                                                                \
            for (size_t r = 0; r < rows; r++)                                                           \
                to[p * to_stride + r] = from[r * k + p];                                                \
            for (size_t r = rows; r < lanes; r++)                                                       \
                to[p * to_stride + r] = 0;                                                              \
        }                                                                                               \
    }
DEFINE_INTERLEAVE(interleave_f32, float)
DEFINE_INTERLEAVE(interleave_f64, double)

/* The reverse, the real rows alone. */
#define DEFINE_SEPARATE(name, real)                                                         \
    static void name(size_t rows, size_t k, const real *from, size_t from_stride, real *to) \
    {                                                                                       \
        for (size_t p = 0; p < k; p++)                                                      \
            for (size_t r = 0; r < rows; r++)                                               \
                to[r * k + p] = from[p * from_stride + r];                                  \
    }
DEFINE_SEPARATE(separate_f32, float)
DEFINE_SEPARATE(separate_f64, double)

/* Whether a panel has its gates side by side, and then how many units it has. */
static size_t tail_units(const packing *job, size_t panel)
{
    const le_packed *packed = job->packed;
    return panel + 1 == packed->panels && packed->last_nv < packed->nv ? job->units - panel * job->lanes : 0;
}

/* Whether no exponent is all ones. The bits are compared, not the numbers: gcc makes vectors of this. */
#define DEFINE_FINITE(name, bits, exponent)                                            \
    static int name(size_t count, const void *numbers)                                 \
    {                                                                                  \
        int found = 0;                                                                 \
        for (size_t i = 0; i < count; i++) {                                           \
            bits number;                                                               \
            memcpy(&number, (const char *)numbers + i * sizeof number, sizeof number); \
            found |= (number & (exponent)) == (exponent);                              \
        }                                                                              \
        return !found;                                                                 \
    }
DEFINE_FINITE(finite_f32, uint32_t, UINT32_C(0x7f800000))
DEFINE_FINITE(finite_f64, uint64_t, UINT64_C(0x7ff0000000000000))

/* The next panels first..end-1 of a member: enough to be worth the claim; whether there are any. */
static int claim_panels(packing *job, size_t *first, size_t *end)
{
    const size_t panels = job->end_panel, bytes = job->packed->panel_bytes;
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
        const size_t tail = tail_units(job, panel), lanes = tail ? tail : job->lanes;
        const size_t all = tail ? (size_t)packed->last_nv * job->lanes : stride;
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
        for (size_t row = job->first_row; row < job->end_row; row++) {
            char *to = packed->data + panel * packed->panel_bytes + row * width * es;
            memcpy(to, job->from + (row * job->units + first) * es, count * es);
            memset(to + count * es, 0, (width - count) * es);
        }
    }
}

static void pack_rows_member(int member, int members, void *context)
{
    (void)members;
    (void)member;
    for (size_t first, end; claim_panels(context, &first, &end);)
        pack_rows_panels(context, first, end);
}

static void pack_columns_member(int member, int members, void *context)
{
    (void)members;
    (void)member;
    for (size_t first, end; claim_panels(context, &first, &end);)
        pack_columns_panels(context, first, end);
}

/* Pack panels from `first` to the job's end, `bytes` of them. */
static void run_packing(packing *job, size_t first, size_t bytes, le_team_work work, int threads)
{
    atomic_store_explicit(&job->claimed, first, memory_order_relaxed);
    const int taken = le_threads_take(bytes >= TEAM_FROM && threads > 1 ? threads : 1, (int64_t)bytes); /* 1 ns a byte */
    le_team_run(taken, work, job, NULL);
    le_threads_give(taken);
}

static void consume(const le_packer *packer, const char *part, size_t bytes)
{
    if (packer->consumed && bytes > 0)
        packer->consumed(packer->consumed_context, part, bytes);
}

/* How many of `count` parts of `bytes` each are packed before the next are begun. */
static size_t parts_at_once(const le_packer *packer, size_t count, size_t bytes)
{
    if (packer->consumed == NULL || bytes == 0)
        return count;
    return bytes < CONSUME_BYTES ? CONSUME_BYTES / bytes : 1;
}

/* All panels, some at a time where their source is consumed: they have some rows of each of `gates` gates. */
static void pack_all_rows(const le_packer *packer, packing *job, size_t gates)
{
    const le_packed *packed = job->packed;
    const size_t row_bytes = packed->k * le_dtype_size(job->dtype);
    const size_t panel_units = job->order == LE_ORDER_UNITS ? (size_t)packed->nv * job->lanes : job->lanes;
    const size_t some = parts_at_once(packer, packed->panels, packed->panel_bytes);
    for (size_t first = 0; first < packed->panels; first = job->end_panel) {
        job->end_panel = packed->panels - first < some ? packed->panels : first + some;
        run_packing(job, first, (job->end_panel - first) * packed->panel_bytes, pack_rows_member, packer->threads);
        const size_t unit = first * panel_units, end = job->end_panel * panel_units;
        const size_t units = (end < job->units ? end : job->units) - unit;
        for (size_t gate = 0; gate < gates; gate++)
            consume(packer, job->from + (gate * job->units + unit) * row_bytes, units * row_bytes);
    }
}

/* All rows into all panels, some at a time where they are consumed. */
static void pack_all_columns(const le_packer *packer, packing *job)
{
    const le_packed *packed = job->packed;
    const size_t row_bytes = job->units * le_dtype_size(job->dtype), some = parts_at_once(packer, packed->k, row_bytes);
    job->end_panel = packed->panels;
    for (size_t row = 0; row < packed->k; row = job->end_row) {
        job->first_row = row;
        job->end_row = packed->k - row < some ? packed->k : row + some;
        run_packing(job, 0, (job->end_row - row) * row_bytes, pack_columns_member, packer->threads);
        consume(packer, job->from + row * row_bytes, (job->end_row - row) * row_bytes);
    }
}

/* What tells a block of small weights from others of the same array. */
static void name_small(const le_packer *packer, const float *scales, le_block_key *key)
{
    if (packer->products->type == LE_WEIGHTS_FULL)
        return;
    key->products = packer->products;
    key->second = scales;
}

le_status le_pack_rows(const le_packer *packer, le_panel_order order, int gates, size_t units, size_t k, le_matrix matrix,
                       le_packed *out)
{
    const void *const weights = matrix.values;
    const le_kernels *kernels = packer->kernels;
    const size_t lanes = (size_t)kernels->lanes;
    const int nv = order == LE_ORDER_UNITS ? LE_MAX_NV : gates;
    const size_t width = order == LE_ORDER_UNITS ? LE_MAX_NV * lanes : lanes;
    const size_t left = order == LE_ORDER_PACKED_TAIL ? units % lanes : 0;
    const int last_nv = left ? (int)(((size_t)gates * left + lanes - 1) / lanes) : nv;
    le_block_key key = le_block_key_of(LE_LAYOUT_ROWS, kernels, units, k, weights);
    key.order = (int)order;
    key.gates = gates;
    name_small(packer, matrix.scales, &key);
    int found;
    const le_status status = take_panels(packer, &key, nv, last_nv, (units + width - 1) / width, out, &found);
    if (status != LE_OK)
        return status;
    if (found) {
        out->finite = *le_block_note(out->data);
        return LE_OK;
    }
    if (packer->products->type != LE_WEIGHTS_FULL) {
        *le_block_note(out->data) = out->finite = le_pack_small_rows(order, units, matrix, out);
        consume(packer, weights, le_mul(le_mul((size_t)gates * units, k), packer->products->element));
        return le_block_share(packer, &key, out->data);
    }
    packing job = {.order = order, .dtype = kernels->dtype, .lanes = lanes, .units = units, .packed = out, .from = weights};
    pack_all_rows(packer, &job, (size_t)gates);
    *le_block_note(out->data) = out->finite = !atomic_load(&job.not_finite);
    return le_block_share(packer, &key, out->data);
}

le_status le_pack_columns(const le_packer *packer, size_t units, size_t k, le_matrix kernel, le_packed *out)
{
    const le_kernels *kernels = packer->kernels;
    const size_t width = LE_MAX_NV * (size_t)kernels->lanes;
    le_block_key key = le_block_key_of(LE_LAYOUT_COLUMNS, kernels, units, k, kernel.values);
    name_small(packer, kernel.scales, &key);
    int found;
    const le_status status = take_panels(packer, &key, LE_MAX_NV, LE_MAX_NV, (units + width - 1) / width, out, &found);
    if (status != LE_OK || found)
        return status;
    if (packer->products->type != LE_WEIGHTS_FULL) {
        le_pack_small_columns(units, kernel, out);
        consume(packer, kernel.values, le_mul(le_mul(units, k), packer->products->element));
        return le_block_share(packer, &key, out->data);
    }
    packing job = {.order = LE_ORDER_UNITS,
                   .dtype = kernels->dtype,
                   .lanes = (size_t)kernels->lanes,
                   .units = units,
                   .packed = out,
                   .from = kernel.values};
    pack_all_columns(packer, &job);
    return le_block_share(packer, &key, out->data);
}

void le_unpack_rows(le_panel_order order, size_t units, const le_packed *packed, size_t begin, size_t end, void *weights)
{
    if (packed->products->type != LE_WEIGHTS_FULL) {
        le_unpack_small_rows(order, units, packed, begin, end, weights);
        return;
    }
    const packing job = {.order = order, .lanes = (size_t)packed->products->lanes, .units = units, .packed = packed};
    const size_t es = packed->products->element, nv = (size_t)packed->nv;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const size_t tail = tail_units(&job, panel), lanes = tail ? tail : job.lanes;
        const size_t stride = (size_t)(tail ? packed->last_nv : packed->nv) * job.lanes;
        for (size_t j = 0; j < nv; j++) {
            size_t first;
            const size_t rows = rows_of_vector(&job, panel, j, &first);
            const size_t from_row = first > begin ? first : begin, to_row = first + rows < end ? first + rows : end;
            if (from_row >= to_row)
                continue;
            const void *from = packed->data + panel * packed->panel_bytes + (j * lanes + from_row - first) * es;
            void *to = (char *)weights + (from_row - begin) * packed->k * es;
            if (es == sizeof(double))
                separate_f64(to_row - from_row, packed->k, from, stride, to);
            else
                separate_f32(to_row - from_row, packed->k, from, stride, to);
        }
    }
}

void le_unpack_columns(size_t units, const le_packed *packed, size_t begin, size_t end, void *kernel)
{
    if (packed->products->type != LE_WEIGHTS_FULL) {
        le_unpack_small_columns(units, packed, begin, end, kernel);
        return;
    }
    const size_t es = packed->products->element, width = (size_t)packed->nv * (size_t)packed->products->lanes;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const size_t first = panel * width, count = units - first < width ? units - first : width;
        for (size_t row = begin; row < end; row++)
            memcpy((char *)kernel + ((row - begin) * units + first) * es,
                   packed->data + panel * packed->panel_bytes + row * width * es, count * es);
    }
}

le_status le_pack_plain(const le_packer *packer, size_t rows, size_t columns, const void *matrix, char **out)
{
    const size_t bytes = le_mul(le_mul(rows, columns), packer->products->element);
    le_block_key key = le_block_key_of(LE_LAYOUT_PLAIN, packer->kernels, rows, columns, matrix);
    name_small(packer, NULL, &key);
    if (le_block_take(packer, &key, bytes, out))
        return LE_OK;
    if (*out == NULL)
        return LE_ERROR_MEMORY;
    const size_t some = parts_at_once(packer, bytes, 1);
    for (size_t at = 0; at < bytes; at += some) {
        const size_t count = bytes - at < some ? bytes - at : some;
        memcpy(*out + at, (const char *)matrix + at, count);
        consume(packer, (const char *)matrix + at, count);
    }
    return le_block_share(packer, &key, *out);
}

le_status le_pack_transposed(const le_packer *packer, size_t rows, size_t columns, const void *matrix, char **out)
{
    const size_t es = le_dtype_size(packer->kernels->dtype);
    const le_block_key key = le_block_key_of(LE_LAYOUT_TRANSPOSED, packer->kernels, rows, columns, matrix);
    if (le_block_take(packer, &key, le_mul(le_mul(rows, columns), es), out))
        return LE_OK;
    if (*out == NULL)
        return LE_ERROR_MEMORY;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(*out + (c * rows + r) * es, (const char *)matrix + (r * columns + c) * es, es);
    return le_block_share(packer, &key, *out);
}

void le_packed_free(le_packed *packed)
{
    le_block_drop(packed->data);
    packed->data = NULL;
}
