"""LSTM, GRU and RNN as ONNX's text defines them, one row and one step at a time, in float64.

Written from the standard for the oracle alone: onnx.reference leaves out activations, clip, lengths and directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
FUNCTIONS: dict[str, Function] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softsign": lambda x: x / (1 + abs(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "hardsigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "elu": lambda x: np.where(x >= 0, x, np.expm1(np.minimum(x, 0))),
    "leakyrelu": lambda x: np.where(x >= 0, x, 0.01 * x),
}
DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recur(kind: str, inputs: list[Any], hidden_size: int, direction: str, activations: Any, clip: float | None,
          layout: int, linear_before_reset: int, input_forget: int) -> tuple[np.ndarray, ...]:
    """Y, Y_h (and Y_c) of one node; inputs as the node has them, None where one is left out."""
    x, W, R, B, lengths, h0, c0, P = inputs + [None] * (8 - len(inputs))
    if layout:
        x, h0, c0 = (None if a is None else np.swapaxes(a, 0, 1) for a in (x, h0, c0))
    steps, rows, _ = x.shape
    dirs = W.shape[0]
    names = [name.lower() for name in activations or DEFAULTS[kind] * dirs]
    many = len(DEFAULTS[kind])
    Y = np.zeros((steps, dirs, rows, hidden_size), x.dtype)
    H, C = (np.zeros((dirs, rows, hidden_size), x.dtype) if a is None else np.array(a) for a in (h0, c0))
    for d in range(dirs):
        cell = _Cell(kind, W[d], R[d], None if B is None else B[d], None if P is None else P[d],
                     [FUNCTIONS[name] for name in names[d * many:(d + 1) * many]], clip, linear_before_reset,
                     input_forget)
        back = direction == "reverse" or d == 1
        for row in range(rows):
            count = steps if lengths is None else int(lengths[row])
            h, c = H[d, row], C[d, row]
            if count == 0:
                h, c = h * 0, c * 0               # as ONNX Runtime for lengths of 0; the standard is silent
            for t in range(count)[::-1] if back else range(count):
                h, c = cell(x[t, row], h, c)
                Y[t, d, row] = h
            H[d, row], C[d, row] = h, c
    if layout:
        Y, H, C = Y.transpose(2, 0, 1, 3), H.swapaxes(0, 1), C.swapaxes(0, 1)
    return (Y, H, C) if kind == "LSTM" else (Y, H)


class _Cell:
    """One step of one direction."""

    def __init__(self, kind: str, W: np.ndarray, R: np.ndarray, B: np.ndarray | None, P: np.ndarray | None,
                 functions: list[Function], clip: float | None, linear_before_reset: int, input_forget: int) -> None:
        many, self.n = GATES[kind], R.shape[1]
        zeros = np.zeros(many * self.n, W.dtype)
        self.W, self.R = np.split(W, many), np.split(R, many)
        self.Wb, self.Rb = (np.split(b, many) for b in ((zeros, zeros) if B is None else np.split(B, 2)))
        self.P = [0.0] * 3 if P is None else np.split(P, 3)
        self.functions, self.clip = functions, clip
        self.linear_before_reset, self.input_forget = linear_before_reset, input_forget
        self.step = getattr(self, kind)

    def __call__(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.step(x, h, c)

    def sum(self, k: int, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        return self.W[k] @ x + self.R[k] @ h + self.Wb[k] + self.Rb[k]

    def act(self, k: int, value: np.ndarray) -> np.ndarray:
        return self.functions[k](value if self.clip is None else np.clip(value, -self.clip, self.clip))

    def LSTM(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i = self.act(0, self.sum(0, x, h) + self.P[0] * c)
        f = 1 - i if self.input_forget else self.act(0, self.sum(2, x, h) + self.P[2] * c)
        c = f * c + i * self.act(1, self.sum(3, x, h))
        o = self.act(0, self.sum(1, x, h) + self.P[1] * c)
        return o * self.functions[2](c), c

    def GRU(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, r = self.act(0, self.sum(0, x, h)), self.act(0, self.sum(1, x, h))
        if self.linear_before_reset:
            fed = self.W[2] @ x + self.Wb[2] + r * (self.R[2] @ h + self.Rb[2])
        else:
            fed = self.sum(2, x, r * h)
        return (1 - z) * self.act(1, fed) + z * h, c

    def RNN(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.act(0, self.sum(0, x, h)), c
