/* Models under test: a chain described by plain data, built through le.h, and computed again by the oracle. */
#ifndef LE_TEST_NET_H
#define LE_TEST_NET_H

#include "check.h"
#include "small.h"

enum {
    NO_BIAS = 1 << 0,
    PEEPHOLES = 1 << 1,
    PEEPHOLE_PREVIOUS = 1 << 2,
    CLIP = 1 << 3,
    CELL_CLIP = 1 << 4,
    INPUT_FORGET = 1 << 5,
    LINEAR_BEFORE_RESET = 1 << 6,
    RELU = 1 << 7, /* of the candidate and the output */
};

typedef struct layer_spec {
    le_cell cell;
    le_direction direction;
    size_t hidden, projection;
    unsigned extras;
} layer_spec;

/* What stands on the recurrent layers. */
typedef enum top { TOP_NONE, TOP_LAST_STATE, TOP_POOL_LAST, TOP_POOL_MEAN, TOP_POOL_MAX } top;

enum { MAX_LAYERS = 3 };

typedef struct net_spec {
    const char *name;
    const char *isa; /* null: the best */
    le_dtype dtype;
    le_gemm gemm;
    le_weight_type weights; /* of all matrices */
    int mixed;              /* that of the first operation: each has the type after the one before it */
    size_t features;   /* of the input, or of the embedding table */
    size_t vocabulary; /* 0: numbers, not token ids */
    layer_spec layers[MAX_LAYERS]; /* until hidden is 0 */
    top top;
    size_t units;      /* of the Dense at the end, or 0 */
    le_activation activation;
    uint64_t seed;
    int packers;       /* threads that pack the weights */
    le_store *store;   /* where its models look for packed weights, or null */
    le_consumed consumed; /* told of what has been packed, or null */
} net_spec;

/* Weights of one recurrent layer in ONNX's shapes, see le_recurrent. Matrices that are stored in fewer bits have the numbers
 * that these stand for, which is what the oracle multiplies, and beside those what is stored. */
typedef struct layer_weights {
    size_t features, gates, dirs, output;
    void *w, *r, *b, *p, *proj;
    small_matrix small_w, small_r, small_proj;
} layer_weights;

typedef struct net {
    net_spec spec;
    int layers;
    layer_weights weights[MAX_LAYERS];
    void *table, *kernel, *bias; /* embedding, dense */
    small_matrix small_table, small_kernel;
    size_t width;                /* features of the output */
    int sequence;                /* whether the output keeps time */
    size_t state_size;           /* elements of a state row */
    size_t h_size, c_size;       /* of the last recurrent layer; c_size 0 without c */
} net;

/* The random weights of a net; net_free gives them back. */
net net_new(const net_spec *spec);
void net_free(net *n);

/* The type of the matrices of an operation: TABLE, a layer by its number, or DENSE. */
enum { TABLE = -1, DENSE = MAX_LAYERS };
le_weight_type net_weights(const net *n, int operation);

/* A matrix as the core is given it, and the bytes of one of its numbers. */
static inline const void *stored(const void *floats, const small_matrix *small)
{
    return small->values ? small->values : floats;
}
size_t stored_bytes(const net *n, int operation);

/* Build the model; outputs are 0: the top, 1: y_h and 2: y_c (LSTM) of the last recurrent layer, where there is one. */
le_status net_build(const net *n, le_model **out, le_error *error);

/* Build or fail the check. Null, and a line of output, when the core does not support the cell. */
le_model *net_must_build(const net *n);

typedef struct feed {
    size_t batch, steps;
    const int32_t *lengths; /* or null */
    void *x;                /* numbers [batch, steps, features] or int32 ids [batch, steps] */
    void *state;            /* [batch, state_size] before the run, or null */
} feed;

/* Random input for a net; `ragged` also makes random lengths, of which the first is full and the second 0. */
feed feed_new(const net *n, size_t batch, size_t steps, int ragged, int with_state);
void feed_free(feed *f);

typedef struct results {
    void *y, *h, *c; /* [batch, steps, width] or [batch, width]; [batch, h_size]; [batch, c_size] */
    void *state;     /* [batch, state_size] */
    size_t y_count, h_count, c_count, state_count;
} results;

/* How the work of a run is partitioned. */
typedef struct way {
    int threads;
    le_split split;
    size_t block_steps;
} way;

results results_new(const net *n, size_t batch, size_t steps);
void results_free(results *r);

le_status net_run(const net *n, le_model *model, const feed *f, way how, results *r, le_error *error);

/* Build, run and free; fails the check when it cannot. */
results net_must_run(const net *n, le_model *model, const feed *f, way how);

/* The same in double precision, written as the textbook has it. Results are arrays of double. */
results oracle_run(const net *n, const feed *f);

/* y of one activation in double precision, from the C library. */
double oracle_activation(le_activation activation, double x);
void oracle_softmax(int log_form, size_t count, double *x);

/* Check that every part of `got` is within `tolerance` of the oracle's. */
void check_close(const net *n, const results *got, const results *expected, double tolerance, const char *what);

/* Check that row `row` of `got` holds the bits of row `other` of `expected`, over the first `steps` steps. */
void check_same_row(const net *n, const results *got, size_t row, size_t got_steps, const results *expected, size_t other,
                    size_t expected_steps, size_t steps, const char *what);

/* All variants this CPU runs, by number 0..; null past the end. */
const char *supported_isa(size_t number);

/* From now on supported_isa knows this one alone; 0 when the CPU does not run it. */
int only_isa(const char *name);

#endif
