"""Operations of keras.ops that sum up, order or move what stands along axes, beyond those in operations.py."""

from __future__ import annotations

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE
from ..reading.config import Layer
from .builder import Builder, Tensor
from .mathematics import ops
from .merging import concat
from .operations import axes_given, axis_of
from .registry import Arguments, Context, check_width, maps, one, show

_JOINED = {"Hstack": 1, "Dstack": 2}
_NORMS = {"None": "ReduceL2", "2": "ReduceL2", "1": "ReduceL1"}


def _reduced(builder: Builder, op_type: str, name: str, x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes)
    return builder.operator(op_type, name, [x, np.array(axes, np.int64)], shape, attributes={"keepdims": int(keep)})


@maps(*ops("Var", "Std", "Logsumexp", "Average", "Amax", "Amin", "Ptp", "Norm"))
def summed_up(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name, kind = context.builder, layer.where, layer.kind[len("ops."):]
    x = one(layer, arguments)
    place = 2 if kind in ("Average", "Norm") else 1
    axes = axes_given(layer, arguments.setting(layer, "axis", place if kind == "Norm" else 1), x.rank)
    keep = bool(arguments.setting(layer, "keepdims", place + 1, False)) and kind != "Average"
    if kind in ("Amax", "Amin", "Ptp"):
        if x.dtype == "bool":
            raise UnsupportedError(f"{layer} of a mask is not supported; supported: numbers")
        check_width(context, layer, [x])
        made = _reduced(builder, "ReduceMin" if kind == "Amin" else "ReduceMax", name, x, axes, keep)
        if kind != "Ptp":
            return made
        least = _reduced(builder, "ReduceMin", name, x, axes, keep)
        return builder.operator("Sub", name, [made, least], made.shape)
    x = builder.as_float(x, name)
    if kind in ("Logsumexp", "Average"):
        return _reduced(builder, "ReduceMean" if kind == "Average" else "ReduceLogSumExp", name, x, axes, keep)
    if kind == "Norm":
        order = str(arguments.setting(layer, "ord", 1))
        if order not in _NORMS or len(axes) != 1:
            raise UnsupportedError(f"{layer}: ord {order:.80} over the axes {list(axes)} is not supported; supported: "
                                   "1 and 2, over one axis")
        return _reduced(builder, _NORMS[order], name, x, axes, keep)
    mean = _reduced(builder, "ReduceMean", f"{name}/mean", x, axes, True)
    centred = builder.operator("Sub", f"{name}/centred", [x, mean], x.shape)
    square = builder.operator("Mul", f"{name}/square", [centred, centred], x.shape)
    made = _reduced(builder, "ReduceMean", f"{name}/variance", square, axes, keep)
    return made if kind == "Var" else builder.operator("Sqrt", name, [made], made.shape)


def _known(layer: Layer, x: Tensor, axis: int) -> int:
    size = x.shape[axis]
    if axis == 0 or not isinstance(size, int):
        raise UnsupportedError(f"{layer} along axis {axis} of {show(x.shape)} is not supported; supported: an axis of "
                               "known size, not the batch")
    return size


def _top(builder: Builder, name: str, x: Tensor, axis: int, count: int, largest: bool) -> list[Tensor]:
    shape: tuple[Dim, ...] = (*x.shape[:axis], count, *x.shape[axis + 1:])
    return builder.operators("TopK", name, [x, np.array([count], np.int64)], [(shape, x.dtype), (shape, "int64")],
                             {"axis": axis, "largest": int(largest), "sorted": 1})


@maps("ops.Sort")
def sort(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1, -1), x.rank)
    if x.dtype == "bool":
        raise UnsupportedError(f"{layer} of a mask is not supported; supported: numbers")
    return _top(context.builder, layer.where, x, axis, _known(layer, x, axis), False)[0]


