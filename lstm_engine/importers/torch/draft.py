"""A draft of a spec for a file that does not say enough: every layer found, in the file's order, and what to check."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedError
from ..arrays.weights import Weights
from .layers import Layers, Matrix, find_layers
from .propose import EMBEDDING_NAME, connected, propose, stack_nodes


def propose_or_draft(weights: Weights) -> dict[str, Any]:
    """The spec of the only possible chain, or else a draft whose "notes" begin with what is not certain."""
    try:
        return propose(weights)
    except UnsupportedError as error:
        return _draft(weights, str(error))


def _draft(weights: Weights, reason: str) -> dict[str, Any]:
    layers = find_layers(weights)
    tables = [matrix for matrix in layers.matrices if _looks_like_a_table(matrix, layers)]
    linear = [matrix for matrix in layers.matrices if matrix not in tables]
    nodes: list[dict[str, Any]] = [{"op": "Embedding", "name": matrix.path or "embedding", "torch": matrix.path}
                                   for matrix in tables]
    for stack in layers.stacks:
        nodes += stack_nodes(stack, "tanh")
    nodes += [{"op": "Dense", "name": matrix.path or "linear", "torch": matrix.path, "activation": "linear"}
              for matrix in linear]
    if not nodes:
        raise UnsupportedError(reason)
    notes = [f"a draft, to be corrected: {reason}",
             "the nodes are chained in the file's order; check \"inputs\", \"outputs\" and each \"activation\", and "
             "add what has no weights (Pool, Activate)"]
    if layers.rest:
        notes.append(f"belong to no node yet: {weights.describe(layers.rest, 100)}; give them a node, or name them "
                     "under \"ignore\"")
    inputs: list[dict[str, Any]]
    if tables:
        inputs = [{"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}]
    else:
        features = layers.stacks[0].features if layers.stacks else linear[0].shape[1]
        inputs = [{"name": "input", "shape": ["batch", "time", features], "dtype": weights.dtype(weights.names[0])}]
    return connected(inputs, nodes) | {"ignore": [], "notes": notes}


def _looks_like_a_table(matrix: Matrix, layers: Layers) -> bool:
    return not matrix.bias and (EMBEDDING_NAME.search(matrix.path) is not None or matrix.index < layers.first_recurrent)
