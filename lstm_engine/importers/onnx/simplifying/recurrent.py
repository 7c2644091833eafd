"""Reads LSTM, GRU and RNN nodes: every attribute, and weights checked against hidden_size and each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ....errors import ArgumentError, FormatError, UnsupportedError
from ....graph.activations import Activation, from_onnx
from ....graph.nodes import Dim, Value, dtype_name
from ....operators.shape_rules import same_size
from ....types import Array
from ..model import OnnxNode

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
# The first version of GRU had this default; models still carry it.
_DIRECTIONS = {"forward": "forward", "foward": "forward", "reverse": "reverse", "bidirectional": "bidirectional"}
# `output_sequence`, of the first version, says whether Y is made: that it is read says so too.
_ATTRIBUTES = {"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout",
               "output_sequence"}
_OWN = {"LSTM": {"input_forget"}, "GRU": {"linear_before_reset"}, "RNN": set()}
_FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent node read: weights in ONNX's shapes; the names of what runs through it ("" if left out)."""

    node: OnnxNode
    op: str
    W: Array                            # [dirs, gates*H, I]
    R: Array                            # [dirs, gates*H, H]
    B: np.ndarray | None                # [dirs, 2*gates*H]
    P: np.ndarray | None                # [dirs, 3*H]
    direction: str
    activations: tuple[tuple[Activation, ...], ...]
    clip: float | None
    layout: int
    options: Mapping[str, bool | str]   # input_forget of an LSTM, linear_before_reset of a GRU
    x: str
    lengths: str
    initial_h: str
    initial_c: str
    projection: np.ndarray | None = None        # [dirs, P, H]; R is then [dirs, gates*H, P]
    # What a loop may ask for and no node of ONNX: [time, batch], True where a step counts, as the house has it.
    mask: str = ""
    zero_masked: bool = False
    empty: str = "zero"                         # the final states of a row without steps

    @property
    def dirs(self) -> int:
        return self.W.shape[0]

    @property
    def hidden(self) -> int:
        return self.R.shape[1] // GATES[self.op]

    @property
    def output(self) -> int:
        """Features of h in one direction: H, or the projected size."""
        return self.R.shape[2]


def _fail(node: OnnxNode, message: str) -> NoReturn:
    raise FormatError(f"{node.label}: {message}")


def read_cell(node: OnnxNode, constant: Callable[[str], np.ndarray | None]) -> Cell:
    """The cell of a node. constant: the array of a value, None if it is made when the model runs.

    Raises FormatError for sizes and attributes that do not fit, UnsupportedError for weights that are not
    constant and for activations and attributes that are not known.
    """
    names = list(node.inputs) + [""] * (8 - len(node.inputs))
    if len(names) > (8 if node.op == "LSTM" else 6) and any(names[6 if node.op != "LSTM" else 8:]):
        _fail(node, f"takes at most {8 if node.op == 'LSTM' else 6} inputs, not {len(node.inputs)}")
    if len(node.outputs) > (3 if node.op == "LSTM" else 2):
        _fail(node, f"makes at most {3 if node.op == 'LSTM' else 2} outputs, not {len(node.outputs)}")
    for attribute in set(node.attributes) - _ATTRIBUTES - _OWN[node.op]:
        raise UnsupportedError(f"{node.label}: attribute {attribute!r} is not supported")
    if not names[0]:
        _fail(node, "input X is missing")
    direction = node.attributes.get("direction", "forward")
    if direction not in _DIRECTIONS:
        _fail(node, f"direction is {direction!r}; expected forward, reverse or bidirectional")
    direction = _DIRECTIONS[direction]
    W, R, B, P = _weights(node, names, 2 if direction == "bidirectional" else 1, constant)
    flags = {name: bool(_int(node, name, 0, (0, 1))) for name in _OWN[node.op]}
    return Cell(node, node.op, W, R, B, P, direction, _activations(node, W.shape[0]), _clip(node),
                _int(node, "layout", 0, (0, 1)), flags, names[0], names[4], names[5], names[6],
                constant(node.projection) if node.projection else None)


def _int(node: OnnxNode, name: str, default: int, allowed: tuple[int, ...]) -> int:
    value = node.attributes.get(name, default)
    if type(value) is not int or value not in allowed:
        _fail(node, f"{name} is {value!r}; expected {' or '.join(map(str, allowed))}")
    return value


def _clip(node: OnnxNode) -> float | None:
    value = node.attributes.get("clip")
    if value is None:
        return None
    if not isinstance(value, float) or not 0 < value < float("inf"):
        _fail(node, f"clip is {value!r}; expected a number above 0")
    return value


