"""What is known before the run of small integer tensors made from shapes: ints, symbols, None where nothing is.

Exporters compute shapes in the graph: Shape, Gather, Unsqueeze, Concat, Reshape. Elements here are Python
objects in NumPy object arrays, so operators that only move elements run on them unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....graph.nodes import Dim, Operator, Value
from ....operators import run_operator

MOST = 64               # elements; shapes are short
LARGE = 2**62           # an end of a Slice that is past any axis

# The inputs that hold elements; the other inputs must be constants.
_MOVED = {"Gather": (0,), "Slice": (0,), "Concat": None, "Unsqueeze": (0,), "Squeeze": (0,), "Reshape": (0,),
          "Identity": (0,), "Split": (0,), "Where": (1, 2), "Expand": (0,), "Transpose": (0,), "Tile": (0,)}
_INTEGERS = (6, 7)      # data types that Cast keeps numbers whole for


def numbers_of(node: Operator, inputs: Sequence[np.ndarray | None], values: Sequence[Value | None]
               ) -> list[np.ndarray] | None:
    """The elements of each output, None if nothing is known of them.

    inputs: for each input its elements (object dtype), or its constant, or None.
    """
    if node.op_type in ("Shape", "Size") and values[0] is not None:
        dims = list(values[0].shape)
        part = dims[node.attributes.get("start", 0):node.attributes.get("end", len(dims))]
        return [_objects(part) if node.op_type == "Shape" else _objects(_product(dims))]
    if not inputs or any(x is None and (name or i in node.constants)
                         for i, (x, name) in enumerate(zip(inputs, node.inputs))):
        return None
    if sum(x.size for x in inputs if x is not None) > MOST:
        return None
    first = inputs[0]
    if first is None:
        return None
    if node.op_type == "Cast":
        return [_as_objects(first)] if node.attributes["to"] in _INTEGERS else None
    if node.op_type in _MOVED:
        moved = _MOVED[node.op_type] or range(len(inputs))
        arrays = [_as_objects(x) if x is not None and i in moved else x for i, x in enumerate(inputs)]
        if any(x is not None and x.dtype == object for i, x in enumerate(arrays) if i not in moved):
            return None
        given = tuple("" if x is None else f"x{i}" for i, x in enumerate(arrays))
        return run_operator(replace(node, inputs=given, constants={}), arrays)
    if node.op_type in _ARITHMETIC:
        function = np.frompyfunc(_ARITHMETIC[node.op_type], len(inputs), 1)
        return [np.asarray(function(*(_as_objects(x) for x in inputs if x is not None)), object)]
    if node.op_type == "ReduceProd":
        product = _objects(_product(list(_as_objects(first).ravel())))
        return [product if not node.attributes.get("keepdims", 1) else product.reshape((1,) * first.ndim)]
    return None


def as_constant(elements: np.ndarray, dtype: str) -> np.ndarray | None:
    """The array, if every element is known."""
    flat = elements.ravel()
    if any(v is None or isinstance(v, str) for v in flat):
        return None
    if dtype != "bool" and any(not -2**63 <= v < 2**63 for v in flat):
        return None
    return np.array(list(flat), dtype).reshape(elements.shape)


def dims_of(elements: np.ndarray) -> list[Dim | None]:
    dims: list[Dim | None] = elements.ravel().tolist()
    return dims


def reshape_constant(elements: np.ndarray, shape: Sequence[Dim], allow_zero: bool) -> np.ndarray | None:
    """A constant second input of Reshape that does what `elements` do to an input of `shape`.

    A symbol becomes 0 where the input has it on the same axis, else the one -1. None if that is not enough.
    """
    target: list[int] = []
    for axis, dim in enumerate(dims_of(elements)):
        if dim == 0 and allow_zero:
            return None
        if isinstance(dim, int):
            target.append(dim)
        else:
            target.append(0 if dim is not None and axis < len(shape) and shape[axis] == dim else -1)
    return np.array(target, np.int64) if target.count(-1) <= 1 else None


def _objects(value: Any) -> np.ndarray:
    array = np.empty((len(value),) if isinstance(value, list) else (), object)
    array[...] = value
    return array


def _as_objects(array: np.ndarray) -> np.ndarray:
    if array.dtype == object:
        return array
    flat = np.empty(array.size, object)
    flat[:] = array.ravel().tolist()
    return flat.reshape(array.shape)


def _product(dims: Sequence[Dim | None]) -> Dim | None:
    result: Dim | None = 1
    for dim in dims:
        result = _mul(result, dim)
    return result


def _known(*values: Any) -> bool:
    return not any(v is None or isinstance(v, str) for v in values)


def _add(a: Any, b: Any) -> Any:
    return a + b if _known(a, b) else a if b == 0 else b if a == 0 else None


def _sub(a: Any, b: Any) -> Any:
    return a - b if _known(a, b) else a if b == 0 else 0 if a == b and a is not None else None


def _mul(a: Any, b: Any) -> Any:
    if 0 in (a, b):
        return 0
    return a * b if _known(a, b) else a if b == 1 else b if a == 1 else None


def _div(a: Any, b: Any) -> Any:
    if _known(a, b) and b != 0:
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a if b == 1 else None


def _equal(a: Any, b: Any) -> bool | None:
    if _known(a, b):
        return bool(a == b)
    if a is not None and a == b:
        return True
    # A size is never negative.
    return False if any(isinstance(v, int) and v < 0 and isinstance(w, str) for v, w in ((a, b), (b, a))) else None


def _greater(a: Any, b: Any) -> bool | None:
    if _known(a, b):
        return bool(a > b)
    if isinstance(a, str) and isinstance(b, int) and b < 0:
        return True
    return False if (isinstance(a, int) and a <= 0 and isinstance(b, str)) or (a is not None and a == b) else None


def _not(a: Any) -> bool | None:
    return None if a is None else not a


def _and(a: Any, b: Any) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


def _max(a: Any, b: Any) -> Any:
    if _known(a, b):
        return max(a, b)
    return a if a == b or (isinstance(b, int) and b <= 0 and a is not None) else \
        b if isinstance(a, int) and a <= 0 and b is not None else None


def _min(a: Any, b: Any) -> Any:
    return min(a, b) if _known(a, b) else a if a == b else None


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": _add, "Sub": _sub, "Mul": _mul, "Div": _div, "Equal": _equal, "Greater": _greater,
    "Less": lambda a, b: _greater(b, a), "GreaterOrEqual": lambda a, b: _not(_greater(b, a)),
    "LessOrEqual": lambda a, b: _not(_greater(a, b)), "Not": _not, "And": _and,
    "Or": lambda a, b: _not(_and(_not(a), _not(b))), "Max": _max, "Min": _min,
}
