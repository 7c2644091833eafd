"""Convolutions: windows laid out as columns, then matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Operator, Value
from .axis_rules import AxisCall, first_axis
from .costs import PRODUCTS_AT_ONCE, Arrays, Need, size_of
from .kernels import Call, Kept, Kernel, as_int32, repeatable, scalar
from .past import Work
from .places import Mixes
from .quantization import check_scale, requantized
from .shape_rules import Dims, ShapeCall, Shapes
from .sliding import windows_along
from .spec import declare
from .windows import (
    WINDOW,
    elements_with_padding,
    geometry,
    padded,
    padded_again,
    reshaped_again,
    window_view,
    windowed,
    windows,
)


def weight_shape(call: ShapeCall, x: Dims) -> tuple[list[int], int, int]:
    """Kernel sizes and the first two sizes of a convolution's weight, checked."""
    weight = call.shape(1)
    if len(x) < 3 or len(weight) != len(x):
        raise call.error(f"input and weight need the same 3 or more axes, not {len(x)} and {len(weight)}")
    sizes = [dim for dim in weight if isinstance(dim, int)]
    if len(sizes) != len(weight):
        raise call.unknown("the weight's shape is known only when the model runs")
    given = call.attributes["kernel_shape"]
    if given and list(given) != sizes[2:]:
        raise call.error(f"kernel_shape {given} differs from the weight's {tuple(sizes[2:])}")
    return sizes[2:], sizes[0], sizes[1]


def check_bias(call: ShapeCall, out: int) -> None:
    if call.given(2) and call.shape(2) != [out] and isinstance(call.shape(2)[0] if call.rank(2) == 1 else 0, int):
        raise call.error(f"a bias of shape {call.shape(2)} for {out} channels")


def _convolved(call: ShapeCall) -> tuple[Dims, int, Dims]:
    """The shape of the input, the channels of the result, and the numbers of its windows."""
    x, group = call.shape(), call.attributes["group"]
    kernel, out, per_group = weight_shape(call, x)
    if group < 1 or out % group or (isinstance(x[1], int) and x[1] != per_group * group):
        raise call.error(f"{x[1]} channels and a weight {call.shape(1)} do not fit {group} groups")
    return x, out, windowed(call, x, kernel)


def _conv_shape(call: ShapeCall) -> Shapes:
    x, out, counts = _convolved(call)
    check_bias(call, out)
    return [([x[0], out, *counts], call.dtype())]


def _conv_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    return convolution(attributes)