def _weights(node: OnnxNode, names: list[str], dirs: int, constant: Callable[[str], np.ndarray | None]
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    arrays: dict[str, np.ndarray | None] = {}
    for letter, position in (("W", 1), ("R", 2), ("B", 3), ("P", 7)):
        name = names[position]
        arrays[letter] = constant(name) if name else None
        if name and arrays[letter] is None:
            raise UnsupportedError(f"{node.label}: {letter} ({name!r}) is made when the model runs; "
                                   "only constant weights are supported")
    W, R = arrays["W"], arrays["R"]
    if W is None or R is None:
        _fail(node, f"input {'W' if W is None else 'R'} is missing")
    gates = GATES[node.op]
    hidden = node.attributes.get("hidden_size", R.shape[-1] if R.ndim else 0)
    if type(hidden) is not int or not 1 <= hidden < 2**31:
        _fail(node, f"hidden_size is {hidden!r}; expected a number above 0")
    features = W.shape[2] if W.ndim == 3 else 0
    projection = constant(node.projection) if node.projection else None
    read_back = hidden if projection is None else projection.shape[1]
    if not features:
        _fail(node, f"W must be [{dirs}, {gates * hidden}, input size], got {list(W.shape)}")
    for letter, shape in (("W", (dirs, gates * hidden, features)), ("R", (dirs, gates * hidden, read_back)),
                          ("B", (dirs, 2 * gates * hidden)), ("P", (dirs, 3 * hidden))):
        array = arrays[letter]
        if array is None:
            continue
        if array.shape != shape:
            _fail(node, f"{letter} must be {list(shape)} for hidden_size {hidden}, got {list(array.shape)}")
        if array.dtype != W.dtype or array.dtype not in _FLOATS:
            expected = "float16, float32 or float64" if letter == "W" else W.dtype
            _fail(node, f"{letter} must be {expected}, got {dtype_name(array.dtype)}")
    return W, R, arrays["B"], arrays["P"]


def _activations(node: OnnxNode, dirs: int) -> tuple[tuple[Activation, ...], ...]:
    """One tuple of functions a direction. alpha and beta are taken in order by the functions that have them."""
    per_direction = len(DEFAULTS[node.op])
    names = node.attributes.get("activations") or DEFAULTS[node.op] * dirs
    if not isinstance(names, tuple) or len(names) != per_direction * dirs or not all(isinstance(n, str) for n in names):
        _fail(node, f"activations must be {per_direction * dirs} names, got {names!r}")
    alphas, betas = (_floats(node, f"activation_{which}") for which in ("alpha", "beta"))
    try:
        functions = from_onnx(names, alphas, betas, surplus=True)
    except UnsupportedError as error:
        raise UnsupportedError(f"{node.label}: {error}") from error
    except ArgumentError as error:
        _fail(node, str(error))
    return tuple(tuple(functions[i:i + per_direction]) for i in range(0, len(functions), per_direction))


def _floats(node: OnnxNode, name: str) -> list[float]:
    values: Any = node.attributes.get(name, ())
    if not isinstance(values, tuple) or not all(isinstance(v, float) and abs(v) < float("inf") for v in values):
        _fail(node, f"{name} must be finite numbers, got {values!r}")
    return list(values)


def results_of(cell: Cell, value_of: Callable[[str], Value]) -> list[Value]:
    """The values that a cell makes. Raises FormatError where what it reads does not fit."""
    node, x = cell.node, value_of(cell.x)
    if len(x.shape) != 3 or x.shape[2] not in (cell.W.shape[2], *_symbols(x)) or x.dtype != cell.W.dtype.name:
        first = "batch, time" if cell.layout else "time, batch"
        _fail(node, f"X must be {cell.W.dtype} [{first}, {cell.W.shape[2]}], got {x.dtype} {list(x.shape)}")
    time, batch = (x.shape[1], x.shape[0]) if cell.layout else x.shape[:2]
    dirs, size = cell.dirs, cell.output
    state = (batch, dirs, size) if cell.layout else (dirs, batch, size)
    cell_state = (*state[:2], cell.hidden)
    for name, expected, dtypes in ((cell.initial_h, state, (x.dtype,)), (cell.initial_c, cell_state, (x.dtype,)),
                                   (cell.lengths, (batch,), ("int32", "int64")), (cell.mask, (time, batch), ("bool",))):
        if name:
            value = value_of(name)
            fits = len(value.shape) == len(expected) and all(map(same_size, value.shape, expected))
            if not fits or value.dtype not in dtypes:
                _fail(node, f"{name!r} must be {dtypes[0]} {list(expected)}, got {value.dtype} {list(value.shape)}")
    Y = (batch, time, dirs, size) if cell.layout else (time, dirs, batch, size)
    return [Value(name, shape, x.dtype) for name, shape in zip(node.outputs, (Y, state, cell_state)) if name]


def _symbols(value: Value) -> tuple[Dim, ...]:
    return tuple(dim for dim in value.shape if isinstance(dim, str))
