"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Operator, Value
from .axis_rules import first_axis
from .convolution import check_bias, weight_shape
from .costs import PRODUCTS_AT_ONCE, Arrays, Need, size_of
from .kernels import Call, Kept, Kernel, repeatable
from .shape_rules import Dims, ShapeCall, Shapes
from .spec import declare
from .windows import WINDOW, check_windows, padded, padded_again, reshaped_again, window_view, windows


def _conv_transpose_shape(call: ShapeCall) -> Shapes:
    x, group = call.shape(), call.attributes["group"]
    kernel, channels, per_group = weight_shape(call, x)
    if per_group < 1:
        raise call.error(f"a weight {call.shape(1)} makes no channels")
    if group < 1 or channels % group or (isinstance(x[1], int) and x[1] != channels):
        raise call.error(f"{x[1]} channels and a weight {call.shape(1)} do not fit {group} groups")
    check_bias(call, per_group * group)
    spatial = len(kernel)
    check_windows(call, spatial, kernel)
    strides, dilations = windows(call.attributes, spatial)
    extra = call.attributes["output_padding"] or (0,) * spatial
    result: Dims = []
    for i, size in enumerate(x[2:]):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if call.attributes["output_shape"]:
            result.append(call.attributes["output_shape"][i])
        elif isinstance(size, int):
            result.append(transposed_size(call.attributes, size, reach, strides[i], extra[i], i, spatial))
        else:
            result.append(None)
    if any(isinstance(size, int) and size < 1 for size in result):
        raise call.error(f"the padding leaves an output of size {result}")
    return [([x[0], per_group * group] + result, call.dtype())]


def transposed_size(attributes: dict[str, Any], size: int, reach: int, stride: int, extra: int, axis: int,
                    spatial: int) -> int:
    """The size of one spatial axis that a transposed convolution makes, without `output_shape`."""
    if attributes["auto_pad"].startswith("SAME"):
        return size * stride
    pads = attributes["pads"]
    total = pads[axis] + pads[axis + spatial] if pads and attributes["auto_pad"] == "NOTSET" else 0
    return stride * (size - 1) + extra + reach - total


def _conv_transpose_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    group = attributes["group"]
    every = (slice(None), slice(None))
    if all(stride == 1 for stride in attributes["strides"] or ()):
        return _conv_transpose_by_ones(attributes, node)

    def layout(sizes: tuple[int, ...]) -> tuple[Any, ...]:
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
        y: np.ndarray = result if bias is None else result + bias.reshape((-1,) + (1,) * len(sizes))
        return y

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
        calls, rows = reshaped_again(x, (batch, group, channels // group, prod(sizes)))
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

    def layout(sizes: tuple[int, ...]) -> tuple[Any, ...]:
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
        y: np.ndarray = result if bias is None else result + bias.reshape((-1,) + (1,) * len(made))
        return y

    def again(result: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        if turned is None or turned.dtype != x.dtype or not result.flags.c_contiguous:
            return None
        crop, pads, made, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        calls, wide = padded_again(x[crop], pads)
        columns = x if plain else window_view(wide, weight.shape[2:], made, strides, dilations)
        more, columns = reshaped_again(columns, (len(x), group, turned.shape[2], positions))
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


def _conv_transpose_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    """Every element of the input lays its kernel over the output: columns first, then their sum."""
    x, weight, size = arrays[0], arrays[1], size_of(made[0])
    kernel, counts = weight.shape[2:], [int(dim) for dim in made[0].shape[2:]]
    columns = len(x) * int(made[0].shape[1]) * prod(kernel) * prod(x.shape[2:])
    full = prod(max(count, length * s + k * d) for count, length, k, s, d in zip(
        counts, x.shape[2:], kernel, *windows(attributes, len(kernel))))
    return Need((size + columns + len(x) * int(made[0].shape[1]) * full) * x.itemsize,
                columns * (len(weight) // attributes["group"]) // PRODUCTS_AT_ONCE + 2 * columns + size)


declare("ConvTranspose", (2, 3), make=_conv_transpose_kernel, shape=_conv_transpose_shape, axes=first_axis,
        attributes={"group": 1, "kernel_shape": (), "output_padding": (), "output_shape": (), **WINDOW},
        needs=_conv_transpose_needs, takes="floats")
