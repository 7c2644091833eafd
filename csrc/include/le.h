/* lstm-engine: the public C API.
 *
 * A model is built once (values and layers are added, then it is finished) and is immutable and shared
 * after that: any number of threads may run it at the same time. A run reads and writes caller-owned
 * arrays. Nothing here prints, aborts, reads files or the environment.
 *
 * Every fallible function returns a le_status; when an le_error is passed, its message says which
 * argument was wrong, what was expected and what came. Shapes are given as [batch, time, features],
 * last axis fastest, C order.
 */
#ifndef LE_H
#define LE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Status codes: numbers are never reused; the gaps leave room within a family. */
#define LE_STATUS_LIST(X)                                    \
    X(LE_OK, 0, "ok")                                        \
    X(LE_ERROR_ARGUMENT, 10, "an argument is out of range")  \
    X(LE_ERROR_SHAPE, 11, "a shape does not fit")            \
    X(LE_ERROR_TOKEN, 12, "a token id is out of range")      \
    X(LE_ERROR_OVERFLOW, 13, "a size overflows")             \
    X(LE_ERROR_UNSUPPORTED, 20, "not supported")             \
    X(LE_ERROR_ISA, 21, "the CPU lacks the instruction set") \
    X(LE_ERROR_MEMORY, 30, "out of memory")                  \
    X(LE_ERROR_STATE, 40, "called in the wrong order")       \
    X(LE_ERROR_CANCELLED, 50, "cancelled by the caller")

typedef enum le_status {
#define X(name, number, text) name = number,
    LE_STATUS_LIST(X)
#undef X
} le_status;

/* Caller-owned detail of a failure; untouched on success. `index` is the row of a bad token, else -1. */
typedef struct le_error {
    le_status status;
    int64_t index;
    char message[232];
} le_error;

/* A static sentence for a status. */
const char *le_status_text(le_status status);

/* ---- the machine ---------------------------------------------------------------------------------- */

/* Number of kernel variants compiled in; their names ("scalar", "avx2", ...), best last; whether this CPU runs one. */
size_t le_isa_count(void);
const char *le_isa_name(size_t index);
const char *le_isa_description(size_t index);
int le_isa_supported(size_t index);

/* Whether OpenMP is compiled in, and the threads it would give (256 without it). */
int le_has_openmp(void);
int le_openmp_max_threads(void);

/* The threads of all later runs of the process: "native" or "openmp" (base/team.h). Names of those in this build, the
 * default first (null past the last); the one in use; LE_ERROR_UNSUPPORTED for a name that is not among them. */
const char *le_threading_name(size_t number);
const char *le_threading(void);
le_status le_threading_set(const char *name);
/* For tests: threads wait, a random time up to `most` ns, before they begin and between pieces of work; 0: they do not. */
void le_team_delay(int64_t most);

/* Make fork() safe for threads of this library; called once when the library is loaded. */
le_status le_threads_init(void);

/* The floating-point mode of the calling thread, so that a caller's flush-to-zero or rounding cannot change results:
 * le_fp_default sets the IEEE default and returns what was there for le_fp_restore. The functions below do so
 * themselves; it is for what is cast before and after them. */
uint64_t le_fp_default(void);
void le_fp_restore(uint64_t mode);

/* Give the whole pages among `bytes` bytes of private, anonymous memory back to the system: their numbers are lost. Does
 * nothing where the system cannot take them back (it is not Linux). */
void le_pages_drop(void *from, size_t bytes);

/* How a product is called: cblas_?gemm with 32-bit or 64-bit integers, or Fortran's ?gemm with 32-bit integers. */
typedef enum le_blas_kind { LE_BLAS_LP64 = 0, LE_BLAS_ILP64 = 1, LE_BLAS_FORTRAN = 2 } le_blas_kind;

/* Use an external BLAS for `gemm = LE_GEMM_BLAS` and float64 products over many rows. Null for both
 * restores the one linked at build time, or else the plain loop. From any thread: a product that runs meanwhile is
 * made by the one before. LE_ERROR_STATE after 16 different ones. */
le_status le_blas_set(void *sgemm, void *dgemm, le_blas_kind kind);

/* Whether a BLAS was linked at build time. */
int le_blas_linked(void);

/* C = A B for row-major A [m, k], B [k, n], C [m, n] through the BLAS slot (a plain loop when it is empty). */
void le_blas_sgemm(size_t m, size_t n, size_t k, const float *a, const float *b, float *c);
void le_blas_dgemm(size_t m, size_t n, size_t k, const double *a, const double *b, double *c);

