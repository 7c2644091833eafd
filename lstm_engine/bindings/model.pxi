"""Models of the C core: how one is made, what a finished one says of itself, and the doors to its calls (calls.pxi)."""

cdef dict _CELLS = {"LSTM": LE_LSTM, "GRU": LE_GRU, "RNN": LE_RNN}
cdef dict _DIRECTIONS = {"forward": LE_FORWARD, "reverse": LE_REVERSE, "bidirectional": LE_BIDIRECTIONAL}
cdef dict _POOLS = {"last": LE_POOL_LAST, "mean": LE_POOL_MEAN, "max": LE_POOL_MAX}
cdef dict _WEIGHTS = {"W": LE_WEIGHT_W, "R": LE_WEIGHT_R, "projection": LE_WEIGHT_PROJECTION,
                      "kernel": LE_WEIGHT_KERNEL, "table": LE_WEIGHT_TABLE}

cdef le_activation _activation(object activation) except *:
    cdef le_activation result
    cdef bytes name = activation.name.encode()
    cdef int kind = le_activation_find(name)
    if kind < 0:
        raise errors.UnsupportedError(f"activation {activation.name!r} is not supported by the C core")
    result.kind = <le_act_kind>kind
    result.alpha = 0 if activation.alpha is None else activation.alpha
    result.beta = 0 if activation.beta is None else activation.beta
    return result


