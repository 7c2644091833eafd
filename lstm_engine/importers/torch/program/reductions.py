"""Reductions over axes."""

from __future__ import annotations

from functools import partial
from typing import Any

from .arguments import Arguments
from .elementwise import as_float
from .emit import Emitter, Length, Tensor
from .registry import aten

new = partial(aten, fresh=True)


def reduced(e: Emitter, op_type: str, x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """ONNX takes no axes at all for all of them, so a tensor without axes is left as it is."""
    return e.op(op_type, x, e.integers(*axes), keepdims=int(keep)) if axes else x


def loss(e: Emitter, a: Arguments, each: Tensor) -> Tensor:
    """The number of each element, their mean or their sum, as `reduction` counts them."""
    reduction = a.whole("reduction", 1)
    if reduction not in (0, 1, 2):
        a.wrong(f"reduction {reduction}")
    axes = list(range(each.rank))
    return each if reduction == 0 else reduced(e, "ReduceMean" if reduction == 1 else "ReduceSum", each, axes, False)


@new("sum.default sum.dim_IntList")
def _sum(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype if x.is_float else "int64"))
    return reduced(e, "ReduceSum", x, a.axes("dim", x.rank), a.flag("keepdim", False))


@new("mean.default mean.dim")
def _mean(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype))
    if not x.is_float:
        a.refuse(f"of {x.dtype} is not supported")
    return reduced(e, "ReduceMean", x, a.axes("dim", x.rank), a.flag("keepdim", False))


@new("prod.default prod.dim_int")
def _prod(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype if x.is_float else "int64"))
    return reduced(e, "ReduceProd", x, a.axes("dim", x.rank), a.flag("keepdim", False))


