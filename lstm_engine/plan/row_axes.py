"""Whether the rows of a batch may run apart: along which axis of each value they stand, and what mixes them.

Names of axes do not say it: x - ReduceMean(x, axis=0) has the axes of x. So the axis of the batch is followed from the
inputs through every node, by what its operator does. Where a rule is not sure, the node counts as one that mixes rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..graph import Activate, Dense, Node, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim, Shape
from ..graph.operator_rules import parse_einsum
from ..graph.operators import operator_attributes
from .counted import moved, of_shape, shaped
from .places import Counts, Mixed, Mixes, Place, need

# What a layer does: the places in its outputs, of the places in its inputs and the rank of the first.
Layer = Callable[[Node, list[int | None], int], Sequence[Place]]


def place_of(value: Value, dim: Dim, axis: int | None) -> Place:
    """Where an axis stands in an input, `axis` as far as sizes tell; one symbol for two axes says nothing."""
    return Mixed(f"{value.name!r} (input)") if isinstance(dim, str) and value.shape.count(dim) > 1 else axis


def row_places(nodes: Iterable[Node], values: Mapping[str, Value], start: Mapping[str, Place], batch: Dim
               ) -> dict[str, Place]:
    """The place of the rows in every value. start: that in each input of the graph."""
    return follow(nodes, values, start, batch, rows_of_layer)


def follow(nodes: Iterable[Node], values: Mapping[str, Value], start: Mapping[str, Place], dim: Dim, layer: Layer,
           ends: Callable[[Node], bool] = lambda node: False) -> dict[str, Place]:
    """The place in every value of the axis that has the place `start` in each input. dim: its symbol or size.

    layer: what a node that is no operator does with the axis; it raises `Mixes` where the node works along it.
    ends: whether the axis ends in a node that works along it, with nothing said about its outputs.
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
                if isinstance(node, Operator):
                    made = [_of_operator(node, given, values, dim)] * len(node.outputs)
                else:
                    made = layer(node, _axes(given), len(values[node.inputs[0]].shape))
            except Mixes:
                made = [Mixed(f"{node.name!r} ({getattr(node, 'op_type', node.op)})")] * len(node.outputs)
        places.update((name, place) for name, place in zip(node.outputs, made) if name)
    return places


def _of_operator(node: Operator, given: list[Place], values: Mapping[str, Value], dim: Dim) -> Place:
    attributes, shapes = operator_attributes(node), _shapes(node, values)
    if node.op_type == "Shape":
        return of_shape(attributes, _axes(given)[0], len(shapes[0]))            # type: ignore[arg-type]
    if any(isinstance(place, Counts) for place in given):
        known = node.op_type in ("ConstantOfShape", "Expand", "Reshape")
        return shaped(node, given, shapes) if known else moved(node, given, shapes)
    rule = _RULES.get(node.op_type)
    if rule is None:
        raise Mixes
    return rule(_Call(node, attributes, _axes(given), shapes, values[node.outputs[0]].shape, dim))


def _axes(given: Sequence[Place]) -> list[int | None]:
    """The places where they are axes or none; what is made of the number of rows mixes them."""
    need(not any(isinstance(place, (Counts, Mixed)) for place in given))
    return [place for place in given if not isinstance(place, (Counts, Mixed))]


def rows_of_layer(node: Node, given: list[int | None], rank: int) -> Sequence[Place]:
    """The places of the rows in the outputs of a layer, of which one input at least has rows."""
    if isinstance(node, Recurrent):         # states, lengths and masks have a row for each row of x
        need(all(place == 0 for place, name in zip(given, node.inputs) if name))
        return [0] * len(node.outputs)
    return along_layer(node, given[0], rank, 1)


def along_layer(node: Node, at: int | None, rank: int, pooled: int) -> Sequence[Place]:
    """The place in the output of a layer that is not recurrent. pooled: the axis that it must not be in a Pool."""
    along_last = isinstance(node, Dense) or isinstance(node, Activate) and "softmax" in node.activation.name
    need(not (along_last and at == rank - 1) and not (isinstance(node, Pool) and at == pooled))
    return [1 if isinstance(node, Pool) and at == 2 else at]


