"""Inputs that a file gives no shape, or one symbol for two of their axes: what can be told of them all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....graph.nodes import Value
from ....operators import OPERATORS
from ..model import UNKNOWN_RANK, OnnxGraph, OnnxModel, of_rank
from .recurrent import GATES


def with_open_inputs(model: OnnxModel) -> OnnxModel:
    """The model with what can be told of such inputs."""
    graph = _with_ranks(model.graph)
    return replace(model, graph=replace(graph, inputs=_open_axes(graph.inputs)))


def _open_axes(inputs: Sequence[Value]) -> list[Value]:
    """The inputs, each axis under a name of its own whose symbol some input has twice: such a symbol is an exporter's
    word for any size, does not say that sizes are equal, and ONNX Runtime does not hold it to that."""
    twice = {dim for value in inputs for dim in value.shape if isinstance(dim, str) and value.shape.count(dim) > 1}
    return [replace(value, shape=tuple(f"{value.name}_{axis}" if dim in twice else dim
                                       for axis, dim in enumerate(value.shape))) for value in inputs]


def _with_ranks(graph: OnnxGraph) -> OnnxGraph:
    """The graph with the ranks of inputs that their use tells: a recurrent layer's own, or what it is made of by
    operators that keep the rank."""
    if not any(value.dtype.endswith(UNKNOWN_RANK) for value in graph.inputs):
        return graph
    ranks: dict[str, int] = {}
    for node in reversed(graph.nodes):
        out, given = ranks.get(node.outputs[0]) if node.outputs else None, node.inputs
        if node.domain or not given:
            continue
        if node.op in GATES:
            ranks[given[0]] = 3
            ranks.update(zip(given[4:7], (1, 3, 3)))
        elif out is None:
            continue
        elif node.op == "Gather" and len(given) > 1 and given[0] in graph.tensors:
            ranks[given[1]] = out - graph.tensors[given[0]].ndim + 1
        elif node.op == "Transpose" or (node.op in OPERATORS and OPERATORS[node.op].elementwise and len(given) == 1):
            ranks[given[0]] = out
    return replace(graph, inputs=[
        of_rank(value, ranks[value.name]) if value.dtype.endswith(UNKNOWN_RANK) and ranks.get(value.name, -1) >= 0
        else value for value in graph.inputs])
