"""Lists of steps on arrays that stay where they are (csrc/include/le_steps.h): built from arrays, run in one call."""

cdef dict _STEPS = {"copy": LE_STEP_COPY, "add": LE_STEP_ADD, "subtract": LE_STEP_SUBTRACT,
                    "multiply": LE_STEP_MULTIPLY, "divide": LE_STEP_DIVIDE, "square root": LE_STEP_SQUARE_ROOT,
                    "negate": LE_STEP_NEGATE, "relu": LE_STEP_RELU, "prelu": LE_STEP_PRELU,
                    "sum pairwise": LE_STEP_SUM_PAIRWISE, "sum in turn": LE_STEP_SUM_IN_TURN,
                    "depthwise": LE_STEP_DEPTHWISE}


cdef int show(le_view *view, object array, int axes) except -1:
    """The view of an array whose axes are the last of `axes`, broadcast along those before them and those of one
    element. Its block is all of the array that owns the memory."""
    cdef object owner = array, base = array.base
    cdef cnp.npy_intp before = 0, after, reach
    cdef int i, rank = cnp.PyArray_NDIM(array), missing = axes - rank
    while isinstance(base, cnp.ndarray):
        owner, base = base, base.base
    after = cnp.PyArray_ITEMSIZE(owner)
    for i in range(cnp.PyArray_NDIM(owner)):
        if cnp.PyArray_DIM(owner, i) == 0:
            after = 0
            break
        reach = (cnp.PyArray_DIM(owner, i) - 1) * cnp.PyArray_STRIDE(owner, i)
        if reach < 0:
            before -= reach
        else:
            after += reach
    view.first = cnp.PyArray_DATA(array)
    view.block = <char *>cnp.PyArray_DATA(owner) - before
    view.bytes = before + after
    for i in range(axes):
        view.strides[i] = 0 if i < missing or cnp.PyArray_DIM(array, i - missing) == 1 \
            else cnp.PyArray_STRIDE(array, i - missing)
    return 0


cdef bint broadcasts(object array, object whole):
    """Whether an array can be read with the shape of another."""
    cdef int i, missing = cnp.PyArray_NDIM(whole) - cnp.PyArray_NDIM(array)
    if missing < 0:
        return False
    for i in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, i) not in (1, cnp.PyArray_DIM(whole, i + missing)):
            return False
    return True


cdef bint of_type(object array, int kind, bint written):
    """Whether an array has elements that C reads as they are, and may write to if asked."""
    return cnp.PyArray_CheckExact(array) and cnp.PyArray_TYPE(array) == kind \
        and (cnp.PyArray_ISBEHAVED(array) if written else cnp.PyArray_ISBEHAVED_RO(array))


