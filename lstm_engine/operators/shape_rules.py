"""Rules for the symbolic shape of an operator's outputs: what they are given, and those that families share.

A rule gets a `ShapeCall` and returns (shape, dtype) per output. A dim is an int or a symbol; None stands for a
size that is known only when the model runs, and becomes a symbol made from the output's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES
from ..errors import GraphError, LstmEngineError, UnsupportedError
from ..graph.nodes import Dim, Operator, Value, dtype_name
from .kernels import MISFITS

MAX_RANK = 64           # axes of a value: NumPy has no more
ANY = 1 << 30           # no upper limit: of inputs and outputs of an operator, of Shape's `end`

Dims = list[Dim | None]
_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})
_SIGNED = frozenset({"int8", "int16", "int32", "int64"})
_WHOLE = _SIGNED | {"uint8", "uint16", "uint32", "uint64"}
# What an operator may be given, by ONNX's own words for its inputs; floats of one width are floats of any, for a model
# may run in another precision than it was written in. Types of a word stand for themselves: "floats|int32".
TYPES: dict[str, frozenset[str]] = {
    "any": _FLOATS | _WHOLE | {"bool"}, "numbers": _FLOATS | _WHOLE, "floats": _FLOATS, "signed": _FLOATS | _SIGNED,
    "wide": _FLOATS | {"int32", "int64", "uint32", "uint64"}, "whole": _WHOLE, "indices": frozenset({"int32", "int64"}),
    "bytes": frozenset({"int8", "uint8"})}


@cache
def types_of(kinds: str) -> frozenset[str]:
    """The types that words of `TYPES` and names of types, with | between, stand for."""
    return frozenset().union(*(TYPES.get(kind, {kind}) for kind in kinds.split("|")))


def _in_words(kinds: str, got: str) -> str:
    """Such kinds for a message about a value of another type."""
    if got == "bool" and types_of(kinds) >= _FLOATS:
        return "numbers"
    if got in _FLOATS and kinds == "int64":
        return "integers"
    words = {"signed": "floats or signed numbers", "wide": "floats or numbers of 32 or 64 bits",
             "whole": "whole numbers", "indices": "int32 or int64", "bytes": "int8 or uint8"}
    return " or ".join(words.get(kind, kind) for kind in kinds.split("|"))


@dataclass
class ShapeCall:
    """One operator with its attributes resolved and every input given as a value, constants too."""

    node: Operator
    attributes: dict[str, Any]
    values: list[Value | None]

    def error(self, message: str) -> GraphError:
        return GraphError(f"node {self.node.name!r} ({self.node.op_type}): {message}")

    def unknown(self, message: str) -> UnsupportedError:
        return UnsupportedError(f"node {self.node.name!r} ({self.node.op_type}): {message}")

    def value(self, position: int) -> Value:
        value = self.values[position] if position < len(self.values) else None
        if value is None:
            raise self.error(f"input {position} is missing")
        return value

    def shape(self, position: int = 0) -> Dims:
        return list(self.value(position).shape)

    def dtype(self, position: int = 0) -> str:
        return self.value(position).dtype

    def rank(self, position: int = 0) -> int:
        return len(self.value(position).shape)

    def given(self, position: int) -> bool:
        return position < len(self.values) and self.values[position] is not None

    def ints(self, position: int) -> list[int] | None:
        """The integers of a constant input, None where the input is made when the model runs."""
        constant = self.node.constants.get(position)
        if constant is None:
            return None
        if constant.dtype.kind not in "iu":
            raise self.error(f"input {position} must be integers, got {constant.dtype}")
        return [int(v) for v in np.ravel(constant)]

    def indices(self, position: int) -> None:
        """Raise GraphError for an input that is to hold places and is not of a type that ONNX has for them."""
        if self.dtype(position) not in ("int32", "int64"):
            raise self.error(f"input {position} must be int32 or int64, got {self.dtype(position)}")

    def of_type(self, position: int, *dtypes: str) -> None:
        """Raise GraphError for an input of another type than these."""
        if self.given(position) and self.dtype(position) not in dtypes:
            raise self.error(f"input {position} must be {' or '.join(dtypes)}, got {self.dtype(position)}")

    def type_named(self, attribute: str) -> str:
        """The type of which an attribute is the number."""
        number = self.attributes[attribute]
        if number not in DATA_TYPES:
            raise self.unknown(f"attribute {attribute!r} is data type {number}; supported: "
                               + ", ".join(f"{n} ({name})" for n, name in DATA_TYPES.items()))
        return DATA_TYPES[number]

    def length(self, position: int) -> int:
        """How many integers a one-dimensional input holds: a rank, which must be known."""
        shape = self.shape(position)
        if len(shape) != 1 or not isinstance(shape[0], int):
            raise self.unknown(f"input {position} has an unknown length, so the rank of the result is unknown")
        return self.at_most_rank(shape[0])

    def at_most_rank(self, rank: int) -> int:
        """`rank` itself. Raises UnsupportedError for one that no value can have."""
        if rank > MAX_RANK:
            raise self.unknown(f"a value of {rank} axes; at most {MAX_RANK} are supported")
        return rank

    def axis(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise self.error(f"axis {axis} is outside the {rank} axes of its input")
        return axis % rank

    def axes(self, position: int, rank: int) -> list[int] | None:
        """Constant axes made positive, none twice; None where they are left out or made when the model runs."""
        axes = self.ints(position) if self.given(position) else None
        if axes is None:
            return None
        positive = [self.axis(axis, rank) for axis in axes]
        if len(set(positive)) != len(positive):
            raise self.error(f"axes {axes} name one axis twice")
        return positive

    def broadcast(self, *shapes: Sequence[Dim | None]) -> Dims:
        rank = max(len(shape) for shape in shapes)
        result: Dims = [1] * rank
        for shape in shapes:
            for i, dim in enumerate(shape, rank - len(shape)):
                result[i] = self.meet(result[i], dim)
        return result

    def check_broadcast(self, position: int, shape: Dims) -> None:
        """Raise GraphError for an input that is not broadcast to this shape, but larger."""
        made = self.broadcast(shape, self.shape(position))
        if len(made) != len(shape) or not all(map(same_size, made, shape)):
            raise self.error(f"input {position} of shape {self.shape(position)} is larger than {shape}")

    def meet(self, a: Dim | None, b: Dim | None) -> Dim | None:
        if a == b or b == 1:
            return a
        if a == 1:
            return b
        if isinstance(a, int) and isinstance(b, int):
            raise self.error(f"sizes {a} and {b} do not fit together")
        # One known size above 1 decides: the other must be equal to it, or 1, when the model runs.
        return a if isinstance(a, int) else b if isinstance(b, int) else None


Shapes = Sequence[tuple[Sequence[Dim | None], str]]        # and dtypes, of all outputs
ShapeRule = Callable[[ShapeCall], Shapes]


def infer(rule: ShapeRule, takes: Sequence[str], node: Operator, attributes: dict[str, Any],
          inputs: Sequence[Value | None]) -> list[Value]:
    """Apply the rule of `node` to inputs of types that it takes; see `spec.operator_shapes`."""
    values = list(inputs)
    values += [None] * (len(node.inputs) - len(values))
    for position, array in node.constants.items():
        values[position] = Value("", array.shape, dtype_name(array.dtype))
    call = ShapeCall(node, attributes, values)
    for position, value in enumerate(values) if takes else ():
        kinds = takes[min(position, len(takes) - 1)]
        if value is not None and value.dtype not in types_of(kinds):
            raise call.error(f"input {position} must be {_in_words(kinds, value.dtype)}, got {value.dtype}; cast it "
                             "first")
    try:
        results = rule(call)
    except LstmEngineError:
        raise
    except MISFITS as error:
        raise call.error(f"its constants or attributes do not fit its inputs ({error})") from error
    made = []
    for name, (shape, dtype) in zip(node.outputs, results):
        call.at_most_rank(len(shape))
        dims = tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(shape))
        made.append(Value(name, dims, dtype))
    return made


def same_size(a: Dim | None, b: Dim | None) -> bool:
    """Whether two sizes may be equal: only two different ints may not."""
    return not (isinstance(a, int) and isinstance(b, int) and a != b)


def product(dims: Sequence[Dim | None]) -> Dim | None:
    """The product of sizes; one symbol times ones stays that symbol."""
    if any(dim == 0 for dim in dims):
        return 0
    symbols = [dim for dim in dims if not isinstance(dim, int)]
    rest = prod(dim for dim in dims if isinstance(dim, int))
    return rest if not symbols else symbols[0] if len(symbols) == 1 and rest == 1 else None


def same(call: ShapeCall) -> Shapes:
    """The shape and dtype of the first input."""
    return [(call.shape(), call.dtype())]


def same_along_axis(call: ShapeCall) -> Shapes:
    """The same, of an operator that works along the axis that an attribute names."""
    call.axis(call.attributes["axis"], call.rank())
    return same(call)


def broadcast(call: ShapeCall) -> Shapes:
    """All inputs, broadcast, in the dtype of the first."""
    return [(call.broadcast(*(call.shape(i) for i in range(len(call.values)))), call.dtype())]
