# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The bindings of the C core: check, one call without the GIL, raise. No arithmetic here."""

cimport cython
from cpython.exc cimport PyErr_Occurred
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

from . import errors
from ._le cimport *

cnp.import_array()

cdef extern from "Python.h":
    int PyErr_CheckSignals()   # sets the exception and returns -1; looked at by hand below

le_threads_init()

_KINDS = {LE_ERROR_ARGUMENT: errors.ArgumentError, LE_ERROR_SHAPE: errors.ArgumentError,
          LE_ERROR_TOKEN: errors.ArgumentError, LE_ERROR_OVERFLOW: errors.ArgumentError,
          LE_ERROR_UNSUPPORTED: errors.UnsupportedError, LE_ERROR_ISA: errors.UnsupportedError,
          LE_ERROR_MEMORY: errors.OutOfMemoryError}

cdef object _raise(le_status status, le_error *error):
    raise _KINDS.get(status, errors.CoreError)(error.message.decode("utf-8", "replace"))


cdef int _poll(void *context) noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef int _reraise() except -1:
    return -1


# ---- the machine ---------------------------------------------------------------------------------------

def isas():
    """[(name, description, supported here)], the best last."""
    return [(le_isa_name(i).decode(), le_isa_description(i).decode(), bool(le_isa_supported(i)))
            for i in range(le_isa_count())]


def has_openmp():
    return bool(le_has_openmp())


def openmp_max_threads():
    return le_openmp_max_threads()


def threadings():
    """The teams of threads in this build, the default first."""
    names, number = [], 0
    while le_threading_name(number) != NULL:
        names.append(le_threading_name(number).decode())
        number += 1
    return names


def threading():
    """The team of threads that runs use."""
    return le_threading().decode()


def set_threading(name):
    """Whether the team of that name is in this build; it is the one of all later runs."""
    return le_threading_set(name.encode()) == LE_OK


def delay_threads(int64_t most):
    """For tests: threads stumble, up to `most` ns at a time; 0: they do not."""
    le_team_delay(most)


# What a call without `threads` uses: `fixed`, or (0) OpenMP's limit at that time and the machine's, whichever is less.
cdef int fixed_threads = 0
cdef int machine_threads = 1


def set_default_threads(int fixed, int machine):
    """`default_threads` from now on: fixed, or for 0 the lesser of OpenMP's limit then and `machine`."""
    global fixed_threads, machine_threads
    fixed_threads, machine_threads = fixed, machine


cpdef int default_threads() noexcept:
    """Threads of a call that does not say how many."""
    return fixed_threads if fixed_threads > 0 else min(le_openmp_max_threads(), machine_threads)


cdef class DefaultMode:
    """A `with` block in the IEEE default of this thread's floating-point mode; the mode before it comes back.

    Blocks like this one and `Turn` are entered and left in C: a signal's handler that raises does so between two lines
    of Python, and must find none between what is taken and what gives it back.
    """

    cdef uint64_t mode

    def __enter__(self):
        self.mode = le_fp_default()

    def __exit__(self, kind, error, traceback):
        le_fp_restore(self.mode)


cdef class Turn:
    """Lets one call at a time into a `with` block; a second one raises `kind(message)`."""

    cdef object kind, message
    cdef bint taken

    def __init__(self, kind, str message):
        self.kind, self.message = kind, message

    cpdef bint take(self):
        """Whether the turn was free, and is now the caller's until `give`. The interpreter's lock is held throughout."""
        if self.taken:
            return False
        self.taken = True
        return True

    cpdef void give(self):
        self.taken = False

    def __enter__(self):
        if not self.take():
            raise self.kind(self.message)

    def __exit__(self, kind, error, traceback):
        self.taken = False


_BLAS_KINDS = {"lp64": 0, "ilp64": 1, "fortran": 2}


def set_blas(uintptr_t sgemm, uintptr_t dgemm, kind):
    """Put cblas_?gemm ("lp64", "ilp64") or Fortran's ?gemm ("fortran"; addresses, 0 for none) into the BLAS slot."""
    if le_blas_set(<void *>sgemm, <void *>dgemm, _BLAS_KINDS[kind]) != LE_OK:
        raise errors.CoreError("set_blas: more providers than a process can have")


def blas_linked():
    """Whether a BLAS was linked at build time."""
    return bool(le_blas_linked())


def blas_product(cnp.ndarray a not None, cnp.ndarray b not None, cnp.ndarray c not None):
    """c = a b through the BLAS slot; all three C-contiguous float32 or float64, [m, k] [k, n] [m, n]."""
    cdef int kind = cnp.PyArray_TYPE(a)
    if kind not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64):
        raise errors.ArgumentTypeError("blas_product takes float32 or float64")
    for array in (a, b, c):
        if cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_TYPE(array) != kind or not cnp.PyArray_ISCARRAY_RO(array):
            raise errors.ArgumentError("blas_product takes three C-contiguous matrices of one dtype")
    cdef size_t m = cnp.PyArray_DIM(a, 0), k = cnp.PyArray_DIM(a, 1), n = cnp.PyArray_DIM(b, 1)
    if cnp.PyArray_DIM(b, 0) != <cnp.npy_intp>k or cnp.PyArray_DIM(c, 0) != <cnp.npy_intp>m \
            or cnp.PyArray_DIM(c, 1) != <cnp.npy_intp>n or not cnp.PyArray_ISWRITEABLE(c):
        raise errors.ArgumentError("blas_product: the shapes do not fit")
    cdef void *pa = cnp.PyArray_DATA(a)
    cdef void *pb = cnp.PyArray_DATA(b)
    cdef void *pc = cnp.PyArray_DATA(c)
    with nogil:
        if kind == cnp.NPY_FLOAT32:
            le_blas_sgemm(m, n, k, <float *>pa, <float *>pb, <float *>pc)
        else:
            le_blas_dgemm(m, n, k, <double *>pa, <double *>pb, <double *>pc)


