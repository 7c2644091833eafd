"""The last passes over the new graph: layers put together, what nobody needs left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ....data_types import DATA_TYPES
from ....graph import Activate, Dense, Embedding, Graph, Node, Operator, Recurrent, Value
from ....graph.activations import LINEAR
from ....graph.derived import Derived
from .unrolled import with_lstm_cells

_IDS = ("uint8", "int32", "int64")


def fused(graph: Graph, values: Mapping[str, Value], derived: Derived) -> Graph:
    """The same graph with LSTM cells and Dense layers whole, outputs under their own names, and no idle nodes.

    values: of the graph as it is given, by name. derived: where arrays made of weights are kept.
    """
    graph = replace(graph, nodes=tuple(_needed(list(graph.nodes), graph.outputs)))
    graph = with_lstm_cells(graph, values, derived)
    nodes = _named_outputs(_needed(list(graph.nodes), graph.outputs), graph)
    nodes = _whole_dense(nodes, graph.outputs, derived)
    nodes = _plain_ids(nodes, {name: value.dtype for name, value in values.items()})
    nodes = _needed(nodes, graph.outputs)
    uses = _uses(nodes, graph.outputs)
    return replace(graph, nodes=tuple(_without_idle_outputs(node, uses) for node in nodes))


def _uses(nodes: list[Node], outputs: tuple[str, ...]) -> Counter[str]:
    """How often each value is read; being an output of the graph counts."""
    return Counter([*outputs, *(name for node in nodes for name in node.inputs if name)])


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(filter(None, node.inputs))
            kept.append(node)
    return kept[::-1]


def _named_outputs(nodes: list[Node], graph: Graph) -> list[Node]:
    """Let the node that makes an output's value make it under the output's name, instead of a copy."""
    inputs, outputs = {value.name for value in graph.inputs}, set(graph.outputs)
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, Operator) and node.op_type == "Identity" and node.outputs[0] in outputs:
            source = node.inputs[0]
            if source and source not in inputs and source not in outputs:
                names.setdefault(source, node.outputs[0])
    if not names:
        return nodes
    result = []
    for node in nodes:
        identity = isinstance(node, Operator) and node.op_type == "Identity"
        copy = identity and names.get(node.inputs[0]) == node.outputs[0]
        if not copy and any(name in names for name in (*node.inputs, *node.outputs)):
            node = replace(node, inputs=tuple(names.get(name, name) for name in node.inputs),
                           outputs=tuple(names.get(name, name) for name in node.outputs))
        if not copy:
            result.append(node)
    return result


def _whole_dense(nodes: list[Node], outputs: tuple[str, ...], derived: Derived) -> list[Node]:
    """Dense, Add of a bias, activation: one Dense. Only where nothing else reads what is in between."""
    uses = _uses(nodes, outputs)
    made: dict[str, int] = {}
    result: list[Node | None] = []
    for node in nodes:
        source = next((name for name in node.inputs if name), "")
        at = made.get(source)
        before = result[at] if at is not None else None
        merged = None
        if isinstance(before, Dense) and uses[source] == 1 and before.activation == LINEAR:
            if isinstance(node, Activate):
                merged = replace(before, outputs=node.outputs, activation=node.activation)
            elif before.bias is None:
                bias = _bias(node, before, derived)
                merged = None if bias is None else replace(before, outputs=node.outputs, bias=bias)
        if merged is not None:
            result[at] = None           # type: ignore[index]
            node = merged
        made.update((name, len(result)) for name in node.outputs)
        result.append(node)
    return [node for node in result if node is not None]


def _bias(node: Node, dense: Dense, derived: Derived) -> np.ndarray | None:
    """The bias that an Add of a constant after `dense` is."""
    if not isinstance(node, Operator) or node.op_type != "Add" or len(node.constants) != 1:
        return None
    array, = node.constants.values()
    units = dense.kernel.shape[1]
    if array.dtype != dense.kernel.dtype or array.ndim > 1 or array.size not in (1, units):
        return None
    return derived.get(("bias", units), lambda array: np.array(np.broadcast_to(array.reshape(-1), units)), array)


def _plain_ids(nodes: list[Node], dtypes: Mapping[str, str]) -> list[Node]:
    """Ids go into an Embedding as they come, not through a Cast that widens them."""
    casts = {node.outputs[0]: node.inputs[0] for node in nodes if isinstance(node, Operator) and node.op_type == "Cast"
             and DATA_TYPES[node.attributes["to"]] in _IDS and dtypes.get(node.inputs[0]) in _IDS}
    return [replace(node, inputs=(casts[node.inputs[0]],))
            if isinstance(node, Embedding) and node.inputs[0] in casts else node for node in nodes]


def _without_idle_outputs(node: Node, uses: Counter[str]) -> Node:
    """A recurrent node without the outputs that nobody reads."""
    if not isinstance(node, Recurrent):
        return node
    outputs = [name if uses[name] else "" for name in node.outputs]
    while not outputs[-1]:
        outputs.pop()
    return replace(node, outputs=tuple(outputs))