def _shapes(node: Operator, values: Mapping[str, Value]) -> list[Shape]:
    return [tuple(node.constants[i].shape) if i in node.constants else values[name].shape if name else ()
            for i, name in enumerate(node.inputs)]


@dataclass
class _Call:
    """An operator, its attributes, the place of the rows in each input, and the shapes of inputs and first output."""

    node: Operator
    attributes: dict[str, Any]
    given: list[int | None]
    shapes: list[Shape]
    made: Shape
    batch: Dim

    def only_first(self) -> int:
        """The place in the first input, which alone may have rows."""
        at = self.given[0]
        if at is None or any(place is not None for place in self.given[1:]):
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


_RULES: dict[str, Callable[[_Call], Place]] = {}


def _rule(names: str) -> Callable[[Callable[[_Call], Place]], Callable[[_Call], Place]]:
    def register(function: Callable[[_Call], Place]) -> Callable[[_Call], Place]:
        _RULES.update(dict.fromkeys(names.split(), function))
        return function
    return register


@_rule("Abs Neg Sqrt Exp Log Erf Floor Ceil Round Reciprocal Sign Not Identity IsNaN IsInf Sin Cos Tan Asin Acos Atan"
       " Sinh Cosh Relu Sigmoid Tanh Softplus Softsign HardSwish Mish Elu Celu LeakyRelu ThresholdedRelu Selu"
       " HardSigmoid Gelu Clip Cast CastLike Add Sub Mul Div Pow Mod Max Min Sum Mean And Or Xor Equal Greater"
       " GreaterOrEqual Less LessOrEqual PRelu Where")
def _elementwise(call: _Call) -> Place:
    """Rows must stand at one axis of the result; what has none there must be the same for all."""
    rank = len(call.made)
    places = {at + rank - len(shape) for at, shape in zip(call.given, call.shapes) if at is not None}
    need(len(places) == 1)
    place = places.pop()
    for at, shape in zip(call.given, call.shapes):
        behind = place - rank + len(shape)
        need(at is not None or behind < 0 or shape[behind] == 1)
    return place


@_rule("Softmax LogSoftmax")
def _along(call: _Call) -> Place:
    at = call.only_first()
    need(at != call.axis(call.attributes["axis"]))
    return at


@_rule("CumSum")
def _cumulative(call: _Call) -> Place:
    at, axes = call.only_first(), call.ints(1)
    need(bool(axes) and at != call.axis(axes[0]))      # type: ignore[index]
    return at


@_rule("LayerNormalization")
def _layer_normalization(call: _Call) -> Place:
    at = call.only_first()
    need(at < call.axis(call.attributes["axis"]))
    return at


@_rule("Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool BatchNormalization InstanceNormalization"
       " GroupNormalization")
def _first_axis(call: _Call) -> Place:
    at = call.only_first()
    need(at == 0)
    return at


@_rule("Transpose")
def _transpose(call: _Call) -> Place:
    rank = len(call.shapes[0])
    return list(call.attributes["perm"] or reversed(range(rank))).index(call.only_first())


@_rule("Reshape Flatten")
def _reshape(call: _Call) -> Place:
    """The batch stays an axis of its own, with as many elements before it."""
    at, x, y = call.only_first(), call.shapes[0], call.made
    if x[:at + 1] == y[:at + 1]:
        return at
    need(x.count(call.batch) == 1 and y.count(call.batch) == 1)
    to = y.index(call.batch)
    need(_elements(x[:at]) == _elements(y[:to]))
    return to


def _elements(dims: Shape) -> tuple:
    """The number of elements, as one number and the symbols it is multiplied by."""
    return prod(dim for dim in dims if isinstance(dim, int)), sorted(dim for dim in dims if isinstance(dim, str))


@_rule("Squeeze")
def _squeeze(call: _Call) -> Place:
    at, axes = call.only_first(), call.ints(1)
    if axes is None:
        raise Mixes                        # a batch of one row would go
    gone = [call.axis(axis) for axis in axes]
    need(at not in gone)
    return at - sum(axis < at for axis in gone)


@_rule("Unsqueeze")
def _unsqueeze(call: _Call) -> Place:
    at, axes, rank = call.only_first(), call.ints(1), len(call.made)
    new = {axis % rank for axis in axes or ()}
    return [axis for axis in range(rank) if axis not in new][at]


