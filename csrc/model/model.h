/* The inside of a model: values, operations in order, and the stages they were cut into. */
#ifndef LE_MODEL_MODEL_H
#define LE_MODEL_MODEL_H

#include "layers/dense.h"
#include "layers/embedding.h"
#include "layers/recurrent.h"

typedef struct le_workspace le_workspace;

typedef struct le_value_info {
    le_rank rank;
    int axis;            /* of a sequence */
    size_t features;     /* 0 for token ids */
    int ids;
    int input;           /* number of the input, or -1 */
    int output;          /* number of the output, or -1 */
    int producer;        /* number of the operation that makes it, or -1 */
    int crosses;         /* read by a later stage than the one that makes it: kept for all steps */
} le_value_info;

typedef enum le_op_kind { LE_OP_EMBEDDING, LE_OP_RECURRENT, LE_OP_DENSE, LE_OP_ACTIVATE, LE_OP_POOL } le_op_kind;

typedef struct le_op {
    le_op_kind kind;
    int stage;
    le_value x, y;               /* LE_NONE where there is none (an LSTM of which only the state is wanted) */
    le_value initial_h, initial_c, y_h, y_c; /* recurrent */
    int empty_zero;              /* recurrent: y_h and y_c of a row without steps are zero */
    size_t h_offset, c_offset;   /* recurrent: place in the state row, elements; SIZE_MAX: none */
    union {
        le_embedding_layer embedding;
        le_recurrent_layer recurrent;
        le_dense_layer dense;
        le_activation activation;
        le_pool_kind pool;
    } as;
} le_op;

/* Operations that run block by block together, or once over vectors. */
typedef struct le_stage {
    int first, last;    /* operations first..last-1 */
    int axis;           /* -1: vectors */
    double flops;       /* per row and step */
} le_stage;

struct le_model {
    const le_kernels *kernels;
    le_gemm gemm;
    size_t element;
    le_packer packer;    /* of the weights of layers to come */
    le_weights weights;  /* their type, and scales */
    int finished, failed;
    int axes, input_count, output_count, op_count, value_count, stage_count, layer_count;
    int op_capacity, value_capacity;
    size_t state_size;
    le_value_info *values;
    le_op *ops;
    le_stage *stages;
    le_value *inputs, *outputs;
    le_workspace *idle;  /* list, guarded by le_lock() */
};

/* Whether the operation can only run with the whole sequence at hand. */
static inline int le_op_whole(const le_op *op)
{
    return op->kind == LE_OP_RECURRENT && (op->as.recurrent.dirs == 2 || op->as.recurrent.direction[0].reverse);
}

/* Arithmetic of an operation, per row and step: operations of float32 that take as long. */
double le_op_flops(const le_model *model, const le_op *op);

/* Whether a recurrent operation begins the run with a zero state. */
static inline int le_op_from_zero(const le_op *op, const le_run *run)
{
    return op->initial_h == LE_NONE && op->initial_c == LE_NONE && run->state_in == NULL;
}

/* Whether a value has no memory of its own: its rows are read in a table of the model's dtype, where they stand. */
static inline int le_looked_up(const le_model *model, le_value value)
{
    const int producer = value == LE_NONE ? -1 : model->values[value].producer;
    const le_op *op = producer < 0 ? NULL : &model->ops[producer];
    return op && op->kind == LE_OP_EMBEDDING && le_embedding_in_place(&op->as.embedding);
}

/* Whether the operation takes a sequence. */
static inline int le_op_sequential(const le_model *model, const le_op *op)
{
    return model->values[op->x].rank == LE_SEQUENCE;
}

#endif
