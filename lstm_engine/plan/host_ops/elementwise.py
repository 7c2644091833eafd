"""Operators that work element by element, activations, and the two softmaxes."""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from ...data_types import DATA_TYPES
from ...graph.nodes import Operator
from .registry import Call, Kernel, builder, plain, repeatable


@functools.lru_cache(maxsize=1)
def _erf_series() -> np.ndarray:
    """Chebyshev coefficients of erf(sqrt(t)) / sqrt(t) for t in [0, 36], past which erf is 1 in float64."""
    count, terms = 48, 40       # the 40th coefficient is 1e-15
    angles = [math.pi * (j + 0.5) / count for j in range(count)]
    roots = [math.sqrt((math.cos(angle) + 1) * 18) for angle in angles]
    values = [math.erf(root) / root for root in roots]
    sums = [math.fsum(value * math.cos(k * angle) for value, angle in zip(values, angles)) for k in range(terms)]
    return np.array(sums) * 2 / count - np.array([sums[0] / count] + [0.0] * (terms - 1))


def erf(x: np.ndarray) -> np.ndarray:
    """The error function within 5e-14 of its value, in float64 inside, in the dtype of `x` outside."""
    wide = np.asarray(x, np.float64)
    t = np.minimum(wide * wide, 36.0)
    value = wide * chebyshev.chebval(t / 18 - 1, _erf_series())
    return np.where(np.abs(wide) >= 6, np.sign(wide), value).astype(x.dtype)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers divide as in C: the quotient is cut towards zero."""
    if a.dtype.kind == "f":
        return np.divide(a, b)
    if a.dtype.kind == "u":
        return np.floor_divide(a, b)
    quotient = np.floor_divide(a, b)
    return (quotient + ((np.remainder(a, b) != 0) & ((a < 0) != (b < 0)))).astype(a.dtype)


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The result has the dtype of the base; a whole base with a fractional exponent is cut."""
    if a.dtype == b.dtype and a.dtype.kind == "f":
        return np.power(a, b)
    wide = np.result_type(a, b) if "f" in (a.dtype.kind, b.dtype.kind) else np.float64
    return np.power(a.astype(wide), b.astype(wide)).astype(a.dtype)


def _mean(*xs: np.ndarray) -> np.ndarray:
    total = functools.reduce(np.add, xs)
    return (total / len(xs)).astype(total.dtype)


def _clip(x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None) -> np.ndarray:
    """ONNX: the upper bound wins where the bounds cross; NaN stays."""
    if low is not None:
        x = np.maximum(x, low.reshape(()))
    if high is not None:
        x = np.minimum(x, high.reshape(()))
    return x


def _divide_again(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Call] | None:
    return [(np.divide, (a, b, out))] if a.dtype.kind == "f" else None


def _prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x * slope, x)


def _prelu_again(out: np.ndarray, x: np.ndarray, slope: np.ndarray) -> list[Call] | None:
    if out.shape != x.shape or out.dtype != np.result_type(x, slope):
        return None
    below = np.empty_like(x, bool)
    return [(np.less, (x, 0, below)), (np.copyto, (out, x)), (partial(np.multiply, x, slope, out, where=below), ())]


def _where_again(out: np.ndarray, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Call] | None:
    return [(np.copyto, (out, b)), (partial(np.copyto, out, a, where=condition), ())] if a.dtype == b.dtype else None


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x.dtype.type(0))


def _relu_again(out: np.ndarray, x: np.ndarray) -> list[Call]:
    return [(partial(np.maximum, x, x.dtype.type(0), out=out), ())]     # its third place is no longer for `out`


def _sigmoid_again(out: np.ndarray, x: np.ndarray) -> list[Call] | None:
    if x.dtype != out.dtype:
        return None
    return [(np.negative, (x, out)), (np.exp, (out, out)), (np.add, (1, out, out)), (np.divide, (1, out, out))]


def _clip_again(out: np.ndarray, x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
                ) -> list[Call] | None:
    if low is None or high is None or not low.dtype == high.dtype == x.dtype == out.dtype:
        return None
    return [(partial(np.maximum, x, low.reshape(()), out=out), ()),
            (partial(np.minimum, out, high.reshape(()), out=out), ())]


