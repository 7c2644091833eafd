# cython: language_level=3
"""The public C API of csrc/include/le.h, as the bindings see it."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "le.h" nogil:
    ctypedef enum le_status:
        LE_OK
        LE_ERROR_ARGUMENT
        LE_ERROR_SHAPE
        LE_ERROR_TOKEN
        LE_ERROR_OVERFLOW
        LE_ERROR_UNSUPPORTED
        LE_ERROR_ISA
        LE_ERROR_MEMORY
        LE_ERROR_STATE
        LE_ERROR_CANCELLED
    ctypedef struct le_error:
        le_status status
        int64_t index
        char message[232]
    const char *le_status_text(le_status)
    size_t le_isa_count()
    const char *le_isa_name(size_t)
    const char *le_isa_description(size_t)
    int le_isa_supported(size_t)
    int le_has_openmp()
    int le_openmp_max_threads()
    le_status le_threads_init()
    const char *le_threading_name(size_t)
    const char *le_threading()
    le_status le_threading_set(const char *)
    void le_team_delay(int64_t)
    ctypedef enum le_blas_kind:
        LE_BLAS_LP64
        LE_BLAS_ILP64
        LE_BLAS_FORTRAN
    le_status le_blas_set(void *, void *, le_blas_kind)
    int le_blas_linked()
    void le_blas_sgemm(size_t, size_t, size_t, const float *, const float *, float *)
    void le_blas_dgemm(size_t, size_t, size_t, const double *, const double *, double *)
    ctypedef enum le_dtype:
        LE_FLOAT32
        LE_FLOAT64
    ctypedef enum le_gemm:
        LE_GEMM_PACKED
        LE_GEMM_BLAS
    ctypedef enum le_act_kind:
        LE_ACT_COUNT
    ctypedef struct le_activation:
        le_act_kind kind
        double alpha, beta
    int le_activation_find(const char *)
    ctypedef struct le_model
    ctypedef int32_t le_value
    le_value LE_NONE
    ctypedef struct le_model_options:
        const char *isa
        le_dtype dtype
        le_gemm gemm
        int threads
    le_status le_model_new(const le_model_options *, le_model **, le_error *)
    void le_model_free(le_model *)
    ctypedef enum le_weight_type:
        LE_WEIGHTS_FULL
        LE_WEIGHTS_FLOAT16
        LE_WEIGHTS_BFLOAT16
        LE_WEIGHTS_INT8
        LE_WEIGHTS_INT8_WIDENED
    ctypedef struct le_weights:
        le_weight_type type
        const float *w
        const float *r
        const float *projection
    const char *le_products_name(const char *, le_weight_type)
    le_status le_model_weights(le_model *, const le_weights *, le_error *)
    ctypedef struct le_store
    le_status le_store_new(le_store **, le_error *)
    void le_store_free(le_store *)
    void le_model_share(le_model *, le_store *)
    void le_model_consume(le_model *, void (*)(void *, const void *, size_t) noexcept, void *)
    void le_pages_drop(void *, size_t)
    ctypedef enum le_rank:
        LE_VECTOR
        LE_SEQUENCE
    le_status le_model_input(le_model *, le_rank, int, size_t, le_value *, le_error *)
    le_status le_model_input_ids(le_model *, le_rank, int, le_value *, le_error *)
    le_status le_model_embedding(le_model *, le_value, const void *, size_t, size_t, le_value *, le_error *)
    le_status le_model_dense(le_model *, le_value, const void *, const void *, size_t, le_activation, le_value *,
                             le_error *)
    le_status le_model_activate(le_model *, le_value, le_activation, le_value *, le_error *)
    ctypedef enum le_pool_kind:
        LE_POOL_LAST
        LE_POOL_MEAN
        LE_POOL_MAX
    le_status le_model_pool(le_model *, le_value, le_pool_kind, le_value *, le_error *)
    ctypedef enum le_cell:
        LE_LSTM
        LE_GRU
        LE_RNN
    ctypedef enum le_direction:
        LE_FORWARD
        LE_REVERSE
        LE_BIDIRECTIONAL
    ctypedef struct le_recurrent:
        le_cell cell
        le_direction direction
        size_t hidden, projection
        le_value x, initial_h, initial_c
        const void *w
        const void *r
        const void *b
        const void *p
        const void *proj
        le_activation activations[2][3]
        double clip, cell_clip
        int input_forget, linear_before_reset, empty_zero, peephole_previous
    le_status le_model_recurrent(le_model *, const le_recurrent *, le_value *, le_value *, le_value *, le_error *)
    ctypedef enum le_weight:
        LE_WEIGHT_W
        LE_WEIGHT_R
        LE_WEIGHT_PROJECTION
        LE_WEIGHT_KERNEL
        LE_WEIGHT_TABLE
    le_status le_model_unpack(const le_model *, size_t, le_weight, size_t, size_t, void *, size_t, le_error *)
    le_status le_model_output(le_model *, le_value, le_error *)
    le_status le_model_finish(le_model *, le_error *)
    size_t le_model_state_size(const le_model *)
    size_t le_model_layer_count(const le_model *)
    le_status le_model_state_slot(const le_model *, size_t, size_t *, size_t *, size_t *, size_t *)
    void le_model_visit_weights(const le_model *, void (*)(void *, const void *, size_t) noexcept, void *)
    size_t le_model_workspace_bytes(const le_model *)
    const char *le_model_isa(const le_model *)
    int le_model_causal(const le_model *)
    ctypedef struct le_axis:
        size_t steps
        const int32_t *lengths
    ctypedef enum le_split:
        LE_SPLIT_AUTO
        LE_SPLIT_ROWS
        LE_SPLIT_UNITS
        LE_SPLIT_LAYERS
    ctypedef struct le_run:
        size_t batch
        const le_axis *axes
        const void *const *inputs
        void *const *outputs
        const void *const *state_in
        void *const *state_out
        int threads
        int resumed
        le_split split
        size_t block_steps
        int (*poll)(void *) noexcept nogil
        void *poll_context
    le_status le_model_run_bytes(const le_model *, const le_run *, size_t *, le_error *)
    le_status le_model_run(le_model *, const le_run *, le_error *)
    uint64_t le_fp_default()
    void le_fp_restore(uint64_t)


cdef extern from "le_steps.h" nogil:
    enum:
        LE_STEP_AXES
        LE_STEP_INPUTS
    ctypedef enum le_step_kind:
        LE_STEP_COPY
        LE_STEP_ADD
        LE_STEP_SUBTRACT
        LE_STEP_MULTIPLY
        LE_STEP_DIVIDE
        LE_STEP_SQUARE_ROOT
        LE_STEP_NEGATE
        LE_STEP_RELU
        LE_STEP_PRELU
        LE_STEP_SUM_PAIRWISE
        LE_STEP_SUM_IN_TURN
        LE_STEP_DEPTHWISE
    ctypedef struct le_view:
        void *first
        const void *block
        size_t bytes
        int64_t *strides
    ctypedef struct le_step:
        le_step_kind kind
        int axes
        int64_t *shape
        int *reduced
        size_t itemsize
        le_view out
        le_view *inputs "in"
        int64_t *sizes
        int64_t *kernel
        int64_t *stride
        int64_t *dilation
        int64_t *pad
    ctypedef struct le_steps
    le_status le_steps_new(le_steps **, le_error *)
    void le_steps_free(le_steps *)
    le_status le_steps_add(le_steps *, const le_step *, le_error *)
    le_status le_steps_add_run(le_steps *, le_model *, const le_run *, le_error *)
    le_status le_steps_add_all(le_steps *, const le_steps *, le_error *)
    le_status le_steps_run(const le_steps *, le_error *)
