"""Weights that give themselves in blocks of rows, so that what goes through them never holds one whole."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 1 << 22


class Rows(ABC):
    """A weight of which shape and dtype are known, and whose rows are made when they are asked for.

    A row is the last axis; rows are numbered through the axes before it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        self.ndim, self.size, self.itemsize = len(shape), math.prod(shape), dtype.itemsize
        self.nbytes = self.size * dtype.itemsize

    @abstractmethod
    def rows(self, begin: int, end: int) -> np.ndarray:
        """Rows begin .. end-1, [end - begin, columns], C-contiguous."""

    def __array__(self, *args: object, **kwargs: object) -> np.ndarray:
        raise TypeError("a packed weight has no values here; Model.graph unpacks it")

    def whole(self) -> np.ndarray:
        """All rows, read-only."""
        array = self.rows(0, math.prod(self.shape[:-1])).reshape(self.shape)
        array.flags.writeable = False
        return array


def spans(weight: Rows) -> Iterator[tuple[int, int]]:
    """The rows of a weight in parts of some megabytes: begin and end of each."""
    count = math.prod(weight.shape[:-1])
    some = max(1, BLOCK_BYTES // max(1, weight.shape[-1] * weight.itemsize))
    for begin in range(0, count, some):
        yield begin, min(begin + some, count)


def blocks(weight: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """A weight in parts of some megabytes, in order; an array as it is."""
    if not isinstance(weight, Rows):
        yield weight
        return
    for begin, end in spans(weight):
        yield weight.rows(begin, end)
