"""LSTM cells that normalise their products and their cell state (TensorFlow Addons' LayerNormLSTMCell).

    i, f, g, o = norm(x W) + norm(h R) + b;  c = norm(f c + i g);  h = o act(c)

(Ba, Kiros and Hinton 2016, arXiv:1607.06450.) No layer of the core does that, so its steps are the turns of a loop.
Source: tensorflow_addons 0.23, rnn/layer_norm_lstm_cell.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ....errors import FormatError
from ....graph import LSTM, Activate, Dense, Loop, Value
from ....graph.activations import LINEAR, Activation
from ..reading.config import Layer, Version
from ..reading.parts import NORMS
from .activations import activation
from .builder import Builder, Tensor
from .registry import show
from .weights import Weights, check_shape

KIND = "LayerNormLSTMCell"
_GATES = 4                              # i, f, g, o, as Keras has them


@dataclass(eq=False)
class NormedCell:
    """kernel [I, 4*H], recurrent [H, 4*H], bias [4*H] or None; (gamma, beta) of each norm, in the order of `NORMS`."""

    units: int
    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray | None
    norms: list[tuple[np.ndarray, np.ndarray]]
    epsilon: float
    gate: Activation
    candidate: Activation
    op: ClassVar[type[LSTM]] = LSTM     # its states are those of an LSTM


def normed_cell_of(layer: Layer, weights: Weights, version: Version) -> NormedCell:
    """The cell of a layer. Raises FormatError where arrays are missing or do not fit the settings."""
    units, use_bias = layer.size("units"), layer.get("use_bias", bool, True)
    kernel, recurrent, *rest = weights.take(layer, (2 + use_bias,))
    check_shape(layer, "kernel", kernel, None, _GATES * units)
    check_shape(layer, "recurrent_kernel", recurrent, units, _GATES * units)
    for bias in rest:
        check_shape(layer, "bias", bias, _GATES * units)
    norms = []
    for name, width in zip(NORMS, (_GATES * units, _GATES * units, units)):
        gamma, beta = weights.take(layer, (2,), name)
        for array in (gamma, beta):
            check_shape(layer, name, array, width)
        norms.append((gamma, beta))
    return NormedCell(units, kernel, recurrent, rest[0] if rest else None, norms, layer.number("norm_epsilon", 1e-3),
                      activation(layer, version, "recurrent_activation", "sigmoid", cell=True),
                      activation(layer, version, "activation", "tanh", cell=True))


def run(builder: Builder, layer: Layer, name: str, cell: NormedCell, x: Tensor, initial: list[Tensor],
        mask: Tensor | None, backwards: bool, zero: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Y [batch, time, H] aligned with x, the final h and c, and the last output: of a row that is masked throughout it
    is 0, while h stays what it was."""
    batch, time, features = x.shape
    if not builder.unify(features, cell.kernel.shape[0]):
        raise FormatError(f"{layer}: its input has {features} features, its kernel takes {cell.kernel.shape[0]}")
    if mask is not None and not (mask.rank == 2 and builder.unify(time, mask.shape[1])):
        raise FormatError(f"{layer}: its mask has the shape {show(mask.shape)}; expected {show(x.shape[:2])}")
    wide, units, dtype = _GATES * cell.units, cell.units, builder.float_type
    product, = builder.add(Dense, f"{name}/product", [x], [(f"{name}/product", (batch, time, wide), dtype)],
                           kernel=cell.kernel)
    projected = _normed(builder, f"{name}/x", product, cell, 0)
    zeros = builder.zeros(f"{name}/zeros", x, (units,))
    states = [*(builder.as_float(state, name) for state in initial or (zeros, zeros)), zeros]
    inner = Builder(dtype)
    inner.given(Value("turn", (), "int64"))
    always = inner.given(Value("goes on", (), "bool"))
    h, c, last, step = (inner.given(Value(called, ("batch", width), dtype)) for called, width in (
        ("h", units), ("c", units), ("last", units), ("x", wide)))
    new_h, new_c = _step(inner, cell, step, h, c)
    output = new_h
    if mask is not None:
        flag = inner.given(Value("counts", ("batch",), "bool"))
        on = inner.operator("Unsqueeze", "on", [flag, np.array([1], np.int64)], ("batch", 1))
        other = np.zeros((), dtype) if zero else last
        output = inner.operator("Where", "output", [on, new_h, other], h.shape, dtype)
        new_h, new_c = (inner.operator("Where", f"kept_{called}", [on, new, old], old.shape, dtype)
                        for called, new, old in (("h", new_h, h), ("c", new_c, c)))
    body = inner.finish([new_h, new_c, output, output], {})
    sequences = [projected, *([mask] if mask is not None else [])]
    made = [*((f"{name}/{called}", (batch, units), dtype) for called in ("h", "c", "last")),
            (f"{name}/sequence", (batch, time, units), dtype)]
    h, c, last, sequence = builder.add(
        Loop, f"{name}/loop", [None, None, *states, *sequences], made, states=3,
        body=replace(body, outputs=(always.name, *body.outputs)), sequence_axes=(1,) * len(sequences),
        backwards=(int(backwards),) * len(sequences), result_axes=(1,), turned=(int(backwards),))
    return sequence, h, c, last


def _step(builder: Builder, cell: NormedCell, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    product, = builder.add(Dense, "product", [h], [("product", x.shape, x.dtype)], kernel=cell.recurrent)
    total = builder.operator("Add", "total", [x, _normed(builder, "h_norm", product, cell, 1)], x.shape)
    if cell.bias is not None:
        total = builder.operator("Add", "biased", [total, cell.bias], x.shape)
    i, f, g, o = (_activated(builder, f"{name}_gate", builder.slice(
        total, name, 1, at * cell.units, (at + 1) * cell.units), cell.candidate if name == "g" else cell.gate)
        for at, name in enumerate("ifgo"))
    kept = builder.operator("Mul", "kept", [f, c], c.shape)
    added = builder.operator("Add", "carried", [kept, builder.operator("Mul", "new", [i, g], c.shape)], c.shape)
    carried = _normed(builder, "c_norm", added, cell, 2)
    bounded = _activated(builder, "bounded", carried, cell.candidate)
    return builder.operator("Mul", "out", [o, bounded], c.shape), carried


def _normed(builder: Builder, name: str, x: Tensor, cell: NormedCell, which: int) -> Tensor:
    return builder.operator("LayerNormalization", name, [x, *cell.norms[which]], x.shape,
                            attributes={"axis": -1, "epsilon": cell.epsilon})


def _activated(builder: Builder, name: str, x: Tensor, function: Activation) -> Tensor:
    return x if function == LINEAR else builder.add(Activate, name, [x], [(name, x.shape, x.dtype)],
                                                    activation=function)[0]
