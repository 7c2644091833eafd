"""Normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.nodes import Operator
from .registry import Call, Kernel, builder, repeatable


def _per_channel(x: np.ndarray, array: np.ndarray) -> np.ndarray:
    """One number a channel, laid beside x [batch, channels, ...]. Raises ValueError for another number of them: NumPy
    would repeat a single one."""
    if x.ndim > 1 and array.shape != x.shape[1:2]:
        raise ValueError(f"{array.size} numbers for {x.shape[1]} channels")
    return array.reshape((-1,) + (1,) * (x.ndim - 2))


@builder("BatchNormalization")
def _batch_normalization(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon = attributes["epsilon"]

    def factors(scale: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray]:
        """y = x * factor + offset, made in float64 and rounded once."""
        factor = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
        return factor.astype(scale.dtype), (bias - mean * factor).astype(scale.dtype)

    folded = factors(*(node.constants[i] for i in (1, 2, 3, 4))) if set(node.constants) >= {1, 2, 3, 4} else None

    by_rank: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def normalize(x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        shaped = by_rank.get(x.ndim)
        if shaped is None:
            factor, offset = folded or factors(*parameters)
            shaped = (_per_channel(x, factor), _per_channel(x, offset)) if x.ndim > 1 else (factor, offset)
            if folded:
                by_rank[x.ndim] = shaped
        elif x.ndim > 1 and x.shape[1] != shaped[0].shape[0]:
            raise ValueError(f"{shaped[0].shape[0]} numbers for {x.shape[1]} channels")
        y = x * shaped[0]
        y += shaped[1]
        return y

    def again(out: np.ndarray, x: np.ndarray, *parameters: np.ndarray) -> list[Call] | None:
        shaped = by_rank.get(x.ndim)
        return None if shaped is None else [(np.multiply, (x, shaped[0], out)), (np.add, (out, shaped[1], out))]
    return repeatable(normalize, again)


def _standardize(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, the mean, and the reciprocal of the root."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    return centred * inverse, mean, inverse


@builder("LayerNormalization")
def _layer_normalization(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, epsilon = attributes["axis"], attributes["epsilon"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        axes = tuple(range(axis % x.ndim, x.ndim))
        y, mean, inverse = _standardize(x, axes, epsilon)
        y = y * scale
        return (y if bias is None else y + bias), mean, inverse
    return lambda *inputs: normalize(*inputs)[:len(node.outputs)]


@builder("InstanceNormalization")
def _instance_normalization(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon = attributes["epsilon"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
        y = _standardize(x, tuple(range(2, x.ndim)), epsilon)[0]
        return y * _per_channel(x, scale) + _per_channel(x, bias)
    return normalize


@builder("GroupNormalization")
def _group_normalization(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon, groups = attributes["epsilon"], attributes["num_groups"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
        grouped = x.reshape(x.shape[0], groups, -1)
        y = _standardize(grouped, (2,), epsilon)[0].reshape(x.shape)
        return y * _per_channel(x, scale) + _per_channel(x, bias)
    return normalize
