/* The contract of the compute kernels: a table of function pointers per instruction set and dtype.
 *
 * Packed weights. A matrix with K inputs is cut into panels of `nv` vectors of `lanes` columns, stored
 * [panel][K][nv][lanes]. For an LSTM the four vectors are the gates i,o,f,c of the same `lanes` hidden units
 * (GRU: z,r,h), so a tile ends its k-loop with everything the cell needs; for Dense they are 4*lanes units. The last
 * panel of an LSTM may have its gates side by side in fewer vectors (LE_ORDER_PACKED_TAIL in layers/packed.h).
 *
 * Order of summation, the same in every kernel and tile shape: k runs in blocks of LE_K_BLOCK; a block is one
 * chain of fused multiply-adds from zero (multiply, then add, where the CPU has no FMA), block sums are added
 * in ascending order. Pre-activation = (x part + h part) + bias. This is what makes a sequence's bits
 * independent of everything around it.
 *
 * `void` pointers are arrays of the table's dtype. Row pointers let a product read rows wherever they are:
 * embedding tables, time steps of unequal sequences, a caller's batch-first array.
 */
#ifndef LE_KERNELS_H
#define LE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "le.h"

#define LE_K_BLOCK 64
#define LE_MAX_NV 4

/* What a cell needs beyond its products; one per direction. */
typedef struct le_cell_config {
    le_activation f, g, h;
    double clip, cell_clip; /* 0: none */
    int input_forget;
    int peephole_previous;
} le_cell_config;

/* The cells of one panel of units in some rows, once the h part is there: all that an RNN and a projection need. Each
 * family's own arguments begin with it. All strides are in elements. */
typedef struct le_cells {
    size_t rows;
    size_t units;        /* real units of the panel: 1..lanes for gates, 1..4*lanes for columns */
    size_t first;        /* the panel's first unit: where it reads h_old and writes h_out */
    const void *x_part;  /* [rows][nv*lanes]; null for a projection */
    void *sums;          /* [rows][nv*lanes], the h part, as `product` makes it; an LSTM writes over it */
    const void *bias;    /* [nv*lanes]; GRU with reset after: [4*lanes], z, r, Wb_h, Rb_h; null for a projection */
    void *const *h_out;  /* [rows] -> [H] */
    const le_cell_config *config;
} le_cells;

typedef struct le_lstm_cells {
    le_cells panel;
    int nv;               /* vectors of the panel, 4, or fewer where it has its gates side by side: gate j of unit u is
                             then column j * units + u of weights, x_part and sums */
    const void *peephole; /* [3*lanes] i,o,f, or null */
    void *c;              /* [rows][lanes] */
} le_lstm_cells;

/* The cells of an LSTM and the product before them, which fills their sums. */
typedef struct le_lstm_step {
    le_lstm_cells cells;
    size_t k;                  /* columns of h_prev: H, or the projected size */
    const void *weights;       /* [k][nv][lanes] */
    const void *next;          /* the weights read after these, to be fetched meanwhile; null where they are in cache */
    const void *const *h_prev; /* [rows] -> [k] */
} le_lstm_step;

/* The cells of an LSTM for one row and several panels, side by side. */
typedef struct le_lstm_row {
    size_t panels, units; /* units: real ones of all panels */
    int last_nv;          /* `nv` of the last panel */
    const void *x_part;   /* [nv*lanes] of the first panel */
    size_t x_panel;       /* elements from there to that of the next, and so on, but for the last panel: */
    const void *x_last;
    void *sums;           /* [panels][nv*lanes] */
    const void *bias;     /* [panels][nv*lanes] */
    void *c;              /* [lanes] of the first panel */
    size_t c_panel;       /* elements from there to that of the next */
    void *h;              /* [units] */
} le_lstm_row;

typedef struct le_gru_cells {
    le_cells panel;
    const void *const *h_old; /* [rows] -> [H], the state of the step before */
    void *z;                  /* reset before the product: [rows][lanes] of the panel's first units, written with the gates
                                 and read with the candidates; null where it comes after */
    size_t z_panel;           /* elements from one group of `lanes` units to the next: columns span several */
} le_gru_cells;

/* Panels side by side, for one row. */
typedef struct le_panels {
    size_t count;
    const void *first;  /* the first panel */
    size_t bytes;       /* from one panel to the next */
    int last_nv;        /* vectors of the last panel; 0: as many as of the others */
    int backwards;      /* read the weights from the last panel to the first */
} le_panels;

/* A Dense panel: out[r][0..units) = activation(a[r] W + bias), activation element-wise. */
typedef struct le_dense_panel {
    size_t rows, units, k;
    size_t first;          /* the panel's first unit: where it writes in out */
    const void *panel;     /* [k][nv][lanes] */
    const void *next;      /* as in le_lstm_step */
    const void *const *a;  /* [rows] -> [k] */
    const void *bias;      /* [nv*lanes] */
    void *const *out;      /* [rows] -> [units of all panels] */
    le_activation activation;
    void *scratch;         /* [rows][nv*lanes], the product */
} le_dense_panel;

/* How rows are multiplied with panels of one type of weights.
 *
 * A panel of small weights is [k/group][nv][lanes][group], k filled up with zeros, after a head: of int8 the scale of
 * each column, float [nv*lanes]; where integers are multiplied then -128 times the sum of each column's weights, int32
 * [nv*lanes], which is what rows of unsigned numbers, moved up by 128, have too much. */
