"""Whole numbers that follow from the number of the turn, and what they say of how many turns a loop has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ....graph.nodes import Dim

# A number of turns so large that what else ends the loop ends it sooner: "no limit", as exporters write it.
NO_LIMIT = 2**31 - 1
# How many turns a loop of any number of them must be able to count: where its types cannot, it is refused. A float32
# tells whole numbers apart up to 2**24, which leaves room for a sum of three.
MANY = 2**22
# The largest whole number up to which each type has them all.
_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53} | {
    f"{kind}{bits}": 2**(bits - (kind == "int")) - 1 for kind in ("int", "uint") for bits in (8, 16, 32, 64)}


@dataclass(frozen=True)
class Number:
    """constant + slope * turn + the sum of sizes, each times a whole number; turns are counted from 0.

    most: the number of turns, and the size, up to which it is so; beyond, a type on its way rounds or wraps.
    """

    constant: int
    slope: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    most: float = field(default=math.inf, compare=False)

    @classmethod
    def of(cls, size: Dim) -> Number:
        """A size, which may be a symbol."""
        return cls(size) if isinstance(size, int) else cls(0, 0, ((size, 1),))

    def __add__(self, other: Number) -> Number:
        sizes = dict(self.sizes)
        for size, count in other.sizes:
            sizes[size] = sizes.get(size, 0) + count
        return Number(self.constant + other.constant, self.slope + other.slope,
                      tuple(sorted((size, count) for size, count in sizes.items() if count)),
                      min(self.most, other.most))

    def times(self, factor: int) -> Number:
        if not factor:
            return Number(0)
        return replace(self, constant=self.constant * factor, slope=self.slope * factor,
                       sizes=tuple((size, n * factor) for size, n in self.sizes))

    def __neg__(self) -> Number:
        return self.times(-1)

    def __sub__(self, other: Number) -> Number:
        return self + -other

    def kept_in(self, dtype: str) -> Number | None:
        """The number as a value of a type; None for a type that has none."""
        exact = _EXACT.get(dtype)
        if exact is None or (dtype.startswith("u") and min(self.constant, self.slope, *(n for _, n in self.sizes)) < 0):
            return None
        room, steep = exact - abs(self.constant), abs(self.slope) + sum(abs(count) for _, count in self.sizes)
        most = -1 if room < 0 else room // steep if steep else math.inf
        return replace(self, most=min(self.most, most))

    def holds_for(self, steps: Number) -> bool:
        """Whether it is so at every turn of a loop of so many."""
        return self.most >= (MANY if steps.known is None else steps.known)

    @property
    def known(self) -> int | None:
        return None if self.slope or self.sizes else self.constant


def goes_to(index: Number, steps: Number) -> bool | None:
    """Whether an index runs through so many steps from the first (False) or from the last (True); None: otherwise."""
    if index == Number(0, 1):
        return False
    if index in (steps + Number(-1, -1), Number(-1, -1)):       # below 0 counts from the end
        return True
    return None


def turns_while_below(difference: Number) -> Number | None:
    """How many turns a loop has that goes on after a turn while a number is below 0, where at least one is run."""
    if difference.slope != 1:
        return None
    return Number(1 - difference.constant, 0, (-difference).sizes, difference.most)


def begins(difference: Number, steps: Number) -> bool:
    """Whether a number that must be below 0 for the first turn is so for any number of steps above 0."""
    known = difference.known
    if known is not None:
        return known < 0
    rest = difference + steps
    return rest.known is not None and rest.constant <= 0
