"""Recurrent layers whose arrays are packed together: TensorFlow 1's cells and cuDNN's buffers, named in a spec's node.

    {"op": "LSTM", "tf1": {"kernel": "k", "bias": "b", "forget_bias": 1.0}}
        BasicLSTMCell, LSTMCell, LSTMBlockCell: kernel [I + H, 4 H], its rows x then h, gates i, j, f, o; the forget
        bias is added while the cell runs and lies in no array, so it has to be said (1.0 if the code says nothing)
    {"op": "GRU", "tf1": {"gates_kernel": "g", "gates_bias": "b", "candidate_kernel": "c", "candidate_bias": "d"}}
        GRUCell: gates [I + H, 2 H] in the order r, u; candidate [I + H, H], which reads r h
    {"op": "LSTM", "cudnn": {"buffer": "opaque", "features": 5, "hidden": 4, "layers": 2, "layer": 0,
                             "bidirectional": false}}
        all matrices, layer after layer and direction after direction, each W then R; then all biases in the same order.
        Gates i, f, j, o of LSTM and r, z, h of GRU, as PyTorch has them

Sources: tensorflow/python/ops/rnn_cell_impl.py; torch/csrc/autograd's order of flat weights, which is cuDNN's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph.gates import ONNX_RNN, TF1_LSTM, TORCH_GRU, TORCH_LSTM, reorder
from ..reading.weights import Weights
from .expressions import Expressions, fail

KEYS = ("tf1", "cudnn")
_ORDERS = {"LSTM": TORCH_LSTM, "GRU": TORCH_GRU, "RNN": ONNX_RNN}
_Made = tuple[dict[str, np.ndarray], dict[str, Any]]
_GRU = ("gates_kernel", "gates_bias", "candidate_kernel", "candidate_bias")
_SIZES = ("features", "hidden", "layers", "layer")


def packed_arrays(expressions: Expressions, record: Mapping[str, Any], key: str, where: str) -> _Made:
    """The weight arrays of a node by field, and the settings that follow. Raises FormatError naming `where`."""
    op, said, weights = record["op"], record[key], expressions.weights
    if not isinstance(said, Mapping):
        fail(where, f"\"{key}\" must be an object, got a {type(said).__name__}")
    if key == "cudnn" and op in _ORDERS:
        return _cudnn(expressions, op, said, record.get("direction"), where)
    if key == "tf1" and record.get("direction", "forward") not in ("forward", "reverse"):
        fail(where, "a cell of TensorFlow 1 has one direction; give two nodes")
    if key == "tf1" and op == "LSTM":
        return _lstm(weights, said, where)
    if key == "tf1" and op == "GRU":
        return _gru(weights, said, where)
    fail(where, f"\"{key}\" is for {'LSTM and GRU' if key == 'tf1' else ', '.join(_ORDERS)}")


def _check_keys(where: str, said: Mapping[str, Any], needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    for key in said:
        if key not in (*needed, *optional):
            fail(where, f"unknown key {key!r:.50}; known: {', '.join((*needed, *optional))}")
    for key in needed:
        if key not in said:
            fail(where, f"{key!r} is missing")


def _array(weights: Weights, said: Mapping[str, Any], key: str, rank: int, where: str) -> np.ndarray:
    if not isinstance(said[key], str):
        fail(where, f"{key!r} must be the name of an array")
    if len(weights.shape(said[key])) != rank:
        fail(where, f"{said[key]!r:.100} must have {rank} axes, got {list(weights.shape(said[key]))}")
    return weights.take(said[key])


def _lstm(weights: Weights, said: Mapping[str, Any], where: str) -> _Made:
    where = f"{where}: tf1"
    _check_keys(where, said, ("kernel", "bias", "forget_bias"))
    forget = said["forget_bias"]
    if type(forget) not in (int, float) or not abs(forget) < 1e30:
        fail(where, f"\"forget_bias\" must be a number, got {forget!r:.50}")
    kernel, bias = _array(weights, said, "kernel", 2, where), _array(weights, said, "bias", 1, where).copy()
    rows, columns = kernel.shape
    hidden = columns // 4
    if columns % 4 or not 0 < hidden < rows or bias.shape != (columns,):
        fail(where, f"kernel [I + H, 4 H] and bias [4 H], got {list(kernel.shape)} and {list(bias.shape)}")
    place = TF1_LSTM.index("f") * hidden
    bias[place:place + hidden] += bias.dtype.type(forget)
    turned = reorder(np.ascontiguousarray(kernel.T), TF1_LSTM)
    summed = reorder(bias, TF1_LSTM)
    return _one(turned[:, :rows - hidden], turned[:, rows - hidden:], summed), {}


def _gru(weights: Weights, said: Mapping[str, Any], where: str) -> _Made:
    where = f"{where}: tf1"
    _check_keys(where, said, _GRU)
    gates, candidate = (_array(weights, said, f"{kind}_kernel", 2, where) for kind in ("gates", "candidate"))
    biases = [_array(weights, said, f"{kind}_bias", 1, where) for kind in ("gates", "candidate")]
    rows, hidden = candidate.shape
    if gates.shape != (rows, 2 * hidden) or not 0 < hidden < rows \
            or [bias.shape for bias in biases] != [(2 * hidden,), (hidden,)]:
        fail(where, "gates [I + H, 2 H] and [2 H], candidate [I + H, H] and [H], got "
                    f"{[list(array.shape) for array in (gates, biases[0], candidate, biases[1])]}")
    turned = reorder(np.concatenate([gates.T, candidate.T]), TORCH_GRU)
    summed = reorder(np.concatenate(biases), TORCH_GRU)
    return _one(turned[:, :rows - hidden], turned[:, rows - hidden:], summed), {"linear_before_reset": False}


def _one(inputs: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    """W, R, B of one direction from parts in ONNX's order; all of the bias stands in its first half."""
    return {"W": np.ascontiguousarray(inputs)[None], "R": np.ascontiguousarray(recurrent)[None],
            "B": np.concatenate([bias, np.zeros_like(bias)])[None]}


