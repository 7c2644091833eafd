"""Numbers as small whole ones with a scale and a zero, and products of such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES, FLOAT32
from ..graph.nodes import Operator, Value
from .axis_rules import AxisCall
from .costs import PRODUCTS_AT_ONCE, Arrays, Need, need_of, size_of
from .kernels import Kernel, as_int32
from .older import Facts, FileNode, without
from .places import Place, need
from .products import matmul_axes, matmul_shape
from .shape_rules import ShapeCall, Shapes, same_size
from .spec import Attribute, declare, one_of

_FLOATS = ("float32", "float16", "float64")
_BYTES = ("int8", "uint8")
_WHOLE = ("int8", "uint8", "int16", "uint16")


def _spread(x: np.ndarray, parameter: np.ndarray, axis: int, block: int) -> np.ndarray:
    """A scale or a zero laid beside `x`: one number, one a place of an axis, or one a block of places."""
    if parameter.size == 1 and parameter.ndim < 2 and not block:
        return parameter.reshape(())
    axis %= x.ndim
    if block:
        blocks = [-(-size // block) if i == axis else size for i, size in enumerate(x.shape)]
        if list(parameter.shape) != blocks:
            raise ValueError(f"parameters {list(parameter.shape)} for blocks of {block} of {list(x.shape)}")
        return parameter.repeat(block, axis)[(slice(None),) * axis + (slice(x.shape[axis]),)]
    if parameter.shape != x.shape[axis:axis + 1]:
        raise ValueError(f"parameters {list(parameter.shape)} for axis {axis} of {list(x.shape)}")
    return parameter.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def saturated(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Whole numbers in that type, those beyond it as its ends."""
    limits = np.iinfo(dtype)
    y: np.ndarray = np.clip(x, limits.min, limits.max).astype(dtype)
    return y


def check_scale(call: ShapeCall, *positions: int) -> None:
    """Raise GraphError for scales that are no floats, or constant and not above 0."""
    for position in positions:
        call.of_type(position, *_FLOATS)
        scale = call.node.constants.get(position)
        if scale is not None and not ((scale > 0) & np.isfinite(scale)).all():
            wrong = scale[~((scale > 0) & np.isfinite(scale))]
            raise call.error(f"input {position}, a scale, holds {wrong[0]!s}; scales are finite and above 0")


