"""Convolutions: plain, by channel, separable and transposed, over one, two or three axes.

ONNX's Conv is what Keras computes (a correlation, its padding "SAME_UPPER"), with the channels behind the batch and
kernels [out, in, *window] in place of [*window, in, out].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.activations import ROW_WISE
from ..reading.config import Layer
from .activations import activation
from .builder import Tensor
from .core import activate
from .registry import Arguments, Context, maps, show
from .spatial import axes_of_space, channels_first, channels_last, in_its_format, padding, sizes, windowed
from .weights import check_shape


@maps("Conv1D", "Conv2D", "Conv3D")
def conv(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    count = axes_of_space(layer)
    filters, groups = layer.size("filters"), layer.get("groups", int, 1)
    window = sizes(layer, "kernel_size", count)
    x = channels_first(context, layer, arguments)
    (kernel,), bias = _arrays(context, layer, 1)
    check_shape(layer, "kernel", kernel, *window, None, filters)
    if groups < 1 or filters % groups:
        raise FormatError(f"{layer}: {filters} filters do not divide into groups of {groups!r:.80}")
    inputs = kernel.shape[-2] * groups
    weights = _moved(context, layer, "kernel", kernel, (count + 1, count, *range(count)))
    y = _convolved(context, layer, f"{layer.where}/conv", x, weights, bias, inputs, groups, window)
    return _finished(context, layer, y)


@maps("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise_conv(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Each channel by itself, with `depth_multiplier` kernels."""
    count = axes_of_space(layer)
    _refuse_groups(layer)
    x = channels_first(context, layer, arguments)
    (kernel,), bias = _arrays(context, layer, 1)
    window = sizes(layer, "kernel_size", count)
    check_shape(layer, "kernel", kernel, *window, None, layer.size("depth_multiplier"))
    weights = _by_channel(context, layer, "kernel", kernel)
    y = _convolved(context, layer, f"{layer.where}/conv", x, weights, bias, kernel.shape[-2], kernel.shape[-2], window)
    return _finished(context, layer, y)


