"""Inputs made up for a model: ids that its tables have, numbers of ordinary size, lengths that fit."""

from __future__ import annotations

import numpy as np

from ..graph import Embedding, Graph, Operator, Recurrent, Value, infer_shapes

_LENGTHS = 1                # the place of the lengths among the inputs of a recurrent node


def random_inputs(graph: Graph, batch: int, steps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An array for every input of `graph`, by name.

    The first symbol of the first input is taken for the batch, every other symbol for a number of steps; sizes that
    the model fixes stay. Floats are normal, with deviation 1.
    """
    values = infer_shapes(graph)
    inputs = [Value(value.name, values[value.name].shape, value.dtype) for value in graph.inputs]
    symbol = inputs[0].shape[0] if inputs[0].shape else None
    return {value.name: _random(graph, value, tuple((batch if dim == symbol else steps) if isinstance(dim, str) else dim
                                                    for dim in value.shape), steps, rng) for value in inputs}


def _random(graph: Graph, value: Value, shape: tuple[int, ...], steps: int, rng: np.random.Generator) -> np.ndarray:
    if value.dtype.startswith("float"):
        return rng.standard_normal(shape).astype(value.dtype)
    if value.dtype == "bool":
        return rng.random(shape) < 0.8
    if any(isinstance(node, Recurrent) and value.name in node.inputs[_LENGTHS:_LENGTHS + 1] for node in graph.nodes):
        return rng.integers(1, steps + 1, shape).astype(value.dtype)
    return rng.integers(0, _vocabulary(graph, value.name), shape).astype(value.dtype)


def _vocabulary(graph: Graph, name: str) -> int:
    """The ids that may be drawn for an input: below the size of each table that it, or what is made of it, reads."""
    reached, sizes = {name}, []
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if isinstance(node, Embedding):
            sizes.append(len(node.table))
        elif isinstance(node, Operator) and node.op_type == "Gather" and 0 in node.constants:
            sizes.append(node.constants[0].shape[node.attributes.get("axis", 0)])
        elif isinstance(node, Operator):
            reached.update(node.outputs)
    return min(sizes, default=2)
