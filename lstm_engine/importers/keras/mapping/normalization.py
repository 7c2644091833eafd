"""BatchNormalization, LayerNormalization and GroupNormalization at inference."""

from __future__ import annotations

import math

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import KEEP, Arguments, Context, floats, maps, one, show
from .weights import check_shape

MAX_ONES = 1 << 20


def axes_of(layer: Layer, x: Tensor) -> list[int]:
    axis = layer.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if not axes or not all(type(entry) is int and -x.rank <= entry < x.rank for entry in axes):
        raise FormatError(f"{layer}: axis is {axis!r:.80}, which its input {show(x.shape)} does not have")
    return sorted(entry % x.rank for entry in axes)


@maps("BatchNormalization", mask=KEEP)
def batch_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x * s + t with s = gamma / sqrt(variance + epsilon) and t = beta - mean * s, made here in float64."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    axes = axes_of(layer, x)
    if len(axes) != 1:
        raise UnsupportedError(f"{layer}: axis {layer.config['axis']} is not supported; supported: one axis")
    mode = _keras1_mode(context, layer, axes[0] == x.rank - 1)
    scaled, centred = (layer.get(key, bool, True) for key in ("scale", "center"))
    arrays = context.weights.take(layer, (2 + scaled + centred,))
    size = arrays[0].size
    called = [*(["gamma"] if scaled else []), *(["beta"] if centred else []), "mean", "variance"]
    for what, array in zip(called, arrays):
        check_shape(layer, what, array, size)
    if not builder.unify(x.shape[axes[0]], size):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, its arrays have {size} numbers")
    if mode == 1:
        return _by_sample(builder, layer, x, *arrays[:2])
    *rest, mean, variance = (array.astype(np.float64) for array in arrays)
    shape = [size if axis == axes[0] else 1 for axis in range(axes[0], x.rank)]

    def folded() -> list[np.ndarray]:
        with np.errstate(all="ignore"):              # a damaged variance gives NaN, as in Keras
            scale = 1 / np.sqrt(variance + layer.number("epsilon", 1e-3))
            scale = scale * rest[0] if scaled else scale
            shift = -mean * scale + (rest[-1] if centred else 0)
            return [array.reshape(shape).astype(x.dtype) for array in (scale, shift)]

    scale, shift = builder.shared((layer.path, *shape), folded)
    product = builder.operator("Mul", f"{name}/scaled", [x, scale], x.shape)
    return builder.operator("Add", name, [product, shift], x.shape)


def _keras1_mode(context: Context, layer: Layer, last: bool) -> int:
    """0, or 1: Keras 1 could normalise each sample by itself. Raises UnsupportedError for what it computed otherwise.

    last: whether the axis is the last.
    """
    if context.version.numbers >= (2,):
        return 0
    mode: int = layer.get("mode", int, 0)
    if mode == 0 and context.version.text == "1":
        raise UnsupportedError(f"{layer} of a file without keras_version is not supported: until Keras 1.0.5 its "
                               "running_std was a standard deviation, in 1.0.6 a variance; load and save the model "
                               "with Keras 1.0.7 or later")
    if mode not in (0, 1) or mode == 1 and not last:
        raise UnsupportedError(f"{layer}: mode {mode!r:.80} with axis {layer.config.get('axis', -1)!r:.80} is not "
                               "supported (2 uses the statistics of the batch); supported: 0, and 1 over the last axis")
    return mode


def _by_sample(builder: Builder, layer: Layer, x: Tensor, gamma: np.ndarray, beta: np.ndarray) -> Tensor:
    """Keras 1's mode 1: gamma (x - m) / (sqrt(v + epsilon) + epsilon) + beta, m and v over the last axis."""
    name, epsilon = layer.where, np.array(layer.number("epsilon", 1e-3), x.dtype)
    one_each, last = (*x.shape[:-1], 1), np.array([x.rank - 1], np.int64)
    mean = builder.operator("ReduceMean", f"{name}/mean", [x, last], one_each, attributes={"keepdims": 1})
    centred = builder.operator("Sub", f"{name}/centred", [x, mean], x.shape)
    square = builder.operator("Mul", f"{name}/square", [centred, centred], x.shape)
    made = builder.operator("ReduceMean", f"{name}/variance", [square, last], one_each, attributes={"keepdims": 1})
    for step, op_type, others in (("raised", "Add", [epsilon]), ("root", "Sqrt", []), ("deviation", "Add", [epsilon])):
        made = builder.operator(op_type, f"{name}/{step}", [made, *others], one_each)
    made = builder.operator("Div", f"{name}/normal", [centred, made], x.shape)
    made = builder.operator("Mul", f"{name}/scaled", [made, gamma], x.shape)
    return builder.operator("Add", name, [made, beta], x.shape)