# ---- building ------------------------------------------------------------------------------------------

_CELLS = {"LSTM": 0, "GRU": 1, "RNN": 2}
_DIRECTIONS = {"forward": 0, "reverse": 1, "bidirectional": 2}
_POOLS = {"last": 0, "mean": 1, "max": 2}
_WEIGHTS = {"W": 0, "R": 1, "projection": 2, "kernel": 3, "table": 4}
_SPLITS = {"auto": LE_SPLIT_AUTO, "rows": LE_SPLIT_ROWS, "units": LE_SPLIT_UNITS, "layers": LE_SPLIT_LAYERS}
cdef enum:
    MAX_PORTS = 64
    MOST = 2147483647      # rows and steps of a run


cdef le_activation _activation(object activation) except *:
    cdef le_activation result
    cdef bytes name = activation.name.encode()
    result.kind = le_activation_find(name)
    if result.kind < 0:
        raise errors.UnsupportedError(f"activation {activation.name!r} is not supported by the C core")
    result.alpha = 0 if activation.alpha is None else activation.alpha
    result.beta = 0 if activation.beta is None else activation.beta
    return result


# ---- numbers of callers, cheaply -------------------------------------------------------------------------

cdef int copy_numbers(int kind, void *to, int given, const void *source, size_t count) noexcept nogil:
    """Write `count` numbers of type `given` as type `kind`; 0 where a token id does not fit, or for other types."""
    cdef size_t i
    cdef uint64_t mode
    if given == kind:
        memcpy(to, source, count * (8 if kind == cnp.NPY_FLOAT64 else 4))
    elif kind == cnp.NPY_FLOAT32 and given == cnp.NPY_FLOAT64:
        mode = le_fp_default()          # a caller that flushes denormals must get the same numbers
        for i in range(count):
            (<float *>to)[i] = <float>(<const double *>source)[i]
        le_fp_restore(mode)
    elif kind == cnp.NPY_FLOAT64 and given == cnp.NPY_FLOAT32:
        mode = le_fp_default()
        for i in range(count):
            (<double *>to)[i] = (<const float *>source)[i]
        le_fp_restore(mode)
    elif kind == cnp.NPY_INT32 and given == cnp.NPY_INT64:
        for i in range(count):
            if (<const int64_t *>source)[i] != <int32_t>(<const int64_t *>source)[i]:
                return 0
            (<int32_t *>to)[i] = <int32_t>(<const int64_t *>source)[i]
    else:
        return 0
    return 1


cdef inline bint dense_array(object x, int rank):
    return cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(x) == rank and cnp.PyArray_ISCARRAY_RO(x)


cdef object as_kind(object x, int kind, bint kept=False):
    """A C-contiguous array in type `kind`: itself, or a copy; None where it has to go the long way.

    Whole numbers are where the core reads and how far: their caller may change them meanwhile, so they are always
    copied, and what the core has checked is what it reads. kept: an array that nobody else can write to.
    """
    if cnp.PyArray_TYPE(x) == kind and (kept or kind != cnp.NPY_INT32):
        return x
    y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), kind, 0)
    return y if copy_numbers(kind, cnp.PyArray_DATA(y), cnp.PyArray_TYPE(x), cnp.PyArray_DATA(x),
                             cnp.PyArray_SIZE(x)) else None


cdef inline bint apart(object a, object b):
    """Whether two contiguous arrays share no memory."""
    cdef char *p = <char *>cnp.PyArray_DATA(a)
    cdef char *q = <char *>cnp.PyArray_DATA(b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(b) <= p


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object)


# Pages that the system has just handed out are cleared first: for an output of 82 MB that took 7 of 57 ms a call. Up
# to 32 MiB the allocator keeps pages itself, most of the time.
cdef enum:
    LEAST_KEPT = 1 << 20
    MOST_KEPT = 1 << 28
    LINE = 64


cdef class OutputMemory:
    """The memory of large outputs, used again when nobody holds the array that it was given to: at most two blocks, for
    the result of one call is often alive during the next."""

    cdef list blocks

    def __cinit__(self):
        self.blocks = []

    cdef object array(self, int rank, cnp.npy_intp *shape, int kind):
        """A C-contiguous array with any content."""
        cdef size_t bytes = 8 if kind == cnp.NPY_FLOAT64 else 4
        cdef int i
        cdef object block = None
        for i in range(rank):
            bytes *= max(shape[i], 0)
            if bytes > MOST_KEPT:
                return cnp.PyArray_EMPTY(rank, shape, kind, 0)
        if bytes < LEAST_KEPT:
            return cnp.PyArray_EMPTY(rank, shape, kind, 0)
        for i in range(len(self.blocks)):
            if free_block(self.blocks, i, bytes):
                block = self.blocks[i]
                break
        if block is None:
            block = self.fresh(bytes + LINE)
        cdef char *data = <char *>cnp.PyArray_DATA(block)
        array = cnp.PyArray_SimpleNewFromData(rank, shape, kind, data + (LINE - <uintptr_t>data % LINE) % LINE)
        cnp.set_array_base(array, block)
        return array

    cdef object fresh(self, cnp.npy_intp bytes):
        cdef int i
        if len(self.blocks) == 2:
            i = 0 if free_block(self.blocks, 0, 0) or not free_block(self.blocks, 1, 0) else 1
            del self.blocks[i]
        block = cnp.PyArray_EMPTY(1, &bytes, cnp.NPY_UINT8, 0)
        self.blocks.append(block)
        return block

    def idle(self):
        """Bytes that no array uses."""
        return sum([cnp.PyArray_NBYTES(self.blocks[i]) for i in range(len(self.blocks)) if free_block(self.blocks, i, 0)])