@maps("ops.Argsort")
def argsort(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Where the elements stand that are in order; of equal ones the first comes first, as every backend has it."""
    x = one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1, -1), x.rank)
    if x.dtype == "bool":
        x = context.builder.cast(x, "int32", layer.where)
    places = _top(context.builder, layer.where, x, axis, _known(layer, x, axis), False)[1]
    return context.builder.cast(places, "int32", layer.where)


@maps("ops.TopK")
def top_k(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """The largest along the last axis, the greatest first, and where they stand."""
    x = one(layer, arguments)
    size, count = _known(layer, x, x.rank - 1), arguments.setting(layer, "k", 1)
    if arguments.setting(layer, "sorted", 2, True) is not True:
        raise UnsupportedError(f"{layer}: sorted=False is not supported, as the order then depends on the backend; "
                               "supported: sorted=True")
    if type(count) is not int or not 1 <= count <= size or x.dtype == "bool":
        raise FormatError(f"{layer}: k is {count!r:.80}; expected 1 to {size}, of numbers")
    values, places = _top(context.builder, layer.where, x, x.rank - 1, count, True)
    return [values, context.builder.cast(places, "int32", layer.where)]


@maps("ops.Moveaxis")
def move_axes(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    source, target = ([axis_of(layer, entry, x.rank) for entry in (given if isinstance(given, list) else [given])]
                      for given in (arguments.setting(layer, "source", 1), arguments.setting(layer, "destination", 2)))
    order = [axis for axis in range(x.rank) if axis not in source]
    if len(source) != len(target) or len(set(source)) != len(source) or len(set(target)) != len(target):
        raise FormatError(f"{layer}: axes {source} cannot go to {target}")
    for place, axis in sorted(zip(target, source)):
        order.insert(place, axis)
    if order[0] != 0:
        raise UnsupportedError(f"{layer} of the batch is not supported; supported: the other axes")
    return context.builder.operator("Transpose", layer.where, [x], [x.shape[axis] for axis in order],
                                    attributes={"perm": tuple(order)})


@maps("ops.Roll")
def roll(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """What is moved beyond the end comes in at the front."""
    x = one(layer, arguments)
    shift, axis = arguments.setting(layer, "shift", 1), arguments.setting(layer, "axis", 2)
    if type(shift) is not int or type(axis) is not int:
        raise UnsupportedError(f"{layer}: shift {shift!r:.80} along {axis!r:.80} is not supported; supported: one "
                               "whole number along one axis")
    axis = axis_of(layer, axis, x.rank)
    cut = -shift % _known(layer, x, axis)
    if not cut:
        return x
    parts = [context.builder.slice(x, layer.where, axis, *ends) for ends in ((cut, None), (0, cut))]
    return concat(context.builder, layer, layer.where, parts, axis)


@maps("ops.Diff")
def diff(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, builder = one(layer, arguments), context.builder
    axis, times = axis_of(layer, arguments.setting(layer, "axis", 2, -1), x.rank), arguments.setting(layer, "n", 1, 1)
    if axis == 0 or type(times) is not int or not 0 <= times <= 16 or x.dtype == "bool":
        raise UnsupportedError(f"{layer}: {times!r:.80} times along axis {axis} of {x.dtype} is not supported; "
                               "supported: up to 16 times, of numbers, not along the batch")
    check_width(context, layer, [x])
    for _ in range(times):
        after, before = builder.slice(x, layer.where, axis, 1, None), builder.slice(x, layer.where, axis, 0, -1)
        builder.unify(after.shape[axis], before.shape[axis])
        x = builder.operator("Sub", layer.where, [after, before], after.shape)
    return x


@maps(*ops("Tril", "Triu"))
def triangle(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The lower or upper triangle of the last two axes, zeros elsewhere."""
    x, k = one(layer, arguments), arguments.setting(layer, "k", 1, 0)
    if x.rank < 3 or type(k) is not int or not abs(k) < MAX_SIZE:
        raise UnsupportedError(f"{layer} of {show(x.shape)}, k {k!r:.80}, is not supported; supported: two axes behind "
                               "the batch, a whole number")
    return context.builder.operator("Trilu", layer.where, [x, np.array(k, np.int64)], x.shape,
                                    attributes={"upper": int(layer.kind == "ops.Triu")})


@maps("ops.TakeAlongAxis")
def take_along_axis(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, places = arguments.x[0], arguments.setting(layer, "indices", 1)
    if not isinstance(places, Tensor) or places.rank != x.rank or not places.dtype.startswith("int"):
        raise UnsupportedError(f"{layer} at {getattr(places, 'shape', places)!r:.80} is not supported; supported: "
                               "whole numbers that are computed, of as many axes as the values")
    axis = axis_of(layer, arguments.setting(layer, "axis", 2, -1), x.rank)
    fits = all(context.builder.unify(*pair) for place, pair in enumerate(zip(x.shape, places.shape)) if place != axis)
    if axis == 0 or not fits:
        raise UnsupportedError(f"{layer} of {show(x.shape)} at {show(places.shape)} is not supported; supported: equal "
                               "sizes of the other axes, not along the batch")
    return context.builder.operator("GatherElements", layer.where, [x, places], places.shape, x.dtype, {"axis": axis})


@maps("ops.FullLike")
def full_like(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, value = one(layer, arguments), arguments.setting(layer, "fill_value", 1)
    if type(value) not in (int, float, bool) or not abs(value) < 2**31 or arguments.setting(layer, "dtype", 2):
        raise UnsupportedError(f"{layer} with {value!r:.80} is not supported; supported: a number, in the type of its "
                               "input")
    shape = context.builder.operator("Shape", f"{layer.where}/shape", [x], (x.rank,), "int64")
    return context.builder.operator("ConstantOfShape", layer.where, [shape, np.array([value]).astype(x.dtype)], x.shape,
                                    x.dtype)


@maps(*ops(*_JOINED))
def stacked(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    axis, x = _JOINED[layer.kind[len("ops."):]], arguments.x
    if any(other.rank != x[0].rank for other in x) or x[0].rank <= axis:
        raise UnsupportedError(f"{layer} of {' and '.join(show(each.shape) for each in x)} is not supported; "
                               f"supported: tensors of equal rank, {axis + 1} at least")
    return concat(context.builder, layer, layer.where, context.builder.in_dtype_of_all(x, layer.where), axis)