@maps("LayerNormalization", mask=KEEP)
def layer_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name = context.builder, layer.where
    if not one(layer, arguments).dtype.startswith("float"):
        raise UnsupportedError(f"{layer} of whole numbers is not supported: later versions of Keras cut what it gives "
                               "to whole numbers; supported: floating-point inputs, or a cast first")
    x = floats(context, layer, arguments)
    axes = axes_of(layer, x)
    if axes != list(range(axes[0], x.rank)) or layer.config.get("rms_scaling"):
        raise UnsupportedError(f"{layer}: axis {layer.config.get('axis')}, rms_scaling "
                               f"{bool(layer.config.get('rms_scaling'))} is not supported; supported: the last axes, "
                               "without rms_scaling")
    scaled, centred = (layer.get(key, bool, True) for key in ("scale", "center"))
    sizes = [x.shape[axis] for axis in axes]
    arrays = context.weights.take(layer, (scaled + centred,)) if scaled or centred else []
    for what, array in zip((["gamma"] if scaled else []) + ["beta"], arrays):
        check_shape(layer, what, array, *(size if isinstance(size, int) else None for size in sizes))
    if not scaled:
        known = tuple(size for size in sizes if isinstance(size, int))
        shape = arrays[0].shape if arrays else known
        if len(shape) < len(sizes) or math.prod(shape) > MAX_ONES:
            raise UnsupportedError(f"{layer} without gamma and beta over an input of the shape {show(x.shape)} is not "
                                   f"supported; supported: known sizes of at most {MAX_ONES} numbers together")
        ones = builder.shared(("ones", shape), lambda: np.ones(shape, x.dtype))
        arrays = [ones, *arrays]
    return builder.operator("LayerNormalization", name, [x, *arrays], x.shape, attributes={
        "axis": axes[0] - x.rank, "epsilon": layer.number("epsilon", 1e-3)})


@maps("RMSNormalization")
def rms_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * scale, the mean over the axes of the scale."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    axes = axes_of(layer, x)
    if 0 in axes:
        raise UnsupportedError(f"{layer} by sample is not supported; supported: the other axes")
    scale, = context.weights.take(layer, (1,))
    check_shape(layer, "scale", scale, *(size if isinstance(size, int) else None for size in
                                         (x.shape[axis] for axis in axes)))
    placed = dict(zip(axes, scale.shape))
    wide = scale.reshape([placed.get(axis, 1) for axis in range(x.rank)])
    epsilon = 1e-7 if layer.config.get("epsilon") is None else layer.number("epsilon", 1e-7)
    one_each = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    square = builder.operator("Mul", f"{name}/square", [x, x], x.shape)
    mean = builder.operator("ReduceMean", f"{name}/mean", [square, np.array(axes, np.int64)], one_each,
                            attributes={"keepdims": 1})
    mean = builder.operator("Add", f"{name}/raised", [mean, np.array(epsilon, x.dtype)], one_each)
    root = builder.operator("Sqrt", f"{name}/root", [mean], one_each)
    made = builder.operator("Div", f"{name}/normal", [x, root], x.shape)
    return builder.operator("Mul", name, [made, wide.astype(x.dtype)], x.shape)


@maps("GroupNormalization", mask=KEEP)
def group_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Each group of channels, over all steps or places of a sample: (x - mean) / sqrt(variance + epsilon)."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    channels, groups = x.shape[-1], layer.get("groups", int, 32)
    if axes_of(layer, x) != [x.rank - 1] or x.rank < 3 or not isinstance(channels, int):
        raise UnsupportedError(f"{layer}: axis {layer.config.get('axis', -1)} of an input {show(x.shape)} is not "
                               "supported; supported: the last axis, of known size, behind others")
    groups = channels if groups == -1 else groups
    if groups < 1 or channels % groups:
        raise FormatError(f"{layer}: {channels} channels do not divide into {groups} groups")
    scaled, centred = (layer.get(key, bool, True) for key in ("scale", "center"))
    arrays = context.weights.take(layer, (scaled + centred,)) if scaled or centred else []
    for array in arrays:
        check_shape(layer, "gamma or beta", array, channels)
    copied = [0] * (x.rank - 1)
    wide = (*x.shape[:-1], groups, channels // groups)
    made = builder.operator("Reshape", f"{name}/groups", [x, np.array([*copied, groups, channels // groups], np.int64)],
                            wide)
    over = np.array([*range(1, x.rank - 1), x.rank], np.int64)
    one_each = tuple(size if axis in (0, x.rank - 1) else 1 for axis, size in enumerate(wide))
    mean = builder.operator("ReduceMean", f"{name}/mean", [made, over], one_each, attributes={"keepdims": 1})
    centre = builder.operator("Sub", f"{name}/centred", [made, mean], wide)
    square = builder.operator("Mul", f"{name}/square", [centre, centre], wide)
    variance = builder.operator("ReduceMean", f"{name}/variance", [square, over], one_each, attributes={"keepdims": 1})
    raised = builder.operator("Add", f"{name}/raised", [variance, np.array(layer.number("epsilon", 1e-3), x.dtype)],
                              one_each)
    deviation = builder.operator("Sqrt", f"{name}/deviation", [raised], one_each)
    made = builder.operator("Div", f"{name}/normal", [centre, deviation], wide)
    made = builder.operator("Reshape", f"{name}/joined", [made, np.array([*copied, channels], np.int64)], x.shape)
    if scaled:
        made = builder.operator("Mul", f"{name}/scaled", [made, arrays[0]], x.shape)
    return builder.operator("Add", name, [made, arrays[-1]], x.shape) if centred else made
