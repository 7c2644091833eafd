"""The vocabulary of a model: values with symbolic shapes, and the nodes that compute them.

House order is batch first. A sequence is [batch, time, features], token ids are [batch, time], a vector
or a recurrent state is [batch, features]. A state of a bidirectional layer holds its directions side by
side: [batch, dirs * hidden], forward first. A recurrent node *is* the ONNX operator: gate order
LSTM i,o,f,c, GRU z,r,h, and the weight shapes given below; importers permute to it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from ..types import Array
from .activations import LINEAR, SIGMOID, TANH, Activation
from .readings import Reading

Dim = int | str            # a known size, or a symbol: "batch", "time", "time_2", ...
Shape = tuple[Dim, ...]
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool", "float16", "int8", "int16", "uint16", "uint32",
          "uint64")
# bfloat16, which NumPy lacks, as its bits: importers meet it in constants, and no graph has it.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
_NAMES = {np.dtype(name): name for name in DTYPES} | {BFLOAT16: "bfloat16"}


def dtype_name(dtype: np.dtype) -> str:
    """dtype.name, which NumPy makes anew each time it is asked."""
    return _NAMES.get(dtype) or dtype.name


def tensor() -> Any:
    """Mark a field that holds a weight array (stored as a tensor, not as configuration)."""
    return field(metadata={"tensor": True})


def optional_tensor() -> Any:
    """Mark a field that holds a weight array or None."""
    return field(default=None, metadata={"tensor": True})


@dataclass(frozen=True)
class Value:
    """An input of the graph: its name, symbolic shape and dtype. Token ids are int32.

    reading: of ids, how texts become them, where a model says so.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    reading: Reading | None = None


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Node:
    """One operation. `inputs` and `outputs` are names of values; "" stands for an optional one left out."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    op: ClassVar[str] = ""

    def __repr__(self) -> str:
        """As a dataclass has it, written once for all: each that Python writes takes its part of every start."""
        return f"{type(self).__qualname__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(self))})"

    def tensors(self) -> dict[str, Array]:
        """The weight arrays by field name, those left out excluded."""
        kind = type(self)
        names = _TENSOR_FIELDS.get(kind)
        if names is None:
            names = _TENSOR_FIELDS[kind] = tuple(f.name for f in fields(self) if f.metadata.get("tensor"))
        return {name: array for name in names if (array := getattr(self, name)) is not None}


_TENSOR_FIELDS: dict[type[Node], tuple[str, ...]] = {}          # by kind, for each is asked for its weights many times


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Embedding(Node):
    """Rows of `table` [vocabulary, features] by token id. inputs: (ids,), outputs: (sequence,)."""

    table: Array = tensor()
    op: ClassVar[str] = "Embedding"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Recurrent(Node):
    """What LSTM, GRU and RNN share.

    inputs: (x, lengths, initial_h, initial_c, mask), trailing "" may be dropped.
        x [batch, time, I]; lengths [batch] int32; initial_h, initial_c [batch, dirs*H];
        mask [batch, time] bool, True where a step counts (Keras semantics: a masked step carries the
        state and repeats the previous output).
        Without `lengths`, the lengths given to `predict` for x's time axis apply.
    outputs: (Y, Y_h, Y_c): Y [batch, time, dirs*H] (directions side by side, forward first),
        Y_h and Y_c [batch, dirs*H], the state after each direction's own last step. GRU and RNN have no Y_c.
    W [dirs, gates*H, I], R [dirs, gates*H, H], B [dirs, 2*gates*H] (input biases, then recurrent) or None.
    activations: one tuple per direction, LSTM (f, g, h), GRU (f, g), RNN (f,).
    """

    W: Array = tensor()
    R: Array = tensor()
    B: Array | None = optional_tensor()
    direction: str = "forward"                 # forward | reverse | bidirectional
    activations: tuple[tuple[Activation, ...], ...] = ()
    clip: float | None = None                  # on the gates' pre-activations; C_t enters h unclipped
    zero_masked: bool = False                  # Y is 0 at masked steps (Keras' zero_output_for_mask, Bidirectional)
    empty: str = "initial"                     # Y_h, Y_c of a row without steps (its length 0, or no steps in x): its
                                               # "initial" state, or "zero" (ONNX Runtime, Keras' last output); the
                                               # state that is carried on is never zeroed
    gates: ClassVar[int] = 0
    default_activations: ClassVar[tuple[Activation, ...]] = ()

    def __post_init__(self) -> None:
        if not self.activations:
            object.__setattr__(self, "activations", (self.default_activations,) * self.dirs)

    @property
    def dirs(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def hidden(self) -> int:
        """Units per direction, H."""
        return self.R.shape[1] // self.gates

    @property
    def features(self) -> int:
        """Input size, I."""
        return self.W.shape[2]

    @property
    def output_size(self) -> int:
        """Features of Y_h per direction: H, or the projected size."""
        return self.hidden


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LSTM(Recurrent):
    """ONNX LSTM (gate order i,o,f,c) with the extensions `projection`, `peephole_output`, `cell_clip`.

    P [dirs, 3*H], order i,o,f. projection [dirs, P, H]: h is projected (PyTorch `proj_size`), c is not; R is
    then [dirs, 4*H, P] and initial_h, Y, Y_h have P per direction. cell_clip: c is clipped before h is made (TF1).
    """

    P: Array | None = optional_tensor()
    projection: Array | None = optional_tensor()
    input_forget: bool = False
    peephole_output: str = "current"           # the output gate sees c_t ("current") or c_{t-1} ("previous")
    cell_clip: float | None = None
    op: ClassVar[str] = "LSTM"
    gates: ClassVar[int] = 4
    default_activations: ClassVar[tuple[Activation, ...]] = (SIGMOID, TANH, TANH)

    @property
    def output_size(self) -> int:
        return self.hidden if self.projection is None else self.projection.shape[1]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GRU(Recurrent):
    """ONNX GRU (gate order z,r,h). linear_before_reset: r multiplies (h R + Rb), as PyTorch and Keras' reset_after."""

    linear_before_reset: bool = False
    op: ClassVar[str] = "GRU"
    gates: ClassVar[int] = 3
    default_activations: ClassVar[tuple[Activation, ...]] = (SIGMOID, TANH)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RNN(Recurrent):
    """ONNX RNN: h_t = f(x W' + h R' + Wb + Rb)."""

    op: ClassVar[str] = "RNN"
    gates: ClassVar[int] = 1
    default_activations: ClassVar[tuple[Activation, ...]] = (TANH,)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dense(Node):
    """activation(x @ kernel + bias) over the last axis. inputs: (x,), kernel [in, units], bias [units] or None."""

    kernel: Array = tensor()
    bias: Array | None = optional_tensor()
    activation: Activation = LINEAR
    op: ClassVar[str] = "Dense"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Activate(Node):
    """An activation on its own, element by element (softmax: over the last axis). inputs: (x,)."""

    activation: Activation = LINEAR
    op: ClassVar[str] = "Activate"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Pool(Node):
    """One vector per sequence. inputs: (x [batch, time, F],), outputs: ([batch, F],).

    kind: "last" (the last real step), "mean", "max" over the real steps. The lengths given to `predict`
    for x's time axis apply; a sequence of length 0 gives zeros.
    """

    kind: str = "last"
    op: ClassVar[str] = "Pool"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Mask(Node):
    """True where a token id differs from `value`. inputs: (ids [batch, time],), outputs: ([batch, time] bool,)."""

    value: int = 0
    op: ClassVar[str] = "Mask"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Operator(Node):
    """An ONNX operator around the recurrent core, run by NumPy with ONNX's own meaning of axes and attributes.

    `constants` maps the position of an input to its array; `inputs` has "" at those positions.
    """

    op_type: str
    attributes: Mapping[str, Any] = field(default_factory=dict)   # ints, floats, strings and tuples of them
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    op: ClassVar[str] = "Operator"

    def tensors(self) -> dict[str, Array]:
        return {f"constant_{position}": array for position, array in sorted(self.constants.items())}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Loop(Node):
    """A graph that is run turn after turn, each on what the one before it made: ONNX's Loop and Scan in one.

    inputs: (most, condition, *states, *sequences, *around).
        most: how many turns at most, a whole number; condition: whether there is a first one. "" for none.
        states: what the first turn begins with, `states` of them. sequences: one for each of `sequence_axes`, the axis
        of which each turn is given its step, from the last one on where `backwards` has a 1; there are as many turns as
        they have steps. around: what every turn is given as it is.
    body: inputs (turn, condition, *states, *steps, *around): turn int64 [], from 0; condition bool [], always true.
        outputs (condition, *states, *results): whether another turn follows, the states that it begins with, and what
        this one adds to the results.
    outputs: (*states, *results): the states after the last turn, and the results of all turns side by side on a new
        axis, which `result_axes` names, the last turn first where `turned` has a 1.
    A state may grow from turn to turn where `body` gives that size a symbol of its own. `constants` as of an Operator.
    """

    body: Graph
    states: int = 0
    sequence_axes: tuple[int, ...] = ()
    backwards: tuple[int, ...] = ()
    result_axes: tuple[int, ...] = ()
    turned: tuple[int, ...] = ()
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    op: ClassVar[str] = "Loop"

    def tensors(self) -> dict[str, Array]:
        return {f"constant_{position}": array for position, array in sorted(self.constants.items())}

    @property
    def around(self) -> int:
        """The place of the first input that all turns are given."""
        return 2 + self.states + len(self.sequence_axes)


NODE_TYPES: dict[str, type[Node]] = {
    t.op: t for t in (Embedding, LSTM, GRU, RNN, Dense, Activate, Pool, Mask, Operator, Loop)
}
MOST_NESTED = 8             # loops within each other


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole model. `nodes` are in an order in which every input is made before it is used.

    `outputs` are names of values. `metadata` holds strings about the origin: "source", "producer",
    "keras_version", ...; "most_steps", of a sequence, where a loop that became a layer counts no farther.
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, those inside its loops among them."""
    for node in graph.nodes:
        yield node
        if isinstance(node, Loop):
            yield from every_node(node.body)
