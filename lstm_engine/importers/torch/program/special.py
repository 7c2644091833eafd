"""Functions that programs seldom hold, put together from operators that ONNX has."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .arguments import Arguments
from .elementwise import as_float, extreme
from .emit import Emitter, Tensor
from .promotion import promoted
from .reductions import loss
from .registry import aten
from .views import MOST_PLACES

new = partial(aten, fresh=True)


def _below(e: Emitter, x: Tensor) -> Tensor:
    """Whether a number is negative, -0 too."""
    zero = e.constant(0, x.dtype)
    seen = e.op("Where", e.op("Equal", x, zero), e.op("Div", e.constant(1, x.dtype), x), x)
    return e.op("Less", seen, zero)


@new("atan2.default")
def _atan2(e: Emitter, a: Arguments) -> Tensor:
    """The angle of (other, self): that of their absolute numbers, a right one at most, mirrored into its quadrant."""
    y, x = (as_float(e, side) for side in promoted(e, a.tensor("self"), a.tensor("other")))
    high, wide, dtype = e.op("Abs", y), e.op("Abs", x), y.dtype
    # Equal ones, both 0 and both infinite among them, have no quotient to ask.
    share = e.op("Where", e.op("Equal", high, wide), e.constant(1, dtype), e.op("Div", high, wide))
    angle = e.op("Atan", e.op("Where", e.op("Equal", high, e.constant(0, dtype)), high, share))
    # Beside NaN every angle is NaN, whichever way the comparisons went.
    angle = e.op("Where", e.op("Or", e.op("IsNaN", y), e.op("IsNaN", x)), e.constant(math.nan, dtype), angle)
    angle = e.op("Where", _below(e, x), e.op("Sub", e.constant(math.pi, dtype), angle), angle)
    return e.op("Where", _below(e, y), e.op("Neg", angle), angle)


@new("sinc.default")
def _sinc(e: Emitter, a: Arguments) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    x = as_float(e, a.tensor("self"))
    turned = e.op("Mul", x, e.constant(math.pi, x.dtype))
    zero, one = e.constant(0, x.dtype), e.constant(1, x.dtype)
    at_zero = e.op("Equal", x, zero)
    return e.op("Where", at_zero, one, e.op("Div", e.op("Sin", turned), e.op("Where", at_zero, one, turned)))


@new("fmax.default fmin.default")
def _beside_nan(e: Emitter, a: Arguments) -> Tensor:
    """The greater or lesser one; beside NaN the other."""
    x, y = promoted(e, a.tensor("self"), a.tensor("other"))
    made = extreme(e, "Max" if a.op.startswith("fmax") else "Min", x, y)
    if not x.is_float:
        return made
    return e.op("Where", e.op("IsNaN", x), y, e.op("Where", e.op("IsNaN", y), x, made))


@new("isposinf.default isneginf.default")
def _infinite(e: Emitter, a: Arguments) -> Tensor:
    x, positive = as_float(e, a.tensor("self")), a.op.startswith("ispos")
    return e.op("IsInf", x, detect_positive=int(positive), detect_negative=int(not positive))


@new("logaddexp2.default")
def _logaddexp2(e: Emitter, a: Arguments) -> Tensor:
    """The greater one + log2(1 + 2^-|x - y|); equal ones, infinite ones among them, are x + 1."""
    x, y = (as_float(e, side) for side in promoted(e, a.tensor("self"), a.tensor("other")))
    log2 = e.constant(math.log(2), x.dtype)
    apart = e.op("Where", e.op("Equal", x, y), e.constant(0, x.dtype), e.op("Abs", e.op("Sub", x, y)))
    more = e.op("Softplus", e.op("Neg", e.op("Mul", apart, log2)))
    return e.op("Add", e.op("Max", x, y), e.op("Div", more, log2))


@new("round.decimals")
def _round(e: Emitter, a: Arguments) -> Tensor:
    """In parts of 10^-decimals, multiplied and divided as torch does it."""
    x, decimals = a.tensor("self"), a.whole("decimals")
    if not x.is_float or abs(decimals) > 30:
        a.refuse(f"{decimals} decimals of {x.dtype} are not supported")
    ten = e.constant(10.0 ** abs(decimals), x.dtype)
    first, then = ("Mul", "Div") if decimals > 0 else ("Div", "Mul")
    return e.op(then, e.op("Round", e.op(first, x, ten)), ten) if decimals else e.op("Round", x)


@new("binary_cross_entropy.default binary_cross_entropy_with_logits.default")
def _binary_cross_entropy(e: Emitter, a: Arguments) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), the logarithms not below -100; of logits (1 - t) x + log(1 + exp(-x))."""
    x, target = a.tensor("self"), a.tensor("target")
    if x.dtype != target.dtype:
        a.refuse(f"of {x.dtype} beside a target of {target.dtype} is not supported; cast the target")
    weight, positive = a.optional("weight"), a.optional("pos_weight") if "logits" in a.op else None
    one = e.constant(1, x.dtype)
    rest = e.op("Sub", one, target)
    if "logits" in a.op:
        more = e.op("Softplus", e.op("Neg", x))
        if positive is not None:
            more = e.op("Mul", more, e.op("Add", one, e.op("Mul", e.op("Sub", positive, one), target)))
        each = e.op("Add", e.op("Mul", rest, x), more)
    else:
        least = e.constant(-100, x.dtype)
        yes, no = (e.op("Max", e.op("Log", p), least) for p in (x, e.op("Sub", one, x)))
        each = e.op("Neg", e.op("Add", e.op("Mul", target, yes), e.op("Mul", rest, no)))
    return loss(e, a, each if weight is None else e.op("Mul", each, weight))