def _hard_sigmoid(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    one = x.dtype.type
    return np.minimum(np.maximum(x * one(alpha) + one(beta), one(0)), one(1))


plain({
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": repeatable(_divide, _divide_again),
    "Neg": np.negative, "Abs": np.abs, "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log, "Erf": erf, "Sign": np.sign,
    "Floor": np.floor, "Ceil": np.ceil, "Round": np.rint, "Sin": np.sin, "Cos": np.cos, "Tan": np.tan,
    "Asin": np.arcsin, "Acos": np.arccos, "Atan": np.arctan, "Sinh": np.sinh, "Cosh": np.cosh, "Tanh": np.tanh,
    "Not": np.logical_not, "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor, "Equal": np.equal,
    "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "IsNaN": np.isnan,
    "Where": repeatable(lambda condition, a, b: np.where(condition, a, b), _where_again),
    "Clip": repeatable(_clip, _clip_again), "Relu": repeatable(_relu, _relu_again),
    "PRelu": repeatable(_prelu, _prelu_again), "Sigmoid": repeatable(lambda x: sigmoid(x), _sigmoid_again),
    "Softplus": softplus,
    "Identity": lambda x: x,
    "Reciprocal": lambda x: 1 / x,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "HardSwish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Mish": lambda x: x * np.tanh(softplus(x)),
    "Max": lambda *xs: functools.reduce(np.maximum, xs),
    "Min": lambda *xs: functools.reduce(np.minimum, xs),
    "Sum": lambda *xs: functools.reduce(np.add, xs),
    "Mean": _mean,
    "CastLike": lambda x, like: x.astype(like.dtype),
})


@builder("Pow")
def _pow(attributes: dict[str, Any], node: Operator) -> Kernel:
    exponent = node.constants.get(1)
    if exponent is None or exponent.size != 1 or exponent.dtype.kind != "f" or exponent.item() != 2:
        return _power

    def square(x: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.multiply(x, x) if x.dtype == two.dtype and x.ndim >= two.ndim else _power(x, two)

    def again(out: np.ndarray, x: np.ndarray, two: np.ndarray) -> list[Call] | None:
        return [(np.multiply, (x, x, out))] if x.dtype == two.dtype and x.ndim >= two.ndim else None
    return repeatable(square, again)


@builder("Mod")
def _mod(attributes: dict[str, Any], node: Operator) -> Kernel:
    return np.fmod if attributes["fmod"] else np.remainder


@builder("Cast")
def _cast(attributes: dict[str, Any], node: Operator) -> Kernel:
    dtype = np.dtype(DATA_TYPES[attributes["to"]])
    return repeatable(lambda x: x if x.dtype == dtype else x.astype(dtype),
                      lambda out, x: [(np.copyto, (out, x, "unsafe"))])


@builder("IsInf")
def _is_inf(attributes: dict[str, Any], node: Operator) -> Kernel:
    up, down = bool(attributes["detect_positive"]), bool(attributes["detect_negative"])
    return lambda x: np.isinf(x) & (((x > 0) & up) | ((x < 0) & down))


def _exponential_unit(x: np.ndarray, alpha: float, scale: float = 1.0, inner: float = 1.0) -> np.ndarray:
    """scale * (x >= 0 ? x : alpha * (exp(x / inner) - 1))"""
    one = x.dtype.type
    below = one(alpha) * np.expm1(np.minimum(x, 0) / one(inner))
    result = np.where(x < 0, below, x)
    return result * one(scale) if scale != 1.0 else result


@builder("Elu")
def _elu(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: _exponential_unit(x, alpha)


@builder("Celu")
def _celu(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: _exponential_unit(x, alpha, inner=alpha)


@builder("Selu")
def _selu(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, gamma = attributes["alpha"], attributes["gamma"]
    return lambda x: _exponential_unit(x, alpha, gamma)


@builder("LeakyRelu")
def _leaky_relu(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: np.where(x < 0, x * x.dtype.type(alpha), x)


@builder("ThresholdedRelu")
def _thresholded_relu(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: np.where(x > x.dtype.type(alpha), x, x.dtype.type(0))


@builder("HardSigmoid")
def _hard_sigmoid_builder(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, beta = attributes["alpha"], attributes["beta"]
    return lambda x: _hard_sigmoid(x, alpha, beta)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    one = x.dtype.type
    return one(0.5) * x * (1 + np.tanh(one(math.sqrt(2 / math.pi)) * (x + one(0.044715) * x * x * x)))


def _gelu_exact(x: np.ndarray) -> np.ndarray:
    one = x.dtype.type
    return one(0.5) * x * (1 + erf(x * one(math.sqrt(0.5))))


@builder("Gelu")
def _gelu(attributes: dict[str, Any], node: Operator) -> Kernel:
    return _gelu_tanh if attributes["approximate"] == "tanh" else _gelu_exact


@builder("Softmax")
def _softmax(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def softmax(x: np.ndarray) -> np.ndarray:
        if not x.size:
            return x
        powers = np.exp(x - x.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)
    return softmax


@builder("LogSoftmax")
def _log_softmax(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def log_softmax(x: np.ndarray) -> np.ndarray:
        if not x.size:
            return x
        shifted = x - x.max(axis=axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return log_softmax
