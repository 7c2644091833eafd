"""Pools over windows and over all positions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Operator, Value
from .axis_rules import AxisCall, first_axis
from .costs import Arrays, Need, size_of
from .kernels import Call, Kept, Kernel, repeatable
from .older import optional_outputs
from .past import Work
from .places import Mixes, Place, need
from .reductions import mean, mean_again
from .shape_rules import ShapeCall, Shapes
from .sliding import windows_along
from .spec import REQUIRED, Attribute, declare, one_of
from .windows import WINDOW, elements_with_padding, geometry, padded, window_view, windowed, windows


def _pool_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    if len(x) < 3:
        raise call.error(f"the input needs 3 or more axes, not {len(x)}")
    made = x[:2] + windowed(call, x, call.attributes["kernel_shape"])
    return [(made, call.dtype()), (made, "int64")]


def _over_windows(x: np.ndarray, attributes: dict[str, Any], fill: float
                  ) -> tuple[np.ndarray, list[tuple[int, int]], list[tuple[int, int]]]:
    """Windows [N, C, *kernel, *counts] with enough padding for a last window that ceil_mode lets stick out."""
    kernel = attributes["kernel_shape"]
    strides, dilations = windows(attributes, len(kernel))
    pads, counts = geometry(attributes, x.shape[2:], kernel)
    wide = []
    for (a, b), size, n, s, k, d in zip(pads, x.shape[2:], counts, strides, kernel, dilations):
        wide.append((a, max(b, (n - 1) * s + (k - 1) * d + 1 - a - size)))
    return window_view(padded(x, wide, fill), kernel, counts, strides, dilations), pads, wide


def _max_pool_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axes = tuple(range(2, 2 + len(attributes["kernel_shape"])))

    def max_pool(x: np.ndarray) -> list[np.ndarray]:
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        view = _over_windows(x, attributes, lowest)[0]
        y = view.max(axis=axes, keepdims=True)
        return [y.squeeze(axes), *([_places(x, view, y)] if node.outputs[1:] else [])]

    def _places(x: np.ndarray, view: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Where in the whole of `x` each maximum stands, the first of several; padding is never one."""
        count: np.ndarray = np.arange(prod(x.shape[2:]))
        inside = count.reshape(x.shape[:1:-1]).T if attributes["storage_order"] else count.reshape(x.shape[2:])
        numbered = np.arange(prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * len(axes)) * inside.size + inside
        places = _over_windows(numbered, attributes, -1)[0]
        first = np.where(((view == most) | (view != view)) & (places >= 0), places, np.iinfo(np.int64).max)
        flat = first.reshape(*x.shape[:2], -1, *view.shape[2 + len(axes):])
        found = (flat < np.iinfo(np.int64).max).argmax(axis=2, keepdims=True)
        y: np.ndarray = np.take_along_axis(flat, found, 2).squeeze(2)
        return y
    return max_pool


def _average_pool_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    kernel = attributes["kernel_shape"]
    axes = tuple(range(2, 2 + len(kernel)))

    def count(key: tuple[Any, ...]) -> np.ndarray:
        """How many elements each window averages: the input's, and with count_include_pad the padding's, but never what
        ceil_mode sticks out beyond it."""
        *sizes, dtype = key
        real = np.ones((1, 1, *sizes), dtype)
        view, pads, wide = _over_windows(real, attributes, 0)
        beyond = wide
        if attributes["count_include_pad"]:
            real = padded(real, pads, 1)
            beyond = [(0, w - p) for (_, p), (_, w) in zip(pads, wide)]
        strides, dilations = windows(attributes, len(kernel))
        y: np.ndarray = window_view(padded(real, beyond), kernel, view.shape[2 + len(kernel):], strides,
                                    dilations).sum(axis=axes)
        return y

    counted = Kept(count)

    def average_pool(x: np.ndarray) -> np.ndarray:
        view = _over_windows(x, attributes, 0)[0]
        share = counted[x.shape[2:] + (x.dtype,)]
        y: np.ndarray = (view.sum(axis=axes) / share).astype(x.dtype, copy=False)
        return y
    return average_pool


def _pool_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    x, size, kernel = arrays[0], size_of(made[0]), attributes["kernel_shape"]
    padded_size = elements_with_padding(attributes, x, kernel, [int(dim) for dim in made[0].shape[2:]])
    places = 4 * (size * prod(kernel) + padded_size) if len(made) > 1 else 0           # looked at in every window
    return Need((2 * size + padded_size) * x.itemsize + 8 * places, size * prod(kernel) + padded_size + places)


def _max_pool_axes(call: AxisCall) -> Place:
    """The batch stays apart in the maxima; the second output counts the elements of all rows."""
    need(not any(call.node.outputs[1:]))
    return first_axis(call)


def _max_pool_past(call: AxisCall, at: int) -> Work | None:
    """Of a MaxPool: padding is less than any number. Where each maximum stands is counted over the whole sequence."""
    call.only_first()
    if any(call.node.outputs[1:]):
        raise Mixes
    return windows_along(call, at, call.attributes["kernel_shape"], -np.inf)


def _average_pool_past(call: AxisCall, at: int) -> Work | None:
    """Of an AveragePool: padding must count, else the first windows have fewer steps than later ones."""
    call.only_first()
    work = windows_along(call, at, call.attributes["kernel_shape"])
    if work is not None and work.before and not call.attributes["count_include_pad"]:
        raise Mixes("averages fewer steps in its first windows, where it pads without counting the padding; pool "
                    "without padding, or with count_include_pad")
    return work


_KERNEL: dict[str, Any] = {"kernel_shape": Attribute(tuple, REQUIRED), "ceil_mode": 0, **WINDOW}
declare("MaxPool", 1, (1, 2), make=_max_pool_kernel, older=optional_outputs,
        attributes={**_KERNEL, "storage_order": one_of(0, 1)},
        shape=_pool_shape, axes=_max_pool_axes, past=_max_pool_past, exact=True, needs=_pool_needs,
        takes="floats|bytes")
declare("AveragePool", 1, make=_average_pool_kernel, attributes={**_KERNEL, "count_include_pad": 0}, shape=_pool_shape,
        axes=first_axis, past=_average_pool_past, needs=_pool_needs, takes="floats")


def _global_pool_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    if len(x) < 3:
        raise call.error(f"the input needs 3 or more axes, not {len(x)}")
    return [(x[:2] + [1] * (len(x) - 2), call.dtype())]


def _spatial(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _mean_of_all_again(out: np.ndarray, x: np.ndarray) -> list[Call] | None:
    return mean_again(out, x, _spatial(x), True) if x.dtype.kind == "f" else None


declare("GlobalAveragePool", 1, kernel=repeatable(lambda x: mean(x, _spatial(x), True), _mean_of_all_again),
        shape=_global_pool_shape, axes=first_axis, takes="floats")
declare("GlobalMaxPool", 1, kernel=lambda x: x.max(axis=_spatial(x), keepdims=True), shape=_global_pool_shape,
        axes=first_axis, exact=True, takes="floats")
