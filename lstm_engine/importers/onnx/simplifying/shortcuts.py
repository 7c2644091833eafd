"""Small facts about single operators: constants written as nodes, operators that change nothing, zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....data_types import DATA_TYPES
from ....errors import FormatError, UnsupportedError
from ....graph.activations import Activation
from ....graph.nodes import Operator, Value
from ....operators import OPERATORS, operator_attributes
from ....operators.costs import Need
from ....operators.shape_rules import ANY
from ..model import OnnxNode


def constant_of(node: OnnxNode) -> np.ndarray:
    """The array of a Constant node."""
    if len(node.attributes) != 1:
        raise FormatError(f"{node.label}: needs exactly one value, has {len(node.attributes)}")
    (name, value), = node.attributes.items()
    if name == "value" and isinstance(value, np.ndarray):
        return value
    if name in ("value_int", "value_ints", "value_float", "value_floats"):
        return node.numbers(name, whole="int" in name)
    raise UnsupportedError(f"{node.label}: attribute {name!r} is not supported; supported: value, value_int(s), "
                           "value_float(s)")


def activation_of(node: Operator) -> Activation | None:
    """The activation of the house that an operator is, element by element or over an axis."""
    spec = OPERATORS[node.op_type]
    if not spec.activation or len(node.inputs) != 1 or not node.inputs[0]:
        return None
    name, *parameters = spec.activation
    given = operator_attributes(node)
    if given.get("approximate") == "tanh":
        name = "gelu_tanh"
    return Activation.of(name, *(given[parameter] for parameter in parameters))


def changes_nothing(node: Operator, values: Sequence[Value | None], made: Value) -> bool:
    """Whether the one output of `node` is its first input, whatever the run brings."""
    first = values[0] if values else None
    if first is None or len(node.outputs) != 1 or first.shape != made.shape or first.dtype != made.dtype:
        return False
    spec = OPERATORS[node.op_type]
    if spec.in_order:
        return True
    if node.op_type == "Cast":
        return DATA_TYPES[node.attributes["to"]] == first.dtype
    if node.op_type == "Transpose":
        perm = node.attributes.get("perm") or tuple(reversed(range(len(first.shape))))
        return list(perm) == list(range(len(perm)))
    if node.op_type == "Slice":
        fixed = all(i in node.constants or not node.inputs[i] for i in range(1, len(node.inputs)))
        return fixed and bool(np.all(node.constants.get(4, np.array(1)) == 1))
    if node.op_type in ("Pad", "Tile"):
        return 1 in node.constants and bool(np.all(node.constants[1] == (0 if node.op_type == "Pad" else 1)))
    several = spec.inputs[1] == ANY and (spec.elementwise or spec.moves == ANY)         # Sum, Max, Concat, ... of one
    return several and len(node.inputs) == 1


def is_zero(node: Operator, zeros: set[str]) -> bool:
    """Whether every element of every output is 0, its size aside."""
    def zero(i: int) -> bool:
        return node.inputs[i] in zeros or (i in node.constants and not np.any(node.constants[i]))

    if node.op_type == "ConstantOfShape":
        return 1 not in node.constants if len(node.inputs) < 2 else zero(1)
    spec = OPERATORS[node.op_type]
    moved = [i for i in range(len(node.inputs)) if spec.moves_only(i) or node.op_type == "Cast"]
    return bool(moved) and all(map(zero, moved))


def cost(node: Operator, made: Sequence[Value]) -> Need | None:
    """What running a node takes all of whose inputs are constants; None if that is not known before it runs."""
    if node.op_type != "NonZero" and any(isinstance(dim, str) for value in made for dim in value.shape):
        return None
    arrays = [node.constants.get(position) for position in range(len(node.inputs))]
    return OPERATORS[node.op_type].need_for(operator_attributes(node), arrays, made)
