"""What an operator takes of memory and time, as it says it where it is declared; `plan.estimate` asks before a run.

A need is an upper bound of what is allocated, exact for the result itself; times are orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..graph.nodes import Value

Arrays = Sequence[Any]              # one for each input of a node, None for one that is left out

PRODUCTS_AT_ONCE = 16           # of a BLAS, in a nanosecond


class Need(NamedTuple):
    """bytes: of results and of what is made on the way; work: nanoseconds."""

    bytes: int
    work: int


# Of an operator with these attributes, whose results may be of any size: elements made of these inputs, bytes of one.
Grown = Callable[[dict[str, Any], Arrays], tuple[int, int]]
# Of an operator with these attributes: what it takes to make these results, their sizes numbers, of these inputs.
Needs = Callable[[dict[str, Any], Arrays, Sequence[Value]], Need]


def size_of(value: Value) -> int:
    """Elements of a value, sizes that are not known taken as 1."""
    return prod(dim for dim in value.shape if isinstance(dim, int))


def need_of(arrays: Arrays, made: Sequence[Value], work: int = 1, scratch: int = 0) -> Need:
    """What most operators take: so long for each element that they read or make, and arrays of float64 on the way."""
    size = sum(map(size_of, made))
    result = sum(size_of(value) * np.dtype(value.dtype).itemsize for value in made)
    looked_at = size + sum(array.size for array in arrays if array is not None)
    return Need(result + 8 * scratch * size, looked_at * work)


def numbers_in(array: np.ndarray | None) -> list[int]:
    """The integers of an input, none of one that is left out."""
    return [] if array is None else [int(v) for v in np.ravel(array)]
