"""Pools over windows and to a given size.

Source: torch.nn.functional.max_pool1d, avg_pool1d, adaptive_avg_pool1d and their kin.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Size, Tensor
from .layers import per_axis
from .rearranging import counted
from .reductions import reduced
from .registry import aten

new = partial(aten, fresh=True)


def _pool(e: Emitter, a: Arguments, op_type: str, count: int, results: int = 1, **more: Any) -> list[Tensor]:
    """The pool of [batch, channels, ...], or of a tensor without the batch, and where it found its maxima."""
    x = a.tensor("self")
    alone = x.rank == count + 1
    if x.rank != count + 2 and not alone:
        a.wrong(f"{x.rank} axes")
    x = e.unsqueeze(x, 0) if alone else x
    kernel, strides = per_axis(a, "kernel_size", count, 1), per_axis(a, "stride", count, 0)
    padding = per_axis(a, "padding", count, 0)
    if min(kernel) < 1 or any(2 * pad > size for pad, size in zip(padding, kernel)):
        a.wrong(f"a kernel of {kernel} with {padding} padding")
    attributes = {"kernel_shape": tuple(kernel), "strides": tuple(strides if any(strides) else kernel),
                  "pads": tuple(padding * 2), "ceil_mode": int(a.flag("ceil_mode", False)), **more}
    made = e.several(op_type, results, x, **attributes) if results > 1 else [e.op(op_type, x, **attributes)]
    if results > 1:         # ONNX counts the elements of all rows and channels, torch those of one plane
        sizes = [e.size(x, axis) for axis in range(2, x.rank)]
        plane = e.constant(1, "int64")
        for size in sizes:
            plane = e.op("Mul", plane, e.scalar(size))
        made[1] = e.op("Mod", made[1], plane)
    return [e.squeeze(part, 0) for part in made] if alone else made


def _count(a: Arguments) -> int:
    return 1 if "1d" in a.op else 2


@new("max_pool1d.default max_pool2d.default")
def _max_pool(e: Emitter, a: Arguments) -> Tensor:
    return _pool(e, a, "MaxPool", _count(a), dilations=tuple(per_axis(a, "dilation", _count(a), 1)))[0]


@new("max_pool1d_with_indices.default max_pool2d_with_indices.default")
def _max_pool_with_indices(e: Emitter, a: Arguments) -> list[Tensor]:
    return _pool(e, a, "MaxPool", _count(a), results=2, dilations=tuple(per_axis(a, "dilation", _count(a), 1)))


@new("avg_pool1d.default avg_pool2d.default")
def _avg_pool(e: Emitter, a: Arguments) -> Tensor:
    divisor = a.any("divisor_override", None)
    included = a.flag("count_include_pad", True)
    if divisor is None:
        return _pool(e, a, "AveragePool", _count(a), count_include_pad=int(included))[0]
    if type(divisor) is not int or not divisor or a.flag("ceil_mode", False):
        a.refuse(f"divisor_override {divisor!r:.20} is not supported")
    y = _pool(e, a, "AveragePool", _count(a), count_include_pad=1)[0]
    return e.op("Mul", y, e.constant(prod(per_axis(a, "kernel_size", _count(a), 1)) / divisor, y.dtype))




@new("adaptive_avg_pool1d.default adaptive_avg_pool2d.default adaptive_max_pool1d.default adaptive_max_pool2d.default")
def _adaptive_pool(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    """One axis after the other, to sizes that are known."""
    x, sizes, most = a.tensor("self"), a.any("output_size"), "_max_" in a.op
    sizes = [sizes] * _count(a) if type(sizes) is int else sizes
    if not isinstance(sizes, list) or len(sizes) != _count(a) or x.rank not in (len(sizes) + 1, len(sizes) + 2):
        a.wrong(f"to a size of {sizes!r:.60}")
    whole = [x.rank - len(sizes) + i for i, size in enumerate(sizes) if size == 1]
    x = reduced(e, "ReduceMax" if most else "ReduceMean", x, whole, True)
    for axis, size in zip(range(x.rank - len(sizes), x.rank), sizes):
        if size == 1 or (isinstance(size, Size) and size.symbol == x.shape[axis]) or size == x.shape[axis]:
            continue
        if type(size) is not int or not 1 <= size <= MOST_PARTS:
            a.refuse(f"to a size of {size!r:.20} is not supported; one of 1 to {MOST_PARTS} is")
        x = _to_size(e, x, axis, size, most)
    return [x, None] if most else x


MOST_PARTS = 512        # of an axis that is pooled to a size


def _to_size(e: Emitter, x: Tensor, axis: int, made: int, most: bool) -> Tensor:
    """Part i of `made` is of the elements from floor(i size / made) to ceil((i + 1) size / made)."""
    size, last = e.scalar(e.size(x, axis)), x.rank - 1
    part = e.constant(np.arange(made), "int64")
    places, parts, one = e.unsqueeze(counted(e, e.size(x, axis)), 1), e.constant(made, "int64"), e.constant(1, "int64")
    low = e.op("Div", e.op("Mul", part, size), parts)           # of whole numbers above 0, so rounded down
    high = e.op("Div", e.op("Add", e.op("Mul", e.op("Add", part, one), size), e.constant(made - 1, "int64")), parts)
    inside = e.op("And", e.op("GreaterOrEqual", places, low), e.op("Less", places, high))        # [size, made]
    x = e.swap(x, axis, last)
    if most:
        of_each = e.op("Where", inside, e.unsqueeze(x, x.rank), e.constant(-np.inf, x.dtype))
        return e.swap(reduced(e, "ReduceMax", of_each, [last], False), axis, last)
    within = e.cast(inside, x.dtype)
    share = e.op("Div", within, e.cast(e.op("Sub", high, low), x.dtype))
    # A product with 0 would bring what is not finite into every part: which parts have it is told apart.
    above, below, nothing = (e.constant(number, x.dtype) for number in (np.inf, -np.inf, 0))
    under, over = e.op("Less", x, above), e.op("Greater", x, below)
    mean = e.op("MatMul", e.op("Where", e.op("And", under, over), x, nothing), share)
    upward, downward = (e.op("Greater", e.op("MatMul", e.cast(e.op("Not", fine), x.dtype), within), nothing)
                        for fine in (under, over))
    mean = e.op("Where", upward, above, e.op("Where", downward, below, mean))
    mean = e.op("Where", e.op("And", upward, downward), e.constant(np.nan, x.dtype), mean)
    return e.swap(mean, axis, last)
