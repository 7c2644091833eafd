"""A loop around several cells as a loop for each: cells that read each other's outputs of the same turn, one after the
other, may as well run through all turns one after the other.

The states of a loop fall into groups that need each other from turn to turn through products; those groups form no
circle. The first group, with what it needs, is a loop of its own, and what the others read of it is a sequence that
they step through. The rest may be cut again (`inner`). Compilers call it loop distribution: Kennedy and Allen,
Optimizing Compilers for Modern Architectures, 2001, chapter 2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ....graph.names import Names
from ....operators import OPERATORS
from ..model import OnnxGraph, OnnxNode
from .order import names_read
from .recurrent import GATES

MOST_STATES = 64            # of a loop that is looked at; layers of a stack have two each
TURN = 2                    # inputs of a Loop's body before its states: the number of the turn, and the condition


@dataclass
class _Body:
    """The body of a Loop or Scan: what depends on what. Names are the body's own."""

    node: OnnxNode

    @cached_property
    def is_loop(self) -> bool:
        return self.node.op == "Loop"

    @cached_property
    def graph(self) -> OnnxGraph:
        graph: OnnxGraph = self.node.attributes["body"]
        return graph

    @cached_property
    def scanned(self) -> int:
        """How many sequences a Scan reads."""
        return 0 if self.is_loop else self.node.attributes["num_scan_inputs"]

    @cached_property
    def before(self) -> list[str]:
        """The states as a turn reads them."""
        names = [value.name for value in self.graph.inputs]
        return names[TURN:] if self.is_loop else names[:len(names) - self.scanned]

    @cached_property
    def after(self) -> list[str]:
        """The states as it makes them."""
        first = 1 if self.is_loop else 0
        return self.graph.outputs[first:first + len(self.before)]

    @cached_property
    def scans(self) -> list[str]:
        return self.graph.outputs[(1 if self.is_loop else 0) + len(self.before):]

    @cached_property
    def maker(self) -> dict[str, OnnxNode]:
        return {name: node for node in self.graph.nodes for name in node.outputs if name}

    @cached_property
    def reads(self) -> dict[int, frozenset[str]]:
        return {id(node): names_read([node], ()) for node in self.graph.nodes}

    @cached_property
    def reach(self) -> list[set[int]]:
        """For each state those that it needs, at this turn or one before."""
        reach = [self._states([after]) for after in self.after]
        changed = True
        while changed:                                  # a loop has few states
            before = sum(map(len, reach))
            reach = [reached.union(*(reach[j] for j in reached)) for reached in reach]
            changed = sum(map(len, reach)) > before
        return reach

    @cached_property
    def groups(self) -> list[frozenset[int]]:
        """States that need each other from turn to turn."""
        found = {frozenset(j for j in reached if i in self.reach[j]) for i, reached in enumerate(self.reach)
                 if i in reached}
        return sorted(found, key=min)

    def behind(self, names: Iterable[str]) -> set[int]:
        """The states that the names need, at this turn or one before."""
        direct = self._states(names)
        return direct.union(*(self.reach[i] for i in direct))

    def _states(self, names: Iterable[str]) -> set[int]:
        found = self.needed(names)[1]
        return {i for i, name in enumerate(self.before) if name in found}

    def needed(self, names: Iterable[str], stop: Collection[str] = ()) -> tuple[set[str], set[str]]:
        """All that the names are made of, themselves included, and the states among it. Nothing behind `stop`."""
        seen, pending = set[str](), list(names)
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.maker and name not in stop:
                pending += self.reads[id(self.maker[name])]
        return seen, seen & set(self.before)

    def depending(self, names: Iterable[str]) -> set[str]:
        """All that is made of any of the names, themselves included. Nodes may stand in any order."""
        readers: dict[str, list[OnnxNode]] = {}
        for node in self.graph.nodes:
            for name in self.reads[id(node)]:
                readers.setdefault(name, []).append(node)
        seen, pending = set[str](), list(names)
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += (made for node in readers.get(name, ()) for made in node.outputs if made)
        return seen


def cut(node: OnnxNode) -> tuple[OnnxNode, OnnxNode] | None:
    """A Loop or Scan as two, the first around one cell; None where its states are not of several cells in a row.

    Outputs keep their names. What the second reads of the first is a scan output of a new name.
    """
    body = _Body(node)
    if len(body.before) > MOST_STATES:
        return None
    groups = [group for group in body.groups if _multiplies(body, group)]
    for first in groups if len(groups) > 1 else ():
        others = {i for group in groups if group is not first for i in group}
        if not any(body.reach[i] & others for i in first):
            return _parts(body, first, others)
    return None


def _multiplies(body: _Body, group: frozenset[int]) -> bool:
    """Whether there is a product on the way from a group's states to its states after the turn."""
    made = body.needed(body.after[i] for i in group)[0] & body.depending(body.before[i] for i in group)
    return any(_is_product(body.maker[name].op) for name in made if name in body.maker)


def _is_product(op: str) -> bool:
    return op in GATES or (op in OPERATORS and OPERATORS[op].combines)


