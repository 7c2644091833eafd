"""Which output of a model is the state that one of its inputs began with: told by the layers, not by names.

A recurrent layer that begins with what an input holds, and whose last state an output holds, goes on where it was if
the one is fed to the other. Whether that is so is found out by marking every element of such inputs: what moves
elements about moves the marks, a layer hands those of its first state on to its last, and where an output has the marks
of an input, element by element, the two are a pair. Names that happen to match are no evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod

import numpy as np

from ..errors import LstmEngineError
from ..graph import Node, Operator, Recurrent, Value
from ..graph.nodes import Dim
from ..operators import OPERATORS, run_operator
from .estimate import estimate_of
from .lower import Plan
from .partition import optional

MOST_MARKS = 1 << 22        # elements of states that are followed
MOST_WORK = 1 << 28         # bytes and nanoseconds for all that moves them about
ROWS = 2                    # sequences for which they are, where the model takes any number


def state_pairs(plan: Plan) -> dict[str, str]:
    """{input: output} where every layer that goes through time begins with inputs and gives its last state as outputs;
    {} where that is not so, or cannot be told."""
    layers = [node for node in plan.skeleton.nodes if isinstance(node, Recurrent)]
    if not layers or not all(all(_first_states(node)) for node in layers):
        return {}
    sizes = {value.name: _sizes(plan, value) for value in plan.inputs}
    marks: dict[str, np.ndarray] = {}
    begin = 0
    for value in plan.inputs:
        shape = sizes[value.name]
        if shape is None or plan.axes.time_axis(value.name) is not None or not value.dtype.startswith("float"):
            continue
        if begin + (size := prod(shape)) > MOST_MARKS:
            return {}
        marks[value.name] = np.arange(begin, begin + size).reshape(shape)
        begin += size
    given = dict(marks)
    read: set[str] = set()                  # of marked values: those that something else than a first state reads
    last: set[str] = set()                  # of marked values: those that are last states
    left = MOST_WORK
    try:
        for node in plan.skeleton.nodes:
            left -= _move(node, marks, read, last, left)
    except LstmEngineError:
        return {}                           # sizes that do not fit: a run says so
    # An output that is a first state would be that of each call.
    read.update(marks.keys() & plan.outputs)
    return {} if read - last else _paired(plan, layers, given, {name: marks[name] for name in last}, [
        marks[name].reshape(-1) for node in layers for name in _first_states(node) if name in marks.keys() - last])


def _first_states(node: Recurrent) -> list[str]:
    """The names of its first states, "" for one that it has not from another value."""
    return [optional(node.inputs, position) for position in range(2, 2 + _parts(node))]


def _parts(node: Recurrent) -> int:
    return 2 if node.op == "LSTM" else 1


def _sizes(plan: Plan, value: Value) -> tuple[int, ...] | None:
    def size(dim: Dim) -> int:
        return dim if isinstance(dim, int) else ROWS if dim == plan.axes.batch else -1
    shape = tuple(map(size, value.shape))
    return None if -1 in shape else shape


def _move(node: Node, marks: dict[str, np.ndarray], read: set[str], last: set[str], most: int) -> int:
    """Hand the marks of a node's inputs on to its outputs; what that takes. What would take more than `most` ends the
    way of its marks, as what reads them does."""
    marked = {position: name for position, name in enumerate(node.inputs) if name in marks}
    if isinstance(node, Recurrent):
        read.update(name for position, name in marked.items() if position not in (2, 3))
        for position in (1, 2):
            first, end = optional(node.inputs, position + 1), optional(node.outputs, position)
            if end and first in marks:
                marks[end] = marks[first]
                last.add(end)
        return 0
    if not marked:
        return 0
    if not isinstance(node, Operator) or not all(OPERATORS[node.op_type].moves_only(at) for at in marked) or not all(
            at in marked or at in node.constants or not name for at, name in enumerate(node.inputs)):
        read.update(marked.values())
        return 0
    arrays = [marks[name] if name else node.constants.get(position) for position, name in enumerate(node.inputs)]
    need = estimate_of(node)(arrays, 0)
    if (takes := need.bytes + need.work) > most:
        read.update(marked.values())
        return 0
    made = run_operator(node, arrays)
    marks.update((name, array) for name, array in zip(node.outputs, made) if name)
    if last.issuperset(marked.values()):
        last.update(filter(None, node.outputs))
    elif not last.isdisjoint(marked.values()):
        read.update(node.outputs)           # first and last states together are neither
    return takes


def _paired(plan: Plan, layers: list[Recurrent], given: Mapping[str, np.ndarray], last: Mapping[str, np.ndarray],
            firsts: list[np.ndarray]) -> dict[str, str]:
    """The pairs, if they are all that the layers begin with, each for itself. last: the marks of last states, firsts:
    those of the layers' first states."""
    if len(firsts) != sum(_parts(node) for node in layers):
        return {}
    taken = np.concatenate(firsts) if firsts else np.zeros(0, np.int64)
    pairs: dict[str, str] = {}
    for name, array in given.items():
        if not np.isin(array, taken).any():
            continue                        # another input, the same for all steps
        ends = [output for output in plan.outputs if output in last and np.array_equal(last[output], array)]
        if len(ends) != 1 or plan.values[ends[0]].dtype != plan.values[name].dtype:
            return {}
        pairs[name] = ends[0]
    begun = np.concatenate([given[name].reshape(-1) for name in pairs]) if pairs else np.zeros(0, np.int64)
    # Every element is where one layer begins, and every layer begins with such elements.
    return pairs if np.array_equal(np.sort(taken), np.sort(begun)) else {}


def advice(plan: Plan, inputs: Collection[str], outputs: Collection[str]) -> str:
    """What to write for a model whose states come as inputs, as far as shapes leave one choice. inputs, outputs: those
    that are the model's own."""
    axes = plan.axes
    starts = _by_shape(plan, [name for name in inputs if axes.time_axis(name) is None])
    ends = _by_shape(plan, [name for name in outputs if axes.time_axis(name) is None])
    if starts.keys() <= ends.keys() and starts and all(len(starts[shape]) == len(ends[shape]) == 1 for shape in starts):
        pairs = ", ".join(f"{names[0]!r}: {ends[shape][0]!r}" for shape, names in starts.items())
        return f"if these are its states, stream(states={{{pairs}}})"
    given, made = (", ".join(f"{name!r} {list(plan.values[name].shape)}" for names in found.values()
                             for name in names) for found in (starts, ends))
    return f"stream(states={{input: output, ...}}), of inputs {given or 'none'} and outputs {made or 'none'}"


def _by_shape(plan: Plan, names: list[str]) -> dict[tuple[object, ...], list[str]]:
    found: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        value = plan.values[name]
        found.setdefault((value.dtype, *value.shape), []).append(name)
    return found
