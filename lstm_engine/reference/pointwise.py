"""Erf, Gelu, HardSwish and GroupNormalization in float64, from the text of ONNX's standard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ERF = np.vectorize(math.erf, otypes=[np.float64])


def erf(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    return _ERF(x)


def gelu(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    if attributes["approximate"] == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _ERF(x / math.sqrt(2)))


def hard_swish(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def group_normalization(attributes: dict[str, Any], x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x [N, C, ...], each group of its channels less its mean, over its deviation; scale and bias [C]."""
    parts = x.reshape(len(x), attributes["num_groups"], -1)
    variance = parts.var(axis=2, keepdims=True)
    normal = (parts - parts.mean(axis=2, keepdims=True)) / np.sqrt(variance + attributes["epsilon"])
    channels = (-1,) + (1,) * (x.ndim - 2)
    return normal.reshape(x.shape) * scale.reshape(channels) + bias.reshape(channels)
