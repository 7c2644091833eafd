"""Pools over windows and over all positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.nodes import Operator
from ...graph.operator_rules_windows import windows
from .convolution import geometry, padded, window_view
from .registry import Kept, Kernel, builder, plain


def _over_windows(x: np.ndarray, attributes: dict[str, Any], fill: float) -> tuple[np.ndarray, list, list]:
    """Windows [N, C, *kernel, *counts] with enough padding for a last window that ceil_mode lets stick out."""
    kernel = attributes["kernel_shape"]
    strides, dilations = windows(attributes, len(kernel))
    pads, counts = geometry(attributes, x.shape[2:], kernel)
    wide = []
    for (a, b), size, n, s, k, d in zip(pads, x.shape[2:], counts, strides, kernel, dilations):
        wide.append((a, max(b, (n - 1) * s + (k - 1) * d + 1 - a - size)))
    return window_view(padded(x, wide, fill), kernel, counts, strides, dilations), pads, wide


@builder("MaxPool")
def _max_pool(attributes: dict[str, Any], node: Operator) -> Kernel:
    axes = tuple(range(2, 2 + len(attributes["kernel_shape"])))

    def max_pool(x: np.ndarray) -> np.ndarray:
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return _over_windows(x, attributes, lowest)[0].max(axis=axes)
    return max_pool


@builder("AveragePool")
def _average_pool(attributes: dict[str, Any], node: Operator) -> Kernel:
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
        return window_view(padded(real, beyond), kernel, view.shape[2 + len(kernel):], strides,
                           dilations).sum(axis=axes)

    counted = Kept(count)

    def average_pool(x: np.ndarray) -> np.ndarray:
        view = _over_windows(x, attributes, 0)[0]
        return (view.sum(axis=axes) / counted[(*x.shape[2:], x.dtype)]).astype(x.dtype, copy=False)
    return average_pool


def _spatial(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


plain({
    "GlobalAveragePool": lambda x: x.mean(axis=_spatial(x), keepdims=True),
    "GlobalMaxPool": lambda x: x.max(axis=_spatial(x), keepdims=True),
})
