"""The only place that knows the gate orders of other frameworks.

Each order lists the gates as that framework stacks them; `reorder` brings a stacked array to ONNX's order.
Names of the LSTM gates: i input, o output, f forget, c candidate (g or j elsewhere); GRU: z update, r reset, h
candidate.
"""

from __future__ import annotations

import numpy as np

from ..errors import GraphError

ONNX_LSTM = "iofc"
ONNX_GRU = "zrh"
ONNX_RNN = "h"
TORCH_LSTM = "ifco"
TORCH_GRU = "rzh"
KERAS_LSTM = "ifco"
KERAS_GRU = "zrh"
KERAS1_LSTM = "icfo"
TF1_LSTM = "icfo"

_TARGETS = {4: ONNX_LSTM, 3: ONNX_GRU, 1: ONNX_RNN}


def reorder(array: np.ndarray, order: str, axis: int = 0) -> np.ndarray:
    """Bring the gates of `array`, stacked along `axis` in `order`, to ONNX's order.

    array: [..., gates*H, ...]; the size along `axis` must be a multiple of the number of gates.
    Returns a new C-contiguous array of the same shape and dtype. Raises GraphError if the size does not divide.
    """
    target = _TARGETS[len(order)]
    if array.shape[axis] % len(order):
        raise GraphError(f"cannot split an axis of {array.shape[axis]} into {len(order)} gates ({order})")
    parts = np.split(array, len(order), axis=axis)
    return np.ascontiguousarray(np.concatenate([parts[order.index(gate)] for gate in target], axis=axis))
