"""The conditional random field of keras-contrib: the tags of the best path, or the probabilities of each step.

It works with energies, of which the least is the best. What it does at the end of a sequence is kept as it is: without
a mask the chain's energies count behind the last step as well, and with one the right boundary counts nowhere that
counts. Source: keras_contrib/layers/crf.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....errors import FormatError
from ....graph import Dense, Operator, Value
from ..reading.config import Layer
from .activations import activation
from .builder import Builder, Tensor
from .crf import FIRST, SECOND, loop_over_steps, node, with_boundaries
from .registry import OWN, Arguments, Context, floats, maps, show
from .weights import check_shape

_MODES = {"join": "viterbi", "marginal": "marginal"}


@maps("keras_contrib.CRF", mask=OWN)
def contrib_crf(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """[batch, time, units]: ones at the tags of the best path, or probabilities."""
    builder, name, units = context.builder, layer.where, layer.size("units")
    for key in ("sparse_target", "input_dim", "unroll"):            # of training, and of how it is computed
        layer.config.get(key)
    learns = layer.config.get("learn_mode", "join")
    if not isinstance(learns, str) or learns not in _MODES:
        raise FormatError(f"{layer}: learn_mode is {learns!r:.80}; expected join or marginal")
    mode = layer.config.get("test_mode") or _MODES[learns]
    if mode not in _MODES.values():
        raise FormatError(f"{layer}: test_mode is {mode!r:.80}; expected viterbi or marginal")
    use_bias, boundary = layer.get("use_bias", bool, True), layer.get("use_boundary", bool, True)
    x = floats(context, layer, arguments, 3)
    kernel, chain, *rest = context.weights.take(layer, (2 + use_bias + 2 * boundary,))
    check_shape(layer, "kernel", kernel, None, units)
    check_shape(layer, "chain_kernel", chain, units, units)
    for what, array in zip([*["bias"] * use_bias, "left_boundary", "right_boundary"], rest):
        check_shape(layer, what, array, units)
    if not builder.unify(x.shape[-1], kernel.shape[0]):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, its kernel takes {kernel.shape[0]} "
                          "inputs")
    energies = builder.add(Dense, name, [x], [(name, (*x.shape[:2], units), x.dtype)], kernel=kernel,
                           bias=rest[0] if use_bias else None, activation=activation(layer, context.version))[0]
    mask = arguments.mask
    if boundary:
        left, right = rest[use_bias:]
        energies = with_boundaries(builder, name, energies, None, left, right) if mask is None else \
            _begun(builder, name, energies, mask, left)
    field = _Field(builder, name, chain, energies, mask)
    made = field.best() if mode == "viterbi" else field.probabilities()
    if mask is None or learns != "join":
        return replace(made, mask=arguments.previous)
    real = builder.cast(mask, "int32", f"{name}/has_steps")
    return replace(made, mask=builder.operator("ReduceMax", f"{name}/has_steps", [real, FIRST], real.shape[:1],
                                               attributes={"keepdims": 0}))


def _begun(builder: Builder, name: str, energies: Tensor, mask: Tensor, left: np.ndarray) -> Tensor:
    """The energies with that of beginning where a mask begins. The layer looks for ends before a first step, whose
    energies do not count."""
    before = _shifted(builder, f"{name}/before", builder.cast(mask, energies.dtype, f"{name}/mask"), 1)
    fresh = builder.operator("Not", f"{name}/fresh", [builder.cast(before, "bool", f"{name}/before")], mask.shape)
    first = builder.cast(builder.operator("And", f"{name}/first", [mask, fresh], mask.shape), energies.dtype,
                         f"{name}/first")
    weight = builder.operator("Unsqueeze", f"{name}/begins", [first, SECOND], (*mask.shape, 1))
    share = builder.operator("Mul", f"{name}/left/share", [weight, left], energies.shape)
    return builder.operator("Add", f"{name}/left", [energies, share], energies.shape)


def _shifted(builder: Builder, name: str, x: Tensor, by: int) -> Tensor:
    """x a step later (1) or earlier (-1) on axis 1, zeros where there is none."""
    kept = builder.slice(x, f"{name}/kept", 1, *((0, -1) if by > 0 else (1, None)))
    pads = [0] * (2 * x.rank)
    pads[1 if by > 0 else x.rank + 1] = 1
    return builder.operator("Pad", name, [kept, np.array(pads, np.int64)], x.shape)


class _Field:
    """Energies [batch, time, units] of steps, and of each pair of tags that follow each other."""

    def __init__(self, builder: Builder, name: str, chain: np.ndarray, energies: Tensor, mask: Tensor | None) -> None:
        self.builder, self.name, self.chain, self.mask = builder, name, chain, mask
        self.batch, self.time, self.units = energies.shape[0], energies.shape[1], chain.shape[0]
        self.counts = None if mask is None else builder.cast(mask, energies.dtype, f"{name}/counts")
        self.energies = energies
        if self.counts is not None:
            weight = builder.operator("Unsqueeze", f"{name}/weight", [self.counts, SECOND], (*self.counts.shape, 1))
            self.energies = builder.operator("Mul", f"{name}/real", [energies, weight], energies.shape)
        first = builder.step(self.energies, f"{name}/first_step", 0)
        self.nothing = builder.operator("Sub", f"{name}/nothing", [first, first], first.shape)

    def best(self) -> Tensor:
        """Ones at the tags of the path of least energy."""
        builder, name, batch, time, units = self.builder, self.name, self.batch, self.time, self.units
        nodes = [node("Add", "energy score", "sum"), node("Unsqueeze", "sum", "column", {1: SECOND}),
                 *self._following(), node("Add", "column moves", "ways"),
                 node("ReduceMin", "ways", "least", {1: FIRST}, keepdims=0),
                 node("ArgMin", "ways", "from", axis=1, keepdims=0)]
        _, came = self._loop("forward", nodes, "score", ["least", "from"], self._on("forward", 1), 0, "int64")
        last = builder.step(came, f"{name}/last_step", -1)
        tag = builder.step(last, f"{name}/any", 0)
        back = [node("Unsqueeze", "tag", "place", {1: FIRST}), node("GatherElements", "came place", "picked", axis=1),
                node("Squeeze", "picked", "before", {1: FIRST}), node("Identity", "before", "given")]
        path = loop_over_steps(builder, f"{name}/backward", back,
                               [Value("tag", ("batch",), "int64"), Value("came", ("batch", units), "int64")],
                               ["before", "given"], [tag], [came], 1,
                               [((batch,), "int64"), ((batch, time), "int64")])[1]
        wide = builder.operator("Unsqueeze", f"{name}/tags", [path, SECOND], (batch, time, 1))
        same = builder.operator("Equal", f"{name}/same", [wide, np.arange(units, dtype=np.int64)],
                                (batch, time, units), "bool")
        return builder.cast(same, self.energies.dtype, f"{name}/path")

    def probabilities(self) -> Tensor:
        """Of each tag at each step."""
        builder, name, shape = self.builder, self.name, self.energies.shape
        nodes = [node("Sub", "energy score", "sum"), node("Unsqueeze", "sum", "column", {1: SECOND}),
                 *self._following(), node("Add", "column moves", "ways"), node("Neg", "ways", "turned"),
                 node("ReduceLogSumExp", "turned", "new", {1: FIRST}, keepdims=0), node("Identity", "new", "given")]
        dtype = self.energies.dtype
        before = self._loop("forward", nodes, "score", ["new", "given"], self._on("forward", 1), 0, dtype)[1]
        after = self._loop("backward", nodes, "score", ["new", "given"], self._on("backward", -1), 1, dtype)[1]
        total = builder.operator("Add", f"{name}/before_and_own", [
            _shifted(builder, f"{name}/before", before, 1), self.energies], shape)
        total = builder.operator("Add", f"{name}/all", [total, _shifted(builder, f"{name}/after", after, -1)], shape)
        turned = builder.operator("Neg", f"{name}/margin", [total], shape)
        return builder.operator("Softmax", f"{name}/probabilities", [turned], shape, attributes={"axis": -1})

    def _on(self, name: str, by: int) -> list[Tensor]:
        """Whether a step and the one that the loop comes to next both count, [batch, time]; nothing without a mask."""
        if self.counts is None:
            return []
        label = f"{self.name}/{name}/on"
        beside = _shifted(self.builder, f"{label}/beside", self.counts, -by)
        return [self.builder.operator("Mul", label, [self.counts, beside], self.counts.shape)]

    def _following(self) -> list[Operator]:
        """The energies of going from tag to tag in a turn."""
        if self.counts is None:
            return [node("Identity", "", "moves", {0: self.chain[None]})]
        return [node("Unsqueeze", "on", "weight", {1: np.array([1, 2], np.int64)}),
                node("Mul", "weight", "moves", {1: self.chain[None]})]

    def _loop(self, name: str, nodes: list[Operator], state: str, made: list[str], on: list[Tensor], backwards: int,
              dtype: str) -> list[Tensor]:
        own = self.energies.dtype
        given = [Value(state, ("batch", self.units), own), Value("energy", ("batch", self.units), own),
                 *[Value("on", ("batch",), own)] * len(on)]
        return loop_over_steps(self.builder, f"{self.name}/{name}", nodes, given, made, [self.nothing],
                               [self.energies, *on], backwards,
                               [((self.batch, self.units), own), ((self.batch, self.time, self.units), dtype)])
