"""Whether the steps of a sequence may run apart from each other, but for the layers that go through time.

`lengths` and streams need it: what stands past the end of a row must reach no step before it, and a step that comes
must not need those to come. The axis of time is followed from the inputs through every node, as that of rows is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..graph import Node, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim
from ..operators.places import Counts, Mixed, Place, need
from .axes import Axes
from .row_axes import along_layer, follow, place_of


def step_places(nodes: Iterable[Node], inputs: Sequence[Value], axes: Axes, time: Dim, streamed: bool = False
                ) -> dict[str, Place]:
    """The place of the time axis `time` in every value, None where it has none; Mixed where a node works across time.

    streamed: the last step of a sequence may be picked, as it is the newest one.
    """
    start = {value.name: place_of(value, time, axes.time_axis(value.name) if axes.time(value.name) == time else None)
             for value in inputs}
    return follow(nodes, axes.values, start, time, steps_of_layer,
                  lambda node: streamed and takes_last_step(node, axes))


def across_time(places: Mapping[str, Place], outputs: Sequence[str]) -> str:
    """What works across time, as a sentence, "" if nothing does. places: of the steps in every value."""
    for place in places.values():
        if isinstance(place, Mixed):
            return f"node {place.node} works across time"
    counted = [name for name in outputs if isinstance(places[name], Counts)]
    return f"output {counted[0]!r} is the number of steps" if counted else ""


def mixed_in_time(nodes: Iterable[Node], rows: Mapping[str, Place], steps: Mapping[str, Place]) -> str:
    """The first node that makes a row of the steps of other rows, and so of their padding; "" if none does.

    rows, steps: the places of both in every value.
    """
    for node in nodes:
        given = [name for name in node.inputs if name]
        made = next((rows[name] for name in node.outputs if name), None)
        if isinstance(made, Mixed) and not isinstance(node, Recurrent) \
                and not any(isinstance(rows[name], Mixed) for name in given) \
                and any(steps[name] is not None for name in given):
            return made.node
    return ""


def takes_last_step(node: Node, axes: Axes) -> bool:
    """Whether a node picks the last step of a sequence, as a layer does that gives its last output alone."""
    return isinstance(node, Operator) and bool(node.inputs) and bool(node.inputs[0]) and takes_last_of(
        node, len(axes.values[node.inputs[0]].shape), axes.time_axis(node.inputs[0]))


def takes_last_of(node: Operator, rank: int, axis: int | None) -> bool:
    """Whether a node picks the last place of this axis of its input."""
    if node.op_type != "Gather" or 1 not in node.constants:
        return False
    index = node.constants[1]
    return index.ndim == 0 and index == -1 and axis == node.attributes.get("axis", 0) % rank


def steps_of_layer(node: Node, given: list[int | None], rank: int) -> Sequence[Place]:
    """The places of the steps in the outputs of a layer, of which one input at least has steps."""
    at = given[0]
    if isinstance(node, Recurrent):
        x, lengths, h, c, mask = (*given, None, None, None, None)[:5]
        if x == 0:                              # an inner layer whose rows are the steps
            need(all(place == 0 for place, name in zip(given, node.inputs) if name))
            return [0] * len(node.outputs)
        need(x == 1 and lengths is None and h is None and c is None and mask in (None, 1))
        return [1, None, None][:len(node.outputs)]
    if isinstance(node, Pool) and at == 1:
        return [None]
    return along_layer(node, at, rank, 1)
