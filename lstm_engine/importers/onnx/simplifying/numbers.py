"""What is known before the run of small integer tensors made from shapes: ints, symbols, None where nothing is.

Exporters compute shapes in the graph: Shape, Gather, Unsqueeze, Concat, Reshape. Elements here are Python
objects in NumPy object arrays, so operators that only move elements run on them unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....graph.nodes import Dim, Operator, Value
from ....operators import OPERATORS, run_operator
from ....operators.symbolic import product_of

MOST = 64               # elements; shapes are short
LARGE = 2**62           # an end of a Slice that is past any axis

_INTEGERS = (6, 7)      # data types that Cast keeps numbers whole for


def numbers_of(node: Operator, inputs: Sequence[np.ndarray | None], values: Sequence[Value | None]
               ) -> list[np.ndarray] | None:
    """The elements of each output, None if nothing is known of them.

    inputs: for each input its elements (object dtype), or its constant, or None.
    """
    if node.op_type in ("Shape", "Size") and values[0] is not None:
        dims = list(values[0].shape)
        part = dims[node.attributes.get("start", 0):node.attributes.get("end", len(dims))]
        return [_objects(part) if node.op_type == "Shape" else _objects(product_of(dims))]
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
    spec = OPERATORS[node.op_type]
    if spec.moves:
        arrays = [_as_objects(x) if x is not None and spec.moves_only(i) else x for i, x in enumerate(inputs)]
        if any(x is not None and x.dtype == object for i, x in enumerate(arrays) if not spec.moves_only(i)):
            return None                     # what says where must be known
        given = tuple("" if x is None else f"x{i}" for i, x in enumerate(arrays))
        return run_operator(replace(node, inputs=given, constants={}), arrays)
    if spec.symbolic is not None:
        function = np.frompyfunc(spec.symbolic, len(inputs), 1)
        return [np.asarray(function(*(_as_objects(x) for x in inputs if x is not None)), object)]
    if node.op_type == "ReduceProd":
        product = _objects(product_of(list(_as_objects(first).ravel())))
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
