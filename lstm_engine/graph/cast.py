"""A graph in another floating-point dtype."""

from __future__ import annotations

import dataclasses
from typing import Any

from .nodes import Graph, Node, Operator


def cast(graph: Graph, dtype: str) -> Graph:
    """The graph with every floating-point weight, constant and input in `dtype`."""
    inputs = tuple(dataclasses.replace(value, dtype=dtype) if value.dtype.startswith("float") else value
                   for value in graph.inputs)
    return dataclasses.replace(graph, inputs=inputs, nodes=tuple(_cast_node(node, dtype) for node in graph.nodes))


def _cast_node(node: Node, dtype: str) -> Node:
    if isinstance(node, Operator):
        constants = {position: array.astype(dtype) if array.dtype.kind == "f" else array
                     for position, array in node.constants.items()}
        return dataclasses.replace(node, constants=constants)
    changed: dict[str, Any] = {name: array.astype(dtype) for name, array in node.tensors().items()}
    return dataclasses.replace(node, **changed)
