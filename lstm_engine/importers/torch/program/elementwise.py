"""Arithmetic, comparisons and functions element by element."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Size, Tensor
from .promotion import Operand, as_dtype, promoted, result_type
from .registry import TABLE, Known, aten

new = partial(aten, fresh=True)
_BOOLEAN = {"Add": "Or", "Mul": "And"}          # sums and products of truth values


def operand(a: Arguments, name: str) -> Operand:
    """A tensor, a size or a plain number."""
    value = a.any(name)
    if not isinstance(value, (Tensor, Size, bool, int, float)):
        a.wrong(f"argument {name!r} must be a tensor or a number")
    return value


def _arithmetic(e: Emitter, a: Arguments, op_type: str, x: Operand, y: Operand, floating: bool = False) -> Tensor:
    left, right = promoted(e, x, y, floating=floating)
    if left.dtype == "bool":
        if op_type not in _BOOLEAN:
            a.refuse("differences and quotients of truth values are not supported")
        op_type = _BOOLEAN[op_type]
    return e.op(op_type, left, right)


def _scaled(e: Emitter, a: Arguments, op_type: str, x: Operand, y: Operand) -> Tensor:
    """x + alpha * y, or x - alpha * y: alpha is of the type of the result, and no part in finding it."""
    alpha = operand(a, "alpha") if a.has("alpha") else 1
    a.ignore("alpha")
    if isinstance(alpha, Size) or alpha != 1:
        dtype = result_type([x, y])
        if isinstance(alpha, float) and not dtype.startswith("float") or type(alpha) is bool and dtype != "bool":
            a.wrong(f"alpha {alpha!r} of a result of {dtype}")
        y = _arithmetic(e, a, "Mul", as_dtype(e, y, dtype), as_dtype(e, alpha, dtype))
        x = as_dtype(e, x, dtype)
    return _arithmetic(e, a, op_type, x, y)


@new("add.Tensor add.Scalar")
def _add(e: Emitter, a: Arguments) -> Tensor:
    return _scaled(e, a, "Add", a.tensor("self"), operand(a, "other"))


@new("sub.Tensor sub.Scalar")
def _sub(e: Emitter, a: Arguments) -> Tensor:
    return _scaled(e, a, "Sub", a.tensor("self"), operand(a, "other"))


@new("rsub.Tensor rsub.Scalar")
def _rsub(e: Emitter, a: Arguments) -> Tensor:
    return _scaled(e, a, "Sub", operand(a, "other"), a.tensor("self"))


@new("mul.Tensor mul.Scalar")
def _mul(e: Emitter, a: Arguments) -> Tensor:
    return _arithmetic(e, a, "Mul", a.tensor("self"), operand(a, "other"))


@new("div.Tensor div.Scalar true_divide.Tensor")
def _div(e: Emitter, a: Arguments) -> Tensor:
    return _arithmetic(e, a, "Div", a.tensor("self"), operand(a, "other"), floating=True)


@new("div.Tensor_mode div.Scalar_mode floor_divide.default floor_divide.Scalar")
def _rounded_div(e: Emitter, a: Arguments) -> Tensor:
    mode = a.any("rounding_mode", "floor")
    x, y = promoted(e, operand(a, "self"), operand(a, "other"), floating=mode is None)
    if x.dtype == "bool" or mode not in (None, "floor", "trunc"):
        a.refuse(f"rounding_mode {mode!r} of {x.dtype} is not supported")
    if mode is None:
        return e.op("Div", x, y)
    if mode == "trunc":
        return _truncated(e, e.op("Div", x, y))
    if not x.is_float:
        return e.op("Div", e.op("Sub", x, _remainder(e, x, y)), y)
    return _floored(e, x, y)


def _floored(e: Emitter, x: Tensor, y: Tensor) -> Tensor:
    """The quotient rounded down, as torch counts it (c10::div_floor_floating): what is left over is taken away before
    the division, so that it is all but exact. By 0 it is the quotient itself, infinite or NaN."""
    zero, one, half = (e.constant(number, x.dtype) for number in (0, 1, 0.5))
    rest = e.op("Mod", x, y, fmod=1)
    whole = e.op("Div", e.op("Sub", x, rest), y)
    whole = e.op("Where", _other_side(e, rest, y), e.op("Sub", whole, one), whole)
    low = e.op("Floor", whole)
    low = e.op("Where", e.op("Greater", e.op("Sub", whole, low), half), e.op("Add", low, one), low)
    return e.op("Where", e.op("Equal", y, zero), e.op("Div", x, y), low)


def _other_side(e: Emitter, rest: Tensor, y: Tensor) -> Tensor:
    """Whether a remainder is not 0 and of another sign than its divisor."""
    zero = e.constant(0, rest.dtype)
    differs = e.op("Xor", e.op("Less", rest, zero), e.op("Less", y, zero))
    return e.op("And", differs, e.op("Not", e.op("Equal", rest, zero)))


def _truncated(e: Emitter, x: Tensor) -> Tensor:
    return e.op("Mul", e.op("Sign", x), e.op("Floor", e.op("Abs", x))) if x.is_float else x


def _remainder(e: Emitter, x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the sign of the divisor."""
    if not x.is_float:
        return e.op("Mod", x, y)
    rest = e.op("Mod", x, y, fmod=1)
    return e.op("Where", _other_side(e, rest, y), e.op("Add", rest, y), rest)


