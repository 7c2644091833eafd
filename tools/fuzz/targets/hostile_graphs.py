"""Graphs that any container can hold, made of the input's bytes: odd shapes, shared tensors, axes of no elements,
computed targets, rows that do not match, huge attributes. The first byte chooses the vocabulary: nodes of ours, as in
an `.lstm` file, or ONNX's, which go through the importer. A graph that is valid is run in every way."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from lstm_engine.graph import (
    GRU,
    LSTM,
    RNN,
    Activate,
    Activation,
    Dense,
    Embedding,
    Graph,
    Mask,
    Node,
    Operator,
    Pool,
    Value,
)
from lstm_engine.importers import ImportOptions
from lstm_engine.importers.onnx.mapping.to_graph import to_graph
from lstm_engine.importers.onnx.model import OnnxGraph, OnnxModel, OnnxNode
from lstm_engine.operators import OPERATORS, validate
from lstm_engine.operators.spec import REQUIRED

from ..mutate import raw
from ..target import Target
from .running import run

DIMS = ("b", "t", 3, "b", "t", 2, 1, "n", 0, 4, 5, 1000)
DTYPES = ("float32", "float32", "float32", "int64", "float64", "int32", "bool", "float16", "uint8")
WHOLE = (0, 1, -1, 2, 3, -2, 4, 5, 7, 16, 100, 1000, 2**20, 2**31 - 1, 2**31, 2**33, 2**62, -2**63)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e38, -1e38, float("inf"), 1e-45)
TEXTS = ("NOTSET", "SAME_UPPER", "VALID", "constant", "edge", "reflect", "none", "tanh", "add", "mul", "bij,bjk->bik",
         "ij->ji", "...i->...", "x" * 300)
ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear", "softmax", "hard_sigmoid", "elu", "gelu")
OPS = tuple(OPERATORS)
MOST_NODES = 12
GATES = {LSTM: 4, GRU: 3, RNN: 1}


class Bytes:
    """Small decisions out of bytes; all are 0 when these are used up."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def whole(self, below: int) -> int:
        self.place += 1
        return self.data[self.place - 1] % below if self.place <= len(self.data) else 0

    def one(self, options: Any) -> Any:
        return options[self.whole(len(options))]

    def left(self) -> bool:
        return self.place < len(self.data)


