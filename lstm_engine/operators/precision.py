"""A graph in another floating-point dtype: what its layers compute in, and what its operators keep.

Every value has the dtype that the graph declares for it. Asked for float64, everything becomes float64. Asked for
float32, the layers do, and whatever follows from them alone; an input that an operator reads (a clock of 1.7e9 seconds,
from which the graph takes the first) keeps its digits until the graph casts it or a layer takes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data_types import FLOAT16, FLOAT32, FLOAT64
from ..errors import UnsupportedError
from ..graph.derived import Derived
from ..graph.nodes import Graph, Loop, Node, Operator, Value, every_node
from ..graph.quantized import Quantized
from .families import OPERATORS
from .inference import infer_shapes


def cast(graph: Graph, dtype: str) -> Graph:
    """The graph with its layers in `dtype`, "float32" or "float64". Raises UnsupportedError for float64 where weights
    are quantised."""
    for node in every_node(graph) if dtype == "float64" else ():
        for name, weight in node.tensors().items():
            if isinstance(weight, Quantized):
                raise UnsupportedError(f"node {node.name!r} ({node.op}): {name} is {weight.type}, and quantised layers "
                                       "compute in float32: leave dtype out, or load the model it was made of")
    return _widened(graph) if dtype == "float64" else _Narrowing(graph).graph()


def settled(graph: Graph) -> Graph:
    """The graph, its float32 inputs that float64 layers alone read declared as what those layers take."""
    narrow = {value.name for value in graph.inputs if value.dtype == "float32"}
    if not narrow:
        return graph
    wide, other = set[str](), set(graph.outputs)
    for node in graph.nodes:
        layer = not isinstance(node, (Operator, Loop)) \
            and any(array.dtype == np.float64 for array in node.tensors().values())
        (wide if layer else other).update(node.inputs)
    changed = narrow & wide - other
    if not changed:
        return graph
    inputs = tuple(dataclasses.replace(value, dtype="float64") if value.name in changed else value
                   for value in graph.inputs)
    return dataclasses.replace(graph, inputs=inputs)


def _widened(graph: Graph) -> Graph:
    inputs = tuple(dataclasses.replace(value, dtype="float64") if value.dtype.startswith("float") else value
                   for value in graph.inputs)
    derived = Derived()
    return dataclasses.replace(graph, inputs=inputs, nodes=tuple(_wide_node(node, derived) for node in graph.nodes))


def _wide_node(node: Node, derived: Derived) -> Node:
    if not isinstance(node, (Operator, Loop)):
        return _with_tensors(node, "float64", derived)
    constants = {position: _as(array, "float64", derived) if array.dtype.kind == "f" else array
                 for position, array in node.constants.items()}
    if isinstance(node, Loop):
        return dataclasses.replace(node, constants=constants, body=_widened(node.body))
    wide = {name: FLOAT64 for name, number in _types_named(node).items() if number in (FLOAT16, FLOAT32)}
    return dataclasses.replace(node, constants=constants, attributes={**node.attributes, **wide})


def _types_named(node: Operator) -> dict[str, int]:
    """The attributes that say of which type the results are, defaults filled in."""
    from .spec import operator_attributes

    spec, attributes = OPERATORS[node.op_type], operator_attributes(node)
    return {name: attributes[name] for name, attribute in spec.attributes.items() if attribute.says_type
            and attributes[name]}


def _with_tensors(node: Node, dtype: str, derived: Derived) -> Node:
    changed: dict[str, Any] = {name: _as(array, dtype, derived) for name, array in node.tensors().items()}
    return dataclasses.replace(node, **changed)


def _as(array: np.ndarray, dtype: str, derived: Derived) -> np.ndarray:
    """An array in another dtype; arrays that were one stay one. Quantised weights, which are float32, stay as they are.
    """
    if isinstance(array, Quantized):
        return array
    return derived.get(dtype, lambda array: array.astype(dtype), array)


class _Narrowing:
    """Goes through a graph with the set of those float64 values that are float32 now."""

    def __init__(self, graph: Graph) -> None:
        self.whole = graph
        self.derived = Derived()
        self.values: Mapping[str, Value] = infer_shapes(graph)
        operators = [node for node in graph.nodes if isinstance(node, (Operator, Loop))]
        by_operators = {name for node in operators for name in node.inputs}
        by_layers = {name for node in graph.nodes if not isinstance(node, (Operator, Loop)) for name in node.inputs}
        self.narrow = {value.name for value in graph.inputs
                       if value.dtype == "float64" and value.name in by_layers - by_operators}
        self.nodes: list[Node] = []
        self.taken = set(self.values) | {node.name for node in graph.nodes}
        self.again: dict[str, str] = {}                 # a narrow value -> the same in float64, where one is needed

    def graph(self) -> Graph:
        inputs = tuple(dataclasses.replace(value, dtype="float32") if value.name in self.narrow else value
                       for value in self.whole.inputs)
        for node in self.whole.nodes:
            self.nodes.append(self._operator(node) if isinstance(node, Operator) else self._loop(node)
                              if isinstance(node, Loop) else self._layer(node))
        return dataclasses.replace(self.whole, inputs=inputs, nodes=tuple(self.nodes))

    def _is_wide(self, name: str) -> bool:
        return bool(name) and self.values[name].dtype == "float64"

    def _layer(self, node: Node) -> Node:
        if node.tensors() or self.narrow.intersection(node.inputs):
            self.narrow.update(filter(self._is_wide, node.outputs))
        return _with_tensors(node, "float32", self.derived)

    def _loop(self, node: Loop) -> Loop:
        """A loop as its file has it: its states stay of the type that they are carried in."""
        names = tuple(self._float64(name) if name in self.narrow else name for name in node.inputs)
        return dataclasses.replace(node, inputs=names)

    def _operator(self, node: Operator) -> Operator:
        wide = set(filter(self._is_wide, node.inputs))
        if not wide & self.narrow:
            return node
        if wide - self.narrow:
            names = tuple(self._float64(name) if name in self.narrow else name for name in node.inputs)
            return dataclasses.replace(node, inputs=names)
        constants = {position: _as(array, "float32", self.derived) if array.dtype == np.float64 else array
                     for position, array in node.constants.items()}
        if not _types_named(node) and not (node.op_type == "CastLike" and node.inputs[1] not in self.narrow):
            self.narrow.update(filter(self._is_wide, node.outputs))
        return dataclasses.replace(node, constants=constants)

    def _float64(self, name: str) -> str:
        """A narrow value in float64, to meet one that is not narrow."""
        if name not in self.again:
            made = f"{name}/float64"
            while made in self.taken:
                made += "_"
            self.taken.add(made)
            self.again[name] = made
            self.nodes.append(Operator(name=made, inputs=(name,), outputs=(made,), op_type="Cast",
                                       attributes={"to": FLOAT64}))
        return self.again[name]
