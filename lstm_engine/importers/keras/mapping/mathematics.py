"""Operations of keras.ops on each element by itself, beyond those that are one operator and in operations.py."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..reading.config import Layer
from .builder import Builder, Tensor
from .merging import broadcast
from .operations import operand
from .registry import Arguments, Context, check_width, maps, one

_SINGLE = {"Arccos": "Acos", "Arccosh": "Acosh", "Arcsin": "Asin", "Arcsinh": "Asinh", "Arctan": "Atan",
           "Arctanh": "Atanh", "Cosh": "Cosh", "Sinh": "Sinh", "Tan": "Tan", "Erf": "Erf"}
_TIMES = {"Log2": ("Log", 1 / math.log(2)), "Log10": ("Log", 1 / math.log(10)), "Deg2rad": ("", math.pi / 180),
          "Rad2deg": ("", 180 / math.pi)}
_ABOUT = {"Isnan": ("IsNaN", {}), "Isinf": ("IsInf", {}), "Isposinf": ("IsInf", {"detect_negative": 0}),
          "Isneginf": ("IsInf", {"detect_positive": 0})}
_SHRINK = ("HardShrink", "SoftShrink")


def ops(*names: str) -> tuple[str, ...]:
    return tuple(f"ops.{name}" for name in names)


class Floats:
    """Operators on floating-point tensors of one shape, named after one layer."""

    def __init__(self, builder: Builder, name: str, x: Tensor) -> None:
        self.builder, self.name = builder, name
        self.x = builder.as_float(x, name)

    def number(self, value: float) -> np.ndarray:
        return np.array(value, self.x.dtype)

    def __call__(self, op_type: str, *operands: Tensor | np.ndarray | float, dtype: str | None = None) -> Tensor:
        given = [self.number(entry) if isinstance(entry, (int, float)) else entry for entry in operands]
        return self.builder.operator(op_type, self.name, given, self.x.shape, dtype or self.x.dtype)

    def where(self, condition: Tensor, chosen: Tensor | float, other: Tensor | float) -> Tensor:
        return self("Where", condition, chosen, other)

    def below(self, value: Tensor, bound: float) -> Tensor:
        return self("Less", value, bound, dtype="bool")


@maps(*ops(*_SINGLE, *_TIMES, "Exp2", "Round", "Trunc", "Fabs", "Cbrt", "Sinc"))
def of_each(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    kind, f = layer.kind[len("ops."):], Floats(context.builder, layer.where, one(layer, arguments))
    if kind in ("Round", "Trunc") and not one(layer, arguments).dtype.startswith("float"):
        raise UnsupportedError(f"{layer} of whole numbers is not supported; supported: floating-point numbers")
    if kind in _SINGLE:
        return f(_SINGLE[kind], f.x)
    if kind in _TIMES:
        first, factor = _TIMES[kind]
        return f("Mul", f(first, f.x) if first else f.x, factor)
    if kind == "Exp2":
        return f("Pow", f.number(2), f.x)
    if kind == "Round":
        if arguments.setting(layer, "decimals", 1, 0) != 0:
            raise UnsupportedError(f"{layer}: decimals is not supported; supported: 0")
        return f("Round", f.x)
    size = f("Abs", f.x)
    if kind == "Fabs":
        return size
    if kind == "Trunc":
        return f("Mul", f("Sign", f.x), f("Floor", size))
    if kind == "Cbrt":
        return f("Mul", f("Sign", f.x), f("Pow", size, 1 / 3))
    angle = f("Mul", f.x, math.pi)
    zero = f("Equal", f.x, 0.0, dtype="bool")
    return f.where(zero, 1.0, f("Div", f("Sin", angle), f.where(zero, 1.0, angle)))


@maps(*ops("Log1p", "Expm1"))
def near_zero(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """log(1 + x) and exp(x) - 1 without what 1 + x and exp(x) lose near 0.

    There log(u) x / (u - 1) with u = 1 + x as it was rounded (Kahan), and 2 t / (1 - t) with t = tanh(x / 2).
    """
    f = Floats(context.builder, layer.where, one(layer, arguments))
    if layer.kind == "ops.Log1p":
        u = f("Add", f.x, 1.0)
        far, gain = f("Log", u), f("Sub", u, 1.0)
        same = f("Equal", gain, 0.0, dtype="bool")
        near = f.where(same, f.x, f("Div", f("Mul", far, f.x), f.where(same, 1.0, gain)))
    else:
        far, t = f("Sub", f("Exp", f.x), 1.0), f("Tanh", f("Mul", f.x, 0.5))
        near = f("Div", f("Mul", t, 2.0), f("Sub", f.number(1), t))
    return f.where(f.below(f("Abs", f.x), 0.5), near, far)


@maps(*ops(*_ABOUT, "Isfinite"))
def asked_of_each(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    f = Floats(context.builder, layer.where, one(layer, arguments))
    kind = layer.kind[len("ops."):]
    if kind == "Isfinite":                                # x - x is 0 of what is finite, else not a number
        return f("Equal", f("Sub", f.x, f.x), 0.0, dtype="bool")
    op_type, attributes = _ABOUT[kind]
    return context.builder.operator(op_type, layer.where, [f.x], f.x.shape, "bool", attributes)


@maps(*ops("TanhShrink", *_SHRINK, "Threshold", "SparsePlus", "SparseSigmoid", "Squareplus", "Celu"))
def further_activation(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    kind, f = layer.kind[len("ops."):], Floats(context.builder, layer.where, one(layer, arguments))
    x = f.x

    def setting(key: str, position: int, default: float) -> float:
        value = arguments.setting(layer, key, position, default)
        if type(value) not in (int, float) or not abs(value) < 2**31:
            raise UnsupportedError(f"{layer}: {key} {value!r:.80} is not supported; supported: a number")
        return float(value)

    if kind == "TanhShrink":
        return f("Sub", x, f("Tanh", x))
    if kind in _SHRINK:
        threshold = setting("threshold", 1, 0.5)
        small = f("LessOrEqual", f("Abs", x), threshold, dtype="bool")
        left = x if kind == "HardShrink" else f("Sub", x, f("Mul", f("Sign", x), threshold))
        return f.where(small, 0.0, left)
    if kind == "Threshold":
        bound, other = setting("threshold", 1, 0.0), setting("default_value", 2, 0.0)
        return f.where(f("Greater", x, bound, dtype="bool"), x, other)
    if kind == "SparsePlus":
        raised = f("Add", x, 1.0)
        middle = f("Mul", f("Mul", raised, raised), 0.25)
        return f.where(f.below(x, 1.0), f.where(f("LessOrEqual", x, -1.0, dtype="bool"), 0.0, middle), x)
    if kind == "SparseSigmoid":
        return f("Min", f("Max", f("Mul", f("Add", x, 1.0), 0.5), 0.0), 1.0)
    if kind == "Squareplus":
        return f("Mul", f("Add", x, f("Sqrt", f("Add", f("Mul", x, x), setting("b", 1, 4.0)))), 0.5)
    alpha = setting("alpha", 1, 1.0)
    return context.builder.operator("Celu", layer.where, [x], x.shape, attributes={"alpha": alpha})


@maps("ops.Glu")
def glu(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The first half of an axis times the sigmoid of the second."""
    builder, name = context.builder, layer.where
    x = builder.as_float(one(layer, arguments), name)
    axis = arguments.setting(layer, "axis", 1, -1)
    if type(axis) is not int or not -x.rank <= axis < x.rank or axis % x.rank == 0:
        raise UnsupportedError(f"{layer}: axis {axis!r:.80} is not supported; supported: an axis that is not the batch")
    size = x.shape[axis]
    if not isinstance(size, int) or size % 2:
        raise FormatError(f"{layer}: axis {axis} of its input is {size}; expected an even size")
    half, gate = (builder.slice(x, name, axis % x.rank, begin, begin + size // 2) for begin in (0, size // 2))
    gate = builder.operator("Sigmoid", f"{name}/gate", [gate], gate.shape)
    return builder.operator("Mul", name, [half, gate], half.shape)


_Pair = Callable[[Callable[..., Tensor], "Tensor | np.ndarray", "Tensor | np.ndarray"], Tensor]


def _logaddexp(f: Callable[..., Tensor], x: Tensor | np.ndarray, y: Tensor | np.ndarray) -> Tensor:
    """The greater one, and log(1 + exp(-d)) of how far they are apart; of equal infinities itself."""
    most = f("Max", x, y)
    apart = f("Abs", f("Sub", x, y))
    added = f("Add", most, f("Softplus", f("Neg", apart)))
    same = f("Equal", x, y, dtype="bool")
    return f("Where", same, f("Add", most, math.log(2)), added)


_PAIRS: dict[str, _Pair] = {
    "Logaddexp": _logaddexp,
    "DivideNoNan": lambda f, x, y: f("Where", f("Equal", y, 0.0, dtype="bool"), 0.0,
                                     f("Div", x, f("Where", f("Equal", y, 0.0, dtype="bool"), 1.0, y)))}


@maps(*ops(*_PAIRS))
def of_pairs(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name = context.builder, layer.where
    values = [*arguments.args, *(arguments.kwargs[key] for key in ("x1", "x2") if key in arguments.kwargs)]
    arguments.read.add(1)
    if len(values) != 2:
        raise FormatError(f"{layer} is called with {len(values)} operands; expected 2")
    check_width(context, layer, arguments.x)
    tensors = builder.in_one_dtype(arguments.x, name)
    left = iter(tensors)
    x, y = (next(left) if isinstance(value, Tensor) else operand(layer, value, tensors[0]) for value in values)
    shape = broadcast(builder, layer, *tensors) if len(tensors) == 2 else tensors[0].shape

    def f(op_type: str, *operands: Tensor | np.ndarray | float, dtype: str | None = None) -> Tensor:
        given = [np.array(entry, tensors[0].dtype) if isinstance(entry, float) else entry for entry in operands]
        dims = shape
        if all(not isinstance(entry, Tensor) or entry.shape == given[0].shape for entry in given):
            dims = next(entry.shape for entry in given if isinstance(entry, Tensor))
        return builder.operator(op_type, name, given, dims, dtype or tensors[0].dtype)

    return _PAIRS[layer.kind[len("ops."):]](f, x, y)


@maps("ops.LogicalXor")
def logical_xor(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    arguments.read.add(1)
    if len(arguments.x) != 2 or any(x.dtype != "bool" for x in arguments.x):
        raise UnsupportedError(f"{layer} of other than two masks is not supported; supported: two masks")
    return context.builder.operator("Xor", layer.where, arguments.x, broadcast(context.builder, layer, *arguments.x))


@maps("ops.NanToNum")
def nan_to_num(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    f = Floats(context.builder, layer.where, one(layer, arguments))
    most = float(np.finfo(f.x.dtype).max)
    limits = [arguments.setting(layer, key, place, default) for key, place, default in
              (("nan", 1, 0.0), ("posinf", 2, None), ("neginf", 3, None))]
    nan, high, low = (default if value is None else value for value, default in zip(limits, (0.0, most, -most)))
    if any(type(value) not in (int, float) or not abs(value) <= most for value in (nan, high, low)):
        raise UnsupportedError(f"{layer} to {limits!r:.80} is not supported; supported: finite numbers")
    made = f.where(f("IsNaN", f.x, dtype="bool"), float(nan), f.x)
    made = f.where(f("Equal", made, math.inf, dtype="bool"), float(high), made)
    return f.where(f("Equal", made, -math.inf, dtype="bool"), float(low), made)


@maps(*ops("Copy", "StopGradient", "Identity"))
def as_it_is(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    return one(layer, arguments)
