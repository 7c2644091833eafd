/* Recurrent layers: weights packed once, then run block by block with the state carried between blocks. */
#ifndef LE_LAYERS_RECURRENT_H
#define LE_LAYERS_RECURRENT_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "layers/packed.h"
#include "layers/view.h"

/* A step is one product and what follows it, or two with a barrier in between: a GRU that resets h
 * before its product, and an LSTM that projects h. What passes between the two is the layer's middle row. */
typedef enum le_phase_kind {
    LE_PHASE_LSTM, /* the product and the cells in one; all others: the product, then the cells */
    LE_PHASE_LSTM_GENERAL,
    LE_PHASE_PROJECTION,
    LE_PHASE_GRU_AFTER,
    LE_PHASE_GRU_GATES,
    LE_PHASE_GRU_CANDIDATE,
    LE_PHASE_RNN,
} le_phase_kind;

typedef struct le_phase {
    le_phase_kind kind;   /* which kernel makes its cells */
    le_panel_order order; /* of w and r */
    le_packed w;        /* inputs; no panels when the phase reads none */
    le_packed r;        /* what is multiplied in each step */
    char *bias;         /* [panels][width], or null */
    size_t bias_bytes;  /* of one panel */
    char *peephole;     /* [panels][3*lanes], or null */
    size_t panel_units; /* units of a panel: lanes for gates, 4*lanes for columns */
    size_t units;       /* of all panels */
    int first_gate;     /* of the gates in w_plain */
    int from_middle, to_middle;
} le_phase;

/* Whether a zero state leaves this phase without a product: the sums of zeros with finite weights are +0, to the bit. */
static inline int le_phase_idle(const le_phase *phase)
{
    return !phase->from_middle && phase->r.finite;
}

typedef struct le_recurrent_direction {
    int reverse;
    int phases;
    le_phase phase[2];
    char *w_plain;      /* [features, gates*H] for gemm = blas, or null */
    le_cell_config config;
} le_recurrent_direction;

typedef struct le_recurrent_layer {
    const le_kernels *kernels;
    const le_products *products; /* of its matrices */
    le_gemm gemm;
    le_cell cell;
    int gates, dirs;
    size_t features, hidden, output; /* output: H, or the projected size */
    size_t lanes_hidden;             /* H rounded up to whole panels of columns */
    size_t h_stride;                 /* row stride of h in the carried state, bytes */
    size_t middle_stride;            /* row stride of the middle rows, bytes; 0: one phase */
    le_recurrent_direction direction[2];
} le_recurrent_layer;

static inline size_t le_recurrent_element(const le_recurrent_layer *layer)
{
    return le_dtype_size(layer->kernels->dtype);
}

/* Bytes of one row of a panel: nv vectors. */
static inline size_t le_recurrent_width(const le_recurrent_layer *layer, const le_packed *packed)
{
    return (size_t)packed->nv * (size_t)layer->kernels->lanes * le_recurrent_element(layer);
}

/* Pack the weights of `spec`; weights: their scales. On failure the layer holds nothing. */
le_status le_recurrent_pack(const le_packer *packer, le_gemm gemm, size_t features, const le_recurrent *spec,
                            const le_weights *weights, le_recurrent_layer *layer, le_error *error);
/* Rows begin .. end-1 of W, R or the projection as they came, to the bit; rows are those of both directions. */
void le_recurrent_unpack(const le_recurrent_layer *layer, le_weight which, size_t begin, size_t end, void *out);
void le_recurrent_free(le_recurrent_layer *layer);
void le_recurrent_visit(const le_recurrent_layer *layer, le_visit_block visit, void *context);
size_t le_recurrent_bytes(const le_recurrent_layer *layer);
/* Bytes of weights that every step reads, one direction. */
size_t le_recurrent_step_bytes(const le_recurrent_layer *layer);
/* Bytes of those among them that a step from a zero state does not read. */
size_t le_recurrent_idle_bytes(const le_recurrent_layer *layer);
/* Products of one row with those, one direction. */
double le_recurrent_idle_products(const le_recurrent_layer *layer);
/* Panels of the phase with the fewest: how many members can share a step. */
size_t le_recurrent_panels(const le_recurrent_layer *layer);

/* The state of one group of rows between blocks (recurrent_memory.c). */
typedef struct le_recurrent_state {
    char *h[2];      /* per direction: [2][rows][h_stride]; the first half is the carried one */
    char *c[2];      /* per direction: [lanes_hidden / lanes][rows][lanes]; LSTM: carried; GRU: z of this step */
    char *middle[2]; /* per direction: [rows][middle_stride], or null */
} le_recurrent_state;

void le_recurrent_lay_state(const le_recurrent_layer *layer, size_t rows, le_arena *arena, le_recurrent_state *state);
/* Set the carried state of one of `rows` rows from plain h [dirs*output] and c [dirs*H]; null means zeros. */
void le_recurrent_put(const le_recurrent_layer *layer, le_recurrent_state *state, size_t rows, size_t row, const void *h,
                      const void *c);
/* All rows at once, as `le_recurrent_put` without h and c. */
void le_recurrent_zero(const le_recurrent_layer *layer, const le_thread_group *threads, le_recurrent_state *state,
                       size_t rows);
/* The reverse of put: either may be null. */
void le_recurrent_get(const le_recurrent_layer *layer, const le_recurrent_state *state, size_t rows, size_t row, void *h,
                      void *c);

/* What one member needs while it works; shared by all layers of a plan, so sized for the largest. */
typedef struct le_recurrent_work {
    const void **x_rows;          /* [block rows] */
    const void **h_prev, **middle_in; /* [rows] */
    const void **prepared_rows;   /* [rows]: what is multiplied in place of h_prev or middle_in, for products that take */
    char *prepared, *prepared_x;  /* rows of their own form: of a step, and [block rows] of inputs; else null */
    void **h_out, **middle_out;   /* [rows] */
    char *x_part[2];              /* per phase: [own panels][block rows][width] */
    char *scratch;                /* [rows][LE_MAX_NV*lanes] */
    char *gathered, *plain;       /* gemm = blas: [block rows, features], [block rows, gates*H] */
    int fetch;                    /* fetch weights of h ahead of their use: they leave the cache from step to step */
    int fetch_inputs;             /* the same of weights of x, from block to block */
    int sweep;                    /* 0 or 1: from which end the first step goes through the panels */
} le_recurrent_work;

/* block_rows: rows x steps of a block at most; members: of the thread group that shares a row group. */
void le_recurrent_lay_work(const le_recurrent_layer *layer, size_t rows, size_t block_rows, int members, le_arena *arena,
                           le_recurrent_work *work);

/* Steps block->begin..end. y: where h of each step goes ([.., dirs*output]), or null when only the state is wanted.
 * from_zero: h is zero in every row before step 0. Every member calls it; all have reached its barrier when it returns. */
void le_recurrent_block(const le_recurrent_layer *layer, const le_thread_group *threads, const le_block *block,
                        const le_rows *x, const le_rows *y, le_recurrent_state *state, const le_recurrent_work *work,
                        int from_zero);

#endif