@maps("SeparableConv1D", "SeparableConv2D")
def separable_conv(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """A convolution of each channel by itself, then one of window 1 that mixes them."""
    count, where = axes_of_space(layer), layer.where
    _refuse_groups(layer)
    x = channels_first(context, layer, arguments)
    (depthwise, pointwise), bias = _arrays(context, layer, 2)
    window = sizes(layer, "kernel_size", count)
    check_shape(layer, "depthwise_kernel", depthwise, *window, None, layer.size("depth_multiplier"))
    channels, made = depthwise.shape[-2], depthwise.shape[-2] * depthwise.shape[-1]
    check_shape(layer, "pointwise_kernel", pointwise, *[1] * count, made, layer.size("filters"))
    x = _convolved(context, layer, f"{where}/depthwise", x, _by_channel(context, layer, "depthwise", depthwise), None,
                   channels, channels, window)
    weights = _moved(context, layer, "pointwise", pointwise, (count + 1, count, *range(count)))
    inputs: list[Tensor | np.ndarray] = [x, weights] if bias is None else [x, weights, bias]
    y = context.builder.operator("Conv", f"{where}/conv", inputs, (x.shape[0], weights.shape[0], *x.shape[2:]))
    return _finished(context, layer, y)


@maps("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def conv_transpose(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The gradient of a convolution, as TensorFlow pads it: the smaller half of what is cut off stands in front, and
    what a stride larger than the window leaves open is filled at the end."""
    builder, count = context.builder, axes_of_space(layer)
    _refuse_groups(layer)
    filters, window = layer.size("filters"), sizes(layer, "kernel_size", count)
    strides, dilations = sizes(layer, "strides", count), sizes(layer, "dilation_rate", count)
    same = padding(layer, "valid", "same") == "same"
    given = layer.config.get("output_padding")
    more = None if given is None else sizes(layer, "output_padding", count, least=0)
    x = channels_first(context, layer, arguments)
    (kernel,), bias = _arrays(context, layer, 1)
    check_shape(layer, "kernel", kernel, *window, filters, None)
    _check_channels(context, layer, x, kernel.shape[-1])
    begin, end, filled, space = [], [], [], []
    for axis in range(count):
        reach = dilations[axis] * (window[axis] - 1) + 1
        # What the output's length is short of (or beyond) all that the windows reach.
        short = max(reach - strides[axis], 0) if same else 0
        beyond = max(strides[axis] - reach, 0)
        if more is not None:
            cut = 2 * (reach // 2) if same else 0
            short, beyond = max(cut - more[axis], 0), max(more[axis] - cut, 0)
        if beyond >= max(strides[axis], dilations[axis]):
            raise UnsupportedError(f"{layer}: output_padding {given!r:.80} is not supported; supported: less than the "
                                   "strides")
        begin.append(short // 2)
        end.append(short - short // 2)
        filled.append(beyond)
        size = x.shape[2 + axis]
        space.append((size - 1) * strides[axis] + reach - short + beyond if isinstance(size, int)
                     else builder.symbol())
    weights = _moved(context, layer, "kernel", kernel, (count + 1, count, *range(count)))
    y = builder.operator("ConvTranspose", f"{layer.where}/conv", [x, weights] if bias is None else [x, weights, bias],
                         (x.shape[0], filters, *space),
                         attributes={"strides": strides, "dilations": dilations, "pads": (*begin, *end),
                                     "output_padding": tuple(filled), "kernel_shape": window})
    return _finished(context, layer, y)


def _refuse_groups(layer: Layer) -> None:
    """Keras 2 writes `groups` for every convolution; those that are not plain have none."""
    groups = layer.get("groups", int, 1)
    if groups != 1:
        raise UnsupportedError(f"{layer}: groups {groups!r:.80} is not supported; supported: 1, or a Conv1D, Conv2D or "
                               "Conv3D of several groups")


def _arrays(context: Context, layer: Layer, kernels: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The kernels of a layer, and its bias or None."""
    use_bias = layer.get("use_bias", bool, True)
    arrays = context.weights.take(layer, (kernels + use_bias,))
    return arrays[:kernels], arrays[kernels] if use_bias else None


def _moved(context: Context, layer: Layer, what: str, kernel: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """A kernel with its axes in ONNX's order: once for a layer that is used many times."""
    moved: np.ndarray = context.builder.shared((layer.path, what),
                                               lambda: np.ascontiguousarray(kernel.transpose(axes)))
    return moved


def _by_channel(context: Context, layer: Layer, what: str, kernel: np.ndarray) -> np.ndarray:
    """[*window, channels, multiplier] as ONNX's [channels * multiplier, 1, *window]."""
    def made() -> np.ndarray:
        moved = np.moveaxis(kernel, (-2, -1), (0, 1))
        return np.ascontiguousarray(moved.reshape(-1, 1, *moved.shape[2:]))
    weights: np.ndarray = context.builder.shared((layer.path, what), made)
    return weights


def _check_channels(context: Context, layer: Layer, x: Tensor, channels: int) -> None:
    if not context.builder.unify(x.shape[1], channels):
        raise FormatError(f"{layer}: its input, channels first, has the shape {show(x.shape)}; its kernel takes "
                          f"{channels} channels")


def _convolved(context: Context, layer: Layer, name: str, x: Tensor, weights: np.ndarray, bias: np.ndarray | None,
               inputs: int, groups: int, window: Sequence[int]) -> Tensor:
    """x through one Conv with the layer's strides, dilation and padding."""
    builder, count = context.builder, len(window)
    _check_channels(context, layer, x, inputs)
    if bias is not None:
        check_shape(layer, "bias", bias, weights.shape[0])
    strides, dilations = sizes(layer, "strides", count), sizes(layer, "dilation_rate", count)
    how = padding(layer, "valid", "same", *(["causal"] if count == 1 else []))
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, window, strict=True)]
    added = None if how == "same" else [reach[0] if how == "causal" else 0] * count
    attributes: dict[str, object] = {"strides": strides, "dilations": dilations, "group": groups,
                                     "kernel_shape": tuple(window)}
    if how == "same":
        attributes["auto_pad"] = "SAME_UPPER"
    elif how == "causal":
        attributes["pads"] = (reach[0], 0)
    space = windowed(builder, x.shape[2:], window, strides, dilations, added)
    return builder.operator("Conv", name, [x, weights] if bias is None else [x, weights, bias],
                            (x.shape[0], weights.shape[0], *space), attributes=attributes)


def _finished(context: Context, layer: Layer, y: Tensor) -> Tensor:
    """What a convolution made, through the layer's activation, in the layer's format."""
    function = activation(layer, context.version)
    if function.name in ROW_WISE:                           # over the channels, which have to be last for it
        if not channels_last(layer):
            raise UnsupportedError(f"{layer}: activation {function.name} with data_format channels_first is not "
                                   "supported; supported: channels_last, or another activation")
        return activate(context, f"{layer.where}/{function.name}", in_its_format(context.builder, layer, y), function)
    return in_its_format(context.builder, layer, activate(context, f"{layer.where}/{function.name}", y, function))
