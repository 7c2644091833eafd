"""The body of a Loop or Scan as equations: what each value is of states and steps (`meanings` reads the operators)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ....graph.activations import LINEAR, Activation
from ....graph.nodes import Operator, Shape, Value
from ....operators import OPERATORS
from . import expressions as ex
from .budget import Budget
from .expressions import Atom, Expression, NotACell
from .recurrent import Cell
from .turns import Number

MOST_BYTES = 256 << 20          # of what is made in putting one body's equations together


class TooMuch(NotACell):
    """The equations of a model's loops take too long, or too much memory."""


class Facts(Protocol):
    """What is asked of the walk through the model. Names are those of the walk."""

    budget: Budget

    def constant(self, name: str) -> np.ndarray | None: ...
    def value(self, name: str) -> Value: ...
    def elements_of(self, name: str) -> np.ndarray | None: ...
    def is_zero(self, name: str) -> bool: ...
    def makers_of(self, names: Sequence[str]) -> list[Operator]: ...


@dataclass(frozen=True)
class Scanned:
    """A value around the loop of which each turn reads one step. shape: of a step.

    before: where a turn makes it of its steps alone, the operators that do; read: what these read, of `Body.sequences`.
    """

    name: str
    axis: int
    backwards: bool
    shape: Shape
    before: tuple[Operator, ...] = ()
    read: tuple[tuple[str, str], ...] = ()


