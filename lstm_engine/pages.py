"""Memory of large arrays that are read from somewhere, packed, and not needed again: given back while they are packed.

A model of 1 GB would otherwise take 2 GB for a moment, once as it stands in its file and once packed. An array of
`empty` has pages of its own. Whoever made a graph of such arrays and hands it to a model for good says so
(`give_up`); the plan then lets the core drop the pages of each part of a matrix that it has packed, where no other
weight of the graph has numbers (`lone`). With gemm="blas" the matrices of recurrent layers, of which one is read
twice, stay. Where the system cannot take pages back (it is not Linux), they stay until the array goes.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

PAGES_FROM = 1 << 25       # bytes; the C library gives smaller blocks of memory out again without asking the system


class Pages(mmap.mmap):
    """Pages that no other array has a part in."""

    given_up = False        # whether whoever packs the array is the last to read it


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """np.empty(shape, dtype), a large one on pages of its own. Raises MemoryError."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < PAGES_FROM:
        return np.empty(shape, dtype)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    try:
        pages = Pages(-1, size, **private)
        if hasattr(mmap, "MADV_HUGEPAGE"):         # as NumPy asks for its own
            pages.madvise(mmap.MADV_HUGEPAGE)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no memory for an array of {size} bytes") from error
    return np.frombuffer(pages, dtype).reshape(shape)


def read(file: BinaryIO, count: int) -> bytes | memoryview:
    """file.read(count), a large answer on pages of its own and read-only. Raises MemoryError."""
    if count < PAGES_FROM:
        return file.read(count)
    view, done = empty((count,), np.uint8).data, 0
    while done < count and (some := file.readinto(view[done:])):  # type: ignore[attr-defined]
        done += some
    return view[:done].toreadonly()


def give_up(arrays: Iterable[np.ndarray]) -> None:
    """Say that nobody but the next model made of these arrays will read them, or any other array on their pages."""
    for array in arrays:
        pages = _pages_of(array)
        if pages is not None:
            pages.given_up = True


def lone(arrays: Iterable[np.ndarray]) -> set[int]:
    """The ids of those arrays that are given up and share no byte with another of them."""
    found = sorted((*_span(array), id(array)) for array in arrays if (pages := _pages_of(array)) and pages.given_up)
    shared, furthest, holder = set[int](), 0, 0
    for begin, end, own in found:
        if begin < furthest:
            shared |= {own, holder}
        if end > furthest:
            furthest, holder = end, own
    return {own for _, _, own in found} - shared


def _span(array: np.ndarray) -> tuple[int, int]:
    return np.lib.array_utils.byte_bounds(array)


def _pages_of(array: Any) -> Pages | None:
    """The pages that an array stands on, None for other memory."""
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array if isinstance(array, Pages) else None