/* ---- vocabulary ----------------------------------------------------------------------------------- */

typedef enum le_dtype { LE_FLOAT32 = 0, LE_FLOAT64 = 1 } le_dtype;
typedef enum le_gemm { LE_GEMM_PACKED = 0, LE_GEMM_BLAS = 1 } le_gemm;

/* What the matrices of a layer are stored as, in models of float32. */
typedef enum le_weight_type {
    LE_WEIGHTS_FULL = 0,         /* the model's dtype */
    LE_WEIGHTS_FLOAT16 = 1,      /* IEEE halves, widened: the numbers are those of float32 weights of the same values */
    LE_WEIGHTS_BFLOAT16 = 2,     /* the upper halves of float32; inputs of a product are rounded to that, too */
    LE_WEIGHTS_INT8 = 3,         /* -127..127, a scale for each output channel; inputs are quantised row by row, and
                                    integers are multiplied */
    LE_WEIGHTS_INT8_WIDENED = 4, /* -128..127, multiplied with their scales before they are used: float32 */
} le_weight_type;

/* clang-format off */
#define LE_ACTIVATION_LIST(X)                                                                         \
    X(LINEAR, "linear") X(SIGMOID, "sigmoid") X(TANH, "tanh") X(RELU, "relu") X(AFFINE, "affine")     \
    X(LEAKY_RELU, "leaky_relu") X(THRESHOLDED_RELU, "thresholded_relu") X(SCALED_TANH, "scaled_tanh") \
    X(HARD_SIGMOID, "hard_sigmoid") X(ELU, "elu") X(SOFTSIGN, "softsign") X(SOFTPLUS, "softplus")     \
    X(SELU, "selu") X(GELU, "gelu") X(GELU_TANH, "gelu_tanh") X(SILU, "silu")                         \
    X(EXPONENTIAL, "exponential") X(RELU6, "relu6") X(MISH, "mish") X(HARD_SILU, "hard_silu")         \
    X(HARD_TANH, "hard_tanh") X(LOG_SIGMOID, "log_sigmoid") X(SOFTMAX, "softmax")                     \
    X(LOG_SOFTMAX, "log_softmax")
/* clang-format on */

typedef enum le_act_kind {
#define X(name, text) LE_ACT_##name,
    LE_ACTIVATION_LIST(X)
#undef X
        LE_ACT_COUNT
} le_act_kind;

/* An activation with its parameters (those it does not use are ignored). */
typedef struct le_activation {
    le_act_kind kind;
    double alpha, beta;
} le_activation;

/* The kind called `name`, or -1. */
int le_activation_find(const char *name);

/* ---- building a model ------------------------------------------------------------------------------ */

typedef struct le_model le_model;
typedef int32_t le_value; /* names a value of one model; -1 stands for "none" */
#define LE_NONE ((le_value) - 1)

typedef struct le_model_options {
    const char *isa;    /* a variant's name, or null for the best this CPU has */
    le_dtype dtype;     /* of weights, inputs, outputs and states */
    le_gemm gemm;       /* how Dense and the input projections are computed */
    int threads;        /* that pack large weights; below 2: the caller's alone */
} le_model_options;

/* A new, empty model; the caller frees it with le_model_free. Weights are copied: arrays passed to the
 * functions below belong to the caller and may be freed when they return. */
le_status le_model_new(const le_model_options *options, le_model **out, le_error *error);
void le_model_free(le_model *model); /* null is allowed */

/* Packed weights that layers have in common: a file may name one matrix in many nodes, and a loop that was unrolled does.
 * Layers added to `model` after le_model_share look in the store for what was packed of the same addresses in the same
 * layout, and hold that block of memory instead of another; null: they look nowhere, as at the beginning. Models of
 * one store may differ in all. Arrays that were given to a layer of the store must stay where they are, unchanged,
 * until it is freed: their addresses are their names. Blocks live on without the store, as long as a model holds them.
 * A store belongs to one thread at a time; models that share blocks may run, and be freed, from any. */
typedef struct le_store le_store;
le_status le_store_new(le_store **out, le_error *error);
void le_store_free(le_store *store); /* null is allowed */
void le_model_share(le_model *model, le_store *store);

/* Layers added to `model` after le_model_consume are the last to read the matrices they are given: `consumed` is called
 * with each part of one that stands packed, block after block (of small weights once), from the thread that adds the layer, so
 * that its memory may be given back meanwhile. Not for arrays that several layers have. null: arrays stay as they are, as at the beginning. */
typedef void (*le_consumed)(void *context, const void *part, size_t bytes);
void le_model_consume(le_model *model, le_consumed consumed, void *context);

