"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Operator
from .axis_rules import AxisCall, without
from .kernels import Call, Kernel, KernelMaker, fixed, ints, repeatable
from .older import attributes_to_inputs
from .places import Place, need
from .shape_rules import Dims, ShapeCall, Shapes
from .spec import declare, one_of

Axes = tuple[int, ...]
_ADD: Any = np.add.reduce        # whose types leave keepdims=bool out
Reduction = Callable[[np.ndarray, Axes, bool], np.ndarray]

def _reduce_shape(call: ShapeCall) -> Shapes:
    shape, keep = call.shape(), call.attributes["keepdims"]
    axes = [] if call.given(1) and call.shape(1) == [0] else call.axes(1, len(shape))
    if call.given(1) and axes is None:
        count = len(shape) if keep else len(shape) - call.length(1)     # an axis named twice is refused at the run
        if count < 0:
            raise call.error(f"{call.length(1)} axes of the {len(shape)} of its input")
        return [([None] * count, call.dtype())]
    if not axes:
        if call.attributes["noop_with_empty_axes"]:
            return [(shape, call.dtype())]
        axes = list(range(len(shape)))
    return [(reduced(shape, axes, keep), call.dtype())]


def reduced(shape: Dims, axes: Sequence[int], keep: int) -> Dims:
    """`shape` with `axes` made 1, or left out."""
    if keep:
        return [1 if i in axes else dim for i, dim in enumerate(shape)]
    return [dim for i, dim in enumerate(shape) if i not in axes]


def _reduce_axes(call: AxisCall) -> Place:
    at, axes = call.only_first(), call.ints(1)
    if not axes:
        need(bool(call.attributes["noop_with_empty_axes"]))
        return at
    return without(call, [call.axis(axis) for axis in axes])


def mean(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    if x.dtype.kind != "f":
        whole: np.ndarray = x.mean(axis=axes, keepdims=keep)
        return whole
    made: np.ndarray = _ADD(x, axis=axes, keepdims=keep) / x.dtype.type(prod(x.shape[axis] for axis in axes))
    return made


def mean_again(out: np.ndarray, x: np.ndarray, axes: Axes, keep: bool) -> list[Call]:
    count = x.dtype.type(prod(x.shape[axis] for axis in axes))
    return [(np.add.reduce, (x, axes, None, out, keep)), (np.divide, (out, count, out))]


def _sum(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    total: np.ndarray = x.sum(axis=axes, keepdims=keep)
    return total


def _extreme(reduce: np.ufunc, side: int) -> Callable[[np.ndarray, Axes, bool], np.ndarray]:
    """Max or min; of nothing it is the least, or greatest, value of the type."""
    def extreme(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
        if x.size:
            y: np.ndarray = reduce.reduce(x, axis=axes, keepdims=keep)
            return y
        if x.dtype.kind == "b":
            edge: Any = side > 0
        elif x.dtype.kind == "f":
            edge = side * np.inf
        else:
            edge = np.iinfo(x.dtype).max if side > 0 else np.iinfo(x.dtype).min
        y = reduce.reduce(x, axis=axes, keepdims=keep, initial=edge)
        return y
    return extreme


def _log_sum_exp(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    if not x.size:
        nothing: np.ndarray = np.log(np.exp(x).sum(axis=axes, keepdims=keep))
        return nothing
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    total: np.ndarray = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return total if keep else total.squeeze(axes)


def _reduce(function: Reduction) -> KernelMaker:
    def make(attributes: dict[str, Any], node: Operator) -> Kernel:
        keep, noop = bool(attributes["keepdims"]), attributes["noop_with_empty_axes"]
        known = ints(node.constants[1]) if 1 in node.constants else () if fixed(node, 1) else None

        def reduce(x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
            chosen = known if known is not None else ints(axes)      # type: ignore[arg-type]
            if not chosen:
                if noop:
                    # No axis is reduced, but each element still goes through the function (|x|, x*x, log x ...).
                    return function(x[None], (0,), False).astype(x.dtype, copy=False)
                chosen = tuple(range(x.ndim))
            return np.asarray(function(x, chosen, keep)).astype(x.dtype, copy=False)

        def again(out: np.ndarray, x: np.ndarray, axes: np.ndarray | None = None) -> list[Call] | None:
            if function is not mean or x.dtype.kind != "f" or known is None or not known and noop:
                return None
            return mean_again(out, x, known or tuple(range(x.ndim)), keep)
        return repeatable(reduce, again)
    return make


_SUMMED, _LOGARITHMIC = {"takes": ("wide", "int64")}, {"takes": ("floats", "int64")}
_ORDERED = {"exact": True, "takes": ("wide|bytes|bool", "int64"), "low_bits": True}
_ALL: dict[str, tuple[Reduction, dict[str, Any]]] = {
    "ReduceMean": (mean, _SUMMED),
    "ReduceSum": (_sum, {**_SUMMED, "low_bits": True}),
    "ReduceMax": (_extreme(np.maximum, -1), _ORDERED),
    "ReduceMin": (_extreme(np.minimum, 1), _ORDERED),
    "ReduceProd": (lambda x, axes, keep: x.prod(axis=axes, keepdims=keep), {**_SUMMED, "low_bits": True}),
    "ReduceL1": (lambda x, axes, keep: np.abs(x).sum(axis=axes, keepdims=keep), {**_SUMMED, "scratch": 2}),
    "ReduceL2": (lambda x, axes, keep: np.sqrt(np.square(x).sum(axis=axes, keepdims=keep)), {**_SUMMED, "scratch": 2}),
    "ReduceSumSquare": (lambda x, axes, keep: np.square(x).sum(axis=axes, keepdims=keep), {**_SUMMED, "scratch": 2}),
    "ReduceLogSum": (lambda x, axes, keep: np.log(x.sum(axis=axes, keepdims=keep)), {**_LOGARITHMIC, "scratch": 2}),
    "ReduceLogSumExp": (_log_sum_exp, {**_LOGARITHMIC, "scratch": 3}),
}
for _name, (_function, _traits) in _ALL.items():
    declare(_name, (1, 2), make=_reduce(_function), shape=_reduce_shape, axes=_reduce_axes, **_traits,
            attributes={"keepdims": one_of(1, 0), "noop_with_empty_axes": one_of(0, 1)},
            older=attributes_to_inputs(axes=1))


# ---- ArgMax and ArgMin ----------------------------------------------------------------------------------------------

def _arg_shape(call: ShapeCall) -> Shapes:
    axis = call.axis(call.attributes["axis"], call.rank())
    return [(reduced(call.shape(), [axis], call.attributes["keepdims"]), "int64")]


def _arg_axes(call: AxisCall) -> Place:
    return without(call, [call.axis(call.attributes["axis"])])


def _arg_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, keep, last = attributes["axis"], bool(attributes["keepdims"]), attributes["select_last_index"]
    find = np.argmax if node.op_type == "ArgMax" else np.argmin

    def arg(x: np.ndarray) -> np.ndarray:
        if last:
            at: np.ndarray = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep)
            return at
        at = find(x, axis=axis, keepdims=keep)
        return at
    return arg


for _name in ("ArgMax", "ArgMin"):
    declare(_name, 1, make=_arg_kernel, attributes={"axis": 0, "keepdims": 1, "select_last_index": 0},
            shape=_arg_shape, axes=_arg_axes, exact=True, takes="numbers")
