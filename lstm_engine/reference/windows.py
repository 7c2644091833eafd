"""Transposed convolutions and pools in float64, one window after the other, from the text of ONNX's standard.

x is [N, C, *spatial]. A window at output position p takes, on each axis, the places p * stride + k * dilation of the
padded input, k from 0 to the kernel's size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Geometry:
    """The windows of one operator on one size of input: padding and counts of each spatial axis."""

    def __init__(self, attributes: dict[str, Any], sizes: Sequence[int], kernel: Sequence[int]) -> None:
        rank = len(kernel)
        self.kernel = tuple(kernel)
        self.strides = attributes["strides"] or (1,) * rank
        self.dilations = attributes["dilations"] or (1,) * rank
        self.reach = [(k - 1) * d + 1 for k, d in zip(kernel, self.dilations)]
        self.begin, self.end, self.counts = [], [], []
        given = attributes["pads"] or (0,) * (2 * rank)
        for axis, (size, stride, reach) in enumerate(zip(sizes, self.strides, self.reach)):
            begin, end, count = self._axis(attributes, size, stride, reach, given[axis], given[axis + rank])
            self.begin.append(begin)
            self.end.append(end)
            self.counts.append(count)

    @staticmethod
    def _axis(attributes: dict[str, Any], size: int, stride: int, reach: int, begin: int, end: int
              ) -> tuple[int, int, int]:
        auto = attributes["auto_pad"]
        if auto.startswith("SAME"):
            count = -(-size // stride)
            total = max(0, (count - 1) * stride + reach - size)
            begin = total // 2 if auto == "SAME_UPPER" else total - total // 2
            return begin, total - begin, count
        if auto == "VALID":
            begin = end = 0
        room = size + begin + end - reach
        if room < 0:
            raise ValueError(f"an axis of {size} is smaller than the kernel's reach {reach}")
        count = room // stride + 1
        if attributes.get("ceil_mode") and room % stride and count * stride < size + begin:
            count += 1                              # a last window that begins inside the input or the padding before
        return begin, end, count

    def positions(self) -> Iterator[tuple[int, ...]]:
        return itertools.product(*map(range, self.counts))

    def places(self, position: Sequence[int]) -> list[np.ndarray]:
        """On each axis the places of a window in the input, before it where negative."""
        return [p * s + np.arange(k) * d - b for p, s, k, d, b in
                zip(position, self.strides, self.kernel, self.dilations, self.begin)]

    def window(self, x: np.ndarray, position: Sequence[int], fill: float) -> np.ndarray:
        """[N, C, *kernel], `fill` outside the input."""
        made = np.full((*x.shape[:2], *self.kernel), float(fill))
        places = self.places(position)
        inside = [np.flatnonzero((at >= 0) & (at < size)) for at, size in zip(places, x.shape[2:])]
        rows, channels = np.arange(x.shape[0]), np.arange(x.shape[1])
        source = np.ix_(rows, channels, *(at[kept] for at, kept in zip(places, inside)))
        made[np.ix_(rows, channels, *inside)] = x[source]
        return made


def transposed_convolution(attributes: dict[str, Any], x: np.ndarray, weight: np.ndarray,
                           bias: np.ndarray | None = None) -> np.ndarray:
    """weight [C, M / group, *kernel]: every input number lays the kernel, times itself, over the output."""
    groups, kernel, rank = attributes["group"], weight.shape[2:], x.ndim - 2
    strides = attributes["strides"] or (1,) * rank
    dilations = attributes["dilations"] or (1,) * rank
    extra = attributes["output_padding"] or (0,) * rank
    pads, wanted, auto = attributes["pads"] or (0,) * (2 * rank), attributes["output_shape"], attributes["auto_pad"]
    whole = [s * (size - 1) + (k - 1) * d + 1 for s, size, k, d in zip(strides, x.shape[2:], kernel, dilations)]
    sizes, begins = [], []
    for axis in range(rank):
        if wanted or auto.startswith("SAME"):
            size = wanted[axis - rank] if wanted else x.shape[2 + axis] * strides[axis]
            total = max(0, whole[axis] + extra[axis] - size)
            begins.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
        else:
            begin, end = (0, 0) if auto == "VALID" else (pads[axis], pads[axis + rank])
            size = whole[axis] + extra[axis] - begin - end
            begins.append(begin)
        sizes.append(size)
    made = np.zeros((len(x), groups, weight.shape[1], *(max(w, b + n) for w, b, n in zip(whole, begins, sizes))))
    parts, kernels = x.reshape(len(x), groups, -1, *x.shape[2:]), weight.reshape(groups, -1, *weight.shape[1:])
    for position in itertools.product(*map(range, x.shape[2:])):
        given = parts[(slice(None),) * 3 + position]
        places = tuple(slice(p * s, p * s + (k - 1) * d + 1, d) for p, s, k, d in
                       zip(position, strides, kernel, dilations))
        made[(slice(None),) * 3 + places] += np.einsum("ngc,gcm...->ngm...", given, kernels)
    shown = tuple(slice(begin, begin + size) for begin, size in zip(begins, sizes))
    out = made[(slice(None),) * 3 + shown].reshape(len(x), -1, *sizes)
    return out if bias is None else out + bias.reshape((-1,) + (1,) * rank)


def max_pool(attributes: dict[str, Any], x: np.ndarray) -> list[np.ndarray]:
    """The maxima, and where the first of each stands in the whole input; storage_order 1 counts its columns first."""
    geometry = Geometry(attributes, x.shape[2:], attributes["kernel_shape"])
    out = np.empty((*x.shape[:2], *geometry.counts), x.dtype)
    places = np.empty(out.shape, np.int64)
    inside = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:], order="F" if attributes["storage_order"] else "C")
    numbers = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * inside.ndim) * inside.size + inside
    for position in geometry.positions():
        window = geometry.window(x.astype(np.float64), position, -math.inf).reshape(*x.shape[:2], -1)
        numbered = geometry.window(numbers, position, -1).reshape(window.shape)
        most = window.max(axis=2, keepdims=True)
        first = (((window == most) | np.isnan(window)) & (numbered >= 0)).argmax(axis=2)
        place: tuple[slice | int, ...] = (slice(None), slice(None), *position)
        out[place] = most[..., 0]
        places[place] = np.take_along_axis(numbered, first[..., None], 2)[..., 0]
    return [out, places]


def average_pool(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The mean of what is inside; count_include_pad counts the padding, but not what ceil_mode adds behind it."""
    geometry = Geometry(attributes, x.shape[2:], attributes["kernel_shape"])
    out = np.empty((*x.shape[:2], *geometry.counts))
    for position in geometry.positions():
        total = geometry.window(x, position, 0).reshape(*x.shape[:2], -1).sum(axis=2)
        count = 1
        for at, size, begin, end in zip(geometry.places(position), x.shape[2:], geometry.begin, geometry.end):
            low, high = (-begin, size + end) if attributes["count_include_pad"] else (0, size)
            count *= int(((at >= low) & (at < high)).sum())
        place: tuple[slice | int, ...] = (slice(None), slice(None), *position)
        out[place] = total / count if count else math.nan
    return out
