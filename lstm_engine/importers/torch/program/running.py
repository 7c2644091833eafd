"""What has come up to each place of an axis: the greatest, the least, and the logarithm of a sum of exponentials.

ONNX has sums and products so far alone. Here each place looks at all that stand before it, [.., places, places] of
them: exact, whatever the numbers are, where a sum of exponentials that is carried along would lose what is far below
the greatest.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Tensor
from .reductions import reduced
from .registry import aten

new = partial(aten, fresh=True)


@new("logcumsumexp.default")
def _log_sums(e: Emitter, a: Arguments) -> Tensor:
    x, axis = _of_axis(a)
    if not x.is_float:
        a.refuse(f"of {x.dtype} is not supported")
    if not x.rank:
        return x
    before, wide, _ = _before(e, x, axis)
    seen = e.op("Where", before, wide, e.constant(-math.inf, x.dtype))
    return e.swap(reduced(e, "ReduceLogSumExp", seen, [x.rank], False), axis, x.rank - 1)


@new("cummax.default cummin.default")
def _extremes(e: Emitter, a: Arguments) -> list[Tensor]:
    """The values, and where each stands: the last of equal ones. What is no number is above and below all others."""
    x, axis = _of_axis(a)
    if x.dtype == "bool":
        a.refuse("of truth values is not supported")
    if not x.rank:
        return [x, e.constant(0, "int64")]
    before, wide, places = _before(e, x, axis)
    greatest = a.op.startswith("cummax")
    if x.is_float:
        least = -math.inf if greatest else math.inf
    else:
        least = np.iinfo(x.dtype).min if greatest else np.iinfo(x.dtype).max
    seen = e.op("Where", before, wide, e.constant(least, x.dtype))
    values = reduced(e, "ReduceMax" if greatest else "ReduceMin", seen, [x.rank], False)
    same = e.op("Equal", wide, e.unsqueeze(values, x.rank))
    if x.is_float:
        same = e.op("Or", same, e.op("IsNaN", wide))
    found = e.op("Where", e.op("And", same, before), places, e.constant(0, "int64"))
    return [e.swap(made, axis, x.rank - 1) for made in (values, reduced(e, "ReduceMax", found, [x.rank], False))]


def _of_axis(a: Arguments) -> tuple[Tensor, int]:
    x = a.tensor("self")
    return x, a.axis("dim", x.rank)


def _before(e: Emitter, x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """[places, places]: whether one stands at or before another; x with the axis last, [.., 1, places]; the places."""
    zero, one = e.constant(0, "int64"), e.constant(1, "int64")
    places = e.op("Range", zero, e.scalar(e.size(x, axis)), one)
    before = e.op("LessOrEqual", e.unsqueeze(places, 0), e.unsqueeze(places, 1))
    return before, e.unsqueeze(e.swap(x, axis, x.rank - 1), x.rank - 1), places
