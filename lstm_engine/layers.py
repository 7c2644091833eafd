"""Layers from arrays, for `Model([...])`: each adds its nodes to a graph that is being built as a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import graph as g
from .arguments import choice, flag, listed
from .arrays import plain_array
from .errors import ArgumentError, ArgumentTypeError, UnsupportedError
from .graph.nodes import Shape
from .types import Direction, Input, PeepholeOutput, PoolKind

_CAMEL = {name.replace("_", ""): name for name in g.ACTIVATIONS}


def activation(name: str | g.Activation | None, alpha: float | None = None, beta: float | None = None) -> g.Activation:
    """An activation by this project's name or ONNX's spelling of it ("HardSigmoid"); None is linear."""
    if isinstance(name, g.Activation):
        return name
    if name is None:
        return g.LINEAR
    if not isinstance(name, str):
        raise ArgumentTypeError(f"an activation is a name, not {type(name).__name__}")
    return g.Activation.of(_CAMEL.get(name.lower().replace("_", ""), name), alpha, beta)


def _array(value: Any, what: str, ndim: int) -> np.ndarray:
    array = plain_array(value, what)
    if array.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"{what}: expected an array of numbers, got dtype {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    if array.ndim != ndim:
        raise ArgumentError(f"{what}: expected {ndim} dimensions, got shape {array.shape}")
    return array


class Layer:
    """What can stand in `Model([...])`. A layer takes the value before it and names the value it makes."""

    kind = "layer"

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        raise NotImplementedError

    def input(self) -> tuple[Shape, str] | None:
        """Shape and dtype of the input when this layer is the first; None when it cannot be."""
        return None


@dataclass
class Embedding(Layer):
    """Rows of `table` [vocabulary, features] by token id."""

    table: Input
    kind = "embedding"

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        return [g.Embedding(name=name, inputs=(x,), outputs=(y,), table=_array(self.table, f"{name}.table", 2))]

    def input(self) -> tuple[Shape, str]:
        return ("batch", "time"), "int32"


@dataclass
class Dense(Layer):
    """activation(x @ kernel + bias), kernel [in, units], bias [units] or None."""

    kernel: Input
    bias: Input | None = None
    activation: str | g.Activation | None = None
    kind = "dense"

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        bias = None if self.bias is None else _array(self.bias, f"{name}.bias", 1)
        kernel = _array(self.kernel, f"{name}.kernel", 2)
        return [g.Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel, bias=bias,
                        activation=activation(self.activation))]

    def input(self) -> tuple[Shape, str]:
        return ("batch", "time", _array(self.kernel, "dense.kernel", 2).shape[0]), "float32"


@dataclass
class Activate(Layer):
    """An activation on its own; softmax runs over the last axis."""

    activation: str | g.Activation
    kind = "activation"

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        return [g.Activate(name=name, inputs=(x,), outputs=(y,), activation=activation(self.activation))]


@dataclass
class Pool(Layer):
    """A sequence reduced to a vector: "last", "mean" or "max" over the real steps."""

    mode: PoolKind = "last"
    kind = "pool"

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        return [g.Pool(name=name, inputs=(x,), outputs=(y,), kind=self.mode)]


@dataclass
class Recurrent(Layer):
    """What LSTM, GRU and RNN share: ONNX weights W [dirs, gates*H, I], R [dirs, gates*H, H], B [dirs, 2*gates*H].

    activations: names, ONNX order (LSTM f, g, h; GRU f, g; RNN f), for each direction in turn; None: the standard ones.
    return_sequences: every step [batch, time, dirs*H], or the last step alone [batch, dirs*H].
    """

    W: Input
    R: Input
    B: Input | None = None
    direction: Direction = "forward"
    return_sequences: bool = True
    activations: Sequence[str | g.Activation] | None = None
    clip: float | None = None
    node_type = g.Recurrent

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.node_type.op.lower()

    def _options(self, name: str) -> dict[str, Any]:
        return {}

    def nodes(self, name: str, x: str, y: str) -> list[g.Node]:
        direction = choice(self.direction, f"{name}: direction", g.DIRECTIONS)
        dirs = 2 if direction == "bidirectional" else 1
        count = len(self.node_type.default_activations)
        functions: tuple[tuple[g.Activation, ...], ...] = ()
        if self.activations is not None:
            flat = [activation(function) for function in listed(self.activations, f"{name}: activations are a list of "
                                                                                  "names")]
            if len(flat) != count * dirs:
                raise ArgumentError(f"{name}: expected {count * dirs} activations, got {len(flat)}")
            functions = tuple(tuple(flat[i * count:(i + 1) * count]) for i in range(dirs))
        bias = None if self.B is None else _array(self.B, f"{name}.B", 2)
        outputs = (y,) if flag(self.return_sequences, f"{name}: return_sequences") else ("", y)
        return [self.node_type(name=name, inputs=(x,), outputs=outputs, W=_array(self.W, f"{name}.W", 3),
                               R=_array(self.R, f"{name}.R", 3), B=bias, direction=direction,
                               activations=functions, clip=self.clip, **self._options(name))]

    def input(self) -> tuple[Shape, str]:
        return ("batch", "time", _array(self.W, f"{self.kind}.W", 3).shape[2]), "float32"


@dataclass
class LSTM(Recurrent):
    """ONNX LSTM, gate order i,o,f,c; P [dirs, 3*H] (i,o,f), projection [dirs, P, H]."""

    P: Input | None = None
    projection: Input | None = None
    input_forget: bool = False
    peephole_output: PeepholeOutput = "current"
    cell_clip: float | None = None
    node_type = g.LSTM

    def _options(self, name: str) -> dict[str, Any]:
        return {"P": None if self.P is None else _array(self.P, f"{name}.P", 2),
                "projection": None if self.projection is None else _array(self.projection, f"{name}.projection", 3),
                "input_forget": self.input_forget, "peephole_output": self.peephole_output,
                "cell_clip": self.cell_clip}


@dataclass
class GRU(Recurrent):
    """ONNX GRU, gate order z,r,h."""

    linear_before_reset: bool = False
    node_type = g.GRU

    def _options(self, name: str) -> dict[str, Any]:
        return {"linear_before_reset": self.linear_before_reset}


@dataclass
class RNN(Recurrent):
    """ONNX RNN, one activation."""

    node_type = g.RNN


def chain(layers: Sequence[Layer], names: Sequence[str] | None = None) -> g.Graph:
    """The graph of layers one after the other. Raises ArgumentError or ArgumentTypeError naming the layer."""
    if isinstance(layers, Layer):
        layers = [layers]
    layers = listed(layers, "a model is made from a list of layers, or a Graph")
    if not layers:
        raise ArgumentError("a model needs at least one layer")
    for number, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ArgumentTypeError(f"layer {number}: expected one of le.Embedding, LSTM, GRU, RNN, Dense, Activate, "
                                    f"Pool; got {type(layer).__name__}")
    first = layers[0].input()
    if first is None:
        raise UnsupportedError(f"layer 0: a {layers[0].kind} layer cannot be the first: its input's size is not known")
    shape, dtype = first
    nodes: list[g.Node] = []
    counts: dict[str, int] = {}
    x = "input"
    for number, layer in enumerate(layers):
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        name = layer.kind if counts[layer.kind] == 1 else f"{layer.kind}_{counts[layer.kind]}"
        y = "output" if number == len(layers) - 1 else f"{name}.out"
        nodes += layer.nodes(name, x, y)
        x = y
    return g.Graph((g.Value("input", shape, dtype),), tuple(nodes), ("output",), {"source": "arrays"})
