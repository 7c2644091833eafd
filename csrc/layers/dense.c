#include "layers/dense.h"

#include <string.h>

#include "base/status.h"
#include "blas/blas.h"
#include "layers/prepared.h"

/* Operations that an activation, or a softmax, is about as long as, for each element: an exponential and a division. */
#define ROW_WISE_COST 30.0

static int row_wise(le_activation activation)
{
    return activation.kind == LE_ACT_SOFTMAX || activation.kind == LE_ACT_LOG_SOFTMAX;
}

le_status le_dense_pack(const le_packer *packer, le_gemm gemm, size_t features, size_t units, le_matrix kernel,
                        const void *bias, le_activation activation, le_dense_layer *layer, le_error *error)
{
    *layer = (le_dense_layer){.kernels = packer->kernels,
                              .products = packer->products,
                              .gemm = gemm,
                              .features = features,
                              .units = units,
                              .activation = activation};
    le_packer first = *packer;
    if (gemm == LE_GEMM_BLAS)
        first.consumed = NULL; /* the kernel is read again below */
    le_status status = le_pack_columns(&first, units, features, kernel, &layer->w);
    if (status == LE_OK)
        status = le_pack_units(packer, units, bias, NULL, &layer->bias);
    if (status == LE_OK && gemm == LE_GEMM_BLAS)
        status = le_pack_plain(packer, features, units, kernel.values, &layer->w_plain);
    if (status != LE_OK) {
        le_dense_free(layer);
        return le_fail(error, status, "packing a dense layer [%zu, %zu]: %s", features, units, le_status_text(status));
    }
    return LE_OK;
}

void le_dense_free(le_dense_layer *layer)
{
    le_packed_free(&layer->w);
    le_block_drop(layer->bias);
    le_block_drop(layer->w_plain);
    layer->bias = layer->w_plain = NULL;
}

void le_dense_visit(const le_dense_layer *layer, le_visit_block visit, void *context)
{
    le_block_visit(layer->w.data, visit, context);
    le_block_visit(layer->bias, visit, context);
    le_block_visit(layer->w_plain, visit, context);
}

size_t le_dense_bytes(const le_dense_layer *layer)
{
    const size_t es = le_dtype_size(layer->kernels->dtype);
    return le_packed_bytes(&layer->w) + layer->w.panels * LE_MAX_NV * (size_t)layer->kernels->lanes * es +
           (layer->w_plain ? layer->features * layer->units * es : 0);
}

void le_dense_lay_work(const le_dense_layer *layer, size_t block_rows, le_arena *arena, le_dense_work *work)
{
    const size_t es = le_dtype_size(layer->kernels->dtype);
    work->in = le_arena_take(arena, block_rows, sizeof *work->in);
    work->out = le_arena_take(arena, block_rows, sizeof *work->out);
    const size_t chunk = block_rows < LE_DENSE_CHUNK ? block_rows : LE_DENSE_CHUNK;
    work->sums = le_arena_take(arena, chunk, sizeof *work->sums);
    work->scratch = le_arena_take(arena, chunk * LE_MAX_NV * (size_t)layer->kernels->lanes, es);
    work->gathered = work->plain = work->logits = work->prepared = NULL;
    work->prepared_rows = NULL;
    if (layer->products->prepare) {
        work->prepared = le_arena_take(arena, chunk, layer->products->row_bytes(layer->features));
        work->prepared_rows = le_arena_take(arena, chunk, sizeof *work->prepared_rows);
    }
    work->logits_stride = le_round_up(le_mul(layer->units, es), LE_ALIGN);
    if (row_wise(layer->activation) && layer->gemm == LE_GEMM_PACKED)
        work->logits = le_arena_take(arena, chunk, work->logits_stride);
    if (layer->gemm == LE_GEMM_BLAS) {
        work->gathered = le_arena_take(arena, le_mul(block_rows, layer->features), es);
        work->plain = le_arena_take(arena, le_mul(block_rows, layer->units), es);
    }
}

/* Pointers to the active rows of the block; returns their number. */
static size_t list_rows(const le_block *block, const le_rows *x, const le_rows *y, const le_dense_work *work)
{
    size_t count = 0, active = block->rows;
    for (size_t step = block->begin; step < block->end; step++) {
        active = le_active(block, step, active);
        for (size_t row = 0; row < active; row++, count++) {
            work->in[count] = le_row(x, step, row);
            work->out[count] = le_row(y, step, row);
        }
    }
    return count;
}