def _parts(body: _Body, first: frozenset[int], others: set[int]) -> tuple[OnnxNode, OnnxNode] | None:
    """first: the states of the first cell; others: those of the cells behind it."""
    goes_on = body.graph.outputs[:1] if body.is_loop else []
    if body.behind(goes_on) & others:
        return None                                     # whether the first has another turn, the others say
    # What needs nothing of the later cells goes with the first.
    states = [i for i, reached in enumerate(body.reach) if i not in others and not reached & others]
    scans = [i for i, name in enumerate(body.scans) if not body.behind([name]) & others]
    moving = [i for i in states if i in first or body.reach[i] & first]
    of_first = body.needed(body.after[i] for i in moving)[0] & body.depending(body.before[i] for i in moving)
    rest_states = [i for i in range(len(body.before)) if i not in states]
    rest_scans = [i for i in range(len(body.scans)) if i not in scans]
    rest = [*(body.after[i] for i in rest_states), *(body.scans[i] for i in rest_scans), *goes_on]
    crossing = sorted(body.needed(rest, of_first)[0] & of_first)
    while True:                                         # states that only count, or stay, are in both
        more = body.needed(rest, of_first)[1] - {body.before[i] for i in rest_states}
        if not more:
            break
        rest_states = sorted({*rest_states, *(i for i, name in enumerate(body.before) if name in more)})
        rest += [body.after[i] for i, name in enumerate(body.before) if name in more]
    if set(rest_states) & set(moving):
        return None                                     # what another reads is the state before the turn
    names = Names([*_names(body.graph), *body.node.outputs])
    sequences = {name: names.unused(f"{body.node.name or body.node.op}/{name}") for name in crossing}
    one = _part(body, states, scans, goes_on, sequences)
    two = _part(body, rest_states, rest_scans, goes_on, {})
    given = {name for name in one.outputs if name}
    two = replace(two, outputs=tuple("" if name in given else name for name in two.outputs))
    return one, _stepping(body, two, sequences, names)


def _part(body: _Body, states: Sequence[int], scans: Sequence[int], goes_on: Sequence[str], more: dict[str, str]
          ) -> OnnxNode:
    """A loop of some states and scan outputs. more: values of the body that are scan outputs, too, and their names."""
    node, inputs = body.node, body.graph.inputs
    first, count = TURN if body.is_loop else 0, len(body.before)
    outputs = [*goes_on, *(body.after[i] for i in states), *(body.scans[i] for i in scans), *more]
    attributes = dict(node.attributes)
    if not body.is_loop:
        for name, value in (("scan_output_axes", 0), ("scan_output_directions", int(_backwards(body)))):
            numbers = node.attributes.get(name, (0,) * len(body.scans))
            attributes[name] = (*(numbers[i] for i in scans), *(value for _ in more))
    attributes["body"] = OnnxGraph(body.graph.nodes, body.graph.tensors, [
        *inputs[:first], *(inputs[first + i] for i in states), *inputs[first + count:]], outputs)
    given = [*node.outputs, *[""] * (count + len(body.scans) - len(node.outputs))]
    return replace(node, inputs=(*node.inputs[:first], *(node.inputs[first + i] for i in states),
                                 *node.inputs[first + count:]),
                   outputs=(*(given[i] for i in states), *(given[count + i] for i in scans), *more.values()),
                   attributes=attributes)


def _stepping(body: _Body, part: OnnxNode, sequences: dict[str, str], names: Names) -> OnnxNode:
    """A loop that reads the steps of sequences in the place of values of the body that they are of."""
    graph: OnnxGraph = part.attributes["body"]
    steps = {name: names.unused(f"{name}/step") for name in sequences}
    nodes, formal = [_renamed(node, steps) for node in graph.nodes], list(graph.inputs)
    attributes, inputs = dict(part.attributes), part.inputs
    if body.is_loop:
        nodes[:0] = [OnnxNode(f"{part.name}/{name}", "Gather", (sequences[name], formal[0].name), (step,), {"axis": 0},
                              opset=part.opset) for name, step in steps.items()]
    else:
        for name, value in (("scan_input_axes", 0), ("scan_input_directions", int(_backwards(body)))):
            attributes[name] = (*part.attributes.get(name, (0,) * body.scanned), *(value for _ in steps))
        attributes["num_scan_inputs"] = body.scanned + len(steps)
        inputs = (*inputs, *sequences.values())
        formal += [replace(formal[-1], name=step) for step in steps.values()]
    attributes["body"] = OnnxGraph(nodes, graph.tensors, formal, [steps.get(name, name) for name in graph.outputs])
    return replace(part, name=names.unused(f"{part.name or part.op}/next"), inputs=inputs, attributes=attributes)


def _backwards(body: _Body) -> bool:
    """Whether a Scan goes through all its sequences from their end."""
    ways = body.node.attributes.get("scan_input_directions", ())
    return bool(ways) and all(way == 1 for way in ways)


def _renamed(node: OnnxNode, names: dict[str, str]) -> OnnxNode:
    """A node that reads other values by their names; a value that it makes under an old name stays."""
    attributes = {name: _inside(value, names) if isinstance(value, OnnxGraph) else value
                  for name, value in node.attributes.items()}
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs), attributes=attributes)


def _names(graph: OnnxGraph) -> Iterator[str]:
    """Every name in a graph and in those inside its nodes: a new name must not be one that these have of their own."""
    yield from (*graph.tensors, *(value.name for value in graph.inputs), *graph.outputs)
    for node in graph.nodes:
        yield from (*node.inputs, *node.outputs)
        for value in node.attributes.values():
            if isinstance(value, OnnxGraph):
                yield from _names(value)


def _inside(graph: OnnxGraph, names: dict[str, str]) -> OnnxGraph:
    own = {*graph.tensors, *(value.name for value in graph.inputs), *(name for node in graph.nodes
                                                                      for name in node.outputs)}
    outer = {old: new for old, new in names.items() if old not in own}
    return OnnxGraph([_renamed(node, outer) for node in graph.nodes], graph.tensors, graph.inputs,
                     [outer.get(name, name) for name in graph.outputs])