class Body:
    """The values of one body.

    states: by name, as the body reads them. number: the name of the turn's number, "" for a Scan. steps: how many the
    sequences have, once one is known. squashed: of each result of an activation, which and of what.
    """

    def __init__(self, facts: Facts, number: str, states: Sequence[str], counters: Mapping[str, Number]) -> None:
        self.facts = facts
        self.numbers = {**({number: Number(0, 1)} if number else {}), **counters}
        self.known: dict[str, Expression] = {}
        self.squashed: dict[str, tuple[Activation, Expression]] = {}
        self.sequences: dict[str, Scanned] = {}
        self.maker: dict[str, Operator] = {}
        self.cells: dict[str, tuple[Cell, str]] = {}    # recurrent nodes in the body: by result, and which it is
        self.zeros: list[Shape] = []                # of zeros that stand around the loop and are used in it
        self._bytes = 0
        self._own = {number, *states}
        self._tried: set[str] = set()
        self.steps: Number | None = None
        self.most: float = math.inf                 # turns that the loop can count, as far as it was looked at
        self.reasons: dict[str, str] = {}
        self.between: dict[str, tuple[float, float, str]] = {}      # clipped values: lowest, highest, what is clipped
        self.scaled_of: dict[str, tuple[float, float, str]] = {}       # values that are alpha * another + beta
        for name in states:
            if name not in self.numbers:
                self._begin(name, facts.value(name))

    def _begin(self, name: str, value: Value) -> None:
        """A value that the turn is given."""
        try:
            if value.dtype == "bool":
                if truths_in(value.shape) != 1:
                    raise NotACell(f"{name!r} has a truth value for each feature")
                self.known[name] = ex.atom(name, 1, of_row=True)
            else:
                self.known[name] = ex.atom(name, features_of(value))
        except NotACell as reason:
            self.reasons[name] = str(reason)

    def given(self, name: str, sequence: Scanned, steps: Number) -> None:
        """A step of a sequence, under a name of its own."""
        self._own.add(name)
        for known, other in self.sequences.items():
            if (other.name, other.axis, other.backwards) == (sequence.name, sequence.axis, sequence.backwards):
                if known in self.known:
                    self.known[name] = self.known[known]
                return
        if self.steps not in (None, steps):
            raise NotACell(f"its sequences are not known to have the same number of steps ({sequence.name!r})")
        self.steps = steps
        self.sequences[name] = sequence
        self._begin(name, Value(name, sequence.shape, self.facts.value(sequence.name).dtype))

    def put(self, name: str, expression: Expression) -> None:
        value = self.facts.value(name)
        width = truths_in(value.shape) if value.dtype == "bool" else features_of(value)
        if ex.width_of(expression) != width:
            raise NotACell(f"{name!r} is spread out")
        made = sum(c.nbytes for block in expression for c in block.terms.values() if c.ndim and c.base is None)
        self._bytes += made
        if self._bytes > MOST_BYTES:
            raise TooMuch(f"its equations take more than {MOST_BYTES >> 20} MB to put together")
        self.spend(made)
        self.known[name] = expression

    def spend(self, count: int) -> None:
        """Raise TooMuch unless so many bytes may still be made, or read, in putting equations together."""
        if not self.facts.budget.spend(count):
            raise TooMuch("the equations of the model's loops take too long to put together")

    def counts(self, number: Number, steps: Number) -> bool:
        """Whether a number is what it is at every turn of so many; noted where that is so of not too many alone."""
        self.most = min(self.most, number.most)
        return number.holds_for(steps)

    def room(self, count: int) -> None:
        """Raise TooMuch for an array of so many bytes, where that is much more than there is in the file."""
        if not self.facts.budget.room(count):
            raise TooMuch("its weights, written as matrices, are much larger than what the file has")

    def keep(self, array: np.ndarray) -> np.ndarray:
        """An array that the cell holds; one where several loops have the same."""
        kept = self.facts.budget.keep(array)
        if kept is None:
            raise TooMuch("the weights of the model's loops are too many times those in its file")
        return kept

    def expression(self, name: str) -> Expression:
        """What a value is. Raises NotACell, with the reason, where that is not known."""
        if name not in self.known:
            if self.is_outside(name) and self.facts.is_zero(name):
                value = self.facts.value(name)
                self.zeros.append(value.shape)
                return (ex.Block(features_of(value), {}),)
            raise NotACell(self.reasons.get(name) or f"{name!r} comes from around it, the same at every step")
        return self.known[name]

    def is_outside(self, name: str) -> bool:
        """Whether a value stands around the loop: each turn finds the same."""
        return name not in self._own and name not in self.maker

    def operand(self, step: Operator, position: int, width: int) -> Expression:
        """What an input of an operator is, which may be a constant."""
        array = step.constants.get(position)
        return self.expression(step.inputs[position]) if array is None else ex.constant(array, width)

    def plain(self, name: str, expression: Expression) -> Expression:
        """An expression that products can be written out with: what has matrices in it is taken as it is."""
        return expression if ex.simple(expression) else self.apart(name, expression)

    def apart(self, name: str, expression: Expression) -> Expression:
        """A value taken as it is: it is computed, and rounded, before what is made of it."""
        self.squashed.setdefault(name, (LINEAR, expression))
        return ex.atom(name, ex.width_of(expression))

    def squash(self, atom: Atom) -> tuple[Activation, Expression] | None:
        """The activation whose result an atom is, and what of."""
        if atom.value not in self.squashed:
            return None
        activation, inner = self.squashed[atom.value]
        return activation, ex.part(inner, atom.start, atom.stop)

    def note_cell(self, cell: Cell) -> None:
        """Take the results of a recurrent node of one step as they are."""
        steps = self.facts.value(cell.x).shape[1 if cell.layout else 0]
        if steps != 1 or cell.dirs != 1 or cell.lengths or cell.mask:
            raise NotACell(f"{cell.node.label} is no step of one direction")
        outputs = [*cell.node.outputs, "", ""][:3]
        for made, which in ((outputs[0] or outputs[1], "h"), (outputs[2], "c")):
            if made:
                self.cells[made] = cell, which
        for name, made, width in ((outputs[0], outputs[0] or outputs[1], cell.output),
                                  (outputs[1], outputs[0] or outputs[1], cell.output),
                                  (outputs[2], outputs[2], cell.hidden)):
            if name:
                self.put(name, ex.atom(made, width))

    def inner(self, atom: Atom) -> list[Expression]:
        """What an atom is made of at the same turn."""
        if atom.value in self.cells:
            cell, _ = self.cells[atom.value]
            return [self.expression(name) for name in (cell.x, cell.initial_h, cell.initial_c) if name]
        squash = self.squash(atom)
        return [] if squash is None else [squash[1]]

    # ---- whole numbers ----------------------------------------------------------------------------------------------

    def number(self, name: str) -> Number | None:
        """What a whole number is, inside or around the loop."""
        if name in self.numbers:
            return self.numbers[name]
        if self.is_outside(name) and name not in self._tried:
            around = self.facts.makers_of((name,))
            self._tried.update([name], *(step.outputs for step in around))
            for step in around:
                self.note_number(step)
            return self.number(name)
        elements = self.facts.elements_of(name)
        element = elements.reshape(-1)[0] if elements is not None and elements.size == 1 else None
        if element is None:
            return None
        return Number.of(element if isinstance(element, str) else int(element))

    def note_number(self, step: Operator) -> None:
        """Note the result of an operator on whole numbers, with how far its type has them all."""
        if len(step.outputs) != 1 or not step.inputs:
            return
        parts = [self.number(name) if name else _whole(step.constants.get(i)) for i, name in enumerate(step.inputs)]
        made = parts[0]
        if made is not None and step.op_type in _ARITHMETIC and len(parts) == 2:
            made = None if parts[1] is None else _ARITHMETIC[step.op_type](made, parts[1])
        elif step.op_type != "Cast" and not OPERATORS[step.op_type].in_order and step.op_type not in _WHOLE_ALREADY:
            made = None
        kept = None if made is None else made.kept_in(self.facts.value(step.outputs[0]).dtype)
        if kept is not None:
            self.numbers[step.outputs[0]] = kept


