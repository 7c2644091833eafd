"""The networks that are timed, as graphs of the project's own vocabulary with random weights.

A recurrent node of that vocabulary is the ONNX operator to the letter, so every engine is built from the same
arrays. Weights are uniform in +-1/sqrt(H), as torch.nn initialises them: gates stay in their sensitive range
at any size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lstm_engine.graph import (
    GRU,
    LINEAR,
    LSTM,
    RELU,
    RNN,
    SIGMOID,
    Activation,
    Dense,
    Embedding,
    Graph,
    Node,
    Recurrent,
    Value,
)
from lstm_engine.operators import validate

SOFTMAX = Activation("softmax")
CELLS: dict[str, type[Recurrent]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
# What `exotic` makes: the kind of its layer, and how it differs from the common one.
EXOTIC: dict[str, tuple[str, dict[str, Any]]] = {
    "peephole": ("lstm", {}),
    "gru-lbr1": ("gru", {"linear_before_reset": True}),
    "gru-lbr0": ("gru", {"linear_before_reset": False}),
    "rnn": ("rnn", {}),
    "relu": ("lstm", {"activations": ((SIGMOID, RELU, RELU),)}),
    "projection": ("lstm", {}),
    "reverse": ("lstm", {"direction": "reverse"}),
    "bidirectional": ("lstm", {"direction": "bidirectional"}),
}


class Builder:
    """Adds layers one after the other; `x` is the value that the next layer reads."""

    def __init__(self, rng: np.random.Generator, x: str, features: int) -> None:
        self.rng, self.x, self.features = rng, x, features
        self.nodes: list[Node] = []

    def _uniform(self, bound: float, *shape: int) -> np.ndarray:
        return self.rng.uniform(-bound, bound, shape).astype(np.float32)

    def embedding(self, vocabulary: int, features: int) -> Builder:
        name = f"embedding_{len(self.nodes)}"
        self.nodes.append(
            Embedding(
                name=name, inputs=(self.x,), outputs=(name,), table=self._uniform(1.0, vocabulary, features)
            )
        )
        self.x, self.features = name, features
        return self

    def recurrent(
        self,
        kind: str,
        hidden: int,
        *,
        direction: str = "forward",
        last: bool = False,
        activations: tuple[Activation, ...] = (),
        state: tuple[str, ...] = (),
        keep_state: bool = False,
    ) -> Builder:
        """last: the last step alone. state: values of the initial h and c. keep_state: name final ones."""
        kind_of = CELLS[kind]
        name, dirs = f"{kind}_{len(self.nodes)}", 2 if direction == "bidirectional" else 1
        bound, rows = hidden**-0.5, kind_of.gates * hidden
        options: dict[str, Any] = {"linear_before_reset": True} if kind == "gru" else {}
        sequence, final = ("", name) if last else (name, f"{name}.h" if keep_state else "")
        outputs = (
            (sequence, final, f"{name}.c") if keep_state else (sequence, final) if final else (sequence,)
        )
        self.nodes.append(
            kind_of(
                name=name,
                inputs=(self.x, "", *state) if state else (self.x,),
                outputs=outputs,
                W=self._uniform(bound, dirs, rows, self.features),
                R=self._uniform(bound, dirs, rows, hidden),
                B=self._uniform(bound, dirs, 2 * rows),
                direction=direction,
                activations=(activations,) * dirs if activations else (),
                **options,
            )
        )
        self.x, self.features = name, dirs * hidden
        return self

    def dense(self, units: int, activation: Activation) -> Builder:
        name = f"dense_{len(self.nodes)}"
        bound = self.features**-0.5
        self.nodes.append(
            Dense(
                name=name,
                inputs=(self.x,),
                outputs=(name,),
                bias=self._uniform(bound, units),
                kernel=self._uniform(bound, self.features, units),
                activation=activation,
            )
        )
        self.x, self.features = name, units
        return self

    def graph(self, inputs: tuple[Value, ...], outputs: tuple[str, ...] = ()) -> Graph:
        return validate(Graph(inputs, tuple(self.nodes), outputs or (self.x,)))


def _numbers(features: int) -> Value:
    return Value("x", ("batch", "time", features))


_IDS = Value("x", ("batch", "time"), "int32")


def layers(
    rng: np.random.Generator,
    kind: str,
    features: int,
    hidden: int,
    depth: int = 1,
    direction: str = "forward",
    units: int = 0,
) -> Graph:
    """`depth` recurrent layers, every step of the last one out; through a Dense layer, if that has `units`."""
    build = Builder(rng, "x", features)
    for _ in range(depth):
        build.recurrent(kind, hidden, direction=direction)
    if units:
        build.dense(units, LINEAR)
    return build.graph((_numbers(features),))


def exotic(rng: np.random.Generator, kind: str, hidden: int) -> Graph:
    """One layer of EXOTIC, I = H, every step out; projection: h has H/2 numbers.

    The recurrent weights under relu are small: nothing else keeps the state from growing with the steps.
    """
    op, options = EXOTIC[kind]
    node_type, dirs = CELLS[op], 2 if kind == "bidirectional" else 1
    rows, wide = node_type.gates * hidden, hidden // 2 if kind == "projection" else hidden

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-(hidden**-0.5), hidden**-0.5, shape).astype(np.float32)

    fields: dict[str, Any] = {
        "W": uniform(dirs, rows, hidden),
        "R": uniform(dirs, rows, wide),
        "B": uniform(dirs, 2 * rows),
    }
    if kind == "relu":
        fields["R"] *= np.float32(0.3)
    if kind == "peephole":
        fields["P"] = uniform(dirs, 3 * hidden)
    if kind == "projection":
        fields["projection"] = uniform(dirs, wide, hidden)
    node = node_type(name="layer", inputs=("x",), outputs=("y",), **fields, **options)
    return validate(Graph((_numbers(hidden),), (node,), ("y",)))


def sentiment(rng: np.random.Generator) -> Graph:
    """Text classifier: Embedding 20000x100, LSTM 100, LSTM 100, Dense 1 sigmoid."""
    build = (
        Builder(rng, "x", 0).embedding(20000, 100).recurrent("lstm", 100).recurrent("lstm", 100, last=True)
    )
    return build.dense(1, SIGMOID).graph((_IDS,))


def sequences_and_states(rng: np.random.Generator) -> Graph:
    """Embedding 10000x128, LSTM 128: every step, and the final h and c."""
    build = Builder(rng, "x", 0).embedding(10000, 128).recurrent("lstm", 128, keep_state=True)
    return build.graph((_IDS,), (build.x, f"{build.x}.h", f"{build.x}.c"))


def translator(rng: np.random.Generator) -> Graph:
    """Encoder-decoder: an LSTM 256 over the source starts one over the target; Dense 5000 softmax."""
    encoder = (
        Builder(rng, "source", 0).embedding(5000, 128).recurrent("lstm", 256, last=True, keep_state=True)
    )
    decoder = Builder(rng, "target", 0)
    decoder.nodes = encoder.nodes
    decoder.embedding(5000, 128).recurrent("lstm", 256, state=(encoder.x, f"{encoder.x}.c")).dense(
        5000, SOFTMAX
    )
    return decoder.graph(
        (Value("source", ("batch", "time"), "int32"), Value("target", ("batch", "time_2"), "int32"))
    )


def language_model(rng: np.random.Generator) -> Graph:
    """Embedding 10000x128, LSTM 256, Dense 10000 softmax at every step."""
    return (
        Builder(rng, "x", 0).embedding(10000, 128).recurrent("lstm", 256).dense(10000, SOFTMAX).graph((_IDS,))
    )


def frames(rng: np.random.Generator) -> Graph:
    """LSTM 128 with relu for candidate and output over 784-wide frames, Dense 10 softmax at every step.

    The recurrent weights are small: with relu nothing else keeps the state from growing with the steps.
    """
    build = (
        Builder(rng, "x", 784).recurrent("lstm", 128, activations=(SIGMOID, RELU, RELU)).dense(10, SOFTMAX)
    )
    recurrent = build.nodes[0]
    assert isinstance(recurrent, LSTM)
    build.nodes[0] = replace(recurrent, R=recurrent.R * np.float32(0.3))
    return build.graph((_numbers(784),))


def tagger(rng: np.random.Generator) -> Graph:
    """LSTM 128, LSTM 64, Dense 60 softmax over the last step; 64 features in."""
    build = Builder(rng, "x", 64).recurrent("lstm", 128).recurrent("lstm", 64, last=True).dense(60, SOFTMAX)
    return build.graph((_numbers(64),))


def product(rng: np.random.Generator, inputs: int, units: int) -> Graph:
    """One Dense layer on vectors: a plain matrix product."""
    return Builder(rng, "x", inputs).dense(units, LINEAR).graph((Value("x", ("batch", inputs)),))


def with_states(graph: Graph) -> Graph:
    """The same network with the states of its recurrent layers as inputs and outputs: what peers step with.

    The state of node n comes in as "n.h0" (and "n.c0") and goes out as "n.h1" (and "n.c1").
    """
    nodes, inputs, outputs = [], list(graph.inputs), list(graph.outputs)
    for node in graph.nodes:
        if isinstance(node, Recurrent):
            parts = "hc" if isinstance(node, LSTM) else "h"
            inputs += [Value(f"{node.name}.{part}0", ("batch", node.dirs * node.hidden)) for part in parts]
            outputs += [f"{node.name}.{part}1" for part in parts]
            node = replace(
                node,
                inputs=(node.inputs[0], "", *(f"{node.name}.{part}0" for part in parts)),
                outputs=(node.outputs[0], *(f"{node.name}.{part}1" for part in parts)),
            )
        nodes.append(node)
    return validate(Graph(tuple(inputs), tuple(nodes), tuple(outputs)))


def default_activations(node: Recurrent) -> bool:
    """Whether the node uses sigmoid and tanh as torch.nn does."""
    return all(functions == node.default_activations for functions in node.activations)
