"""Operators that pick, put or order elements by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.nodes import Operator
from .registry import Call, Kernel, builder, repeatable, scalar

_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@builder("Gather")
def _gather(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]
    if 1 in node.constants and node.constants[1].ndim == 0:
        index = int(node.constants[1])

        def pick(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
            return x[(slice(None),) * (axis % x.ndim) + (index,)]
        return pick
    return lambda x, indices: x.take(indices, axis)


@builder("GatherElements")
def _gather_elements(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return x[_along(x.ndim, indices, axis)]
    return gather


def _along(rank: int, indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """Index arrays that put `indices` on `axis` and each element's own position on the others."""
    if indices.ndim != rank:
        raise IndexError(f"indices with {indices.ndim} axes for data with {rank}")
    grid = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def _tuples(indices: np.ndarray, batch: int) -> tuple[np.ndarray, ...]:
    """Index arrays out of rows of indices [..., depth], led by the positions on the batch axes."""
    lead = np.ogrid[tuple(slice(size) for size in indices.shape[:-1])][:batch] if batch else []
    return (*lead, *np.moveaxis(indices, -1, 0))


@builder("GatherND")
def _gather_nd(attributes: dict[str, Any], node: Operator) -> Kernel:
    batch = attributes["batch_dims"]
    if batch:
        return lambda x, indices: x[_tuples(indices, batch)]
    return lambda x, indices: x[tuple(np.moveaxis(indices, -1, 0))]


def _copy_for(x: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """A copy of `x` to write `updates` into: a float32 constant gives way to float64 updates."""
    return x.astype(np.result_type(x, updates))


def _put(x: np.ndarray, where: tuple[np.ndarray, ...], updates: np.ndarray, reduction: str) -> np.ndarray:
    result = _copy_for(x, updates)
    if reduction == "none":
        result[where] = updates
    else:
        _COMBINE[reduction].at(result, where, updates)
    return result


@builder("ScatterElements")
def _scatter_elements(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, reduction = attributes["axis"], attributes["reduction"]
    return lambda x, indices, updates: _put(x, _along(x.ndim, indices, axis), updates, reduction)


@builder("ScatterND")
def _scatter_nd(attributes: dict[str, Any], node: Operator) -> Kernel:
    reduction = attributes["reduction"]
    box = _box(node.constants[1]) if reduction == "none" and 1 in node.constants else None
    if box is None:
        return lambda x, indices, updates: _put(x, tuple(np.moveaxis(indices, -1, 0)), updates, reduction)

    def put_box(x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
        if any(part.stop > size for part, size in zip(box, x.shape)):
            raise IndexError(f"indices reach outside {x.shape}")
        result = _copy_for(x, updates)
        result[box] = updates
        return result

    def again(out: np.ndarray, x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> list[Call]:
        return [(np.copyto, (out, x)), (np.copyto, (out[box], updates))]
    return repeatable(put_box, again)


def _box(indices: np.ndarray) -> tuple[slice, ...] | None:
    """The block of axes that constant indices spell out in order, as an exporter writes x[a:b, c:d] = updates."""
    depth = indices.shape[-1]
    if indices.ndim != depth + 1 or not indices.size or indices.min() < 0:
        return None
    first = indices.reshape(-1, depth)[0]
    span = [slice(int(a), int(a) + size) for a, size in zip(first, indices.shape[:-1])]
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in span), indexing="ij"), axis=-1)
    return tuple(span) if np.array_equal(grid, indices) else None


@builder("TopK")
def _top_k(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, largest = attributes["axis"], attributes["largest"]

    def top_k(x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = scalar(k)
        if not 0 <= count <= x.shape[axis]:
            raise ValueError(f"k = {count} for an axis of {x.shape[axis]}")
        if largest:     # a stable ascending order of the reversed axis, reversed: the lower index wins a tie
            order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        order = order[(slice(None),) * (axis % x.ndim) + (slice(count),)]
        return np.take_along_axis(x, order, axis), order.astype(np.int64)
    return top_k


@builder("CumSum")
def _cum_sum(attributes: dict[str, Any], node: Operator) -> Kernel:
    exclusive, reverse = attributes["exclusive"], attributes["reverse"]

    def cum_sum(x: np.ndarray, axis_input: np.ndarray) -> np.ndarray:
        axis = scalar(axis_input)
        data = np.flip(x, axis) if reverse else x
        total = np.cumsum(data, axis=axis, dtype=x.dtype)
        if exclusive:
            shifted = np.zeros_like(total)
            before = (slice(None),) * (axis % x.ndim)
            shifted[before + (slice(1, None),)] = total[before + (slice(None, -1),)]
            total = shifted
        return np.flip(total, axis) if reverse else total
    return cum_sum


@builder("OneHot")
def _one_hot(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def one_hot(indices: np.ndarray, depth: np.ndarray, values: np.ndarray) -> np.ndarray:
        size = int(scalar(depth))
        if size < 0:
            raise ValueError(f"depth is {size}")
        at = axis % (indices.ndim + 1)
        ids = np.expand_dims(np.where(indices < 0, indices + size, indices), at)
        classes = np.arange(size).reshape((-1,) + (1,) * (indices.ndim - at))
        return np.where(ids == classes, values[1], values[0])
    return one_hot


@builder("ReverseSequence")
def _reverse_sequence(attributes: dict[str, Any], node: Operator) -> Kernel:
    time, batch = attributes["time_axis"], attributes["batch_axis"]

    def reverse_sequence(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        steps = np.arange(x.shape[time]).reshape(-1, 1)
        source = np.where(steps < lengths, lengths - 1 - steps, steps)     # [time, batch]
        moved = np.moveaxis(x, (time, batch), (0, 1))
        picked = moved[source, np.arange(lengths.size)]
        return np.moveaxis(picked, (0, 1), (time, batch))
    return reverse_sequence
