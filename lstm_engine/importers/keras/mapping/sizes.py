"""tf.shape(x), and what TensorFlow's functions make of sizes that are known only when the model runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import Arguments, Context, dtype_of, one, show

# TensorFlow's functions of a shape -> the number that they repeat; None: it is an argument.
FILLED = {"zeros": 0, "ones": 1, "fill": None}


def shape_of(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The sizes of x as a tensor [rank]."""
    x, dtype = one(layer, arguments), arguments.setting(layer, "out_type", 1, "int32")
    arguments.read.add("name")
    made = context.builder.operator("Shape", layer.where, [x], (x.rank,), "int64")
    return replace(context.builder.cast(made, dtype_of(context, layer, dtype), layer.where), sizes=x.shape)


def part_of_shape(builder: Builder, layer: Layer, x: Tensor, index: Any) -> Tensor:
    """One size of such a tensor, or several of them."""
    assert x.sizes is not None
    entry = index[0] if isinstance(index, list) and len(index) == 1 else index
    if type(entry) is int and -len(x.sizes) <= entry < len(x.sizes):
        made = builder.operator("Gather", layer.where, [x, np.array(entry, np.int64)], (), attributes={"axis": 0})
        return replace(made, sizes=x.sizes[entry:][:1])
    if isinstance(entry, slice) and entry.step in (None, 1):
        start, end, _ = entry.indices(len(x.sizes))
        made = builder.slice(x, layer.where, 0, start, max(start, end))
        return replace(made, sizes=x.sizes[start:end])
    raise UnsupportedError(f"{layer}: the index {index!r:.80} of a shape is not supported; supported: a number or a "
                           "slice")


def target_shape(layer: Layer, x: Tensor, target: Any) -> Any:
    """What x is reshaped to, the size of its batch, and what is left for a -1 beside it, as ops.Reshape wants them."""
    parts = target if isinstance(target, list) else [target]
    rest = list(parts[1:])
    if any(isinstance(entry, Tensor) for entry in rest) \
            or parts and isinstance(parts[0], Tensor) and not _is_size(parts[0], x.shape[0]):
        raise UnsupportedError(f"{layer} to a shape of computed sizes is not supported; supported: numbers, and "
                               "tf.shape(x)[0] of what is reshaped as the first of them")
    if not parts or not isinstance(parts[0], Tensor):
        return target
    known = [size for size in x.shape[1:] if isinstance(size, int)]
    if rest.count(-1) == 1 and len(known) == x.rank - 1 and all(type(size) is int for size in rest):
        others = math.prod(size for size in rest if size != -1)
        rest[rest.index(-1)] = math.prod(known) // others if others else -1
    return [-1, *rest]


def _is_size(entry: Any, size: Dim) -> bool:
    return isinstance(entry, Tensor) and entry.rank == 0 and entry.sizes == (size,)


def filled(context: Context, layer: Layer, arguments: Arguments, called: str) -> Tensor:
    """One number in a shape of which some sizes are those of other tensors."""
    builder, key = context.builder, "dims" if called == "fill" else "shape"
    dims = arguments.setting(layer, key, 0)
    value: Any = arguments.setting(layer, "value", 1) if called == "fill" else FILLED[called]
    # The layer has a dtype of its own, which says nothing here.
    given = arguments.kwargs.get("dtype") or ("int32" if called == "fill" and type(value) is int else "float32")
    dtype = dtype_of(context, layer, given)
    arguments.read |= {"name", "layout", "dtype"}
    parts, shape = list[Tensor | np.ndarray](), list[Dim]()
    for entry in dims if isinstance(dims, list) else [dims]:
        if isinstance(entry, Tensor) and entry.sizes is not None and entry.rank < 2:
            size = builder.cast(entry, "int64", layer.where)
            parts.append(size if entry.rank else builder.operator("Unsqueeze", f"{layer.where}/size", [
                size, np.zeros(1, np.int64)], (1,)))
            shape += entry.sizes
        elif type(entry) is int and 0 <= entry < MAX_SIZE:
            parts.append(np.array([entry], np.int64))
            shape.append(entry)
        else:
            raise UnsupportedError(f"{layer} of a shape with {getattr(entry, 'dtype', entry)!r:.80} in it is not "
                                   "supported; supported: numbers and parts of tf.shape")
    if type(value) not in (int, float) or not abs(value) < 2**31 or not shape or not isinstance(shape[0], str):
        raise UnsupportedError(f"{layer} of {value!r:.40} in the shape {show(tuple(shape))} is not supported; "
                               "supported: one number, for each row of the batch")
    whole = builder.operator("Concat", f"{layer.where}/shape", parts, (len(shape),), "int64", {"axis": 0})
    return builder.operator("ConstantOfShape", layer.where, [whole, np.array([value], dtype)], shape, dtype)
