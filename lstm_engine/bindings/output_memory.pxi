"""Memory for outputs."""

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
        return sum([cnp.PyArray_NBYTES(self.blocks[i]) for i in range(len(self.blocks))
                    if free_block(self.blocks, i, 0)])


cdef bint free_block(list blocks, int i, size_t bytes):
    """Whether only the list holds block i, and `bytes` (0: any) fill at least half of it."""
    cdef object block = blocks[i]
    cdef size_t size = cnp.PyArray_NBYTES(block) - LINE
    return Py_REFCNT(block) == 2 and (bytes == 0 or bytes <= size <= 2 * bytes)
