"""Loops around one cell become the recurrent node that they are, whatever the number of steps.

TensorFlow's layers, PyTorch's scripted loops and ONNX's own Scan leave a body that reads a step of a sequence, and
gives its states to the next turn. Here is proven that each turn reads the next step, that there are as many turns as
steps, and that the states are those of a cell (`equations`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....graph.nodes import Operator, Shape
from ..model import OnnxGraph, OnnxNode
from . import expressions as ex
from .body import Body, Scanned, row_axis
from .equations import NO_CELL_STATE, Equations, cell_of
from .expressions import Atom, Expression, NotACell
from .lists import TensorList
from .meanings import read
from .replayed import steps_to
from .scopes import Scope, Walk
from .steps import Step
from .turns import NO_LIMIT, Number, begins, turns_while_below


@dataclass(frozen=True)
class Turning:
    """A Loop or Scan, as its body sees it.

    states: what they are before the first turn, under the walk's names. limit: the most turns of a Loop, "" for none;
    goes_on: whether it has a first one. used: which of
    its outputs somebody reads. scanned: the sequences of a Scan, their axes, and whether they are read from
    their end. ways: of each scan output its axis of turns, and whether the last comes first.
    """

    node: OnnxNode
    body: OnnxGraph
    states: Sequence[str]
    is_loop: bool
    limit: str = ""
    goes_on: str = ""
    used: frozenset[int] = frozenset()
    scanned: Sequence[tuple[str, int, bool]] = ()
    ways: Sequence[tuple[int, bool]] = ()

    @property
    def first(self) -> int:
        """How many inputs of a body stand before the states."""
        return 2 if self.is_loop else 0


@dataclass(eq=False)
class Read:
    """What was found.

    after: for each output of the node what it is: "h", "c", "Y", "last", a counter, the same, or "behind" the cell:
    then behind has the operators that make it, and what these read (`new`, or the name of a sequence).
    """

    equations: Equations
    body: Body
    h: str                                  # the states' values before the first turn
    c: str
    mask: Scanned | None
    zero_masked: bool
    after: list[str | Number]
    made: list[str]                         # what the body makes, by name and shape, for a scan output of one turn
    new: str                                # of these the cell's output
    shapes: list[Shape]
    output: Shape                           # of the cell's output at one turn
    behind: dict[int, tuple[list[Operator], dict[str, str]]]


class Reader:
    """Reads one loop. Raises NotACell where it is no cell, and what reading its body raises."""

    def __init__(self, walk: Walk, turning: Turning) -> None:
        self.walk, self.turning = walk, turning
        self.before = list(turning.states)
        self.names: list[str] = []          # the states as the body reads them
        self.made: list[str] = []           # and what it makes: states, then scan outputs
        self.lists = {i for i, name in enumerate(self.before) if walk.list_of(name) is not None}

    def read(self, scope: Scope, depth: int) -> Read:
        """scope: that of the body's own tensors."""
        walk, turning = self.walk, self.turning
        formal = [value.name for value in turning.body.inputs]
        kept = _kept(turning)
        inner = Scope(scope)
        number = walk.add_value(f"{turning.node.name}/turn", (), "int64")
        if turning.is_loop:
            inner.names.update(zip(formal, (number, walk.add_constant(f"{turning.node.name}/true", np.array(True)))))
        for i, name in enumerate(self.before):
            given = name if i in kept else self._given(i)
            self.names.append(given)
            inner.names[formal[turning.first + i]] = given
        steps = [walk.value(name) for name, _, _ in turning.scanned]
        shapes = [value.shape[:axis] + value.shape[axis + 1:] for value, (_, axis, _) in zip(steps, turning.scanned)]
        read_in = [walk.add_value(f"{turning.node.name}/step", shape, value.dtype)
                   for value, shape in zip(steps, shapes)]
        inner.names.update(zip(formal[turning.first + len(self.before):], read_in))
        found = walk.inside(turning.body.nodes, turning.body.outputs, inner, depth)
        made = [inner.find(name) or "" for name in turning.body.outputs]
        self.made = made[1:] if turning.is_loop else made
        for i in self.lists - kept:
            self.made[i] = self._appended(i)
        moving = [name for i, name in enumerate(self.names) if i not in kept | self.lists]
        self.body = body = Body(walk, number if turning.is_loop else "", moving, self._counters(found, kept))
        for name, shape, (outer, axis, turned) in zip(read_in, shapes, turning.scanned):
            body.given(name, Scanned(outer, axis, turned, shape), Number.of(walk.value(outer).shape[axis]))
        read(body, found)
        result = self._cell(kept)
        if turning.is_loop:
            self._check_turns(made[0])
        return result

    def _given(self, i: int) -> str:
        """A state as a turn is given it."""
        name = f"{self.turning.node.name}/state"
        if i not in self.lists:
            value = self.walk.value(self.before[i])
            return self.walk.add_value(name, value.shape, value.dtype)
        if self.walk.list_of(self.before[i]) != TensorList():
            raise NotACell("a sequence of tensors that it appends to is not empty before")
        return self.walk.add_list(name, TensorList(appended_to=self.before[i]))

    def _appended(self, i: int) -> str:
        """What each turn appends to a list."""
        after, before = self.walk.list_of(self.made[i]), self.walk.list_of(self.names[i])
        if after is None or before is None or after != replace(before, elements=after.elements) \
                or len(after.elements) != 1:
            raise NotACell("a turn does not append one tensor to each sequence of tensors")
        return after.elements[0]

    def _counters(self, steps: Sequence[Step], kept: set[int]) -> dict[str, Number]:
        """States that each turn adds a whole number to."""
        maker = {name: step for step in steps if isinstance(step, Operator) for name in step.outputs}
        outer, found = Body(self.walk, "", (), {}), {}
        for i, (name, after) in enumerate(zip(self.names, self.made)):
            step, start = maker.get(after), outer.number(self.before[i])
            if i in kept | self.lists or start is None or step is None or step.op_type not in ("Add", "Sub") \
                    or name not in step.inputs or not step.constants or self.walk.value(name).dtype not in _WHOLE \
                    or self.walk.value(name).shape != self.walk.value(after).shape:     # a step of it would be another
                continue
            by, = step.constants.values()
            if by.size == 1 and not (step.op_type == "Sub" and step.inputs[0] != name):
                moves = Number(0, int(by.item()) * (-1 if step.op_type == "Sub" else 1))
                if (counter := (start + moves).kept_in(self.walk.value(name).dtype)) is not None:
                    found[name] = counter
        return found

    # ---- how many turns ---------------------------------------------------------------------------------------------

    def _check_turns(self, goes_on: str) -> None:
        """That there are as many turns as the sequences have steps. A loop that reads beyond them fails, as it may."""
        steps, bounds = self.body.steps, []
        assert steps is not None
        if self.turning.limit:
            limit = self.body.number(self.turning.limit)
            if limit is None or (limit.known is None and limit != steps):
                raise NotACell("its greatest number of turns is not known to be that of the sequence's steps")
            bounds += [limit] if limit.known is None or limit.known < NO_LIMIT else []
        for difference in self._below(goes_on, self.body.maker):
            turns = turns_while_below(difference)
            if turns is None:
                raise NotACell("whether it goes on does not follow from the number of the turn")
            bounds.append(turns)
        if not bounds or any(bound != steps for bound in bounds):
            raise NotACell("it is not known to have as many turns as its sequence has steps")
        for difference in self._below(self.turning.goes_on, self._around()) if self.turning.goes_on else ():
            if not begins(difference, steps):
                raise NotACell("whether it has a first turn does not follow from the sequence")
            bounds.append(difference)
        if not all(self.body.counts(bound, steps) for bound in bounds):
            raise NotACell("its turns are counted in a type that rounds or wraps before it has that many")

    def _around(self) -> dict[str, Operator]:
        return {name: step for step in self.walk.makers_of((self.turning.goes_on,)) for name in step.outputs}

    def _below(self, name: str, maker: dict[str, Operator]) -> Iterator[Number]:
        """The numbers that must all be below 0 for a condition to hold."""
        pending = [name]
        while pending:
            name = pending.pop()
            known = self.walk.constant(name)
            if known is not None and known.size == 1 and bool(known.item()):
                continue
            step = maker.get(name)
            if step is None or len(step.outputs) != 1:
                raise NotACell("whether it goes on is not known to follow from the number of the turn")
            if step.op_type == "And" and not step.constants:
                pending += step.inputs
            elif step.op_type in _MOVED and step.inputs[0]:
                pending.append(step.inputs[0])
            else:
                yield self._difference(step, maker)

    def _difference(self, step: Operator, maker: dict[str, Operator]) -> Number:
        op, turned = step.op_type, False
        while op == "Not" and step.inputs[0] in maker:
            step, turned = maker[step.inputs[0]], not turned
            op = step.op_type
        if op not in _COMPARED:
            raise NotACell(f"whether it goes on is told by node {step.name!r} ({op})")
        first, second = (self._number(step, i) for i in (0, 1))
        greater, equal = _COMPARED[op]
        if turned:
            greater, equal = not greater, not equal
        return (second - first if greater else first - second) + Number(-1 if equal else 0)

    def _number(self, step: Operator, position: int) -> Number:
        constant = step.constants.get(position)
        if constant is not None:
            if constant.size == 1 and float(constant.item()).is_integer():
                return Number(int(constant.item()))
            raise NotACell("whether it goes on is told by a number that is not whole")
        found = self.body.number(step.inputs[position])
        if found is None:
            raise NotACell("whether it goes on is told by a number that only the run knows")
        return found

    # ---- which cell -------------------------------------------------------------------------------------------------

    def _cell(self, kept: set[int]) -> Read:
        node, count = self.turning.node, len(self.names)
        used = [i for i, name in enumerate(node.outputs) if name and i in self.turning.used]
        scans = [i for i in used if i >= count or i in self.lists - kept]
        states = [i for i in used if i < count and i not in kept | self.lists
                  and self.names[i] not in self.body.numbers]
        live = self._live([root for i in (*states, *scans) for root in self._roots(i)])
        if not 1 <= len(live) <= 2:
            raise NotACell(f"{len(live)} states go into its results; cells have one or two")
        reasons: list[NotACell] = []
        for h, c in ((live[0], live[-1]), (live[-1], live[0])) if len(live) == 2 else ((live[0], None),):
            try:
                return self._with(h, c, used, kept)
            except NotACell as reason:
                reasons.append(reason)
        # The states taken for each other fail at once: the other way says more.
        raise next((reason for reason in reasons if str(reason) != NO_CELL_STATE), reasons[0])

    def _roots(self, i: int) -> list[Expression]:
        """What something that the body makes is made of, as far as that is understood."""
        found, pending, seen = list[Expression](), [self.made[i]], set[str]()
        while pending:
            name = pending.pop()
            if name in self.body.known:
                found.append(self._parts(i)[1] if name == self.made[i] else self.body.expression(name))
            elif name in self.body.maker and name not in seen:
                seen.add(name)
                pending += filter(None, self.body.maker[name].inputs)
        return found

    def _parts(self, i: int) -> tuple[Atom | None, Expression, Expression]:
        """Of something that the body makes: where it is new, as a truth value; what it is there, and what else."""
        expression = self.body.expression(self.made[i])
        truths = {atom for block in expression for product in block.terms for atom in product if atom.of_row}
        if not truths:
            return None, expression, ()
        if len(truths) > 1 or next(iter(truths)).value not in self.body.sequences:
            raise NotACell("its states are kept by something else than one mask of the steps")
        truth, = truths
        new, old = (tuple(ex.only_where(block, truth, is_true) for block in expression) for is_true in (True, False))
        return truth, new, old

    def _live(self, roots: Sequence[Expression]) -> list[int]:
        """The states that go into expressions, at this turn or one before."""
        found, pending, seen = list[int](), list(roots), set[Atom]()
        place = {name: i for i, name in enumerate(self.names)}
        while pending:
            for atom in {atom for block in pending.pop() for product in block.terms for atom in product} - seen:
                seen.add(atom)
                pending += self.body.inner(atom)
                if atom.value in place and place[atom.value] not in found:
                    found.append(place[atom.value])
                    pending.append(self._parts(found[-1])[1])
        return sorted(found)

    def _with(self, h: int, c: int | None, used: Sequence[int], kept: set[int]) -> Read:
        """The cell with these states. Raises NotACell."""
        walk, body, cells = self.walk, self.body, [i for i in (h, c) if i is not None]
        parts = {i: self._parts(i) for i in cells}
        truth = parts[h][0]
        for i in cells:
            new = body.expression(self.names[i])
            if ex.width_of(new) != ex.width_of(parts[i][1]) or not _same_form(walk.value(self.names[i]).shape,
                                                                              walk.value(self.made[i]).shape):
                raise NotACell("its states change their shape")
            if parts[i][0] != truth or (truth is not None and not ex.is_same(parts[i][2], new)):
                raise NotACell("its states are not kept where the mask says so")
        equations = cell_of(body, self.names[h], "" if c is None else self.names[c], parts[h][1],
                            None if c is None else parts[c][1], walk.value(self.names[h]).dtype)
        rows = {_rows(walk.value(self.names[i]).shape) for i in cells}
        rows |= {_rows(body.sequences[name].shape) for name in equations.xs}
        rows |= {_rows(shape) for shape in body.zeros}
        if 1 in rows and len(rows) > 1:
            raise NotACell("its sequences and states have different rows")
        after: list[str | Number] = [""] * len(self.turning.node.outputs)
        zero, behind = set[bool](), dict[int, tuple[list[Operator], dict[str, str]]]()
        for i in used:
            if i in kept:
                after[i] = "same"
            elif i in cells:
                after[i] = "h" if i == h else "c"
            elif i < len(self.names) and self.names[i] in body.numbers:
                after[i] = body.numbers[self.names[i]]
            else:
                after[i] = "Y" if self._of_all_turns(i) else "last"
                try:
                    zero |= self._output(i, truth, parts[h][1])
                except NotACell:
                    if truth is not None or after[i] != "Y":
                        raise
                    behind[i] = steps_to(body, self.made[i], lambda name: self._what(name, parts[h][1], h))
                    after[i] = "behind"
        if len(zero) > 1:
            raise NotACell("its outputs are different things where steps are masked")
        mask = None if truth is None else body.sequences[truth.value]
        return Read(equations, body, self.before[h], "" if c is None else self.before[c], mask, True in zero, after,
                    self.made, self.made[h],
                    [() if i in kept else walk.value(name).shape for i, name in enumerate(self.made)],
                    walk.value(self.made[h]).shape, behind)

    def _what(self, name: str, new_h: Expression, h: int) -> str:
        """The name of the new state for a value that is the cell's output, of the sequence for its step, "" for any
        other."""
        expression = self.body.known.get(name)
        if expression is None:
            return ""
        shape = self.walk.value(name).shape
        if ex.is_same(expression, new_h) and shape == self.walk.value(self.made[h]).shape:
            return self.made[h]
        return next((step for step, sequence in self.body.sequences.items() if shape == sequence.shape
                     and step in self.body.known and ex.is_same(expression, self.body.expression(step))), "")

    def _of_all_turns(self, i: int) -> bool:
        return i >= len(self.names) or i in self.lists

    def _output(self, i: int, truth: Atom | None, new_h: Expression) -> set[bool]:
        """That a result is the cell's output. Whether masked steps give 0, {} where nothing depends on it."""
        of, new, old = self._parts(i)
        if of != truth or not ex.is_same(new, new_h):
            raise NotACell("a result is not the cell's output")
        if truth is None:
            if not self._of_all_turns(i):
                raise NotACell("a result is the cell's output at its last step, which may not be there")
            return set()
        if not any(block.terms for block in old) and self._of_all_turns(i):
            return {True}
        for k, name in enumerate(self.names):       # the output before, 0 at first, which is a state of its own
            if name in self.body.known and ex.is_same(old, self.body.expression(name)) \
                    and self.walk.is_zero(self.before[k]) and (self._of_all_turns(i) or i == k) \
                    and ex.is_same(*(self.body.expression(self.made[j]) for j in (i, k))) \
                    and _same_form(*(self.walk.value(state).shape for state in (name, self.made[k]))):
                return {False}
        raise NotACell("a result is not the cell's output where steps are masked")