def _check_parameters(call: ShapeCall) -> None:
    x, axis, block = call.shape(), call.attributes["axis"], call.attributes["block_size"]
    check_scale(call, 1)
    if block < 0:
        raise call.error(f"attribute 'block_size' is {block}")
    for position in (1, 2) if call.given(2) else (1,):
        shape = call.shape(position)
        if block:
            at = call.axis(axis, len(x))
            blocks = [-(-size // block) if i == at and isinstance(size, int) else None if i == at else size
                      for i, size in enumerate(x)]
            fits = len(shape) == len(x) and all(map(same_size, shape, blocks))
        elif shape not in ([], [1]):
            at = call.axis(axis, len(x))
            fits = len(shape) == 1 and same_size(shape[0], x[at])
        else:
            continue
        if not fits:
            raise call.error(f"input {position} of shape {shape} does not fit axis {at} of {x}"
                             + (f" in blocks of {block}" if block else ""))


def _quantized_type(call: ShapeCall) -> str:
    number = call.attributes["output_dtype"]
    own = DATA_TYPES.get(number, f"data type {number}") if number else None
    given = call.dtype(2) if call.given(2) else None
    if own and given and own != given:
        raise call.error(f"its zero is {given}, attribute 'output_dtype' says {own}")
    dtype = given or own or "uint8"
    if dtype not in _WHOLE:
        raise call.unknown(f"quantized as {dtype}; supported: {', '.join(_WHOLE)}")
    return dtype


def _quantize_shape(call: ShapeCall) -> Shapes:
    _check_parameters(call)
    call.of_type(0, *_FLOATS, "int32")
    return [(call.shape(), _quantized_type(call))]


def _quantize_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, block, precision = attributes["axis"], attributes["block_size"], DATA_TYPES.get(attributes["precision"])
    plain = np.dtype(DATA_TYPES.get(attributes["output_dtype"], "uint8"))

    def quantize(x: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None) -> np.ndarray:
        kind = np.dtype(precision or scale.dtype)           # what is divided in, whatever comes
        parts = np.rint(x.astype(kind, copy=False) / _spread(x, scale.astype(kind, copy=False), axis, block))
        if zero is not None:
            parts = parts + _spread(x, zero, axis, block).astype(np.float64)    # float16 ends where uint16 does
        return saturated(parts, plain if zero is None else zero.dtype)
    return quantize


def _dequantize_shape(call: ShapeCall) -> Shapes:
    _check_parameters(call)
    call.of_type(0, *_WHOLE, "int32")
    if call.given(2) and call.dtype(2) != call.dtype():
        raise call.error(f"its zero is {call.dtype(2)}, its input {call.dtype()}")
    number = call.attributes["output_dtype"]
    made = DATA_TYPES.get(number, f"data type {number}") if number else call.dtype(1)
    if not made.startswith("float"):
        raise call.unknown(f"dequantized as {made}; supported: float16, float32, float64")
    return [(call.shape(), made)]


def _dequantize_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, block, number = attributes["axis"], attributes["block_size"], attributes["output_dtype"]

    def dequantize(x: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None) -> np.ndarray:
        whole = x.astype(np.int64)
        if zero is not None:
            whole = whole - _spread(x, zero, axis, block)
        y: np.ndarray = whole.astype(scale.dtype) * _spread(x, scale, axis, block)
        return y.astype(DATA_TYPES[number]) if number else y
    return dequantize


def _parameters_apart(call: AxisCall) -> Place:
    """What is divided alone has the axis, and its parameters are not of this axis."""
    at = call.only_first()
    one = all(shape in ((), (1,)) for shape in call.shapes[1:])
    need(one or at != call.axis(call.attributes["axis"]) and not call.attributes["block_size"])
    return at


def _quantize_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """`saturate` speaks of 8-bit floats only."""
    return [without(node, "saturate")]


_LINEAR: dict[str, Any] = {"axis": 1, "block_size": 0, "output_dtype": Attribute(int, 0, says_type=True)}
declare("QuantizeLinear", (2, 3), make=_quantize_kernel, attributes={**_LINEAR, "precision": one_of(0, FLOAT32)},
        older=_quantize_older, shape=_quantize_shape, axes=_parameters_apart, work=8, scratch=4,
        takes=("floats|int32", "floats|int32", "bytes|int16|uint16"), apart="XSZ")
declare("DequantizeLinear", (2, 3), make=_dequantize_kernel, attributes=_LINEAR, shape=_dequantize_shape,
        axes=_parameters_apart, work=4, scratch=4,
        takes=("bytes|int16|uint16|int32", "floats", "bytes|int16|uint16|int32"))


def _dynamic_shape(call: ShapeCall) -> Shapes:
    call.of_type(0, *_FLOATS)
    return [(call.shape(), "uint8"), ([], call.dtype()), ([], "uint8")]


def dynamic(x: np.ndarray) -> list[np.ndarray]:
    """Its own least and largest, 0 among them, are 0 and 255."""
    one = x.dtype.type
    low, high = x.min(initial=one(0)), x.max(initial=one(0))
    scale = (high - low) / one(255) if high != low else one(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    y = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    return [y, np.asarray(scale), np.asarray(zero).astype(np.uint8)]


declare("DynamicQuantizeLinear", 1, 3, kernel=dynamic, shape=_dynamic_shape, work=8, scratch=4, takes="floats")


# ---- products -------------------------------------------------------------------------------------------------------

def _matmul_integer_shape(call: ShapeCall) -> Shapes:
    for position in range(4):
        call.of_type(position, *_BYTES)
    (shape, _), = matmul_shape(call)
    for position, axis in ((2, -2), (3, -1)):
        zeros = call.shape(position) if call.given(position) else []
        own = call.shape(position - 2)
        if len(zeros) > 1 or (zeros and zeros != [1] and not (len(own) >= -axis and same_size(zeros[0], own[axis]))):
            raise call.error(f"zeros of shape {zeros} for a factor of shape {own}; expected one, or one a "
                             f"{'row' if axis == -2 else 'column'}")
    return [(shape, "int32")]


def _matmul_integer(a: np.ndarray, b: np.ndarray, a_zero: np.ndarray | None = None, b_zero: np.ndarray | None = None
                    ) -> np.ndarray:
    """In float64, which holds whole numbers up to 2^53."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    if a_zero is not None:
        left -= a_zero.reshape(()) if a_zero.size == 1 else a_zero.reshape(-1, 1)
    if b_zero is not None:
        right -= b_zero.reshape(()) if b_zero.size == 1 else b_zero
    return as_int32(np.asarray(np.matmul(left, right)))


def _matmul_integer_axes(call: AxisCall) -> Place:
    need(all(shape in ((), (1,)) for shape in call.shapes[2:3]) and call.given[2:] in ([], [None], [None, None]))
    factors = AxisCall(call.node, call.attributes, call.places[:2], call.shapes[:2], call.made, call.dim)
    return matmul_axes(factors)


def _matmul_integer_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    plain = need_of(arrays, made, scratch=2)
    return Need(plain.bytes + 8 * (arrays[0].size + arrays[1].size),
                plain.work + size_of(made[0]) * arrays[0].shape[-1] // PRODUCTS_AT_ONCE)


def requantized(sums: np.ndarray, scale: np.ndarray | np.float32, zero: np.ndarray) -> np.ndarray:
    """int32 sums times a scale, rounded to even, in whole numbers that stand for themselves less a zero."""
    return saturated(np.rint(sums.astype(scale.dtype) * scale) + zero.astype(np.float64), zero.dtype)


def _qlinear_matmul_shape(call: ShapeCall) -> Shapes:
    a, b, y = 0, 3, 6
    for position in (a, b):
        call.of_type(position, *_BYTES)
    check_scale(call, a + 1, b + 1, y)
    shape = matmul_shape(_of(call, a, b))[0][0]
    for position, zero in ((a, a + 2), (b, b + 2), (y, y + 1)):
        call.of_type(zero, *((call.dtype(position),) if position != y else _BYTES))
    for position, beside, axis in ((a + 1, call.shape(a), -2), (a + 2, call.shape(a), -2), (b + 1, call.shape(b), -1),
                                   (b + 2, call.shape(b), -1), (y, shape, -2), (y + 1, shape, -2)):
        own = call.shape(position)
        alone = list(beside[:-2]) + ([beside[-2], 1] if axis == -2 else [1, beside[-1]]) if len(beside) > 1 else []
        one_axis = len(own) == 1 and len(beside) > 1 and same_size(own[0], beside[axis])
        if own not in ([], [1]) and not one_axis and not (len(own) == len(alone) and all(map(same_size, own, alone))):
            raise call.error(f"input {position} of shape {own} beside {beside}; expected one number, or one a "
                             f"{'row' if axis == -2 else 'column'}")
    return [(shape, call.dtype(y + 1))]


def _of(call: ShapeCall, *positions: int) -> ShapeCall:
    """The call as one of these inputs alone."""
    return ShapeCall(call.node, call.attributes, [call.value(position) for position in positions])


def _for_rows(parameter: np.ndarray) -> np.ndarray:
    """A scale or zero beside the rows of a matrix."""
    return parameter.reshape(()) if parameter.size == 1 else parameter[:, None] if parameter.ndim == 1 else parameter


def _for_columns(parameter: np.ndarray) -> np.ndarray:
    return parameter.reshape(()) if parameter.size == 1 else parameter


def _qlinear_matmul(a: np.ndarray, a_scale: np.ndarray, a_zero: np.ndarray, b: np.ndarray, b_scale: np.ndarray,
                    b_zero: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray) -> np.ndarray:
    """Sums in float64, which holds whole numbers up to 2^53."""
    left = a.astype(np.float64) - _for_rows(a_zero)
    right = b.astype(np.float64) - _for_columns(b_zero)
    scale = _for_rows(a_scale) * _for_columns(b_scale) / _for_rows(y_scale)
    return requantized(as_int32(np.asarray(np.matmul(left, right))), scale, _for_rows(y_zero))


def _qlinear_matmul_axes(call: AxisCall) -> Place:
    """As a product of the two, where a scale and a zero are one number for all that the axis takes apart."""
    rest = [i for i in range(8) if i not in (0, 3)]
    need(all(call.given[i] is None for i in rest))
    need(all(call.shapes[i] in ((), (1,)) for i in (1, 2, 6, 7)) and all(len(call.shapes[i]) < 2 for i in (4, 5)))
    need(call.given[3] is None or all(call.shapes[i] in ((), (1,)) for i in (4, 5)))
    return matmul_axes(AxisCall(call.node, call.attributes, [call.places[0], call.places[3]],
                                [call.shapes[0], call.shapes[3]], call.made, call.dim))


def _qlinear_matmul_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    plain = need_of((arrays[0], arrays[3]), made, scratch=4)
    return Need(plain.bytes + 8 * (arrays[0].size + arrays[3].size),
                plain.work + size_of(made[0]) * arrays[0].shape[-1] // PRODUCTS_AT_ONCE)


declare("MatMulInteger", (2, 4), kernel=_matmul_integer, shape=_matmul_integer_shape, axes=_matmul_integer_axes,
        combines=True, needs=_matmul_integer_needs, takes="bytes", apart="ABAB")
declare("QLinearMatMul", 8, kernel=_qlinear_matmul, shape=_qlinear_matmul_shape, axes=_qlinear_matmul_axes,
        combines=True, needs=_qlinear_matmul_needs,
        takes=("bytes", "floats", "bytes", "bytes", "floats", "bytes", "floats", "bytes"), apart="ASABSBSY")