@cython.final
cdef class Steps:
    """Steps and runs of models, one after the other; calling it runs them all. What it reads and writes it holds.

    What adds a step answers False for arrays that no step takes.
    """

    cdef le_steps *steps
    cdef list held
    cdef readonly int count

    def __cinit__(self):
        cdef le_error error
        cdef le_status status = le_steps_new(&self.steps, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.held = []

    def __dealloc__(self):
        le_steps_free(self.steps)

    cdef bint taken(self, le_step *step, tuple arrays) except -1:
        cdef le_error error
        cdef le_status status = le_steps_add(self.steps, step, &error)
        if status == LE_ERROR_UNSUPPORTED:
            return False
        if status != LE_OK:
            _raise(status, &error)
        self.held.append(arrays)
        self.count += 1
        return True

    def add(self, str kind, out, *inputs):
        """A step element by element, or a copy: what inputs make, broadcast to the shape of `out`."""
        cdef le_step step
        cdef int i, number = cnp.NPY_FLOAT32
        memset(&step, 0, sizeof(step))
        if not isinstance(out, cnp.ndarray) or cnp.PyArray_NDIM(out) > LE_STEP_AXES or len(inputs) > LE_STEP_INPUTS:
            return False
        step.kind, step.itemsize = _STEPS[kind], cnp.PyArray_ITEMSIZE(out)
        if step.kind == LE_STEP_COPY:
            number = cnp.PyArray_TYPE(out)
            if out.dtype.kind not in "fiub" or step.itemsize not in (1, 4, 8):
                return False
        if not of_type(out, number, True):
            return False
        for i in range(<int>len(inputs)):
            if not of_type(inputs[i], number, False) or not broadcasts(inputs[i], out):
                return False
            show(&step.inputs[i], inputs[i], cnp.PyArray_NDIM(out))
        step.axes = cnp.PyArray_NDIM(out)
        for i in range(step.axes):
            step.shape[i] = cnp.PyArray_DIM(out, i)
        show(&step.out, out, step.axes)
        return self.taken(&step, (out, inputs))

    def add_sum(self, str order, out, x):
        """The sum of x into `out`, whose axes are those of x, of one element where they are summed over. order:
        "pairwise" or "in turn"."""
        cdef le_step step
        cdef int i
        memset(&step, 0, sizeof(step))
        if not of_type(out, cnp.NPY_FLOAT32, True) or not of_type(x, cnp.NPY_FLOAT32, False) \
                or cnp.PyArray_NDIM(out) != cnp.PyArray_NDIM(x) or cnp.PyArray_NDIM(x) > LE_STEP_AXES \
                or not broadcasts(out, x):
            return False
        step.kind, step.axes = _STEPS[f"sum {order}"], cnp.PyArray_NDIM(x)
        for i in range(step.axes):
            step.shape[i] = cnp.PyArray_DIM(x, i)
            step.reduced[i] = cnp.PyArray_DIM(out, i) == 1
        show(&step.out, out, step.axes)
        show(&step.inputs[0], x, step.axes)
        return self.taken(&step, (out, x))

    def add_depthwise(self, out, x, taps, bias, strides, dilations, pads):
        """Windows of each channel by itself. out [batch, rows, columns, channels], x [batch, rows, columns, channels],
        taps [rows, columns, channels], bias [channels] or None; the others two numbers each."""
        cdef le_step step
        cdef int i
        memset(&step, 0, sizeof(step))
        if not of_type(out, cnp.NPY_FLOAT32, True) or not of_type(x, cnp.NPY_FLOAT32, False) \
                or not of_type(taps, cnp.NPY_FLOAT32, False) \
                or (cnp.PyArray_NDIM(out), cnp.PyArray_NDIM(x), cnp.PyArray_NDIM(taps)) != (4, 4, 3) \
                or not out.shape[3] == x.shape[3] == taps.shape[2] or out.shape[0] != x.shape[0] \
                or not cnp.PyArray_ISCARRAY_RO(taps):
            return False
        if bias is not None and (not of_type(bias, cnp.NPY_FLOAT32, False) or cnp.PyArray_NDIM(bias) != 1
                                 or bias.shape[0] != out.shape[3] or not cnp.PyArray_ISCARRAY_RO(bias)):
            return False
        step.kind, step.axes = LE_STEP_DEPTHWISE, 4
        for i in range(4):
            step.shape[i] = cnp.PyArray_DIM(out, i)
        for i in range(2):
            step.sizes[i], step.kernel[i] = cnp.PyArray_DIM(x, i + 1), cnp.PyArray_DIM(taps, i)
            step.stride[i], step.dilation[i], step.pad[i] = strides[i], dilations[i], pads[i]
        show(&step.out, out, 4)
        show(&step.inputs[0], x, 4)
        show(&step.inputs[1], taps, 3)
        # An axis of one element has no stride of its own; the channels of all of them stand side by side.
        step.out.strides[3] = step.inputs[0].strides[3] = step.inputs[1].strides[2] = 4
        step.inputs[1].strides[1] = 4 * step.shape[3]
        step.inputs[1].strides[0] = step.inputs[1].strides[1] * step.kernel[1]
        if step.shape[3] > 1 and (cnp.PyArray_STRIDE(out, 3) != 4 or cnp.PyArray_STRIDE(x, 3) != 4):
            return False
        if bias is not None:
            show(&step.inputs[2], bias, 1)
            step.inputs[2].strides[0] = 4
        return self.taken(&step, (out, x, taps, bias))

    def add_all(self, Steps others not None):
        """All steps of another list."""
        cdef le_error error
        cdef le_status status = le_steps_add_all(self.steps, others.steps, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.held += others.held
        self.count += others.count
        return True

    def add_run(self, BoundCall call not None):
        """A run of a model on arrays that stay."""
        cdef le_error error
        cdef le_status status
        complete(call.model, &call.binding)
        status = le_steps_add_run(self.steps, call.model.model, &call.binding.run, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.held.append(call)
        self.count += 1
        return True

    def __call__(self):
        cdef le_error error
        cdef le_status status
        with nogil:
            status = le_steps_run(self.steps, &error)
        answer(status, &error)
