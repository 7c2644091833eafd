"""The ways to call a model: on one input at once, on several, on arrays that stay, step by step, and with every option.

All of them bind (binding.pxi) and go. Those that answer None leave what did not fit to a caller who knows more of it.
"""

cdef dict _SPLITS = {"auto": LE_SPLIT_AUTO, "rows": LE_SPLIT_ROWS, "units": LE_SPLIT_UNITS, "layers": LE_SPLIT_LAYERS}


cdef object run_one(CoreModel model, object x, int threads, object out, object lengths):
    """See CoreModel.try_one."""
    cdef Binding b
    cdef cnp.npy_intp i
    begin(model, &b, threads)
    b.sizes.batch, b.sizes.steps[0] = model.fixed.batch, model.fixed.steps[0]
    read = reads(model, &b, 0, x, False, False)
    if read is None or not within(model, &b):
        return None
    if lengths is not None:
        if model.axis_count == 0 or not dense_array(lengths, 1) or cnp.PyArray_DIM(lengths, 0) != b.sizes.batch:
            return None
        lengths = as_kind(lengths, cnp.NPY_INT32)
        if lengths is None:
            return None
        b.axes[0].lengths = <const int32_t *>cnp.PyArray_DATA(lengths)
        for i in range(b.sizes.batch):
            if b.axes[0].lengths[i] < 0 or b.axes[0].lengths[i] > b.sizes.steps[0]:
                return None
    if out is None:
        out = output_array(model, &b, 0, False)
    elif not writes(model, &b, 0, out) or not apart(out, read):
        return None
    go(model, &b)
    return out


cdef list run_many(CoreModel model, list arrays, int threads):
    """See CoreModel.try_run."""
    cdef Binding b
    cdef int i
    cdef list held = []
    begin(model, &b, threads)
    b.sizes = model.fixed
    if not reads_all(model, &b, arrays, held, False):
        return None
    outputs = [output_array(model, &b, i, False) for i in range(model.output_count)]
    go(model, &b)
    return outputs


cdef bint reads_all(CoreModel model, Binding *b, list arrays, list held, bint kept) except -1:
    """Whether all inputs can be read, within the limits; `held` gets the arrays that must live as long as the run."""
    cdef int i
    if <int>len(arrays) != model.input_count:
        raise errors.CoreError("run: a port is missing")
    for i in range(model.input_count):
        x = reads(model, b, i, arrays[i], kept, False)
        if x is None:
            return False
        held.append(x)
    return within(model, b)


cdef class BoundCall:
    """A run on arrays that stay where they are; calling it makes it once more."""

    cdef CoreModel model
    cdef readonly list inputs, outputs
    cdef Binding binding

    def __call__(self):
        go(self.model, &self.binding)


cdef BoundCall bound_call(CoreModel model, list arrays, int threads, object out):
    """See CoreModel.bind."""
    cdef BoundCall call = BoundCall.__new__(BoundCall)
    cdef Binding *b = &call.binding
    cdef int i
    call.model, call.inputs, call.outputs = model, [], []
    begin(model, b, threads)
    b.sizes = model.fixed
    if not reads_all(model, b, arrays, call.inputs, True):
        return None
    for given, read in zip(arrays, call.inputs):
        if given is not read:
            return None
    if out is not None:
        if model.input_count != 1 or model.output_count != 1 or not writes(model, b, 0, out) \
                or not apart(out, call.inputs[0]):
            return None
        call.outputs.append(out)
        return call
    for i in range(model.output_count):
        call.outputs.append(output_array(model, b, i, False))
    return call


cdef inline object as_plain(object x):
    """x itself, or for a subclass of ndarray (a memory map) its memory as an array."""
    if isinstance(x, cnp.ndarray) and not cnp.PyArray_CheckExact(x):
        return x.view(cnp.ndarray)
    return x


cdef int check_rows(CoreModel model, object array, str what, Py_ssize_t batch, Py_ssize_t size,
                    bint writable) except -1:
    """Whether `array` is [batch, size] in the model's dtype. Raises ArgumentError, ArgumentTypeError."""
    cdef Binding b
    cdef Port port = Port(False, False, 0, size)
    b.sizes.batch = batch
    array = as_plain(array)
    if not fits(&b, &port, array, False) or cnp.PyArray_TYPE(array) != model.kind \
            or (writable and not cnp.PyArray_ISWRITEABLE(array)):
        misfit(model, &b, &port, array, what, writable)
    return 0


cdef int point_at_rows(void **rows, object array) except -1:
    """The address of each row of a [batch, size] array."""
    cdef cnp.npy_intp i
    for i in range(cnp.PyArray_DIM(array, 0)):
        rows[i] = <char *>cnp.PyArray_DATA(array) + i * cnp.PyArray_STRIDE(array, 0)
    return 0


