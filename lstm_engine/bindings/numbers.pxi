"""Numbers of callers in the type that the core reads, cheaply."""

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
    return cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == rank \
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x)


cdef object as_kind(object x, int kind, bint kept=False):
    """A C-contiguous array in type `kind`: itself, or a copy; None where it has to go the long way.

    Whole numbers are where the core reads and how far: their caller may change them meanwhile, so they are always
    copied, and what the core has checked is what it reads. kept: an array that nobody else can write to.
    """
    if cnp.PyArray_TYPE(<cnp.ndarray>x) == kind and (kept or kind != cnp.NPY_INT32):
        return x
    y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), kind, 0)
    return y if copy_numbers(kind, cnp.PyArray_DATA(y), cnp.PyArray_TYPE(x), cnp.PyArray_DATA(x),
                             cnp.PyArray_SIZE(x)) else None


cdef inline bint apart(object a, object b):
    """Whether two contiguous arrays share no memory."""
    cdef char *p = <char *>cnp.PyArray_DATA(a)
    cdef char *q = <char *>cnp.PyArray_DATA(b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(b) <= p
