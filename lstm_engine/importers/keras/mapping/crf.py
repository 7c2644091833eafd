"""A conditional random field over the steps: the most likely sequence of tags (TensorFlow Addons' CRF).

Viterbi's algorithm in two loops: forward along the steps with the best score of each tag, and backward along the tags
that these scores came from. Source: tensorflow_addons 0.23, layers/crf.py and text/crf.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....data_types import DATA_TYPE_NUMBERS
from ....errors import FormatError
from ....graph import Dense, Graph, Loop, Operator, Value
from ....graph.nodes import Dim
from ..reading.config import Layer
from ..reading.parts import parts
from .builder import Builder, Tensor
from .registry import OWN, Arguments, Context, maps, show
from .weights import check_shape

FIRST, SECOND = np.array([1], np.int64), np.array([2], np.int64)


@maps("CRF", mask=OWN)
def crf(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """(tags [batch, time], potentials [batch, time, units], lengths [batch], chain_kernel): what its call gives."""
    builder, name, units = context.builder, layer.where, layer.size("units")
    x, = arguments.x
    if x.rank != 3:
        raise FormatError(f"{layer}: its input {show(x.shape)} is no sequence of vectors")
    boundary = layer.get("use_boundary", bool, True)
    arrays = context.weights.take(layer, (1 + 2 * boundary,))
    for array, shape in zip(arrays, ((units, units), (units,), (units,))):
        if array.shape != shape:
            raise FormatError(f"{layer}: its weights must be [{units}, {units}] and [{units}], got {list(array.shape)}")
    potentials = builder.as_float(x, name)
    if layer.get("use_kernel", bool, True):
        potentials = _scores(context, layer, potentials, units)
    elif not builder.unify(x.shape[2], units):
        raise FormatError(f"{layer}: use_kernel is false, and its input {show(x.shape)} has no {units} features")
    mask = arguments.mask
    if boundary:
        potentials = with_boundaries(builder, name, potentials, mask, arrays[1], arrays[2])
    lengths = _lengths(builder, name, potentials, mask)
    tags = _Viterbi(builder, name, potentials, arrays[0], None if mask is None else lengths).tags()
    kernel = builder.constant(f"{name}/chain_kernel", arrays[0])
    return [replace(tags, mask=arguments.previous), potentials, lengths, kernel]


def _scores(context: Context, layer: Layer, x: Tensor, units: int) -> Tensor:
    inner = parts(context.tree, layer)[0][0]
    kernel, bias = context.weights.take(inner, (2,))
    check_shape(inner, "kernel", kernel, None, units)
    check_shape(inner, "bias", bias, units)
    if not context.builder.unify(x.shape[2], kernel.shape[0]):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, its kernel takes {kernel.shape[0]} "
                          "inputs")
    return context.builder.add(Dense, inner.where, [x], [(inner.where, (*x.shape[:2], units), x.dtype)], kernel=kernel,
                               bias=bias)[0]


def with_boundaries(builder: Builder, name: str, scores: Tensor, mask: Tensor | None, left: np.ndarray,
                     right: np.ndarray) -> Tensor:
    """What a sequence begins and ends with, added to its first and last steps: each where a mask begins and ends."""
    if mask is None:
        first, rest = (builder.slice(scores, f"{name}/{part}", 1, *bounds) for part, bounds in (
            ("first", (0, 1)), ("rest", (1, None))))
        begun = builder.operator("Concat", f"{name}/begun", [
            builder.operator("Add", f"{name}/left", [first, left], first.shape), rest], scores.shape,
            attributes={"axis": 1})
        most, last = (builder.slice(begun, f"{name}/{part}", 1, *bounds) for part, bounds in (
            ("most", (0, -1)), ("last", (-1, None))))
        return builder.operator("Concat", f"{name}/potentials", [
            most, builder.operator("Add", f"{name}/right", [last, right], last.shape)], scores.shape,
            attributes={"axis": 1})
    none = builder.operator("And", f"{name}/none", [mask, np.array(False)], mask.shape)
    nothing = builder.slice(none, f"{name}/nothing", 1, 0, 1)
    for side, bounds, order, added in (("left", (0, -1), -1, left), ("right", (1, None), 1, right)):
        others = builder.slice(mask, f"{name}/{side}/others", 1, *bounds)
        beside = builder.operator("Concat", f"{name}/{side}/beside", [nothing, others][::-order], mask.shape,
                                  attributes={"axis": 1})
        outside = builder.operator("Not", f"{name}/{side}/outside", [beside], mask.shape)
        edge = builder.operator("And", f"{name}/{side}/edge", [mask, outside], mask.shape)
        weight = builder.operator("Unsqueeze", f"{name}/{side}/weight",
                                  [builder.cast(edge, scores.dtype, f"{name}/{side}"), SECOND], (*mask.shape, 1))
        share = builder.operator("Mul", f"{name}/{side}/share", [weight, added], scores.shape)
        scores = builder.operator("Add", f"{name}/{side}", [scores, share], scores.shape)
    return scores


def _lengths(builder: Builder, name: str, scores: Tensor, mask: Tensor | None) -> Tensor:
    """How many steps count of each row, int64 [batch]."""
    if mask is None:
        rows, steps = (builder.operator("Shape", f"{name}/{part}", [scores], (1,), "int64", {
            "start": axis, "end": axis + 1}) for axis, part in enumerate(("rows", "steps")))
        return builder.operator("Expand", f"{name}/lengths", [steps, rows], scores.shape[:1])
    return builder.operator("ReduceSum", f"{name}/lengths", [builder.cast(mask, "int64", f"{name}/steps"), FIRST],
                            scores.shape[:1], attributes={"keepdims": 0})


class _Viterbi:
    """lengths: None where every step counts."""

    def __init__(self, builder: Builder, name: str, scores: Tensor, moves: np.ndarray, lengths: Tensor | None) -> None:
        self.builder, self.name, self.scores, self.moves = builder, name, scores, moves
        self.batch, self.units = scores.shape[0], int(moves.shape[0])
        self.first = builder.step(scores, f"{name}/first_step", 0)
        self.rest = builder.slice(scores, f"{name}/later_steps", 1, 1, None)
        self.places = self.count = None
        if lengths is not None:
            self.count = builder.operator("Unsqueeze", f"{name}/count", [lengths, FIRST], (self.batch, 1))
            steps = builder.operator("Shape", f"{name}/time", [scores], (1,), "int64", {"start": 1, "end": 2})
            scalar = builder.operator("Squeeze", f"{name}/time/number", [steps, np.array([0], np.int64)], ())
            self.places = builder.operator("Range", f"{name}/places", [np.array(0, np.int64), scalar,
                                                                       np.array(1, np.int64)], scores.shape[1:2],
                                           "int64")

    def tags(self) -> Tensor:
        """[batch, time], int32. A step that does not count has tag 0."""
        builder, name, (batch, time) = self.builder, self.name, self.scores.shape[:2]
        on = [] if self.places is None else [self._counts()]
        best, came = self._forward(on)
        last = builder.operator("ArgMax", f"{name}/last", [best], (batch,), "int64", {"axis": 1, "keepdims": 0})
        before = self._backward(last, came, on)
        ends = builder.operator("Unsqueeze", f"{name}/ends", [last, FIRST], (batch, 1))
        path = builder.operator("Concat", f"{name}/path", [before, ends], (batch, time), attributes={"axis": 1})
        if self.places is not None and self.count is not None:
            least = builder.operator("Max", f"{name}/least", [self.count, np.array(1, np.int64)], (batch, 1))
            real = builder.operator("Less", f"{name}/real", [self.places, least], (batch, time), "bool")
            path = builder.operator("Where", f"{name}/kept", [real, path, np.array(0, np.int64)], (batch, time),
                                    "int64")
        return builder.operator("Cast", f"{name}/tags", [path], (batch, time), "int32",
                                {"to": DATA_TYPE_NUMBERS["int32"]})

    def _counts(self) -> Tensor:
        """Whether there is a step behind each but the last one, [batch, time - 1]."""
        builder, name = self.builder, self.name
        assert self.places is not None and self.count is not None
        behind = builder.slice(self.places, f"{name}/behind", 0, 1, None)
        return builder.operator("Less", f"{name}/counts", [behind, self.count], (self.batch, behind.shape[0]), "bool")

    def _forward(self, on: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The best score of a path that ends in each tag, and of each step the tags that these came from."""
        dtype, units = self.scores.dtype, self.units
        nodes = [node("Unsqueeze", "score", "column", {1: SECOND}),
                 node("Add", "column", "moved", {1: self.moves[None]}),
                 node("ReduceMax", "moved", "best", {1: FIRST}, keepdims=0), node("Add", "best emitted", "new"),
                 node("ArgMax", "moved", "from", axis=1, keepdims=0)]
        given = [Value("score", ("batch", units), dtype), Value("emitted", ("batch", units), dtype)]
        made = ["new", "from"]
        if on:
            given.append(Value("counts", ("batch",), "bool"))
            nodes += [node("Unsqueeze", "counts", "on", {1: FIRST}), node("Where", "on new score", "kept"),
                      node("Where", "on from", "came", {2: np.array(0, np.int64)})]
            made = ["kept", "came"]
        best, came = loop_over_steps(
            self.builder, f"{self.name}/forward", nodes, given, made, [self.first], [self.rest, *on], 0,
            [((self.batch, units), dtype), ((self.batch, self.rest.shape[1], units), "int64")])
        return best, came

    def _backward(self, last: Tensor, came: Tensor, on: list[Tensor]) -> Tensor:
        """The tags of all steps but the last, from there on back."""
        nodes = [node("Unsqueeze", "tag", "place", {1: FIRST}),
                 node("GatherElements", "came place", "picked", axis=1),
                 node("Squeeze", "picked", "before", {1: FIRST})]
        given = [Value("tag", ("batch",), "int64"), Value("came", ("batch", self.units), "int64")]
        if on:
            given.append(Value("counts", ("batch",), "bool"))
            nodes.append(node("Where", "counts before tag", "kept"))
        nodes.append(node("Identity", nodes[-1].outputs[0], "given"))
        return loop_over_steps(
            self.builder, f"{self.name}/backward", nodes, given, [nodes[-2].outputs[0], "given"], [last], [came, *on],
            1, [((self.batch,), "int64"), ((self.batch, came.shape[1]), "int64")])[1]


