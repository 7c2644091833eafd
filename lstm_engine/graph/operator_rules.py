"""The symbolic shape of each operator's outputs: one rule a family, found by the operator's name.

A rule gets a `Call` and returns (shape, dtype) per output. A dim is an int or a symbol; None stands for a
size that is known only when the model runs, and becomes a symbol made from the output's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES
from ..errors import GraphError, UnsupportedError
from .nodes import Dim, Operator, Value

MAX_RANK = 64           # axes of a value: NumPy has no more
ANY = 1 << 30           # no upper limit: of inputs and outputs of an operator, of Shape's `end`

Dims = list[Dim | None]


@dataclass
class Call:
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
                result[i] = self._meet(result[i], dim)
        return result

    def _meet(self, a: Dim | None, b: Dim | None) -> Dim | None:
        if a == b or b == 1:
            return a
        if a == 1:
            return b
        if isinstance(a, int) and isinstance(b, int):
            raise self.error(f"sizes {a} and {b} do not fit together")
        # One known size above 1 decides: the other must be equal to it, or 1, when the model runs.
        return a if isinstance(a, int) else b if isinstance(b, int) else None


Rule = Callable[[Call], list[tuple[Sequence[Dim | None], str]]]
RULES: dict[str, Rule] = {}


def rule(names: str) -> Callable[[Rule], Rule]:
    """Register a rule for the operators named, separated by spaces."""
    def register(function: Rule) -> Rule:
        for name in names.split():
            RULES[name] = function
        return function
    return register


def infer(node: Operator, attributes: dict[str, Any], inputs: Sequence[Value | None]) -> list[Value]:
    """Apply the rule of `node`; see `operators.operator_shapes`."""
    values = list(inputs)
    values += [None] * (len(node.inputs) - len(values))
    for position, array in node.constants.items():
        values[position] = Value("", tuple(array.shape), array.dtype.name)
    call = Call(node, attributes, values)
    try:
        results = RULES[node.op_type](call)
    except (IndexError, OverflowError, TypeError, ZeroDivisionError) as error:
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


@rule("Abs Neg Sqrt Exp Log Erf Floor Ceil Round Reciprocal Sign Not Identity Sin Cos Tan Asin Acos Atan Sinh Cosh"
      " Relu Sigmoid Tanh Softplus Softsign HardSwish Mish Elu Celu LeakyRelu ThresholdedRelu Selu HardSigmoid Gelu"
      " Clip Trilu")
def _same(call: Call) -> list:
    return [(call.shape(), call.dtype())]


@rule("Softmax LogSoftmax CumSum ReverseSequence")
def _same_along_axis(call: Call) -> list:
    if "axis" in call.attributes:
        call.axis(call.attributes["axis"], call.rank())
    return [(call.shape(), call.dtype())]


@rule("IsNaN IsInf")
def _test(call: Call) -> list:
    return [(call.shape(), "bool")]


@rule("Cast")
def _cast(call: Call) -> list:
    number = call.attributes["to"]
    if number not in DATA_TYPES:
        raise call.unknown(f"attribute 'to' is data type {number}; supported: "
                           + ", ".join(f"{n} ({name})" for n, name in DATA_TYPES.items()))
    return [(call.shape(), DATA_TYPES[number])]


@rule("CastLike")
def _cast_like(call: Call) -> list:
    return [(call.shape(), call.dtype(1))]


@rule("Add Sub Mul Div Pow Mod Max Min Sum Mean And Or Xor")
def _elementwise(call: Call) -> list:
    return [(call.broadcast(*(call.shape(i) for i in range(len(call.values)))), call.dtype())]


@rule("PRelu")
def _prelu(call: Call) -> list:
    x = call.shape()
    if len(call.broadcast(x, call.shape(1))) != len(x):
        raise call.error(f"the slope has {call.rank(1)} axes, more than the {len(x)} of its input")
    return [(x, call.dtype())]


@rule("Equal Greater GreaterOrEqual Less LessOrEqual")
def _compare(call: Call) -> list:
    return [(call.broadcast(call.shape(), call.shape(1)), "bool")]


@rule("Where")
def _where(call: Call) -> list:
    return [(call.broadcast(call.shape(), call.shape(1), call.shape(2)), call.dtype(1))]


@rule("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum"
      " ReduceLogSumExp")
def _reduce(call: Call) -> list:
    shape, keep = call.shape(), call.attributes["keepdims"]
    axes = call.axes(1, len(shape))
    if call.given(1) and axes is None:
        if not keep:
            raise call.unknown("axes are made when the model runs, so the rank of the result is unknown")
        return [([None] * len(shape), call.dtype())]
    if not axes:
        if call.attributes["noop_with_empty_axes"]:
            return [(shape, call.dtype())]
        axes = list(range(len(shape)))
    return [(reduced(shape, axes, keep), call.dtype())]


def reduced(shape: Dims, axes: Sequence[int], keep: int) -> Dims:
    """`shape` with `axes` made 1, or left out."""
    if keep:
        return [1 if i in axes else dim for i, dim in enumerate(shape)]
    return [dim for i, dim in enumerate(shape) if i not in axes]


@rule("ArgMax ArgMin")
def _arg(call: Call) -> list:
    axis = call.axis(call.attributes["axis"], call.rank())
    return [(reduced(call.shape(), [axis], call.attributes["keepdims"]), "int64")]


@rule("MatMul")
def _matmul(call: Call) -> list:
    a, b = call.shape(), call.shape(1)
    if not a or not b:
        raise call.error("a matrix product needs at least one axis on each side")
    inner_b = b[-2] if len(b) > 1 else b[0]
    if not same_size(a[-1], inner_b):
        raise call.error(f"the inner sizes {a[-1]} and {inner_b} differ")
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else []
    return [(call.broadcast(a[:-2], b[:-2]) + rows + columns if max(len(a), len(b)) > 2 else rows + columns,
             call.dtype())]


@rule("Gemm")
def _gemm(call: Call) -> list:
    a, b = call.shape(), call.shape(1)
    if len(a) != 2 or len(b) != 2:
        raise call.error(f"both factors need 2 axes, not {len(a)} and {len(b)}")
    a = a[::-1] if call.attributes["transA"] else a
    b = b[::-1] if call.attributes["transB"] else b
    if not same_size(a[1], b[0]):
        raise call.error(f"the inner sizes {a[1]} and {b[0]} differ")
    shape = [a[0], b[1]]
    if call.given(2):
        wanted = call.shape(2)
        if len(wanted) > 2 or not all(same_size(*p) or p[1] == 1 for p in zip(shape[::-1], wanted[::-1])):
            raise call.error(f"an addend of shape {wanted} does not fit a product of shape {shape}")
    return [(shape, call.dtype())]


@rule("Einsum")
def _einsum(call: Call) -> list:
    terms, result = parse_einsum(call.attributes["equation"], [call.rank(i) for i in range(len(call.values))])
    if terms is None:
        raise call.error(f"equation {call.attributes['equation']!r} does not fit the inputs")
    sizes: dict[str, Dim | None] = {}
    for i, term in enumerate(terms):
        for label, dim in zip(term, call.shape(i)):
            sizes[label] = call._meet(sizes.get(label, 1), dim)
    return [([sizes[label] for label in result], call.dtype())]


def parse_einsum(equation: str, ranks: Sequence[int]) -> tuple[list[str] | None, str]:
    """The labels of each input and of the result, an ellipsis spelled out with digits; None if they do not fit."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return None, ""
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks)]
    if any(w < 0 or (w and "..." not in term) for w, term in zip(widths, terms)) or max(widths, default=0) > 10:
        return None, ""
    widest = "0123456789"[:max(widths)]
    spelled = [term.replace("...", widest[len(widest) - w:]) for term, w in zip(terms, widths)]
    labels = "".join(spelled)
    if arrow:
        result = right.replace("...", widest)
    else:
        once = sorted(label for label in set(labels) if labels.count(label) == 1 and label not in widest)
        result = widest + "".join(once)
    known = all(label.isalnum() for label in labels) and len(set(result)) == len(result) and set(result) <= set(labels)
    return (spelled, result) if known else (None, "")
