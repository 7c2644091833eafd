"""Convolutions: windows laid out as columns, then matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..._core import CoreModel
from ...graph.nodes import Operator
from ...graph.operator_rules_windows import transposed_size, window_count, window_pads, windows
from .registry import Call, Kept, Kernel, builder, repeatable


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
    return convolution(attributes)


def convolution(attributes: dict[str, Any]) -> Kernel:
    """The kernel of a Conv: for each group a matrix product of the weight with the windows as columns."""
    group = attributes["group"]

    def layout(sizes: tuple[int, ...]) -> tuple:
        sizes, kernel = sizes[:len(sizes) // 2], sizes[len(sizes) // 2:]
        pads, counts = geometry(attributes, sizes, kernel)
        plain = prod(kernel) == 1 and list(sizes) == counts
        return pads, counts, prod(counts), plain, *windows(attributes, len(kernel))

    layouts = Kept(layout)

    def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        if x.ndim != weight.ndim or x.ndim < 3:
            raise ValueError("input and weight have different numbers of axes")
        batch, channels, *_ = x.shape
        out, per_group, *kernel = weight.shape
        if channels != per_group * group or out % group:
            raise ValueError(f"{channels} channels do not fit the weight and {group} groups")
        pads, counts, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        rows = weight.size // out
        columns = x if plain else window_view(padded(x, pads), kernel, counts, strides, dilations)
        if group == 1:
            result = np.matmul(weight.reshape(out, rows), columns.reshape(batch, rows, positions))
        else:
            columns = columns.reshape(batch, group, rows, positions)
            result = np.matmul(weight.reshape(group, out // group, rows), columns).reshape(batch, out, positions)
        if bias is not None:
            result += bias[:, None]
        return result.reshape(batch, out, *counts)

    def again(result: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        if not result.flags.c_contiguous or weight.dtype != x.dtype:
            return None
        batch, (out, _, *kernel) = len(x), weight.shape
        pads, counts, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        rows = weight.size // out
        calls, wide = _padded_again(x, pads)
        columns = x if plain else window_view(wide, kernel, counts, strides, dilations)
        parts = (batch, group) if group > 1 else (batch,)
        product, matrix = result.reshape(*parts, -1, positions), weight.reshape(*parts[1:], -1, rows)
        if not np.may_share_memory(matrix, weight):
            return None
        more, columns = _reshaped_again(columns, (*parts, rows, positions))
        calls = [*([] if plain else calls), *more, (np.matmul, (matrix, columns, product))]
        if bias is not None:
            made = result.reshape(batch, out, positions)
            calls.append((np.add, (made, bias[:, None], made)))
        return calls
    return repeatable(conv, again)


def _padded_again(x: np.ndarray, pads: Sequence[tuple[int, int]]) -> tuple[list[Call], np.ndarray]:
    """What repeats `padded`, and where its result is."""
    if not any(a or b for a, b in pads) and x.flags.c_contiguous:
        return [], x
    shape, inside = _room(x.shape, pads)
    wide = np.zeros(shape, x.dtype)
    return [(np.copyto, (wide[inside], x))], wide


def _reshaped_again(x: np.ndarray, shape: tuple[int, ...]) -> tuple[list[Call], np.ndarray]:
    """What repeats a reshape, and where its result is."""
    made = x.reshape(shape)
    if np.may_share_memory(made, x):
        return [], made
    return [(np.copyto, (made.reshape(x.shape), x))], made


# Above this many windows the BLAS of NumPy has enough to do; below, it takes several times as long as our kernels.
MOST_ROWS = 64


def small_convolution(attributes: dict[str, Any], weight: Sequence[int], core: CoreModel) -> Kernel:
    """The kernel of a Conv of one group with a fixed weight of this shape, for few windows; others take `convolution`.

    core: makes [n, out], the bias added, of windows as rows [n, prod(kernel) * C]. Inputs are laid out channels last,
    which makes a window a few runs of memory, and so are results: the next convolution finds its input in place.
    """
    out, channels, *kernel = weight
    strides, dilations = windows(attributes, len(kernel))
    general = convolution(attributes)
    to_last, to_first = (0, *range(2, len(weight)), 1), (0, len(weight) - 1, *range(1, len(weight) - 1))

    def layout(shape: tuple[int, ...]) -> tuple | None:
        """The padded input, where the input stands in it, its windows' shape and strides in elements, their number."""
        if len(shape) != len(weight) or shape[1] != channels:
            return None
        pads, counts = geometry(attributes, shape[2:], kernel)
        if shape[0] * prod(counts) > MOST_ROWS or not shape[0]:
            return None
        wide = (shape[0], *(a + size + b for (a, b), size in zip(pads, shape[2:])), channels)
        inside = (slice(None), *(slice(a, a + size) for (a, _), size in zip(pads, shape[2:])))
        steps = [prod(wide[axis + 1:]) for axis in range(len(wide))]
        view = (shape[0], *counts, *kernel, channels)
        jumps = (steps[0], *(step * s for step, s in zip(steps[1:], strides)),
                 *(step * d for step, d in zip(steps[1:], dilations)), 1)
        return (wide if any(a or b for a, b in pads) else None, inside, view, jumps, shape[0] * prod(counts),
                (shape[0], *counts, out))

    layouts = Kept(layout)
    rows = prod(kernel) * channels

    def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        found = layouts[x.shape]
        if found is None:
            return general(x, weight, bias)
        wide, inside, view, jumps, count, made = found
        if wide is None:
            last = np.ascontiguousarray(x.transpose(to_last))
        else:
            last = np.zeros(wide, x.dtype)
            last[inside] = x.transpose(to_last)
        size = x.itemsize
        columns = np.ndarray(view, x.dtype, last, 0, [jump * size for jump in jumps])
        product = core.quick(np.ascontiguousarray(columns.reshape(count, rows)), 1)
        if product is None:                     # numbers that the core does not take
            return general(x, weight, bias)
        return product.reshape(made).transpose(to_first)

    def again(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        found = layouts[x.shape]
        if found is None:
            return general.repetition(out, x, weight, bias)         # type: ignore[attr-defined]
        wide, inside, view, jumps, count, made = found
        first = x.transpose(to_last)
        calls: list[Call] = []
        if wide is not None:
            last = np.zeros(wide, x.dtype)
            calls.append((np.copyto, (last[inside], first)))
        elif first.flags.c_contiguous:
            last = first
        else:
            last = np.empty(first.shape, x.dtype)
            calls.append((np.copyto, (last, first)))
        columns = np.ndarray(view, x.dtype, last, 0, [jump * x.itemsize for jump in jumps])
        more, columns = _reshaped_again(columns, (count, rows))
        if not columns.flags.c_contiguous:
            packed = np.empty((count, rows), x.dtype)
            more, columns = [*more, (np.copyto, (packed, columns))], packed
        product = out.transpose(to_last)
        call = core.call([columns], 1, product.reshape(count, made[-1])) if product.flags.c_contiguous else None
        return None if call is None else [*calls, *more, (call, ())]
    return repeatable(conv, again, core)


@builder("ConvTranspose")
def _conv_transpose(attributes: dict[str, Any], node: Operator) -> Kernel:
    group = attributes["group"]
    every = (slice(None), slice(None))
    if all(stride == 1 for stride in attributes["strides"] or ()):
        return _conv_transpose_by_ones(attributes, node)

    def layout(sizes: tuple[int, ...]) -> tuple:
        sizes, kernel = sizes[:len(sizes) // 2], sizes[len(sizes) // 2:]
        strides, dilations = windows(attributes, len(kernel))
        made, starts, full = _transposed(attributes, sizes, kernel, strides, dilations)
        # Each kernel element adds one strided copy of the input.
        targets = [(every + index, every + tuple(slice(i * d, i * d + (n - 1) * s + 1, s)
                                                 for i, d, n, s in zip(index, dilations, sizes, strides)))
                   for index in np.ndindex(*kernel)]
        return targets, full, every + tuple(slice(a, a + n) for a, n in zip(starts, made))

    layouts = Kept(layout)

    def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        batch, channels, *sizes = x.shape
        if x.ndim != weight.ndim or x.ndim < 3 or channels != weight.shape[0] or channels % group:
            raise ValueError(f"{x.shape} and a weight {weight.shape} do not fit {group} groups")
        targets, full, crop = layouts[x.shape[2:] + weight.shape[2:]]
        out = group * weight.shape[1]
        turned = weight.reshape(group, channels // group, -1).transpose(0, 2, 1)
        columns = np.matmul(turned, x.reshape(batch, group, channels // group, -1))
        columns = columns.reshape(batch, out, *weight.shape[2:], *sizes)
        wide = np.zeros((batch, out, *full), columns.dtype)
        for source, target in targets:
            wide[target] += columns[source]
        result = wide[crop]
        return result if bias is None else result + bias.reshape((-1,) + (1,) * len(sizes))

    def again(result: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        if weight.dtype != x.dtype or bias is None:
            return None
        batch, channels, *sizes = x.shape
        targets, full, crop = layouts[x.shape[2:] + weight.shape[2:]]
        out = group * weight.shape[1]
        turned = weight.reshape(group, channels // group, -1).transpose(0, 2, 1)
        if not np.may_share_memory(turned, weight):
            return None
        calls, rows = _reshaped_again(x, (batch, group, channels // group, prod(sizes)))
        product = np.matmul(turned, rows)
        columns = product.reshape(batch, out, *weight.shape[2:], *sizes)
        wide = np.zeros((batch, out, *full), x.dtype)
        return [*calls, (np.matmul, (turned, rows, product)), (wide.fill, (0,)),
                *((np.add, (wide[target], columns[source], wide[target])) for source, target in targets),
                (np.add, (wide[crop], bias.reshape((-1,) + (1,) * len(sizes)), result))]
    return repeatable(conv_transpose, again)


def _conv_transpose_by_ones(attributes: dict[str, Any], node: Operator) -> Kernel:
    """Strides of 1: a convolution with the kernel turned round, over the input padded by its reach."""
    group = attributes["group"]

    def layout(sizes: tuple[int, ...]) -> tuple:
        sizes, kernel = sizes[:len(sizes) // 2], sizes[len(sizes) // 2:]
        strides, dilations = windows(attributes, len(kernel))
        made, starts, _ = _transposed(attributes, sizes, kernel, strides, dilations)
        reach = [(k - 1) * d for k, d in zip(kernel, dilations)]
        before = [r - start for r, start in zip(reach, starts)]
        after = [count + r - size - a for count, r, size, a in zip(made, reach, sizes, before)]
        # Less than no padding takes elements away.
        crop = (slice(None),) * 2 + tuple(slice(max(0, -a), size - max(0, -b)) for a, b, size in
                                          zip(before, after, sizes))
        pads = [(max(0, a), max(0, b)) for a, b in zip(before, after)]
        plain = prod(kernel) == 1 and list(sizes) == list(made) and not any(a or b for a, b in pads)
        return crop, pads, made, prod(made), plain, strides, dilations

    def turn(weight: np.ndarray) -> np.ndarray:
        """[channels, out / group, ...] -> [group, out / group, rows of columns], each kernel back to front."""
        back = weight[(slice(None),) * 2 + (slice(None, None, -1),) * (weight.ndim - 2)]
        parts = back.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
        return np.ascontiguousarray(parts).reshape(group, weight.shape[1], -1)

    layouts = Kept(layout)
    constant = node.constants.get(1)
    turned = turn(constant) if constant is not None and constant.ndim >= 3 and len(constant) % group == 0 else None

    def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        batch, channels = x.shape[:2]
        if x.ndim != weight.ndim or x.ndim < 3 or channels != weight.shape[0] or channels % group:
            raise ValueError(f"{x.shape} and a weight {weight.shape} do not fit {group} groups")
        crop, pads, made, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        rows = turn(weight) if turned is None else turned
        columns = x if plain else window_view(padded(x[crop], pads), weight.shape[2:], made, strides, dilations)
        result = np.matmul(rows, columns.reshape(batch, group, rows.shape[2], positions))
        result = result.reshape(batch, group * weight.shape[1], *made)
        return result if bias is None else result + bias.reshape((-1,) + (1,) * len(made))

    def again(result: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        if turned is None or turned.dtype != x.dtype or not result.flags.c_contiguous:
            return None
        crop, pads, made, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        calls, wide = _padded_again(x[crop], pads)
        columns = x if plain else window_view(wide, weight.shape[2:], made, strides, dilations)
        more, columns = _reshaped_again(columns, (len(x), group, turned.shape[2], positions))
        product = result.reshape(len(x), group, turned.shape[1], positions)
        calls = [*([] if plain else calls), *more, (np.matmul, (turned, columns, product))]
        if bias is not None:
            calls.append((np.add, (result, bias.reshape((-1,) + (1,) * len(made)), result)))
        return calls
    return repeatable(conv_transpose, again)


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
