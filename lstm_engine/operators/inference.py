"""Shape inference: the symbolic shape and dtype of every value of a graph."""

from __future__ import annotations

from ..errors import GraphError
from ..graph.nodes import Graph, Node, Operator, Value
from ..graph.shapes import Symbols, layer_shapes
from ..graph.weights import check_node, fail
from .spec import operator_shapes


def infer_shapes(graph: Graph) -> dict[str, Value]:
    """The shape and dtype of every named value, by name, inputs of the graph included.

    Symbols that must be equal are given one name, and symbols that a weight fixes become
    numbers. Raises GraphError for a value that is missing or made later, or a rank, size or dtype that does
    not fit; UnsupportedError for an operator or activation that is not known.
    """
    symbols = Symbols(dim for value in graph.inputs for dim in value.shape if isinstance(dim, str))
    values = {value.name: value for value in graph.inputs}
    for node in graph.nodes:
        check_node(node)
        inputs = [_look_up(node, name, values) for name in node.inputs]
        made = _operator(node, inputs, symbols) if isinstance(node, Operator) else \
            layer_shapes(node, inputs, symbols)
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                values[name] = Value(name, value.shape, value.dtype)
    return {name: Value(name, symbols.shape(value.shape), value.dtype) for name, value in values.items()}


def _look_up(node: Node, name: str, values: dict[str, Value]) -> Value | None:
    if not name:
        return None
    if name not in values:
        raise GraphError(f"node {node.name!r} ({node.op}): input {name!r} is made neither by an earlier node "
                         "nor given to the graph")
    return values[name]


def _operator(node: Operator, inputs: list[Value | None], symbols: Symbols) -> list[Value]:
    resolved = [value and Value(value.name, symbols.shape(value.shape), value.dtype) for value in inputs]
    made = operator_shapes(node, resolved)
    if len(made) < len(node.outputs):
        fail(node, "outputs", f"at most the {len(made)} that {node.op_type} has", f"{len(node.outputs)} names")
    return made
