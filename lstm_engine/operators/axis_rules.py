"""Rules for where an axis that is followed, rows or steps, stands in an operator's outputs, and those families share.

A rule gets an `AxisCall`, one input of which at least has the axis, and returns its place in the outputs. It raises
`Mixes` where the operator works along the axis, or where that is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.nodes import Dim, Operator, Shape
from .places import Counts, Mixed, Mixes, Place, need


@dataclass
class AxisCall:
    """An operator, its attributes, the place of the axis in each input, the shapes of its inputs and first output.

    dim: the symbol or size of the axis.
    """

    node: Operator
    attributes: dict[str, Any]
    places: Sequence[Place]
    shapes: list[Shape]
    made: Shape
    dim: Dim

    @property
    def given(self) -> list[int | None]:
        """The places, where they are axes or none."""
        return axes_of(self.places)

    def only_first(self) -> int:
        """The place in the first input, which alone may have the axis."""
        at, *others = self.given
        if at is None or any(place is not None for place in others):
            raise Mixes
        return at

    def ints(self, position: int) -> list[int] | None:
        """A constant input; None where it is left out. One that the run makes counts as mixing."""
        if position >= len(self.node.inputs):
            return None
        if position in self.node.constants:
            return [int(v) for v in self.node.constants[position].reshape(-1)]
        need(not self.node.inputs[position])
        return None

    def axis(self, axis: int, position: int = 0) -> int:
        return axis % max(len(self.shapes[position]), 1)


AxisRule = Callable[[AxisCall], Place]


def axes_of(places: Sequence[Place]) -> list[int | None]:
    """The places where they are axes or none; what is made of the number of rows mixes them."""
    need(not any(isinstance(place, (Counts, Mixed)) for place in places))
    return [place for place in places if not isinstance(place, (Counts, Mixed))]


def elementwise_axes(call: AxisCall) -> Place:
    """The axis must stand at one place of the result; what has none there must be the same for all."""
    rank, given = len(call.made), call.given
    places = {at + rank - len(shape) for at, shape in zip(given, call.shapes) if at is not None}
    need(len(places) == 1)
    place = places.pop()
    for at, shape in zip(given, call.shapes):
        behind = place - rank + len(shape)
        need(at is not None or behind < 0 or shape[behind] == 1)
    return place


def beside_axis(call: AxisCall) -> Place:
    """Of an operator that works along the axis it names, and leaves the others where they are."""
    at = call.only_first()
    need(at != call.axis(call.attributes["axis"]))
    return at


def first_axis(call: AxisCall) -> Place:
    """Of an operator on [batch, channels, ...]: the batch alone stays apart."""
    at = call.only_first()
    need(at == 0)
    return at


def without(call: AxisCall, axes: Sequence[int]) -> int:
    """The place in what reduces the axes given, with `keepdims` or without."""
    at = call.only_first()
    need(at not in axes)
    return at if call.attributes["keepdims"] else at - sum(axis < at for axis in axes)