def convolution(attributes: dict[str, Any]) -> Kernel:
    """The kernel of a Conv: for each group a matrix product of the weight with the windows as columns."""
    group = attributes["group"]

    def layout(sizes: tuple[int, ...]) -> tuple[Any, ...]:
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
        y: np.ndarray = result.reshape(batch, out, *counts)
        return y

    def again(result: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        if not result.flags.c_contiguous or weight.dtype != x.dtype:
            return None
        batch, (out, _, *kernel) = len(x), weight.shape
        pads, counts, positions, plain, strides, dilations = layouts[x.shape[2:] + weight.shape[2:]]
        rows = weight.size // out
        calls, wide = padded_again(x, pads)
        columns = x if plain else window_view(wide, kernel, counts, strides, dilations)
        parts = (batch, group) if group > 1 else (batch,)
        product, matrix = result.reshape(*parts, -1, positions), weight.reshape(*parts[1:], -1, rows)
        if not np.may_share_memory(matrix, weight):
            return None
        more, columns = reshaped_again(columns, (*parts, rows, positions))
        calls = [*([] if plain else calls), *more, (np.matmul, (matrix, columns, product))]
        if bias is not None:
            made = result.reshape(batch, out, positions)
            calls.append((np.add, (made, bias[:, None], made)))
        return calls
    return repeatable(conv, again)


def _integer_conv_shape(call: ShapeCall) -> Shapes:
    for position in range(4):
        call.of_type(position, "int8", "uint8")
    x, out, counts = _convolved(call)
    zeros = call.shape(3) if call.given(3) else []
    if (call.given(2) and call.shape(2) not in ([], [1])) or zeros not in ([], [1], [out]):
        raise call.error(f"zeros {call.shape(2)} and {zeros} are not one of the input, and one or {out} of the weight")
    return [([x[0], out, *counts], "int32")]


def _integer_conv_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    conv = convolution(attributes)

    def convolve(x: np.ndarray, weight: np.ndarray, x_zero: np.ndarray | None = None,
                 weight_zero: np.ndarray | None = None) -> np.ndarray:
        """In float64, which holds whole numbers up to 2^53; the padding is the zero of `x`."""
        wide = x.astype(np.float64) - (0 if x_zero is None else scalar(x_zero))
        zeros = 0 if weight_zero is None else weight_zero.astype(np.float64).reshape(-1, *(1,) * (weight.ndim - 1))
        return as_int32(conv(wide, weight.astype(np.float64) - zeros))
    return convolve


def _quantized_conv_shape(call: ShapeCall) -> Shapes:
    """x, its scale and zero; the weight, its scale and zero; those of the result; a bias of int32."""
    for position in (0, 3, 7):
        call.of_type(position, "int8", "uint8")
    call.of_type(2, call.dtype(0))
    call.of_type(5, call.dtype(3))
    call.of_type(8, "int32")
    check_scale(call, 1, 4, 6)
    factors = ShapeCall(call.node, call.attributes, [call.value(0), call.value(3), *call.values[8:]])
    x, out, counts = _convolved(factors)
    check_bias(factors, out)
    for position, most in ((1, 1), (2, 1), (4, out), (5, out), (6, 1), (7, 1)):
        if call.shape(position) not in ([], [1], [most]):
            raise call.error(f"input {position} must be one number{f', or {most}' if most > 1 else ''}, "
                             f"got shape {call.shape(position)}")
    return [([x[0], out, *counts], call.dtype(7))]


def _quantized_conv_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    conv = convolution(attributes)

    def convolve(x: np.ndarray, x_scale: np.ndarray, x_zero: np.ndarray, weight: np.ndarray, scale: np.ndarray,
                 zero: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray, bias: np.ndarray | None = None
                 ) -> np.ndarray:
        """Sums in float64, which holds whole numbers up to 2^53; the padding is the zero of `x`."""
        spatial = (1,) * (weight.ndim - 2)
        sums = conv(x.astype(np.float64) - scalar(x_zero), weight.astype(np.float64) - zero.reshape(-1, 1, *spatial),
                    None if bias is None else bias.astype(np.float64))
        factor = x_scale.reshape(()) * scale.reshape(-1, *spatial) / y_scale.reshape(())
        return requantized(as_int32(sums), factor, y_zero.reshape(()))
    return convolve


def _conv_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    """Windows stand side by side as columns of a product, over the input with its padding."""
    x, weight, size = arrays[0], arrays[1], size_of(made[0])
    kernel, counts = weight.shape[2:], [int(dim) for dim in made[0].shape[2:]]
    padded_size = elements_with_padding(attributes, x, kernel, counts)
    columns = prod(x.shape[:2]) * prod(kernel) * prod(counts)
    return Need((size + padded_size + columns) * x.itemsize,
                size * weight.shape[1] * prod(kernel) // PRODUCTS_AT_ONCE + padded_size + columns + size)


def _integer_conv_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    plain = _conv_needs(attributes, arrays, made)
    return Need(8 * (plain.bytes // arrays[0].itemsize + arrays[0].size + arrays[1].size), plain.work)


def _quantized_conv_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    plain, size = _integer_conv_needs(attributes, (arrays[0], arrays[3]), made), size_of(made[0])
    return Need(plain.bytes + 32 * size, plain.work + 4 * size)


def _conv_past(call: AxisCall, at: int) -> Work | None:
    """Of a Conv, whose weight must be the same at all steps."""
    call.only_first()
    kernel = [size for size in call.shapes[1][2:] if isinstance(size, int)]
    if len(kernel) != len(call.shapes[0]) - 2:
        raise Mixes
    return windows_along(call, at, kernel)


declare("Conv", (2, 3), make=_conv_kernel, attributes={"group": 1, "kernel_shape": (), **WINDOW}, shape=_conv_shape,
        axes=first_axis, past=_conv_past, needs=_conv_needs, takes="floats")
declare("ConvInteger", (2, 4), make=_integer_conv_kernel, attributes={"group": 1, "kernel_shape": (), **WINDOW},
        shape=_integer_conv_shape, axes=first_axis, needs=_integer_conv_needs, takes="bytes", apart="XWXW")
declare("QLinearConv", (8, 9), make=_quantized_conv_kernel, attributes={"group": 1, "kernel_shape": (), **WINDOW},
        shape=_quantized_conv_shape, axes=first_axis, needs=_quantized_conv_needs,
        takes=("bytes", "floats", "bytes", "bytes", "floats", "bytes", "floats", "bytes", "int32"),
        apart="XSXWSWSYB")