static void apply_blas(const le_dense_layer *layer, size_t count, const le_dense_work *work)
{
    const le_kernels *kernels = layer->kernels;
    const size_t es = le_dtype_size(kernels->dtype), row_bytes = layer->units * es;
    for (size_t i = 0; i < count; i++)
        memcpy(work->gathered + i * layer->features * es, work->in[i], layer->features * es);
    le_blas_gemm(kernels->dtype, count, layer->units, layer->features, work->gathered, layer->w_plain, work->plain);
    for (size_t i = 0; i < count; i++) {
        char *row = work->plain + i * row_bytes;
        if (kernels->dtype == LE_FLOAT64)
            for (size_t u = 0; u < layer->units; u++)
                ((double *)row)[u] += ((const double *)layer->bias)[u];
        else
            for (size_t u = 0; u < layer->units; u++)
                ((float *)row)[u] += ((const float *)layer->bias)[u];
        memcpy(work->out[i], row, row_bytes);
        if (!row_wise(layer->activation))
            kernels->activate(layer->activation, layer->units, work->out[i]);
    }
}

static void run_panel(const le_dense_layer *layer, const le_dense_panel *part)
{
    if (layer->products == &layer->kernels->products) {
        layer->kernels->dense(part);
        return;
    }
    layer->products->product(LE_MAX_NV, part->rows, part->a, part->k, part->panel, part->next, part->scratch);
    layer->kernels->dense_output(part);
}

void le_dense_block(const le_dense_layer *layer, const le_thread_group *threads, const le_block *block, const le_rows *x,
                    const le_rows *y, const le_dense_work *work)
{
    const le_kernels *kernels = layer->kernels;
    const size_t es = le_dtype_size(kernels->dtype), width = LE_MAX_NV * (size_t)kernels->lanes;
    const size_t count = list_rows(block, x, y, work);
    const int by_row = row_wise(layer->activation);
    size_t first_panel, last_panel;
    le_share(threads, layer->w.panels, &first_panel, &last_panel);
    /* One member alone takes a softmax of rows that stay in its cache; several write theirs where all can read them. */
    char *const logits = threads->members == 1 ? work->logits : NULL;

    if (layer->gemm == LE_GEMM_BLAS)
        apply_blas(layer, count, work);
    const size_t chunks = (count + LE_DENSE_CHUNK - 1) / LE_DENSE_CHUNK, most = chunks ? (count + chunks - 1) / chunks : 0;
    for (size_t chunk = 0; chunk < count; chunk += most) {
        const size_t rows = count - chunk < most ? count - chunk : most;
        for (size_t row = 0; logits && row < rows; row++)
            work->sums[row] = logits + row * work->logits_stride;
        le_dense_panel part = {
            .rows = rows,
            .k = layer->features,
            .a = work->prepared ? work->prepared_rows : work->in + chunk,
            .out = logits ? work->sums : work->out + chunk,
            .activation = by_row ? (le_activation){LE_ACT_LINEAR, 0, 0} : layer->activation,
            .scratch = work->scratch,
        };
        if (work->prepared)
            le_prepare_rows(layer->products, threads, rows, layer->features, work->in + chunk, work->prepared,
                            work->prepared_rows);
        for (size_t panel = first_panel; panel < last_panel && layer->gemm == LE_GEMM_PACKED; panel++) {
            if (le_stopped(threads, 2.0 * (double)rows * (double)layer->features * (double)width))
                break;
            part.first = panel * width;
            part.units = layer->units - part.first < width ? layer->units - part.first : width;
            part.panel = layer->w.data + panel * layer->w.panel_bytes;
            part.next = work->fetch
                            ? layer->w.data + (panel + 1 < last_panel ? panel + 1 : first_panel) * layer->w.panel_bytes
                            : NULL;
            part.bias = layer->bias + panel * width * es;
            run_panel(layer, &part);
        }
        if (by_row) {
            size_t row, last_row;
            le_group_wait(threads); /* a row is whole only when every member has written its units */
            le_share(threads, rows, &row, &last_row);
            for (; row < last_row && !le_stopped(threads, ROW_WISE_COST * (double)layer->units); row++)
                kernels->softmax(layer->activation.kind == LE_ACT_LOG_SOFTMAX, layer->units, part.out[row],
                                 work->out[chunk + row], logits && work->past_cache);
        }
    }
    le_finish_products(layer->products);
    le_group_wait(threads);
}

void le_activate_block(const le_kernels *kernels, le_activation activation, size_t features, const le_thread_group *threads,
                       const le_block *block, const le_rows *x, const le_rows *y)
{
    size_t first, last, active = block->rows;
    le_share(threads, block->rows, &first, &last);
    for (size_t step = block->begin; step < block->end; step++) {
        active = le_active(block, step, active);
        for (size_t row = first; row < last && row < active; row++) {
            if (le_stopped(threads, ROW_WISE_COST * (double)features))
                break;
            void *out = le_row(y, step, row);
            memcpy(out, le_row(x, step, row), features * le_dtype_size(kernels->dtype));
            if (row_wise(activation))
                kernels->softmax(activation.kind == LE_ACT_LOG_SOFTMAX, features, out, out, 0);
            else
                kernels->activate(activation, features, out);
        }
    }
    le_group_wait(threads);
}
