"""Activation functions as operators, the error function that they need, and the two softmaxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..graph.nodes import Operator
from .axis_rules import beside_axis
from .kernels import Call, Kernel, of_shape, repeatable
from .older import Facts, FileNode, instead, without
from .shape_rules import ShapeCall, Shapes, same, same_along_axis
from .spec import declare, one_of


@lru_cache(maxsize=1)
def _erf_polynomial() -> Callable[[np.ndarray], Any]:
    """erf(sqrt(t)) / sqrt(t) for t in [0, 36], past which erf is 1 in float64, as a function of t / 18 - 1."""
    from numpy.polynomial import chebyshev  # loading it takes longer than loading a small model

    count, terms = 48, 40       # the 40th coefficient is 1e-15
    angles = [math.pi * (j + 0.5) / count for j in range(count)]
    roots = [math.sqrt((math.cos(angle) + 1) * 18) for angle in angles]
    values = [math.erf(root) / root for root in roots]
    sums = [math.fsum(value * math.cos(k * angle) for value, angle in zip(values, angles)) for k in range(terms)]
    series = np.array(sums) * 2 / count - np.array([sums[0] / count] + [0.0] * (terms - 1))
    return partial(chebyshev.chebval, c=series)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function within 5e-14 of its value, in float64 inside, in the dtype of `x` outside."""
    wide = np.asarray(x, np.float64)
    t = np.minimum(wide * wide, 36.0)
    value = wide * _erf_polynomial()(t / 18 - 1)
    return np.where(np.abs(wide) >= 6, np.sign(wide), value).astype(x.dtype)


declare("Erf", 1, kernel=erf, elementwise=True, work=24, scratch=6, takes="floats")


# ---- without parameters ---------------------------------------------------------------------------------------------

