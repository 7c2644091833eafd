"""Conv of few windows through the C core: its windows are the rows of a Dense.

The packed kernels take a fraction of the time of NumPy's BLAS there, and give each window the same bits whatever stands
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .. import _core
from ..graph import LINEAR, Operator
from ..operators import operator_attributes
from ..operators.convolution import convolution
from ..operators.kernels import Call, Kept, Kernel
from ..operators.windows import geometry, reshaped_again, windows
from .partition import FLOATS
from .steps import through_core
from .weights import Sharing

# Above this many windows the BLAS of NumPy has enough to do; below, it takes several times as long as our kernels.
MOST_ROWS = 64


def convolution_through_core(node: Operator, isa: str, sharing: Sharing) -> Callable[..., np.ndarray] | None:
    """The kernel of a Conv whose weight is fixed and that has one group, few windows through the core; else None."""
    attributes, weight, bias = operator_attributes(node), node.constants.get(1), node.constants.get(2)
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    if attributes["group"] != 1 or weight is None or weight.dtype.name not in FLOATS or weight.ndim < 3 \
            or weight.size == 0 or has_bias and (bias is None or bias.shape != weight.shape[:1]):
        return None
    core = _core.CoreModel(isa, weight.dtype.name, "packed")
    sharing.lend(core, node)
    x = core.input(False, 0, weight.size // len(weight))
    kernel = sharing.made("windows", _as_kernel, weight)
    core.output(core.dense(x, kernel, bias, LINEAR))
    core.finish()

    return _small_convolution(attributes, weight.shape, core)


def _as_kernel(weight: np.ndarray) -> np.ndarray:
    """The weight of a Conv [out, channels, ...] as the kernel of a Dense over windows [prod(...) * channels, out]."""
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1).reshape(len(weight), -1).T)


def _small_convolution(attributes: dict[str, Any], weight: Sequence[int], core: _core.CoreModel) -> Kernel:
    """The kernel of a Conv of one group with a fixed weight of this shape, for few windows; others take `convolution`.

    core: makes [n, out], the bias added, of windows as rows [n, prod(kernel) * C]. Inputs are laid out channels last,
    which makes a window a few runs of memory, and so are results: the next convolution finds its input in place.
    """
    out, channels, *kernel = weight
    strides, dilations = windows(attributes, len(kernel))
    general = convolution(attributes)
    to_last, to_first = (0, *range(2, len(weight)), 1), (0, len(weight) - 1, *range(1, len(weight) - 1))

    def layout(shape: tuple[int, ...]) -> tuple[Any, ...] | None:
        """The padded input, where the input stands in it, its windows' shape and strides in elements, their number."""
        if len(shape) != len(weight) or shape[1] != channels:
            return None
        pads, counts = geometry(attributes, shape[2:], kernel)
        if shape[0] * prod(counts) > MOST_ROWS or not shape[0]:
            return None
        wide = (shape[0], *(a + size + b for (a, b), size in zip(pads, shape[2:])), channels)
        inside = (slice(None), *(slice(a, a + size) for (a, _), size in zip(pads, shape[2:])))
        steps = [prod(wide[axis + 1:]) for axis in range(len(wide))]
        view = (shape[0], *counts, *kernel, channels)
        jumps = (steps[0], *(step * s for step, s in zip(steps[1:], strides)),
                 *(step * d for step, d in zip(steps[1:], dilations)), 1)
        return (wide if any(a or b for a, b in pads) else None, inside, view, jumps, shape[0] * prod(counts),
                (shape[0], *counts, out))

    layouts = Kept(layout)
    rows = prod(kernel) * channels

    def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        found = layouts[x.shape]
        if found is None:
            y: np.ndarray = general(x, weight, bias)
            return y
        wide, inside, view, jumps, count, made = found
        if wide is None:
            last = np.ascontiguousarray(x.transpose(to_last))
        else:
            last = np.zeros(wide, x.dtype)
            last[inside] = x.transpose(to_last)
        size = x.itemsize
        columns = np.ndarray(view, x.dtype, last, 0, [jump * size for jump in jumps])
        product = core.try_one(np.ascontiguousarray(columns.reshape(count, rows)), 1)
        if product is None:                     # numbers that the core does not take
            y = general(x, weight, bias)
            return y
        y = product.reshape(made).transpose(to_first)
        return y

    def again(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
              ) -> list[Call] | None:
        found = layouts[x.shape]
        if found is None:
            own: list[Call] | None = general.repetition(out, x, weight, bias)       # type: ignore[attr-defined]
            return own
        wide, inside, view, jumps, count, made = found
        first = x.transpose(to_last)
        calls: list[Call] = []
        if wide is not None:
            last = np.zeros(wide, x.dtype)
            calls.append((np.copyto, (last[inside], first)))
        elif first.flags.c_contiguous:
            last = first
        else:
            last = np.empty(first.shape, x.dtype)
            calls.append((np.copyto, (last, first)))
        columns = np.ndarray(view, x.dtype, last, 0, [jump * x.itemsize for jump in jumps])
        more, columns = reshaped_again(columns, (count, rows))
        if not columns.flags.c_contiguous:
            packed = np.empty((count, rows), x.dtype)
            more, columns = [*more, (np.copyto, (packed, columns))], packed
        product = out.transpose(to_last)
        call = core.bind([columns], 1, product.reshape(count, made[-1])) if product.flags.c_contiguous else None
        return None if call is None else [*calls, *more, (call, ())]
    return through_core(conv, again, core)
