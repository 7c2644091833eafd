"""From a graph of float weights to one of quantised weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..graph import Dense, Embedding, Graph, Node
from ..graph.derived import Place, place
from ..graph.quantization import WeightError
from ..graph.quantized import MAX_PRODUCT, Quantized, as_type, channel_axis, error_of, quantized
from ..graph.weights import MATRICES
from ..types import QuantizedType

_SAME_NUMBERS = {"int8_weights": "int8"}        # a type -> the one that holds the same


class Quantizer:
    """Quantises the layers of one graph. What several layers share is quantised once, and shared again; what was
    quantised for one choice of layers is kept for the next."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._made: dict[tuple[Place, str, int], Quantized] = {}
        self._errors: dict[int, tuple[float, float]] = {}           # by id of the values: largest, sum of squares

    def graph_of(self, types: Mapping[str, QuantizedType]) -> tuple[Graph, dict[str, WeightError]]:
        """The graph with the layers that are named in their types, and how far their weights are from what they were.

        Raises ArgumentError naming the layer, the weight and the number where one cannot be quantised.
        """
        nodes, errors = [], {}
        for node in self.graph.nodes:
            to = types.get(node.name)
            if to is not None:
                node, errors[node.name] = self._layer(node, to)
            nodes.append(node)
        return dataclasses.replace(self.graph, nodes=tuple(nodes)), errors

    def _layer(self, node: Node, to: QuantizedType) -> tuple[Node, WeightError]:
        changed: dict[str, Any] = {}
        largest, squares, count = 0.0, 0.0, 0
        for name, array in node.tensors().items():
            if name not in MATRICES:
                changed[name] = array.astype(np.float32, copy=False)
                continue
            _check_terms(node, name, array, to)
            weight = changed[name] = self._weight(node, name, array, to)
            far, sum_of_squares = self._errors[id(weight.values)]
            largest, squares, count = max(largest, far), squares + sum_of_squares, count + array.size
        return dataclasses.replace(node, **changed), WeightError(largest, (squares / count) ** 0.5)

    def _weight(self, node: Node, name: str, array: np.ndarray | Quantized, to: QuantizedType) -> Quantized:
        key, where = (place(array), to, channel_axis(name)), f"layer {node.name!r} ({node.op}): {name}"
        if key not in self._made:
            if isinstance(array, Quantized):
                self._made[key] = as_type(array, to, where)
                self._errors[id(self._made[key].values)] = 0.0, 0.0
            elif to in _SAME_NUMBERS:
                same = self._weight(node, name, array, "int8")
                self._made[key] = as_type(same, to, where)
            else:
                made = quantized(array, to, channel_axis(name), where)
                self._made[key], self._errors[id(made.values)] = made, error_of(made, array)
        return self._made[key]


def _check_terms(node: Node, name: str, array: np.ndarray, to: QuantizedType) -> None:
    terms = array.shape[0] if isinstance(node, Dense) else array.shape[-1]
    if to == "int8" and not isinstance(node, Embedding) and terms > MAX_PRODUCT:
        raise ArgumentError(f"layer {node.name!r} ({node.op}): {name} {list(array.shape)} adds up {terms} products, "
                            f"and int32 holds the sum of {MAX_PRODUCT} of int8: give layers={{{node.name!r}: "
                            "'int8_weights'}")
