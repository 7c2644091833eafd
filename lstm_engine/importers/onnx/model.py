"""An ONNX model as this importer holds it: nodes, tensors as arrays, values. Nothing is interpreted yet."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from ...errors import FormatError
from ...graph.nodes import Value

UNKNOWN_RANK = " of unknown rank"        # behind the dtype of an input that has no shape
Attribute = Any         # int, float, str, a tuple of them, an ndarray, an OnnxGraph, or a Reference


def of_rank(value: Value, rank: int) -> Value:
    """An input without a shape, as one of so many axes of any size."""
    return Value(value.name, tuple(f"{value.name}_{axis}" for axis in range(rank)),
                 value.dtype.removesuffix(UNKNOWN_RANK))


@dataclass(frozen=True)
class Reference:
    """The attribute of a node inside a function that takes its value from the node that calls the function."""

    name: str


@dataclass(frozen=True)
class Unknown:
    """An attribute of a kind that is not supported."""

    kind: str


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node; `opset` is the version of the operators its graph or function asks for, for its domain.

    overload: which of the model's functions of one name it calls.
    projection: the name of an LSTM's [dirs, P, H], through which h is projected. ONNX has none: no file can ask for it,
    PyTorch's programs, which take this way too, can.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    _: KW_ONLY                          # one text must not come to stand for another
    domain: str = ""
    opset: int = 0
    overload: str = ""
    projection: str = ""

    @property
    def label(self) -> str:
        """What messages call this node."""
        op = f"{self.domain}.{self.op}" if self.domain else self.op
        return f"node {self.name or '/'.join(filter(None, self.outputs))!r} ({op})"

    def numbers(self, attribute: str, whole: bool) -> np.ndarray:
        """An attribute as an array, int64 where its numbers must be whole, else float32. Raises FormatError."""
        value = self.attributes[attribute]
        items = value if isinstance(value, (list, tuple)) else (value,)
        if not all(isinstance(item, int if whole else (int, float)) for item in items):
            raise FormatError(f"{self.label}: attribute {attribute!r} must be {'whole ' if whole else ''}numbers, "
                              f"got {value!r:.60}")
        return np.asarray(value, np.int64 if whole else np.float32)


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """Nodes in an order in which inputs are made before use. `inputs` without those that are initializers."""

    nodes: list[OnnxNode]
    tensors: dict[str, np.ndarray]
    inputs: list[Value]
    outputs: list[str]


@dataclass(frozen=True, eq=False)
class OnnxFunction:
    """A function of the model: its body with formal names, and the defaults of its attributes."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: list[OnnxNode]
    defaults: dict[str, Attribute]


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A whole model."""

    graph: OnnxGraph
    functions: dict[tuple[str, str, str], OnnxFunction]     # by (domain, name, overload)
    producer: str
    opset: int