@new("remainder.Tensor remainder.Scalar")
def _remainder_of(e: Emitter, a: Arguments) -> Tensor:
    x, y = promoted(e, a.tensor("self"), operand(a, "other"))
    return _remainder(e, x, y) if x.dtype != "bool" else a.refuse("a remainder of truth values is not supported")


@new("fmod.Tensor fmod.Scalar")
def _fmod(e: Emitter, a: Arguments) -> Tensor:
    x, y = promoted(e, a.tensor("self"), operand(a, "other"))
    return e.op("Mod", x, y, fmod=1)


@new("pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar")
def _pow(e: Emitter, a: Arguments) -> Tensor:
    base, exponent = operand(a, "self"), operand(a, "exponent")
    x, y = promoted(e, base, exponent)
    if not x.is_float and not (type(exponent) is int and exponent >= 0):
        a.refuse("a power of whole numbers needs a plain exponent that is not negative")
    return e.op("Pow", x, y)


def extreme(e: Emitter, side: str, x: Tensor, y: Tensor) -> Tensor:
    """Max or Min; of truth values, which ONNX does not compare, Or or And."""
    return e.op({"Max": "Or", "Min": "And"}[side] if x.dtype == "bool" else side, x, y)


@new("maximum.default max.other")
def _maximum(e: Emitter, a: Arguments) -> Tensor:
    return extreme(e, "Max", *promoted(e, a.tensor("self"), a.tensor("other")))


@new("minimum.default min.other")
def _minimum(e: Emitter, a: Arguments) -> Tensor:
    return extreme(e, "Min", *promoted(e, a.tensor("self"), a.tensor("other")))


_COMPARISONS = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
                "ne": "Equal"}


def _comparison(name: str) -> None:
    @new(f"{name}.Tensor {name}.Scalar")
    def compare(e: Emitter, a: Arguments) -> Tensor:
        x, y = promoted(e, a.tensor("self"), operand(a, "other"))
        if x.dtype == "bool" and name not in ("eq", "ne"):
            x, y = e.cast(x, "int32"), e.cast(y, "int32")
        made = e.op(_COMPARISONS[name], x, y)
        return e.op("Not", made) if name == "ne" else made


for _name in _COMPARISONS:
    _comparison(_name)


_LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}


def _logic(name: str) -> None:
    @new(f"logical_{name}.default")
    def logical(e: Emitter, a: Arguments) -> Tensor:
        return e.op(_LOGIC[name], *(e.cast(a.tensor(side), "bool") for side in ("self", "other")))

    @new(f"bitwise_{name}.Tensor bitwise_{name}.Scalar __{name}__.Tensor __{name}__.Scalar")
    def bitwise(e: Emitter, a: Arguments) -> Tensor:
        x, y = promoted(e, a.tensor("self"), operand(a, "other"))
        if x.is_float:
            a.wrong(f"bits of {x.dtype}")
        return e.op(_LOGIC[name] if x.dtype == "bool" else f"Bitwise{_LOGIC[name]}", x, y)


