"""Inputs brought to a scale: Normalization (by what `adapt` found) and Rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..reading.calls import flatten
from ..reading.config import Layer
from .builder import Builder, Tensor
from .normalization import axes_of
from .registry import KEEP, KEEP_FROM_3, Arguments, Context, floats, maps, show


@maps("Normalization", mask=KEEP_FROM_3)
def normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """(x - mean) / max(sqrt(variance), 1e-7) with what `adapt` found or the layer was given; invert: back again."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    given = [layer.config.get(key) for key in ("mean", "variance")]
    axes = [] if layer.config.get("axis", -1) in (None, []) else axes_of(layer, x)
    if 0 in axes:
        raise UnsupportedError(f"{layer} by sample is not supported; supported: the other axes")
    if all(value is not None for value in given):
        arrays = [_numbers(layer, key, value) for key, value in zip(("mean", "variance"), given)]
    else:
        arrays = context.weights.take(layer, (3,), counted=1)
    with np.errstate(all="ignore"):                 # numbers beyond float32 are infinite in Keras too
        mean, variance = (_along(builder, layer, array.astype(x.dtype), x, axes) for array in arrays)
        deviation = np.maximum(np.sqrt(variance), np.array(1e-7, x.dtype))
    if layer.get("invert", bool, False):
        made = builder.operator("Mul", f"{name}/scaled", [x, deviation], x.shape)
        return builder.operator("Add", name, [made, mean], x.shape)
    made = builder.operator("Sub", f"{name}/centred", [x, mean], x.shape)
    return builder.operator("Div", name, [made, deviation], x.shape)


def _along(builder: Builder, layer: Layer, array: np.ndarray, x: Tensor, axes: list[int]) -> np.ndarray:
    """A statistic of some axes of x, laid out to be taken from x: one number, or one for each place on them."""
    sizes = (1,) * len(axes)
    if array.size != 1:
        dims = [x.shape[axis] for axis in axes]
        known = [dim for dim in dims if isinstance(dim, int)]
        sizes = tuple(known) if len(known) == len(dims) and array.ndim != len(axes) else array.shape
        if len(sizes) != len(axes) or math.prod(sizes) != array.size or not all(
                builder.unify(dim, size) for dim, size in zip(dims, sizes)):
            raise FormatError(f"{layer}: mean or variance has the shape {list(array.shape)}; its input is "
                              f"{show(x.shape)}, normalised along {axes}")
    placed = dict(zip(axes, sizes))
    return array.reshape([placed.get(axis, 1) for axis in range(x.rank)])


def _numbers(layer: Layer, key: str, value: object) -> np.ndarray:
    """A setting that is a number or lists of them."""
    if isinstance(value, dict) and value.get("class_name") == "__numpy__" and isinstance(value.get("config"), dict):
        value = value["config"].get("value")
    leaves = list(flatten(value))
    if isinstance(value, dict) or not leaves or not all(type(leaf) in (int, float) for leaf in leaves):
        raise FormatError(f"{layer}: {key} is {value!r:.80}; expected numbers")
    try:
        numbers = np.array([float(leaf) for leaf in leaves])
    except OverflowError:
        raise FormatError(f"{layer}: {key} is {value!r:.80}, which no float can hold") from None
    return numbers if isinstance(value, list) else numbers.reshape(())


@maps("UnitNormalization", mask=KEEP)
def unit_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = floats(context, layer, arguments)
    axes = axes_of(layer, x)
    if 0 in axes:
        raise UnsupportedError(f"{layer} by sample is not supported; supported: the other axes")
    # The least norm that is divided by: 1e-6 until Keras 3.6 made it 1e-12.
    return of_norm_one(context.builder, layer.where, x, axes, 1e-24 if context.version.numbers >= (3, 6) else 1e-12)


def of_norm_one(builder: Builder, name: str, x: Tensor, axes: Sequence[int], least: float | np.ndarray) -> Tensor:
    """x / sqrt(max(the sum of its squares along some axes, least))."""
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    square = builder.operator("Mul", f"{name}/square", [x, x], x.shape)
    total = builder.operator("ReduceSum", f"{name}/sum", [square, np.array(sorted(axes), np.int64)], shape,
                             attributes={"keepdims": 1})
    kept = builder.operator("Max", f"{name}/least", [total, np.array(least, x.dtype)], shape)
    norm = builder.operator("Sqrt", f"{name}/norm", [kept], shape)
    return builder.operator("Div", name, [x, norm], x.shape)


@maps("Rescaling", mask=KEEP_FROM_3)
def rescaling(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x * scale + offset."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    scale, offset = (_numbers(layer, key, layer.config.get(key, default))
                     for key, default in (("scale", 1), ("offset", 0)))
    for array in (scale, offset):
        if array.ndim > 1 or array.size not in (1, x.shape[-1]):
            raise FormatError(f"{layer}: scale and offset have {scale.size} and {offset.size} numbers; its input is "
                              f"{show(x.shape)}")
    with np.errstate(all="ignore"):
        if not context.version.three:               # TensorFlow made float32 of them before what the layer computes in
            scale, offset = scale.astype(np.float32), offset.astype(np.float32)
        scale, offset = scale.astype(x.dtype), offset.astype(x.dtype)
    product = builder.operator("Mul", f"{name}/scaled", [x, scale], x.shape)
    return builder.operator("Add", name, [product, offset], x.shape)
