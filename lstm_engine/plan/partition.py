"""Splitting the nodes of a graph into parts: segments that the C core runs, and single nodes that NumPy runs.

A segment runs its nodes on one number of rows, so nodes join where shape inference gives them the same: a symbol, or a
size. (What inference took for equal a run may still make different: the core's call looks at what comes.) A node joins
the last segment of its rows, dtype and guard, unless it needs something that is made after that segment has run, or
reads a sequence under other lengths than the segment made it with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..graph import Activate, Dense, Embedding, Graph, Node, Pool, Recurrent, Value
from ..graph.nodes import Dim
from ..operators.guards import Guard, guards

FLOATS = ("float32", "float64")
IDS = ("int32", "int64", "uint8")
MOST_GIVEN = 48             # values that a segment gives to others than segments: the core gives out 64 at most


class AxisKey(NamedTuple):
    """A time axis of a segment: its symbol (or size), and the values that say which steps count.

    lengths: the value that holds the axis' lengths ("": the caller's). mask: the value that holds its mask ("": every
    step counts); such an axis has the steps that count alone, one after the other.
    """

    time: str | int
    lengths: str = ""
    mask: str = ""


@dataclass(eq=False)
class Part:
    """Nodes that run in one step. `made` maps a segment's values to the time axis they stand on (None: a vector);
    `rows` is the first axis of all of a segment's values."""

    core: bool
    rows: Dim | None = None
    dtype: str = ""                                              # what a segment computes in
    guard: Guard = ()                                            # when it is run
    nodes: list[Node] = field(default_factory=list)
    axes: list[AxisKey | None] = field(default_factory=list)     # of each node of a segment
    made: dict[str, AxisKey | None] = field(default_factory=dict)
    given: int = 0                                               # how many values others than segments read
    exports: list[str] = field(default_factory=list)             # what the graph returns or another part reads


def optional(names: tuple[str, ...], position: int) -> str:
    """The name at `position`, "" where it is left out."""
    return names[position] if position < len(names) else ""


def partition(graph: Graph, values: dict[str, Value]) -> list[Part]:
    """The parts of a graph in the order in which they run.

    An embedding is placed where it is read, in each segment that reads it: the core then takes token ids and looks
    rows up in place, under whatever mask the reader has.
    """
    parts: list[Part] = []
    made_in = {value.name: -1 for value in graph.inputs}     # value -> number of the part that makes it
    own_guards = guards(graph)
    lookups = {node.outputs[0]: node for node in graph.nodes if isinstance(node, Embedding) and core_runs(node, values)}
    guard_of = {node.outputs[0]: guard for node, guard in zip(graph.nodes, own_guards)}
    others = set(graph.outputs).union(*(node.inputs for node in graph.nodes if not core_runs(node, values)))
    opened: dict[tuple[Dim, str, Guard], int] = {}           # rows, dtype, guard -> the last segment of those
    for node, guard in zip(graph.nodes, own_guards):
        if node.outputs[0] in lookups and node.outputs[0] not in graph.outputs:
            continue
        runs = core_runs(node, values)
        for name in node.inputs:
            own = runs and name == node.inputs[0] and values[name].dtype == computes_in(node, values)
            if name in lookups and name not in made_in and not own:
                _place(lookups[name], values, parts, made_in, guard_of[name])
                opened[_key(lookups[name], values, guard_of[name])] = len(parts) - 1
        if not runs:
            parts.append(Part(core=False, guard=guard, nodes=[node]))
            made_in |= {name: len(parts) - 1 for name in node.outputs if name}
            continue
        lookup = lookups.get(node.inputs[0])
        if lookup is not None and values[node.inputs[0]].dtype != computes_in(node, values):
            lookup = None
        reads = [*node.inputs[1:], *(lookup.inputs if lookup else node.inputs[:1])]
        key = _key(node, values, guard)
        number = opened.get(key, -1)
        axis = _axis(node, values, parts[number].made if number >= 0 else {})
        if number < 0 or not _joins(node, reads, axis, parts[number], made_in, number):
            parts.append(Part(True, *key))
            opened[key] = number = len(parts) - 1
            axis = _axis(node, values, {})
        if lookup is not None and node.inputs[0] not in parts[number].made:
            _add(lookup, axis, parts, made_in, number)
        _add(node, axis, parts, made_in, number)
        parts[number].given += len(others.intersection(node.outputs))
    read = set(graph.outputs).union(*map(_reads, parts))
    for number, part in enumerate(parts):
        part.exports = [name for name in part.made if name in read and made_in.get(name) == number]
    return parts


