"""Erf, Gelu, HardSwish and three normalizations in float64, from the text of ONNX's standard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..types import Array

_ERF = np.vectorize(math.erf, otypes=[np.float64])


def erf(attributes: dict[str, Any], x: Array) -> Array:
    y: Array = _ERF(x)
    return y


def gelu(attributes: dict[str, Any], x: Array) -> Array:
    tanh = attributes["approximate"] == "tanh"
    y: Array = 0.5 * x * (1 + (np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh
                               else _ERF(x / math.sqrt(2))))
    return y


def hard_swish(attributes: dict[str, Any], x: Array) -> Array:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def group_normalization(attributes: dict[str, Any], x: Array, scale: Array, bias: Array) -> Array:
    """x [N, C, ...], each group of its channels less its mean, over its deviation; scale and bias [C]."""
    parts = x.reshape(len(x), attributes["num_groups"], -1)
    variance = parts.var(axis=2, keepdims=True)
    normal = (parts - parts.mean(axis=2, keepdims=True)) / np.sqrt(variance + attributes["epsilon"])
    channels = (-1,) + (1,) * (x.ndim - 2)
    y: Array = normal.reshape(x.shape) * scale.reshape(channels) + bias.reshape(channels)
    return y


def mean_variance_normalization(attributes: dict[str, Any], x: Array) -> Array:
    """Less the mean over some axes, over the deviation."""
    axes = attributes["axes"]
    y: Array = (x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 1e-9)
    return y


def lp_normalization(attributes: dict[str, Any], x: Array) -> Array:
    """Over the norm along an axis; where that is 0, 0."""
    norm = np.linalg.norm(x, attributes["p"], attributes["axis"], keepdims=True)
    y: Array = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)
    return y
