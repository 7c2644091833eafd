"""Sizes that a graph computes from its values' shapes, and the shapes that it makes of them.

`zeros(1, x.size(0), hidden)` and `view(x.size(0), -1)` are written by exporters as Shape, Gather, Concat and then
ConstantOfShape or Reshape. Such a size is the number of rows itself, so rows stay apart in what is made of it. These
are the `counts` rules of the operators that do it: of an `AxisCall` with `Counts` among its places.
"""

from __future__ import annotations

import numpy as np

from .axis_rules import AxisCall
from .places import Counts, Place, need
from .run import run_operator


def of_shape(call: AxisCall) -> Place:
    """What Shape gives of a value that has the axis."""
    at = call.only_first()
    return _sizes((np.arange(len(call.shapes[0])) == at)[call.attributes["start"]:call.attributes["end"]])


def unchanged(call: AxisCall) -> Place:
    """Sizes as they are."""
    return call.places[0]


def joined(call: AxisCall) -> Place:
    """Sizes put together, those that are the same for all rows among them."""
    lengths = [shape[0] for shape in call.shapes if len(shape) == 1 and isinstance(shape[0], int)]
    need(len(lengths) == len(call.shapes))
    need(all(place is None or isinstance(place, Counts) for place in call.places))
    return _sizes(np.concatenate([place.rows if isinstance(place, Counts) else np.zeros(length, bool)
                                  for place, length in zip(call.places, lengths)]))


def moved(call: AxisCall) -> Place:
    """Sizes taken from others: the operator itself, on what says which of them are rows."""
    node, (sizes, *others) = call.node, call.places
    need(isinstance(sizes, Counts) and all(not name or place is None and position in node.constants for
                                           position, (name, place) in enumerate(zip(node.inputs[1:], others), 1)))
    assert isinstance(sizes, Counts)
    flags = sizes.rows.astype(np.int64)
    made = run_operator(node, [flags, *map(node.constants.get, range(1, len(node.inputs)))])
    return _sizes(made[0].astype(bool))


def rows_of(call: AxisCall, position: int) -> tuple[np.ndarray, int]:
    """Which of the sizes that say a shape are rows, and the axis, the one, at which they are."""
    sizes = call.places[position]
    need(isinstance(sizes, Counts) and sizes.rows.ndim == 1 and sizes.rows.sum() == 1)
    assert isinstance(sizes, Counts)
    return sizes.rows, int(np.flatnonzero(sizes.rows)[0])


def _sizes(rows: np.ndarray) -> Place:
    return Counts(rows) if rows.any() else None
