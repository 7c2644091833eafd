"""The activation functions in float64, by the names of `graph.activations`.

Source of the equations: the ONNX operators of the same names; keras.activations for those that ONNX lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import UnsupportedError
from ..graph import ACTIVATIONS, Activation

_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))              # never overflows, and keeps full precision in both tails
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def softsign(x: np.ndarray) -> np.ndarray:
    """x / (1 + |x|), and its limit at infinity, where the fraction is none."""
    return np.where(np.isinf(x), np.sign(x), x / (1.0 + np.abs(x)))


def hard_sigmoid(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return np.clip(alpha * x + beta, 0.0, 1.0)


def elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# name -> f(x, alpha, beta)
_FUNCTIONS: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "linear": lambda x, a, b: x,
    "sigmoid": lambda x, a, b: sigmoid(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "relu": lambda x, a, b: np.maximum(x, 0.0),
    "affine": lambda x, a, b: a * x + b,
    "leaky_relu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "thresholded_relu": lambda x, a, b: np.where(x > a, x, 0.0),
    "scaled_tanh": lambda x, a, b: a * np.tanh(b * x),
    "hard_sigmoid": hard_sigmoid,
    "elu": lambda x, a, b: elu(x, a),
    "softsign": lambda x, a, b: softsign(x),
    "softplus": lambda x, a, b: softplus(x),
    "selu": lambda x, a, b: b * elu(x, a),
    "gelu": lambda x, a, b: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x, a, b: gelu_tanh(x),
    "silu": lambda x, a, b: x * sigmoid(x),
    "exponential": lambda x, a, b: np.exp(x),
    "relu6": lambda x, a, b: np.clip(x, 0.0, 6.0),
    "mish": lambda x, a, b: x * np.tanh(softplus(x)),
    "hard_silu": lambda x, a, b: x * hard_sigmoid(x, 1.0 / 6.0, 0.5),
    "hard_tanh": lambda x, a, b: np.clip(x, -1.0, 1.0),
    "log_sigmoid": lambda x, a, b: -softplus(-x),
    "softmax": lambda x, a, b: softmax(x),
    "log_softmax": lambda x, a, b: log_softmax(x),
}
assert _FUNCTIONS.keys() == ACTIVATIONS.keys(), "the oracle must know every activation of the vocabulary"


def activate(activation: Activation, x: np.ndarray) -> np.ndarray:
    """`activation` of x, any shape, in float64; softmax and log_softmax run over the last axis."""
    if activation.name not in _FUNCTIONS:
        raise UnsupportedError(f"activation {activation.name!r} is not supported; supported: {', '.join(_FUNCTIONS)}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):     # inf and NaN come out as IEEE has them
        function = _FUNCTIONS[activation.name]
        return function(np.asarray(x, np.float64), activation.alpha, activation.beta)  # type: ignore[arg-type]
