"""Writes the recurrent node that a loop is, and gives its results the shapes of the loop's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....graph.nodes import Operator, Shape
from ..model import OnnxNode
from .body import Scanned, row_axis
from .expressions import NotACell
from .lists import TensorList
from .looped import Read, Reader, Turning
from .recurrent import Cell
from .replayed import replay
from .scopes import Scope, Walk
from .turns import NO_LIMIT, Number


def as_cell(walk: Walk, turning: Turning, scope: Scope, depth: int) -> list[str]:
    """The values that a loop makes, "" for those that nobody reads, of the recurrent node that it is.

    scope: that of the body's own tensors. Raises NotACell where it is none, and what reading the body raises.
    """
    return _Writer(walk, turning, Reader(walk, turning).read(scope, depth)).write()


class _Writer:
    """Writes the recurrent node, and what gives its results the shapes of the loop's."""

    def __init__(self, walk: Walk, turning: Turning, read: Read) -> None:
        self.walk, self.turning, self.read = walk, turning, read

    def write(self) -> list[str]:
        read, node = self.read, self.turning.node
        sequences = [read.body.sequences[name] for name in read.equations.xs]
        ways = {sequence.backwards for sequence in (*sequences, *([read.mask] if read.mask else []))}
        if len(ways) != 1:
            raise NotACell("its sequences are read in different directions")
        backwards, = ways
        steps = [self._steps(sequence, features=True) for sequence in sequences]
        x = steps[0] if len(steps) == 1 else self._made("Concat", *steps, axis=2)
        names = tuple(self.walk.new_name(f"{node.name or node.op}/{part}") for part in ("Y", "Y_h", "Y_c"))
        if read.equations.op != "LSTM":
            names = names[:2]
        if read.body.steps is not None and read.body.steps.known is None and read.body.most < NO_LIMIT:
            self.walk.note_most_steps(int(read.body.most))
        equations = read.equations
        self.walk.cell(Cell(
            replace(node, inputs=(), outputs=names, attributes={}), equations.op, equations.W, equations.R,
            equations.B, equations.P, "reverse" if backwards else "forward", (equations.activations,),
            equations.clip, 0, equations.options, x, "", self._state(read.h), self._state(read.c) if read.c else "",
            equations.projection, mask=self._steps(read.mask, features=False) if read.mask else "",
            zero_masked=read.zero_masked, empty="initial"))
        return [self._output(i, after, names, backwards) for i, after in enumerate(read.after)]

    def _output(self, i: int, after: str | Number, names: Sequence[str], backwards: bool) -> str:
        """The value of one output of the loop."""
        if isinstance(after, Number):
            return self._counted(i, after)
        if after in ("", "same"):
            return self.turning.states[i] if after else ""
        if after in ("h", "c"):
            state = self._made("Squeeze", names[1 if after == "h" else 2], self._axes(0))
            return self._shaped(state, self.read.shapes[i], 0)
        turns = self._made("Squeeze", names[0], self._axes(1))
        if after == "last":
            place = self.walk.add_constant(f"{turns}/last", np.array(0 if backwards else -1))
            return self._shaped(self._made("Gather", turns, place, axis=0), self.read.shapes[i], 0)
        count = len(self.turning.states)
        axis, last_first = self.turning.ways[i - count] if self.turning.ways and i >= count else (0, False)
        turns = self._behind(i, turns) if after == "behind" else self._shaped(turns, self.read.shapes[i], 1)
        if last_first != backwards:
            turns = self._made("Slice", turns, self._axes(-1), self._axes(-2**62), self._axes(0), self._axes(-1))
        if i < count:
            return self.walk.add_list(f"{turns}/list", TensorList(stacked=turns))
        rank = len(self.read.shapes[i]) + 1
        if not -rank <= axis < rank:
            raise NotACell(f"scan output axis {axis} is outside the {rank} axes of its output")
        axis %= rank
        return turns if not axis else self._made("Transpose", turns, perm=(*range(1, axis + 1), 0,
                                                                           *range(axis + 1, rank)))

    def _behind(self, i: int, turns: str) -> str:
        """What operators behind the cell make of its outputs [time, rows, features], at all steps."""
        steps, read = self.read.behind[i]
        new = self.read.new
        whole = {new: self._shaped(turns, self.read.output, 1)} if new in read.values() else {}
        return self._replayed(steps, read, whole, self.read.made[i])

    def _counted(self, i: int, counter: Number) -> str:
        """A counter after the last turn: its start, and what the turns add."""
        sequence = self.read.body.sequences[self.read.equations.xs[0]]
        while sequence.before:
            sequence = self.read.body.sequences[sequence.read[0][1]]
        shape = self._made("Shape", sequence.name)
        count = self._made("Gather", shape, self.walk.add_constant(f"{shape}/axis", np.array(sequence.axis)), axis=0)
        value = self.walk.value(self.turning.states[i])
        by = self.walk.add_constant(f"{shape}/slope", np.array(counter.slope))
        typed = self._made("Cast", self._made("Mul", count, by), to=6 if value.dtype == "int32" else 7)
        return self._made("Add", self.turning.states[i], typed)

    def _steps(self, sequence: Scanned, features: bool) -> str:
        """A sequence as [time, rows, features], or [time, rows]."""
        return self._plain(self._time_first(sequence), sequence.shape, 1, features)

    def _time_first(self, sequence: Scanned) -> str:
        """A sequence as [time, ...]."""
        if sequence.before:
            return self._replayed(list(sequence.before), dict(sequence.read), {}, sequence.name)
        others = [axis for axis in range(len(sequence.shape) + 1) if axis != sequence.axis]
        perm = (sequence.axis, *others)
        return self._made("Transpose", sequence.name, perm=perm) if sequence.axis else sequence.name

    def _replayed(self, steps: list[Operator], read: dict[str, str], whole: dict[str, str], name: str) -> str:
        """A value that operators make of others, of all steps. whole: of some that are read, what they are."""
        for which in dict.fromkeys(read.values()):
            if which not in whole:
                whole[which] = self._time_first(self.read.body.sequences[which])
        given = {value: whole[which] for value, which in read.items()}
        return replay(self.walk, self.turning.node.name, steps, given, name)

    def _state(self, name: str) -> str:
        """A state as [1, rows, features]."""
        return self._made("Unsqueeze", self._plain(name, self.walk.value(name).shape, 0, True), self._axes(0))

    def _plain(self, name: str, shape: Shape, first: int, features: bool) -> str:
        """A value of rows and features without other axes. first: how many axes stand before `shape`."""
        rank = len(shape)
        if rank == 1:
            return self._made("Unsqueeze", name, self._axes(first)) if features else name
        keep = {rank - (row_axis(shape) or 2), *([rank - 1] if features else [])}
        gone = [first + axis for axis in range(rank) if axis not in keep]
        return self._made("Squeeze", name, self._axes(*gone)) if gone else name

    def _shaped(self, name: str, shape: Shape, first: int) -> str:
        """A value [..., rows, features] with the axes of `shape`."""
        rank = len(shape)
        if rank == 1:
            return self._made("Squeeze", name, self._axes(first))
        keep = {rank - (row_axis(shape) or 2), rank - 1}
        new = [first + axis for axis in range(rank) if axis not in keep]
        return self._made("Unsqueeze", name, self._axes(*new)) if new else name

    def _axes(self, *axes: int) -> str:
        return self.walk.add_constant(f"{self.turning.node.name}/axes", np.array(axes, np.int64))

    def _made(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = self.walk.new_name(f"{self.turning.node.name}/{op}")
        self.walk.operator(OnnxNode(name, op, tuple(inputs), (name,), attributes, opset=self.turning.node.opset))
        return self.walk.same_as(name)
