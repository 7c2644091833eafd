"""Graphs that several tests use."""

from __future__ import annotations

import dataclasses

import numpy as np

from lstm_engine.graph import (
    GRU,
    LSTM,
    RNN,
    SIGMOID,
    TANH,
    Activate,
    Activation,
    Dense,
    Embedding,
    Graph,
    Mask,
    Node,
    Operator,
    Pool,
    Reading,
    Value,
)

BATCH_TIME = ("batch", "time")
SEQUENCE = ("batch", "time", 3)


def weights(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def recurrent(kind: type, inputs=("x",), outputs=("y",), *, features: int = 3, hidden: int = 2, dirs: int = 1,
              name: str = "cell", dtype: str = "float32", **options) -> Node:
    """A recurrent node with random weights; `options` are further fields of the node."""
    rows = kind.gates * hidden
    fields = dict(name=name, inputs=tuple(inputs), outputs=tuple(outputs), W=weights(dirs, rows, features, dtype=dtype),
                  R=weights(dirs, rows, hidden, dtype=dtype), B=weights(dirs, 2 * rows, dtype=dtype),
                  direction="bidirectional" if dirs == 2 else "forward")
    return kind(**{**fields, **options})


def one_node(node: Node, *inputs: Value) -> Graph:
    """The graph of one node; its outputs are the node's."""
    return Graph(inputs or (Value("x", SEQUENCE),), (node,), tuple(name for name in node.outputs if name))


def every_node() -> Graph:
    """A small valid graph that holds every kind of node and every kind of field."""
    return Graph(
        (Value("ids", BATCH_TIME, "int32"), Value("h0", ("batch", 4))),
        (Embedding(name="embed", inputs=("ids",), outputs=("x",), table=weights(7, 3)),
         Mask(name="mask", inputs=("ids",), outputs=("real",), value=1),
         recurrent(LSTM, ("x", "", "h0", "", "real"), ("a",), dirs=2, name="lstm", P=weights(2, 6), clip=3.0,
                   activations=((SIGMOID, TANH, TANH),
                                (Activation.of("hard_sigmoid"), TANH, Activation.of("elu", 0.5))),
                   input_forget=True, peephole_output="previous", cell_clip=2.5, zero_masked=True),
         recurrent(GRU, ("a",), ("b",), features=4, name="gru", linear_before_reset=True, direction="reverse"),
         recurrent(LSTM, ("b",), ("c",), features=2, name="projected", B=None, R=weights(1, 8, 1),
                   projection=weights(1, 1, 2)),
         recurrent(RNN, ("c",), ("d", "state"), features=1, name="rnn"),
         Operator(name="scale", inputs=("d", ""), outputs=("e",), op_type="Mul",
                  constants={1: np.asarray(0.5, np.float32)}),
         Operator(name="turn", inputs=("e",), outputs=("f",), op_type="Transpose", attributes={"perm": (0, 1, 2)}),
         Pool(name="pool", inputs=("f",), outputs=("g",), kind="mean"),
         Dense(name="dense", inputs=("g",), outputs=("h",), kernel=weights(2, 5), bias=weights(5)),
         Activate(name="softmax", inputs=("h",), outputs=("y",), activation=Activation.of("softmax"))),
        ("y", "state"), {"source": "made by hand"})


def assert_same(left: Graph, right: Graph) -> None:
    """Equal in every field; arrays equal in dtype, shape and bits."""
    assert left.inputs == right.inputs and left.outputs == right.outputs and left.metadata == right.metadata
    assert len(left.nodes) == len(right.nodes)
    for a, b in zip(left.nodes, right.nodes, strict=True):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            ours, theirs = getattr(a, field.name), getattr(b, field.name)
            if isinstance(ours, np.ndarray):
                assert_same_array(ours, theirs)
            elif field.name == "constants":
                assert ours.keys() == theirs.keys()
                for position in ours:
                    assert_same_array(ours[position], theirs[position])
            else:
                assert ours == theirs and type(ours) is type(theirs), field.name


def assert_same_array(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()


def of_texts() -> Graph:
    """Rows of a table by the tokens of texts, in turn and in pairs."""
    reading = Reading(("film", "good"), 2, 1, lowercase=True, punctuation="drop", split="whitespace", ngrams=(1, 2))
    rows = Embedding(name="e", inputs=("words",), outputs=("y",), table=np.eye(4, dtype=np.float32))
    return Graph((Value("words", BATCH_TIME, "int64", reading),), (rows,), ("y",))
