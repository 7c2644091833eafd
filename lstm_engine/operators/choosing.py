"""If: which of two values is the result is known when the model runs, and only what that one needs is run.

ONNX's If has its branches as graphs inside the node. In a graph of ours their nodes stand among the others, and the
node takes (condition, value if true, value if false), one node for each output of the branches. What leads to one side
of such a node alone has a guard: it is run where the condition says so. One of the values may be left out, of a branch
whose result has another rank: inputs that take it are refused when they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..graph.nodes import Graph, Node, Operator
from .axis_rules import AxisCall
from .kernels import Kernel
from .places import Place, need
from .shape_rules import ShapeCall, Shapes, same_size
from .spec import OPERATORS, declare

# What must hold for a node to run: conditions by name, the outermost first, and what each must be. () always holds.
Guard = tuple[tuple[str, bool], ...]
MOST_NESTED = 32


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


def _kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    def one_of(condition: np.ndarray, then: np.ndarray | None, otherwise: np.ndarray | None = None) -> np.ndarray:
        true = is_true(condition, node.inputs[0])
        chosen = then if true else otherwise
        if chosen is None:
            raise UnsupportedError(f"node {node.name!r} (If): for these inputs its condition is {true}, and it then "
                                   "gives a result of another rank, which this model was not read for; give the sizes "
                                   "of the inputs when it is converted: spec={'shapes': {input: [sizes]}}")
        return chosen
    return one_of


def _shape(call: ShapeCall) -> Shapes:
    if call.dtype() != "bool":
        raise call.error(f"its condition must be bool, got {call.dtype()}")
    if not all(same_size(dim, 1) for dim in call.shape()):
        raise call.error(f"its condition must be one truth value, got {call.shape()}")
    if not (call.given(1) and call.given(2)):
        given = 1 if call.given(1) else 2
        return [(call.shape(given), call.dtype(given))]
    then, otherwise = call.shape(1), call.shape(2)
    if call.dtype(1) != call.dtype(2):
        raise call.error(f"its branches make {call.dtype(1)} and {call.dtype(2)}")
    if len(then) != len(otherwise):
        raise call.unknown(f"its branches make {len(then)} and {len(otherwise)} axes, so the rank of the result is "
                           "unknown before the run")
    return [([a if a == b else None for a, b in zip(then, otherwise)], call.dtype(1))]


def _axes(call: AxisCall) -> Place:
    """Every row must go the same way, and stand at one place in both results."""
    condition, *sides = call.given
    there = {place for i, place in enumerate(sides, 1) if call.node.inputs[i] or i in call.node.constants}
    need(condition is None and len(there) == 1)
    return there.pop()


declare("If", (1, 3), make=_kernel, shape=_shape, axes=_axes, exact=True, chooses=True)


def chooses(node: Node) -> bool:
    """Whether a node needs but one of its inputs 1 and 2."""
    return isinstance(node, Operator) and node.op_type in OPERATORS and OPERATORS[node.op_type].chooses


def guards(graph: Graph) -> list[Guard]:
    """The guard of each node.

    A node that stands before its condition is made has none: it is run whatever comes, as ONNX runs what stands outside
    the branches. Raises UnsupportedError for nodes guarded more than 32 deep.
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
            if chooses(node) and position in (1, 2) and node.inputs[0]:
                inside = (*guard, (node.inputs[0], position == 1))
                if len(inside) > MOST_NESTED:
                    raise UnsupportedError(f"node {node.name!r}: branches stand in each other more than {MOST_NESTED} "
                                           "deep")
            needs[name] = _common(needs[name], inside) if name in needs else inside
    return found[::-1]


def _common(a: Guard, b: Guard) -> Guard:
    length = next((i for i, (p, q) in enumerate(zip(a, b)) if p != q), min(len(a), len(b)))
    return a[:length]
