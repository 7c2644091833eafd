"""Guards: which nodes of a graph are run, where an If chooses between what they lead to.

ONNX's If has its branches as graphs inside the node. In a graph of ours their nodes stand among the others, and the
node takes the values that they make (`choosing.py`). What leads to one side of such a node alone has a guard: it is run
where the condition says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..errors import ArgumentError
from ..graph.nodes import Graph, Node, Operator
from .families import OPERATORS

# What must hold for a node to run: conditions by name, the outermost first, and what each must be. () always holds.
Guard = tuple[tuple[str, bool], ...]
MOST_NESTED = 32            # conditions of a guard; what stands deeper is run where those hold


def is_true(condition: np.ndarray, name: str) -> bool:
    """What a condition says. Raises ArgumentError unless it is one truth value."""
    if condition.size != 1:
        raise ArgumentError(f"condition {name!r}: expected one truth value, got {condition.size} "
                            f"of shape {list(condition.shape)}")
    return bool(condition.item())


def holds(guard: Guard, values: Mapping[str, np.ndarray]) -> bool:
    """Whether what has this guard is run. Conditions are looked at from the outermost on: behind one that does not hold
    there may be none."""
    return all(is_true(values[name], name) is wanted for name, wanted in guard)


def chooses(node: Node) -> bool:
    """Whether a node needs but one of its inputs 1 and 2."""
    return isinstance(node, Operator) and node.op_type in OPERATORS and OPERATORS[node.op_type].chooses


def guards(graph: Graph) -> list[Guard]:
    """The guard of each node.

    A node that stands before its condition is made has none: it is run whatever comes, as ONNX runs what stands outside
    the branches.
    """
    if not any(map(chooses, graph.nodes)):
        return [()] * len(graph.nodes)
    needed = _needed_where(graph.nodes, graph.outputs)
    made = {value.name for value in graph.inputs}
    found: list[Guard] = []
    for node, guard in zip(graph.nodes, needed):
        known = next((i for i, (name, _) in enumerate(guard) if name not in made), len(guard))
        found.append(guard[:known])
        made.update(node.outputs)
    return found


def _needed_where(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Guard]:
    """For each node what all that it leads to have in common."""
    needs: dict[str, Guard] = dict.fromkeys(outputs, ())
    found: list[Guard] = []
    for node in reversed(nodes):
        own: Guard | None = None
        for name in node.outputs:
            if name in needs:
                own = needs[name] if own is None else _common(own, needs[name])
        guard = () if own is None else own
        found.append(guard)
        for position, name in enumerate(node.inputs):
            if not name:
                continue
            inside = guard
            if chooses(node) and position in (1, 2) and node.inputs[0] and len(guard) < MOST_NESTED:
                inside = (*guard, (node.inputs[0], position == 1))
            needs[name] = _common(needs[name], inside) if name in needs else inside
    return found[::-1]


def _common(a: Guard, b: Guard) -> Guard:
    length = next((i for i, (p, q) in enumerate(zip(a, b)) if p != q), min(len(a), len(b)))
    return a[:length]
