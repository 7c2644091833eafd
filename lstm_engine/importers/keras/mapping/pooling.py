"""Pooling over windows, and over all of time or space."""

from __future__ import annotations

import numpy as np

from ....errors import FormatError
from ....graph import Pool
from ..reading.config import Layer
from .builder import Tensor
from .registry import DROP, Arguments, Context, floats, maps, one, show
from .spatial import axes_of_space, channels_first, channels_last, in_its_format, padding, sizes, windowed


def _kinds(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{count}D" for name in names for count in (1, 2, 3))


@maps(*_kinds("MaxPooling", "MaxPool", "AveragePooling", "AvgPool"))
def pooled_windows(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The largest of each window, or the mean of what of it is not padding."""
    builder, count = context.builder, axes_of_space(layer)
    window = sizes(layer, "pool_size", count, 2)
    strides = sizes(layer, "strides", count, window)
    same = padding(layer, "valid", "same") == "same"
    x = channels_first(context, layer, arguments)
    space = windowed(builder, x.shape[2:], window, strides, (1,) * count, None if same else (0,) * count)
    y = builder.operator("MaxPool" if layer.kind.startswith("Max") else "AveragePool", f"{layer.where}/pool", [x],
                         (*x.shape[:2], *space),
                         attributes={"kernel_shape": window, "strides": strides,
                                     "auto_pad": "SAME_UPPER" if same else "VALID"})
    return in_its_format(builder, layer, y)


@maps(*_kinds("GlobalAveragePooling", "GlobalAvgPool", "GlobalMaxPooling", "GlobalMaxPool"), mask=DROP)
def pool(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Mean or maximum over all steps or places; only the mean over steps heeds a mask, as in Keras."""
    builder, name = context.builder, layer.where
    mean, keep = "Av" in layer.kind, layer.get("keepdims", bool, False)
    rank = axes_of_space(layer) + 2
    x = floats(context, layer, arguments, rank) if mean else one(layer, arguments, rank)
    last = channels_last(layer)
    if x.rank == 3 and x.dtype.startswith("float") and (last or mean and arguments.mask is not None):
        if not last:                                        # [batch, features, time], whose mask is of the time
            x = builder.operator("Transpose", f"{name}/channels_last", [x], (x.shape[0], x.shape[2], x.shape[1]),
                                 attributes={"perm": (0, 2, 1)})
        made = _over_steps(context, layer, arguments, x, mean)
        if not keep:
            return made
        batch, features = made.shape
        return builder.operator("Unsqueeze", f"{name}/keepdims", [made, np.array([1 if last else 2], np.int64)],
                                (batch, 1, features) if last else (batch, features, 1))
    axes = tuple(range(1, x.rank - 1)) if last else tuple(range(2, x.rank))
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes)
    return builder.operator("ReduceMean" if mean else "ReduceMax", name, [x, np.array(axes, np.int64)], shape,
                            attributes={"keepdims": int(keep)})


def _over_steps(context: Context, layer: Layer, arguments: Arguments, x: Tensor, mean: bool) -> Tensor:
    builder, name = context.builder, layer.where
    batch, time, features = x.shape
    if not mean or arguments.mask is None:
        return builder.add(Pool, name, [x], [(name, (batch, features), x.dtype)], kind="mean" if mean else "max")[0]
    if not builder.unify(time, arguments.mask.shape[1]):
        raise FormatError(f"{layer}: its mask has the shape {show(arguments.mask.shape)}; expected [batch, {time}]")
    last, steps = np.array([2], np.int64), np.array([1], np.int64)
    mask = builder.operator("Unsqueeze", f"{name}/mask", [arguments.mask, last], (batch, time, 1))
    kept = builder.operator("Where", f"{name}/kept", [mask, x, np.zeros((), x.dtype)], x.shape, x.dtype)
    total = builder.operator("ReduceSum", f"{name}/sum", [kept, steps], (batch, features), attributes={"keepdims": 0})
    count = builder.operator("ReduceSum", f"{name}/count", [builder.as_float(mask, name), steps], (batch, 1),
                             attributes={"keepdims": 0})
    return builder.operator("Div", name, [total, count], (batch, features))