@new("amax.default max.default")
def _amax(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return reduced(e, "ReduceMax", x, a.axes("dim", x.rank), a.flag("keepdim", False))


@new("amin.default min.default")
def _amin(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return reduced(e, "ReduceMin", x, a.axes("dim", x.rank), a.flag("keepdim", False))


@new("max.dim min.dim")
def _with_index(e: Emitter, a: Arguments) -> list[Tensor]:
    x, keep = a.tensor("self"), a.flag("keepdim", False)
    axis, side = a.axis("dim", x.rank), "Max" if a.op.startswith("max.") else "Min"
    if not x.rank:
        a.refuse("of a tensor without axes is not supported")
    ordered = e.cast(x, "int64") if x.dtype == "bool" else x
    return [reduced(e, f"Reduce{side}", x, [axis], keep), e.op(f"Arg{side}", ordered, axis=axis, keepdims=int(keep))]


def _truth(e: Emitter, a: Arguments, op_type: str) -> Tensor:
    """Whether any is, or all are, other than 0; of uint8 as uint8, the truth values that torch had before bool."""
    x = a.tensor("self")
    made = reduced(e, op_type, e.cast(x, "bool"), a.axes("dim", x.rank), a.flag("keepdim", False))
    return e.cast(made, "uint8") if x.dtype == "uint8" else made


@new("any.default any.dim any.dims")
def _any(e: Emitter, a: Arguments) -> Tensor:
    return _truth(e, a, "ReduceMax")


@new("all.default all.dim all.dims")
def _all(e: Emitter, a: Arguments) -> Tensor:
    return _truth(e, a, "ReduceMin")


@new("aminmax.default")
def _aminmax(e: Emitter, a: Arguments) -> list[Tensor]:
    x, keep = a.tensor("self"), a.flag("keepdim", False)
    axes = a.axes("dim", x.rank)
    return [reduced(e, f"Reduce{side}", x, axes, keep) for side in ("Min", "Max")]


@new("count_nonzero.default count_nonzero.dim_IntList")
def _count_nonzero(e: Emitter, a: Arguments) -> Tensor:
    x = e.cast(e.cast(a.tensor("self"), "bool"), "int64")
    return reduced(e, "ReduceSum", x, a.axes("dim", x.rank), False)


@new("nansum.default nanmean.default")
def _without_nan(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype))
    if not x.is_float:
        a.refuse(f"of {x.dtype} is not supported")
    axes, keep, odd = a.axes("dim", x.rank), a.flag("keepdim", False), e.op("IsNaN", x)
    total = reduced(e, "ReduceSum", e.op("Where", odd, e.constant(0, x.dtype), x), axes, keep)
    if a.op.startswith("nansum"):
        return total
    return e.op("Div", total, reduced(e, "ReduceSum", e.cast(e.op("Not", odd), x.dtype), axes, keep))


@new("logsumexp.default")
def _logsumexp(e: Emitter, a: Arguments) -> Tensor:
    x = as_float(e, a.tensor("self"))
    return reduced(e, "ReduceLogSumExp", x, a.axes("dim", x.rank), a.flag("keepdim", False))


def _count(e: Emitter, x: Tensor, axes: list[int]) -> Length | Tensor:
    """The number of elements along `axes`."""
    sizes = [e.size(x, axis) for axis in axes]
    total = 1
    for size in sizes:
        total = total * size if isinstance(size, int) else total
    made = e.constant(total, "int64")
    for size in sizes:
        made = made if isinstance(size, int) else e.op("Mul", made, e.scalar(size))
    return made


def _variance(e: Emitter, a: Arguments, keep: bool) -> tuple[Tensor, Tensor]:
    """(variance, mean) over the axes; `correction` (1 unless told) is taken from the count."""
    x = a.tensor("self")
    if not x.is_float:
        a.refuse(f"of {x.dtype} is not supported")
    axes = a.axes("dim", x.rank)
    unbiased, correction = a.any("unbiased", None), a.any("correction", None)
    if unbiased is not None:
        correction = 1 if unbiased else 0
    correction = 1 if correction is None else correction
    if type(correction) not in (int, float):
        a.wrong("correction must be a number")
    mean = reduced(e, "ReduceMean", x, axes, True)
    centred = e.op("Sub", x, mean)
    total = reduced(e, "ReduceSum", e.op("Mul", centred, centred), axes, keep)
    count = _count(e, x, axes)
    assert isinstance(count, Tensor)
    left = e.op("Sub", e.cast(count, x.dtype), e.constant(correction, x.dtype))
    divisor = e.op("Max", left, e.constant(0, x.dtype))
    return e.op("Div", total, divisor), mean if keep else e.squeeze(mean, *axes)


@new("var.default var.dim var.correction")
def _var(e: Emitter, a: Arguments) -> Tensor:
    return _variance(e, a, a.flag("keepdim", False))[0]


@new("std.default std.dim std.correction")
def _std(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Sqrt", _variance(e, a, a.flag("keepdim", False))[0])


@new("var_mean.default var_mean.dim var_mean.correction")
def _var_mean(e: Emitter, a: Arguments) -> list[Tensor]:
    return list(_variance(e, a, a.flag("keepdim", False)))


@new("std_mean.default std_mean.dim std_mean.correction")
def _std_mean(e: Emitter, a: Arguments) -> list[Tensor]:
    variance, mean = _variance(e, a, a.flag("keepdim", False))
    return [e.op("Sqrt", variance), mean]


@new("linalg_norm.default")
def _linalg_norm(e: Emitter, a: Arguments) -> Tensor:
    """Of vectors along one axis, or (ord left out) of all elements along several; norms of matrices are others."""
    x = a.tensor("self")
    x = as_float(e, e.cast(x, a.dtype("dtype", x.dtype)))
    power, axes = a.any("ord", None), a.axes("dim", x.rank)
    if power is not None and len(axes) != 1:
        a.refuse(f"the norm {power!r:.20} of matrices is not supported")
    return vector_norm(e, a, x, power, axes, a.flag("keepdim", False))


@new("linalg_vector_norm.default norm.ScalarOpt_dim norm.Scalar norm.ScalarOpt_dim_dtype frobenius_norm.dim")
def _norm(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = as_float(e, e.cast(x, a.dtype("dtype", x.dtype)))
    power = a.any("ord" if a.has("ord") else "p", None)
    return vector_norm(e, a, x, power, a.axes("dim", x.rank), a.flag("keepdim", False))


def vector_norm(e: Emitter, a: Arguments, x: Tensor, power: Any, axes: list[int], keep: bool) -> Tensor:
    """The norm of an order over axes; None is the Euclidean one."""
    power = 2 if power is None else power
    if power in (1, 2):
        return reduced(e, f"ReduceL{int(power)}", x, axes, keep) if axes else e.op("Abs", x)
    if power in (float("inf"), float("-inf")):
        return reduced(e, "ReduceMax" if power > 0 else "ReduceMin", e.op("Abs", x), axes, keep)
    if type(power) not in (int, float) or power <= 0:
        a.refuse(f"of order {power!r:.20} is not supported")
    total = reduced(e, "ReduceSum", e.op("Pow", e.op("Abs", x), e.constant(power, x.dtype)), axes, keep)
    return e.op("Pow", total, e.constant(1 / power, x.dtype))