_WHOLE = ("int32", "int64")
_MOVED = ("Squeeze", "Reshape")
# What is compared: whether the first must be the greater, and whether both may be equal.
_COMPARED = {"Less": (False, False), "Greater": (True, False)} | {"LessOrEqual": (False, True)} \
    | {"GreaterOrEqual": (True, True)}


def _kept(turning: Turning) -> set[int]:
    """The states that a turn hands on as they came."""
    maker = {name: node.inputs[0] for node in turning.body.nodes if node.op == "Identity" and not node.domain
             and len(node.inputs) == 1 for name in node.outputs}
    kept = set()
    for i in range(len(turning.states)):
        name = turning.body.outputs[i + (1 if turning.is_loop else 0)]
        seen = {name}
        while name in maker and maker[name] not in seen:
            name = maker[name]
            seen.add(name)
        if name == turning.body.inputs[turning.first + i].name:
            kept.add(i)
    return kept


def _same_form(before: Shape, after: Shape) -> bool:
    """Whether two values may go in each other's place from turn to turn."""
    return len(before) == len(after) and row_axis(before) == row_axis(after) and before[-1] == after[-1]


def _rows(shape: Shape) -> int:
    """1 where it is known that there is one row, 0 where there may be more."""
    return 0 if row_axis(shape) else 1
