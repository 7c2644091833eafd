"""Large weights through a pickle in parts, so that neither side holds them a second time.

A pickler keeps every object that it has written until it is done, and an unpickler every one that it has made, lest
one should come again. What they let go of is two kinds of things: whole numbers, which are never asked for twice, and
what a bytearray had before it was emptied, which pickles have from protocol 5 on. A part of a weight goes as the one or
the other; it is made when its turn comes to be written, and put where it belongs as soon as it has been read.
"""

from __future__ import annotations

import contextlib
from typing import Any, SupportsIndex

import numpy as np

from .. import pages
from ..graph.rows import Rows, spans

# The protocols from which whole numbers of any size, and bytearrays, go as they are.
_WHOLE_NUMBERS, _BYTEARRAYS = 2, 5

# What __reduce__ gives: what makes the object, of what, and then its state, or the items of a list.
Reduced = tuple[Any, ...]


def reduced(weight: Rows, protocol: SupportsIndex) -> Reduced:
    """What __reduce_ex__ of a weight returns: it comes back as an array."""
    if int(protocol) < _WHOLE_NUMBERS or weight.nbytes < pages.PAGES_FROM:
        return _same, (weight.whole(),)
    return _array_of, (_Leaving(weight),)


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _array_of(coming: _Coming) -> np.ndarray:
    return coming.array


class _Leaving:
    """A weight that is being written."""

    def __init__(self, weight: Rows) -> None:
        self.weight = weight

    def __reduce_ex__(self, protocol: SupportsIndex) -> Reduced:
        shape, dtype = self.weight.shape, self.weight.dtype
        parts = [_LeavingPart(self, begin, end) for begin, end in spans(self.weight)]
        return _Coming, (shape, dtype.str), parts


class _LeavingPart:
    def __init__(self, of: _Leaving, begin: int, end: int) -> None:
        self.of, self.begin, self.end = of, begin, end

    def __reduce_ex__(self, protocol: SupportsIndex) -> Reduced:
        data = self.of.weight.rows(self.begin, self.end).reshape(-1).view(np.uint8).data
        if int(protocol) < _BYTEARRAYS:
            return _ComingPart, (self.of, self.begin, self.end), int.from_bytes(data, "little")
        written = bytearray(data)
        return _ComingPart, (self.of, self.begin, self.end), (written, _Emptied(written))


class _Emptied:
    """Written after a bytearray, which it empties."""

    def __init__(self, written: bytearray) -> None:
        self.written = written

    def __reduce__(self) -> Reduced:
        _empty(self.written)
        return tuple, ()


def _empty(data: bytearray) -> None:
    with contextlib.suppress(BufferError):      # of somebody who still looks at it, and keeps it
        data.clear()


class _Coming:
    """A weight that is being read."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.array = pages.empty(shape, dtype)

    def __setstate__(self, parts: list[_ComingPart]) -> None:
        """They have put their rows into the array."""


class _ComingPart:
    def __init__(self, of: _Coming, begin: int, end: int) -> None:
        self.rows = of.array.reshape(-1, of.array.shape[-1])[begin:end]

    def __setstate__(self, state: Any) -> None:
        data = state.to_bytes(self.rows.nbytes, "little") if isinstance(state, int) else state[0]
        self.rows.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        if isinstance(data, bytearray):
            _empty(data)
