"""Inputs brought to a scale: Normalization (by what `adapt` found) and Rescaling."""

from __future__ import annotations

import math

import numpy as np

from ....errors import FormatError
from ..reading.config import Layer, flatten
from .builder import Tensor
from .normalization import axes_of
from .registry import KEEP, Arguments, Context, maps, one, show
from .weights import check_shape


@maps("Normalization")
def normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """(x - mean) / max(sqrt(variance), 1e-7) with what `adapt` found or the layer was given; invert: back again."""
    builder, name = context.builder, layer.where
    x = builder.as_float(one(layer, arguments), name)
    given = [layer.config.get(key) for key in ("mean", "variance")]
    axes = [] if layer.config.get("axis", -1) in (None, []) else axes_of(layer, x)
    shape = [x.shape[axis] if axis in axes else 1 for axis in range(x.rank)]
    if all(value is not None for value in given):
        arrays = [_numbers(layer, key, value) for key, value in zip(("mean", "variance"), given)]
        if any(array.size not in (1, math.prod(size for size in shape if isinstance(size, int))) for array in arrays):
            raise FormatError(f"{layer}: mean and variance have {arrays[0].size} and {arrays[1].size} numbers; its "
                              f"input is {show(x.shape)}")
    else:
        arrays = context.weights.take(layer, (3,), counted=1)
        for array in arrays:
            check_shape(layer, "mean or variance", array, *(size if isinstance(size, int) else None
                                                            for axis, size in enumerate(shape) if axis in axes))
    sizes = iter(arrays[0].shape[-len(axes):] if axes else ())
    known = [size if isinstance(size, int) else next(sizes) for size in shape]
    mean, variance = (array.astype(x.dtype).reshape([1] * x.rank if array.size == 1 else known) for array in arrays)
    with np.errstate(all="ignore"):
        deviation = np.maximum(np.sqrt(variance), np.array(1e-7, x.dtype))
    if layer.get("invert", bool, False):
        made = builder.operator("Mul", f"{name}/scaled", [x, deviation], x.shape)
        return builder.operator("Add", name, [made, mean], x.shape)
    made = builder.operator("Sub", f"{name}/centred", [x, mean], x.shape)
    return builder.operator("Div", name, [made, deviation], x.shape)


def _numbers(layer: Layer, key: str, value: object) -> np.ndarray:
    """A setting that is a number or lists of them."""
    leaves = list(flatten(value))
    if not all(type(leaf) in (int, float) for leaf in leaves):
        raise FormatError(f"{layer}: {key} is {value!r:.80}; expected numbers")
    try:
        numbers = np.array([float(leaf) for leaf in leaves])
    except OverflowError:
        raise FormatError(f"{layer}: {key} is {value!r:.80}, which no float can hold") from None
    return numbers if isinstance(value, list) else numbers.reshape(())


@maps("Rescaling", mask=KEEP)
def rescaling(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x * scale + offset."""
    builder, name = context.builder, layer.where
    x = builder.as_float(one(layer, arguments), name)
    scale, offset = (_numbers(layer, key, layer.config.get(key, default))
                     for key, default in (("scale", 1), ("offset", 0)))
    for array in (scale, offset):
        if array.ndim > 1 or array.size not in (1, x.shape[-1]):
            raise FormatError(f"{layer}: scale and offset have {scale.size} and {offset.size} numbers; its input is "
                              f"{show(x.shape)}")
    product = builder.operator("Mul", f"{name}/scaled", [x, scale.astype(x.dtype)], x.shape)
    return builder.operator("Add", name, [product, offset.astype(x.dtype)], x.shape)
