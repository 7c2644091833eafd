"""What the C core answers: a status as an exception, and whether the caller still waits."""

cdef extern from "Python.h":
    int PyErr_CheckSignals()   # sets the exception and returns -1; looked at by hand below

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
