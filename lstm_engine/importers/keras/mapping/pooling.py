"""Pooling over windows, and over all of time or space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import Pool
from ....graph.nodes import Dim
from ..reading.config import Layer
from .builder import Builder, Tensor
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
    if same and not layer.kind.startswith("Max") and _repeats_edges(context, layer, x.shape[2:], window, strides):
        x, same = _with_edges(builder, layer, x, window, strides), False
    space = windowed(builder, x.shape[2:], window, strides, (1,) * count, None if same else (0,) * count)
    y = builder.operator("MaxPool" if layer.kind.startswith("Max") else "AveragePool", f"{layer.where}/pool", [x],
                         (*x.shape[:2], *space),
                         attributes={"kernel_shape": window, "strides": strides,
                                     "auto_pad": "SAME_UPPER" if same else "VALID"})
    return in_its_format(builder, layer, y)


def _repeats_edges(context: Context, layer: Layer, space: Sequence[Dim], window: Sequence[int], strides: Sequence[int]
                   ) -> bool:
    """Whether the mean of a window counts repeated edges in place of padding: Keras 3 on PyTorch, where the padding of
    any axis is not the same at both ends. Elsewhere the mean is of what is there.

    Of a window of two numbers one is there, and the same comes out. Where nothing says what backend a model is of, and
    this may change numbers, that is noted.
    """
    if not context.version.three or context.backend not in ("", "torch"):
        return False
    ends = [[_ends(size, *how)] if isinstance(size, int) else [_ends(size, *how) for size in range(1, how[1] + 1)]
            for size, *how in zip(space, window, strides, strict=True)]
    always = any(all(left != right for left, right in each) for each in ends)
    matters = any(any(right for _, right in each) for each, over in zip(ends, window) if over > 2)
    never = not matters or all(all(left == right for left, right in each) for each in ends)
    if not context.backend and not never:
        context.by_backend[layer.where] = None
    if not context.backend or never:
        return False
    if not always or any(len(set(each)) > 1 for each in ends):
        raise UnsupportedError(f"{layer}: padding 'same' over space {show(tuple(space))} is not "
                               "supported on PyTorch, where Keras pads unlike TensorFlow, by sizes that are not known "
                               "here; supported: an Input of fixed sizes, strides of 1, pools of 1 or 2, or the file "
                               "that model.save('m.keras') writes, which is read as TensorFlow's")
    return True


def _ends(size: int, window: int, stride: int) -> tuple[int, int]:
    """What "same" padding adds before and behind an axis."""
    total = max(0, window - (stride if size % stride == 0 else size % stride))
    return total // 2, total - total // 2


def _with_edges(builder: Builder, layer: Layer, x: Tensor, window: Sequence[int], strides: Sequence[int]) -> Tensor:
    """x [batch, channels, *space] with the ends of its axes repeated as far as windows reach."""
    ends = [_ends(size if isinstance(size, int) else stride, over, stride)
            for size, over, stride in zip(x.shape[2:], window, strides, strict=True)]
    shape = [size + sum(pair) if isinstance(size, int) else builder.symbol() if any(pair) else size
             for size, pair in zip(x.shape[2:], ends, strict=True)]
    pads = [0, 0, *(pair[0] for pair in ends), 0, 0, *(pair[1] for pair in ends)]
    return builder.operator("Pad", f"{layer.where}/edges", [x, np.array(pads, np.int64)], (*x.shape[:2], *shape),
                            attributes={"mode": "edge"})


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
