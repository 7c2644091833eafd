"""Sizes that a graph computes from its values' shapes, and the shapes that it makes of them.

`zeros(1, x.size(0), hidden)` and `view(x.size(0), -1)` are written by exporters as Shape, Gather, Concat and then
ConstantOfShape or Reshape. Such a size is the number of rows itself, so rows stay apart in what is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Operator
from ..graph.nodes import Shape
from .places import Counts, Place, need


def of_shape(attributes: dict[str, Any], at: int, rank: int) -> Place:
    """What Shape gives of a value whose rows stand at the axis `at`."""
    return _sizes((np.arange(rank) == at)[attributes["start"]:attributes["end"]])


def moved(node: Operator, given: Sequence[Place], shapes: Sequence[Shape]) -> Place:
    """Sizes taken from others and put together: the operators that do it, on what says which are rows."""
    from .host_ops import run_operator

    if node.op_type in ("Identity", "Cast"):
        return given[0]
    if node.op_type == "Concat":
        need(all(len(shape) == 1 and isinstance(shape[0], int) for shape in shapes))
        need(all(place is None or isinstance(place, Counts) for place in given))
        return _sizes(np.concatenate([place.rows if isinstance(place, Counts) else np.zeros(shape, bool)
                                      for place, shape in zip(given, shapes)]))
    sizes, *others = given
    need(node.op_type in ("Gather", "Slice", "Squeeze", "Unsqueeze") and isinstance(sizes, Counts))
    need(all(not name or place is None and position in node.constants
             for position, (name, place) in enumerate(zip(node.inputs[1:], others), 1)))
    made = run_operator(node, [sizes.rows.astype(np.int64), *map(node.constants.get, range(1, len(node.inputs)))])
    return _sizes(made[0].astype(bool))


def shaped(node: Operator, given: Sequence[Place], shapes: Sequence[Shape]) -> int | None:
    """The axis of the rows in a value that is given computed sizes as its shape."""
    sizes = given[0] if node.op_type == "ConstantOfShape" else given[1]
    need(isinstance(sizes, Counts) and sizes.rows.ndim == 1 and sizes.rows.sum() == 1)
    to = int(np.flatnonzero(sizes.rows)[0])                  # type: ignore[union-attr]
    if node.op_type == "ConstantOfShape":
        return to
    at, x = given[0], shapes[0]
    if node.op_type == "Reshape":                            # as many rows as before, and nothing in front of them
        need(at == to == 0)
        return to
    need(node.op_type == "Expand")
    behind = len(sizes.rows) - to                            # type: ignore[union-attr]
    there = len(x) - behind                                  # where the rows would stand in x
    need(len(sizes.rows) >= len(x) and (at == there if at is not None else there < 0 or x[there] == 1))
    return to


def _sizes(rows: np.ndarray) -> Place:
    return Counts(rows) if rows.any() else None
