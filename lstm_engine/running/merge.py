"""Calls of a recording that the C core knows, as few calls as there can be.

Most operators of a small graph take less time than calling NumPy does. What the core makes of the same arrays, to the
same bits, is taken out of the list of calls and put into one `Steps`, which runs without the interpreter. Element by
element IEEE arithmetic leaves no choice of bits. In which order NumPy sums goes by the layout of an array and is
nowhere promised: it is asked, with numbers that tell one order from another, and where it is neither of those that the
core has, NumPy goes on to sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .._core import BoundCall, Steps
from ..operators.kernels import Call

# What these make of two arrays of float32, or of one, is the same in C. What is made, then the operands.
_TWO: dict[Any, str] = {np.add: "add", np.subtract: "subtract", np.multiply: "multiply", np.divide: "divide"}
_ONE: dict[Any, str] = {np.sqrt: "square root", np.negative: "negate"}


def merged(calls: Sequence[Call]) -> list[Call]:
    """Calls that do the same in fewer."""
    made: list[Call] = []
    steps = Steps()
    at = 0
    while at < len(calls):
        taken = _add(steps, calls, at)
        if not taken:
            if steps.count:
                made.append((steps, ()))
                steps = Steps()
            made.append(calls[at])
        at += taken or 1
    if steps.count:
        made.append((steps, ()))
    return made


def _add(steps: Steps, calls: Sequence[Call], at: int) -> int:
    """How many calls from `at` on were added to the steps: 0 where the core has no step for the first."""
    function, arguments = calls[at]
    if isinstance(function, BoundCall):
        return int(steps.add_run(function))
    if isinstance(function, Steps):
        return int(steps.add_all(function))
    if function is np.less and at + 2 < len(calls):
        return 3 if _slope(steps, calls[at:at + 3]) else 0
    if isinstance(function, partial):
        return int(_partial(steps, function, arguments))
    return int(_plain(steps, function, arguments))


def _plain(steps: Steps, function: Callable[..., Any], arguments: Sequence[Any]) -> bool:
    if function is np.copyto:
        return len(arguments) == 2 and steps.add("copy", *_arrays(arguments))
    if function is np.concatenate:
        return _joined(steps, *arguments)
    if isinstance(function, np.ufunc):
        kind = _TWO.get(function) if len(arguments) == 3 else _ONE.get(function) if len(arguments) == 2 else None
        return kind is not None and steps.add(kind, arguments[-1], *_arrays(arguments[:-1]))
    owner = getattr(function, "__self__", None)
    if function == np.add.reduce:
        return len(arguments) == 5 and arguments[2] is None and _sum(steps, *arguments)
    if isinstance(owner, np.ndarray) and function.__name__ == "fill" and len(arguments) == 1:
        return steps.add("copy", owner, np.asarray(arguments[0], owner.dtype))
    return False


def _partial(steps: Steps, function: partial[Any], arguments: Sequence[Any]) -> bool:
    if function.func is np.copyto and not function.args and function.keywords == {"casting": "same_kind"}:
        return len(arguments) == 2 and steps.add("copy", *arguments)
    if arguments:
        return False
    if function.func is np.maximum and len(function.args) == 2 and list(function.keywords) == ["out"]:
        x, least = function.args
        if isinstance(least, np.float32) and least == 0:
            return steps.add("relu", function.keywords["out"], x)
    return False


def _arrays(operands: Sequence[Any]) -> list[Any]:
    """Operands with numbers that have a type as arrays. Those of Python are left as they are: no step takes them."""
    return [np.asarray(x) if isinstance(x, np.generic) else x for x in operands]


def _joined(steps: Steps, parts: Sequence[np.ndarray], axis: int, out: np.ndarray) -> bool:
    """Arrays side by side along an axis of `out`: each is copied to its place. All of them, or none."""
    own, at = Steps(), 0
    for part in parts:
        place = [slice(None)] * out.ndim
        place[axis] = slice(at, at + part.shape[axis])
        if part.dtype != out.dtype or not own.add("copy", out[tuple(place)], part):
            return False
        at += part.shape[axis]
    return steps.add_all(own)


def _slope(steps: Steps, calls: Sequence[Call]) -> bool:
    """What PRelu is repeated by: which elements are below 0, all of them copied, those below times the slope."""
    (_, compared), (copy, copied), (multiply, left) = calls
    if copy is not np.copyto or not isinstance(multiply, partial) or multiply.func is not np.multiply or left:
        return False
    (x, zero, below), (out, whole), (again, slope, target) = compared, copied, multiply.args
    if whole is not x or again is not x or target is not out or multiply.keywords.get("where") is not below \
            or zero != 0 or out.shape != x.shape:
        return False
    return steps.add("prelu", out, *_arrays((x, slope)))


def _sum(steps: Steps, x: np.ndarray, axes: Any, dtype: None, out: np.ndarray, keep: bool) -> bool:
    if x.dtype != np.float32 or out.dtype != np.float32:
        return False
    axes = tuple(sorted(axis % x.ndim for axis in (axes if isinstance(axes, tuple) else (axes,))))
    kept = out if keep else np.expand_dims(out, axes)
    order = _order(x.shape, x.strides, kept.strides, axes)
    return order is not None and steps.add_sum(order, kept, x)


@lru_cache(maxsize=256)
def _order(shape: tuple[int, ...], strides: tuple[int, ...], to: tuple[int, ...], axes: tuple[int, ...]) -> str | None:
    """The order in which NumPy sums arrays of this layout over these axes, into one of such strides."""
    if not all(shape) or any(stride <= 0 for stride, size in zip(strides, shape) if size > 1):
        return None
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    x, wanted, made = _laid_out(shape, strides), _laid_out(kept, to), _laid_out(kept, to)
    if x is None or wanted is None or made is None:
        return None
    orders = {}
    for order in ("pairwise", "in turn"):
        orders[order] = Steps()
        if not orders[order].add_sum(order, made, x):
            del orders[order]
    for draw in range(6):
        x[...] = _telling(draw, x.size).reshape(shape)
        np.add.reduce(x, axes, out=wanted, keepdims=True)
        for order, sums in list(orders.items()):
            sums()
            if not np.array_equal(made, wanted):
                del orders[order]
    return next(iter(orders), None)


def _telling(draw: int, count: int) -> np.ndarray:
    """Numbers of many sizes, mixed well: what is lost in adding them tells one order from another. Loading numpy.random
    for them would take longer than a recording."""
    mixed = np.arange(draw * count + 1, (draw + 1) * count + 1, dtype=np.uint32) * np.uint32(2654435761)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(2246822519)
    mixed ^= mixed >> np.uint32(13)
    made: np.ndarray = ((mixed & np.uint32(0xffffff)) / 2.0**23 - 1) * np.exp2((mixed >> np.uint32(24)) % 24 - 12.0)
    return made


MOST_ASKED = 1 << 18        # bytes of an array: with a larger one calling is not what takes the time


def _laid_out(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray | None:
    """An array of float32 of such strides, in memory of its own."""
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides))
    if any(stride < 0 for stride in strides) or reach > MOST_ASKED:
        return None
    made: np.ndarray = np.ndarray(shape, np.float32, np.zeros(reach + 4, np.uint8), 0, strides)
    return made