def _times(one: Number, other: Number) -> Number | None:
    factor, number = (one.known, other) if one.known is not None else (other.known, one)
    return None if factor is None else number.times(factor)


def _over(one: Number, other: Number) -> Number | None:
    """A division that leaves nothing over."""
    return one.times(other.constant) if other.known in (1, -1) else None


_ARITHMETIC: dict[str, Callable[[Number, Number], Number | None]] = {
    "Add": Number.__add__, "Sub": Number.__sub__} | {"Mul": _times, "Div": _over}
_WHOLE_ALREADY = ("Ceil", "Floor")


def _whole(array: np.ndarray | None) -> Number | None:
    if array is None or array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array.item()) \
            or array.item() != int(array.item()):
        return None
    return Number(int(array.item()))


# ---- shapes ---------------------------------------------------------------------------------------------------------

def row_axis(shape: Shape) -> int:
    """Which axis has the rows, counted from the end; 0 where all but the features are 1. Raises NotACell for more."""
    wide = [len(shape) - i for i, dim in enumerate(shape[:-1]) if dim != 1]
    if len(wide) > 1:
        raise NotACell(f"a value {list(shape)} has more axes than rows and features")
    return wide[0] if wide else 0


def features_of(value: Value) -> int:
    if not value.shape or value.dtype not in ("float32", "float64"):
        raise NotACell(f"{value.name!r} is {value.dtype} {list(value.shape)}")
    row_axis(value.shape)
    width = value.shape[-1]
    if not isinstance(width, int) or width < 1:
        raise NotACell(f"how many features {value.name!r} has is not known")
    return width


def truths_in(shape: Shape) -> int:
    """Truth values are one for each row: [rows, 1], or [rows]; or repeated over the features."""
    if len(shape) == 1:
        return 1
    row_axis(shape)
    if not shape or not isinstance(shape[-1], int):
        raise NotACell(f"truth values {list(shape)} are not one for each row")
    return shape[-1]
