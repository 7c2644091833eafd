"""Splitting the nodes of a graph into parts: segments that the C core runs, and single nodes that NumPy runs.

Nodes keep the graph's order, and a node joins the open segment unless it needs something that is made after that
segment has run, or reads a sequence under other lengths than the segment made it with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..graph import Activate, Dense, Embedding, Graph, Node, Pool, Recurrent, Value

FLOATS = ("float32", "float64")
IDS = ("int32", "int64", "uint8")


@dataclass(frozen=True)
class AxisKey:
    """A time axis of a segment: its symbol (or size), and the value that holds its lengths ("": the caller's)."""

    time: str | int
    lengths: str = ""


@dataclass
class Part:
    """Nodes that run in one step. `made` maps a segment's values to the time axis they stand on (None: a vector)."""

    core: bool
    nodes: list[Node] = field(default_factory=list)
    axes: list[AxisKey | None] = field(default_factory=list)     # of each node of a segment
    made: dict[str, AxisKey | None] = field(default_factory=dict)


def optional(names: tuple[str, ...], position: int) -> str:
    """The name at `position`, "" where it is left out."""
    return names[position] if position < len(names) else ""


def partition(graph: Graph, values: dict[str, Value]) -> list[Part]:
    """The parts of a graph in the order in which they run."""
    parts: list[Part] = []
    made_in = {value.name: -1 for value in graph.inputs}     # value -> number of the part that makes it
    open_part = -1
    for node in graph.nodes:
        if not core_runs(node, values, made_in, open_part):
            parts.append(Part(core=False, nodes=[node]))
            made_in |= {name: len(parts) - 1 for name in node.outputs if name}
            continue
        axis = _axis(node, values, parts[open_part].made if open_part >= 0 else {})
        if open_part < 0 or not _joins(node, axis, parts[open_part], made_in, open_part):
            parts.append(Part(core=True))
            open_part = len(parts) - 1
            axis = _axis(node, values, {})
        part = parts[open_part]
        part.nodes.append(node)
        part.axes.append(axis)
        for position, name in enumerate(node.outputs):
            if name:
                part.made[name] = axis if position == 0 and not isinstance(node, Pool) else None
                made_in[name] = open_part
    return parts


def core_runs(node: Node, values: dict[str, Value], made_in: dict[str, int], open_part: int) -> bool:
    """Whether the C core has this node for values of these shapes."""
    if isinstance(node, Recurrent):
        return _shaped(values[node.inputs[0]], (3,)) and not optional(node.inputs, 4)
    if isinstance(node, Embedding):
        ids = values[node.inputs[0]]
        return ids.dtype in IDS and len(ids.shape) in (1, 2)
    if isinstance(node, (Dense, Activate)):
        return _shaped(values[node.inputs[0]], (2, 3))
    return isinstance(node, Pool) and _shaped(values[node.inputs[0]], (3,))


def _shaped(value: Value, ranks: tuple[int, ...]) -> bool:
    return value.dtype in FLOATS and len(value.shape) in ranks and isinstance(value.shape[-1], int)


def _axis(node: Node, values: dict[str, Value], made: dict[str, AxisKey | None]) -> AxisKey | None:
    """The time axis a node works on: the lengths it names itself, else those its input was made with."""
    name = node.inputs[0]
    shape = values[name].shape
    if len(shape) < (2 if isinstance(node, Embedding) else 3):
        return None
    if isinstance(node, Recurrent):
        return AxisKey(shape[1], optional(node.inputs, 1))
    inside = made.get(name)
    return inside if inside is not None else AxisKey(shape[1])


def _joins(node: Node, axis: AxisKey | None, part: Part, made_in: dict[str, int], open_part: int) -> bool:
    if any(made_in[name] > open_part for name in node.inputs if name):
        return False
    if isinstance(node, Recurrent) and optional(node.inputs, 1) in part.made:
        return False
    x = node.inputs[0]
    return x not in part.made or part.made[x] == axis
