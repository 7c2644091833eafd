"""How a spec lays an array out: a name, or an object that says what is done with others.

    "name"                                                  the array as it is
    {"tensor": x, "transpose": true, "gates": "ifco"}       a matrix transposed, then its rows brought to the order here
    {"permute": x, "axes": [1, 0, 2]}                       its axes in another order
    {"slice": x, "axis": 0, "start": 0, "stop": 5}          a part of an axis; start and stop may be left out
    {"split": x, "axis": 0, "parts": 4, "part": 1}          one of equal parts of an axis
    {"reshape": x, "shape": [3, 4]}                         its elements, row by row, in another shape
    {"flip": x, "axis": 0}                                  an axis backwards
    {"add": [x, y]}, {"multiply": [x, y]}                   element by element; a value of one element goes to all
                                                            where it has no more axes than the other
    {"concat": [x, y], "axis": 0}, [x, y]                   one after the other; one beside the other (stacked)
    {"zeros": 12}, {"value": [[1.5]], "dtype": "float32"}   what the file does not have
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from ...errors import FormatError
from ...graph.gates import ONNX_GRU, ONNX_LSTM, ONNX_RNN, reorder
from ..reading.weights import MAX_RANK, Weights

MAX_ZEROS = 1 << 24
MAX_LITERAL = 1 << 16              # elements that a spec itself can hold
MAX_DEPTH = 8                      # of an array's expression
FREE_BYTES = 256 << 20             # what expressions may make, beyond 16 times the arrays of the file
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
MOST_WHOLE = 2.0**63 * (1 - 2.0**-50)      # of int64: float64 rounds two factors and their product
_EXPRESSION = {"tensor", "transpose", "gates"}
_GATES = {frozenset(order) for order in (ONNX_LSTM, ONNX_GRU, ONNX_RNN)}
_OTHERS = ("slice", "split", "permute", "reshape", "flip", "add", "multiply", "value")
_AXIS = {"slice": {"axis", "start", "stop"}, "split": {"axis", "parts", "part"}, "flip": {"axis"},
         "permute": {"axes"}, "reshape": {"shape"}}


class Expressions:
    """Evaluates the expressions of one spec over the arrays of a file: what they make is counted."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._cut: dict[tuple[str, bool], np.ndarray] = {}      # arrays that parts are taken of: loaded once for all
        self._left = FREE_BYTES + 16 * weights.nbytes

    def evaluate(self, where: str, expression: Any, depth: int = 0, numbers: bool = False) -> np.ndarray:
        """The array that an expression describes. numbers: whether an array of the file may hold integers.

        Raises FormatError naming `where`, UnsupportedError for an array that cannot be a weight.
        """
        if depth > MAX_DEPTH:
            fail(where, f"nested more than {MAX_DEPTH} deep")
        if isinstance(expression, str):
            return self.weights.take_any(expression) if numbers else self.weights.take(expression)
        if isinstance(expression, (list, tuple)) and expression:       # one array per direction
            return self._join(where, np.stack, expression, depth, numbers)
        if isinstance(expression, Mapping):
            keys = set(expression)
            for kind in ("concat", "add", "multiply"):
                parts = expression.get(kind)
                if isinstance(parts, (list, tuple)) and parts and keys <= {kind, *(("axis",) * (kind == "concat"))}:
                    return self._combined(where, kind, expression, depth, numbers)
            count = expression.get("zeros")
            if keys == {"zeros"} and type(count) is int and 0 < count <= MAX_ZEROS:
                self.spend(where, 4 * count)
                return np.zeros(count, np.float32)
            if "value" in keys and keys <= {"value", "dtype"}:
                return self._literal(where, expression, numbers)
            if "tensor" in keys and keys <= _EXPRESSION:
                return self._laid_out(where, expression, depth, numbers)
            for kind, options in _AXIS.items():
                if kind in keys and keys <= {kind, *options}:
                    return self._part(where, kind, expression, depth, numbers)
        fail(where, "must be the name of an array, {\"tensor\": ..., \"transpose\": true, \"gates\": \"ifco\"}, "
                    "{\"concat\": [...]}, {\"zeros\": n} or a list of one per direction; or one of "
                    f"{', '.join(_OTHERS)} (docs/spec.md); got {expression!r:.100}")

    def whole(self, name: str, numbers: bool = False) -> np.ndarray:
        """An array of the file that parts are taken of: loaded once for all of them."""
        if (name, numbers) not in self._cut:
            self._cut[name, numbers] = self.weights.take_any(name) if numbers else self.weights.take(name)
        return self._cut[name, numbers]

    def spend(self, where: str, size: int) -> None:
        self._left -= size
        if self._left < 0:
            fail(where, f"the spec makes more than {FREE_BYTES >> 20} MiB and 16 times the arrays of the file")

    def _combined(self, where: str, kind: str, expression: Mapping[str, Any], depth: int, numbers: bool) -> np.ndarray:
        parts = expression[kind]
        if kind == "concat":
            axis = _whole(where, expression, "axis", 0, MAX_RANK)

            def concatenated(arrays: list[np.ndarray]) -> np.ndarray:
                return np.concatenate(arrays, axis)

            return self._join(where, concatenated, parts, depth, numbers)
        made = self.evaluate(where, parts[0], depth + 1, numbers)
        for part in parts[1:]:
            other = self.evaluate(where, part, depth + 1, numbers)
            self.spend(where, 8 * max(made.size, other.size))
            made = _element_by_element(where, kind, made, other)
        return made

    def _laid_out(self, where: str, expression: Mapping[str, Any], depth: int, numbers: bool) -> np.ndarray:
        array = self.evaluate(where, expression["tensor"], depth + 1, numbers)
        transpose, gates = expression.get("transpose", False), expression.get("gates")
        if not isinstance(transpose, bool):
            fail(where, "\"transpose\" must be true or false")
        if transpose:
            if array.ndim != 2:
                fail(where, f"only a matrix can be transposed, got {list(array.shape)}")
            self.spend(where, array.nbytes)
            array = np.ascontiguousarray(array.T)
        if gates is None:
            return array
        if not isinstance(gates, str) or frozenset(gates) not in _GATES or len(set(gates)) != len(gates):
            fail(where, f"\"gates\" must be an order of the letters iofc, zrh or h, got {gates!r:.50}")
        if not array.ndim or array.shape[0] % len(gates):
            fail(where, f"{list(array.shape)} has no {len(gates)} gates in its rows")
        self.spend(where, array.nbytes)
        return reorder(array, gates)

    def _part(self, where: str, kind: str, expression: Mapping[str, Any], depth: int, numbers: bool) -> np.ndarray:
        """What is made of one array and no more than as large as that."""
        inner = expression[kind]
        if isinstance(inner, str) and kind in ("slice", "split") and inner in self.weights:
            array = self.whole(inner, numbers)
        else:
            array = self.evaluate(where, inner, depth + 1, numbers)
        if kind == "permute":
            axes = expression.get("axes")
            if not isinstance(axes, (list, tuple)) or sorted(map(str, axes)) != sorted(map(str, range(array.ndim))) \
                    or not all(type(axis) is int for axis in axes):
                fail(where, f"\"axes\" must be the {array.ndim} axes of {list(array.shape)} in some order, "
                            f"got {axes!r:.100}")
            made = array.transpose(axes)
        elif kind == "reshape":
            shape = expression.get("shape")
            if not isinstance(shape, (list, tuple)) or len(shape) > MAX_RANK \
                    or not all(type(size) is int and 0 <= size < 2**48 for size in shape) \
                    or math.prod(shape) != array.size:
                fail(where, f"\"shape\" must be a list of sizes of {array.size} elements in all, got {shape!r:.100}")
            made = array.reshape(tuple(shape))
        else:
            made = _along(where, kind, expression, array)
        self.spend(where, made.nbytes)
        return np.array(made, order="C")         # what it is a part of need not be kept

    def _join(self, where: str, join: Callable[[list[np.ndarray]], np.ndarray], expressions: Any, depth: int,
              numbers: bool) -> np.ndarray:
        parts = []
        for part in expressions:
            parts.append(self.evaluate(where, part, depth + 1, numbers))
            self.spend(where, parts[-1].nbytes)
        dtypes = sorted({part.dtype.name for part in parts})
        if len(dtypes) > 1 and any(part.dtype.kind != "f" for part in parts):
            fail(where, f"arrays of {' and '.join(dtypes)} cannot be joined")
        try:
            return join(parts)
        except ValueError:
            fail(where, f"arrays of {[list(part.shape) for part in parts]} cannot be joined")

    def _literal(self, where: str, expression: Mapping[str, Any], numbers: bool) -> np.ndarray:
        """Numbers that the spec itself holds. Infinity (JSON's 1e999), which a mask may need, is for constants."""
        dtype = expression.get("dtype", "float32")
        if dtype not in DTYPES:
            fail(where, f"\"dtype\" must be one of {', '.join(DTYPES)}, got {dtype!r:.50}")
        shape: list[int] = []
        level = [expression["value"]]
        while level and isinstance(level[0], (list, tuple)):
            size = len(level[0])
            if not all(isinstance(row, (list, tuple)) and len(row) == size for row in level) or len(shape) == MAX_RANK:
                fail(where, "\"value\" must be a number, or lists of numbers of one length on each level")
            shape.append(size)
            level = [item for row in level for item in row]
            if len(level) > MAX_LITERAL:
                fail(where, f"\"value\" holds more than {MAX_LITERAL} numbers; put them into the file")
        allowed = {"f": (int, float), "b": (bool,)}.get(np.dtype(dtype).kind, (int,))
        if not all(type(item) in allowed for item in level):
            fail(where, f"\"value\" must hold numbers of {dtype}")
        self.spend(where, 8 * len(level))
        try:
            with np.errstate(over="raise"):
                made = np.array(level, np.float64 if dtype == "float32" else dtype).astype(dtype).reshape(shape)
        except (OverflowError, FloatingPointError):
            fail(where, f"\"value\" holds a number that is beyond {dtype}")
        if not numbers and made.dtype.kind == "f" and not np.isfinite(made).all():
            fail(where, "\"value\" holds a number that is not finite, which no weight is")
        return made