class Maker:
    """Nodes one after the other. `values`: names and what is thought of their shapes, () where nothing is."""

    def __init__(self, data: bytes) -> None:
        self.bytes = Bytes(data)
        self.ours = not self.bytes.whole(2)
        self.values: list[tuple[str, tuple]] = []
        self.inputs: list[Value] = []
        self.nodes: list[Any] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.shared: list[np.ndarray] = []                 # weights that a later node may have as well

    def graph(self) -> Graph:
        for _ in range(1 + self.bytes.whole(3)):
            self._input()
        while self.bytes.left() and len(self.nodes) < MOST_NODES:
            self.bytes.one((self._recurrent, self._dense, self._operator, self._operator, self._reshape, self._other))()
        names = [name for name, _ in self.values]
        outputs = [names[-1], *(self.bytes.one(names) for _ in range(self.bytes.whole(3)))]
        if self.ours:
            return validate(Graph(tuple(self.inputs), tuple(self.nodes), tuple(dict.fromkeys(outputs))))
        graph = OnnxGraph(self.nodes, self.tensors, self.inputs, outputs)
        return validate(to_graph(OnnxModel(graph, {}, "", self.bytes.one((21, 13, 9))), ImportOptions()))

    # ---- parts --------------------------------------------------------------------------------------------------

    def _input(self) -> None:
        rank = self.bytes.one((3, 3, 2, 2, 1, 4, 0))
        shape = tuple(self.bytes.one(DIMS) for _ in range(rank))
        if self.ours and self.bytes.whole(9):              # which a file of ours may not say
            shape = tuple(dim or 1 for dim in shape)
        name = f"in{len(self.inputs)}"
        self.inputs.append(Value(name, shape, self.bytes.one(DTYPES)))
        self.values.append((name, shape))

    def _value(self) -> tuple[str, tuple]:
        return self.values[-1 - self.bytes.whole(min(len(self.values), 6))]

    def _name(self, optional: bool = False) -> str:
        return "" if optional and self.bytes.whole(2) else self._value()[0]

    def _made(self, shape: tuple = ()) -> str:
        name = f"v{len(self.values)}"
        self.values.append((name, shape))
        return name

    def _weight(self, *shape: int) -> np.ndarray:
        """Numbers of this shape, now and then those of another node, or of a shape that is not quite the one."""
        if self.shared and not self.bytes.whole(6):
            return self.bytes.one(self.shared)
        if not self.bytes.whole(12):
            shape = (*shape[:-1], self.bytes.one((0, 1, 2, 9)))
        array = np.linspace(-0.5, 0.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        self.shared.append(array)
        return array

    def _constant(self) -> np.ndarray:
        """A small array of any kind: whole numbers for shapes and axes, or floats."""
        count = self.bytes.one((1, 2, 3, 0, 4))
        numbers = [self.bytes.one(WHOLE) for _ in range(count)]
        if self.bytes.whole(3):
            return np.array(numbers, np.int64) if self.bytes.whole(5) else np.array(numbers[0] if numbers else 0)
        return np.array([float(n) for n in numbers], np.float32)

    def _tensor(self, array: np.ndarray) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors[name] = array
        return name

    def _attributes(self, op: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, attribute in OPERATORS[op].attributes.items():
            if attribute.default is not REQUIRED and self.bytes.whole(2):
                continue
            kind = {int: 0, float: 1, str: 2, tuple: 3}[attribute.kind]
            kind = self.bytes.whole(5) if not self.bytes.whole(10) else kind
            made[name] = self.bytes.one(WHOLE) if kind == 0 else self.bytes.one(FLOATS) if kind == 1 else \
                self.bytes.one(TEXTS) if kind == 2 else tuple(self.bytes.one(WHOLE) for _ in range(self.bytes.whole(4)))
        return made

    # ---- nodes --------------------------------------------------------------------------------------------------

    def _add(self, op: str, inputs: list[Any], outputs: tuple[str, ...], attributes: dict[str, Any]) -> None:
        """An operator; an input is a name or an array."""
        name = f"n{len(self.nodes)}"
        if self.ours:
            constants = {place: given for place, given in enumerate(inputs) if isinstance(given, np.ndarray)}
            names = tuple("" if isinstance(given, np.ndarray) else given for given in inputs)
            self.nodes.append(Operator(name=name, inputs=names, outputs=outputs, op_type=op, attributes=attributes,
                                       constants=constants))
        else:
            names = tuple(self._tensor(given) if isinstance(given, np.ndarray) else given for given in inputs)
            self.nodes.append(OnnxNode(name, op, names, outputs, attributes, opset=21))

    def _operator(self) -> None:
        op = self.bytes.one(OPS)
        least, most = OPERATORS[op].inputs
        count = min(most, least + self.bytes.one((0, 0, 1, 2, 12)))
        inputs = [self._constant() if place and self.bytes.whole(3) else self._name() for place in range(count)]
        outputs = tuple(self._made() for _ in range(max(1, min(OPERATORS[op].outputs[1], 1 + self.bytes.whole(3)))))
        self._add(op, inputs, outputs, self._attributes(op))

    def _reshape(self) -> None:
        """A shape that the graph computes: an input's, a constant's, or one made of another value's sizes."""
        x, _ = self._value()
        kind, op = self.bytes.whole(3), self.bytes.one(("Reshape", "Reshape", "Expand", "ConstantOfShape", "Tile"))
        target: Any = np.array([self.bytes.one(WHOLE) for _ in range(1 + self.bytes.whole(4))], np.int64)
        if kind == 0:
            target = self._name()
        elif kind == 1:
            sizes = self._made()
            self._add("Shape", [self._name()], (sizes,), {})
            target = self._made()
            self._add(self.bytes.one(("Mul", "Concat", "Gather", "Max")),
                      [sizes, np.array([self.bytes.one(WHOLE)], np.int64)], (target,), {"axis": 0})
        self._add(op, [target] if op == "ConstantOfShape" else [x, target], (self._made(),), {})

    def _recurrent(self) -> None:
        x, shape = self._value()
        kind = self.bytes.one((LSTM, GRU, RNN))
        features = shape[-1] if len(shape) == 3 and isinstance(shape[-1], int) else self.bytes.one((3, 2, 1, 0))
        hidden, dirs = self.bytes.one((2, 1, 3, 17)), 1 + (not self.bytes.whole(3))
        rows = GATES[kind] * hidden
        W, R, B = (self._weight(dirs, rows, size) for size in (features, hidden, 2)) if self.bytes.whole(8) else \
            (self._weight(1, 4), self._weight(0, 3), self._weight(2))
        B = None if self.bytes.whole(2) else self._weight(dirs, 2 * rows)
        direction = "bidirectional" if dirs == 2 else self.bytes.one(("forward", "forward", "reverse"))
        more = [self._name(optional=True) if not self.bytes.whole(3) else "" for _ in range(4)]      # lengths, states
        if kind is not LSTM:
            more[2] = ""
        Y, Yh, Yc = self._made((*shape[:2], dirs * hidden)), self._made(), self._made() if kind is LSTM else ""
        if self.ours:
            options: dict[str, Any] = {}
            if kind is LSTM and not self.bytes.whole(6):
                options["P"] = self._weight(dirs, 3 * hidden)
            outputs = (Y, Yh, Yc) if kind is LSTM else (Y, Yh)
            self.nodes.append(kind(name=f"n{len(self.nodes)}", inputs=(x, *more), outputs=outputs, W=W, R=R, B=B,
                                   direction=direction, **options))
            return
        names = [x, self._tensor(W), self._tensor(R), "" if B is None else self._tensor(B),
                 *more[:3 if kind is LSTM else 2]]
        self.nodes.append(OnnxNode(f"n{len(self.nodes)}", kind.op, tuple(names), tuple(filter(None, (Y, Yh, Yc))),
                                   {"hidden_size": hidden if self.bytes.whole(9) else self.bytes.one(WHOLE),
                                    "direction": direction}, opset=21))
        joined = self._made((*shape[:2], dirs * hidden))
        self._add(*self.bytes.one((("Squeeze", [Y, np.array([1])], (joined,), {}), ("Identity", [Yh], (joined,), {}))))

    def _dense(self) -> None:
        x, shape = self._value()
        features = shape[-1] if shape and isinstance(shape[-1], int) else self.bytes.one((3, 2, 1, 0))
        units = self.bytes.one((2, 1, 5, 0))
        kernel = self._weight(features, units)
        made = self._made((*shape[:-1], units))
        if self.ours:
            self.nodes.append(Dense(name=f"n{len(self.nodes)}", inputs=(x,), outputs=(made,), kernel=kernel,
                                    bias=None if self.bytes.whole(2) else self._weight(units),
                                    activation=Activation.of(self.bytes.one(ACTIVATIONS))))
        else:
            self._add("MatMul", [x, kernel], (made,), {})

    def _other(self) -> None:
        """The rest of our own vocabulary; in ONNX's the nodes that become it."""
        x, shape = self._value()
        kind, name = self.bytes.whole(4), f"n{len(self.nodes)}"
        if not self.ours:
            self._add(*(("Gather", [self._weight(5, 3), x], (self._made((*shape, 3)),), {}),
                        ("ReduceMean", [x, np.array([self.bytes.one((1, 0, -1, 2))])], (self._made(),), {}),
                        ("Transpose", [x], (self._made(shape[1::-1] + shape[2:]),), {"perm": (1, 0, 2)}),
                        ("Add", [x, self._name()], (self._made(shape),), {}))[kind])
        elif kind == 0:
            self.nodes.append(Embedding(name=name, inputs=(x,), outputs=(self._made((*shape, 3)),),
                                        table=self._weight(5, 3)))
        elif kind == 1:
            self.nodes.append(Pool(name=name, inputs=(x,), outputs=(self._made(shape[:1] + shape[2:]),),
                                   kind=self.bytes.one(("last", "mean", "max"))))
        elif kind == 2:
            self.nodes.append(Mask(name=name, inputs=(x,), outputs=(self._made(shape),), value=self.bytes.one(WHOLE)))
        else:
            self.nodes.append(Activate(name=name, inputs=(x,), outputs=(self._made(shape),),
                                       activation=Activation.of(self.bytes.one(ACTIVATIONS))))


def nodes_of(data: bytes) -> list[Node | OnnxNode]:
    """The nodes that an input stands for, to be looked at."""
    maker = Maker(data)
    try:
        maker.graph()
    except Exception:                                      # what is made is shown, right or not
        pass
    return maker.nodes


def execute(data: bytes) -> str:
    return run(Maker(data).graph())


def mutate(data: bytes, rng: random.Random) -> bytes:
    return raw.damaged(data, rng) + (rng.randbytes(8) if rng.random() < 0.2 else b"")


def targets() -> dict[str, Target]:
    return {"graph": Target("graph", "hostile graphs, loaded and run in every way", execute, mutate, largest=256,
                            grows=True)}
