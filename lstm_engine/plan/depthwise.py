"""Conv of windows of single channels through the core, where channels that stand side by side are summed side by side.

As matrix products, one of a row and a few columns for each channel, they take ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Steps
from ..graph import Operator
from ..operators import operator_attributes
from ..operators.convolution import convolution
from ..operators.kernels import Call, Kept, repeatable
from ..operators.windows import geometry, windows
from .weights import Sharing


def depthwise_through_core(node: Operator, sharing: Sharing) -> Callable[..., np.ndarray] | None:
    """The kernel of a Conv over one or two axes that has as many groups as channels, and a fixed weight; else None."""
    attributes, weight, bias = operator_attributes(node), node.constants.get(1), node.constants.get(2)
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    if weight is None or weight.dtype != np.float32 or weight.ndim not in (3, 4) or weight.size == 0 \
            or not attributes["group"] == len(weight) > 1 or weight.shape[1] != 1 \
            or has_bias and (bias is None or bias.dtype != np.float32 or bias.shape != weight.shape[:1]):
        return None
    taps = sharing.made("taps", _as_taps, weight)
    added = None if bias is None else np.ascontiguousarray(bias)
    channels, _, *kernel = weight.shape
    general = convolution(attributes)
    lead = (1,) * (2 - len(kernel))             # one axis is two, the first of one element
    to_last, to_first = (0, *range(2, weight.ndim), 1), (0, weight.ndim - 1, *range(1, weight.ndim - 1))
    strides, dilations = ((*lead, *given) for given in windows(attributes, len(kernel)))

    def layout(shape: tuple[int, ...]) -> tuple[Any, ...] | None:
        """The shape of the result, channels last, and the padding in front of each of two axes."""
        if len(shape) != weight.ndim or shape[1] != channels or not all(shape):
            return None
        pads, counts = geometry(attributes, shape[2:], kernel)
        return (shape[0], *counts, channels), (*(0 for _ in lead), *(before for before, _ in pads))

    layouts = Kept(layout)

    def steps_of(last: np.ndarray, out: np.ndarray, before: tuple[int, ...]) -> Steps | None:
        """What makes `out` of `last`, both of which have their channels last."""
        steps, at = Steps(), tuple(range(1, 1 + len(lead)))
        fits = steps.add_depthwise(np.expand_dims(out, at), np.expand_dims(last, at), taps, added, strides, dilations,
                                   before)
        return steps if fits else None

    def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        found = layouts[x.shape] if x.dtype == np.float32 else None
        if found is not None:
            shape, before = found
            out = np.empty(shape, np.float32)
            steps = steps_of(_side_by_side(x.transpose(to_last)), out, before)
            if steps is not None:
                steps()
                moved: np.ndarray = out.transpose(to_first)
                return moved
        y: np.ndarray = general(x, weight, bias)
        return y

    def again(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> list[Call] | None:
        found = layouts[x.shape] if x.dtype == np.float32 else None
        if found is None:
            own: list[Call] | None = general.repetition(out, x, weight, bias)       # type: ignore[attr-defined]
            return own
        first = x.transpose(to_last)
        last = _side_by_side(first)
        steps = steps_of(last, out.transpose(to_last), found[1])
        return None if steps is None else [*([] if last is first else [(np.copyto, (last, first))]), (steps, ())]
    return repeatable(conv, again)


def _as_taps(weight: np.ndarray) -> np.ndarray:
    """The weight of a Conv [channels, 1, ...] as [rows, columns, channels]."""
    taps = np.moveaxis(weight[:, 0], 0, -1)
    return np.ascontiguousarray(taps if taps.ndim == 3 else taps[None])


def _side_by_side(x: np.ndarray) -> np.ndarray:
    """`x` itself where the elements of its last axis stand side by side, at places that C can read, else a copy."""
    fits = x.strides[-1] == x.itemsize and x.flags.aligned and x.dtype.isnative
    return x if fits else np.ascontiguousarray(x)
