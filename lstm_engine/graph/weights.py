"""Checks of one node by itself: its weights against each other, its options, its lists of names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, get_args

import numpy as np

from ..arguments import shown
from ..errors import GraphError, UnsupportedError
from ..types import Direction, PeepholeOutput, PoolKind
from .activations import ACTIVATIONS, ROW_WISE, Activation
from .nodes import (
    DTYPES,
    GRU,
    LSTM,
    NODE_TYPES,
    RNN,
    Activate,
    Dense,
    Embedding,
    Graph,
    Loop,
    Mask,
    Node,
    Operator,
    Pool,
    Recurrent,
    dtype_name,
)
from .quantized import MAX_PRODUCT, QUANTIZED_TYPES, VALUE_DTYPES, Quantized, channel_axis
from .rows import Rows

MAX_DIM = 2**31 - 1                # sizes are 32-bit integers in the C core
WEIGHT_DTYPES = ("float16", "float32", "float64")
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
POOL_KINDS: tuple[PoolKind, ...] = get_args(PoolKind)
PEEPHOLE_OUTPUTS: tuple[PeepholeOutput, ...] = get_args(PeepholeOutput)
EMPTY_STATES = ("initial", "zero")
MATRICES = ("W", "R", "projection", "kernel", "table")      # what may be quantised


def fail(node: Node, argument: str, expected: str, got: object) -> NoReturn:
    """Raise the GraphError of an argument of a node."""
    raise GraphError(f"node {node.name!r} ({node.op}): {argument} must be {expected}, got {got}")


def check_node(node: Node) -> None:
    """Check what a node says by itself, before anything is known of its inputs.

    Raises GraphError naming the node, the argument, what was expected and what came; UnsupportedError for an
    activation that is not known. Values of float weights are not looked at: NaN and infinity are legal. Scales must be
    above 0 and finite, and no weight of int8 is -128, which int8_weights may have.
    """
    if type(node) is not NODE_TYPES.get(node.op):
        raise GraphError(f"node {node.name!r}: {type(node).__name__} is not a node; known: {', '.join(NODE_TYPES)}")
    _CHECKS[type(node)](node)


def _arity(node: Node, required: Sequence[str], optional: Sequence[str], outputs: Sequence[str]) -> None:
    """Check the counts of inputs and outputs; the first output may be left out only if there are others."""
    names = [*required, *optional]
    if not len(required) <= len(node.inputs) <= len(names):
        fail(node, "inputs", f"({', '.join(names)}), the first {len(required)} required", f"{len(node.inputs)} names")
    for name, given in zip(required, node.inputs, strict=False):
        if not given:
            fail(node, f"input {name}", "named", "an empty name")
    if not 1 <= len(node.outputs) <= len(outputs):
        fail(node, "outputs", f"({', '.join(outputs)})", f"{len(node.outputs)} names")
    if not any(node.outputs):
        fail(node, "outputs", "named, at least one of them", "empty names alone")


def _weight(node: Node, argument: str, shape: Sequence[int | str]) -> None:
    """Check that a weight is an array of a float dtype and of `shape`, in which a string stands for any size."""
    array = getattr(node, argument)
    if isinstance(array, Quantized):
        _values(node, argument, array)
    elif not isinstance(array, (np.ndarray, Rows)):
        fail(node, argument, "a NumPy array", type(array).__name__)
    if array.dtype.name not in WEIGHT_DTYPES:
        fail(node, argument, f"one of {', '.join(WEIGHT_DTYPES)}", array.dtype.name)
    expected = f"[{', '.join(map(str, shape))}]"
    if array.ndim != len(shape):
        fail(node, argument, f"{expected}, of rank {len(shape)}", list(array.shape))
    for size, wanted in zip(array.shape, shape, strict=True):
        if not 1 <= size <= MAX_DIM or (not isinstance(wanted, str) and size != wanted):
            fail(node, argument, f"{expected}, each size from 1 to {MAX_DIM}", list(array.shape))
    if isinstance(array, Quantized):
        _scale(node, argument, array)


def _values(node: Node, argument: str, weight: Quantized) -> None:
    """Check the type of a quantised weight and the array of its values."""
    if argument not in MATRICES:
        fail(node, argument, "an array: it is no matrix, and stays float32", f"a quantised weight ({weight.type})")
    if not isinstance(weight.type, str) or weight.type not in QUANTIZED_TYPES:
        fail(node, f"{argument}'s type", f"one of {', '.join(QUANTIZED_TYPES)}", shown(weight.type))
    if not isinstance(weight.values, (np.ndarray, Rows)):
        fail(node, f"{argument}'s values", "a NumPy array", type(weight.values).__name__)
    if weight.values.dtype != VALUE_DTYPES[weight.type]:
        fail(node, f"{argument}'s values", f"{VALUE_DTYPES[weight.type].name}, as {weight.type} has them",
             weight.values.dtype.name)
    if weight.axis != channel_axis(argument):
        fail(node, f"{argument}'s axis", str(channel_axis(argument)), shown(weight.axis))


def _scale(node: Node, argument: str, weight: Quantized) -> None:
    """Check the scale of a quantised weight of the right shape, and that its numbers have the range they must have."""
    scale = weight.scale
    if VALUE_DTYPES[weight.type] != np.int8:
        if scale is not None:
            fail(node, f"{argument}'s scale", f"None: {weight.type} has none", shown(type(scale).__name__))
        return
    what = f"{argument}'s scale"
    if not isinstance(scale, np.ndarray) or scale.dtype != np.float32:
        fail(node, what, "a float32 array", getattr(scale, "dtype", type(scale).__name__))
    if scale.shape != weight.scale_shape:
        fail(node, what, f"{list(weight.scale_shape)}, one number for each output channel of {list(weight.shape)}",
             list(scale.shape))
    right = np.isfinite(scale) & (scale > 0)
    if not right.all():
        place = np.unravel_index(int(np.argmin(right)), scale.shape)
        fail(node, what, "above 0 and finite", f"{float(scale[place])!r} at {[int(index) for index in place]}")
    if weight.type == "int8" and isinstance(weight.values, np.ndarray) and int(weight.values.min()) < -127:
        fail(node, f"{argument}'s values", "from -127 to 127", "-128")
    terms = weight.shape[-2] if weight.axis == -1 else weight.shape[-1]
    if weight.type == "int8" and argument != "table" and terms > MAX_PRODUCT:
        fail(node, argument, f"of at most {MAX_PRODUCT} inputs, whose int8 products int32 can add up; int8_weights "
             "takes more", terms)


def _same_dtype(node: Node) -> None:
    """Check that all weights of a node have the dtype of the first, and its matrices the same type."""
    (first, reference), *others = node.tensors().items()
    for name, weight in others:
        if name in MATRICES and _type(weight) != _type(reference):
            fail(node, name, f"{_type(reference)}, as {first} is", _type(weight))
    for name, array in others:
        if array.dtype.name != reference.dtype.name:
            fail(node, name, f"{reference.dtype.name}, as {first} is", array.dtype.name)


def _type(weight: object) -> str:
    return weight.type if isinstance(weight, Quantized) else weight.dtype.name  # type: ignore[attr-defined]


def _choice(node: Node, argument: str, allowed: Sequence[str]) -> None:
    value = getattr(node, argument)
    if not isinstance(value, str) or value not in allowed:
        fail(node, argument, f"one of {', '.join(allowed)}", shown(value))


def _flag(node: Node, argument: str) -> None:
    value = getattr(node, argument)
    if not isinstance(value, bool):
        fail(node, argument, "a bool", shown(value))


def _limit(node: Node, argument: str) -> None:
    """Check an optional clipping threshold."""
    value = getattr(node, argument)
    if value is not None and not (_is_finite(value) and value > 0):
        fail(node, argument, "a finite number above 0, or None", shown(value))


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:               # a whole number beyond every float
        return False


def _activation(node: Node, argument: str, activation: Any, in_cell: bool = False) -> None:
    if not isinstance(activation, Activation):
        fail(node, argument, "an Activation", shown(activation))
    if not isinstance(activation.name, str) or activation.name not in ACTIVATIONS:
        raise UnsupportedError(f"node {node.name!r} ({node.op}): {argument} {shown(activation.name)} is not supported; "
                               f"supported: {', '.join(ACTIVATIONS)}")
    if in_cell and activation.name in ROW_WISE:
        fail(node, argument, "an element-wise function", activation.name)
    for parameter, default in zip(("alpha", "beta"), ACTIVATIONS[activation.name], strict=True):
        value = getattr(activation, parameter)
        if default is None and value is not None:
            fail(node, f"{argument} {activation.name}'s {parameter}", "None: the function has none", shown(value))
        if default is not None and not _is_finite(value):
            fail(node, f"{argument} {activation.name}'s {parameter}", "a finite number", shown(value))


def _check_recurrent(node: Recurrent) -> None:
    lstm = isinstance(node, LSTM)
    states, finals = (["initial_h", "initial_c"], ["Y", "Y_h", "Y_c"]) if lstm else (["initial_h"], ["Y", "Y_h"])
    _arity(node, ["x"], ["lengths", "initial_h", "initial_c", "mask"], finals)
    if not lstm and len(node.inputs) > 3 and node.inputs[3]:
        fail(node, "input initial_c", f"left out: the states of {node.op} are {', '.join(states)}", node.inputs[3])
    _choice(node, "direction", DIRECTIONS)
    dirs, gates = node.dirs, node.gates
    _weight(node, "R", [dirs, f"{gates}*H", "H"])
    hidden = node.R.shape[1] // gates
    if hidden == 0 or node.R.shape[1] % gates:
        fail(node, "R", f"[dirs, {gates}*H, H]: its second size a multiple of {gates} gates", list(node.R.shape))
    read_back = hidden
    if isinstance(node, LSTM) and node.projection is not None:
        _weight(node, "projection", [dirs, "P", hidden])
        read_back = node.projection.shape[1]
    _weight(node, "R", [dirs, gates * hidden, read_back])
    _weight(node, "W", [dirs, gates * hidden, "I"])
    if node.B is not None:
        _weight(node, "B", [dirs, 2 * gates * hidden])
    if isinstance(node, LSTM):
        if node.P is not None:
            _weight(node, "P", [dirs, 3 * hidden])
        _flag(node, "input_forget")
        _choice(node, "peephole_output", PEEPHOLE_OUTPUTS)
        _limit(node, "cell_clip")
    if node.op == "GRU":
        _flag(node, "linear_before_reset")
    _same_dtype(node)
    _limit(node, "clip")
    _flag(node, "zero_masked")
    _choice(node, "empty", EMPTY_STATES)
    wanted = len(node.default_activations)
    if len(node.activations) != dirs or any(len(functions) != wanted for functions in node.activations):
        fail(node, "activations", f"{dirs} tuple(s) of {wanted}, one per direction",
             [len(functions) for functions in node.activations])
    for functions in node.activations:
        for activation in functions:
            _activation(node, "activation", activation, in_cell=True)


def _check_embedding(node: Embedding) -> None:
    _arity(node, ["ids"], [], ["sequence"])
    _weight(node, "table", ["vocabulary", "features"])


def _check_dense(node: Dense) -> None:
    _arity(node, ["x"], [], ["y"])
    _weight(node, "kernel", ["in", "units"])
    if node.bias is not None:
        _weight(node, "bias", [node.kernel.shape[1]])
    _same_dtype(node)
    _activation(node, "activation", node.activation)


def _check_activate(node: Activate) -> None:
    _arity(node, ["x"], [], ["y"])
    _activation(node, "activation", node.activation)


def _check_pool(node: Pool) -> None:
    _arity(node, ["x"], [], ["y"])
    _choice(node, "kind", POOL_KINDS)


def _check_mask(node: Mask) -> None:
    _arity(node, ["ids"], [], ["mask"])
    if not isinstance(node.value, int) or isinstance(node.value, bool) or not -2**31 <= node.value < 2**31:
        fail(node, "value", "an int32", shown(node.value))


def _check_operator(node: Operator) -> None:
    if not isinstance(node.op_type, str) or not node.op_type:
        fail(node, "op_type", "the name of an ONNX operator", shown(node.op_type))
    if not node.outputs or not any(node.outputs):
        fail(node, "outputs", "named, at least one of them", list(node.outputs))
    for name, value in node.attributes.items():
        items = value if isinstance(value, tuple) else (value,)
        if not isinstance(name, str) or not all(isinstance(item, str) or _is_int64(item) or
                                                (isinstance(item, float) and math.isfinite(item)) for item in items):
            fail(node, f"attribute {name}", "an int64, finite float, string or a tuple of them", shown(value))
    _check_constants(node)


def _check_constants(node: Operator | Loop) -> None:
    for position, array in node.constants.items():
        if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < len(node.inputs):
            fail(node, "constants", f"at positions 0 to {len(node.inputs) - 1} of the inputs", shown(position))
        if node.inputs[position]:
            fail(node, f"input {position}", "left empty, as a constant stands there", node.inputs[position])
        if not isinstance(array, np.ndarray) or dtype_name(array.dtype) not in DTYPES:
            fail(node, f"constant {position}", f"an array of {', '.join(DTYPES)}",
                 getattr(array, "dtype", type(array).__name__))


def _check_loop(node: Loop) -> None:
    if not isinstance(node.body, Graph):
        fail(node, "body", "a Graph", type(node.body).__name__)
    if not isinstance(node.states, int) or isinstance(node.states, bool) or not 0 <= node.states <= len(node.inputs):
        fail(node, "states", f"from 0 to its {len(node.inputs)} inputs", shown(node.states))
    for axes, ways in (("sequence_axes", "backwards"), ("result_axes", "turned")):
        for name in (axes, ways):
            numbers = getattr(node, name)
            if not isinstance(numbers, tuple) or not all(type(number) is int and number >= 0 for number in numbers):
                fail(node, name, "a tuple of whole numbers from 0 on", shown(numbers))
        if len(getattr(node, axes)) != len(getattr(node, ways)) or not set(getattr(node, ways)) <= {0, 1}:
            fail(node, ways, f"0 or 1 for each of {axes}", shown(getattr(node, ways)))
    _check_constants(node)
    if len(node.inputs) < node.around or len(node.body.inputs) != len(node.inputs):
        fail(node, "inputs", f"those of its body, {len(node.body.inputs)}: most, condition, {node.states} states, "
             f"{len(node.sequence_axes)} sequences, and what all turns read", f"{len(node.inputs)} names")
    made = node.states + len(node.result_axes)
    if len(node.outputs) != made or len(node.body.outputs) != made + 1 or not any(node.outputs):
        fail(node, "outputs", f"{node.states} states and {len(node.result_axes)} results, one of them named, of a body "
             "that gives a condition before them", f"{len(node.outputs)}, of a body that gives "
             f"{len(node.body.outputs)}")
    for position in range(2, len(node.inputs)):
        if not node.inputs[position] and position not in node.constants:
            fail(node, f"input {position}", "named: only most and condition may be left out", "an empty name")


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -2**63 <= value < 2**63


_CHECKS: dict[type[Node], Callable[[Any], None]] = {
    LSTM: _check_recurrent, GRU: _check_recurrent, RNN: _check_recurrent, Embedding: _check_embedding,
    Dense: _check_dense, Activate: _check_activate, Pool: _check_pool, Mask: _check_mask, Operator: _check_operator,
    Loop: _check_loop,
}
