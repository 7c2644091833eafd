"""Names of values, nodes and sizes that are given out once."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """The names that are taken, and new ones beside them."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        # The last number given for a hint: without it thousands of equal hints would take quadratic time.
        self._numbers: dict[str, int] = {}

    def reserve(self, *names: str) -> None:
        """Take these names, whether or not they were taken before."""
        self._taken.update(names)

    def unused(self, hint: str) -> str:
        """`hint`, or where that is taken `hint` with a number from 2 on; it is taken from then on."""
        name = hint
        while name in self._taken:
            self._numbers[hint] = self._numbers.get(hint, 1) + 1
            name = f"{hint}_{self._numbers[hint]}"
        self._taken.add(name)
        return name
