"""From layers to a spec: the chain embedding -> recurrent stacks -> (pool) -> linear, where no other is possible.

A state dict says which layers there are, not how the model's code connects them. What could be connected in
two ways is refused, with what was found and how to write a spec.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ...errors import ArgumentError, UnsupportedError
from ..arrays.weights import Weights
from .layers import Layers, Matrix, Stack, find_layers

POOLS = ("last", "mean", "max")
MAX_ORDERED = 6                # stacks whose orders are tried
EMBEDDING_NAME = re.compile(r"emb|lookup|wte", re.IGNORECASE)
_TWO_PARTS = re.compile(r"(?:^|[._])(enc|dec)", re.IGNORECASE)
HOW = ("say it in a spec: `lstm-engine inspect FILE --spec > net.json` proposes one, convert takes it as spec= or "
       "--spec (docs/spec.md)")


@dataclass(frozen=True)
class Chain:
    """The layers of a model in the order in which they run."""

    embedding: Matrix | None
    stacks: tuple[Stack, ...]
    head: Matrix | None


def propose(weights: Weights, pool: str | None = None,
            nonlinearities: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The spec of the only chain that the tensors allow.

    pool: how the sequence is reduced before the head. nonlinearities: of nn.RNN modules by path, where known.
    Raises UnsupportedError if the order is ambiguous or a tensor fits nowhere, FormatError if a recurrent
    module is inconsistent, ArgumentError for another pool.
    """
    if pool is not None and pool not in POOLS:
        raise ArgumentError(f"pool must be one of {', '.join(POOLS)}, got {pool!r:.50}")
    layers = find_layers(weights)
    if not layers.stacks:
        raise UnsupportedError(f"no recurrent layer was found among {weights.describe(weights.names)}; expected names "
                               "such as 'lstm.weight_ih_l0' or 'cell.weight_ih'")
    chain = _chain(weights, layers)
    if pool == "last" and chain.stacks[-1].bidirectional:
        _ambiguous(layers, "pool \"last\" after a bidirectional layer can mean output[:, -1], where the reverse "
                           "direction has seen one step, or the last state of both directions (Y_h)")
    return write_spec(weights, chain, pool, nonlinearities or {})


def _ambiguous(layers: Layers, reason: str) -> NoReturn:
    found = "; ".join([*map(str, layers.stacks), *(f"matrix {matrix}" for matrix in layers.matrices)])
    raise UnsupportedError(f"how the layers are connected is not certain: {reason}. Found: {found}. "
                           f"To convert it, {HOW}")


def _chain(weights: Weights, layers: Layers) -> Chain:
    if layers.rest:
        raise UnsupportedError(f"{len(layers.rest)} tensor(s) belong to no recurrent, embedding or linear layer: "
                               f"{weights.describe(layers.rest)}. To convert it, {HOW}")
    embeddings: list[Matrix] = []
    heads: list[Matrix] = []
    for matrix in layers.matrices:
        (embeddings if _is_embedding(matrix, layers) else heads).append(matrix)
    if len(embeddings) > 1:
        _ambiguous(layers, f"there are {len(embeddings)} embeddings")
    if len(heads) > 1:
        _ambiguous(layers, f"{len(heads)} linear layers ({_paths(heads)}) may have "
                           "activations between them, which a state dict does not hold")
    if heads and heads[0].index < layers.first_recurrent and _may_come_first(heads[0], layers):
        _ambiguous(layers, f"the linear layer {heads[0].path!r:.100} comes first in the file and fits before a "
                           "recurrent layer")
    embedding, head = (found[0] if found else None for found in (embeddings, heads))
    return Chain(embedding, _order(layers, embedding, head), head)


def _paths(matrices: list[Matrix]) -> str:
    return ", ".join(f"{matrix.path!r:.100}" for matrix in matrices[:8])


def _is_embedding(matrix: Matrix, layers: Layers) -> bool:
    """Tell a table from a linear layer by bias, name, and the sizes and places that each could have."""
    if matrix.bias:
        return False
    if EMBEDDING_NAME.search(matrix.path):
        return True
    feeds = any(matrix.shape[1] == stack.features for stack in layers.stacks)
    reads = any(matrix.shape[1] == stack.output for stack in layers.stacks)
    if feeds and (reads or _may_come_first(matrix, layers)):
        _ambiguous(layers, f"{matrix} can be an embedding or a linear layer")
    if not feeds and not reads:
        _ambiguous(layers, f"{matrix} fits neither before nor after a recurrent layer")
    return feeds


def _may_come_first(matrix: Matrix, layers: Layers) -> bool:
    """Whether a linear layer [out, in] could stand in front of a recurrent one."""
    return any(matrix.shape[0] == stack.features for stack in layers.stacks)


