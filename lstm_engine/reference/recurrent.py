"""LSTM, GRU and RNN in float64: ONNX's equations to the letter, with the extensions named in `graph.nodes`.

Everything is batch first (ONNX's layout = 1): X [batch, time, I], states [batch, dirs, H], Y [batch, time, dirs, H].
Source of the equations: the ONNX operators LSTM, GRU and RNN, "Equations". Both ONNX Runtime and OpenVINO leave
C_t itself unclipped when h(C_t) is taken, and so does this: `clip` bounds the pre-activations of the gates alone.
With quantised weights `x @ W.T` is what their type defines (`quantized.py`); all else stays float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from ..errors import ArgumentError
from ..graph import GRU, LSTM, RNN, Activation
from .activations import activate
from .quantized import gates_of, matrix

Functions = Sequence[Sequence[Activation]]
State = tuple[np.ndarray, ...]                  # (h,) or (h, c), each [batch, H]
Step = Callable[[np.ndarray, State], State]     # (x [batch, I], state) -> state
Weights = Any                                   # an array, or a Quantized
Rounded = Callable[[np.ndarray], np.ndarray]    # an array, each number moved by a rounding


@dataclass(frozen=True)
class Steps:
    """Which steps count.

    lengths [batch] ints: row b has the steps 0 .. lengths[b]-1; beyond them Y is 0 and a reverse direction
    starts at lengths[b]-1. mask [batch, time] bool: a False step carries the state and repeats the previous
    output, 0 where there is none (Keras), or gives 0 if `zero_masked`. empty: the final state of a row of
    which no step counts, "initial" (it is left as it was; PyTorch) or "zero" (ONNX Runtime, OpenVINO). rounded: what
    the state goes through after each step, to see what the roundings of another engine can do.
    """

    lengths: np.ndarray | None = None
    mask: np.ndarray | None = None
    zero_masked: bool = False
    empty: str = "initial"
    rounded: Rounded | None = None


def lstm(X: np.ndarray, W: Weights, R: Weights, B: np.ndarray | None = None,
         sequence_lens: np.ndarray | None = None, initial_h: np.ndarray | None = None,
         initial_c: np.ndarray | None = None, P: np.ndarray | None = None, *, direction: str = "forward",
         activations: Functions | None = None, clip: float | None = None, input_forget: bool = False,
         projection: Weights | None = None, peephole_output: str = "current", cell_clip: float | None = None,
         mask: np.ndarray | None = None, zero_masked: bool = False, empty: str = "initial",
         rounded: Rounded | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ONNX LSTM. Returns Y [batch, time, dirs, H], Y_h [batch, dirs, H], Y_c [batch, dirs, H].

    X [batch, time, I], W [dirs, 4*H, I], R [dirs, 4*H, H], B [dirs, 8*H], P [dirs, 3*H] (i, o, f).
    projection [dirs, P, H]: h is projected to P, R is [dirs, 4*H, P] (PyTorch's proj_size).
    Raises ArgumentError for a state, length or mask of a wrong shape or range.
    """
    W, R, B, P = matrix(W), matrix(R), _float64(B), _float64(P)
    projected = None if projection is None else matrix(projection)
    hidden = R.shape[1] // 4
    output_size = hidden if projected is None else projected.shape[1]

    def direction_step(d: int, f: Activation, g: Activation, h: Activation) -> Step:
        W_i, W_o, W_f, W_c = gates_of(W[d], 4)
        R_i, R_o, R_f, R_c = gates_of(R[d], 4)
        b_i, b_o, b_f, b_c = _bias(B, d, 4, hidden).sum(axis=0)
        # Without peepholes nothing looks at c: 0 * c is no 0 where c is infinite.
        P_i, P_o, P_f = (None, None, None) if P is None else np.split(P[d], 3)

        def step(x: np.ndarray, state: State) -> State:
            h_t1, c_t1 = state
            i_t = activate(f, clipped(x @ W_i.T + h_t1 @ R_i.T + seen_by(P_i, c_t1) + b_i, clip))
            if input_forget:
                f_t = 1.0 - i_t
            else:
                f_t = activate(f, clipped(x @ W_f.T + h_t1 @ R_f.T + seen_by(P_f, c_t1) + b_f, clip))
            candidate = activate(g, clipped(x @ W_c.T + h_t1 @ R_c.T + b_c, clip))
            c_t = clipped(f_t * c_t1 + i_t * candidate, cell_clip)
            seen = c_t if peephole_output == "current" else c_t1
            o_t = activate(f, clipped(x @ W_o.T + h_t1 @ R_o.T + seen_by(P_o, seen) + b_o, clip))
            h_t = o_t * activate(h, c_t)
            return (h_t if projected is None else h_t @ projected[d].T, c_t)

        return step

    functions = activations or (LSTM.default_activations,) * len(W)
    steps = [direction_step(d, *functions[d]) for d in range(len(W))]
    Y, (Y_h, Y_c) = _directions(steps, X, (("initial_h", initial_h, output_size), ("initial_c", initial_c, hidden)),
                                direction, Steps(sequence_lens, mask, zero_masked, empty, rounded))
    return Y, Y_h, Y_c


