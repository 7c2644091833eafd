"""What is quantised in a graph: layer by layer, in what type, in how many bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import WeightDtype
from .nodes import Dense, Embedding, Graph, Loop, Node, Operator, Recurrent, every_node
from .quantized import Quantized
from .weights import MATRICES

QUANTIZABLE = (Recurrent, Dense, Embedding)


@dataclass(frozen=True)
class WeightError:
    """How far the weights of a layer are from what they were: the largest difference, and the root of the mean square,
    over all of its matrices."""

    largest: float
    rms: float


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer of a quantised model, also one that was left in float.

    op: the kind of its node. type: of its matrices. bytes_before: of its weights in float32, biases with them; bytes:
    as they are, scales with them. error: None where it is not known, as in a model from a file, which does not hold it.
    """

    name: str
    op: str
    type: WeightDtype
    bytes_before: int
    bytes: int
    error: WeightError | None = None


@dataclass(frozen=True)
class OutputDifference:
    """How far an output is from that of the float model, on the data that was given.

    largest, rms: the largest difference, and the root of the mean square. decisions: how many were compared: where the
    last axis is longer than 1, which of it is largest; where numbers of a last axis of 1 are all in [0, 1], on which
    side of 0.5 they are; 0 for others. changed: how many of them are other ones.
    """

    name: str
    largest: float
    rms: float
    decisions: int = 0
    changed: int = 0


@dataclass(frozen=True)
class Quantization:
    """What is quantised in a model (`Model.quantization`).

    layers: those that can be quantised, in the order of the graph. bytes_before, bytes: of all weights, in float32 and
    as they are, what several layers share once. outputs: empty where no data was given, and in a model from a file.
    """

    layers: tuple[QuantizedLayer, ...]
    bytes_before: int
    bytes: int
    outputs: tuple[OutputDifference, ...] = ()

    @property
    def weight_dtype(self) -> WeightDtype:
        """The type of the layers' matrices, "mixed" where it is not one."""
        types = {layer.type for layer in self.layers}
        return types.pop() if len(types) == 1 else "mixed"


def type_of(node: Node) -> WeightDtype | None:
    """The type of a layer's matrices; None for a node that has none."""
    if not isinstance(node, QUANTIZABLE):
        return None
    weight: Any = next(weight for name, weight in node.tensors().items() if name in MATRICES)
    if isinstance(weight, Quantized):
        return weight.type
    return "float64" if weight.dtype == np.float64 else "float32"       # float16 is widened when it is packed


def is_quantized(graph: Graph) -> bool:
    return any(isinstance(weight, Quantized) for node in every_node(graph) for weight in node.tensors().values())


def quantization_of(graph: Graph, errors: Mapping[str, WeightError] | None = None,
                    outputs: tuple[OutputDifference, ...] = ()) -> Quantization | None:
    """What is quantised in a graph, whose weights may be packed; None where nothing is.

    errors: of its layers, by name, where they are known."""
    if not is_quantized(graph):
        return None
    layers, before, after = [], dict[int, int](), dict[int, int]()
    for node in every_node(graph):
        if isinstance(node, (Operator, Loop)):
            continue
        own_before, own_after = _sizes(node)
        if (kind := type_of(node)) is not None:
            layers.append(QuantizedLayer(node.name, node.op, kind, sum(own_before.values()), sum(own_after.values()),
                                         (errors or {}).get(node.name)))
        before.update(own_before)
        after.update(own_after)
    return Quantization(tuple(layers), sum(before.values()), sum(after.values()), outputs)


def _sizes(node: Node) -> tuple[dict[int, int], dict[int, int]]:
    """Bytes of a layer's weights by the array that holds them, in float32 and as they are."""
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    weight: Any
    for weight in node.tensors().values():
        held = weight.arrays() if isinstance(weight, Quantized) else (weight,)
        before[id(held[0])] = weight.size * np.dtype(np.float32).itemsize
        after.update((id(array), array.nbytes) for array in held)
    return before, after
