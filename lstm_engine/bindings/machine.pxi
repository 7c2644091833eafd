"""The machine: instruction sets, threads, floating-point mode, locks that are tried, the BLAS."""


def products(str isa):
    """How products with weights of each quantised type are made beside the kernels of an instruction set, by type."""
    cdef bytes name = isa.encode()
    cdef const char *found
    cdef dict names = {}
    for kind, (number, _) in _TYPES.items():
        found = le_products_name(name, <le_weight_type><int>number)
        if found == NULL:
            raise errors.ArgumentError(f"no kernels of the instruction set {isa!r} run here")
        names[kind] = found.decode()
    return names


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

    Blocks like this one and `TryLock` are entered and left in C: a signal's handler that raises does so between two
    lines
    of Python, and must find none between what is taken and what gives it back.
    """

    cdef uint64_t mode

    def __enter__(self):
        self.mode = le_fp_default()

    def __exit__(self, kind, error, traceback):
        le_fp_restore(self.mode)


cdef class TryLock:
    """Lets one call at a time into a `with` block; a second one raises `kind(message)`."""

    cdef object kind, message
    cdef bint taken

    def __init__(self, kind, str message):
        self.kind, self.message = kind, message

    cpdef bint acquire(self):
        """Whether the lock was free, and is now the caller's until `release`. The interpreter's lock is held
        meanwhile."""
        if self.taken:
            return False
        self.taken = True
        return True

    cpdef void release(self):
        self.taken = False

    def __enter__(self):
        if not self.acquire():
            raise self.kind(self.message)

    def __exit__(self, kind, error, traceback):
        self.taken = False


cdef dict _BLAS_KINDS = {"lp64": LE_BLAS_LP64, "ilp64": LE_BLAS_ILP64, "fortran": LE_BLAS_FORTRAN}


def set_blas(uintptr_t sgemm, uintptr_t dgemm, kind):
    """Put cblas_?gemm ("lp64", "ilp64") or Fortran's ?gemm ("fortran"; addresses, 0 for none) into the BLAS slot."""
    if le_blas_set(<void *>sgemm, <void *>dgemm, <le_blas_kind><int>_BLAS_KINDS[kind]) != LE_OK:
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
