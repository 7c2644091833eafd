"""Convolutions: windows laid out as columns, then matrix products."""

from __future__ import annotations

from math import prod
from typing import Any, Sequence

import numpy as np

from ...graph.nodes import Operator
from ...graph.operator_rules_windows import transposed_size, window_count, window_pads, windows
from .registry import Kernel, builder


def padded(x: np.ndarray, pads: Sequence[tuple[int, int]], fill: float = 0) -> np.ndarray:
    """`x` [N, C, ...] with its spatial axes padded, C-contiguous."""
    if not any(a or b for a, b in pads):
        return np.ascontiguousarray(x)
    shape = x.shape[:2] + tuple(a + size + b for (a, b), size in zip(pads, x.shape[2:]))
    result = np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)
    result[(slice(None), slice(None)) + tuple(slice(a, a + size) for (a, _), size in zip(pads, x.shape[2:]))] = x
    return result


def window_view(x: np.ndarray, kernel: Sequence[int], counts: Sequence[int], strides: Sequence[int],
                dilations: Sequence[int]) -> np.ndarray:
    """The windows of C-contiguous `x` [N, C, *spatial] as a view [N, C, *kernel, *counts]."""
    spatial = x.strides[2:]
    for size, k, n, s, d in zip(x.shape[2:], kernel, counts, strides, dilations):
        if (n - 1) * s + (k - 1) * d >= size:
            raise ValueError(f"windows reach outside an axis of {size}")
    steps = tuple(b * d for b, d in zip(spatial, dilations)) + tuple(b * s for b, s in zip(spatial, strides))
    return np.ndarray((*x.shape[:2], *kernel, *counts), x.dtype, x, 0, (*x.strides[:2], *steps))


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


@builder("Conv")
def _conv(attributes: dict[str, Any], node: Operator) -> Kernel:
    group = attributes["group"]
    layouts: dict[tuple[int, ...], Any] = {}

    def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        kernel = weight.shape[2:]
        spatial = len(kernel)
        if x.ndim != spatial + 2 or spatial < 1:
            raise ValueError("input and weight have different numbers of axes")
        if x.shape[1] != weight.shape[1] * group or weight.shape[0] % group:
            raise ValueError(f"{x.shape[1]} channels do not fit the weight and {group} groups")
        sizes = x.shape[2:]
        if sizes not in layouts:
            if len(layouts) > 16:
                layouts.clear()
            layouts[sizes] = geometry(attributes, sizes, kernel)
        pads, counts = layouts[sizes]
        strides, dilations = windows(attributes, spatial)
        wide = padded(x, pads)
        batch, out = x.shape[0], weight.shape[0]
        rows, positions = prod(weight.shape[1:]), prod(counts)
        if prod(kernel) == 1 and positions == prod(wide.shape[2:]):
            columns = wide.reshape(batch, group, rows, positions)
        else:
            columns = window_view(wide, kernel, counts, strides, dilations).reshape(batch, group, rows, positions)
        if group == 1:
            result = np.matmul(weight.reshape(out, rows), columns[:, 0])
        else:
            result = np.matmul(weight.reshape(group, out // group, rows), columns).reshape(batch, out, positions)
        if bias is not None:
            result += bias[:, None]
        return result.reshape(batch, out, *counts)
    return conv


@builder("ConvTranspose")
def _conv_transpose(attributes: dict[str, Any], node: Operator) -> Kernel:
    group = attributes["group"]

    def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        kernel = weight.shape[2:]
        spatial = len(kernel)
        if x.ndim != spatial + 2 or x.shape[1] != weight.shape[0] or weight.shape[0] % group:
            raise ValueError(f"{x.shape[1]} channels do not fit the weight and {group} groups")
        strides, dilations = windows(attributes, spatial)
        sizes, starts, full = _transposed(attributes, x.shape[2:], kernel, strides, dilations)
        batch, per_group = x.shape[0], weight.shape[1]
        flat = np.ascontiguousarray(x).reshape(batch, group, x.shape[1] // group, -1)
        turned = weight.reshape(group, x.shape[1] // group, per_group * prod(kernel)).transpose(0, 2, 1)
        columns = np.matmul(turned, flat).reshape(batch, group * per_group, *kernel, *x.shape[2:])
        wide = np.zeros((batch, group * per_group, *full), x.dtype)
        every = (slice(None), slice(None))
        for index in np.ndindex(*kernel):       # each kernel element adds one strided copy
            target = tuple(slice(i * d, i * d + (n - 1) * s + 1, s)
                           for i, d, n, s in zip(index, dilations, x.shape[2:], strides))
            wide[every + target] += columns[every + index]
        result = wide[every + tuple(slice(a, a + n) for a, n in zip(starts, sizes))]
        return result if bias is None else result + bias.reshape((-1,) + (1,) * spatial)
    return conv_transpose


def _transposed(attributes: dict[str, Any], sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
                dilations: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Output sizes, where the output starts in the full result, and the size of the full result, by axis."""
    spatial = len(kernel)
    extra = attributes["output_padding"] or (0,) * spatial
    wanted, pads, auto = attributes["output_shape"], attributes["pads"], attributes["auto_pad"]
    outputs, starts, full = [], [], []
    for i, (size, k) in enumerate(zip(sizes, kernel)):
        reach = (k - 1) * dilations[i] + 1
        out = wanted[i] if wanted else transposed_size(attributes, size, reach, strides[i], extra[i], i, spatial)
        if wanted or auto.startswith("SAME"):
            # The padding follows from the output's size; SAME_UPPER leaves the odd one at the end.
            total = max(0, strides[i] * (size - 1) + extra[i] + reach - out)
            start = total // 2 if auto == "SAME_UPPER" else total - total // 2
        else:
            start = pads[i] if pads and auto == "NOTSET" else 0
        if out < 1:
            raise ValueError(f"the padding leaves an output of size {out}")
        outputs.append(out)
        starts.append(start)
        full.append(max(strides[i] * (size - 1) + reach, start + out))
    return outputs, starts, full
