"""ONNX's recurrent operators to the letter: `le.ops.lstm`, `gru`, `rnn` on raw weights.

Shapes, attribute names and equations: https://onnx.ai/onnx/operators/onnx__LSTM.html, GRU and RNN.
layout 0: X [time, batch, I], Y [time, dirs, batch, H], states [dirs, batch, H];
layout 1: X [batch, time, I], Y [batch, time, dirs, H], states [batch, dirs, H].
The dtype of X is the dtype of the computation and of the outputs. A sequence of length 0 ends in zero states, as in
ONNX Runtime.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import graph as g
from . import runtime
from .arguments import choice, listed, shown, whole_number
from .arrays import plain_array
from .entry import entry
from .errors import ArgumentError, ArgumentTypeError
from .graph.activations import from_onnx
from .operators import validate
from .plan import lower
from .running.bound import Runner
from .running.execute import execute
from .types import Array, Direction, Input, Layout, Switch

_FLOATS = ("float16", "float32", "float64")


@entry
def lstm(X: Input, W: Input, R: Input, B: Input | None = None, sequence_lens: Input | None = None,
         initial_h: Input | None = None, initial_c: Input | None = None, P: Input | None = None, *,
         direction: Direction = "forward", activations: Sequence[str] | None = None,
         activation_alpha: Sequence[float] | None = None, activation_beta: Sequence[float] | None = None,
         clip: float | None = None, input_forget: Switch = 0, layout: Layout = 0, hidden_size: int | None = None,
         threads: int | None = None) -> tuple[Array, Array, Array]:
    """ONNX LSTM: W [dirs, 4*H, I], R [dirs, 4*H, H] (gates i,o,f,c), B [dirs, 8*H], P [dirs, 3*H] (i,o,f).

    Returns (Y, Y_h, Y_c). Raises ArgumentError, ArgumentTypeError, GraphError (a weight of a wrong shape) or
    UnsupportedError (an unknown activation).
    """
    weights = {"W": W, "R": R, "B": B, "P": P}
    Y, Y_h, Y_c = _run(g.LSTM, X, weights, sequence_lens, initial_h, initial_c, direction, activations,
                       activation_alpha, activation_beta, clip, layout, hidden_size, threads,
                       input_forget=_flag(input_forget, "input_forget"))
    return Y, Y_h, Y_c


@entry
def gru(X: Input, W: Input, R: Input, B: Input | None = None, sequence_lens: Input | None = None,
        initial_h: Input | None = None, *, direction: Direction = "forward", activations: Sequence[str] | None = None,
        activation_alpha: Sequence[float] | None = None, activation_beta: Sequence[float] | None = None,
        clip: float | None = None, linear_before_reset: Switch = 0, layout: Layout = 0, hidden_size: int | None = None,
        threads: int | None = None) -> tuple[Array, Array]:
    """ONNX GRU: W [dirs, 3*H, I], R [dirs, 3*H, H] (gates z,r,h), B [dirs, 6*H]. Returns (Y, Y_h)."""
    Y, Y_h = _run(g.GRU, X, {"W": W, "R": R, "B": B}, sequence_lens, initial_h, None, direction, activations,
                  activation_alpha, activation_beta, clip, layout, hidden_size, threads,
                  linear_before_reset=_flag(linear_before_reset, "linear_before_reset"))
    return Y, Y_h


@entry
def rnn(X: Input, W: Input, R: Input, B: Input | None = None, sequence_lens: Input | None = None,
        initial_h: Input | None = None, *, direction: Direction = "forward", activations: Sequence[str] | None = None,
        activation_alpha: Sequence[float] | None = None, activation_beta: Sequence[float] | None = None,
        clip: float | None = None, layout: Layout = 0, hidden_size: int | None = None,
        threads: int | None = None) -> tuple[Array, Array]:
    """ONNX RNN: W [dirs, H, I], R [dirs, H, H], B [dirs, 2*H]. Returns (Y, Y_h)."""
    Y, Y_h = _run(g.RNN, X, {"W": W, "R": R, "B": B}, sequence_lens, initial_h, None, direction, activations,
                  activation_alpha, activation_beta, clip, layout, hidden_size, threads)
    return Y, Y_h


def _given(value: Any) -> bool:
    """Whether an optional input is there; ONNX writes one left out as ""."""
    return value is not None and not (isinstance(value, str) and value == "")


def _float_array(value: Any, what: str, dtype: np.dtype | None = None) -> np.ndarray:
    """An array of floats, aligned and in native byte order; what is not an array yet takes `dtype`, that of X."""
    array = plain_array(value, what, dtype or np.float32)
    if array.dtype.name not in _FLOATS:
        raise ArgumentTypeError(f"{what}: expected float32 or float64, got {array.dtype}")
    array = np.require(array, array.dtype.newbyteorder("="), "A")
    if dtype is not None and array.dtype != dtype:
        raise ArgumentTypeError(f"{what}: expected {dtype}, the dtype of X, got {array.dtype}")
    return array


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, (int, np.integer)) or value not in (0, 1):
        raise ArgumentError(f"{what} is 0 or 1, not {shown(value)}")
    return bool(value)


def _numbers(values: Any, what: str) -> list[float]:
    """A list of alphas or betas; [] where left out."""
    if values is None:
        return []
    array = plain_array(values, what, np.float64)
    if array.ndim != 1 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ArgumentError(f"{what}: expected a list of finite numbers, got {shown(values)}")
    return [float(value) for value in array]


def _run(kind: type[g.Recurrent], X: Any, weights: dict[str, Any], sequence_lens: Any, initial_h: Any, initial_c: Any,
         direction: str, activations: Sequence[str] | None, alphas: Sequence[float] | None,
         betas: Sequence[float] | None, clip: float | None, layout: int, hidden_size: int | None, threads: int | None,
         **options: Any) -> tuple[Array, ...]:
    if not _given(X):
        raise ArgumentError("X is required")
    x = _float_array(X, "X")
    if x.ndim != 3:
        raise ArgumentError(f"X: expected 3 dimensions, got shape {list(x.shape)}")
    if max(x.shape) > 2**31 - 1:
        raise ArgumentError(f"X: no size may be above {2**31 - 1}, got shape {list(x.shape)}")
    layout = _flag(layout, "layout")
    direction = choice(direction, "direction", g.DIRECTIONS)
    compute = np.float64 if x.dtype == np.float64 else np.float32
    given: dict[str, Any] = {name: _float_array(value, name, x.dtype).astype(compute, copy=False)
                             for name, value in weights.items() if _given(value)}
    for name, rank in (("W", 3), ("R", 3), ("B", 2), ("P", 2)):
        if name in given and given[name].ndim != rank:
            raise ArgumentError(f"{name}: expected {rank} dimensions, got shape {list(given[name].shape)}")
    for name in ("W", "R"):
        if name not in given:
            raise ArgumentError(f"{name} is required")
    dirs, per_direction = 2 if direction == "bidirectional" else 1, len(kind.default_activations)
    functions: tuple[tuple[g.Activation, ...], ...] = ()
    own_alphas, own_betas = _numbers(alphas, "activation_alpha"), _numbers(betas, "activation_beta")
    if activations is not None or own_alphas or own_betas:
        names = [f.name for f in kind.default_activations] * dirs if activations is None \
            else [_name(name) for name in listed(activations, "activations: expected a list of names")]
        if len(names) != per_direction * dirs:
            raise ArgumentError(f"activations: expected {per_direction * dirs} names, got {len(names)}")
        flat = from_onnx(names, own_alphas, own_betas, own=True)
        functions = tuple(tuple(flat[d * per_direction:(d + 1) * per_direction]) for d in range(dirs))
    wanted = ("Y", "Y_h", "Y_c") if kind is g.LSTM else ("Y", "Y_h")
    ins = [g.Value("X", ("batch", "time", x.shape[2]), np.dtype(compute).name)]
    names = ["X", "", "", ""]
    width = dirs * given["R"].shape[2]
    for position, name, value in ((2, "initial_h", initial_h), (3, "initial_c", initial_c)):
        if _given(value):
            ins.append(g.Value(name, ("batch", width), np.dtype(compute).name))
            names[position] = name
    node = kind(name=kind.op.lower(), inputs=tuple(names), outputs=wanted, direction=direction, activations=functions,
                clip=_checked_clip(clip), empty="zero", **given, **options)
    if hidden_size is not None and whole_number(hidden_size, "hidden_size") != given["R"].shape[2]:
        raise ArgumentError(f"hidden_size is {hidden_size}; R has {given['R'].shape[2]}")
    graph = validate(g.Graph(tuple(ins), (node,), wanted))
    batch_first = np.require(x if layout else x.swapaxes(0, 1), compute, ["C", "A"])
    batch, steps = batch_first.shape[:2]
    values = {"X": batch_first}
    for name, value in (("initial_h", initial_h), ("initial_c", initial_c)):
        if _given(value):
            values[name] = _state_rows(value, name, x.dtype, batch, dirs, node.hidden, layout, compute)
    lengths = _lengths(sequence_lens, batch, steps)
    plan = lower(graph, isa=runtime.isa())
    if runtime.checking_wanted():
        from .checking import guarded

        runner = guarded(plan, graph)
    else:
        runner = Runner(plan)
    out = execute(runner, values, batch, lengths={} if lengths is None else {"time": lengths}, state_in={},
                  state_out={}, threads=runtime.num_threads(threads))
    results: list[np.ndarray] = [out["Y"].reshape(batch, steps, dirs, node.hidden)]
    for name in wanted[1:]:
        results.append(out[name].reshape(batch, dirs, node.hidden))
    if not layout:
        results = [results[0].transpose(1, 2, 0, 3), *(state.swapaxes(0, 1) for state in results[1:])]
    return tuple(np.ascontiguousarray(array.astype(x.dtype, copy=False)) for array in results)


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ArgumentTypeError(f"activations: expected names, got {shown(value)}")
    return str(value)


def _checked_clip(clip: Any) -> float | None:
    if clip is None:
        return None
    if isinstance(clip, bool) or not isinstance(clip, (int, float, np.integer, np.floating)) \
            or not 0 < clip <= sys.float_info.max:
        raise ArgumentError(f"clip: expected a finite number above 0, got {shown(clip)}")
    return float(clip)


def _state_rows(value: Any, name: str, dtype: np.dtype, batch: int, dirs: int, hidden: int, layout: int,
                compute: Any) -> np.ndarray:
    array = _float_array(value, name, dtype)
    expected = (batch, dirs, hidden) if layout else (dirs, batch, hidden)
    if array.shape != expected:
        raise ArgumentError(f"{name}: expected shape {list(expected)}, got {list(array.shape)}")
    rows = array if layout else array.swapaxes(0, 1)
    return np.ascontiguousarray(rows.reshape(batch, dirs * hidden), compute)


def _lengths(value: Any, batch: int, steps: int) -> np.ndarray | None:
    if not _given(value):
        return None
    array = plain_array(value, "sequence_lens").copy()     # the caller may change them while they are read
    if array.dtype.kind not in "iu":
        if array.size:
            raise ArgumentTypeError(f"sequence_lens: expected whole numbers, got {array.dtype}")
        array = np.zeros(array.shape, np.int32)
    if array.shape != (batch,):
        raise ArgumentError(f"sequence_lens: expected shape [{batch}], got {list(array.shape)}")
    if ((array < 0) | (array > steps)).any():
        raise ArgumentError(f"sequence_lens: expected 0 to {steps}, got {array.tolist()}")
    return np.ascontiguousarray(array, np.int32)
