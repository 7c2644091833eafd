"""Indices that are evenly spaced, or a few runs of such: a recording copies them as views, and picks none by index."""

from __future__ import annotations

import numpy as np

from .kernels import Call, Repetition

MOST_RUNS = 8


def taken_again(axis: int, indices: np.ndarray) -> Repetition:
    """Constant indices that are evenly spaced, as an exporter writes windows, are a view of `x`, which is copied."""
    def again(out: np.ndarray, x: np.ndarray, _: np.ndarray) -> list[Call] | None:
        at, size = axis % x.ndim, x.shape[axis]
        places = indices.astype(np.int64)
        places = np.where(places < 0, places + size, places)
        steps = evenly_spaced(places)
        if steps is None or places.min() < 0 or places.max() >= size or not x.flags.c_contiguous:
            return None
        stride = x.strides[at]
        view = np.ndarray(x.shape[:at] + places.shape + x.shape[at + 1:], x.dtype, x, int(places.flat[0]) * stride,
                          (*x.strides[:at], *(step * stride for step in steps), *x.strides[at + 1:]))
        return [(np.copyto, (out, view))]
    return again


def evenly_spaced(places: np.ndarray) -> list[int] | None:
    """By how much places grow along each axis, where they are the first one and so many steps along each; else None."""
    if not places.size:
        return None
    first = places.flat[0]
    steps = [int(np.moveaxis(places, axis, 0).reshape(size, -1)[1, 0] - first) if size > 1 else 0
             for axis, size in enumerate(places.shape)]
    grid = first + sum((step * i for step, i in zip(steps, np.ogrid[tuple(slice(n) for n in places.shape)])), 0)
    return steps if np.array_equal(np.broadcast_to(grid, places.shape), places) else None


def runs_of(index: np.ndarray) -> list[tuple[tuple[int, int], slice]] | None:
    """Indices as a few runs: from where to where each goes, and the evenly spaced elements that it is, or the one that
    it repeats; None where they are many."""
    steps = np.diff(index)
    found: list[tuple[tuple[int, int], slice]] = []
    begin = 0
    while begin < len(index):
        if len(found) == MOST_RUNS:
            return None
        first, step = int(index[begin]), int(steps[begin]) if begin < len(steps) else 0
        turns = np.flatnonzero(steps[begin:] != step)
        end = begin + 1 + int(turns[0]) if len(turns) else len(index)
        behind = first + step * (end - begin)
        found.append(((begin, end), slice(first, behind if behind >= 0 else None, step) if step
                      else slice(first, first + 1)))
        begin = end
    return found
