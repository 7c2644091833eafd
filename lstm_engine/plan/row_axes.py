"""Whether the rows of a batch may run apart: along which axis of each value they stand, and what mixes them.

Names of axes do not say it: x - ReduceMean(x, axis=0) has the axes of x. So the axis of the batch is followed from the
inputs through every node, by what its operator does. Where a rule is not sure, the node counts as one that mixes rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..graph import Activate, Dense, Loop, Node, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim, Shape
from ..operators import OPERATORS, operator_attributes
from ..operators.axis_rules import AxisCall, axes_of
from ..operators.inference import infer_shapes
from ..operators.places import Counts, Mixed, Mixes, Place, need

# What a layer does: the places in its outputs, of the places in its inputs and the rank of the first.
Layer = Callable[[Node, list[int | None], int], Sequence[Place]]
Loops = Callable[[Loop, list[int | None]], Sequence[Place]]


def place_of(value: Value, dim: Dim, axis: int | None) -> Place:
    """Where an axis stands in an input, `axis` as far as sizes tell; one symbol for two axes says nothing."""
    return Mixed(f"{value.name!r} (input)") if isinstance(dim, str) and value.shape.count(dim) > 1 else axis


def row_places(nodes: Iterable[Node], values: Mapping[str, Value], start: Mapping[str, Place], batch: Dim
               ) -> dict[str, Place]:
    """The place of the rows in every value. start: that in each input of the graph."""
    return follow(nodes, values, start, batch, rows_of_layer, loop=rows_of_loop)


def follow(nodes: Iterable[Node], values: Mapping[str, Value], start: Mapping[str, Place], dim: Dim, layer: Layer,
           ends: Callable[[Node], bool] = lambda node: False, loop: Loops | None = None) -> dict[str, Place]:
    """The place in every value of the axis that has the place `start` in each input. dim: its symbol or size.

    layer: what a node that is no operator does with the axis; it raises `Mixes` where the node works along it.
    ends: whether the axis ends in a node that works along it, with nothing said about its outputs. loop: what a loop
    does with it; without, it counts as one that works along it.
    """
    places = dict(start)
    for node in nodes:
        given = [places[name] if name else None for name in node.inputs]
        mixed = next((place for place in given if isinstance(place, Mixed)), None)
        made: Sequence[Place]
        if mixed is not None:
            made = [mixed] * len(node.outputs)
        elif all(place is None for place in given) or ends(node):
            made = [None] * len(node.outputs)
        else:
            try:
                if isinstance(node, Loop):
                    need(loop is not None)
                    made = loop(node, axes_of(given))           # type: ignore[misc]
                elif isinstance(node, Operator):
                    made = [place_of_operator(node, given, values, dim)] * len(node.outputs)
                else:
                    made = layer(node, axes_of(given), len(values[node.inputs[0]].shape))
            except Mixes:
                made = [Mixed(f"{node.name!r} ({getattr(node, 'op_type', node.op)})")] * len(node.outputs)
        places.update((name, place) for name, place in zip(node.outputs, made) if name)
    return places


def place_of_operator(node: Operator, given: Sequence[Place], values: Mapping[str, Value], dim: Dim) -> Place:
    """The place in the outputs of an operator of the axis that has these places in its inputs. Raises Mixes."""
    spec = OPERATORS[node.op_type]
    rule = spec.counts if any(isinstance(place, Counts) for place in given) else spec.axes
    if rule is None:
        raise Mixes
    return rule(axis_call(node, given, values, dim))


def axis_call(node: Operator, given: Sequence[Place], values: Mapping[str, Value], dim: Dim) -> AxisCall:
    """What the rules of an operator are asked with."""
    return AxisCall(node, operator_attributes(node), given, _shapes(node, values), values[node.outputs[0]].shape, dim)


def rows_of_layer(node: Node, given: list[int | None], rank: int) -> Sequence[Place]:
    """The places of the rows in the outputs of a layer, of which one input at least has rows."""
    if isinstance(node, Recurrent):         # states, lengths and masks have a row for each row of x
        need(all(place == 0 for place, name in zip(given, node.inputs) if name))
        return [0] * len(node.outputs)
    return along_layer(node, given[0], rank, 1)


def rows_of_loop(node: Loop, given: list[int | None]) -> Sequence[Place]:
    """The places of the rows in the outputs of a loop: each turn must leave them where it found them, and how many
    turns there are must not hang on them."""
    need(given[0] is None and given[1] is None)
    start: dict[str, Place] = {}
    sizes = set[Dim]()
    for i, (value, at) in enumerate(zip(node.body.inputs, given)):
        place = i - 2 - node.states
        if at is not None and 0 <= place < len(node.sequence_axes):
            need(at != node.sequence_axes[place])
            at -= at > node.sequence_axes[place]
        if at is not None:
            sizes.add(value.shape[at])
        start[value.name] = at
    need(len(sizes) == 1)
    inside = row_places(node.body.nodes, infer_shapes(node.body), start, sizes.pop())
    goes_on, *made = [inside[name] for name in node.body.outputs]
    need(goes_on is None and made[:node.states] == [start[value.name] for value in node.body.inputs[2:2 + node.states]])
    results = axes_of(made)[node.states:]
    return [*made[:node.states], *(None if at is None else at + (axis <= at)
                                   for at, axis in zip(results, node.result_axes))]


def along_layer(node: Node, at: int | None, rank: int, pooled: int) -> Sequence[Place]:
    """The place in the output of a layer that is not recurrent. pooled: the axis that it must not be in a Pool."""
    along_last = isinstance(node, Dense) or isinstance(node, Activate) and "softmax" in node.activation.name
    need(not (along_last and at == rank - 1) and not (isinstance(node, Pool) and at == pooled))
    return [1 if isinstance(node, Pool) and at == 2 else at]


def _shapes(node: Operator, values: Mapping[str, Value]) -> list[Shape]:
    return [tuple(node.constants[i].shape) if i in node.constants else values[name].shape if name else ()
            for i, name in enumerate(node.inputs)]