def gru(X: np.ndarray, W: Weights, R: Weights, B: np.ndarray | None = None,
        sequence_lens: np.ndarray | None = None, initial_h: np.ndarray | None = None, *, direction: str = "forward",
        activations: Functions | None = None, clip: float | None = None, linear_before_reset: bool = False,
        mask: np.ndarray | None = None, zero_masked: bool = False, empty: str = "initial",
        rounded: Rounded | None = None) -> tuple[np.ndarray, np.ndarray]:
    """ONNX GRU. Returns Y [batch, time, dirs, H], Y_h [batch, dirs, H].

    X [batch, time, I], W [dirs, 3*H, I], R [dirs, 3*H, H], B [dirs, 6*H].
    Raises ArgumentError for a state, length or mask of a wrong shape or range.
    """
    W, R, B = matrix(W), matrix(R), _float64(B)
    hidden = R.shape[1] // 3

    def direction_step(d: int, f: Activation, g: Activation) -> Step:
        W_z, W_r, W_h = gates_of(W[d], 3)
        R_z, R_r, R_h = gates_of(R[d], 3)
        (Wb_z, Wb_r, Wb_h), (Rb_z, Rb_r, Rb_h) = _bias(B, d, 3, hidden)

        def step(x: np.ndarray, state: State) -> State:
            h_t1, = state
            z_t = activate(f, clipped(x @ W_z.T + h_t1 @ R_z.T + Wb_z + Rb_z, clip))
            r_t = activate(f, clipped(x @ W_r.T + h_t1 @ R_r.T + Wb_r + Rb_r, clip))
            if linear_before_reset:
                recurrent = r_t * (h_t1 @ R_h.T + Rb_h)
            else:
                recurrent = (r_t * h_t1) @ R_h.T + Rb_h
            candidate = activate(g, clipped(x @ W_h.T + recurrent + Wb_h, clip))
            return ((1.0 - z_t) * candidate + z_t * h_t1,)

        return step

    functions = activations or (GRU.default_activations,) * len(W)
    steps = [direction_step(d, *functions[d]) for d in range(len(W))]
    Y, (Y_h,) = _directions(steps, X, (("initial_h", initial_h, hidden),), direction,
                            Steps(sequence_lens, mask, zero_masked, empty, rounded))
    return Y, Y_h


def rnn(X: np.ndarray, W: Weights, R: Weights, B: np.ndarray | None = None,
        sequence_lens: np.ndarray | None = None, initial_h: np.ndarray | None = None, *, direction: str = "forward",
        activations: Functions | None = None, clip: float | None = None, mask: np.ndarray | None = None,
        zero_masked: bool = False, empty: str = "initial",
        rounded: Rounded | None = None) -> tuple[np.ndarray, np.ndarray]:
    """ONNX RNN. Returns Y [batch, time, dirs, H], Y_h [batch, dirs, H].

    X [batch, time, I], W [dirs, H, I], R [dirs, H, H], B [dirs, 2*H].
    Raises ArgumentError for a state, length or mask of a wrong shape or range.
    """
    W, R, B = matrix(W), matrix(R), _float64(B)
    hidden = R.shape[1]

    def direction_step(d: int, f: Activation) -> Step:
        b = _bias(B, d, 1, hidden).sum(axis=0)[0]
        return lambda x, state: (activate(f, clipped(x @ W[d].T + state[0] @ R[d].T + b, clip)),)

    functions = activations or (RNN.default_activations,) * len(W)
    steps = [direction_step(d, *functions[d]) for d in range(len(W))]
    Y, (Y_h,) = _directions(steps, X, (("initial_h", initial_h, hidden),), direction,
                            Steps(sequence_lens, mask, zero_masked, empty, rounded))
    return Y, Y_h


def seen_by(peephole: np.ndarray | None, c: np.ndarray) -> np.ndarray | float:
    """What a gate sees of the cell state."""
    return 0.0 if peephole is None else peephole * c


def clipped(x: np.ndarray, bound: float | None) -> np.ndarray:
    """x bounded to [-bound, bound], or x itself without a bound."""
    return x if bound is None else np.clip(x, -bound, bound)


