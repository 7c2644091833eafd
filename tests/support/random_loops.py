"""Random Loops and Scans that are no layer, one inside another at times, with branches and layers in their bodies."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx_graphs import graph, model, node

SIZES = (2, 3, 4)
FLOAT, BOOL, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64


class Loops:
    """One random model. Values are float32 [batch, features]; `scope` holds those that may be read, by features."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.count = 0
        self.tensors: dict[str, np.ndarray] = {"true": np.array(True), "last": np.array([-1]),
                                               "first": np.array([0])}

    def name(self, hint: str = "v") -> str:
        self.count += 1
        return f"{hint}{self.count}"

    def constant(self, array: Any) -> str:
        name = self.name("k")
        self.tensors[name] = np.asarray(array)
        return name

    def pick(self, scope: dict[str, int], features: int | None = None) -> str:
        names = [name for name, size in scope.items() if features in (None, size)]
        return str(self.rng.choice(names))

    def value(self, scope: dict[str, int], nodes: list, features: int, depth: int) -> str:
        """A value of so many features, made of what there is."""
        rng, made = self.rng, self.name()
        kind = rng.choice(["matmul", "matmul", "binary", "unary", "where", "lstm", "if", "loop", "softmax", "concat"])
        if kind == "binary" and features in scope.values():
            op = str(rng.choice(["Add", "Sub", "Mul", "Max", "Min"]))
            nodes.append(node(op, f"{self.pick(scope, features)} {self.pick(scope, features)}", made))
        elif kind == "unary" and features in scope.values():
            nodes.append(node(str(rng.choice(["Tanh", "Sigmoid", "Relu", "Neg", "Abs", "Identity"])),
                              self.pick(scope, features), made))
        elif kind == "softmax" and features in scope.values():
            nodes.append(node("Softmax", self.pick(scope, features), made, axis=-1))
        elif kind == "where" and features in scope.values():
            a, b, low = self.pick(scope, features), self.pick(scope, features), self.name()
            nodes += [node("Less", f"{a} {b}", low), node("Where", f"{low} {a} {b}", made)]
        elif kind == "concat" and features > 1:
            left, right = self.value(scope, nodes, features - 1, 0), self.value(scope, nodes, 1, 0)
            nodes.append(node("Concat", f"{left} {right}", made, axis=1))
        elif kind == "lstm":
            source, wide, y = self.pick(scope), self.name(), self.name()
            size = scope[source]
            weights = [self.constant((rng.standard_normal((1, 4 * features, n)) / 2).astype(np.float32))
                       for n in (size, features)]
            nodes += [node("Unsqueeze", f"{source} first", wide),
                      node("LSTM", f"{wide} {' '.join(weights)}", f"- {y}", hidden_size=features),
                      node("Squeeze", f"{y} first", made)]
        elif kind == "if" and depth:
            branches = []
            for _ in range(2):
                inside: list = []
                result = self.value(dict(scope), inside, features, depth - 1)
                branches.append(self.body(inside, {}, [(result, FLOAT)]))
            total, low = self.name(), self.name()
            nodes += [node("ReduceSum", self.pick(scope), total, keepdims=0),
                      node("Less", f"{total} {self.constant(np.float32(rng.normal()))}", low),
                      node("If", low, made, name=self.name("if"), then_branch=branches[0], else_branch=branches[1])]
        elif kind == "loop" and depth and features in scope.values():
            start = self.pick(scope, features)
            nodes += self.loop(scope, [(start, features)], depth - 1, results=0, outputs=[made])[0]
        else:
            source = self.pick(scope)
            kernel = self.constant((rng.standard_normal((scope[source], features)) / 2).astype(np.float32))
            nodes.append(node("MatMul", f"{source} {kernel}", made))
        return made

    def body(self, nodes: list, inputs: dict[str, Any], outputs: list[tuple[str, int]]) -> Any:
        """A graph whose outputs have names of their own."""
        names = [self.name("out") for _ in outputs]
        nodes += [node("Identity", name, made) for (name, _), made in zip(outputs, names)]
        made = graph(nodes, inputs, " ".join(names))
        for value, (_, kind) in zip(made.output, outputs):
            value.type.tensor_type.elem_type = kind
        return made

    def loop(self, scope: dict[str, int], states: list[tuple[str, int]], depth: int, results: int,
             outputs: list[str] | None = None) -> tuple[list, list[str]]:
        """The nodes of a Loop, and the names of its outputs."""
        rng, turn, goes_on = self.rng, self.name("turn"), self.name("goes")
        inner, nodes, names = dict(scope), list[Any](), []
        for _, size in states:
            names.append(self.name("state"))
            inner[names[-1]] = size
        number = self.name()
        nodes += [node("Cast", turn, f"{number}f", to=1), node("Mul", f"{number}f {self.constant(np.float32(0.1))}",
                                                               f"{number}s")]
        for _ in range(rng.integers(1, 5)):
            size = int(rng.choice(SIZES))
            inner[self.value(inner, nodes, size, depth)] = size
        after = []
        for _, size in states:
            made = self.value(inner, nodes, size, depth)
            moved, kept = self.name(), self.name()
            nodes += [node("Add", f"{made} {number}s", moved), node("Tanh", moved, kept)]
            after.append((kept, FLOAT))
        given = [(self.pick(inner), FLOAT) for _ in range(results)]
        if rng.random() < 0.5:
            total, low = self.name(), self.name()
            nodes += [node("ReduceSum", after[0][0], total, keepdims=0),
                      node("Less", f"{total} {self.constant(np.float32(rng.normal() * 3))}", low)]
            condition = low
        else:
            condition = goes_on
        inside = self.body(nodes, {turn: ("int64", ()), goes_on: ("bool", ()), **{
            name: ("batch", size) for name, (_, size) in zip(names, states)}}, [(condition, BOOL), *after, *given])
        outputs = outputs or [self.name("after") for _ in (*states, *given)]
        most = "n" if rng.random() < 0.7 else self.constant(np.array(int(rng.integers(1, 5))))
        first = str(rng.choice(["-", "true"]))
        return [node("Loop", " ".join([most, first, *(start for start, _ in states)]), " ".join(outputs),
                     name=self.name("loop"), body=inside)], outputs

    def scan(self, scope: dict[str, int], depth: int) -> tuple[list, list[str]]:
        """The nodes of a Scan over `seq` [time, batch, 3], and the names of its outputs."""
        rng, state, step = self.rng, self.name("state"), self.name("step")
        start = self.pick(scope)
        inner, nodes = {**scope, state: scope[start], step: 3}, list[Any]()
        for _ in range(rng.integers(1, 4)):
            size = int(rng.choice(SIZES))
            inner[self.value(inner, nodes, size, depth)] = size
        after, kept = self.value(inner, nodes, scope[start], depth), self.name()
        nodes.append(node("Tanh", after, kept))
        inside = self.body(nodes, {state: ("batch", scope[start]), step: ("batch", 3)},
                           [(kept, FLOAT), (self.pick(inner), FLOAT)])
        outputs = [self.name("after"), self.name("all")]
        return [node("Scan", f"{start} seq", " ".join(outputs), name=self.name("scan"), num_scan_inputs=1, body=inside,
                     scan_input_directions=[int(rng.integers(2))], scan_output_directions=[int(rng.integers(2))],
                     scan_output_axes=[int(rng.integers(-3, 3))])], outputs

    def model(self) -> Any:
        """The model: inputs x [batch, 3], z [batch, 2], seq [time, batch, 3], n; outputs of a loop or two."""
        scope, nodes = {"x": 3, "z": 2}, list[Any]()
        for _ in range(self.rng.integers(0, 3)):
            size = int(self.rng.choice(SIZES))
            scope[self.value(scope, nodes, size, 0)] = size
        outputs: list[str] = []
        for _ in range(self.rng.integers(1, 3)):
            if self.rng.random() < 0.35:
                made, names = self.scan(scope, 1)
            else:
                states = [(name, scope[name]) for name in self.rng.choice(list(scope), self.rng.integers(1, 3))]
                made, names = self.loop(scope, states, 2, int(self.rng.integers(0, 3)))
                scope.update((name, size) for name, (_, size) in zip(names, states))
            nodes += made
            outputs += names
        return model(nodes, {"x": ("batch", 3), "z": ("batch", 2), "seq": ("time", "batch", 3), "n": ("int64", ())},
                     " ".join(outputs), self.tensors)

    def feeds(self, turns: int) -> dict[str, np.ndarray]:
        rows, steps = self.rng.integers(1, 4), self.rng.integers(1, 5)
        return {"x": self.rng.standard_normal((rows, 3)).astype(np.float32),
                "z": self.rng.standard_normal((rows, 2)).astype(np.float32),
                "seq": self.rng.standard_normal((steps, rows, 3)).astype(np.float32), "n": np.array(turns)}
