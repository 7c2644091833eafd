"""Uses what is known of shapes and shape inputs: turns these into constants, gives results their symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....graph.nodes import Dim, Operator, Value
from . import numbers

Known = Sequence[np.ndarray | None]
Values = Sequence[Value | None]


def with_known_inputs(node: Operator, values: Values, known: Known) -> Operator:
    """`node` with a constant for a shape input of which enough is known, though not every size."""
    first = values[0] if values else None
    if first is None:
        return node
    if node.op_type in ("Reshape", "Expand") and node.inputs[1] and known[1] is not None:
        if node.op_type == "Reshape":
            constant = numbers.reshape_constant(known[1], first.shape, bool(node.attributes.get("allowzero", 0)))
            if constant is not None:        # in which 0 means the size of the input
                node = replace(node, attributes={k: v for k, v in node.attributes.items() if k != "allowzero"})
        else:
            constant = _expand_constant(numbers.dims_of(known[1]), first.shape)
        return node if constant is None else _with_constants(node, {1: constant})
    if node.op_type == "Slice" and any(node.inputs[1:]):
        return _slice(node, first, known)
    if node.op_type == "Gather":
        return _gather(node, first)
    return node


def _with_constants(node: Operator, added: dict[int, np.ndarray]) -> Operator:
    inputs = tuple("" if i in added else name for i, name in enumerate(node.inputs))
    return replace(node, inputs=inputs, constants={**node.constants, **added})


def _expand_constant(target: Sequence[Dim | None], shape: Sequence[Dim]) -> np.ndarray | None:
    """The target with 1 for every size that the input has anyway."""
    result = []
    for axis, dim in enumerate(target, len(shape) - len(target)):
        same = dim is not None and axis >= 0 and dim == shape[axis]
        result.append(1 if same else dim)
    return np.array(result, np.int64) if all(isinstance(dim, int) for dim in result) else None


def _slice(node: Operator, first: Value, known: Known) -> Operator:
    """An end that is the axis' own symbol is past its end."""
    if any(name and known[i] is None for i, name in enumerate(node.inputs[1:], 1)):
        return node
    parts = {i: numbers.dims_of(elements) for i, elements in enumerate(known) if i and elements is not None}
    given = parts.get(3, list(range(len(parts[1]))))
    axes = [axis for axis in given if isinstance(axis, int) and -len(first.shape) <= axis < len(first.shape)]
    if not len(given) == len(axes) == len(parts[2]):
        return node
    parts[2] = [numbers.LARGE if isinstance(end, str) and end == first.shape[axis] else end
                for end, axis in zip(parts[2], axes)]
    if not all(isinstance(v, int) for part in parts.values() for v in part):
        return node
    return _with_constants(node, {i: np.array(part, np.int64) for i, part in parts.items() if i not in node.constants})


def _gather(node: Operator, first: Value) -> Operator:
    """The one place of an axis is the tensor without that axis."""
    place, axis = node.constants.get(1), node.attributes.get("axis", 0)
    if place is None or place.ndim or not -len(first.shape) <= axis < len(first.shape) or first.shape[axis] != 1 \
            or place.dtype.kind != "i" or place not in (0, -1):
        return node
    return replace(node, inputs=(node.inputs[0], ""), op_type="Squeeze", attributes={},
                   constants={**node.constants, 1: np.array([axis])})


def with_known_sizes(node: Operator, values: Values, known: Known, made: Sequence[Value]) -> list[Value]:
    """The results' shapes with the sizes that a shape input names."""
    made = list(made)
    first = values[0] if values else None
    if node.op_type in ("Reshape", "Expand") and first is not None and known[1] is not None:
        target = numbers.dims_of(known[1])
        pick = _reshaped if node.op_type == "Reshape" else _expanded
        made[0] = replace(made[0], shape=pick(target, first.shape, made[0].shape))
    elif node.op_type == "ConstantOfShape" and known[0] is not None:
        made[0] = replace(made[0], shape=_reshaped(numbers.dims_of(known[0]), (), made[0].shape))
    elif node.op_type == "Range" and len(known) == 3 and all(elements is not None for elements in known):
        start, limit, step = (elements.item() for elements in known)     # type: ignore[union-attr]
        if (start, step) == (0, 1) and isinstance(limit, str):
            made[0] = replace(made[0], shape=(limit,))
    return made


def _reshaped(target: Sequence[Dim | None], shape: Sequence[Dim], inferred: Sequence[Dim]) -> tuple[Dim, ...]:
    return tuple(dim if isinstance(dim, str) or (isinstance(dim, int) and dim > 0) else inferred[axis]
                 for axis, dim in enumerate(target))


def _expanded(target: Sequence[Dim | None], shape: Sequence[Dim], inferred: Sequence[Dim]) -> tuple[Dim, ...]:
    result = list(inferred)
    for back in range(1, len(target) + 1):
        old, new = shape[-back] if back <= len(shape) else 1, target[-back]
        if new == 1 or (isinstance(old, int) and old > 1):
            result[-back] = old
        elif isinstance(new, int) or (new is not None and old in (1, new)):
            result[-back] = new
    return tuple(result)
