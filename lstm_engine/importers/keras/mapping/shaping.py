"""Layers that move numbers without changing them, and Masking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ....data_types import DATA_TYPE_NUMBERS
from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import OWN, Arguments, Context, floats, maps, one, show


def reshape(builder: Builder, name: str, x: Tensor, target: list[int]) -> Tensor:
    """x [batch, ...] as [batch, *target]; one -1 stands for what is left."""
    known = all(isinstance(size, int) for size in x.shape[1:])
    shape: list[Dim] = list(target)
    if -1 in target:
        rest = math.prod(size for size in target if size != -1)
        # Without a known size the axis keeps a symbol; a Dense after it says what it is.
        total = math.prod(size for size in x.shape[1:] if isinstance(size, int))
        shape[target.index(-1)] = total // rest if known and rest else builder.symbol()
    return builder.operator("Reshape", name, [x, np.array([0, *target], np.int64)], (x.shape[0], *shape))


@maps("Flatten")
def flatten(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    if layer.config.get("data_format", "channels_last") == "channels_first" and x.rank > 2:
        raise UnsupportedError(f"{layer}: data_format 'channels_first' is not supported; supported: channels_last")
    if x.rank == 2:
        return x
    return reshape(context.builder, layer.where, x, [-1])


@maps("Reshape")
def reshape_layer(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    target = layer.get("target_shape", list)
    if not all(type(size) is int and (size == -1 or 1 <= size < MAX_SIZE) for size in target) or target.count(-1) > 1:
        raise FormatError(f"{layer}: target_shape is {target!r:.80}; expected sizes, at most one of them -1")
    known = [size for size in x.shape[1:] if isinstance(size, int)]
    if len(known) == x.rank - 1:
        have, want = math.prod(known), math.prod(size for size in target if size != -1)
        if have % want if -1 in target else have != want:
            raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, which does not fill {target}")
    return reshape(context.builder, layer.where, x, target)


@maps("Permute")
def permute(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    dims = layer.get("dims", list)
    if sorted(map(str, dims)) != sorted(map(str, range(1, x.rank))):
        raise FormatError(f"{layer}: dims is {dims!r:.80}; expected the numbers 1 to {x.rank - 1} in some order")
    return context.builder.operator("Transpose", layer.where, [x], (x.shape[0], *(x.shape[dim] for dim in dims)),
                                    attributes={"perm": (0, *dims)})


@maps("RepeatVector")
def repeat_vector(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name = context.builder, layer.where
    x, count = one(layer, arguments, 2), layer.size("n")
    batch, features = x.shape
    x = builder.operator("Unsqueeze", f"{name}/step", [x, np.array([1], np.int64)], (batch, 1, features))
    return builder.operator("Expand", name, [x, np.array([1, count, 1], np.int64)], (batch, count, features))


@maps("Masking", mask=OWN)
def masking(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Steps whose features all equal mask_value are masked, and set to 0."""
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments, 3)
    value = layer.number("mask_value", 0.0)
    same = builder.operator("Equal", f"{name}/same", [x, np.array(value, x.dtype)], x.shape, "bool")
    differs = builder.operator("Not", f"{name}/differs", [same], x.shape, "bool")
    mask = any_last(builder, f"{name}/mask", differs)
    shape = (*mask.shape, 1)
    wide = builder.operator("Unsqueeze", f"{name}/wide", [mask, np.array([2], np.int64)], shape)
    made = builder.operator("Where", name, [wide, x, np.zeros((), x.dtype)], x.shape, x.dtype)
    return replace(made, mask=mask)


def any_last(builder: Builder, name: str, x: Tensor, axes: tuple[int, ...] = (-1,), keepdims: bool = False) -> Tensor:
    """Whether any of x (bool) along some axes is true. ONNX reduces no bools, so it is done on integers."""
    return _reduced_bool(builder, "ReduceMax", name, x, axes, keepdims)


def all_last(builder: Builder, name: str, x: Tensor, axes: tuple[int, ...] = (-1,), keepdims: bool = False) -> Tensor:
    """Whether all of x (bool) along some axes are true."""
    return _reduced_bool(builder, "ReduceMin", name, x, axes, keepdims)


def _reduced_bool(builder: Builder, op_type: str, name: str, x: Tensor, axes: tuple[int, ...], keepdims: bool
                  ) -> Tensor:
    gone = {axis % x.rank for axis in axes}
    shape = tuple(1 if axis in gone else size for axis, size in enumerate(x.shape) if keepdims or axis not in gone)
    numbers = builder.operator("Cast", f"{name}/numbers", [x], x.shape, "int32", {"to": DATA_TYPE_NUMBERS["int32"]})
    reduced = builder.operator(op_type, f"{name}/reduced", [numbers, np.array(sorted(gone), np.int64)], shape,
                               attributes={"keepdims": int(keepdims)})
    return builder.operator("Cast", name, [reduced], shape, "bool", {"to": DATA_TYPE_NUMBERS["bool"]})
