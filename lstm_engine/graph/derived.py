"""Arrays that are made of other arrays: one for all who ask for the same.

A file may name one matrix in thousands of nodes. Whatever brings it to another layout or type makes one array of it,
not thousands; and who keeps arrays apart keeps them apart by `place`, for several objects may show one memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from .quantized import Quantized

Place = tuple[int, tuple[int, ...], tuple[int, ...], str]


def place(array: np.ndarray | Quantized) -> Place:
    """Where an array's numbers stand and how they are read: equal for two arrays, while both live, that are one."""
    if isinstance(array, Quantized):
        kind = array.type if array.scale is None else f"{array.type} by {place(array.scale)}"
        return (*place(array.values)[:3], kind)  # type: ignore[arg-type]
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


class Derived:
    """What was made so far, by the way of making and the arrays that it was made of."""

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, ...], tuple[Sequence[np.ndarray], np.ndarray]] = {}

    def get(self, way: Hashable, make: Callable[..., np.ndarray], *sources: np.ndarray) -> np.ndarray:
        """make(*sources), or what it made before. way: tells one function of these sources from another."""
        key = (way, *map(place, sources))
        if key not in self._made:
            self._made[key] = sources, make(*sources)       # the sources are held: another may not take their place
        return self._made[key][1]
