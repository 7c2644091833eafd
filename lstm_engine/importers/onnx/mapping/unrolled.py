"""Finds LSTM cells that an exporter wrote out in primitives, as it does for a single step: they become LSTM nodes.

    gates = x W + h R + b, split in four;  c' = f(forget) * c + f(in) * g(new);  h' = f(out) * h(c')

What is looked for is this expression, whatever the order of gates, factors and summands. Values in between must
have no other reader. The LSTM reads one step and its states; c' and h' keep their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ....graph import LSTM, Activate, Activation, Dense, Graph, Node, Operator, Value
from ....graph.activations import LINEAR, ROW_WISE
from ....graph.derived import Derived
from ....graph.nodes import Dim, Shape
from ....operators import OPERATORS

# (c, c', h', positions of i, o, f, c in the split, functions)
_Found = tuple[str, str, str, tuple[int, int, int, int], tuple[Activation, Activation, Activation]]


@dataclass(frozen=True)
class _Match:
    """One cell: names of values, the gates' positions in the split, and what is added to the gates."""

    c: str
    new_c: str
    new_h: str
    gates: tuple[int, int, int, int]                # positions of i, o, f, c
    functions: tuple[Activation, Activation, Activation]
    x: Dense
    h: Dense
    bias: np.ndarray                                # [4*H], in the split's order


def with_lstm_cells(graph: Graph, values: Mapping[str, Value], derived: Derived) -> Graph:
    """The graph with LSTM nodes where cells were written out; nodes that nobody needs any more are left in it.

    derived: a loop that was unrolled has the same weights in all its cells, which stay the same.
    """
    finder = _Finder(graph, values)
    found = {match.new_c: match for node in graph.nodes if (match := finder.match(node)) is not None}
    if not found:
        return graph
    dropped = {match.new_h for match in found.values()}
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.outputs[0] in found:
            nodes += _nodes(found[node.outputs[0]], values, taken, derived)
        elif node.outputs[0] not in dropped:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _nodes(match: _Match, values: Mapping[str, Value], taken: set[str], derived: Derived) -> list[Node]:
    """The LSTM of a match, and what makes its x a sequence of one step."""
    name = f"{match.new_h}/lstm"
    while name in taken or f"{name}/x" in taken:
        name += "_"
    taken.update((name, f"{name}/x"))
    hidden = len(match.bias) // 4

    def stacked(kernel: np.ndarray) -> np.ndarray:
        blocks = [kernel[..., k * hidden:(k + 1) * hidden] for k in match.gates]
        return np.ascontiguousarray(np.concatenate(blocks, axis=-1).T[None])

    nodes: list[Node] = []
    x = match.x.inputs[0]
    if len(values[x].shape) == 2:
        nodes.append(Operator(name=f"{name}/x", inputs=(x, ""), outputs=(f"{name}/x",), op_type="Unsqueeze",
                              constants={1: np.array([1], np.int64)}))
        x = f"{name}/x"
    bias = match.bias           # summed up anew for each cell: told apart by what is in it
    B = derived.get(("B", match.gates, bias.dtype, bias.tobytes()), lambda: np.concatenate(
        [stacked(bias), np.zeros((1, 4 * hidden), bias.dtype)], axis=1))
    W, R = (derived.get(("stacked", match.gates), stacked, layer.kernel) for layer in (match.x, match.h))
    nodes.append(LSTM(name=name, inputs=(x, "", match.h.inputs[0], match.c), outputs=("", match.new_h, match.new_c),
                      W=W, R=R, B=B, activations=(match.functions,)))
    return nodes


