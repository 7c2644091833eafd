#include "layers/pack_small.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Where the weights of one output channel stand in the plain matrix: the first, and bytes from one input to the next. */
typedef struct channel {
    const char *from;
    size_t stride;
    float scale;
} channel;

static int panel_vectors(const le_packed *packed, size_t panel)
{
    return panel + 1 == packed->panels ? packed->last_nv : packed->nv;
}

/* The output channel that is a column of a panel; SIZE_MAX: none. See le_panel_order. */
static size_t channel_of(const le_packed *packed, le_panel_order order, size_t units, size_t panel, size_t column)
{
    const size_t lanes = (size_t)packed->products->lanes, nv = (size_t)packed->nv;
    if (order == LE_ORDER_UNITS) {
        const size_t unit = panel * nv * lanes + column;
        return unit < units ? unit : SIZE_MAX;
    }
    const size_t first = panel * lanes, left = units - first;
    const size_t side_by_side = panel_vectors(packed, panel) < packed->nv ? left : lanes;
    const size_t gate = column / side_by_side, unit = column % side_by_side;
    return gate < nv && unit < left ? gate * units + first + unit : SIZE_MAX;
}

/* A panel's parts. */
typedef struct panel_view {
    float *scales;
    int32_t *offsets;
    char *weights;
    size_t columns;
} panel_view;

static panel_view view_of(const le_packed *packed, size_t panel)
{
    const le_products *products = packed->products;
    char *const data = packed->data + panel * packed->panel_bytes;
    const size_t columns = (size_t)panel_vectors(packed, panel) * (size_t)products->lanes;
    return (panel_view){.scales = products->head ? (float *)data : NULL,
                        .offsets = products->head > sizeof(float) ? (int32_t *)(data + columns * sizeof(float)) : NULL,
                        .weights = data + columns * products->head,
                        .columns = columns};
}

/* Where input k of a column stands. */
static char *weight_at(const le_products *products, const panel_view *view, size_t k, size_t column)
{
    const size_t group = products->group;
    return view->weights + ((k / group * view->columns + column) * group + k % group) * products->element;
}

/* Whether a number of 16 bits has not all bits of its exponent. */
static int finite16(le_weight_type type, const char *at)
{
    uint16_t bits;
    const uint16_t exponent = type == LE_WEIGHTS_FLOAT16 ? 0x7c00 : 0x7f80;
    memcpy(&bits, at, sizeof bits);
    return (bits & exponent) != exponent;
}

static int pack_column(const le_packed *packed, const panel_view *view, size_t column, channel from)
{
    const le_products *products = packed->products;
    int32_t sum = 0;
    int finite = 1;
    for (size_t k = 0; k < packed->k; k++) {
        const char *const weight = from.from + k * from.stride;
        memcpy(weight_at(products, view, k, column), weight, products->element);
        if (products->element != 1)
            finite &= finite16(products->type, weight);
        else if (view->offsets)
            sum += *(const int8_t *)weight;
        else
            finite &= fabsf(*(const int8_t *)weight * from.scale) <= FLT_MAX;
    }
    if (view->scales)
        view->scales[column] = from.scale;
    if (view->offsets)
        view->offsets[column] = -128 * sum;
    return finite;
}

/* All columns of all panels; channel c begins at `values` + c * `first` bytes. */
static int pack_all(const le_packed *packed, le_panel_order order, size_t units, le_matrix matrix, size_t first,
                    size_t stride)
{
    int finite = 1;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const panel_view view = view_of(packed, panel);
        memset(packed->data + panel * packed->panel_bytes, 0,
               panel + 1 == packed->panels ? packed->last_bytes : packed->panel_bytes);
        for (size_t column = 0; column < view.columns; column++) {
            const size_t number = channel_of(packed, order, units, panel, column);
            if (number == SIZE_MAX)
                continue;
            const channel from = {.from = (const char *)matrix.values + number * first,
                                  .stride = stride,
                                  .scale = matrix.scales ? matrix.scales[number] : 0};
            finite &= pack_column(packed, &view, column, from);
        }
    }
    return finite;
}

int le_pack_small_rows(le_panel_order order, size_t units, le_matrix matrix, const le_packed *packed)
{
    const size_t element = packed->products->element;
    return pack_all(packed, order, units, matrix, packed->k * element, element);
}

void le_pack_small_columns(size_t units, le_matrix kernel, const le_packed *packed)
{
    const size_t element = packed->products->element;
    pack_all(packed, LE_ORDER_UNITS, units, kernel, element, units * element);
}

void le_unpack_small_rows(le_panel_order order, size_t units, const le_packed *packed, size_t begin, size_t end,
                          void *weights)
{
    const le_products *products = packed->products;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const panel_view view = view_of(packed, panel);
        for (size_t column = 0; column < view.columns; column++) {
            const size_t row = channel_of(packed, order, units, panel, column);
            if (row == SIZE_MAX || row < begin || row >= end)
                continue;
            char *to = (char *)weights + (row - begin) * packed->k * products->element;
            for (size_t k = 0; k < packed->k; k++, to += products->element)
                memcpy(to, weight_at(products, &view, k, column), products->element);
        }
    }
}

void le_unpack_small_columns(size_t units, const le_packed *packed, size_t begin, size_t end, void *kernel)
{
    const le_products *products = packed->products;
    for (size_t panel = 0; panel < packed->panels; panel++) {
        const panel_view view = view_of(packed, panel);
        for (size_t column = 0; column < view.columns; column++) {
            const size_t unit = channel_of(packed, LE_ORDER_UNITS, units, panel, column);
            for (size_t k = begin; unit != SIZE_MAX && k < end; k++)
                memcpy((char *)kernel + ((k - begin) * units + unit) * products->element,
                       weight_at(products, &view, k, column), products->element);
        }
    }
}