def _element_by_element(where: str, kind: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum or product, as NumPy has it, of two arrays of one shape, or of one and a single element.

    Floats of two types become float64; whole numbers have one type. Raises FormatError for anything else, and for what
    is beyond the type, where NumPy wraps whole numbers and makes floats infinite.
    """
    if one.shape != other.shape:
        few, many = sorted((one, other), key=lambda array: (array.size != 1, array.ndim))
        if few.size != 1 or few.ndim > many.ndim:
            fail(where, f"{kind} of {list(one.shape)} and {list(other.shape)}")
    kinds = {one.dtype.kind, other.dtype.kind}
    if kinds != {"f"} and (one.dtype != other.dtype or "b" in kinds):
        fail(where, f"{kind} of {one.dtype} and {other.dtype}")
    function = np.add if kind == "add" else np.multiply
    with np.errstate(all="ignore"):
        made = np.asarray(function(one, other))
        if kinds == {"f"}:
            beyond = np.isinf(made) & np.isfinite(one) & np.isfinite(other)
        else:
            near = np.asarray(function(one.astype(np.float64), other.astype(np.float64)))
            limits = np.iinfo(made.dtype)
            beyond = (near > limits.max) | (near < limits.min) | (np.abs(near) >= MOST_WHOLE)
    if beyond.any():
        fail(where, f"{kind} gives a number that is beyond {made.dtype}")
    return made


def _along(where: str, kind: str, expression: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    """A part of an axis, or an axis backwards, as a view."""
    if not array.ndim:
        fail(where, f"{kind} of an array without axes")
    axis = _whole(where, expression, "axis", 0, array.ndim - 1)
    size = array.shape[axis]
    if kind == "flip":
        return np.flip(array, axis)
    if kind == "slice":
        start = _whole(where, expression, "start", 0, size)
        stop = _whole(where, expression, "stop", size, size)
        if stop < start:
            fail(where, f"the slice from {start} to {stop} ends before it begins")
    else:
        parts = _whole(where, expression, "parts", None, size)
        if not parts or size % parts:
            fail(where, f"{size} elements cannot be split into {parts} equal parts")
        start = size // parts * _whole(where, expression, "part", None, parts - 1)
        stop = start + size // parts
    cut: np.ndarray = array[(slice(None),) * axis + (slice(start, stop),)]
    return cut


def _whole(where: str, expression: Mapping[str, Any], key: str, default: int | None, most: int) -> int:
    value = expression.get(key, default)
    if type(value) is not int or not 0 <= value <= most:
        fail(where, f"\"{key}\" must be a whole number from 0 to {most}, got {value!r:.50}")
    return value


def fail(where: str, message: str) -> NoReturn:
    """Raise FormatError for what a spec says at a place."""
    raise FormatError(f"spec: {where}: {message}" if where else f"spec: {message}")
