"""Windows that slide over spatial axes: how many there are, what they cover, and their elements laid side by side.

Shape rules ask with sizes that may be symbols, kernels with those of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .kernels import Call
from .shape_rules import Dims, ShapeCall
from .spec import one_of

# The attributes that all operators of windows have.
WINDOW: dict[str, Any] = dict(auto_pad=one_of("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"), pads=(), strides=(),
                              dilations=())


def windows(attributes: dict[str, Any], spatial: int) -> tuple[list[int], list[int]]:
    """Strides and dilations of `spatial` axes, 1 where they are left out."""
    return list(attributes["strides"] or (1,) * spatial), list(attributes["dilations"] or (1,) * spatial)


def window_pads(auto_pad: str, pads: Sequence[int], size: int, reach: int, stride: int, axis: int,
                spatial: int) -> tuple[int, int]:
    """Padding before and after one spatial axis of `size`; reach: the kernel's extent, dilation included."""
    if auto_pad == "VALID":
        return 0, 0
    if auto_pad == "NOTSET":
        return (pads[axis], pads[axis + spatial]) if pads else (0, 0)
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    small, large = total // 2, total - total // 2
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def window_count(size: int, reach: int, stride: int, before: int, after: int, ceil_mode: int = 0) -> int:
    """How many windows fit; with ceil_mode a last one that starts inside the input or its leading padding."""
    room = size + before + after - reach
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def check_windows(call: ShapeCall, spatial: int, kernel: Sequence[int]) -> None:
    """The attributes of a window operator against the number of its spatial axes."""
    attributes = call.attributes
    for name, count in (("strides", spatial), ("dilations", spatial), ("pads", 2 * spatial),
                        ("output_padding", spatial), ("output_shape", spatial)):
        value = attributes.get(name, ())
        if value and len(value) != count:
            raise call.error(f"attribute {name!r} has {len(value)} entries for {spatial} spatial axes")
        if value and min(value) < (1 if name in ("strides", "dilations") else 0):
            raise call.error(f"attribute {name!r} is too small: {value}")
    if len(kernel) != spatial or min(kernel, default=1) < 1:
        raise call.error(f"a kernel of shape {tuple(kernel)} does not fit {spatial} spatial axes")


def windowed(call: ShapeCall, x: Dims, kernel: Sequence[int]) -> Dims:
    spatial = len(x) - 2
    check_windows(call, spatial, kernel)
    strides, dilations = windows(call.attributes, spatial)
    result: Dims = []
    for i, size in enumerate(x[2:]):
        if not isinstance(size, int):
            result.append(size if kernel[i] == strides[i] == 1 and not any(call.attributes["pads"]) else None)
            continue
        reach = (kernel[i] - 1) * dilations[i] + 1
        pads = window_pads(call.attributes["auto_pad"], call.attributes["pads"], size, reach, strides[i], i, spatial)
        if size + sum(pads) < reach:
            raise call.error(f"spatial axis {i} of size {size} is smaller than the kernel's reach {reach}")
        result.append(window_count(size, reach, strides[i], *pads, call.attributes.get("ceil_mode", 0)))
    return result


# ---- windows of arrays ----------------------------------------------------------------------------------------------

def geometry(attributes: dict[str, Any], sizes: Sequence[int], kernel: Sequence[int]
             ) -> tuple[list[tuple[int, int]], list[int]]:
    """Padding of each spatial axis and the number of windows on it."""
    strides, dilations = windows(attributes, len(kernel))
    pads, counts = [], []
    for i, (size, k) in enumerate(zip(sizes, kernel)):
        reach = (k - 1) * dilations[i] + 1
        pads.append(window_pads(attributes["auto_pad"], attributes["pads"], size, reach, strides[i], i, len(kernel)))
        counts.append(window_count(size, reach, strides[i], *pads[-1], attributes.get("ceil_mode", 0)))
        if counts[-1] < 1:
            raise ValueError(f"spatial axis {i} of size {size} is smaller than the kernel's reach {reach}")
    return pads, counts


def padded(x: np.ndarray, pads: Sequence[tuple[int, int]], fill: float = 0) -> np.ndarray:
    """`x` [N, C, ...] with its spatial axes padded, C-contiguous."""
    if not any(a or b for a, b in pads):
        return np.ascontiguousarray(x)
    shape, inside = _room(x.shape, pads)
    result = np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)
    result[inside] = x
    return result


def _room(shape: tuple[int, ...], pads: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """The shape of an array with its spatial axes padded, and where the array stands in it."""
    sizes = shape[2:]
    return (shape[:2] + tuple(a + size + b for (a, b), size in zip(pads, sizes)),
            (slice(None), slice(None)) + tuple(slice(a, a + size) for (a, _), size in zip(pads, sizes)))


def window_view(x: np.ndarray, kernel: Sequence[int], counts: Sequence[int], strides: Sequence[int],
                dilations: Sequence[int]) -> np.ndarray:
    """The windows of C-contiguous `x` [N, C, *spatial] as a view [N, C, *kernel, *counts]."""
    spatial = x.strides[2:]
    for size, k, n, s, d in zip(x.shape[2:], kernel, counts, strides, dilations):
        if (n - 1) * s + (k - 1) * d >= size:
            raise ValueError(f"windows reach outside an axis of {size}")
    steps = tuple(b * d for b, d in zip(spatial, dilations)) + tuple(b * s for b, s in zip(spatial, strides))
    y: np.ndarray = np.ndarray((*x.shape[:2], *kernel, *counts), x.dtype, x, 0, (*x.strides[:2], *steps))
    return y


def padded_again(x: np.ndarray, pads: Sequence[tuple[int, int]]) -> tuple[list[Call], np.ndarray]:
    """What repeats `padded`, and where its result is."""
    if not any(a or b for a, b in pads) and x.flags.c_contiguous:
        return [], x
    shape, inside = _room(x.shape, pads)
    wide = np.zeros(shape, x.dtype)
    return [(np.copyto, (wide[inside], x))], wide


def reshaped_again(x: np.ndarray, shape: tuple[int, ...]) -> tuple[list[Call], np.ndarray]:
    """What repeats a reshape, and where its result is."""
    made = x.reshape(shape)
    if np.may_share_memory(made, x):
        return [], made
    return [(np.copyto, (made.reshape(x.shape), x))], made


def elements_with_padding(attributes: dict[str, Any], x: np.ndarray, kernel: Sequence[int], counts: Sequence[int]
                          ) -> int:
    """Elements of an input with its padding, and what its last windows reach beyond."""
    strides, dilations = windows(attributes, len(kernel))
    pads = attributes["pads"] or (0,) * (2 * len(kernel))
    return prod(x.shape[:2]) * prod(
        max(length + pads[i] + pads[i + len(kernel)], (count - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1)
        for i, (length, count) in enumerate(zip(x.shape[2:], counts)))