cdef class CoreModel:
    """A model of the C core: add values and layers, `finish`, then run it from any number of threads.

    What is added is held to the sizes of the values that it reads, for C reads weights by them.
    """

    cdef le_model *model
    cdef int kind                           # of its floats, as NumPy numbers types
    cdef int input_count, output_count, axis_count
    cdef Port inputs[MAX_PORTS]
    cdef Port outputs[MAX_PORTS]
    cdef Sizes fixed                        # what calls that take no long way insist on,
    cdef cnp.npy_intp most_steps            # and what they may have at most: steps,
    cdef double most_cells                  # and rows times (1 + steps of every axis); see `limit`
    cdef readonly str isa
    cdef readonly object dtype
    cdef readonly size_t state_size
    cdef readonly list layers
    cdef dict values                        # by number: (whether a sequence, its time axis, features)
    cdef list input_names, output_names     # what errors call them
    cdef readonly bint causal
    cdef OutputMemory memory_of_outputs
    cdef Store store                        # of the layers that are being added, or None

    def __cinit__(self, isa, dtype, gemm, int threads=1):
        cdef le_model_options options
        cdef le_error error
        cdef bytes name = b"" if isa is None else isa.encode()
        options.isa = NULL
        if isa is not None:
            options.isa = name
        options.dtype = LE_FLOAT64 if dtype == "float64" else LE_FLOAT32
        options.gemm = LE_GEMM_BLAS if gemm == "blas" else LE_GEMM_PACKED
        options.threads = threads
        cdef le_status status = le_model_new(&options, &self.model, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.kind = cnp.NPY_FLOAT64 if dtype == "float64" else cnp.NPY_FLOAT32
        self.dtype = dtype
        self.isa = le_model_isa(self.model).decode()
        self.layers, self.values, self.input_names, self.output_names = [], {}, [], []
        self.memory_of_outputs = OutputMemory()
        self.most_steps, self.most_cells = MOST, float("inf")
        self.fixed.batch = -1
        for i in range(MAX_PORTS):
            self.fixed.steps[i] = -1

    def __dealloc__(self):
        le_model_free(self.model)

    # ---- building -------------------------------------------------------------------------------------------

    cdef tuple value(self, le_value number):
        """(whether a sequence, its time axis, features) of a value. Features of token ids are 0."""
        found = self.values.get(number)
        if found is None:
            raise errors.CoreError(f"the model of the core has no value {number}")
        return found

    cdef le_value made(self, le_value number, bint sequence, int axis, size_t features) except? -1:
        """Note what a value is that C has just made."""
        self.values[number] = sequence, axis, features
        return number

    def share(self, Store store):
        """Layers added from here on hold what is packed of the same arrays in this store; None: they hold their own."""
        self.store = store
        le_model_share(self.model, NULL if store is None else store.store)

    def consume(self, bint last):
        """Whether layers added from here on are the last to read their matrices, all of which stand on pages of their
        own (`pages`): the pages of what has been packed are given back at once."""
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
        self.inputs[self.input_count] = Port(ids, sequence, axis, features)
        self.input_names.append(f"input {self.input_count}" if name is None else f"value {name!r}")
        self.input_count += 1
        if sequence and axis == self.axis_count:
            self.axis_count += 1
        return self.made(out, sequence, axis, features)

    def embedding(self, le_value ids, table):
        """Rows of table [vocabulary, features]."""
        cdef le_value out
        cdef le_error error
        sequence, axis, _ = self.value(ids)
        vocabulary, features = _matrix(table, "embedding table")
        cdef le_weights given
        memset(&given, 0, sizeof(given))
        cdef const void *data = matrix_weight(self, table, (vocabulary, features), "embedding table", &given, &given.w)
        say_weights(self, &given)
        cdef size_t rows = vocabulary, columns = features
        cdef le_status status
        with nogil:
            status = le_model_embedding(self.model, ids, data, rows, columns, &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return self.made(out, sequence, axis, columns)

    def dense(self, le_value x, kernel, bias, activation):
        """activation(x kernel + bias), kernel [features, units], bias [units] or None."""
        cdef le_value out
        cdef le_error error
        sequence, axis, features = self.value(x)
        cdef size_t units = _matrix(kernel, "dense kernel")[1]
        cdef le_weights given
        memset(&given, 0, sizeof(given))
        cdef const void *k = matrix_weight(self, kernel, (features, units), "dense kernel", &given, &given.w, True)
        say_weights(self, &given)
        cdef const void *b = plain_weight(self, bias, (units,), "dense bias")
        cdef le_activation function = _activation(activation)
        cdef le_status status
        with nogil:
            status = le_model_dense(self.model, x, k, b, units, function, &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return self.made(out, sequence, axis, units)

    def activate(self, le_value x, activation):
        """activation(x), element by element, softmax over the features."""
        cdef le_value out
        cdef le_error error
        sequence, axis, features = self.value(x)
        cdef le_status status = le_model_activate(self.model, x, _activation(activation), &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return self.made(out, sequence, axis, features)

    def pool(self, le_value x, kind):
        """A sequence reduced over its real steps to a vector: its "last", their "mean" or "max"."""
        cdef le_value out
        cdef le_error error
        features = self.value(x)[2]
        cdef le_status status = le_model_pool(self.model, x, <le_pool_kind><int>_POOLS[kind], &out, &error)
        if status != LE_OK:
            _raise(status, &error)
        return self.made(out, False, 0, features)

    def recurrent(self, node, le_value x, le_value initial_h, le_value initial_c, bint want_y, bint want_h,
                  bint want_c):
        """Add a graph.Recurrent node; -1: an initial state left out. Returns (y, y_h, y_c), -1 if not wanted."""
        cdef le_recurrent spec
        cdef le_error error
        cdef le_value y = LE_NONE, y_h = LE_NONE, y_c = LE_NONE
        cdef int d, a
        cdef size_t dirs = node.dirs, hidden = node.hidden, gates = node.gates, out = node.output_size
        _, axis, features = self.value(x)
        memset(&spec, 0, sizeof(spec))
        projection, peephole = getattr(node, "projection", None), getattr(node, "P", None)
        spec.cell = <le_cell><int>_CELLS[node.op]
        spec.direction = <le_direction><int>_DIRECTIONS[node.direction]
        spec.hidden = hidden
        spec.projection = 0 if projection is None else out
        spec.x, spec.initial_h, spec.initial_c = x, initial_h, initial_c
        cdef le_weights given, other
        memset(&given, 0, sizeof(given))
        spec.w = matrix_weight(self, node.W, (dirs, gates * hidden, features), f"{node.name}.W", &given, &given.w)
        spec.r = matrix_weight(self, node.R, (dirs, gates * hidden, out), f"{node.name}.R", &other, &given.r)
        if other.type != given.type:
            raise errors.ArgumentError(f"{node.name}: W and R are of two types")
        spec.b = plain_weight(self, node.B, (dirs, 2 * gates * hidden), f"{node.name}.B")
        spec.p = plain_weight(self, peephole, (dirs, 3 * hidden), f"{node.name}.P")
        spec.proj = matrix_weight(self, projection, (dirs, out, hidden), f"{node.name}.projection", &other,
                                  &given.projection)
        if projection is not None and other.type != given.type:
            raise errors.ArgumentError(f"{node.name}: W and its projection are of two types")
        say_weights(self, &given)
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
        for number, sequence, size in ((y, True, out), (y_h, False, out), (y_c, False, hidden)):
            if number != LE_NONE:
                self.made(number, sequence, axis if sequence else 0, dirs * size)
        return y, y_h, y_c

    def output(self, le_value value, name=None):
        """Make a value an output. name: for errors."""
        cdef le_error error
        sequence, axis, features = self.value(value)
        if self.output_count == MAX_PORTS:
            raise errors.UnsupportedError(f"more than {MAX_PORTS} outputs in one segment")
        cdef le_status status = le_model_output(self.model, value, &error)
        if status != LE_OK:
            _raise(status, &error)
        self.outputs[self.output_count] = Port(False, sequence, axis, features)
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

    # ---- what a finished model says -----------------------------------------------------------------------------

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
        return le_model_workspace_bytes(self.model), self.memory_of_outputs.idle()

    def blocks(self):
        """{address: bytes} of the packed weights. Models that share some have these at one address."""
        cdef dict blocks = {}
        le_model_visit_weights(self.model, note_block, <void *>blocks)
        return blocks

    def unpack(self, size_t op, which, size_t first, cnp.ndarray out not None):
        """Write rows of weight `which` ("W", "R", "projection", "kernel", "table") of the layer number `op`, as
        given, into out [rows, columns], from row `first` of the weight on; its axes before the last count as one. The
        size of `out` is held to that of the rows, quantised ones in the type of their numbers."""
        cdef le_error error
        if cnp.PyArray_NDIM(out) != 2 or not cnp.PyArray_ISCARRAY(out):
            raise errors.ArgumentError("unpack: expected a C-contiguous array [rows, columns]")
        cdef le_weight weight = <le_weight><int>_WEIGHTS[which]
        cdef size_t count = cnp.PyArray_DIM(out, 0), size = cnp.PyArray_NBYTES(out)
        cdef void *data = cnp.PyArray_DATA(out)
        cdef le_status status
        with nogil:
            status = le_model_unpack(self.model, op, weight, first, count, data, size, &error)
        if status != LE_OK:
            _raise(status, &error)

    def run_bytes(self, size_t batch, list steps, int threads, bint lengths=False, bint states=False):
        """Bytes that `run` would take beside its arrays, for all outputs."""
        cdef le_run run
        cdef le_error error
        cdef le_axis axes[MAX_PORTS]
        cdef void *arrays[MAX_PORTS]        # not looked at, only whether they are null
        cdef size_t bytes = 0
        cdef int i
        if <int>len(steps) != self.axis_count:
            raise errors.CoreError("run_bytes: an axis is missing")
        memset(&run, 0, sizeof(run))
        for i in range(MAX_PORTS):
            arrays[i] = <void *>&run
        for i in range(self.axis_count):
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

    # ---- calls ------------------------------------------------------------------------------------------------

    def limit(self, size_t most_steps, double most_cells):
        """What calls that take no long way may have at most: steps, and rows times (1 + the steps of every axis). More
        is not refused, but left to who looks closer."""
        self.most_steps, self.most_cells = min(most_steps, <size_t>MOST), most_cells

    def fix_sizes(self, batch, list steps):
        """What calls that take no long way insist on: a batch, and the steps of each axis; None for any."""
        if <int>len(steps) != self.axis_count:
            raise errors.CoreError("fix_sizes: an axis is missing")
        self.fixed.batch = -1 if batch is None else batch
        for i, count in enumerate(steps):
            self.fixed.steps[i] = -1 if count is None else count

    def run(self, list inputs, int threads, list lengths=None, list outputs=None, state_in=None, state_out=None,
            split="auto", size_t block_steps=0, bint resumed=False):
        """Run on arrays, and return those of the outputs. Whatever the caller has checked, the dtype and every size of
        each array are checked here: memory is read and written by them.

        inputs: an array per port, of the model's dtype, or int32 for ids; they say the rows, and the steps of each
        time axis. lengths: an int32 [batch] or None per time axis. outputs: an array to write to or None per port.
        state_in, state_out: [batch, state_size] or None. resumed: see le_run. Raises ArgumentError, ArgumentTypeError.
        """
        return run_checked(self, inputs, threads, lengths, outputs, state_in, state_out, split, block_steps, resumed)

    def try_one(self, x, int threads, out=None, lengths=None):
        """One input to one output with no more than a cast: x a C-contiguous array of the input's shape, `out` of the
        output's shape and dtype, lengths [batch] whole numbers; threads as many as the default for 0. None where the
        caller has to take the long way."""
        return run_one(self, x, threads, out, lengths)

    def try_run(self, list arrays, int threads):
        """The outputs for inputs in order, each as `try_one` takes one; None where callers take the long way."""
        return run_many(self, arrays, threads)

    def bind(self, list arrays, int threads, out=None):
        """A run that can be made again when what is in these inputs has changed, its outputs new arrays, or `out` where
        there is one of one input; None where an array is not what the core itself reads or writes. Token ids are read
        where they stand: the array must be one that nobody else can write to."""
        return bound_call(self, arrays, threads, out)

    def stream(self, size_t batch, rows, int threads, TryLock lock not None):
        """A CoreStream of this model, of one input and one output, on `batch` state rows [batch, state_size]; rows:
        None where there is no state. threads: 0 for the default of each call's time. lock: see CoreStream."""
        return CoreStream(self, batch, rows, threads, lock)

    def pad(self, list items):
        """(the sequences in one array with zeros behind them, their lengths), or None where one is not a C-contiguous
        array of the only input's features, or of numbers that need more than a cast."""
        return padded_of(self, items)
