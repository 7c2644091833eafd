"""Operators that move elements or make them from a shape."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...graph.nodes import Operator
from ...graph.operator_rules_shaping import span
from .registry import MOST_KEPT, Call, Kernel, builder, fixed, ints, plain, repeatable, scalar


def _target(x: np.ndarray, target: tuple[int, ...], allow_zero: int) -> tuple[int, ...]:
    if allow_zero or 0 not in target:
        return target
    return tuple(x.shape[i] if dim == 0 else dim for i, dim in enumerate(target))


@builder("Reshape")
def _reshape(attributes: dict[str, Any], node: Operator) -> Kernel:
    allow_zero = attributes["allowzero"]
    if not fixed(node, 1):
        return lambda x, shape: x.reshape(_target(x, ints(shape), allow_zero))
    target = ints(node.constants[1])

    def again(out: np.ndarray, x: np.ndarray, shape: np.ndarray) -> list[Call] | None:
        return [(np.copyto, (out.reshape(x.shape), x))] if out.flags.c_contiguous else None

    if allow_zero or 0 not in target:
        return repeatable(lambda x, shape: x.reshape(target), again)
    return repeatable(lambda x, shape: x.reshape(_target(x, target, 0)), again)


@builder("Flatten")
def _flatten(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def flatten(x: np.ndarray) -> np.ndarray:
        at = axis + x.ndim if axis < 0 else axis
        return x.reshape(prod(x.shape[:at]), prod(x.shape[at:]))
    return flatten


@builder("Transpose")
def _transpose(attributes: dict[str, Any], node: Operator) -> Kernel:
    perm = attributes["perm"]
    return (lambda x: x.transpose(perm)) if perm else (lambda x: x.transpose())


@builder("Squeeze")
def _squeeze(attributes: dict[str, Any], node: Operator) -> Kernel:
    if 1 in node.constants:
        axes = ints(node.constants[1])
        return lambda x, _axes=None: x.squeeze(axes)
    return lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(ints(axes))


@builder("Unsqueeze")
def _unsqueeze(attributes: dict[str, Any], node: Operator) -> Kernel:
    if 1 in node.constants:
        known = ints(node.constants[1])
        by_rank: dict[int, tuple[slice | None, ...]] = {}

        def widen(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
            index = by_rank.get(x.ndim)
            if index is None:
                new = {axis % (x.ndim + len(known)) for axis in known}
                np.expand_dims(x, known)            # what it refuses is refused
                index = by_rank[x.ndim] = tuple(None if axis in new else slice(None)
                                                for axis in range(x.ndim + len(known)))
            return x[index]
        return widen
    return lambda x, axes: np.expand_dims(x, ints(axes))


def _expand(x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, ints(shape)))


plain({
    "Expand": _expand,
    "Size": lambda x: np.asarray(x.size, np.int64),
    "NonZero": lambda x: np.array(np.nonzero(np.atleast_1d(x)), np.int64)[:x.ndim],
    "Range": lambda start, limit, step: np.arange(scalar(start), scalar(limit), scalar(step)).astype(start.dtype),
})


@builder("Tile")
def _tile(attributes: dict[str, Any], node: Operator) -> Kernel:
    def tile(x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
        if repeats.size != x.ndim:
            raise ValueError(f"{repeats.size} repeats for {x.ndim} axes")
        shape = [size * times for size, times in zip(x.shape, ints(repeats))]
        # NumPy counts through the repeats of an array without elements, however many.
        return np.tile(x, ints(repeats)) if 0 not in shape else np.empty(shape, x.dtype)
    return tile


@builder("Concat")
def _concat(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]
    return repeatable(lambda *xs: np.concatenate(xs, axis=axis),
                      lambda out, *xs: [(np.concatenate, (xs, axis, out))])


@builder("Split")
def _split(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, parts = attributes["axis"], attributes["num_outputs"] or len(node.outputs)

    def split(x: np.ndarray, sizes: np.ndarray | None = None) -> list[np.ndarray]:
        if sizes is None:
            chunk = -(-x.shape[axis] // parts)
            return np.split(x, [chunk * i for i in range(1, parts)], axis=axis)
        ends = np.cumsum(sizes)
        if ends[-1] != x.shape[axis]:
            raise ValueError(f"the split sizes sum to {ends[-1]}, not {x.shape[axis]}")
        return np.split(x, ends[:-1], axis=axis)

    if 1 not in node.constants:
        return split
    edges = [0, *(int(end) for end in np.cumsum(node.constants[1]))]
    spans = [slice(a, b) for a, b in zip(edges, edges[1:])]

    def split_fixed(x: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
        if x.shape[axis] != edges[-1]:
            raise ValueError(f"the split sizes sum to {edges[-1]}, not {x.shape[axis]}")
        before = (slice(None),) * (axis % x.ndim)
        return [x[before + (span,)] for span in spans]
    return split_fixed


@builder("Slice")
def _slice(attributes: dict[str, Any], node: Operator) -> Kernel:
    def spans(shape: tuple[int, ...], starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> tuple[slice, ...]:
        starts, ends = ints(starts), ints(ends)
        axes = range(len(starts)) if axes is None else ints(axes)
        steps = (1,) * len(starts) if steps is None else ints(steps)
        result = [slice(None)] * len(shape)
        for start, end, axis, step in zip(starts, ends, axes, steps):
            result[axis] = span(start, end, step, shape[axis])
        return tuple(result)

    if not fixed(node, 1, 2, 3, 4):
        return lambda x, *parameters: x[spans(x.shape, *parameters)]
    backward = 4 in node.constants and min(ints(node.constants[4]), default=1) < 0
    known: dict[Any, tuple[slice, ...]] = {}

    def take(x: np.ndarray, *parameters: Any) -> np.ndarray:
        key = x.shape if backward else x.ndim       # forward slices are the same for any size
        picked = known.get(key)
        if picked is None:
            if len(known) >= MOST_KEPT:
                known.clear()
            picked = known[key] = spans(x.shape, *parameters)
        return x[picked]
    return take


@builder("Pad")
def _pad(attributes: dict[str, Any], node: Operator) -> Kernel:
    mode = attributes["mode"]

    def widths(rank: int, pads: np.ndarray, axes: np.ndarray | None) -> list[tuple[int, int]]:
        values = ints(pads)
        chosen = range(rank) if axes is None else ints(axes)
        if len(values) != 2 * len(chosen):
            raise ValueError(f"{len(values)} pads for {len(chosen)} axes")
        result = [(0, 0)] * rank
        for i, axis in enumerate(chosen):
            result[axis] = (values[i], values[i + len(chosen)])
        return result

    known: dict[tuple[int, ...], tuple] = {}

    def pad_fixed(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                  axes: np.ndarray | None = None) -> np.ndarray:
        layout = known.get(x.shape)
        if layout is None:
            if len(known) >= MOST_KEPT:
                known.clear()
            around = widths(x.ndim, pads, axes)
            if any(a < 0 or b < 0 for a, b in around):
                return pad(x, pads, fill, axes)
            layout = known[x.shape] = (tuple(a + size + b for (a, b), size in zip(around, x.shape)),
                                       tuple(slice(a, a + size) for (a, _), size in zip(around, x.shape)))
        shape, inside = layout
        result = np.zeros(shape, x.dtype)
        if fill is not None:
            result[...] = fill.reshape(())
        result[inside] = x
        return result

    def pad_fixed_again(out: np.ndarray, x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                        axes: np.ndarray | None = None) -> list[Call] | None:
        layout = known.get(x.shape)
        if layout is None:
            return None
        out[...] = 0 if fill is None else fill.reshape(())          # once: nothing else writes there
        return [(np.copyto, (out[layout[1]], x))]

    def pad(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
            axes: np.ndarray | None = None) -> np.ndarray:
        around = widths(x.ndim, pads, axes)
        x = x[tuple(slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(around, x.shape))]
        around = [(max(0, a), max(0, b)) for a, b in around]
        if mode != "constant":
            return np.pad(x, around, mode=mode)
        value = 0 if fill is None else fill.reshape(())
        result = np.full([a + size + b for (a, b), size in zip(around, x.shape)], value, x.dtype)
        result[tuple(slice(a, a + size) for (a, b), size in zip(around, x.shape))] = x
        return result

    taken: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}

    def pad_by_index(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                     axes: np.ndarray | None = None) -> np.ndarray:
        """Modes that repeat elements: which ones follows from the sizes, and np.pad tells it for each axis."""
        indices = taken.get(x.shape)
        if indices is None:
            if len(taken) >= MOST_KEPT:
                taken.clear()
            around = widths(x.ndim, pads, axes)
            if not x.size or any(a < 0 or b < 0 for a, b in around):
                return pad(x, pads, fill, axes)
            indices = taken[x.shape] = [(axis, np.pad(np.arange(x.shape[axis]), ends, mode=mode))
                                        for axis, ends in enumerate(around) if any(ends)]
        for axis, index in indices:
            x = x.take(index, axis)
        return x

    def pad_by_index_again(out: np.ndarray, x: np.ndarray, *parameters: np.ndarray) -> list[Call] | None:
        indices = taken.get(x.shape, ())
        return [(x.take, (indices[0][1], indices[0][0], out, "clip"))] if len(indices) == 1 else None

    if not fixed(node, 1, 3):
        return pad
    if mode == "constant":
        return repeatable(pad_fixed, pad_fixed_again) if fixed(node, 2) else pad_fixed
    return repeatable(pad_by_index, pad_by_index_again)


@builder("Shape")
def _shape(attributes: dict[str, Any], node: Operator) -> Kernel:
    part = slice(attributes["start"], attributes["end"])
    return lambda x: np.array(x.shape[part], np.int64)


@builder("ConstantOfShape")
def _constant_of_shape(attributes: dict[str, Any], node: Operator) -> Kernel:
    def constant_of_shape(shape: np.ndarray, fill: np.ndarray | None = None) -> np.ndarray:
        if fill is None:
            return np.zeros(ints(shape), np.float32)
        return np.full(ints(shape), fill.reshape(()), fill.dtype)
    return constant_of_shape


@builder("Trilu")
def _trilu(attributes: dict[str, Any], node: Operator) -> Kernel:
    part = np.triu if attributes["upper"] else np.tril
    return lambda x, k=None: part(x, 0 if k is None else scalar(k))
