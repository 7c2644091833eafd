"""ONNX Runtime's LSTM of whole-number weights, com.microsoft's DynamicQuantizeLSTM.

x, over all its steps and rows, and h, at each step over all rows, become whole numbers from 0 to 255 by their own least
and largest (ONNX's DynamicQuantizeLinear); their products with the weights are whole numbers too. Gates, cells and
states are float32. So a row's result depends on the rows beside it, and x's rounding on all steps of a call.
Source: ONNX Runtime's ContribOperators.md, and ONNX's LSTM for the equations. Where ONNX Runtime shares the rows out
among threads, each of these takes the scale of h from its own rows; here, as with one thread there, it is of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError
from ..graph.activations import Activation, from_onnx
from ..graph.nodes import Dim, Operator, Value
from .costs import PRODUCTS_AT_ONCE, Arrays, Need
from .families import OPERATORS
from .kernels import Kernel
from .quantization import check_scale, dynamic
from .shape_rules import Dims, ShapeCall, Shapes, same_size
from .spec import Attribute, declare, one_of

_X, _W, _R, _B, _LENGTHS, _H, _C, _P, _W_SCALE, _W_ZERO, _R_SCALE, _R_ZERO = range(12)
_GATES = 4                          # i, o, f, c
_DEFAULTS = ("Sigmoid", "Tanh", "Tanh")


# ---- shapes ---------------------------------------------------------------------------------------------------------

def _shape(call: ShapeCall) -> Shapes:
    dirs = 2 if call.attributes["direction"] == "bidirectional" else 1
    _functions(call, call.attributes, dirs)
    clip = call.attributes["clip"]
    if clip is not None and not 0 < clip < float("inf"):
        raise call.error(f"attribute 'clip' is {clip}; expected a number above 0")
    for position in (_W_SCALE, _W_ZERO, _R_SCALE, _R_ZERO):
        call.value(position)
    if call.rank() != 3 or call.rank(_R) != 3:
        raise call.error(f"X and R need 3 axes, not {call.rank()} and {call.rank(_R)}")
    time, batch, features = call.shape()
    hidden = call.shape(_R)[1]
    if not isinstance(hidden, int) or hidden < 1 or call.attributes["hidden_size"] not in (0, hidden):
        raise call.error(f"hidden_size is {call.attributes['hidden_size']}, R is {call.shape(_R)}")
    gates, state, one = _GATES * hidden, (dirs, batch, hidden), (dirs,)
    for name, position, types, *shapes in (
            ("X", _X, ("float32",), (time, batch, features)), ("W", _W, ("int8", "uint8"), (dirs, features, gates)),
            ("R", _R, (call.dtype(_W),), (dirs, hidden, gates)), ("B", _B, ("float32",), (dirs, 2 * gates)),
            ("sequence_lens", _LENGTHS, ("int32",), (batch,)), ("initial_h", _H, ("float32",), state),
            ("initial_c", _C, ("float32",), state), ("P", _P, ("float32",), (dirs, 3 * hidden)),
            ("W_scale", _W_SCALE, ("float32",), one, (dirs, gates)),
            ("W_zero_point", _W_ZERO, (call.dtype(_W),), one, (dirs, gates)),
            ("R_scale", _R_SCALE, ("float32",), one, (dirs, gates)),
            ("R_zero_point", _R_ZERO, (call.dtype(_R),), one, (dirs, gates))):
        if call.given(position):
            _expect(call, name, position, types, shapes)
    check_scale(call, _W_SCALE, _R_SCALE)
    return [((time, dirs, batch, hidden), "float32"), (state, "float32"), (state, "float32")]


def _expect(call: ShapeCall, name: str, position: int, types: Sequence[str], shapes: Sequence[Sequence[Dim | None]]
            ) -> None:
    given: Dims = call.shape(position)
    fits = any(len(given) == len(shape) and all(map(same_size, given, shape)) for shape in shapes)
    if not fits or call.dtype(position) not in types:
        raise call.error(f"{name} must be {' or '.join(types)} {' or '.join(str(list(shape)) for shape in shapes)}, "
                         f"got {call.dtype(position)} {given}")


def _functions(call: ShapeCall, attributes: dict[str, Any], dirs: int) -> None:
    """Raise for activations that are unknown, too many or too few."""
    names = attributes["activations"]
    if len(names) not in (0, len(_DEFAULTS) * dirs):
        raise call.error(f"activations must be {len(_DEFAULTS) * dirs} names, got {list(names)}")
    try:
        _activations(attributes)
    except ArgumentError as error:
        raise call.error(str(error)) from error


def _activations(attributes: dict[str, Any]) -> list[Activation]:
    dirs = 2 if attributes["direction"] == "bidirectional" else 1
    return from_onnx(attributes["activations"] or _DEFAULTS * dirs, attributes["activation_alpha"],
                     attributes["activation_beta"], surplus=True)


# ---- the kernel -----------------------------------------------------------------------------------------------------

Function = Callable[[np.ndarray], np.ndarray]


def _function(activation: Activation, node: Operator) -> Function:
    """An activation as the operator that it is; two are none."""
    alpha, beta = (None if value is None else np.float32(value) for value in (activation.alpha, activation.beta))
    if activation.name == "affine":
        return lambda x: np.asarray(alpha * x + beta)
    if activation.name == "scaled_tanh":
        return lambda x: np.asarray(alpha * np.tanh(beta * x))
    spec = next(spec for spec in OPERATORS.values() if spec.activation[:1] == (activation.name,))
    given = zip(spec.activation[1:], (activation.alpha, activation.beta))
    kernel: Function = spec.make({**spec.defaults, **dict(given)}, node)
    return kernel


class _Matrix(NamedTuple):
    """The weights of one direction less their zeros, and their scales."""

    whole: np.ndarray           # [K, 4*H], in a type of float in which every product with 0 .. 255 is exact
    scale: np.ndarray           # [] or [4*H] float32

    def times(self, x: np.ndarray) -> np.ndarray:
        """x [.., K] float32, made whole numbers: [.., 4*H] float32."""
        parts, scale, zero = dynamic(x)
        sums = np.matmul(parts.astype(self.whole.dtype) - zero.astype(self.whole.dtype), self.whole)
        made: np.ndarray = sums.astype(np.float32) * (scale * self.scale)
        return made


def _matrices(weights: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> list[_Matrix]:
    made = []
    for d in range(len(weights)):
        whole = weights[d].astype(np.float32) - zero[d]
        largest = 255 * np.abs(whole).sum(0, np.float64).max(initial=0)        # of any sum of some of the products
        made.append(_Matrix(whole if largest < 2**24 else whole.astype(np.float64), scale[d]))
    return made


def _make(attributes: dict[str, Any], node: Operator) -> Kernel:
    functions = [_function(activation, node) for activation in _activations(attributes)]
    reverse = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[attributes["direction"]]
    clip, couple = attributes["clip"], attributes["input_forget"]
    given = [node.constants.get(position) for position in range(12)]
    fixed = [None if any(given[i] is None for i in places) else _matrices(*(given[i] for i in places))  # type: ignore[arg-type]
             for places in ((_W, _W_SCALE, _W_ZERO), (_R, _R_SCALE, _R_ZERO))]
    keeps = not node.outputs[0]         # rows that have ended keep h where Y is not asked for, else it is 0

    def clipped(x: np.ndarray) -> np.ndarray:
        return x if clip is None else np.clip(x, np.float32(-clip), np.float32(clip))

    def cell(gates: np.ndarray, c: np.ndarray, bias: np.ndarray, peepholes: np.ndarray | None,
             f: Function, g: Function, h: Function) -> tuple[np.ndarray, np.ndarray]:
        """gates [rows, 4*H] of i, o, f and c before bias and activation, c [rows, H]: the next h and c."""
        i, o, forget, candidate = np.split(gates, _GATES, axis=-1)
        b_i, b_o, b_f, b_c = np.split(bias, _GATES)
        p_i, p_o, p_f = (None, None, None) if peepholes is None else np.split(peepholes, 3)
        i = f(clipped(i + _seen(p_i, c) + b_i))
        forget = 1 - i if couple else f(clipped(forget + _seen(p_f, c) + b_f))
        c = forget * c + i * g(clipped(candidate + b_c))
        return f(clipped(o + _seen(p_o, c) + b_o)) * h(c), c

    def lstm(x: np.ndarray, weights: np.ndarray, recurrent: np.ndarray, bias: np.ndarray | None,
             lengths: np.ndarray | None, initial_h: np.ndarray | None, initial_c: np.ndarray | None,
             peepholes: np.ndarray | None, w_scale: np.ndarray, w_zero: np.ndarray, r_scale: np.ndarray,
             r_zero: np.ndarray) -> list[np.ndarray]:
        time, batch, _ = x.shape
        lengths = np.full(batch, time) if lengths is None else lengths
        if ((lengths < 0) | (lengths > time)).any():
            raise ValueError(f"sequence_lens must be from 0 to {time}, got {lengths.min()} to {lengths.max()}")
        most = int(lengths.max(initial=0))
        ws = fixed[0] or _matrices(weights, w_scale, w_zero)
        rs = fixed[1] or _matrices(recurrent, r_scale, r_zero)
        hidden = recurrent.shape[1]
        y = np.zeros((time, len(reverse), batch, hidden), np.float32)
        finals = np.zeros((2, len(reverse), batch, hidden), np.float32)
        for d, backwards in enumerate(reverse):
            both = np.zeros((2, _GATES * hidden), np.float32) if bias is None else bias[d].reshape(2, -1)
            own = None if peepholes is None else peepholes[d]
            parts = ws[d].times(x[:most])
            seen, c = (np.zeros((batch, hidden), np.float32) if state is None else state[d].copy()
                       for state in (initial_h, initial_c))
            for step in range(most):
                rows = np.flatnonzero(step < lengths)
                at = lengths[rows] - 1 - step if backwards else np.full(len(rows), step)
                gates = parts[at, rows] + rs[d].times(seen)[rows]
                h, c[rows] = cell(gates, c[rows], both[0] + both[1], own, *functions[3 * d:3 * d + 3])
                y[at, d, rows] = finals[0, d, rows] = h
                seen = finals[0, d].copy() if keeps else np.zeros_like(seen)
                seen[rows] = h
            finals[1, d] = np.where((lengths > 0)[:, None], c, 0)
        return [y, *finals]
    return lstm


def _seen(peephole: np.ndarray | None, c: np.ndarray) -> np.ndarray | np.float32:
    return np.float32(0) if peephole is None else np.asarray(peephole * c)


def _needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    time, batch, features = arrays[_X].shape
    dirs, hidden, gates = arrays[_R].shape
    rows = time * batch
    weights = dirs * (features + hidden) * gates
    # x as whole numbers and as floats, the gates of all steps, the results; a step's numbers are few beside them
    size = 32 * rows * features + 16 * rows * gates + 4 * dirs * (rows + 2 * batch) * hidden + 8 * weights \
        + 64 * batch * gates
    work = dirs * (rows * gates * (features + hidden) // PRODUCTS_AT_ONCE + 20 * rows * gates + 500_000 * time)
    return Need(size, work)


declare("DynamicQuantizeLSTM", (3, 12), (1, 3), make=_make, domain="com.microsoft", apart="XWWXLXXXXWXW",
        shape=_shape, combines=True, needs=_needs, attributes={
            "direction": one_of("forward", "reverse", "bidirectional"), "hidden_size": 0,
            "clip": Attribute(float, None), "input_forget": one_of(0, 1),
            "activations": Attribute(tuple, (), item=str), "activation_alpha": Attribute(tuple, (), item=float),
            "activation_beta": Attribute(tuple, (), item=float)})
