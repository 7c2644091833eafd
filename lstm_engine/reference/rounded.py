"""Operators that round on the way, from the text of their documentation: what decides how, is float32 as in a file.

The rest is float64. onnx.reference lacks DynamicQuantizeLSTM, which is com.microsoft's, and scales of one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.activations import from_onnx
from .activations import activate
from .recurrent import clipped, seen_by


def dynamic_quantize_lstm(attributes: dict[str, Any], X: np.ndarray, W: np.ndarray, R: np.ndarray,
                          B: np.ndarray | None, sequence_lens: np.ndarray | None, initial_h: np.ndarray | None,
                          initial_c: np.ndarray | None, P: np.ndarray | None, W_scale: np.ndarray,
                          W_zero_point: np.ndarray, R_scale: np.ndarray, R_zero_point: np.ndarray,
                          keeps: bool = False) -> list[np.ndarray]:
    """Y [time, dirs, batch, H], Y_h and Y_c [dirs, batch, H]. X [time, batch, I], W [dirs, I, 4*H] and R [dirs, H, 4*H]
    of int8 or uint8, scales and zeros [dirs] or [dirs, 4*H]. keeps: whether a row that has ended still counts with its
    last h where the scale of h is taken: as in ONNX Runtime where Y is not asked for."""
    time, batch, _ = X.shape
    dirs, hidden, _ = R.shape
    lengths = np.full(batch, time) if sequence_lens is None else sequence_lens
    functions = from_onnx(attributes["activations"] or ("Sigmoid", "Tanh", "Tanh") * dirs,
                          attributes["activation_alpha"], attributes["activation_beta"], surplus=True)
    Y = np.zeros((time, dirs, batch, hidden))
    Y_h, Y_c = np.zeros((dirs, batch, hidden)), np.zeros((dirs, batch, hidden))
    for d in range(dirs):
        f, g, h = functions[3 * d:3 * d + 3]
        from_input = _product(X[:int(lengths.max(initial=0))], W[d], W_scale[d], W_zero_point[d])
        b_i, b_o, b_f, b_c = np.split(np.zeros(4 * hidden) if B is None else B[d].reshape(2, -1).sum(0), 4)
        P_i, P_o, P_f = (None, None, None) if P is None else np.split(P[d], 3)
        h_seen = np.zeros((batch, hidden)) if initial_h is None else initial_h[d]
        c = np.zeros((batch, hidden)) if initial_c is None else np.array(initial_c[d], np.float64)
        for step in range(len(from_input)):
            from_state = _product(h_seen, R[d], R_scale[d], R_zero_point[d])
            h_seen = Y_h[d].copy() if keeps else np.zeros((batch, hidden))
            for row in np.flatnonzero(step < lengths):
                backwards = attributes["direction"] == "reverse" or d == 1
                t = lengths[row] - 1 - step if backwards else step
                i, o, forget, candidate = np.split(from_input[t, row] + from_state[row], 4)
                clip = attributes["clip"]
                i = activate(f, clipped(i + seen_by(P_i, c[row]) + b_i, clip))
                forget = 1 - i if attributes["input_forget"] else \
                    activate(f, clipped(forget + seen_by(P_f, c[row]) + b_f, clip))
                c[row] = forget * c[row] + i * activate(g, clipped(candidate + b_c, clip))
                o = activate(f, clipped(o + seen_by(P_o, c[row]) + b_o, clip))
                Y[t, d, row] = Y_h[d, row] = h_seen[row] = o * activate(h, c[row])
                Y_c[d, row] = c[row]
    return [Y, Y_h, Y_c]


def state_jumps(inputs: Sequence[Any]) -> float:
    """What four units of h do to a gate of dynamic_quantize_lstm: where h stands near a half, another's may be the next
    whole number."""
    R, initial_h, scale, zero = (inputs[position] for position in (2, 5, 10, 11))
    weights = np.abs(R - zero.astype(np.float64).reshape(len(R), 1, -1)) * scale.reshape(len(R), 1, -1)
    largest = 1.0 if initial_h is None else max(1.0, float(np.abs(initial_h).max(initial=0)))
    return 4 * float(weights.max(initial=0)) * 2 * largest / 255


def _product(x: np.ndarray, weights: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """x [.., K] made whole numbers by DynamicQuantizeLinear, in float32, times weights [K, 4*H]."""
    x = np.asarray(x, np.float32)
    low, high = min(x.min(initial=0), np.float32(0)), max(x.max(initial=0), np.float32(0))
    step = (high - low) / np.float32(255) if high > low else np.float32(1)
    x_zero = int(np.clip(np.rint(-low / step), 0, 255))
    whole = np.clip(np.rint(x / step).astype(np.int64) + x_zero, 0, 255) - x_zero
    sums = whole @ (weights.astype(np.int64) - zero.astype(np.int64))
    return np.asarray(sums * (float(step) * scale.astype(np.float64)))


def requantized(sums: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Sums of products, times a float32 scale, rounded to even, as whole numbers that stand for themselves less a
    zero."""
    limits = np.iinfo(zero.dtype)
    whole = np.rint(sums.astype(np.int32).astype(scale.dtype) * scale).astype(np.float64) + zero
    return np.asarray(np.clip(whole, limits.min, limits.max), zero.dtype)


def qlinear_matmul(attributes: dict[str, Any], a: np.ndarray, a_scale: np.ndarray, a_zero: np.ndarray, b: np.ndarray,
                   b_scale: np.ndarray, b_zero: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray) -> np.ndarray:
    """One scale and zero a matrix, or of a and y one a row, of b one a column."""
    a_scale, a_zero, y_scale, y_zero = (x[:, None] if x.ndim == 1 and x.size > 1 else x
                                        for x in (a_scale, a_zero, y_scale, y_zero))
    sums = np.matmul(a.astype(np.int64) - a_zero, b.astype(np.int64) - b_zero)
    return requantized(sums, np.asarray(a_scale * b_scale / y_scale), y_zero)
