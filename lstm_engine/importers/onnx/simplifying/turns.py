"""Whole numbers that follow from the number of the turn, and what they say of how many turns a loop has."""

from __future__ import annotations

from dataclasses import dataclass

from ....graph.nodes import Dim

# A number of turns so large that what else ends the loop ends it sooner: "no limit", as exporters write it.
NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Number:
    """constant + slope * turn + the sum of sizes, each times a whole number; turns are counted from 0."""

    constant: int
    slope: int = 0
    sizes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, size: Dim) -> Number:
        """A size, which may be a symbol."""
        return cls(size) if isinstance(size, int) else cls(0, 0, ((size, 1),))

    def __add__(self, other: Number) -> Number:
        sizes = dict(self.sizes)
        for size, count in other.sizes:
            sizes[size] = sizes.get(size, 0) + count
        return Number(self.constant + other.constant, self.slope + other.slope,
                      tuple(sorted((size, count) for size, count in sizes.items() if count)))

    def times(self, factor: int) -> Number:
        if not factor:
            return Number(0)
        return Number(self.constant * factor, self.slope * factor, tuple((size, n * factor) for size, n in self.sizes))

    def __neg__(self) -> Number:
        return self.times(-1)

    def __sub__(self, other: Number) -> Number:
        return self + -other

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
    return Number(1 - difference.constant, 0, (-difference).sizes)


def begins(difference: Number, steps: Number) -> bool:
    """Whether a number that must be below 0 for the first turn is so for any number of steps above 0."""
    known = difference.known
    if known is not None:
        return known < 0
    rest = difference + steps
    return rest.known is not None and rest.constant <= 0
