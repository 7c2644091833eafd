"""Weights as they are handed to C: arrays of the model's dtype, and quantised matrices."""

# Types of quantised weights: how the core calls them, and NumPy the numbers that they hold.
cdef dict _TYPES = {"float16": (LE_WEIGHTS_FLOAT16, cnp.NPY_FLOAT16), "bfloat16": (LE_WEIGHTS_BFLOAT16, cnp.NPY_UINT16),
                    "int8": (LE_WEIGHTS_INT8, cnp.NPY_INT8), "int8_weights": (LE_WEIGHTS_INT8_WIDENED, cnp.NPY_INT8)}


cdef const void *plain_weight(CoreModel model, object array, tuple shape, str what) except? NULL:
    """The data of a C-contiguous weight array of the model's dtype and exactly this shape (None: NULL)."""
    if array is None:
        return NULL
    if not isinstance(array, cnp.ndarray) or cnp.PyArray_TYPE(array) != model.kind \
            or not cnp.PyArray_ISCARRAY_RO(array) or (<object>array).shape != shape:
        raise errors.ArgumentError(f"{what}: expected a C-contiguous {model.dtype} array of shape {shape}")
    if model.store is not None:
        model.store.arrays.append(array)
    return cnp.PyArray_DATA(array)


cdef const void *matrix_weight(CoreModel model, object weight, tuple shape, str what, le_weights *given,
                               const float **scale, bint columns=False) except? NULL:
    """As `plain_weight` of a matrix, which may be a Quantized: then its values, their type in `given`, and where
    its scale stands. The layer that is added next has matrices of one type. columns: the channels are those of the last
    axis, else of all before it."""
    scale[0] = NULL
    if weight is None or isinstance(weight, cnp.ndarray):
        given.type = LE_WEIGHTS_FULL
        return plain_weight(model, weight, shape, what)
    kind, numbers = _TYPES[weight.type]
    values, scales = weight.values, weight.scale
    if model.kind != cnp.NPY_FLOAT32 or not isinstance(values, cnp.ndarray) or values.shape != shape \
            or cnp.PyArray_TYPE(values) != <int>numbers or not cnp.PyArray_ISCARRAY_RO(values):
        raise errors.ArgumentError(f"{what}: expected C-contiguous numbers of {weight.type} of shape {shape}, in a "
                                   f"model of float32")
    if (scales is None) != (<int>numbers != cnp.NPY_INT8):
        raise errors.ArgumentError(f"{what}: int8 has a scale, and other types have none")
    if scales is not None:
        expected = shape[len(shape) - 1:] if columns else shape[:len(shape) - 1]
        if not isinstance(scales, cnp.ndarray) or cnp.PyArray_TYPE(scales) != cnp.NPY_FLOAT32 \
                or scales.shape != expected or not cnp.PyArray_ISCARRAY_RO(scales):
            raise errors.ArgumentError(f"{what}: expected C-contiguous float32 scales of shape {expected}")
        scale[0] = <const float *>cnp.PyArray_DATA(scales)
    if model.store is not None:
        model.store.arrays.extend(weight.arrays())
    given.type = <le_weight_type><int>kind
    return cnp.PyArray_DATA(values)


cdef int say_weights(CoreModel model, const le_weights *given) except -1:
    """Say what the matrices of the layer that is added next are."""
    cdef le_error error
    cdef le_status status = le_model_weights(model.model, given, &error)
    if status != LE_OK:
        _raise(status, &error)
    return 0


cdef tuple _matrix(object array, str what):
    """The shape of a weight of two axes."""
    if len(getattr(array, "shape", ())) != 2:
        raise errors.ArgumentError(f"{what}: expected an array of two axes")
    return array.shape