class _Finder:
    def __init__(self, graph: Graph, values: Mapping[str, Value]) -> None:
        self.values = values
        self.inputs = {value.name for value in graph.inputs}
        self.maker = {name: node for node in graph.nodes for name in node.outputs if name}
        self.users: dict[str, list[Node | None]] = defaultdict(list)
        for name in graph.outputs:
            self.users[name].append(None)
        for node in graph.nodes:
            for name in filter(None, node.inputs):
                self.users[name].append(node)

    def match(self, split: Node) -> _Match | None:
        """The cell whose gates `split` parts, if it is one."""
        if not isinstance(split, Operator) or split.op_type != "Split" or len(split.outputs) != 4:
            return None
        shape, parts = self.values[split.inputs[0]].shape, [self.values[name].shape for name in split.outputs]
        axis = split.attributes.get("axis", 0)
        if axis not in (-1, len(shape) - 1) or len(shape) != 2 or len(set(parts)) != 1:
            return None
        hidden = parts[0][-1]
        if not isinstance(hidden, int):
            return None
        bias = np.zeros(4 * hidden)
        gates = [self._gate(name, bias[k * hidden:(k + 1) * hidden]) for k, name in enumerate(split.outputs)]
        known = [gate for gate in gates if gate is not None]
        cell = self._cell(known) if len(known) == len(gates) else None
        sums = self._sums(split.inputs[0], bias) if cell else None
        if cell is None or sums is None:
            return None
        c, new_c, new_h, order, functions = cell
        pair = self._x_and_h(sums, self.values[c].shape)
        if pair is None:
            return None
        return _Match(c, new_c, new_h, order, functions, *pair, bias.astype(pair[0].kernel.dtype))

    def _only_user(self, name: str) -> Node | None:
        users = self.users[name]
        return users[0] if len(users) == 1 else None

    def _gate(self, name: str, bias: np.ndarray) -> Activate | None:
        """The activation of one gate; a constant added before it (a forget bias) goes to `bias`."""
        user = self._only_user(name)
        if isinstance(user, Operator) and user.op_type == "Add" and len(user.constants) == 1:
            constant, = user.constants.values()
            if constant.ndim > 1 or constant.size not in (1, len(bias)):
                return None
            bias += constant
            user = self._only_user(user.outputs[0])
        return user if isinstance(user, Activate) and user.activation.name not in ROW_WISE else None

    def _product(self, name: str) -> tuple[Operator, str] | None:
        """The product that alone reads `name`, and its other factor."""
        user = self._only_user(name)
        if not isinstance(user, Operator) or user.op_type != "Mul" or user.constants:
            return None
        return user, user.inputs[1] if user.inputs[0] == name else user.inputs[0]

    def _cell(self, gates: list[Activate]) -> _Found | None:
        """(c, c', h', positions of i, o, f, c, functions) of four activated gates."""
        products = [found for gate in gates if (found := self._product(gate.outputs[0])) is not None]
        made = {gate.outputs[0] for gate in gates}
        paired = [k for k, (_, other) in enumerate(products) if other in made]
        if len(products) != 4 or len(paired) != 2:
            return None
        new = products[paired[0]][0].outputs[0]         # in * new
        total = self._only_user(new)
        if not isinstance(total, Operator) or total.op_type != "Add" or total.constants:
            return None
        new_c = total.outputs[0]
        kept = total.inputs[1] if total.inputs[0] == new else total.inputs[0]
        single = [k for k in range(4) if k not in paired]
        forget = next((k for k in single if products[k][0].outputs[0] == kept), None)
        if forget is None or self._only_user(kept) is not total:
            return None
        out = next(k for k in single if k != forget)
        product, squashed = products[out]
        outer = self.maker.get(squashed)
        if not isinstance(outer, Activate) or outer.inputs != (new_c,) or self._only_user(squashed) is not product:
            return None
        inner = gates[forget].activation
        i, g = paired if gates[paired[0]].activation == inner else paired[::-1]
        c = products[forget][1]
        same = gates[i].activation == inner == gates[out].activation
        if not same or self.values[c].shape != self.values[new_c].shape or outer.activation.name in ROW_WISE:
            return None
        return c, new_c, product.outputs[0], (i, out, forget, g), (inner, gates[g].activation, outer.activation)

    def _sums(self, name: str, bias: np.ndarray) -> list[Dense] | None:
        """The two linear layers whose sum `name` is; what else is added goes to `bias`."""
        found, pending = [], [name]
        while pending:
            name = pending.pop()
            node = self.maker.get(name)
            if len(self.users[name]) != 1 or node is None:
                return None
            if isinstance(node, Dense) and node.activation == LINEAR:
                bias += 0 if node.bias is None else node.bias
                found.append(node)
            elif isinstance(node, Operator) and node.op_type == "Add":
                for constant in node.constants.values():
                    if constant.ndim > 1 or constant.size not in (1, len(bias)):
                        return None
                    bias += constant
                pending += [part for part in node.inputs if part]
            elif isinstance(node, Operator) and OPERATORS[node.op_type].in_order:
                if self._without_ones(name) != self._without_ones(node.inputs[0]) or any(node.inputs[1:]):
                    return None
                pending.append(node.inputs[0])
            else:
                return None
        return found if len(found) == 2 else None

    def _without_ones(self, name: str) -> list[Dim]:
        return [dim for dim in self.values[name].shape if dim != 1]

    def _x_and_h(self, layers: list[Dense], state: Shape) -> tuple[Dense, Dense] | None:
        """Which of two linear layers reads the step and which the state; any that fits is right, for both are sums."""
        batch, hidden = state

        def reads_state(layer: Dense) -> bool:
            return self.values[layer.inputs[0]].shape == state

        def reads_step(layer: Dense) -> bool:
            shape = self.values[layer.inputs[0]].shape
            return shape[:-1] in ((batch,), (batch, 1)) and shape[-1] == layer.kernel.shape[0]

        fitting = [(x, h) for x, h in (layers, layers[::-1]) if reads_step(x) and reads_state(h)
                   and x.kernel.dtype == h.kernel.dtype]
        fitting.sort(key=lambda pair: not self._is_given(pair[1].inputs[0]))
        return fitting[0] if fitting else None

    def _is_given(self, name: str) -> bool:
        """Whether a value is part of an input of the graph."""
        while name not in self.inputs:
            node = self.maker.get(name)
            if not isinstance(node, Operator) or OPERATORS[node.op_type].moves != (0,) or any(node.inputs[1:]):
                return False
            name = node.inputs[0]
        return True
