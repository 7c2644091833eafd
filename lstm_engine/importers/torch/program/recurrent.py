"""Recurrent layers and cells: torch's gates and weights in ONNX's order, one ONNX node a layer.

Source of the equations and of the order of the weights: torch.nn.LSTM, GRU, RNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ....graph.gates import ONNX_RNN, TORCH_GRU, TORCH_LSTM, reorder
from .arguments import Arguments
from .emit import Emitter, Tensor
from .registry import TABLE, aten

new = partial(aten, fresh=True)
_ORDERS = {"LSTM": TORCH_LSTM, "GRU": TORCH_GRU, "RNN": ONNX_RNN}
OWN = "lstm_engine."        # what `own` puts in place of torch's layers, so that the number of steps stays open


@new("lstm.input")
def _lstm(e: Emitter, a: Arguments) -> list[Tensor]:
    h, c = _two(a)
    return _layers(e, a, "LSTM", h, c)


@new("gru.input")
def _gru(e: Emitter, a: Arguments) -> list[Tensor]:
    return _layers(e, a, "GRU", a.tensor("hx"))


@new("rnn_tanh.input")
def _rnn_tanh(e: Emitter, a: Arguments) -> list[Tensor]:
    return _layers(e, a, "RNN", a.tensor("hx"))


@new("rnn_relu.input")
def _rnn_relu(e: Emitter, a: Arguments) -> list[Tensor]:
    return _layers(e, a, "RNN", a.tensor("hx"), activation="Relu")


for _name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
    TABLE[f"{OWN}{_name}.default"] = TABLE[f"{_name}.input"]


@new("lstm.data gru.data rnn_tanh.data rnn_relu.data _pack_padded_sequence.default _pad_packed_sequence.default")
def _packed(e: Emitter, a: Arguments) -> list[Tensor]:
    a.refuse("packed sequences in a file are not supported; convert the live module, le.convert(module, "
             "example_inputs=...), or give padded ones to the layer, and `lengths` to predict")


@new("lstm_cell.default")
def _lstm_cell(e: Emitter, a: Arguments) -> list[Tensor]:
    h, c = _two(a)
    return _cell(e, a, "LSTM", h, c)


@new("gru_cell.default")
def _gru_cell(e: Emitter, a: Arguments) -> Tensor:
    return _cell(e, a, "GRU", a.tensor("hx"))[0]


@new("rnn_tanh_cell.default")
def _rnn_tanh_cell(e: Emitter, a: Arguments) -> Tensor:
    return _cell(e, a, "RNN", a.tensor("hx"))[0]


@new("rnn_relu_cell.default")
def _rnn_relu_cell(e: Emitter, a: Arguments) -> Tensor:
    return _cell(e, a, "RNN", a.tensor("hx"), activation="Relu")[0]


def _two(a: Arguments) -> list[Tensor]:
    states = a.tensors("hx")
    if len(states) != 2:
        a.wrong(f"hx must be two states, got {len(states)}")
    return states


def _layers(e: Emitter, a: Arguments, op: str, h: Tensor, c: Tensor | None = None, activation: str = ""
            ) -> list[Tensor]:
    """(output, h_n[, c_n]) of a stack of layers over padded sequences."""
    x, first = a.tensor("input"), a.flag("batch_first")
    states = [h] if c is None else [h, c]
    y, *ends = stack(e, a, op, e.swap(x, 0, 1) if first and x.rank == 3 else x, states, activation)
    return [e.swap(y, 0, 1) if first else y, *ends]


def stack(e: Emitter, a: Arguments, op: str, x: Tensor, states: Sequence[Tensor], activation: str = "",
          lengths: Tensor | None = None) -> list[Tensor]:
    """(output, h_n[, c_n]) of a stack of layers over x [time, batch, features]; lengths, int32 [batch], of its rows."""
    params, h, c = a.tensors("params"), states[0], states[1] if len(states) > 1 else None
    biased, layers, dirs = a.flag("has_biases"), a.whole("num_layers"), 1 + a.flag("bidirectional")
    if a.flag("train") and a.number("dropout") != 0 and layers > 1:
        a.refuse("dropout between the layers, as in training, is random; export the module after module.eval()")
    a.ignore("dropout")
    if x.rank != 3 or h.rank != 3 or (c is not None and c.rank != 3) or not 1 <= layers <= 1000:
        a.wrong(f"needs [time, batch, features], [layers, batch, hidden] and 1 to 1000 layers, got {list(x.shape)}, "
                f"{list(h.shape)} and {layers}")
    plain = 4 if biased else 2
    each, odd = divmod(len(params), layers * dirs)
    if odd or each not in ((plain, plain + 1) if op == "LSTM" else (plain,)):
        a.wrong(f"{len(params)} weights for {layers} layers in {dirs} directions")
    finals: list[list[Tensor]] = [[], []]
    for layer in range(layers):
        sets = [params[(layer * dirs + d) * each:(layer * dirs + d + 1) * each] for d in range(dirs)]
        at = slice(layer * dirs, (layer + 1) * dirs)
        begin = [None if s is None else s if layers == 1 else e.slice(s, 0, at.start, at.stop) for s in (h, c)]
        x, *ends = _layer(e, a, op, x, sets, begin, biased, activation, lengths)
        for kept, end in zip(finals, ends):
            kept.append(end)
    joined = [ends[0] if layers == 1 else e.op("Concat", *ends, axis=0) for ends in finals if ends]
    return [x, *joined]


def _layer(e: Emitter, a: Arguments, op: str, x: Tensor, sets: Sequence[Sequence[Tensor]],
           states: Sequence[Tensor | None], biased: bool, activation: str, lengths: Tensor | None = None
           ) -> list[Tensor]:
    """(output [time, batch, dirs*H], Y_h, Y_c) of one layer; a set of weights for each direction."""
    arrays = [[_array(a, weight) for weight in weights] for weights in sets]
    hidden = _check(a, op, arrays, x, biased)
    dirs = len(sets)
    names = tuple(weight.name for weights in sets for weight in weights)
    W, R, *rest = e.derived((op, dirs, names), lambda: _stacked(op, arrays, biased))
    B = rest.pop(0) if biased else None
    P = rest.pop(0) if rest else None
    size = hidden if P is None else _array(a, P).shape[1]
    time, batch, _ = x.shape
    wanted = [(dirs, batch, size), (dirs, batch, hidden)][:2 if op == "LSTM" else 1]
    for state, shape in zip(states, wanted):
        if state is not None and not all(isinstance(d, str) or isinstance(w, str) or d == w
                                         for d, w in zip(state.shape, shape)):
            a.wrong(f"a state {list(state.shape)} where {list(shape)} is needed")
    inputs = [x, W, R, B, lengths, *(state for state in states if state is not None)]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if dirs == 2 else "forward"}
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    if activation:
        attributes["activations"] = (activation,) * dirs
    Y, *ends = e.recurrent(op, inputs, [(time, dirs, batch, size), *wanted], P, **attributes)
    joined = e.op("Reshape", e.transpose(Y, (0, 2, 1, 3)), e.integers(0, 0, dirs * size))
    return [Tensor(joined.name, (time, batch, dirs * size), x.dtype), *ends]


def _stacked(op: str, arrays: list[list[np.ndarray]], biased: bool) -> list[np.ndarray]:
    """W, R, B if there are biases and the projection if there is one, as ONNX has them: [dirs, ...]."""
    order = _ORDERS[op]
    made = [np.stack([reorder(weights[i], order) for weights in arrays]) for i in (0, 1)]
    if biased:
        made.append(np.stack([np.concatenate([reorder(weights[i], order) for i in (2, 3)]) for weights in arrays]))
    if len(arrays[0]) % 2:
        made.append(np.stack([weights[-1] for weights in arrays]))
    return made


def _array(a: Arguments, weight: Tensor) -> np.ndarray:
    if weight.array is None:
        a.refuse("weights that are computed when the model runs are not supported")
    return weight.array


def _check(a: Arguments, op: str, arrays: list[list[np.ndarray]], x: Tensor, biased: bool) -> int:
    """The hidden size; every weight of every direction must fit it and the input. Raises FormatError."""
    gates = len(_ORDERS[op])
    first = arrays[0][0]
    hidden, features = first.shape[0] // gates if first.ndim == 2 else 0, x.shape[2]
    inner = arrays[0][-1].shape[0] if len(arrays[0]) % 2 else hidden
    shapes = [(gates * hidden, first.shape[-1]), (gates * hidden, inner), *[(gates * hidden,)] * (2 if biased else 0),
              (inner, hidden)]
    for weights in arrays:
        for weight, shape in zip(weights, shapes):
            if not hidden or weight.shape != shape or weight.dtype.name != x.dtype:
                a.wrong(f"a weight {weight.dtype} {list(weight.shape)} where {x.dtype} {list(shape)} is needed")
    if isinstance(features, int) and features != first.shape[1]:
        a.wrong(f"an input of {features} features for weights of {first.shape[1]}")
    return hidden


def _cell(e: Emitter, a: Arguments, op: str, h: Tensor, c: Tensor | None = None, activation: str = "") -> list[Tensor]:
    """(h', c') of one step: a layer over a sequence of one step."""
    x = a.tensor("input")
    weights = [a.tensor("w_ih"), a.tensor("w_hh")]
    biases = [a.optional("b_ih"), a.optional("b_hh")]
    if x.rank != 2 or h.rank != 2 or (biases[0] is None) != (biases[1] is None):
        a.refuse("needs [batch, features], [batch, hidden] and both biases or none")
    biased = biases[0] is not None
    states = [None if state is None else e.unsqueeze(state, 0) for state in (h, c)]
    _, *ends = _layer(e, a, op, e.unsqueeze(x, 0), [[*weights, *(b for b in biases if b is not None)]], states, biased,
                      activation)
    return [e.squeeze(end, 0) for end in ends]