@overload
def _float64(array: np.ndarray) -> np.ndarray: ...
@overload
def _float64(array: np.ndarray | None) -> np.ndarray | None: ...
def _float64(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else np.asarray(array, np.float64)


def _bias(B: np.ndarray | None, d: int, gates: int, hidden: int) -> np.ndarray:
    """The input and recurrent biases of one direction, [2, gates, H]."""
    return np.zeros((2, gates, hidden)) if B is None else B[d].reshape(2, gates, hidden)


def _directions(steps: list[Step], X: np.ndarray, initial: Sequence[tuple[str, np.ndarray | None, int]], direction: str,
                which: Steps) -> tuple[np.ndarray, State]:
    """Scan each direction; Y [batch, time, dirs, H] and the final states, each [batch, dirs, size]."""
    if direction not in ("forward", "reverse", "bidirectional") or len(steps) != 1 + (direction == "bidirectional"):
        raise ArgumentError(f"direction {direction!r} does not go with weights of {len(steps)} direction(s)")
    if which.empty not in ("initial", "zero"):
        raise ArgumentError(f"empty must be 'initial' or 'zero', got {which.empty!r}")
    X = np.asarray(X, np.float64)
    batch, time, _ = X.shape
    start = [_state(name, value, (batch, len(steps), size)) for name, value, size in initial]
    lengths, mask = _lengths(which.lengths, batch, time), _mask(which.mask, batch, time)
    outputs, finals = [], []
    for d, step in enumerate(steps):
        order = range(time) if direction == "forward" or (direction == "bidirectional" and d == 0) \
            else range(time - 1, -1, -1)
        Y, final = _scan(step, X, tuple(state[:, d] for state in start), order, lengths, mask, which)
        if which.empty == "zero":
            final = tuple(np.where(rows_with_steps(lengths, mask)[:, None], state, 0.0) for state in final)
        outputs.append(Y)
        finals.append(final)
    return np.stack(outputs, axis=2), tuple(np.stack(states, axis=1) for states in zip(*finals, strict=True))


def rows_with_steps(lengths: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """bool [batch]: whether any step of a row counts. lengths [batch], mask bool [batch, time]."""
    return np.asarray((mask & (np.arange(mask.shape[1]) < lengths[:, None])).any(axis=1))


def _scan(step: Step, X: np.ndarray, state: State, order: range, lengths: np.ndarray, mask: np.ndarray,
          which: Steps) -> tuple[np.ndarray, State]:
    """One direction, its steps taken in `order`: Y [batch, time, H] and the final state."""
    batch, time, _ = X.shape
    Y = np.zeros((batch, time, state[0].shape[1]))
    previous = np.zeros_like(state[0])
    for t in order:
        real = (t < lengths)[:, None]
        active = real & mask[:, t, None]
        with np.errstate(invalid="ignore", over="ignore"):      # padded rows may hold anything, and count for nothing
            stepped = step(X[:, t], state)
        if which.rounded is not None:
            stepped = tuple(map(which.rounded, stepped))
        state = tuple(np.where(active, new, old) for new, old in zip(stepped, state, strict=True))
        output = np.where(active, state[0], 0.0 if which.zero_masked else previous)
        Y[:, t] = np.where(real, output, 0.0)
        previous = output
    return Y, state


def _state(name: str, value: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if value is None:
        return np.zeros(shape)
    if np.shape(value) != shape:
        raise ArgumentError(f"{name} must be [batch, dirs, size] = {list(shape)}, got {list(np.shape(value))}")
    return np.asarray(value, np.float64)


def _lengths(lengths: np.ndarray | None, batch: int, time: int) -> np.ndarray:
    if lengths is None:
        return np.full(batch, time)
    lengths = np.asarray(lengths)
    if lengths.shape != (batch,) or lengths.dtype.kind not in "iu":
        raise ArgumentError(f"lengths must be {batch} integers, got {lengths.dtype} {list(lengths.shape)}")
    if ((lengths < 0) | (lengths > time)).any():
        raise ArgumentError(f"lengths must be from 0 to {time}, got {lengths.min()} to {lengths.max()}")
    return lengths


def _mask(mask: np.ndarray | None, batch: int, time: int) -> np.ndarray:
    if mask is None:
        return np.ones((batch, time), bool)
    mask = np.asarray(mask)
    if mask.shape != (batch, time) or mask.dtype != bool:
        raise ArgumentError(f"mask must be bool [batch, time] = [{batch}, {time}], got {mask.dtype} "
                            f"{list(mask.shape)}")
    return mask