@new("masked_select.default")
def _masked_select(e: Emitter, a: Arguments) -> Tensor:
    """What stands where the mask is true, in order, of tensors of one shape."""
    x, mask = a.tensor("self"), a.tensor("mask")
    if x.shape != mask.shape or mask.dtype != "bool" or not x.rank:
        a.refuse(f"of {list(x.shape)} by a mask {list(mask.shape)}, which must be broadcast, is not supported; expand "
                 "the smaller one")
    return e.op("GatherND", x, e.transpose(e.op("NonZero", mask), (1, 0)))


@new("hann_window.default hann_window.periodic hamming_window.default hamming_window.periodic"
     " hamming_window.periodic_alpha hamming_window.periodic_alpha_beta")
def _window(e: Emitter, a: Arguments) -> Tensor:
    """alpha - beta cos(2 pi n / N), over a whole period, or one element less."""
    length, periodic, dtype = a.whole("window_length"), a.flag("periodic", True), a.dtype("dtype", "float32")
    hann = a.op.startswith("hann")
    alpha, beta = (0.5, 0.5) if hann else (a.number("alpha", 0.54), a.number("beta", 0.46))
    if not 0 <= length <= MOST_PLACES or not dtype.startswith("float"):
        a.refuse(f"{length} elements of {dtype} are not supported")

    def made() -> list[np.ndarray]:
        turns = np.arange(length) * (2 * math.pi / max(length if periodic else length - 1, 1))
        return [np.asarray(alpha - beta * np.cos(turns) if length != 1 else np.ones(1), dtype)]
    return e.derived(("window", a.op, length, periodic, alpha, beta, dtype), made)[0]


@new("bitwise_left_shift.Tensor bitwise_left_shift.Tensor_Scalar bitwise_right_shift.Tensor"
     " bitwise_right_shift.Tensor_Scalar __lshift__.Scalar __lshift__.Tensor __rshift__.Scalar __rshift__.Tensor")
def _shift(e: Emitter, a: Arguments) -> Tensor:
    """By a number of places that is known: a product, or a quotient rounded down."""
    x, places = a.tensor("self"), a.any("other")
    if isinstance(places, Tensor) and places.array is not None and places.array.size == 1:
        places = places.array.item()
    bits = {"int32": 31, "int64": 63}.get(x.dtype, 0)
    if type(places) is not int or not 0 <= places < bits:
        a.refuse(f"of {x.dtype}, or by places that are known only when the model runs, is not supported")
    by = e.constant(2 ** places, x.dtype)
    if "left" in a.op or "lshift" in a.op:
        return e.op("Mul", x, by)
    return e.op("Div", e.op("Sub", x, e.op("Mod", x, by)), by)
