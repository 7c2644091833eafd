"""Dense, Embedding, activations, wrappers around a step, and layers that do nothing at inference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import Activate, Dense, Embedding
from ....graph.activations import ROW_WISE, Activation
from ..reading.config import Layer
from .activations import activation, configured, number_of
from .builder import Tensor
from .registry import KEEP, KEEP_FROM_3, OWN, Arguments, Context, floats, maps, one, show
from .training import AUGMENTATIONS
from .weights import check_shape


@maps("InputLayer")
def input_layer(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """An input in the middle of a model hands on what it gets."""
    return one(layer, arguments)


@maps("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout",
      "GaussianNoise", "ActivityRegularization", mask=KEEP)
@maps("Identity", mask=KEEP_FROM_3)
def nothing(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Layers that act in training only, or not at all."""
    return one(layer, arguments)


@maps(*AUGMENTATIONS)
def augmentation(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Of training too, but numbers of images come out as floats."""
    return floats(context, layer, arguments)


@maps("Dense", mask=KEEP)
def dense(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder = context.builder
    units = layer.size("units")
    use_bias = layer.get("use_bias", bool, True)
    kernel, *rest = context.weights.take(layer, (1 + use_bias,))
    check_shape(layer, "kernel", kernel, None, units)
    for bias in rest:
        check_shape(layer, "bias", bias, units)
    x = floats(context, layer, arguments)
    if x.rank < 2 or not builder.unify(x.shape[-1], kernel.shape[0]):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, its kernel takes {kernel.shape[0]} "
                          "inputs")
    return builder.add(Dense, layer.where, [x], [(layer.where, (*x.shape[:-1], units), x.dtype)], kernel=kernel,
                       bias=rest[0] if rest else None, activation=activation(layer, context.version))[0]


@maps("Embedding", mask=OWN)
def embedding(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder = context.builder
    table, = context.weights.take(layer, (1,))
    # Keras writes a pair of numbers for the settings that the table's shape repeats.
    check_shape(layer, "embeddings", table, layer.size("input_dim"), layer.size("output_dim"))
    ids = one(layer, arguments)
    ids = builder.ids_of(ids) if len(table) <= 2**24 else ids
    ids = ids if ids.dtype in ("int32", "int64", "uint8") else builder.cast(ids, "int32", layer.where)
    shape = (*ids.shape, table.shape[1])
    if ids.rank == 2:
        made, = builder.add(Embedding, layer.where, [ids], [(layer.where, shape, builder.float_type)], table=table)
    else:
        made = builder.operator("Gather", layer.where, [table, ids], shape, builder.float_type, {"axis": 0})
    if not layer.get("mask_zero", bool, False):
        return made
    if ids.rank != 2:
        raise UnsupportedError(f"{layer}: mask_zero over ids of the shape {show(ids.shape)} is not supported; "
                               "supported: [batch, time]")
    return replace(made, mask=builder.mask_of(ids, 0, f"{layer.where}/mask"))


def activate(context: Context, name: str, x: Tensor, function: Activation) -> Tensor:
    """Apply an activation on its own."""
    builder, x = context.builder, context.builder.as_float(x, name)
    if function.name == "linear":
        return x
    if isinstance(x.shape[-1], int):
        return builder.add(Activate, name, [x], [(name, x.shape, x.dtype)], activation=function)[0]
    # The core takes rows of a known size: of an open one each number is a row, or the operator does it.
    if function.name in ROW_WISE:
        kind = "Softmax" if function.name == "softmax" else "LogSoftmax"
        return builder.operator(kind, name, [x], x.shape, attributes={"axis": x.rank - 1})
    last, shape = np.array([x.rank], np.int64), (*x.shape, 1)
    wide = builder.operator("Unsqueeze", f"{name}/each", [x, last], shape)
    made, = builder.add(Activate, f"{name}/activated", [wide], [(f"{name}/activated", shape, x.dtype)],
                        activation=function)
    return builder.operator("Squeeze", name, [made, last], x.shape)


def activated(context: Context, layer: Layer, arguments: Arguments, function: Activation) -> Tensor:
    """The input of a layer through an activation; whole numbers stay whole where it makes no others of them."""
    x = one(layer, arguments)
    if "int" in x.dtype and function.name == "linear":
        return x
    if "int" in x.dtype and function.name == "relu":
        return context.builder.operator("Max", layer.where, [x, np.array(0, x.dtype)], x.shape)
    return activate(context, layer.where, floats(context, layer, arguments), function)


@maps("Activation", mask=KEEP)
def activation_layer(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    return activated(context, layer, arguments, activation(layer, context.version))


@maps("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", mask=KEEP)
def relu(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    function = configured(layer)
    if function is not None:
        return activated(context, layer, arguments, function)
    return _relu_of_several_settings(context, layer, floats(context, layer, arguments))


def _relu_of_several_settings(context: Context, layer: Layer, x: Tensor) -> Tensor:
    """What is above the threshold, at most max_value, and below it slope (x - threshold)."""
    builder, name = context.builder, layer.where
    slope, threshold, most = (number_of(layer, key) for key in ("negative_slope", "threshold", "max_value"))

    def number(value: float) -> np.ndarray:
        return np.array(value, x.dtype)

    with np.errstate(all="ignore"):                         # numbers beyond float32 are infinite in Keras too
        if threshold:
            above = builder.operator("Greater", f"{name}/above", [x, number(threshold)], x.shape, "bool")
            made = builder.operator("Where", f"{name}/kept", [above, x, number(0)], x.shape, x.dtype)
        else:
            made = activate(context, f"{name}/kept", x, Activation.of("relu"))
        if layer.config.get("max_value") is not None:
            # Clipped at 0 too: what is above a negative threshold may be below it.
            made = builder.operator("Max", f"{name}/least", [made, number(0)], x.shape)
            made = builder.operator("Min", f"{name}/most", [made, number(most)], x.shape)
        if slope:
            short = builder.operator("Sub", f"{name}/short", [number(threshold), x], x.shape, x.dtype)
            short = activate(context, f"{name}/below", short, Activation.of("relu"))
            short = builder.operator("Mul", f"{name}/slope", [short, number(slope)], x.shape)
            made = builder.operator("Sub", name, [made, short], x.shape)
    return made


@maps("Softmax", mask=KEEP)
def softmax(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = floats(context, layer, arguments)
    if arguments.mask is not None:
        raise UnsupportedError(f"{layer} of a masked input is not supported; supported: softmax without a mask")
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if isinstance(axis, list):
        return _softmax_over_several(context, layer, x, axis)
    if type(axis) is not int or not -x.rank <= axis < x.rank:
        raise UnsupportedError(f"{layer}: axis {axis!r:.80} is not supported; supported: one axis of "
                               f"{show(x.shape)}")
    if axis in (-1, x.rank - 1):
        return activate(context, layer.where, x, Activation.of("softmax"))
    return context.builder.operator("Softmax", layer.where, [x], x.shape, attributes={"axis": axis})


def _softmax_over_several(context: Context, layer: Layer, x: Tensor, axis: list[Any]) -> Tensor:
    """exp(x) over the sum of it along several axes, each shifted by the greatest first."""
    builder, name = context.builder, layer.where
    if not axis or not all(type(entry) is int and -x.rank <= entry < x.rank and entry % x.rank for entry in axis):
        raise UnsupportedError(f"{layer}: axis {axis!r:.80} is not supported; supported: axes of {show(x.shape)} other "
                               "than the batch")
    axes = np.array(sorted({entry % x.rank for entry in axis}), np.int64)
    shape = [1 if place in axes else size for place, size in enumerate(x.shape)]
    most = builder.operator("ReduceMax", f"{name}/most", [x, axes], shape, attributes={"keepdims": 1})
    made = builder.operator("Sub", f"{name}/shifted", [x, most], x.shape)
    made = builder.operator("Exp", f"{name}/exp", [made], x.shape)
    total = builder.operator("ReduceSum", f"{name}/total", [made, axes], shape, attributes={"keepdims": 1})
    return builder.operator("Div", name, [made, total], x.shape)


@maps("PReLU", mask=KEEP)
def prelu(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = floats(context, layer, arguments)
    alpha, = context.weights.take(layer, (1,))
    check_shape(layer, "alpha", alpha, *(None for _ in x.shape[1:]))
    if any(size not in (1, dim) for size, dim in zip(alpha.shape, x.shape[1:])):
        raise FormatError(f"{layer}: alpha has the shape {list(alpha.shape)}, its input {show(x.shape)}")
    return context.builder.operator("PRelu", layer.where, [x, alpha], x.shape)