def _relu(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = np.maximum(x, x.dtype.type(0))
    return y


def _relu_again(out: np.ndarray, x: np.ndarray) -> list[Call]:
    return [(partial(np.maximum, x, x.dtype.type(0), out=out), ())]     # its third place is no longer for `out`


def sigmoid(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = 1 / (1 + np.exp(-x))
    return y


def _sigmoid_again(out: np.ndarray, x: np.ndarray) -> list[Call] | None:
    if x.dtype != out.dtype:
        return None
    return [(np.negative, (x, out)), (np.exp, (out, out)), (np.add, (1, out, out)), (np.divide, (1, out, out))]


def softplus(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def _hard_sigmoid(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    one = x.dtype.type
    y: np.ndarray = np.minimum(np.maximum(x * one(alpha) + one(beta), one(0)), one(1))
    return y


declare("Relu", 1, kernel=repeatable(_relu, _relu_again), elementwise=True, exact=True, activation=("relu",),
        takes="signed", low_bits=True)
declare("Sigmoid", 1, kernel=repeatable(lambda x: sigmoid(x), _sigmoid_again), elementwise=True,
        activation=("sigmoid",), work=8, scratch=2, takes="floats")
declare("Tanh", 1, kernel=np.tanh, elementwise=True, activation=("tanh",), work=8, takes="floats")
declare("Exp", 1, kernel=np.exp, elementwise=True, activation=("exponential",), work=8, takes="floats")
declare("Softplus", 1, kernel=softplus, elementwise=True, activation=("softplus",), work=8, scratch=3, takes="floats")
declare("Softsign", 1, kernel=lambda x: x / (1 + np.abs(x)), elementwise=True, activation=("softsign",), takes="floats")
declare("HardSwish", 1, kernel=lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5), elementwise=True,
        activation=("hard_silu",), scratch=3, takes="floats")
declare("Mish", 1, kernel=lambda x: x * np.tanh(softplus(x)), elementwise=True, activation=("mish",), work=24,
        scratch=3, takes="floats")


# ---- with parameters ------------------------------------------------------------------------------------------------

def _exponential_unit(x: np.ndarray, alpha: float, scale: float = 1.0, inner: float = 1.0) -> np.ndarray:
    """scale * (x >= 0 ? x : alpha * (exp(x / inner) - 1))"""
    one = x.dtype.type
    below = one(alpha) * np.expm1(np.minimum(x, 0) / one(inner))
    result = np.where(x < 0, below, x)
    return result * one(scale) if scale != 1.0 else result


def _elu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: _exponential_unit(x, alpha)


def _celu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: _exponential_unit(x, alpha, inner=alpha)


def _selu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, gamma = attributes["alpha"], attributes["gamma"]
    return lambda x: _exponential_unit(x, alpha, gamma)


def _leaky_relu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: np.where(x < 0, x * x.dtype.type(alpha), x)


def _thresholded_relu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]
    return lambda x: np.where(x > x.dtype.type(alpha), x, x.dtype.type(0))


def _shrink_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    bias, edge = attributes["bias"], attributes["lambd"]

    def shrink(x: np.ndarray) -> np.ndarray:
        below, above = (x + bias).astype(x.dtype, copy=False), (x - bias).astype(x.dtype, copy=False)
        y: np.ndarray = np.where(x < -edge, below, np.where(x > edge, above, x.dtype.type(0)))
        return y
    return shrink


def _swish_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha = attributes["alpha"]

    def swish(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = x * sigmoid(x if alpha == 1.0 else x * x.dtype.type(alpha))
        return y
    return swish


def _hard_sigmoid_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, beta = attributes["alpha"], attributes["beta"]
    return lambda x: _hard_sigmoid(x, alpha, beta)


def _prelu_shape(call: ShapeCall) -> Shapes:
    call.check_broadcast(1, call.shape())
    return same(call)


def _prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return of_shape(np.where(x < 0, x * slope, x), x)


def _prelu_again(out: np.ndarray, x: np.ndarray, slope: np.ndarray) -> list[Call] | None:
    if out.shape != x.shape or out.dtype != np.result_type(x, slope):
        return None
    below = np.empty_like(x, bool)
    return [(np.less, (x, 0, below)), (np.copyto, (out, x)), (partial(np.multiply, x, slope, out, where=below), ())]


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    one = x.dtype.type
    y: np.ndarray = one(0.5) * x * (1 + np.tanh(one(math.sqrt(2 / math.pi)) * (x + one(0.044715) * x * x * x)))
    return y


def _gelu_exact(x: np.ndarray) -> np.ndarray:
    one = x.dtype.type
    y: np.ndarray = one(0.5) * x * (1 + erf(x * one(math.sqrt(0.5))))
    return y


def _gelu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    return _gelu_tanh if attributes["approximate"] == "tanh" else _gelu_exact


declare("Elu", 1, make=_elu_kernel, attributes={"alpha": 1.0}, elementwise=True, activation=("elu", "alpha"), work=8,
        scratch=3, takes="floats")
declare("Celu", 1, make=_celu_kernel, attributes={"alpha": 1.0}, elementwise=True, work=8, scratch=3, takes="floats")
declare("Selu", 1, make=_selu_kernel, elementwise=True, activation=("selu", "alpha", "gamma"), work=8, scratch=3,
        attributes={"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}, takes="floats")
declare("LeakyRelu", 1, make=_leaky_relu_kernel, attributes={"alpha": 0.01}, elementwise=True,
        activation=("leaky_relu", "alpha"), scratch=2, takes="floats")
declare("ThresholdedRelu", 1, make=_thresholded_relu_kernel, attributes={"alpha": 1.0}, elementwise=True,
        activation=("thresholded_relu", "alpha"), scratch=2, takes="floats")
declare("HardSigmoid", 1, make=_hard_sigmoid_kernel, attributes={"alpha": 0.2, "beta": 0.5}, elementwise=True,
        activation=("hard_sigmoid", "alpha", "beta"), scratch=3, takes="floats")
declare("Shrink", 1, make=_shrink_kernel, attributes={"bias": 0.0, "lambd": 0.5}, elementwise=True, scratch=4,
        takes="numbers")
declare("Swish", 1, make=_swish_kernel, attributes={"alpha": 1.0}, elementwise=True, work=8, scratch=3, takes="floats")
declare("PRelu", 2, kernel=repeatable(_prelu, _prelu_again), shape=_prelu_shape, elementwise=True, scratch=2,
        takes="wide", low_bits=True)
declare("Gelu", 1, make=_gelu_kernel, attributes={"approximate": one_of("none", "tanh")}, elementwise=True,
        activation=("gelu",), work=24, scratch=8, takes="floats")


# ---- along an axis --------------------------------------------------------------------------------------------------

def _softmax_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def softmax(x: np.ndarray) -> np.ndarray:
        if not x.size:
            return x
        powers = np.exp(x - x.max(axis=axis, keepdims=True))
        y: np.ndarray = powers / powers.sum(axis=axis, keepdims=True)
        return y
    return softmax


def _log_softmax_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def log_softmax(x: np.ndarray) -> np.ndarray:
        if not x.size:
            return x
        shifted = x - x.max(axis=axis, keepdims=True)
        y: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
        return y
    return log_softmax


def _hardmax_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def hardmax(x: np.ndarray) -> np.ndarray:
        y = np.zeros_like(x)
        if x.size:
            np.put_along_axis(y, x.argmax(axis=axis, keepdims=True), x.dtype.type(1), axis)
        return y
    return hardmax


def _softmax_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """Before version 13 the axes from `axis` on were one: the input was seen as a matrix."""
    if node.opset >= 13:
        return [node]
    rank, axis = facts.rank(node.inputs[0]), node.attributes.get("axis", 1)
    if axis in (-1, rank - 1):
        return [without(node, axis=-1)]
    shape, flat, soft = (facts.new_name(f"{node.outputs[0]}/{part}") for part in ("shape", "flat", "softmax"))
    return [instead(node, "Shape", node.inputs, (shape,), "shape"),
            instead(node, "Flatten", node.inputs, (flat,), "flat", axis=axis),
            replace(without(node, axis=-1), inputs=(flat,), outputs=(soft,)),
            instead(node, "Reshape", (soft, shape), node.outputs, "unflat")]


declare("Softmax", 1, make=_softmax_kernel, attributes={"axis": -1}, shape=same_along_axis, axes=beside_axis,
        older=_softmax_older, activation=("softmax",), work=8, scratch=2, takes="floats")
declare("LogSoftmax", 1, make=_log_softmax_kernel, attributes={"axis": -1}, shape=same_along_axis, axes=beside_axis,
        older=_softmax_older, activation=("log_softmax",), work=8, scratch=2, takes="floats")
declare("Hardmax", 1, make=_hardmax_kernel, attributes={"axis": -1}, shape=same_along_axis, axes=beside_axis,
        older=_softmax_older, exact=True, scratch=2, takes="floats")
