"""Layers that add to the ends of axes, cut them, or repeat what stands on them."""

from __future__ import annotations

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE
from ..reading.config import Layer
from .builder import Tensor
from .registry import Arguments, Context, maps, one, show
from .shaping import reshape
from .spatial import axes_of_space, channels_last, sizes


def _ends(layer: Layer, key: str, count: int) -> list[tuple[int, int]]:
    """What a setting says of both ends of each axis: one number, one an axis, or a pair an axis."""
    value = layer.config.get(key, 1)
    if count == 1 and isinstance(value, (list, tuple)) and len(value) == 2 and not isinstance(value[0], (list, tuple)):
        value = [value]                                     # of one axis Keras writes the pair alone
    given = value if isinstance(value, (list, tuple)) else [value] * count
    pairs = [entry if isinstance(entry, (list, tuple)) else (entry, entry) for entry in given]
    if len(pairs) != count or not all(len(pair) == 2 and all(type(end) is int and 0 <= end < MAX_SIZE for end in pair)
                                      for pair in pairs):
        raise FormatError(f"{layer}: {key} is {value!r:.80}; expected a whole number, or two for each of {count} axes")
    return [(pair[0], pair[1]) for pair in pairs]


def _space(layer: Layer, arguments: Arguments) -> tuple[Tensor, range]:
    """The input, and its axes of space."""
    x = one(layer, arguments, axes_of_space(layer) + 2)
    return x, range(1, x.rank - 1) if channels_last(layer) else range(2, x.rank)


@maps("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, axes = _space(layer, arguments)
    ends = _ends(layer, "padding", len(axes))
    shape: list[Dim] = list(x.shape)
    for axis, pair in zip(axes, ends, strict=True):
        size = x.shape[axis]
        shape[axis] = size + sum(pair) if isinstance(size, int) else context.builder.symbol() if any(pair) else size
    pads = [pair[0] for pair in ends] + [pair[1] for pair in ends]
    return context.builder.operator("Pad", layer.where, [x, np.array(pads, np.int64), np.zeros((), x.dtype),
                                                         np.array(axes, np.int64)], shape)


@maps("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, axes = _space(layer, arguments)
    for axis, (begin, end) in zip(axes, _ends(layer, "cropping", len(axes)), strict=True):
        size = x.shape[axis]
        if isinstance(size, int) and size <= begin + end:
            raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, of which axis {axis} keeps nothing "
                              f"without its first {begin} and last {end}")
        if begin or end:
            x = context.builder.slice(x, layer.where, axis, begin, -end or None)
    return x


@maps("UpSampling1D", "UpSampling2D", "UpSampling3D")
def up_sampling(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Each step or place repeated."""
    builder, name = context.builder, layer.where
    if layer.config.get("interpolation", "nearest") != "nearest":
        raise UnsupportedError(f"{layer}: interpolation {layer.config['interpolation']!r:.80} is not supported; "
                               "supported: nearest")
    x, axes = _space(layer, arguments)
    for axis, times in zip(axes, sizes(layer, "size", len(axes), 2), strict=True):
        if times == 1:
            continue
        before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1:]
        wide = builder.operator("Unsqueeze", f"{name}/each", [x, np.array([axis + 1], np.int64)],
                                (*before, size, 1, *after))
        often = np.array([times if place == axis + 1 else 1 for place in range(x.rank + 1)], np.int64)
        wide = builder.operator("Expand", f"{name}/repeated", [wide, often], (*before, size, times, *after))
        made = [*before[1:], size * times if isinstance(size, int) else size, *after]
        target = [dim if isinstance(dim, int) else -1 for dim in made]
        if target.count(-1) > 1:
            raise UnsupportedError(f"{layer}: more than one size of its input {show(x.shape)} is not known; supported: "
                                   "one")
        x = reshape(builder, name, wide, target)
    return x