/* The type of the matrices of layers that are added from here on, and of those that are int8 the scales, one for each row
 * of [.., gates*H, k], [.., P, H] or a table, or each column of a kernel; finite and above 0. The arrays are read when a
 * layer is added. null: the model's dtype, as at the beginning. LE_ERROR_UNSUPPORTED in a model of float64. */
typedef struct le_weights {
    le_weight_type type;
    const float *w;          /* of W, of a dense layer's kernel, or of a table; null but for int8, as the others: */
    const float *r;          /* of R */
    const float *projection; /* of the projection */
} le_weights;
le_status le_model_weights(le_model *model, const le_weights *weights, le_error *error);

/* How products with weights of a type are made beside kernels of the instruction set `isa` (null: the best): "avx512vnni",
 * "avx512amx", ...; null for an instruction set that this CPU does not have. */
const char *le_products_name(const char *isa, le_weight_type type);

/* Inputs of an int8 product at most: sums of so many products cannot overflow 32 bits. */
#define LE_INT8_INPUTS 65536

typedef enum le_rank { LE_VECTOR = 1, LE_SEQUENCE = 2 } le_rank;

/* An input: a vector [batch, features], or a sequence [batch, steps, features] on time axis `axis` (0, 1, ...). */
le_status le_model_input(le_model *model, le_rank rank, int axis, size_t features, le_value *out, le_error *error);
/* Token ids, int32: [batch] or [batch, steps]. */
le_status le_model_input_ids(le_model *model, le_rank rank, int axis, le_value *out, le_error *error);

/* Rows of table [vocabulary, features] by token id. An id outside [0, vocabulary) is LE_ERROR_TOKEN at run time. */
le_status le_model_embedding(le_model *model, le_value ids, const void *table, size_t vocabulary, size_t features,
                             le_value *out, le_error *error);

/* activation(x kernel + bias), kernel [features, units], bias [units] or null. Softmax runs over the units. */
le_status le_model_dense(le_model *model, le_value x, const void *kernel, const void *bias, size_t units,
                         le_activation activation, le_value *out, le_error *error);

/* An activation on its own, over the last axis where it is row-wise. */
le_status le_model_activate(le_model *model, le_value x, le_activation activation, le_value *out, le_error *error);

typedef enum le_pool_kind { LE_POOL_LAST = 0, LE_POOL_MEAN = 1, LE_POOL_MAX = 2 } le_pool_kind;
/* A sequence [batch, steps, features] reduced over its real steps to [batch, features]; 0 for a sequence of length 0. */
le_status le_model_pool(le_model *model, le_value x, le_pool_kind kind, le_value *out, le_error *error);

typedef enum le_cell { LE_LSTM = 0, LE_GRU = 1, LE_RNN = 2 } le_cell;
typedef enum le_direction { LE_FORWARD = 0, LE_REVERSE = 1, LE_BIDIRECTIONAL = 2 } le_direction;

/* A recurrent layer in ONNX's vocabulary. gates: LSTM 4 (i,o,f,c), GRU 3 (z,r,h), RNN 1.
 * Equations: https://onnx.ai/onnx/operators/onnx__LSTM.html and its siblings. */
typedef struct le_recurrent {
    le_cell cell;
    le_direction direction;
    size_t hidden;         /* H */
    size_t projection;     /* P: LSTM with projected h (PyTorch proj_size), or 0 */
    le_value x;            /* a sequence */
    le_value initial_h;    /* a vector [batch, dirs*(P or H)], or LE_NONE: the run's state */
    le_value initial_c;    /* a vector [batch, dirs*H], or LE_NONE */
    const void *w;         /* [dirs, gates*H, features] */
    const void *r;         /* [dirs, gates*H, P or H] */
    const void *b;         /* [dirs, 2*gates*H], or null */
    const void *p;         /* peepholes [dirs, 3*H] (i,o,f), or null */
    const void *proj;      /* [dirs, P, H], or null */
    le_activation activations[2][3]; /* per direction: f, g, h */
    double clip;           /* of the activations' inputs; 0: none */
    double cell_clip;      /* of c before h is made; 0: none */
    int input_forget;      /* f = 1 - i */
    int linear_before_reset;
    int empty_zero;        /* y_h and y_c of a row without steps are zero, not its initial state; see le_run.resumed */
    int peephole_previous; /* the output gate sees c of the step before instead of the new one */
} le_recurrent;

/* y: a sequence [batch, steps, dirs*(P or H)]; y_h, y_c: vectors, the state after each direction's last step.
 * Any of the three may be null. */