for _name in _LOGIC:
    _logic(_name)


@new("logical_not.default")
def _logical_not(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Not", e.cast(a.tensor("self"), "bool"))


@new("bitwise_not.default")
def _bitwise_not(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.op("Not" if x.dtype == "bool" else "BitwiseNot", x) if not x.is_float else a.wrong(f"bits of {x.dtype}")


@new("where.self where.ScalarSelf where.ScalarOther where.Scalar")
def _where(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Where", e.cast(a.tensor("condition"), "bool"), *promoted(e, operand(a, "self"), operand(a, "other")))


@new("masked_fill.Scalar masked_fill.Tensor")
def _masked_fill(e: Emitter, a: Arguments) -> Tensor:
    """The value becomes one of the type that is filled, as it is put there: 2.5 among whole numbers is 2."""
    x, value = a.tensor("self"), operand(a, "value")
    if not isinstance(value, (Tensor, Size)) and not _held(value, x.dtype):
        a.refuse(f"{value!r} is a value that {x.dtype} cannot hold")
    if isinstance(value, Tensor) and value.rank:
        a.wrong("a value with axes")
    return e.op("Where", e.cast(a.tensor("mask"), "bool"), as_dtype(e, value, x.dtype), x)


def _held(value: float, dtype: str) -> bool:
    """Whether a plain number is one of a dtype but for its fraction."""
    if dtype == "bool" or dtype.startswith("float"):
        return True
    limits = np.iinfo(dtype)
    return math.isfinite(value) and int(limits.min) <= int(value) <= int(limits.max)


def as_float(e: Emitter, x: Tensor) -> Tensor:
    """What a function of real numbers works on: whole numbers become float32."""
    return x if x.is_float else e.cast(x, "float32")


_FUNCTIONS = {"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "erf": "Erf", "sin": "Sin", "cos": "Cos", "tan": "Tan",
              "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
              "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh",
              "sigmoid": "Sigmoid", "reciprocal": "Reciprocal", "special_expit": "Sigmoid", "special_erf": "Erf"}
_WHOLE = {"abs": "Abs", "neg": "Neg", "floor": "Floor", "ceil": "Ceil", "round": "Round",
          "relu": "Relu"}


def _function(name: str, op_type: str) -> None:
    def write(e: Emitter, a: Arguments) -> Tensor:
        return e.op(op_type, as_float(e, a.tensor("self")))
    TABLE[f"{name}.default"] = Known(write, True)


def _whole(name: str, op_type: str) -> None:
    """Functions that keep whole numbers whole."""
    def write(e: Emitter, a: Arguments) -> Tensor:
        x = a.tensor("self")
        if x.dtype == "bool":
            a.refuse("of truth values is not supported")
        if not x.is_float and op_type in ("Floor", "Ceil", "Round"):
            return x
        return e.op(op_type, x)
    TABLE[f"{name}.default"] = Known(write, True)


for _name, _op in _FUNCTIONS.items():
    _function(_name, _op)
for _name, _op in _WHOLE.items():
    _whole(_name, _op)


@new("sign.default sgn.default")
def _sign(e: Emitter, a: Arguments) -> Tensor:
    """torch's sign of NaN is 0."""
    x = a.tensor("self")
    if x.dtype == "bool":
        a.refuse("of truth values is not supported")
    sign = e.op("Sign", x)
    return e.op("Where", e.op("IsNaN", x), e.constant(0, x.dtype), sign) if x.is_float else sign


@new("rsqrt.default")
def _rsqrt(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Reciprocal", e.op("Sqrt", as_float(e, a.tensor("self"))))


@new("square.default")
def _square(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, "int64") if x.dtype == "bool" else x
    return e.op("Mul", x, x)


@new("trunc.default fix.default")
def _trunc(e: Emitter, a: Arguments) -> Tensor:
    return _truncated(e, a.tensor("self"))


def _log_to(name: str, base: float) -> None:
    @new(f"{name}.default")
    def log_to(e: Emitter, a: Arguments) -> Tensor:
        x = e.op("Log", as_float(e, a.tensor("self")))
        return e.op("Mul", x, e.constant(1 / math.log(base), x.dtype))


_log_to("log2", 2)
_log_to("log10", 10)


def _near_zero(e: Emitter, x: Tensor, near: Tensor, far: Tensor) -> Tensor:
    return e.op("Where", e.op("Less", e.op("Abs", x), e.constant(0.5, x.dtype)), near, far)


@new("log1p.default")
def _log1p(e: Emitter, a: Arguments) -> Tensor:
    """Near 0: log(u) x / (u - 1) with u = 1 + x as it was rounded (Kahan), where u is not 1."""
    x = as_float(e, a.tensor("self"))
    one = e.constant(1, x.dtype)
    u = e.op("Add", x, one)
    log, gain = e.op("Log", u), e.op("Sub", u, one)
    same = e.op("Equal", gain, e.constant(0, x.dtype))
    near = e.op("Where", same, x, e.op("Div", e.op("Mul", log, x), e.op("Where", same, one, gain)))
    return _near_zero(e, x, near, log)


@new("expm1.default special_expm1.default")
def _expm1(e: Emitter, a: Arguments) -> Tensor:
    """Near 0: 2 t / (1 - t) with t = tanh(x / 2)."""
    x = as_float(e, a.tensor("self"))
    one, two = e.constant(1, x.dtype), e.constant(2, x.dtype)
    t = e.op("Tanh", e.op("Div", x, two))
    return _near_zero(e, x, e.op("Div", e.op("Mul", two, t), e.op("Sub", one, t)),
                      e.op("Sub", e.op("Exp", x), one))


@new("nan_to_num.default")
def _nan_to_num(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    limits = np.finfo(x.dtype) if x.is_float else None
    for name, default in (("nan", 0.0), ("posinf", limits and limits.max), ("neginf", limits and limits.min)):
        number = a.any(name, None)
        if number is not None and type(number) not in (int, float):
            a.wrong(f"{name} must be a number")
        if limits is None:
            continue        # whole numbers are all finite
        found = e.op("IsNaN", x) if name == "nan" else \
            e.op("IsInf", x, detect_positive=int(name == "posinf"), detect_negative=int(name == "neginf"))
        x = e.op("Where", found, e.constant(default if number is None else number, x.dtype), x)
    return x


@new("isnan.default")
def _isnan(e: Emitter, a: Arguments) -> Tensor:
    return e.op("IsNaN", as_float(e, a.tensor("self")))


@new("isinf.default")
def _isinf(e: Emitter, a: Arguments) -> Tensor:
    return e.op("IsInf", as_float(e, a.tensor("self")))


@new("clamp.default clip.default")
def _clamp(e: Emitter, a: Arguments) -> Tensor:
    return clamp(e, a.tensor("self"), a.any("min", None), a.any("max", None), a)


@new("clamp_min.default")
def _clamp_min(e: Emitter, a: Arguments) -> Tensor:
    return clamp(e, a.tensor("self"), a.any("min"), None, a)


@new("clamp_max.default")
def _clamp_max(e: Emitter, a: Arguments) -> Tensor:
    return clamp(e, a.tensor("self"), None, a.any("max"), a)


def clamp(e: Emitter, x: Tensor, low: Any, high: Any, a: Arguments) -> Tensor:
    """min(max(x, low), high); bounds are plain numbers or None."""
    if any(bound is not None and type(bound) not in (int, float) for bound in (low, high)) or x.dtype == "bool":
        a.refuse("bounds that are no plain numbers, or of truth values, are not supported")
    dtype = result_type([x, *(bound for bound in (low, high) if bound is not None)])
    bounds = [None if bound is None else e.constant(bound, dtype) for bound in (low, high)]
    return e.op("Clip", e.cast(x, dtype), *bounds)


@new("clamp.Tensor clamp_min.Tensor clamp_max.Tensor")
def _clamp_tensor(e: Emitter, a: Arguments) -> Tensor:
    x, bounds = a.tensor("self"), {"Max": a.optional("min"), "Min": a.optional("max")}
    dtype = result_type([x, *(bound for bound in bounds.values() if bound is not None)])
    for op_type, bound in bounds.items():
        if bound is not None:
            x = extreme(e, op_type, e.cast(x, dtype), e.cast(bound, dtype))
    return x
