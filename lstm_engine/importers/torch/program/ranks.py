"""Numbers by their rank among others: medians, quantiles, the k-th."""

from __future__ import annotations

from functools import partial

from .arguments import Arguments
from .emit import Emitter, Length, Tensor
from .guards import combined
from .reductions import reduced
from .registry import aten

new = partial(aten, fresh=True)


def _in_order(e: Emitter, a: Arguments, default: int | None = None) -> tuple[Tensor, int, Tensor]:
    """The tensor (flat, where no axis is named), the axis, and its numbers in order; NaN comes last."""
    x = a.tensor("self")
    if a.any("dim", default) is None:
        if a.flag("keepdim", False):
            a.refuse("keepdim without dim is not supported")
        x, axis = e.reshape(x, [-1]), 0
    else:
        axis = a.axis("dim", x.rank, default)
    if not x.rank or x.dtype == "bool":
        a.refuse(f"of {x.dtype} of {x.rank} axes is not supported")
    return x, axis, e.several("TopK", 2, x, e.as_tensor(e.size(x, axis)), axis=axis, largest=0)[0]


def _at(e: Emitter, ordered: Tensor, place: Tensor, axis: int, keep: bool) -> Tensor:
    made = e.op("Gather", ordered, place, axis=axis)
    return e.unsqueeze(made, axis) if keep else made


def _unless_nan(e: Emitter, x: Tensor, axis: int, keep: bool, made: Tensor) -> Tensor:
    """NaN where any of the numbers is."""
    if not x.is_float:
        return made
    odd = reduced(e, "ReduceMax", e.op("IsNaN", x), [axis], keep)
    return e.op("Where", odd, e.constant(float("nan"), x.dtype), made)


@new("median.default median.dim")
def _median(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    """The lower one of the two in the middle. Where it stands is for torch to choose among equal ones."""
    x, axis, ordered = _in_order(e, a)
    keep = a.flag("keepdim", False)
    middle: Length = combined(e, "FloorDiv", combined(e, "Add", e.size(x, axis), -1), 2)
    made = _unless_nan(e, x, axis, keep, _at(e, ordered, e.scalar(middle), axis, keep))
    return [made, None] if a.op == "median.dim" else made


@new("kthvalue.default")
def _kth(e: Emitter, a: Arguments) -> list[Tensor | None]:
    x, axis, ordered = _in_order(e, a, -1)
    k, dim = a.whole("k"), x.shape[axis]
    if k < 1 or isinstance(dim, int) and k > dim:
        a.wrong(f"k = {k} of {dim}")
    return [_at(e, ordered, e.constant(k - 1, "int64"), axis, a.flag("keepdim", False)), None]


@new("quantile.scalar quantile.default")
def _quantile(e: Emitter, a: Arguments) -> Tensor:
    """Between the numbers of the ranks around q (n - 1), one q or a vector of them, which stands in front."""
    how, given = a.text("interpolation", "linear"), a.any("q")
    x, axis, ordered = _in_order(e, a)
    keep = a.flag("keepdim", False)
    if not x.is_float or how not in ("linear", "lower", "higher"):
        a.refuse(f"interpolation {how!r:.20} of {x.dtype} is not supported")
    q = given if isinstance(given, Tensor) else e.constant(a.number("q"), x.dtype)
    if q.array is None or q.rank > 1 or not ((q.array >= 0) & (q.array <= 1)).all():
        a.refuse("of fractions that are known only when the model runs, or are not from 0 to 1, is not supported")
    made = [_one_quantile(e, x, axis, ordered, e.constant(one, x.dtype), how, keep) for one in q.array.reshape(-1)]
    return e.op("Concat", *(e.unsqueeze(one, 0) for one in made), axis=0) if q.rank else made[0]


def _one_quantile(e: Emitter, x: Tensor, axis: int, ordered: Tensor, q: Tensor, how: str, keep: bool) -> Tensor:
    last = e.cast(e.scalar(combined(e, "Add", e.size(x, axis), -1)), x.dtype)
    rank = e.op("Mul", q, last)
    low, high = (_at(e, ordered, e.cast(e.op(side, rank), "int64"), axis, keep) for side in ("Floor", "Ceil"))
    if how != "linear":
        return _unless_nan(e, x, axis, keep, low if how == "lower" else high)
    share, way = e.op("Sub", rank, e.op("Floor", rank)), e.op("Sub", high, low)
    # As torch.lerp counts, from the nearer end; equal ends, infinite ones among them, are themselves.
    near = e.op("Add", low, e.op("Mul", share, way))
    far = e.op("Sub", high, e.op("Mul", way, e.op("Sub", e.constant(1, x.dtype), share)))
    between = e.op("Where", e.op("Less", share, e.constant(0.5, x.dtype)), near, far)
    return _unless_nan(e, x, axis, keep, e.op("Where", e.op("Equal", low, high), low, between))