def _order(layers: Layers, embedding: Matrix | None, head: Matrix | None) -> tuple[Stack, ...]:
    """The one order in which sizes and names let the recurrent modules follow each other."""
    stacks = layers.stacks
    if embedding and not any(stack.features == embedding.shape[1] for stack in stacks):
        _ambiguous(layers, f"no recurrent layer reads the {embedding.shape[1]} features of {embedding.path!r:.100}")
    if head and not any(stack.output == head.shape[1] for stack in stacks):
        _ambiguous(layers, f"no recurrent layer gives the {head.shape[1]} features that {head.path!r:.100} reads")
    if len(stacks) > MAX_ORDERED:
        _ambiguous(layers, f"there are {len(stacks)} recurrent modules")
    if len(stacks) > 1 and any(_TWO_PARTS.search(stack.path) for stack in stacks):
        _ambiguous(layers, "an encoder and a decoder are no chain")
    fitting = [order for order in itertools.permutations(stacks)
               if all(below.output == above.features for below, above in itertools.pairwise(order))
               and (embedding is None or order[0].features == embedding.shape[1])
               and (head is None or order[-1].output == head.shape[1])]
    if not fitting:
        _ambiguous(layers, "the sizes of the recurrent modules let no order of them follow each other")
    if len(fitting) == 1:
        return fitting[0]
    if tuple(stacks) in fitting and _numbered(stacks):
        return tuple(stacks)
    _ambiguous(layers, f"{len(fitting)} orders of the recurrent modules are possible")


def _numbered(stacks: list[Stack]) -> bool:
    """Whether the modules are called the same but for a number that rises: lstm1, lstm2 or layers.0, layers.1."""
    stems = {re.sub(r"[0-9]+", "#", stack.path) for stack in stacks}
    numbers = [[int(number) for number in re.findall(r"[0-9]{1,9}", stack.path)] for stack in stacks]
    return len(stems) == 1 and all(below < above for below, above in itertools.pairwise(numbers))


def write_spec(weights: Weights, chain: Chain, pool: str | None, nonlinearities: Mapping[str, str]) -> dict[str, Any]:
    """The spec of a chain: layers by their paths in PyTorch's naming."""
    first = chain.stacks[0]
    dtype = weights.dtype(next(name for name in weights.names if name.endswith(("weight_ih", "weight_ih_l0"))))
    ids = {"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}
    sequence = {"name": "input", "shape": ["batch", "time", first.features], "dtype": dtype}
    nodes: list[dict[str, Any]] = []
    if chain.embedding:
        nodes.append({"op": "Embedding", "name": _name(chain.embedding.path, "embedding"),
                      "torch": chain.embedding.path})
    for stack in chain.stacks:
        nodes += stack_nodes(stack, nonlinearities.get(stack.path, "tanh"))
    if pool:
        nodes.append({"op": "Pool", "name": f"pool_{pool}", "kind": pool})
    if chain.head:
        nodes.append({"op": "Dense", "name": _name(chain.head.path, "linear"), "torch": chain.head.path,
                      "activation": "linear"})
    return connected([ids if chain.embedding else sequence], nodes) | {"notes": _notes(chain, pool, nonlinearities)}


def _notes(chain: Chain, pool: str | None, nonlinearities: Mapping[str, str]) -> list[str]:
    """What the chain takes for granted, for a reader of the spec."""
    notes = []
    if not pool:
        notes.append("no pool: the outputs are those of every step; a node {\"op\": \"Pool\", \"name\": \"pool\", "
                     "\"kind\": \"last\"} (or mean, max) in front of the head reduces the sequence")
    notes += [f"RNN {stack.path!r:.100} is taken to have PyTorch's default nonlinearity, tanh" for stack in chain.stacks
              if stack.op == "RNN" and stack.path not in nonlinearities]
    if chain.head:
        notes.append(f"an activation after the linear layer {chain.head.path!r:.100} is not in the file; here there "
                     f"is none")
    return notes


def stack_nodes(stack: Stack, nonlinearity: str) -> list[dict[str, Any]]:
    """One node per layer of a recurrent module; `nonlinearity` is that of nn.RNN."""
    nodes = []
    for layer in range(len(stack.layers)):
        name = _name(stack.path, stack.op.lower())
        node: dict[str, Any] = {"op": stack.op, "name": f"{name}_l{layer}" if len(stack.layers) > 1 else name,
                                "torch": stack.path, "layer": layer,
                                "direction": "bidirectional" if stack.bidirectional else "forward"}
        if stack.op == "RNN":
            node["activations"] = [[nonlinearity]] * (2 if stack.bidirectional else 1)
        nodes.append(node)
    return nodes


def connected(inputs: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """A spec in which each node reads the one before; values and nodes get names that are not taken."""
    taken = {value["name"] for value in inputs} | {"output"}
    names: set[str] = set()
    last = inputs[0]["name"]
    for index, node in enumerate(nodes):
        node["name"] = _free(node["name"], names)
        output = "output" if index == len(nodes) - 1 else _free(node["name"], taken)
        node.update(inputs=[last], outputs=[output])
        last = output
    return {"inputs": inputs, "nodes": nodes, "outputs": [last]}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _name(path: str, default: str) -> str:
    return path or default