@_rule("Expand")
def _expand(call: _Call) -> Place:
    at, target = call.only_first(), call.ints(1)
    behind = len(call.shapes[0]) - at
    need(target is not None and (len(target) < behind or target[-behind] == 1))
    return len(call.made) - behind


@_rule("Tile Pad")
def _tile(call: _Call) -> Place:
    at, counts = call.only_first(), call.ints(1)
    rank, pads = len(call.shapes[0]), call.node.op_type == "Pad"
    axes = [call.axis(axis) for axis in (call.ints(3) if pads else None) or range(rank)]
    need(counts is not None and (at not in axes or all(
        count == (0 if pads else 1) for count in counts[axes.index(at)::len(axes)])))
    return at


@_rule("Concat")
def _concat(call: _Call) -> Place:
    at = call.given[0]
    need(at is not None and all(place == at for place in call.given) and at != call.axis(call.attributes["axis"]))
    return at


@_rule("Split TopK")
def _split(call: _Call) -> Place:
    at = call.only_first()
    need(at != call.axis(call.attributes["axis"]))
    return at


@_rule("Slice")
def _slice(call: _Call) -> Place:
    at, starts = call.only_first(), call.ints(1)
    axes = call.ints(3)
    need(starts is not None and at not in [call.axis(axis) for axis in (range(len(starts)) if axes is None else axes)])
    for position in (2, 4):
        call.ints(position)
    return at


@_rule("Gather")
def _gather(call: _Call) -> Place:
    data, indices = call.given
    axis, rank = call.axis(call.attributes["axis"]), len(call.shapes[1])
    if data is None:
        return axis + (indices or 0)
    need(indices is None and data != axis)
    return data if data < axis else data - 1 + rank


@_rule("GatherElements")
def _gather_elements(call: _Call) -> Place:
    at = call.given[0]
    need(at is not None and call.given[1] == at and at != call.axis(call.attributes["axis"]))
    return at


@_rule("OneHot")
def _one_hot(call: _Call) -> Place:
    at, axis = call.only_first(), call.attributes["axis"] % len(call.made)
    return at + (axis <= at)


@_rule("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum"
       " ReduceLogSumExp")
def _reduce(call: _Call) -> Place:
    at, axes = call.only_first(), call.ints(1)
    if not axes:
        need(bool(call.attributes["noop_with_empty_axes"]))
        return at
    return _without(call, at, [call.axis(axis) for axis in axes])


@_rule("ArgMax ArgMin")
def _arg(call: _Call) -> Place:
    return _without(call, call.only_first(), [call.axis(call.attributes["axis"])])


def _without(call: _Call, at: int, axes: list[int]) -> int:
    need(at not in axes)
    return at if call.attributes["keepdims"] else at - sum(axis < at for axis in axes)


@_rule("MatMul")
def _matmul(call: _Call) -> Place:
    """Rows at the rows of the left, the columns of the right, or at a leading axis of both (or of one, free in the
    other)."""
    (a, b), (left, right), rank = call.given, call.shapes, len(call.made)
    need(len(left) > 1 and len(right) > 1 and a != len(left) - 1 and b != len(right) - 2)
    if (a, b) in ((len(left) - 2, None), (None, len(right) - 1)):
        return rank - 2 if b is None else rank - 1
    need((a is None or a < len(left) - 2) and (b is None or b < len(right) - 2))
    return _elementwise(call)


@_rule("Gemm")
def _gemm(call: _Call) -> Place:
    a, b, c = (*call.given, None)[:3]
    at = 1 if call.attributes["transA"] else 0
    addend: Shape = call.shapes[2] if len(call.shapes) > 2 else ()
    need(a == at and b is None)
    need(c == 0 and len(addend) == 2 or c is None and (len(addend) < 2 or addend[0] == 1))
    return 0


@_rule("Einsum")
def _einsum(call: _Call) -> Place:
    terms, result = parse_einsum(call.attributes["equation"], [len(shape) for shape in call.shapes])
    labels = {term[at] for term, at in zip(terms or (), call.given) if at is not None}
    need(len(labels) == 1)
    label = labels.pop()
    need(label in result and all((at is not None) == (label in term) for term, at in zip(terms or (), call.given))
          and all(term.count(label) <= 1 for term in terms or ()))
    return result.index(label)