typedef struct le_products {
    const char *name;
    uint32_t cpu, worth;   /* le_cpu_features() bits it needs; and those without which others are faster */
    le_weight_type type;
    int lanes;
    size_t element, group; /* bytes of a weight; inputs that stand side by side */
    size_t round;          /* k is filled up with zeros to whole numbers of these; `group` where it is 0 */
    size_t head;           /* bytes before the weights of a panel, for each column */
    double speed;          /* about how many of its products take as long as one of float32 */
    size_t rows; /* fewer than these leave tiles, or the way of the weights into them, half used; 0: few will do */
    /* Rows are multiplied as `prepare` makes them of k floats, in row_bytes(k) bytes; null: as they are. */
    size_t (*row_bytes)(size_t k);
    void (*prepare)(const void *row, size_t k, void *prepared);
    /* out[r][nv*lanes] = a[r] * panel, r < rows; out is dense. nv 1..4. next: as in le_lstm_step. */
    void (*product)(int nv, size_t rows, const void *const *a, size_t k, const void *panel, const void *next, void *out);
    /* One row by several panels: out[panel][nv*lanes], of the last panel the first last_nv*lanes. */
    void (*row_product)(int nv, const le_panels *panels, const void *a, size_t k, void *out);
    /* What a thread calls after its last product for a while; may be null. */
    void (*finish)(void);
    /* n weights that stand side by side as floats; null but for those that are multiplied as floats. */
    void (*widen)(size_t n, const void *weights, float scale, void *out);
} le_products;

typedef struct le_kernels {
    const char *name; /* "scalar", "avx2", ... */
    const char *description;
    uint32_t cpu; /* le_cpu_features() bits it needs */
    le_dtype dtype;
    int lanes;
    int tile_rows; /* rows of the largest register tile */

    le_products products; /* with weights of this dtype */
    void (*dense)(const le_dense_panel *panel);
    /* What follows the product of a Dense panel, which is in its scratch. */
    void (*dense_output)(const le_dense_panel *panel);
    /* LSTM with sigmoid, tanh, tanh and no extras: the cell follows each tile of the product. */
    void (*lstm)(const le_lstm_step *step);
    /* Its cells alone, and for one row. */
    void (*lstm_cells)(const le_lstm_cells *cells);
    void (*lstm_row)(const le_lstm_row *row);
    /* The cells of any LSTM. */
    void (*lstm_general)(const le_lstm_cells *cells);
    /* h of a projected LSTM: columns. */
    void (*projection)(const le_cells *cells);
    /* GRU with the reset gate after the product (linear_before_reset = 1): z, r, h together. */
    void (*gru_after)(const le_gru_cells *cells);
    /* GRU with the reset gate before it: first z, and r * h into h_out; then, over r * h, the new h (columns). */
    void (*gru_before_gates)(const le_gru_cells *cells);
    void (*gru_before_candidate)(const le_gru_cells *cells);
    /* RNN: columns. */
    void (*rnn)(const le_cells *cells);

    /* x[0..n) = activation(x), element-wise kinds only. */
    void (*activate)(le_activation activation, size_t n, void *x);
    /* out = softmax or log-softmax of x, one row of n; x is overwritten, and may be `out`. past_cache: write `out` around
     * the cache. */
    void (*softmax)(int log, size_t n, void *x, void *out, int past_cache);
} le_kernels;

/* The variant called `isa` (null: the best this CPU has) for a dtype; LE_ERROR_ISA or LE_ERROR_ARGUMENT else. */
le_status le_kernels_find(const char *isa, le_dtype dtype, const le_kernels **out, le_error *error);

/* The best products with weights of a type, beside kernels of float32, that this CPU has. Never null. */
const le_products *le_products_find(const le_kernels *kernels, le_weight_type type);
/* Those whose `widen` makes floats of weights of a type that is not LE_WEIGHTS_FULL. */
const le_products *le_products_widening(const le_kernels *kernels, le_weight_type type);
/* Whether this process can run them. */
int le_products_run(const le_products *products);
/* All that are compiled in, for tests; null past the last. */
const le_products *le_products_at(size_t number);

/* What every variant has: kernels of both dtypes, and products with small weights. */
#define LE_DECLARE_VARIANT(isa)                                                                                       \
    extern const le_kernels le_kernels_##isa##_f32, le_kernels_##isa##_f64;                                           \
    extern const le_products le_products_##isa##_int8, le_products_##isa##_widened_int8, le_products_##isa##_float16, \
        le_products_##isa##_bfloat16
LE_DECLARE_VARIANT(scalar);
#if defined(LE_HAVE_AVX2)
LE_DECLARE_VARIANT(avx2);
#endif
#if defined(LE_HAVE_AVX512)
LE_DECLARE_VARIANT(avx512);
#endif
#if defined(LE_HAVE_NEON)
LE_DECLARE_VARIANT(neon);
#endif
#undef LE_DECLARE_VARIANT
/* Better ones, where a CPU has more. */
#if defined(LE_HAVE_AVXVNNI)
extern const le_products le_products_avxvnni_int8;
#endif
#if defined(LE_HAVE_AVX512VNNI)
extern const le_products le_products_avx512vnni_int8;
#endif
#if defined(LE_HAVE_AVX512BF16)
extern const le_products le_products_avx512bf16_bfloat16;
#endif
#if defined(LE_HAVE_AVX512AMX)
extern const le_products le_products_avx512amx_int8, le_products_avx512amx_bfloat16;
#endif
#if defined(LE_HAVE_NEONDOT)
extern const le_products le_products_neondot_int8;
#endif

#endif