def _reads(part: Part) -> set[str]:
    """What a part reads that it does not make."""
    return {name for node in part.nodes for name in node.inputs if name and name not in part.made}


def _place(node: Node, values: dict[str, Value], parts: list[Part], made_in: dict[str, int], guard: Guard) -> None:
    """A segment of its own for an embedding that NumPy reads."""
    parts.append(Part(True, *_key(node, values, guard)))
    _add(node, _axis(node, values, {}), parts, made_in, len(parts) - 1)


def _add(node: Node, axis: AxisKey | None, parts: list[Part], made_in: dict[str, int], number: int) -> None:
    part = parts[number]
    part.nodes.append(node)
    part.axes.append(axis)
    for position, name in enumerate(node.outputs):
        if name:
            part.made[name] = axis if position == 0 and not isinstance(node, Pool) else None
            # A lookup under a mask or lengths of its own is no full value for others to read.
            if not (isinstance(node, Embedding) and axis is not None and (axis.mask or axis.lengths)):
                made_in.setdefault(name, number)


def _key(node: Node, values: dict[str, Value], guard: Guard) -> tuple[Dim, str, Guard]:
    """What the nodes of a segment have in common."""
    return _rows(node, values), computes_in(node, values), guard


def computes_in(node: Node, values: dict[str, Value]) -> str:
    """The dtype that a layer computes in, and its outputs have: that of its weights, or of its input."""
    return next(values[name].dtype for name in node.outputs if name)


def core_runs(node: Node, values: dict[str, Value]) -> bool:
    """Whether the C core has this node for values of these shapes."""
    if isinstance(node, Recurrent):
        return _shaped(values[node.inputs[0]], (3,))
    if isinstance(node, Embedding):
        ids = values[node.inputs[0]]
        return ids.dtype in IDS and len(ids.shape) in (1, 2)
    if isinstance(node, (Dense, Activate)):
        return _shaped(values[node.inputs[0]], (2, 3))
    return isinstance(node, Pool) and _shaped(values[node.inputs[0]], (3,))


def _shaped(value: Value, ranks: tuple[int, ...]) -> bool:
    return value.dtype in FLOATS and len(value.shape) in ranks and isinstance(value.shape[-1], int)


def _rows(node: Node, values: dict[str, Value]) -> Dim:
    """The rows a node works on. Those of its initial states, lengths and mask are the same, or no run can be right."""
    return values[node.inputs[0]].shape[0]


def _axis(node: Node, values: dict[str, Value], made: dict[str, AxisKey | None]) -> AxisKey | None:
    """The time axis a node works on, under the lengths and mask that it names itself.

    Those of another node say only what that node made: past the end its output is 0, or under a mask what came before,
    and a node without lengths works on these steps like on any other.
    """
    name = node.inputs[0]
    shape = values[name].shape
    if len(shape) < (2 if isinstance(node, Embedding) else 3):
        return None
    if isinstance(node, Recurrent):
        return AxisKey(shape[1], optional(node.inputs, 1), optional(node.inputs, 4))
    inside = made.get(name)
    return inside if inside is not None and not (inside.mask or inside.lengths) else AxisKey(shape[1])


def _joins(node: Node, reads: list[str], axis: AxisKey | None, part: Part, made_in: dict[str, int],
           open_part: int) -> bool:
    """Whether a node may run in the open segment: what it reads is there, under the same lengths and mask."""
    if any(made_in[name] > open_part for name in reads if name and name not in part.made):
        return False
    if part.given >= MOST_GIVEN:
        return False
    if axis is not None and (axis.lengths in part.made or axis.mask in part.made):
        return False                          # the segment itself makes what says which steps count
    x = node.inputs[0]
    return x not in part.made or part.made[x] == axis
