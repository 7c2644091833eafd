"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ...graph.nodes import Operator
from .registry import Call, Kernel, builder, fixed, ints, repeatable

Axes = tuple[int, ...]


def _mean(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    if x.dtype.kind != "f":
        return x.mean(axis=axes, keepdims=keep)
    return np.add.reduce(x, axis=axes, keepdims=keep) / x.dtype.type(prod(x.shape[axis] for axis in axes))


def _mean_again(out: np.ndarray, x: np.ndarray, axes: Axes, keep: bool) -> list[Call]:
    count = x.dtype.type(prod(x.shape[axis] for axis in axes))
    return [(np.add.reduce, (x, axes, None, out, keep)), (np.divide, (out, count, out))]


def _sum(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    return x.sum(axis=axes, keepdims=keep)


def _extreme(reduce: np.ufunc, side: int) -> Callable[[np.ndarray, Axes, bool], np.ndarray]:
    """Max or min; of nothing it is the least, or greatest, value of the type."""
    def extreme(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
        if x.size:
            return reduce.reduce(x, axis=axes, keepdims=keep)
        if x.dtype.kind == "b":
            edge: Any = side > 0
        elif x.dtype.kind == "f":
            edge = side * np.inf
        else:
            edge = np.iinfo(x.dtype).max if side > 0 else np.iinfo(x.dtype).min
        return reduce.reduce(x, axis=axes, keepdims=keep, initial=edge)
    return extreme


def _log_sum_exp(x: np.ndarray, axes: Axes, keep: bool) -> np.ndarray:
    if not x.size:
        return np.log(np.exp(x).sum(axis=axes, keepdims=keep))
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    total = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return total if keep else total.squeeze(axes)


_REDUCE: dict[str, Callable[[np.ndarray, Axes, bool], np.ndarray]] = {
    "ReduceMean": _mean,
    "ReduceSum": _sum,
    "ReduceMax": _extreme(np.maximum, -1),
    "ReduceMin": _extreme(np.minimum, 1),
    "ReduceProd": lambda x, axes, keep: x.prod(axis=axes, keepdims=keep),
    "ReduceL1": lambda x, axes, keep: np.abs(x).sum(axis=axes, keepdims=keep),
    "ReduceL2": lambda x, axes, keep: np.sqrt(np.square(x).sum(axis=axes, keepdims=keep)),
    "ReduceSumSquare": lambda x, axes, keep: np.square(x).sum(axis=axes, keepdims=keep),
    "ReduceLogSum": lambda x, axes, keep: np.log(x.sum(axis=axes, keepdims=keep)),
    "ReduceLogSumExp": _log_sum_exp,
}


@builder(*_REDUCE)
def _reduce(attributes: dict[str, Any], node: Operator) -> Kernel:
    function = _REDUCE[node.op_type]
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
        if function is not _mean or x.dtype.kind != "f" or known is None or not known and noop:
            return None
        return _mean_again(out, x, known or tuple(range(x.ndim)), keep)
    return repeatable(reduce, again)


@builder("ArgMax", "ArgMin")
def _arg(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, keep, last = attributes["axis"], bool(attributes["keepdims"]), attributes["select_last_index"]
    find = np.argmax if node.op_type == "ArgMax" else np.argmin

    def arg(x: np.ndarray) -> np.ndarray:
        if last:
            return x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep)
        return find(x, axis=axis, keepdims=keep)
    return arg
