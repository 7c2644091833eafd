"""Packed weights: those that models have in common, and what is told of each block."""


cdef class Store:
    """Where models find packed weights of the same arrays, while they are made. It keeps the arrays: it knows them by
    their addresses."""

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
