"""The weights and settings of one recurrent cell, brought to ONNX's gate order, whatever Keras wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import GRU, LSTM, RNN, Recurrent
from ....graph import gates as orders
from ....graph.activations import SIGMOID, TANH, Activation
from ..reading.config import Layer, Version
from ..reading.owners import KINDS
from .activations import activation
from .builder import Tensor
from .weights import Weights, check_shape

_ORDERS = {LSTM: orders.KERAS_LSTM, GRU: orders.KERAS_GRU, RNN: orders.ONNX_RNN}


@dataclass
class Made:
    """What one direction gives: Y [batch, time, H] aligned with the input, the last output [batch, H], states."""

    sequence: Tensor
    last: Tensor
    states: list[Tensor] = field(default_factory=list)


@dataclass(eq=False)
class Cell:
    """One cell of one direction: W [gates*H, I], R [gates*H, H], B [2*gates*H] or None, ONNX gate order."""

    op: type[Recurrent]
    units: int
    W: np.ndarray
    R: np.ndarray
    B: np.ndarray | None
    activations: tuple[Activation, ...]
    linear_before_reset: bool = False

    def fits(self, other: Cell) -> bool:
        """Whether both can be the directions of one bidirectional node."""
        return (self.op, self.units, self.W.shape, self.linear_before_reset) == (
            other.op, other.units, other.W.shape, other.linear_before_reset)


def stacked(cells: Sequence[Cell]) -> dict[str, np.ndarray]:
    """W, R and, if any cell has it, B, with an axis of directions in front; the cells keep views of them."""
    made = {}
    for name in ("W", "R", "B"):
        arrays = [getattr(cell, name) for cell in cells]
        if all(array is None for array in arrays):
            continue
        empty = np.zeros(2 * cells[0].R.shape[0], cells[0].R.dtype)
        arrays = [empty if array is None else array for array in arrays]
        made[name] = arrays[0][None] if len(cells) == 1 else np.stack(arrays)
        for cell, view in zip(cells, made[name]):
            setattr(cell, name, view)
    return made


def cell_of(layer: Layer, weights: Weights, version: Version) -> Cell:
    """The cell of a recurrent layer, or a cell itself.

    Raises FormatError if arrays are missing or do not fit the settings, UnsupportedError for an activation.
    """
    op = KINDS[layer.kind]
    units = layer.size("units")
    use_bias = layer.get("use_bias", bool, True)
    keras1 = 3 * op.gates
    counts = (3, keras1) if use_bias and op is not RNN else (2 + use_bias,)
    arrays = weights.take(layer, counts, "cell", "", once=True)
    if len(arrays) == keras1 and op is not RNN:
        arrays = _from_keras1(layer, op, arrays, units)
    kernel, recurrent, *rest = arrays
    bias = rest[0] if rest else None
    if kernel.ndim != 2:
        check_shape(layer, "kernel", kernel, None, op.gates * units)
    if bias is not None and bias.shape == (2 * op.gates * units,) and op is not RNN:
        # Only the length of the bias tells that the arrays are in cuDNN's layout.
        kernel, recurrent, bias = _from_cudnn(layer, op, kernel, recurrent, bias, units)
    elif layer.kind.startswith("CuDNN"):
        check_shape(layer, "bias", np.empty(0) if bias is None else bias, 2 * op.gates * units)
    check_shape(layer, "kernel", kernel, None, op.gates * units)
    check_shape(layer, "recurrent_kernel", recurrent, units, op.gates * units)
    reset_after = _reset_after(layer, op, bias)
    order = _ORDERS[op]
    W, R = orders.reorder(kernel.T, order), orders.reorder(recurrent.T, order)
    return Cell(op, units, W, R, _bias(layer, op, bias, units, reset_after), _activations(layer, op, version),
                reset_after)


def _reset_after(layer: Layer, op: type[Recurrent], bias: np.ndarray | None) -> bool:
    if op is not GRU:
        return False
    # Absent means False: configurations from before the setting existed. cuDNN always resets after the product.
    return layer.get("reset_after", bool, False) or layer.kind == "CuDNNGRU" or bias is not None and bias.ndim == 2


def _bias(layer: Layer, op: type[Recurrent], bias: np.ndarray | None, units: int, reset_after: bool
          ) -> np.ndarray | None:
    """Keras' bias as ONNX's [Wb, Rb]: Keras has one, but for a GRU that resets after the product."""
    if bias is None:
        return None
    if reset_after:
        check_shape(layer, "bias", bias, 2, op.gates * units)
        return np.concatenate([orders.reorder(row, _ORDERS[op]) for row in bias])
    check_shape(layer, "bias", bias, op.gates * units)
    return np.concatenate([orders.reorder(bias, _ORDERS[op]), np.zeros_like(bias)])


def _activations(layer: Layer, op: type[Recurrent], version: Version) -> tuple[Activation, ...]:
    if layer.kind.startswith("CuDNN"):
        candidate, gate = TANH, SIGMOID
    else:
        default = "hard_sigmoid" if version.numbers < (2, 3) else "sigmoid"
        candidate = activation(layer, version, "activation", "tanh", cell=True)
        gate = activation(layer, version, "recurrent_activation", default, cell=True) if op is not RNN else candidate
    return {LSTM: (gate, candidate, candidate), GRU: (gate, candidate), RNN: (candidate,)}[op]


def _from_keras1(layer: Layer, op: type[Recurrent], arrays: list[np.ndarray], units: int) -> list[np.ndarray]:
    """Keras 1 kept W [in, units], U [units, units], b [units] of each gate; LSTM's gates were i, c, f, o."""
    stored = orders.KERAS1_LSTM if op is LSTM else orders.KERAS_GRU
    for number, array in enumerate(arrays):
        shape = ((None, units), (units, units), (units,))[number % 3]
        check_shape(layer, f"array {number} ({stored[number // 3]})", array, *shape)
    place = [stored.index(gate) for gate in _ORDERS[op]]
    try:
        return [np.concatenate([arrays[3 * gate + part] for gate in place], axis=-1) for part in range(3)]
    except ValueError:
        raise FormatError(f"{layer}: the kernels of its gates differ in their number of inputs") from None


def _from_cudnn(layer: Layer, op: type[Recurrent], kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray,
                units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """cuDNN keeps each gate's matrix transposed, and two biases, one after the other.

    Source: `_convert_rnn_weights` of Keras 2's legacy HDF5 reader.
    """
    check_shape(layer, "kernel", kernel, None, op.gates * units)
    check_shape(layer, "recurrent_kernel", recurrent, units, op.gates * units)
    kernel = np.hstack([gate.T.reshape(gate.shape, order="F") for gate in np.hsplit(kernel, op.gates)])
    recurrent = np.hstack([gate.T for gate in np.hsplit(recurrent, op.gates)])
    if op is GRU:
        if not layer.kind.startswith("CuDNN") and not layer.get("reset_after", bool, False):
            raise UnsupportedError(f"{layer}: its arrays are cuDNN's, which resets after the product, but reset_after "
                                   "is not set; supported: either of them, consistently")
        return kernel, recurrent, bias.reshape(2, -1)
    return kernel, recurrent, bias.reshape(2, -1).sum(axis=0, dtype=np.float64).astype(bias.dtype)
