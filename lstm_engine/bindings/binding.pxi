"""One run as C takes it: its sizes, where it reads and where it writes.

Every way to run goes through here, and this is the one place that says whether an array fits: `fits` for those who take
another way if it does not, `misfit` for those who say why.
"""

cdef enum:
    MAX_PORTS = 64
    MOST = 2147483647      # rows and steps of a run


cdef struct Port:
    # An input or output: [batch, features] or, on a time axis, [batch, steps, features]; ids have no features.
    bint ids, sequence
    int axis
    cnp.npy_intp features


cdef struct Sizes:
    cnp.npy_intp batch                  # -1: what the first array brings
    cnp.npy_intp steps[MAX_PORTS]       # of each time axis, likewise


cdef struct Binding:
    Sizes sizes
    le_run run
    le_axis axes[MAX_PORTS]
    const void *inputs[MAX_PORTS]
    void *outputs[MAX_PORTS]


cdef inline void begin(CoreModel model, Binding *b, int threads) noexcept:
    """A run without lengths and states on at most so many threads, 0: as many as the default. Its sizes come next.

    Every field of le_run that `go` does not set is set here, one by one: clearing it whole takes as long as the checks
    of a small call."""
    cdef int i
    b.run.threads = threads or default_threads()
    b.run.state_in, b.run.state_out, b.run.resumed = NULL, NULL, False
    b.run.split, b.run.block_steps = LE_SPLIT_AUTO, 0
    b.run.poll, b.run.poll_context = _poll, NULL
    for i in range(model.axis_count):
        b.axes[i].lengths = NULL


cdef inline void of_any_sizes(CoreModel model, Binding *b) noexcept:
    cdef int i
    b.sizes.batch = -1
    for i in range(model.axis_count):
        b.sizes.steps[i] = -1


cdef inline bint agrees(cnp.npy_intp *known, cnp.npy_intp size) noexcept:
    if known[0] < 0:
        known[0] = size
    return known[0] == size and size <= MOST


cdef inline bint fits(Binding *b, const Port *port, object x, bint stepped) noexcept:
    """Whether x is a C-contiguous array of the port's rank, rows, steps and features. Rows and steps that nothing has
    said before are those of x. stepped: x is one step, without a time axis."""
    cdef bint sequence = port.sequence and not stepped
    cdef int rank = 1 + sequence + (not port.ids)
    if not dense_array(x, rank):
        return False
    cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(<cnp.ndarray>x)
    if not port.ids and shape[rank - 1] != port.features:
        return False
    return agrees(&b.sizes.batch, shape[0]) and (not sequence or agrees(&b.sizes.steps[port.axis], shape[1]))


cdef int misfit(CoreModel model, Binding *b, const Port *port, object x, str what, bint writable) except -1:
    """Raise what is wrong with an array that was refused: ArgumentTypeError, or ArgumentError for its shape."""
    cdef int kind = cnp.NPY_INT32 if port.ids else model.kind
    if not isinstance(x, cnp.ndarray) or cnp.PyArray_TYPE(x) != kind or not cnp.PyArray_ISCARRAY_RO(x) \
            or (writable and not cnp.PyArray_ISWRITEABLE(x)):
        raise errors.ArgumentTypeError(f"{what}: expected an aligned, C-contiguous array of the model's dtype")
    expected = ["rows" if b.sizes.batch < 0 else b.sizes.batch]
    if port.sequence:
        expected.append("steps" if b.sizes.steps[port.axis] < 0 else b.sizes.steps[port.axis])
    if not port.ids:
        expected.append(port.features)
    raise errors.ArgumentError(f"{what}: expected shape [{', '.join(map(str, expected))}], got {list(x.shape)}")


cdef inline object reads(CoreModel model, Binding *b, int i, object x, bint kept, bint stepped):
    """Input i as C reads it, which must live as long as the run; None where it needs more than a cast. kept: see
    as_kind."""
    cdef const Port *port = &model.inputs[i]
    if not fits(b, port, x, stepped):
        return None
    read = as_kind(x, cnp.NPY_INT32 if port.ids else model.kind, kept)
    if read is not None:
        b.inputs[i] = cnp.PyArray_DATA(<cnp.ndarray>read)
    return read


cdef inline bint writes(CoreModel model, Binding *b, int i, object out) noexcept:
    """Whether output i can be written to `out` as it is, and then will be. Inputs come first: they say the sizes."""
    if not fits(b, &model.outputs[i], out, False) or cnp.PyArray_TYPE(<cnp.ndarray>out) != model.kind \
            or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out):
        return False
    b.outputs[i] = cnp.PyArray_DATA(<cnp.ndarray>out)
    return True


cdef inline object output_array(CoreModel model, Binding *b, int i, bint stepped):
    """A new array for output i."""
    cdef const Port *port = &model.outputs[i]
    cdef bint sequence = port.sequence and not stepped
    cdef cnp.npy_intp shape[3]
    shape[0] = b.sizes.batch
    shape[1] = max(b.sizes.steps[port.axis], 0) if sequence else port.features
    shape[2] = port.features
    out = model.memory_of_outputs.array(2 + sequence, shape, model.kind)
    b.outputs[i] = cnp.PyArray_DATA(<cnp.ndarray>out)
    return out


cdef inline bint within(CoreModel model, Binding *b) noexcept:
    """Whether the run is far from its limits; see `CoreModel.limit`."""
    cdef double each = 1
    cdef int i
    for i in range(model.axis_count):
        if b.sizes.steps[i] > model.most_steps:
            return False
        each += b.sizes.steps[i]
    return b.sizes.batch * each <= model.most_cells


cdef inline void complete(CoreModel model, Binding *b) noexcept:
    """The run of a binding as C reads it: all that is bound is put in its place."""
    cdef int i
    for i in range(model.axis_count):
        b.axes[i].steps = max(b.sizes.steps[i], 0)
    b.run.batch = b.sizes.batch
    b.run.axes = b.axes
    b.run.inputs = b.inputs
    b.run.outputs = b.outputs


cdef inline int answer(le_status status, le_error *error) except -1:
    """Raise what the core says of a run, and what a signal's handler did meanwhile."""
    if status == LE_ERROR_CANCELLED and PyErr_Occurred():
        _reraise()
    if status != LE_OK:
        _raise(status, error)
    return 0


cdef int go(CoreModel model, Binding *b) except -1:
    """Run without the interpreter's lock."""
    cdef le_error error
    cdef le_status status
    complete(model, b)
    with nogil:
        status = le_model_run(model.model, &b.run, &error)
    return answer(status, &error)