def loop_over_steps(builder: Builder, label: str, nodes: list[Operator], given: list[Value], made: list[str],
                    states: list[Tensor], sequences: list[Tensor], backwards: int,
                    outputs: list[tuple[Sequence[Dim], str]]) -> list[Tensor]:
    """A loop over the steps of sequences, whose one result has them on axis 1, too. given: what a turn is given, states
    first; made: the names of the next states, then of the result; outputs: shapes and types of what the loop gives."""
    body = Graph((Value("turn", (), "int64"), Value("goes on", (), "bool"), *given), tuple(nodes), ("goes on", *made))
    return builder.add(
        Loop, label, [None, None, *states, *sequences],
        [(f"{label}/{part}", shape, dtype) for part, (shape, dtype) in zip(("state", "steps"), outputs)],
        body=body, states=len(states), sequence_axes=(1,) * len(sequences), backwards=(backwards,) * len(sequences),
        result_axes=(1,), turned=(backwards,))


def node(op: str, inputs: str, output: str, constants: dict[int, np.ndarray] | None = None, **attributes: int
         ) -> Operator:
    """An operator of a body. Names of inputs are separated by spaces; constants stand behind them."""
    names = inputs.split()
    return Operator(name=output, op_type=op, inputs=(*names, *[""] * (len(constants or {}))), outputs=(output,),
                    attributes=attributes, constants=constants or {})
