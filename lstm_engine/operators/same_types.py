"""Inputs that ONNX wants of one type: what NumPy would promote, no runtime of ONNX computes.

The graphs of other importers may promote: whoever writes them knows what their framework makes of two types. A graph in
another precision than its file (`precision`) has float32 beside float64, too. So this is asked of ONNX's own files.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import GraphError
from ..graph.nodes import Graph, Loop, Operator, Value, dtype_name
from .families import OPERATORS
from .inference import infer_shapes


def check_types(graph: Graph, values: Mapping[str, Value]) -> None:
    """Raise GraphError for a node of which two inputs must be of one type and are not. values: by name."""
    for node in graph.nodes:
        if isinstance(node, Loop):
            check_types(node.body, infer_shapes(node.body))
        elif isinstance(node, Operator):
            _check(node, values)


def _check(node: Operator, values: Mapping[str, Value]) -> None:
    found: dict[str, tuple[int, str]] = {}
    variables = OPERATORS[node.op_type].variables
    for position, name in enumerate(node.inputs):
        constant = node.constants.get(position)
        if constant is None and not name:
            continue
        dtype = values[name].dtype if constant is None else dtype_name(constant.dtype)
        first, expected = found.setdefault(variables[min(position, len(variables) - 1)], (position, dtype))
        if dtype != expected:
            raise GraphError(f"node {node.name!r} ({node.op_type}): inputs {first} and {position} must be of one type, "
                             f"got {expected} and {dtype}; cast one of them first")
