"""The error bounds of docs/numerics.md, "Quantised products", in float64."""

from __future__ import annotations

import numpy as np

U = 2.0**-24                    # unit roundoff of float32
HALF = 0.5 + 2.0**-14           # of a scale: rint, and the roundings of the inverse, the product and the scale
DENORMAL = 2.0**-126


def scales(rows: np.ndarray) -> np.ndarray:
    """[rows, 1]: max / 127, where the inverse of it is a float32. A row of zeros is exact: 0."""
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    return np.where(largest == 0, 0, np.maximum(largest / 127, 2.0**-128))


def product_bound(kind: str, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x [rows, K], w [channels, K] -> [rows, channels]: how far x' w'.T of quantised weights is from x w.T at most."""
    x, w = np.abs(x.astype(np.float64)), np.abs(w.astype(np.float64))
    exact, terms = x @ w.T, x.shape[-1]                 # of the magnitudes
    s_x, s_w = scales(x), scales(w).T
    if kind == "int8":
        # The magnitude of the exact product is not above that of its terms.
        off = HALF * ((x @ (w > 0).T) * s_w + ((x > 0) @ w.T) * s_x) + HALF**2 * s_x * s_w * ((x > 0) @ (w > 0).T * 1.0)
        return off + 4 * U * (exact + off) + terms * 2.0**-136
    if kind == "int8_weights":
        off = HALF * (x @ (w > 0).T) * s_w
    elif kind == "bfloat16":
        off = (2.0**-7 + 2.0**-16) * exact + 2.0**-133 * (x.sum(-1, keepdims=True) + w.sum(-1))
    else:
        off = 2.0**-11 * exact + 2.0**-25 * x.sum(-1, keepdims=True)
    rounded = off + float_sum(terms) * (exact + off) + terms * 2.0**-149
    if kind == "bfloat16":
        normal = np.where(x < DENORMAL, 0, x) @ np.where(w < DENORMAL, 0, w).T
        rounded += (exact - normal) + terms * 2.0**-125
    return rounded


def float_sum(terms: int) -> float:
    """The relative error of a float32 sum of products."""
    n = 66 + terms / 32
    return n * U / (1 - n * U)


def rms_estimate(x: np.ndarray, w: np.ndarray) -> float:
    """The root mean square error of int8 products where all roundings are as good as random."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    s_x, s_w = scales(x), scales(w).T
    variance = ((x * x).sum(-1, keepdims=True) * s_w**2 + (w * w).sum(-1) * s_x**2) / 12
    return float(np.sqrt((variance + x.shape[-1] * (s_x * s_w)**2 / 144).mean()))


def sum_bound(parts: list[np.ndarray], bounds: list[np.ndarray]) -> np.ndarray:
    """Of x part + h part + bias in float32: the bounds of the parts, and 4 roundings of their magnitudes."""
    off = np.sum(bounds, axis=0)
    rounded: np.ndarray = off + 4 * U * (np.sum([np.abs(part) for part in parts], axis=0) + off)
    return rounded


def lstm_step_bounds(gates: list[np.ndarray], c_before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of c and h after a step, from those of the pre-activations of i, o, f, c."""
    i, o, f, g = gates
    size = np.abs(c_before)
    c = size * f / 4 + i / 4 + g + (2.0**-21 + 2.0**-23) * (size + 1)
    return c, o / 4 + c + 2.0**-21 + 2.0**-24
