"""Loops that are no layer: a graph that is run turn after turn, its steps read once for all turns.

What a turn is given has the shapes of what it leaves: a size that changes from turn to turn, as of a sequence that
grows, gets a symbol of its own. It is found by reading the body with what the loop begins with, looking at what it
leaves, and reading it again with those sizes open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim, Value
from ..model import UNKNOWN_RANK, OnnxNode
from .lists import TensorList, joined
from .looped import Turning
from .scopes import Scope, Walk
from .steps import Step, Turned, makes, reads

MOST_READ = 16              # times that a body is read to find the sizes that change


def as_loop(walk: Walk, turning: Turning, scope: Scope, depth: int) -> list[str]:
    """Add a loop to the steps of the model; the values that it makes, in the order of the node's outputs.

    scope: that of the body's own tensors. Raises UnsupportedError, FormatError, naming the node.
    """
    return _Reading(walk, turning, scope, depth).add()


class _Reading:
    def __init__(self, walk: Walk, turning: Turning, scope: Scope, depth: int) -> None:
        self.walk, self.turning, self.scope, self.depth = walk, turning, scope, depth
        self.node = turning.node
        # Lists that a loop appends to are results of its turns, not states of them.
        self.lists = {i: found for i, name in enumerate(turning.states) if (found := walk.list_of(name)) is not None}
        self.kept = [i for i in range(len(turning.states)) if i not in self.lists]
        if any(found.appended_to for found in self.lists.values()):
            raise UnsupportedError(f"{self.node.label}: a loop inside another appends to a sequence of tensors of that "
                                   "one; supported are sequences that one loop appends to")

    def add(self) -> list[str]:
        walk, turning = self.walk, self.turning
        given, steps, made, opened = self._settled()
        results = [*made[1 + len(self.kept):]]
        ways = [(0, False)] * len(self.lists) + (list(turning.ways) or [(0, False)] * (len(results) - len(self.lists)))
        axes = [self._axis(value, axis) for value, (axis, _) in zip(results, ways)]
        around = self._around(given, steps, made)
        always = self._always(made[0], given[1].name)
        known = {dim for value in (*given, *around) for dim in value.shape if isinstance(dim, str)} - opened
        outer = [name for name, _, _ in turning.scanned]
        inputs = (turning.limit, turning.goes_on, *(turning.states[i] for i in self.kept), *outer,
                  *(value.name for value in around))
        outputs = [walk.add_value(f"{self.node.name}/state", self._known(name, known), walk.value(name).dtype)
                   for name in made[1:1 + len(self.kept)]]
        for name, axis in zip(results, axes):
            shape = self._known(name, known)
            outputs.append(walk.add_value(f"{self.node.name}/turns", (*shape[:axis], self._count(always),
                                                                      *shape[axis:]), walk.value(name).dtype))
        named = {given[1].name: given[1].name} if always else {walk.new_name("goes on"): made[0]}
        named |= {walk.new_name(f"{name}/made"): name for name in made[1:]}
        walk.add_step(Turned(
            self.node.name or self.node.label, inputs, tuple(outputs), (*given, *around), tuple(steps), named,
            len(self.kept), tuple(axis for _, axis, _ in turning.scanned),
            tuple(int(turned) for _, _, turned in turning.scanned), tuple(axes), tuple(int(last) for _, last in ways)))
        return self._in_order(outputs)

    def _settled(self) -> tuple[list[Value], list[Step], list[str], set[str]]:
        """What the body is given, its steps, what it makes (a condition, states, results), and symbols of sizes that
        change from turn to turn."""
        opened: set[tuple[int, int]] = set()
        for _ in range(MOST_READ):
            given, steps, made = self._read(opened)
            changing = set(self._changing(given, made)) - opened
            if not changing:
                return given, steps, made, {str(given[2 + i].shape[axis]) for i, axis in opened}
            opened |= changing
        raise UnsupportedError(f"{self.node.label}: the sizes of what goes from turn to turn do not settle")

    def _read(self, opened: set[tuple[int, int]]) -> tuple[list[Value], list[Step], list[str]]:
        walk, turning, hint = self.walk, self.turning, self.node.name
        inner = Scope(self.scope)
        number, condition = walk.add_value(f"{hint}/turn", (), "int64"), walk.add_value(f"{hint}/condition", (), "bool")
        formal, nodes = [value.name for value in turning.body.inputs], list[OnnxNode]()
        if turning.is_loop:
            for value, name in zip(turning.body.inputs, (number, condition)):
                nodes += self._as_declared(value, name, inner)
        names, lists = list[str](), dict[int, str]()
        for i, state in enumerate(turning.states):
            if i in self.lists:
                lists[i] = given = walk.add_list(f"{hint}/list", TensorList(appended_to=state))
            else:
                value, place = walk.value(state), len(names)
                shape = tuple(None if (place, axis) in opened else dim for axis, dim in enumerate(value.shape))
                given = walk.add_value(f"{hint}/state", shape, value.dtype)
                names.append(given)
            inner.names[formal[turning.first + i]] = given
        for (name, axis, _), own in zip(turning.scanned, formal[turning.first + len(turning.states):]):
            value = walk.value(name)
            inner.names[own] = given = walk.add_value(f"{hint}/step", value.shape[:axis] + value.shape[axis + 1:],
                                                      value.dtype)
            names.append(given)
        steps = walk.inside([*nodes, *turning.body.nodes], turning.body.outputs, inner, self.depth + 1)
        made: list[str] = [inner.find(name) for name in turning.body.outputs]         # type: ignore[misc]
        after = made[1:] if turning.is_loop else made
        states = [after[i] for i in self.kept]
        results = [*(self._appended(after[i], lists[i]) for i in self.lists), *after[len(turning.states):]]
        return [walk.value(name) for name in (number, condition, *names)], steps, \
            [made[0] if turning.is_loop else condition, *states, *results]

    def _as_declared(self, value: Value, given: str, inner: Scope) -> list[OnnxNode]:
        """Let a body's input be a number without axes, or of one, as it declares it; what is to be run for that."""
        if len(value.shape) != 1 or value.dtype.endswith(UNKNOWN_RANK):
            inner.names[value.name] = given
            return []
        whole, shape = f"{value.name}/whole", f"{value.name}/shape"
        inner.names[whole] = given
        inner.names[shape] = self.walk.add_constant(shape, np.array([1]))
        return [OnnxNode(f"{self.node.name}/{value.name}", "Reshape", (whole, shape), (value.name,),
                         opset=self.node.opset)]

    def _appended(self, after: str, before: str) -> str:
        """What each turn appends to a list."""
        found, list_before = self.walk.list_of(after), self.walk.list_of(before)
        if found is None or list_before is None or found != replace(list_before, elements=found.elements) \
                or len(found.elements) != 1:
            raise UnsupportedError(f"{self.node.label}: a sequence of tensors that goes from turn to turn; supported "
                                   "are those to which each turn appends one")
        return found.elements[0]

    def _changing(self, given: Sequence[Value], made: Sequence[str]) -> Iterator[tuple[int, int]]:
        """The sizes of states that a turn leaves other than it found them: number of the state, and axis."""
        for i in range(len(self.kept)):
            before, after = given[2 + i], self.walk.value(made[1 + i])
            if before.dtype != after.dtype:
                raise FormatError(f"{self.node.label}: a value that goes from turn to turn is {before.dtype} before a "
                                  f"turn and {after.dtype} after it")
            if len(before.shape) != len(after.shape):
                raise UnsupportedError(f"{self.node.label}: a value that goes from turn to turn has "
                                       f"{len(before.shape)} axes before a turn and {len(after.shape)} after it; "
                                       "supported are loops in which the number of axes stays")
            yield from ((i, axis) for axis, (one, other) in enumerate(zip(before.shape, after.shape)) if one != other)

    def _around(self, given: Sequence[Value], steps: Sequence[Step], made: Iterable[str]) -> list[Value]:
        """The values around the loop that its body reads."""
        own = {value.name for value in given}.union(*map(makes, steps))
        read = dict.fromkeys([*(name for step in steps for name in reads(step)), *made])
        return [self.walk.value(name) for name in read if name not in own and self.walk.constant(name) is None]

    def _axis(self, name: str, axis: int) -> int:
        rank = self.walk.rank(name) + 1
        if not -rank <= axis < rank:
            raise FormatError(f"{self.node.label}: scan output axis {axis} is outside the {rank} axes of its output")
        return axis % rank

    def _known(self, name: str, known: set[str]) -> tuple[Dim | None, ...]:
        """The shape of what a turn makes, as it is known around the loop."""
        return tuple(dim if isinstance(dim, int) or dim in known else None for dim in self.walk.value(name).shape)

    def _always(self, goes_on: str, condition: str) -> bool:
        """Whether a turn always follows, as far as the body says. condition: what it is given."""
        array = self.walk.constant(goes_on)
        return goes_on == condition or array is not None and bool(array.all())

    def _count(self, always: bool) -> Dim | None:
        """How many turns there are; None where only the run tells."""
        if self.turning.scanned:
            sizes = [self.walk.value(name).shape[axis] for name, axis, _ in self.turning.scanned]
            return next((size for size in sizes if isinstance(size, int)), sizes[0])
        most = self.walk.constant(self.turning.limit)
        first = not self.turning.goes_on or (begins := self.walk.constant(self.turning.goes_on)) is not None \
            and bool(begins.all())
        return max(int(most.reshape(-1)[0]), 0) if most is not None and first and always else None

    def _in_order(self, outputs: Sequence[str]) -> list[str]:
        """The values in the order of the node's own outputs: states, lists among them, then results."""
        states, stacked = iter(outputs), iter(outputs[len(self.kept):])
        found = []
        for i in range(len(self.turning.states)):
            if i in self.lists:
                made = joined(self.walk, self.node, self.lists[i], TensorList(stacked=next(stacked)))
                found.append(self.walk.add_list(f"{self.node.name}/list", made))
            else:
                found.append(next(states))
        return [*found, *stacked]