def _cudnn(expressions: Expressions, op: str, said: Mapping[str, Any], direction: Any, where: str) -> _Made:
    where = f"{where}: cudnn"
    _check_keys(where, said, ("buffer", *_SIZES), ("bidirectional",))
    for key in _SIZES:
        if type(said[key]) is not int or not (key != "layer") <= said[key] < 2**24:
            fail(where, f"{key!r} must be a whole number, got {said[key]!r:.50}")
    both = said.get("bidirectional", False)
    if not isinstance(both, bool):
        fail(where, "\"bidirectional\" must be true or false")
    features, hidden, layers, layer = (said[key] for key in _SIZES)
    dirs, rows = 1 + both, len(_ORDERS[op]) * hidden
    if layer >= layers:
        fail(where, f"layer {layer} of {layers}, which are counted from 0")
    first, later = rows * (features + hidden), rows * (dirs * hidden + hidden)
    needed = dirs * (first + (layers - 1) * later + layers * 2 * rows)
    if not isinstance(said["buffer"], str) or len(expressions.weights.shape(said["buffer"])) != 1:
        fail(where, f"\"buffer\" must name an array of one axis, got {said['buffer']!r:.100}")
    buffer = expressions.whole(said["buffer"])
    if buffer.size != needed:
        fail(where, f"{layers} layer(s) of {op} {features} -> {hidden} in {dirs} direction(s) need {needed} numbers, "
                    f"{said['buffer']!r:.100} has {buffer.size}")
    width = dirs * hidden if layer else features
    at = dirs * (first + (layer - 1) * later) if layer else 0
    biases_at = dirs * (first + (layers - 1) * later) + dirs * layer * 2 * rows
    stacked: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": []}
    for way in range(dirs):
        start = at + way * rows * (width + hidden)
        matrix, recurrent = np.split(buffer[start:start + rows * (width + hidden)], [rows * width])
        bias = buffer[biases_at + way * 2 * rows:][:2 * rows]
        stacked["W"].append(reorder(matrix.reshape(rows, width), _ORDERS[op]))
        stacked["R"].append(reorder(recurrent.reshape(rows, hidden), _ORDERS[op]))
        stacked["B"].append(np.concatenate([reorder(half, _ORDERS[op]) for half in np.split(bias, 2)]))
    settings: dict[str, Any] = {} if op != "GRU" else {"linear_before_reset": True}
    if direction is None:
        settings["direction"] = "bidirectional" if both else "forward"
    elif (direction == "bidirectional") != both:
        fail(where, f"direction {direction!r:.50}, but arrays of {dirs} direction(s)")
    return {field: np.stack(arrays) for field, arrays in stacked.items()}, settings