le_status le_model_recurrent(le_model *model, const le_recurrent *layer, le_value *y, le_value *y_h, le_value *y_c,
                             le_error *error);

/* Name `value` as an output; outputs are numbered in the order of these calls. */
le_status le_model_output(le_model *model, le_value value, le_error *error);

/* Lay out stages and state, after which the model can run and can no longer change. */
le_status le_model_finish(le_model *model, le_error *error);

/* Rows of a weight matrix as it was given, to the bit: the model keeps it in another layout alone. `op` numbers embeddings
 * and layers in order of adding. A row is the last axis; rows are numbered through the axes before it. */
typedef enum le_weight {
    LE_WEIGHT_W = 0,          /* of a recurrent layer: [dirs, gates*H, features] */
    LE_WEIGHT_R = 1,          /* [dirs, gates*H, P or H] */
    LE_WEIGHT_PROJECTION = 2, /* [dirs, P, H] */
    LE_WEIGHT_KERNEL = 3,     /* of a dense layer: [features, units] */
    LE_WEIGHT_TABLE = 4       /* of an embedding: [vocabulary, features] */
} le_weight;
/* Rows first .. first+count-1 go to `out`, which has room for `bytes`, their size in the type they are stored as;
 * LE_ERROR_ARGUMENT where there is no such weight with these rows of that size. */
le_status le_model_unpack(const le_model *model, size_t op, le_weight which, size_t first, size_t count, void *out,
                          size_t bytes, le_error *error);

/* ---- what a finished model says -------------------------------------------------------------------- */

/* Elements per row of the recurrent state: for each recurrent layer in order of adding, h of all
 * directions side by side, then c (LSTM only). */
size_t le_model_state_size(const le_model *model);
size_t le_model_layer_count(const le_model *model);
/* Offsets into the state row of the recurrent layer numbered `index`; c_offset is SIZE_MAX without c. */
le_status le_model_state_slot(const le_model *model, size_t index, size_t *h_offset, size_t *h_size, size_t *c_offset,
                              size_t *c_size);
/* Call `visit` with each block of packed weights and its bytes: once for each layer that holds it, so a block that
 * layers share, also those of several models, comes more than once, at one address. */
typedef void (*le_visit_block)(void *context, const void *block, size_t bytes);
void le_model_visit_weights(const le_model *model, le_visit_block visit, void *context);
size_t le_model_workspace_bytes(const le_model *model); /* held by idle workspaces */
const char *le_model_isa(const le_model *model);
/* Whether every layer may be run step by step (no reverse direction, no pooling over time). */
int le_model_causal(const le_model *model);

/* ---- running ---------------------------------------------------------------------------------------- */

typedef struct le_axis {
    size_t steps;
    const int32_t *lengths; /* [batch], each 0..steps, or null: all steps are real */
} le_axis;

/* How to partition work over threads: rows of the batch, hidden units of a layer, or layers; LE_SPLIT_AUTO leaves it to csrc/model/schedule.c. */
typedef enum le_split { LE_SPLIT_AUTO = 0, LE_SPLIT_ROWS = 1, LE_SPLIT_UNITS = 2, LE_SPLIT_LAYERS = 3 } le_split;

typedef struct le_run {
    size_t batch;
    const le_axis *axes;                  /* one for each time axis of the model */
    const void *const *inputs;            /* one pointer for each input, in order of adding; dense C order */
    void *const *outputs;                 /* one for each output; a null entry is not written */
    const void *const *state_in;          /* [batch] pointers to state rows, or null: zeros. An entry may be null. */
    void *const *state_out;               /* [batch] pointers to state rows, or null: not wanted. May equal state_in. */
    int resumed;                          /* the sequences began in an earlier run, so a row without steps here ends in its
                                           * state_in, also where empty_zero; initial states that are values stay as they are */
    int threads;                          /* at most this many; >= 1 */
    le_split split;
    size_t block_steps;                   /* steps per time block; 0: chosen */
    int (*poll)(void *context);           /* called now and then from the calling thread; nonzero cancels. May be null. */
    void *poll_context;
} le_run;

/* Bytes of memory that this run would take beside its arrays: a workspace, which the model then keeps for the next. The
 * arrays are not looked at, only which pointers are null. SIZE_MAX: more than can be. */
le_status le_model_run_bytes(const le_model *model, const le_run *run, size_t *bytes, le_error *error);

/* Run a finished model. On any failure outputs may be partly written; state_out is written only on success. */
le_status le_model_run(le_model *model, const le_run *run, le_error *error);

#ifdef __cplusplus
}
#endif
#endif
