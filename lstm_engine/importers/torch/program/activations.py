"""Activation functions, and softmax."""

from __future__ import annotations

from functools import partial

from .arguments import Arguments
from .elementwise import as_float, clamp
from .emit import Emitter, Tensor
from .registry import aten

new = partial(aten, fresh=True)
EXACT_THRESHOLD = 20.0          # of softplus: above it, float32 cannot tell softplus(x) from x


def _float(a: Arguments, name: str = "self") -> Tensor:
    x = a.tensor(name)
    return x if x.is_float else a.refuse(f"of {x.dtype} is not supported")


@new("relu6.default")
def _relu6(e: Emitter, a: Arguments) -> Tensor:
    return clamp(e, a.tensor("self"), 0, 6, a)


@new("hardtanh.default")
def _hardtanh(e: Emitter, a: Arguments) -> Tensor:
    x, bounds = a.tensor("self"), [a.number("min_val", -1), a.number("max_val", 1)]
    if not x.is_float and any(int(bound) != bound for bound in bounds):
        a.refuse(f"bounds {bounds} of {x.dtype} are not supported")
    low, high = (float(bound) if x.is_float else int(bound) for bound in bounds)
    return clamp(e, x, low, high, a)


@new("hardsigmoid.default")
def _hardsigmoid(e: Emitter, a: Arguments) -> Tensor:
    return e.op("HardSigmoid", _float(a), alpha=1 / 6, beta=0.5)


@new("hardswish.default")
def _hardswish(e: Emitter, a: Arguments) -> Tensor:
    return e.op("HardSwish", _float(a))


@new("leaky_relu.default")
def _leaky_relu(e: Emitter, a: Arguments) -> Tensor:
    return e.op("LeakyRelu", _float(a), alpha=float(a.number("negative_slope", 0.01)))


@new("elu.default")
def _elu(e: Emitter, a: Arguments) -> Tensor:
    if a.number("scale", 1) != 1 or a.number("input_scale", 1) != 1:
        a.refuse("scale and input_scale are not supported")
    return e.op("Elu", _float(a), alpha=float(a.number("alpha", 1)))


@new("celu.default")
def _celu(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Celu", _float(a), alpha=float(a.number("alpha", 1)))


@new("selu.default")
def _selu(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Selu", _float(a))


@new("gelu.default")
def _gelu(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Gelu", _float(a), approximate=a.text("approximate", "none"))


@new("silu.default")
def _silu(e: Emitter, a: Arguments) -> Tensor:
    x = _float(a)
    return e.op("Mul", x, e.op("Sigmoid", x))


@new("mish.default")
def _mish(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Mish", _float(a))


@new("softplus.default")
def _softplus(e: Emitter, a: Arguments) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold."""
    x, beta, threshold = _float(a), float(a.number("beta", 1)), float(a.number("threshold", 20))
    scaled = x if beta == 1 else e.op("Mul", x, e.constant(beta, x.dtype))
    y = e.op("Softplus", scaled)
    y = y if beta == 1 else e.op("Div", y, e.constant(beta, x.dtype))
    if threshold >= EXACT_THRESHOLD and x.dtype == "float32":
        return y
    return e.op("Where", e.op("Greater", scaled, e.constant(threshold, x.dtype)), x, y)


@new("log_sigmoid.default")
def _log_sigmoid(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Neg", e.op("Softplus", e.op("Neg", _float(a))))


@new("threshold.default")
def _threshold(e: Emitter, a: Arguments) -> Tensor:
    x, numbers = a.tensor("self"), [a.number(name) for name in ("threshold", "value")]
    if x.dtype == "bool" or not x.is_float and any(int(number) != number for number in numbers):
        a.refuse(f"at {numbers[0]} of {x.dtype} is not supported")
    limit, value = (e.constant(number, x.dtype) for number in numbers)
    return e.op("Where", e.op("LessOrEqual", x, limit), value, x)       # a NaN stays


@new("hardshrink.default")
def _hardshrink(e: Emitter, a: Arguments) -> Tensor:
    x = _float(a)
    limit = e.constant(a.number("lambd", 0.5), x.dtype)
    return e.op("Where", e.op("LessOrEqual", e.op("Abs", x), limit), e.constant(0, x.dtype), x)


@new("softshrink.default")
def _softshrink(e: Emitter, a: Arguments) -> Tensor:
    x, limit = _float(a), float(a.number("lambd", 0.5))
    return e.op("Sub", x, e.op("Clip", x, e.constant(-limit, x.dtype), e.constant(limit, x.dtype)))


@new("prelu.default")
def _prelu(e: Emitter, a: Arguments) -> Tensor:
    """One slope, or one for each index of axis 1."""
    x, slope = _float(a), a.tensor("weight")
    slope = slope if slope.rank else e.unsqueeze(slope, 0)
    if slope.rank != 1 or not isinstance(slope.shape[0], int):
        a.refuse("slopes that are no vector")
    shape = [1] * x.rank
    if slope.shape[0] > 1:
        shape[1 if x.rank > 1 else 0] = slope.shape[0]
    return e.op("PRelu", x, e.reshape(slope, shape) if x.rank else e.reshape(slope, []))


@new("glu.default")
def _glu(e: Emitter, a: Arguments) -> Tensor:
    x = _float(a)
    axis = a.axis("dim", x.rank, -1)
    size = x.shape[axis]
    if not isinstance(size, int) or size % 2:
        a.refuse("an axis that has no known, even size")
    left, right = e.several("Split", 2, x, e.integers(size // 2, size // 2), axis=axis)
    return e.op("Mul", left, e.op("Sigmoid", right))


def _softmax(op_type: str, e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype))
    if not x.is_float:
        a.refuse(f"of {x.dtype} is not supported")
    a.ignore("half_to_float")       # half precision is computed in float32 anyway
    return e.op(op_type, x, axis=a.axis("dim", x.rank))


@new("softmax.int _softmax.default")
def _soft(e: Emitter, a: Arguments) -> Tensor:
    return _softmax("Softmax", e, a)


@new("log_softmax.int _log_softmax.default")
def _log_soft(e: Emitter, a: Arguments) -> Tensor:
    return _softmax("LogSoftmax", e, a)


@new("softmin.default")
def _softmin(e: Emitter, a: Arguments) -> Tensor:
    x = as_float(e, a.tensor("self"))
    return e.op("Softmax", e.op("Neg", x), axis=a.axis("dim", x.rank))
