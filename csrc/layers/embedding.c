#include "layers/embedding.h"

#include <string.h>

#include "base/status.h"

le_status le_embedding_pack(const le_packer *packer, size_t vocabulary, size_t features, le_matrix table,
                            le_embedding_layer *layer, le_error *error)
{
    *layer = (le_embedding_layer){.products = packer->products, .vocabulary = vocabulary, .features = features};
    if (!le_embedding_in_place(layer))
        layer->widening = le_products_widening(packer->kernels, packer->products->type);
    le_status status = le_pack_plain(packer, vocabulary, features, table.values, &layer->table);
    if (status == LE_OK && table.scales) {
        le_packer floats = *packer;
        floats.products = &packer->kernels->products;
        floats.consumed = NULL; /* the scales are not ours alone */
        status = le_pack_plain(&floats, vocabulary, 1, table.scales, &layer->scales);
    }
    if (status != LE_OK) {
        le_embedding_free(layer);
        return le_fail(error, status, "an embedding table [%zu, %zu]: %s", vocabulary, features, le_status_text(status));
    }
    return LE_OK;
}

void le_embedding_free(le_embedding_layer *layer)
{
    le_block_drop(layer->table);
    le_block_drop(layer->scales);
    layer->table = layer->scales = NULL;
}

void le_embedding_visit(const le_embedding_layer *layer, le_visit_block visit, void *context)
{
    le_block_visit(layer->table, visit, context);
    le_block_visit(layer->scales, visit, context);
}

void le_embedding_block(const le_embedding_layer *layer, const le_thread_group *threads, const le_block *block,
                        const le_rows *rows, const le_rows *y)
{
    const size_t row_bytes = layer->features * layer->products->element;
    size_t first, last, active = block->rows;
    le_share(threads, block->rows, &first, &last);
    for (size_t step = block->begin; step < block->end; step++) {
        active = le_active(block, step, active);
        for (size_t row = first; row < last && row < active && !le_stopped(threads, (double)layer->features); row++) {
            const char *const from = le_row(rows, step, row);
            const size_t id = (size_t)(from - layer->table) / row_bytes;
            const float scale = layer->scales ? ((const float *)layer->scales)[id] : 1;
            layer->widening->widen(layer->features, from, scale, le_row(y, step, row));
        }
    }
    le_group_wait(threads);
}
