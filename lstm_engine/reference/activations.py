"""The activation functions in float64, by the names of `graph.activations`.

Source of the equations: the ONNX operators of the same names; keras.activations for those that ONNX lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..graph import ACTIVATIONS, Activation
from ..types import Array

_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))              # never overflows, and keeps full precision in both tails
    y: Array = np.where(x >= 0, 1.0, e) / (1.0 + e)
    return y


def softplus(x: Array) -> Array:
    y: Array = np.logaddexp(0.0, x)
    return y


def softsign(x: Array) -> Array:
    """x / (1 + |x|), and its limit at infinity, where the fraction is none."""
    y: Array = np.where(np.isinf(x), np.sign(x), x / (1.0 + np.abs(x)))
    return y


def hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0.0, 1.0)


def elu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


def log_softmax(x: Array) -> Array:
    shifted: Array = x - x.max(axis=-1, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return y


# name -> f(x, alpha, beta); a function that has no alpha or beta is given None, and does not look at it
_FUNCTIONS: dict[str, Callable[[Array, Any, Any], Array]] = {
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


def activate(activation: Activation, x: Array) -> Array:
    """`activation` of x, any shape, in float64; softmax and log_softmax run over the last axis."""
    if activation.name not in _FUNCTIONS:
        raise UnsupportedError(f"activation {activation.name!r} is not supported; supported: {', '.join(_FUNCTIONS)}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):     # inf and NaN come out as IEEE has them
        function = _FUNCTIONS[activation.name]
        return function(np.asarray(x, np.float64), activation.alpha, activation.beta)