cdef bint free_block(list blocks, int i, size_t bytes):
    """Whether only the list holds block i, and `bytes` (0: any) fill at least half of it."""
    cdef object block = blocks[i]
    cdef size_t size = cnp.PyArray_NBYTES(block) - LINE
    return Py_REFCNT(block) == 2 and (bytes == 0 or bytes <= size <= 2 * bytes)


cdef class Store:
    """Where models find packed weights of the same arrays, while they are made. It keeps the arrays: their addresses are
    what it knows them by."""

    cdef le_store *store
    cdef list arrays

    def __cinit__(self):
        cdef le_error error
        cdef le_status status = le_store_new(&self.store, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.arrays = []

    def __dealloc__(self):
        le_store_free(self.store)


cdef void note_block(void *context, const void *block, size_t bytes) noexcept with gil:
    (<dict>context)[<uintptr_t>block] = bytes


cdef void drop_packed(void *context, const void *part, size_t bytes) noexcept nogil:
    le_pages_drop(<void *>part, bytes)


cdef class CoreModel:
    """A model of the C core: add values and layers, `finish`, then `run` from any number of threads."""

    cdef le_model *model
    cdef int kind
    cdef int input_count, output_count, axis_count
    cdef int input_is_ids[MAX_PORTS]
    cdef int input_sequence[MAX_PORTS]
    cdef int output_sequence[MAX_PORTS]
    cdef int input_axis[MAX_PORTS]
    cdef int output_axis[MAX_PORTS]
    cdef cnp.npy_intp fixed_batch
    cdef cnp.npy_intp fixed_steps[MAX_PORTS]
    cdef cnp.npy_intp most_steps            # of a quick call, and
    cdef double most_cells                  # rows times (1 + steps of every axis) of one: see `limit`
    cdef size_t input_features[MAX_PORTS]
    cdef size_t output_features[MAX_PORTS]
    cdef readonly str isa
    cdef readonly object dtype
    cdef readonly size_t state_size
    cdef readonly list layers
    cdef list input_names, output_names     # what errors call them
    cdef readonly bint causal
    cdef OutputMemory outputs
    cdef Store store                        # of the layers that are being added, or None

    def __cinit__(self, isa, dtype, gemm, int threads=1):
        cdef le_model_options options
        cdef le_error error
        cdef bytes name = b"" if isa is None else isa.encode()
        options.isa = NULL if isa is None else <const char *>name
        options.dtype = LE_FLOAT64 if dtype == "float64" else LE_FLOAT32
        options.gemm = LE_GEMM_BLAS if gemm == "blas" else LE_GEMM_PACKED
        options.threads = threads
        cdef le_status status = le_model_new(&options, &self.model, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.kind = cnp.NPY_FLOAT64 if dtype == "float64" else cnp.NPY_FLOAT32
        self.dtype = dtype
        self.isa = le_model_isa(self.model).decode()
        self.layers, self.input_names, self.output_names = [], [], []
        self.outputs = OutputMemory()
        self.fixed_batch = -1
        self.most_steps, self.most_cells = MOST, float("inf")
        for i in range(MAX_PORTS):
            self.fixed_steps[i] = -1

    def __dealloc__(self):
        le_model_free(self.model)

    cdef const void *weights(self, object array, tuple shape, str what) except? NULL:
        """The data of a C-contiguous weight array of the model's dtype and exactly this shape (None: NULL)."""
        if array is None:
            return NULL
        if not isinstance(array, cnp.ndarray) or cnp.PyArray_TYPE(array) != self.kind \
                or not cnp.PyArray_ISCARRAY_RO(array) or (<object>array).shape != shape:
            raise errors.ArgumentError(f"{what}: expected a C-contiguous {self.dtype} array of shape {shape}")
        if self.store is not None:
            self.store.arrays.append(array)
        return cnp.PyArray_DATA(array)

    def share(self, Store store):
        """Layers added from here on hold what is packed of the same arrays in this store; None: they hold their own."""
        self.store = store
        le_model_share(self.model, NULL if store is None else store.store)

    def consume(self, bint last):
        """Whether layers added from here on are the last to read their matrices, all of which stand on pages of their own
        (`pages`): the pages of what has been packed are given back at once."""
        if last:
            le_model_consume(self.model, drop_packed, NULL)
        else:
            le_model_consume(self.model, NULL, NULL)

    def input(self, bint sequence, int axis, size_t features, name=None):
        """Add a float input [batch, features] or [batch, time, features]; returns its value. name: for errors."""
        return self._input(sequence, axis, features, False, name)

    def input_ids(self, bint sequence, int axis, name=None):
        """Add an int32 input [batch] or [batch, time]; returns its value. name: for errors."""
        return self._input(sequence, axis, 0, True, name)

    cdef _input(self, bint sequence, int axis, size_t features, bint ids, name):
        cdef le_value out
        cdef le_error error
        cdef le_status status
        cdef le_rank rank = LE_SEQUENCE if sequence else LE_VECTOR
        if self.input_count == MAX_PORTS:
            raise errors.UnsupportedError(f"more than {MAX_PORTS} inputs in one segment")
        if ids:
            status = le_model_input_ids(self.model, rank, axis, &out, &error)
        else:
            status = le_model_input(self.model, rank, axis, features, &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.input_is_ids[self.input_count] = ids
        self.input_sequence[self.input_count] = sequence
        self.input_features[self.input_count] = features
        self.input_axis[self.input_count] = axis
        self.input_names.append(f"input {self.input_count}" if name is None else f"value {name!r}")
        self.input_count += 1
        if sequence and axis == self.axis_count:
            self.axis_count += 1
        return out

    def embedding(self, le_value ids, table):
        """Rows of table [vocabulary, features]."""
        cdef le_value out
        cdef le_error error
        cdef const void *data = self.weights(table, table.shape, "embedding table")
        cdef size_t vocabulary = table.shape[0], features = table.shape[1]
        cdef le_status status
        with nogil:
            status = le_model_embedding(self.model, ids, data, vocabulary, features, &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return out

    def dense(self, le_value x, kernel, bias, activation):
        """activation(x kernel + bias), kernel [features, units]."""
        cdef le_value out
        cdef le_error error
        cdef size_t units = kernel.shape[1]
        cdef const void *k = self.weights(kernel, kernel.shape, "dense kernel")
        cdef const void *b = self.weights(bias, (kernel.shape[1],), "dense bias")
        cdef le_activation function = _activation(activation)
        cdef le_status status
        with nogil:
            status = le_model_dense(self.model, x, k, b, units, function, &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return out

    def activate(self, le_value x, activation):
        cdef le_value out
        cdef le_error error
        cdef le_status status = le_model_activate(self.model, x, _activation(activation), &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return out

    def pool(self, le_value x, kind):
        cdef le_value out
        cdef le_error error
        cdef le_status status = le_model_pool(self.model, x, _POOLS[kind], &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return out

    def recurrent(self, node, le_value x, le_value initial_h, le_value initial_c, bint want_y, bint want_h, bint want_c):
        """Add a graph.Recurrent node; -1 stands for an initial state left out. Returns (y, y_h, y_c), -1 if not wanted."""
        cdef le_recurrent spec
        cdef le_error error
        cdef le_value y = -1, y_h = -1, y_c = -1
        cdef int d, a
        cdef size_t dirs = node.dirs, hidden = node.hidden, gates = node.gates, out = node.output_size
        memset(&spec, 0, sizeof(spec))
        projection, peephole = getattr(node, "projection", None), getattr(node, "P", None)
        spec.cell = _CELLS[node.op]
        spec.direction = _DIRECTIONS[node.direction]
        spec.hidden = hidden
        spec.projection = 0 if projection is None else out
        spec.x, spec.initial_h, spec.initial_c = x, initial_h, initial_c
        spec.w = self.weights(node.W, (dirs, gates * hidden, node.features), f"{node.name}.W")
        spec.r = self.weights(node.R, (dirs, gates * hidden, out), f"{node.name}.R")
        spec.b = self.weights(node.B, (dirs, 2 * gates * hidden), f"{node.name}.B")
        spec.p = self.weights(peephole, (dirs, 3 * hidden), f"{node.name}.P")
        spec.proj = self.weights(projection, (dirs, out, hidden), f"{node.name}.projection")
        for d, functions in enumerate(node.activations):
            for a, function in enumerate(functions):
                spec.activations[d][a] = _activation(function)
        spec.clip = node.clip or 0
        spec.cell_clip = getattr(node, "cell_clip", None) or 0
        spec.input_forget = getattr(node, "input_forget", False)
        spec.linear_before_reset = getattr(node, "linear_before_reset", False)
        spec.empty_zero = node.empty == "zero"
        spec.peephole_previous = getattr(node, "peephole_output", "current") == "previous"
        cdef le_status status
        with nogil:
            status = le_model_recurrent(self.model, &spec, &y if want_y else NULL, &y_h if want_h else NULL,
                                        &y_c if want_c else NULL, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.layers.append((node.name, node.dirs))
        return y, y_h, y_c

    def output(self, le_value value, bint sequence, size_t features, int axis=0, name=None):
        """Make a value an output: a sequence [batch, time, features] on time axis `axis`, or a vector
        [batch, features]. name: for errors."""
        cdef le_error error
        if self.output_count == MAX_PORTS:
            raise errors.UnsupportedError(f"more than {MAX_PORTS} outputs in one segment")
        cdef le_status status = le_model_output(self.model, value, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.output_sequence[self.output_count] = sequence
        self.output_features[self.output_count] = features
        self.output_axis[self.output_count] = axis
        self.output_names.append(f"output {self.output_count}" if name is None else f"value {name!r}")
        self.output_count += 1

    def finish(self):
        cdef le_error error
        cdef le_status status = le_model_finish(self.model, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.store = None
        self.state_size = le_model_state_size(self.model)
        self.causal = le_model_causal(self.model)

    def state_slots(self):
        """[(layer name, dirs, h offset, h size, c offset or None, c size)] in elements of a state row."""
        cdef size_t h_at, h_size, c_at, c_size
        slots = []
        for i, (name, dirs) in enumerate(self.layers):
            le_model_state_slot(self.model, i, &h_at, &h_size, &c_at, &c_size)
            slots.append((name, dirs, h_at, h_size, c_at if c_size else None, c_size))
        return slots

    def memory(self):
        """(bytes of idle workspaces, bytes kept for outputs to come); for weights, which models may share: `blocks`."""
        return le_model_workspace_bytes(self.model), self.outputs.idle()

    def blocks(self):
        """{address: bytes} of the packed weights. Models that share some have these at one address."""
        cdef dict blocks = {}
        le_model_visit_weights(self.model, note_block, <void *>blocks)
        return blocks

    def unpack(self, size_t op, which, size_t first, cnp.ndarray out not None):
        """Write rows of weight `which` ("W", "R", "projection", "kernel", "table") of the layer added as number `op`, as it
        was given, into out [rows, columns], from row `first` of the weight on; its axes before the last count as one."""
        cdef le_error error
        self.check(out, self.kind, "unpack", True)
        if cnp.PyArray_NDIM(out) != 2:
            raise errors.ArgumentError("unpack: expected an array [rows, columns]")
        cdef le_weight weight = _WEIGHTS[which]
        cdef size_t count = cnp.PyArray_DIM(out, 0), size = cnp.PyArray_NBYTES(out)
        cdef void *data = cnp.PyArray_DATA(out)
        cdef le_status status
        with nogil:
            status = le_model_unpack(self.model, op, weight, first, count, data, size, &error)
        if status != LE_OK:
            _raise(status, &error)

    cdef int check(self, object array, int kind, str what, bint writable) except -1:
        if not isinstance(array, cnp.ndarray) or cnp.PyArray_TYPE(array) != kind or not cnp.PyArray_ISCARRAY_RO(array) \
                or (writable and not cnp.PyArray_ISWRITEABLE(array)):
            raise errors.ArgumentTypeError(f"{what}: expected an aligned, C-contiguous array of the model's dtype")
        return 0

    cdef int check_shape(self, object array, str what, tuple expected) except -1:
        """Rank, rows, steps and features as they are now: what was inferred when the model was made is no proof."""
        cdef int i
        cdef bint fits = cnp.PyArray_NDIM(array) == <int>len(expected)
        for i in range(<int>len(expected) if fits else 0):
            fits = fits and cnp.PyArray_DIM(array, i) == <cnp.npy_intp>expected[i]
        if not fits:
            raise errors.ArgumentError(f"{what}: expected shape {list(expected)}, got {list(array.shape)}")
        return 0

    cdef tuple port_shape(self, size_t batch, list steps, bint sequence, int axis, bint ids, size_t features):
        cdef tuple leading = (batch, steps[axis]) if sequence else (batch,)
        return leading if ids else (*leading, features)

    def run(self, size_t batch, list steps, list lengths, list inputs, list outputs, state_in, state_out, int threads,
            split="auto", size_t block_steps=0, bint resumed=False):
        """Run on arrays of `batch` rows and `steps`, one entry per time axis. Whatever the caller has checked, the dtype
        and every size of each array are checked here: memory is read and written by them.

        lengths: an int32 [batch] or None per time axis. inputs, outputs: one array per port (an output may be None).
        state_in, state_out: [batch, state_size] or None. resumed: see le_run. Raises ArgumentError, ArgumentTypeError.
        """
        cdef le_run run
        cdef le_error error
        cdef le_axis axes[MAX_PORTS]
        cdef const void *input_data[MAX_PORTS]
        cdef void *output_data[MAX_PORTS]
        cdef void **rows = NULL
        cdef size_t i, stride
        cdef le_status status
        cdef list held = []             # copies of whole numbers, as long as the core reads them
        if <int>len(inputs) != self.input_count or <int>len(outputs) != self.output_count \
                or <int>len(steps) != self.axis_count or <int>len(lengths) != self.axis_count:
            raise errors.CoreError("run: a port is missing")
        memset(&run, 0, sizeof(run))
        for i in range(len(steps)):
            axes[i].steps = steps[i]
            axes[i].lengths = NULL
            if lengths[i] is not None:
                self.check(lengths[i], cnp.NPY_INT32, "lengths", False)
                self.check_shape(lengths[i], "lengths", (batch,))
                own = as_kind(lengths[i], cnp.NPY_INT32)
                held.append(own)
                axes[i].lengths = <const int32_t *>cnp.PyArray_DATA(own)
        for i in range(len(inputs)):
            self.check(inputs[i], cnp.NPY_INT32 if self.input_is_ids[i] else self.kind, self.input_names[i], False)
            self.check_shape(inputs[i], self.input_names[i], self.port_shape(
                batch, steps, self.input_sequence[i], self.input_axis[i], self.input_is_ids[i], self.input_features[i]))
            own = as_kind(inputs[i], cnp.NPY_INT32) if self.input_is_ids[i] else inputs[i]
            held.append(own)
            input_data[i] = cnp.PyArray_DATA(own)
        for i in range(len(outputs)):
            output_data[i] = NULL
            if outputs[i] is not None:
                self.check(outputs[i], self.kind, self.output_names[i], True)
                self.check_shape(outputs[i], self.output_names[i], self.port_shape(
                    batch, steps, self.output_sequence[i], self.output_axis[i], False, self.output_features[i]))
                output_data[i] = cnp.PyArray_DATA(outputs[i])
        run.batch = batch
        run.axes = axes
        run.inputs = input_data
        run.outputs = output_data
        run.threads = threads
        run.split = _SPLITS[split]
        run.block_steps = block_steps
        run.resumed = resumed
        run.poll = _poll
        if state_in is not None or state_out is not None:
            rows = <void **>malloc((2 * batch + 1) * sizeof(void *))
            if rows == NULL:
                raise errors.OutOfMemoryError("no memory for the state of the run")
            try:
                stride = self.state_size * cnp.PyArray_ITEMSIZE(state_in if state_in is not None else state_out)
                for state, writable in ((state_in, False), (state_out, True)):
                    if state is not None:
                        self.check(state, self.kind, "state", writable)
                        self.check_shape(state, "state", (batch, self.state_size))
                if state_in is not None:
                    for i in range(batch):
                        rows[i] = <char *>cnp.PyArray_DATA(state_in) + i * stride
                    run.state_in = <const void *const *>rows
                if state_out is not None:
                    for i in range(batch):
                        rows[batch + i] = <char *>cnp.PyArray_DATA(state_out) + i * stride
                    run.state_out = rows + batch
                with nogil:
                    status = le_model_run(self.model, &run, &error)
            finally:
                free(rows)
        else:
            with nogil:
                status = le_model_run(self.model, &run, &error)
        if status == LE_ERROR_CANCELLED and PyErr_Occurred():
            _reraise()
        if status != LE_OK:
            _raise(status, &error)

    def limit(self, size_t most_steps, double most_cells):
        """What calls that go no long way may have at most: steps, and rows times (1 + the steps of every axis). More
        is not refused, but left to who looks closer."""
        self.most_steps, self.most_cells = min(most_steps, MOST), most_cells

    cdef bint within(self, cnp.npy_intp batch, cnp.npy_intp *steps, int axes) noexcept:
        cdef double each = 1
        cdef int i
        for i in range(axes):
            if steps[i] > self.most_steps:
                return False
            each += steps[i]
        return batch * each <= self.most_cells

    def run_bytes(self, size_t batch, list steps, int threads, bint lengths=False, bint states=False):
        """Bytes that `run` would take beside its arrays, for all outputs."""
        cdef le_run run
        cdef le_error error
        cdef le_axis axes[MAX_PORTS]
        cdef void *arrays[MAX_PORTS]        # not looked at, only whether they are null
        cdef size_t bytes = 0, i
        if <int>len(steps) != self.axis_count:
            raise errors.CoreError("run_bytes: an axis is missing")
        memset(&run, 0, sizeof(run))
        for i in range(MAX_PORTS):
            arrays[i] = <void *>&run
        for i in range(len(steps)):
            axes[i].steps = steps[i]
            axes[i].lengths = <const int32_t *>arrays if lengths else NULL
        run.batch = batch
        run.axes = axes
        run.inputs = <const void *const *>arrays
        run.outputs = arrays
        run.state_in = <const void *const *>arrays if states else NULL
        run.threads = threads
        cdef le_status status = le_model_run_bytes(self.model, &run, &bytes, &error)
        if status != LE_OK:
            _raise(status, &error)
        return bytes

    def fix_sizes(self, batch, list steps):
        """What `quick` and `quick_many` insist on: a batch, and the steps of each axis; None for any."""
        self.fixed_batch = -1 if batch is None else batch
        for i, count in enumerate(steps):
            self.fixed_steps[i] = -1 if count is None else count

    cdef object input_array(self, int i, object x, cnp.npy_intp *batch, cnp.npy_intp *steps, bint kept=False):
        """Input i as the core reads it, None where it has to go the long way. batch and steps are set, or checked
        where they are set already. kept: see as_kind."""
        cdef int ids = self.input_is_ids[i], sequence = self.input_sequence[i]
        cdef int rank = 1 + sequence + (not ids)
        if not dense_array(x, rank) \
                or (not ids and cnp.PyArray_DIM(x, rank - 1) != <cnp.npy_intp>self.input_features[i]):
            return None
        if batch[0] < 0:
            batch[0] = cnp.PyArray_DIM(x, 0)
        if batch[0] != cnp.PyArray_DIM(x, 0) or batch[0] > MOST:
            return None
        if sequence:
            steps += self.input_axis[i]
            if steps[0] < 0:
                steps[0] = cnp.PyArray_DIM(x, 1)
            if steps[0] != cnp.PyArray_DIM(x, 1) or steps[0] > MOST:
                return None
        return as_kind(x, cnp.NPY_INT32 if ids else self.kind, kept)

    cdef object output_array(self, int i, cnp.npy_intp batch, cnp.npy_intp steps):
        cdef cnp.npy_intp shape[3]
        shape[0] = batch
        shape[1] = steps if self.output_sequence[i] else <cnp.npy_intp>self.output_features[i]
        shape[2] = self.output_features[i]
        return self.outputs.array(3 if self.output_sequence[i] else 2, shape, self.kind)

    def empty(self, tuple shape):
        """An array for an output, with any content."""
        cdef cnp.npy_intp sizes[3]
        cdef int i
        for i in range(len(shape)):
            sizes[i] = shape[i]
        return self.outputs.array(len(shape), sizes, self.kind)

    cdef bint takes(self, object out, object x, cnp.npy_intp batch, cnp.npy_intp steps):
        """Whether the only output can be written to `out` as it is."""
        cdef int sequence = self.output_sequence[0]
        return dense_array(out, 2 + sequence) and cnp.PyArray_TYPE(out) == self.kind and cnp.PyArray_ISWRITEABLE(out) \
            and cnp.PyArray_DIM(out, 0) == batch and (not sequence or cnp.PyArray_DIM(out, 1) == steps) \
            and cnp.PyArray_DIM(out, 1 + sequence) == <cnp.npy_intp>self.output_features[0] and apart(out, x)

    cdef int go(self, le_run *run) except -1:
        cdef le_error error
        cdef le_status status
        with nogil:
            status = le_model_run(self.model, run, &error)
        if status == LE_ERROR_CANCELLED and PyErr_Occurred():
            _reraise()
        if status != LE_OK:
            _raise(status, &error)
        return 0

    def quick(self, x, int threads, out=None, lengths=None):
        """One input to one output with no more than a cast: x a C-contiguous array of the input's shape, `out` of the
        output's shape and dtype, lengths [batch] whole numbers; threads as many as the default for 0. None where the
        caller has to take the long way."""
        cdef le_run run
        cdef le_axis axis
        cdef cnp.npy_intp batch = self.fixed_batch, steps = self.fixed_steps[0], i
        cdef const void *data
        cdef void *target
        x = self.input_array(0, x, &batch, &steps)
        if x is None or not self.within(batch, &steps, self.axis_count):
            return None
        axis.lengths = NULL
        if lengths is not None:
            if not dense_array(lengths, 1) or cnp.PyArray_DIM(lengths, 0) != batch:
                return None
            lengths = as_kind(lengths, cnp.NPY_INT32)
            if lengths is None:
                return None
            axis.lengths = <const int32_t *>cnp.PyArray_DATA(lengths)
            for i in range(batch):
                if axis.lengths[i] < 0 or axis.lengths[i] > steps:
                    return None
        if out is None:
            out = self.output_array(0, batch, steps)
        elif not self.takes(out, x, batch, steps):
            return None
        axis.steps = max(steps, 0)
        data = cnp.PyArray_DATA(x)
        target = cnp.PyArray_DATA(out)
        memset(&run, 0, sizeof(run))
        run.batch = batch
        run.axes = &axis
        run.inputs = &data
        run.outputs = &target
        run.threads = threads or default_threads()
        run.poll = _poll
        self.go(&run)
        return out

    def quick_many(self, list arrays, int threads):
        """The outputs for inputs in order, each as `quick` takes one; None where the caller has to take the long way."""
        cdef CoreCall call = self.prepared(arrays, threads, None, False)
        if call is None:
            return None
        self.go(&call.run)
        return call.outputs

    def call(self, list arrays, int threads, out=None):
        """A run that can be made again when what is in these inputs has changed, its outputs new arrays, or `out` where
        there is one of one input; None where an array is not what the core itself reads or writes. Token ids are read
        where they stand: the array must be one that nobody else can write to."""
        cdef CoreCall call = self.prepared(arrays, threads, out, True)
        if call is None:
            return None
        for given, read in zip(arrays, call.inputs):
            if given is not read:
                return None
        return call

    cdef CoreCall prepared(self, list arrays, int threads, out, bint kept):
        """A run on these inputs, those that need it cast; None where one needs more. kept: see as_kind."""
        cdef CoreCall call = CoreCall.__new__(CoreCall)
        cdef cnp.npy_intp batch = self.fixed_batch
        cdef cnp.npy_intp steps[MAX_PORTS]
        cdef int i
        if <int>len(arrays) != self.input_count:
            raise errors.CoreError("run: a port is missing")
        memcpy(steps, self.fixed_steps, sizeof(steps))
        call.model, call.inputs, call.outputs = self, [], []
        for i in range(self.input_count):
            x = self.input_array(i, arrays[i], &batch, steps, kept)
            if x is None:
                return None
            call.inputs.append(x)
            call.input_data[i] = cnp.PyArray_DATA(x)
        if not self.within(batch, steps, self.axis_count):
            return None
        for i in range(self.axis_count):
            call.axes[i].steps = max(steps[i], 0)
            call.axes[i].lengths = NULL
        for i in range(self.output_count):
            if out is None:
                y = self.output_array(i, batch, steps[self.output_axis[i]])
            elif self.input_count == self.output_count == 1 and self.takes(out, call.inputs[0], batch, steps[0]):
                y = out
            else:
                return None
            call.outputs.append(y)
            call.output_data[i] = cnp.PyArray_DATA(y)
        call.run.batch = batch
        call.run.axes = call.axes
        call.run.inputs = call.input_data
        call.run.outputs = call.output_data
        call.run.threads = threads
        call.run.poll = _poll
        return call

    def pad(self, list items):
        """(the sequences in one array with zeros behind them, their lengths), or None where one is not a C-contiguous
        array of the only input's features, or of numbers that need more than a cast."""
        cdef int ids = self.input_is_ids[0], kind = cnp.NPY_INT32 if ids else self.kind
        cdef cnp.npy_intp shape[3]
        cdef cnp.npy_intp longest = 0, i
        cdef size_t row, width = 1 if ids else self.input_features[0]
        if not self.input_sequence[0] or not items:
            return None
        for x in items:
            if not dense_array(x, 1 if ids else 2) or (not ids and cnp.PyArray_DIM(x, 1) != <cnp.npy_intp>width) \
                    or cnp.PyArray_DIM(x, 0) > MOST:
                return None
            longest = max(longest, cnp.PyArray_DIM(x, 0))
        if not self.within(len(items), &longest, 1):
            return None
        shape[0], shape[1], shape[2] = len(items), longest, width
        padded = cnp.PyArray_ZEROS(2 if ids else 3, shape, kind, 0)
        lengths = cnp.PyArray_EMPTY(1, shape, cnp.NPY_INT32, 0)
        row = longest * width * cnp.PyArray_ITEMSIZE(padded)
        for i, x in enumerate(items):
            (<int32_t *>cnp.PyArray_DATA(lengths))[i] = <int32_t>cnp.PyArray_DIM(x, 0)
            if not copy_numbers(kind, <char *>cnp.PyArray_DATA(padded) + i * row, cnp.PyArray_TYPE(x),
                                cnp.PyArray_DATA(x), cnp.PyArray_SIZE(x)):
                return None
        return padded, lengths


cdef class CoreCall:
    """A run on arrays that stay where they are; calling it makes it once more."""

    cdef CoreModel model
    cdef readonly list inputs, outputs
    cdef le_run run
    cdef le_axis axes[MAX_PORTS]
    cdef const void *input_data[MAX_PORTS]
    cdef void *output_data[MAX_PORTS]

    def __call__(self):
        self.model.go(&self.run)


cdef class CoreStream:
    """The quick way through one step: the state stays in one array that C reads and writes."""

    cdef CoreModel owner
    cdef object rows
    cdef Turn turn
    cdef le_run run
    cdef void **row_pointers
    cdef cnp.npy_intp batch
    cdef int threads        # 0: the default of the time of each call

    def __cinit__(self, CoreModel owner not None, size_t batch, rows, int threads, Turn turn not None):
        cdef size_t i
        self.owner, self.rows, self.turn, self.batch, self.threads = owner, rows, turn, batch, threads
        memset(&self.run, 0, sizeof(self.run))
        self.run.batch = batch
        if rows is not None:
            owner.check(rows, owner.kind, "state", True)
            owner.check_shape(rows, "state", (batch, owner.state_size))
            self.row_pointers = <void **>malloc(batch * sizeof(void *))
            if self.row_pointers == NULL:
                raise errors.OutOfMemoryError("no memory for a stream")
            for i in range(batch):
                self.row_pointers[i] = <char *>cnp.PyArray_DATA(rows) + i * owner.state_size * cnp.PyArray_ITEMSIZE(rows)
            self.run.state_in = <const void *const *>self.row_pointers
            self.run.state_out = self.row_pointers

    def __dealloc__(self):
        free(self.row_pointers)

    def step(self, x):
        """x [batch, features], or [batch] ids; None if it needs more than a cast, or another thread is in the stream
        (the long way says what is wrong)."""
        cdef CoreModel owner = self.owner
        cdef int ids = owner.input_is_ids[0]
        if not dense_array(x, 1 if ids else 2) \
                or (not ids and cnp.PyArray_DIM(x, 1) != <cnp.npy_intp>owner.input_features[0]):
            return None
        return self.steps(x, 1, 2)

    def chunk(self, x):
        """x [batch, steps, features], or [batch, steps] ids, for a model whose output is a sequence; None as in `step`."""
        cdef CoreModel owner = self.owner
        cdef int ids = owner.input_is_ids[0]
        if not dense_array(x, 2 if ids else 3) or not owner.output_sequence[0] or not owner.input_sequence[0] \
                or (not ids and cnp.PyArray_DIM(x, 2) != <cnp.npy_intp>owner.input_features[0]) \
                or cnp.PyArray_DIM(x, 1) > MOST:
            return None
        return self.steps(x, cnp.PyArray_DIM(x, 1), 3)

    cdef object steps(self, object x, cnp.npy_intp count, int rank):
        """The output of rank 2 or 3 for `count` steps."""
        cdef CoreModel owner = self.owner
        cdef le_run run = self.run
        cdef le_axis axis
        cdef cnp.npy_intp shape[3]
        cdef const void *data
        cdef void *target
        if cnp.PyArray_DIM(x, 0) != self.batch or not owner.within(self.batch, &count, 1):
            return None
        x = as_kind(x, cnp.NPY_INT32 if owner.input_is_ids[0] else owner.kind)
        if x is None:
            return None
        shape[0] = self.batch
        shape[1] = count if rank == 3 else <cnp.npy_intp>owner.output_features[0]
        shape[2] = owner.output_features[0]
        y = owner.outputs.array(rank, shape, owner.kind)
        if not self.turn.take():
            return None
        try:
            axis.steps = count
            axis.lengths = NULL
            data = cnp.PyArray_DATA(x)
            target = cnp.PyArray_DATA(y)
            run.axes = &axis
            run.inputs = &data
            run.outputs = &target
            run.threads = self.threads or default_threads()
            run.poll = _poll
            owner.go(&run)
        finally:
            self.turn.give()
        return y