cdef list run_checked(CoreModel model, list inputs, int threads, list lengths, list outputs, object state_in,
                      object state_out, object split, size_t block_steps, bint resumed):
    """See CoreModel.run."""
    cdef Binding b
    cdef int i
    cdef Port one_a_row = Port(True, False, 0, 0)       # whole numbers [batch]
    cdef list held = [], made = []                      # what the core reads, as long as it does
    cdef void **rows = NULL
    if <int>len(inputs) != model.input_count or (outputs is not None and <int>len(outputs) != model.output_count) \
            or (lengths is not None and <int>len(lengths) != model.axis_count):
        raise errors.CoreError("run: a port is missing")
    begin(model, &b, threads)
    of_any_sizes(model, &b)
    for i in range(model.input_count):
        x = as_plain(inputs[i])
        own = reads(model, &b, i, x, False, False)
        if own is None or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(own):
            misfit(model, &b, &model.inputs[i], x, model.input_names[i], False)
        held.append(own)
    for i in range(model.axis_count if lengths is not None else 0):
        own = as_plain(lengths[i])
        if own is not None:
            if not fits(&b, &one_a_row, own, False) or cnp.PyArray_TYPE(own) != cnp.NPY_INT32:
                misfit(model, &b, &one_a_row, own, "lengths", False)
            own = as_kind(own, cnp.NPY_INT32)
            held.append(own)
            b.axes[i].lengths = <const int32_t *>cnp.PyArray_DATA(own)
    for i in range(model.output_count):
        out = None if outputs is None else outputs[i]
        if out is None:
            out = output_array(model, &b, i, False)
        elif not writes(model, &b, i, as_plain(out)):
            misfit(model, &b, &model.outputs[i], out, model.output_names[i], True)
        made.append(out)
    b.run.split = <le_split><int>_SPLITS[split]
    b.run.block_steps = block_steps
    b.run.resumed = resumed
    if state_in is None and state_out is None:
        go(model, &b)
        return made
    if state_in is not None:
        check_rows(model, state_in, "state", b.sizes.batch, model.state_size, False)
    if state_out is not None:
        check_rows(model, state_out, "state", b.sizes.batch, model.state_size, True)
    rows = <void **>malloc((2 * b.sizes.batch + 1) * sizeof(void *))
    if rows == NULL:
        raise errors.OutOfMemoryError("no memory for the state of the run")
    try:
        if state_in is not None:
            point_at_rows(rows, state_in)
            b.run.state_in = <const void *const *>rows
        if state_out is not None:
            point_at_rows(rows + b.sizes.batch, state_out)
            b.run.state_out = rows + b.sizes.batch
        go(model, &b)
    finally:
        free(rows)
    return made


cdef tuple padded_of(CoreModel model, list items):
    """See CoreModel.pad."""
    cdef const Port *port = &model.inputs[0]
    cdef bint ids = port.ids
    cdef int kind = cnp.NPY_INT32 if ids else model.kind
    cdef Binding b
    cdef cnp.npy_intp shape[3]
    cdef cnp.npy_intp longest = 0, i
    cdef cnp.npy_intp row, width = 1 if ids else port.features
    if not port.sequence or not items:
        return None
    for x in items:
        if not dense_array(x, 1 if ids else 2) or (not ids and cnp.PyArray_DIM(x, 1) != width) \
                or cnp.PyArray_DIM(x, 0) > MOST:
            return None
        longest = max(longest, cnp.PyArray_DIM(x, 0))
    b.sizes.batch, b.sizes.steps[0] = len(items), longest
    if not within(model, &b):
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


cdef class CoreStream:
    """Runs of one input and one output whose state stays in one array that C reads and writes."""

    cdef CoreModel owner
    cdef object rows
    cdef TryLock lock
    cdef void **row_pointers
    cdef cnp.npy_intp batch
    cdef int threads        # 0: the default of the time of each call

    def __cinit__(self, CoreModel owner not None, size_t batch, rows, int threads, TryLock lock not None):
        self.owner, self.rows, self.lock, self.batch, self.threads = owner, rows, lock, batch, threads
        if rows is not None:
            check_rows(owner, rows, "state", batch, owner.state_size, True)
            self.row_pointers = <void **>malloc(batch * sizeof(void *))
            if self.row_pointers == NULL:
                raise errors.OutOfMemoryError("no memory for a stream")
            point_at_rows(self.row_pointers, rows)

    def __dealloc__(self):
        free(self.row_pointers)

    def step(self, x):
        """x [batch, features], or [batch] ids; None if it needs more than a cast, or another thread is in the stream
        (the long way says what is wrong)."""
        return self.run(x, True)

    def chunk(self, x):
        """x [batch, steps, features], or [batch, steps] ids, for a model whose output is a sequence; None as `step`."""
        if not self.owner.inputs[0].sequence or not self.owner.outputs[0].sequence:
            return None
        return self.run(x, False)

    cdef object run(self, object x, bint stepped):
        cdef Binding b
        cdef CoreModel owner = self.owner
        begin(owner, &b, self.threads)
        b.sizes.batch, b.sizes.steps[0] = self.batch, 1 if stepped else -1
        read = reads(owner, &b, 0, x, False, stepped)
        if read is None or not within(owner, &b):
            return None
        y = output_array(owner, &b, 0, stepped)
        b.run.state_in = <const void *const *>self.row_pointers
        b.run.state_out = self.row_pointers
        if not self.lock.acquire():
            return None
        try:
            go(owner, &b)
        finally:
            self.lock.release()
        return y
