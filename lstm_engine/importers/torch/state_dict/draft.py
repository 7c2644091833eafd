"""A draft of a spec for a file that does not say enough: every layer found, and what to check."""

from __future__ import annotations

from typing import Any

from ....errors import FormatError, UnsupportedError
from ...reading.weights import Weights
from .copies import copy_of
from .layers import Layers, Matrix, find_layers
from .propose import propose, write_spec
from .readings import MAX_UNORDERED, Chain, Settled, Step, readings
from .reparametrised import reparametrised


def propose_or_draft(weights: Weights, program: str | None = None) -> dict[str, Any]:
    """The spec of the only possible chain, or else a draft whose "notes" begin with what is not certain.

    program: what the file holds beside weights and nobody reads; it makes any chain a draft.
    """
    try:
        spec = propose(weights)
    except UnsupportedError as error:
        spec = _draft(weights, str(error))
    if program:
        spec["notes"].insert(0, f"a draft, to be corrected: {program}, so that this chain is a guess from its weights")
    return spec


def _draft(weights: Weights, reason: str) -> dict[str, Any]:
    weights = weights.replaced(reparametrised(weights)[0])
    copy = copy_of(weights)
    if copy is not None:
        spec = propose_or_draft(weights.without(copy.pattern))
        return spec | {"ignore": [*spec.get("ignore", ()), copy.pattern],
                       "notes": [f"a draft, to be corrected: {reason}", *spec["notes"]]}
    try:
        layers = find_layers(weights)
    except FormatError as error:
        raise UnsupportedError(reason) from error
    notes = [f"a draft, to be corrected: {reason}",
             "the nodes are one chain, which may be another than the model's; check their order, \"inputs\", "
             "\"outputs\" and each \"activation\", and add what has no weights (Pool, Activate)"]
    if layers.rest:
        notes.append(f"belong to no node yet: {weights.describe(layers.rest, 100)}; give them a node, or name them "
                     "under \"ignore\"")
    chain = _any_chain(layers)
    if not chain:
        raise UnsupportedError(reason)
    settled = Settled(activations={step.label: "tanh" for step in chain if step.op == "RNN"})
    return write_spec(weights, chain, settled) | {"ignore": [], "notes": notes}


def _any_chain(layers: Layers) -> Chain:
    """The first chain whose sizes fit; else tables, recurrent modules and matrices by name."""
    found = readings(layers, None) if len(layers.parts) <= MAX_UNORDERED else []
    if found:
        return found[0]
    tables = [matrix for matrix in layers.matrices if _looks_like_a_table(matrix, layers)]
    return (*(Step(matrix, "Embedding") for matrix in tables), *(Step(stack, stack.op) for stack in layers.stacks),
            *(Step(matrix, "Dense") for matrix in layers.matrices if matrix not in tables))


def _looks_like_a_table(matrix: Matrix, layers: Layers) -> bool:
    """Good enough for a draft: no bias, and as many features as a recurrent layer reads."""
    return not matrix.bias and any(matrix.shape[1] == stack.features for stack in layers.stacks)
