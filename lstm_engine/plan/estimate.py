"""What an operator of NumPy's will take, told by its inputs before it runs: bytes, and about how long.

Sizes come from the rules that infer shapes when a graph is loaded, asked again with the arrays of a run. An estimate is
an upper bound of what is allocated, exact for the result itself; times are orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, GraphError, UnsupportedError
from ..graph import Dense, Embedding, Node, Operator, Value
from ..graph.operator_rules import parse_einsum
from ..graph.operator_rules_windows import windows
from ..graph.operators import operator_attributes, operator_shapes
from .host_ops.registry import MISFITS, shown_inputs

Arrays = Sequence[Any]              # one for each input of a node, None for one that is left out

_PRODUCTS_AT_ONCE = 16          # of a BLAS, in a nanosecond

# Operators that show their input's memory; what they copy after all is counted when it is made.
VIEWS = frozenset("Identity Reshape Flatten Transpose Squeeze Unsqueeze Slice Split Shape Size".split())
# Nanoseconds an element, where it is not about 1; and arrays of float64 of the result's size that are made on the way.
_SLOW = {**dict.fromkeys("Exp Log Tanh Sigmoid Softplus Pow Sin Cos Tan Asin Acos Atan Sinh Cosh Softmax LogSoftmax "
                         "Elu Celu Selu Mod GatherND GatherElements ScatterND ScatterElements NonZero".split(), 8),
         **dict.fromkeys("Erf Gelu Mish CumSum".split(), 24), "TopK": 96}
_ON_THE_WAY = {"Erf": 6, "Gelu": 8, "TopK": 4, **dict.fromkeys(
    "Softplus Mish HardSwish HardSigmoid Elu Celu Selu LayerNormalization InstanceNormalization GroupNormalization "
    "BatchNormalization ReverseSequence GatherElements ScatterElements ReduceLogSumExp Einsum".split(), 3),
    **dict.fromkeys("Sigmoid Softmax LogSoftmax Gemm Clip PRelu LeakyRelu ThresholdedRelu IsInf Mean Div Pow CumSum "
                    "OneHot ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum".split(), 2)}


class Need(NamedTuple):
    """bytes: of results and of what is made on the way; work: nanoseconds."""

    bytes: int
    work: int


Estimate = Callable[[Arrays, int], Need]


def estimate_of(node: Node) -> Estimate:
    """A function of a node's inputs, constants among them, and of a number of elements that do not matter: inputs of
    which no more can be made are not looked at closely.

    It raises ArgumentError for larger inputs that do not fit the operator: what NumPy would make of them is anything.
    """
    if not isinstance(node, Operator):
        return _of_layer(node)
    attributes = operator_attributes(node)
    grown = GROWING.get(node.op_type)
    nothing = Need(0, 0)
    if node.op_type in VIEWS:
        return lambda arrays, small: nothing
    if grown is not None:
        return _guarded(node, lambda arrays: _made(node, *grown(arrays)))
    if node.op_type in _WINDOWS:
        return _guarded(node, lambda arrays: _of_windows(node, attributes, arrays))
    of_shapes = _guarded(node, lambda arrays: _of_shapes(node, attributes, arrays))
    combines, slow = node.op_type in _COMBINING, _SLOW.get(node.op_type, 1)

    def estimate(arrays: Arrays, small: int) -> Need:
        most = _at_most(arrays, combines) if combines or len(arrays) > 1 else arrays[0].size
        if most <= min(_FEW, small):
            return nothing
        return Need(0, most * slow) if most <= small else of_shapes(arrays, small)
    return estimate


def _guarded(node: Operator, estimate: Callable[[Arrays], Need]) -> Estimate:
    def guarded(arrays: Arrays, small: int) -> Need:
        try:
            return estimate(arrays)
        except UnsupportedError:
            return Need(0, 0)               # a rank that is known only now: nothing that grows
        except (GraphError, *MISFITS) as error:
            if _at_most(arrays, True) <= small:
                return Need(0, 0)           # running it says what is wrong
            raise ArgumentError(f"node {node.name!r} ({node.op_type}) cannot run on inputs {shown_inputs(arrays)}: "
                                f"{error}") from error
    return guarded


# So few elements take less than calling NumPy does.
_FEW = 64
# Operators that make more than their inputs have also where those are all of one shape.
_COMBINING = frozenset("MatMul Gemm Einsum Gather GatherND NonZero".split())


def _at_most(arrays: Arrays, combines: bool) -> int:
    """As many elements as an operator can make of its inputs or look at, or more."""
    given = [array for array in arrays if array is not None]
    if not combines and len({array.shape for array in given if array.size != 1}) <= 1:
        return sum(array.size for array in given)
    return max(prod(max(array.size, 1) for array in given), sum(array.size for array in given))


def _made(node: Operator, count: int, itemsize: int) -> Need:
    return Need(count * itemsize + 8 * _ON_THE_WAY.get(node.op_type, 0) * count, count * _SLOW.get(node.op_type, 1))


# ---- operators whose results may be of any size, whatever that of their inputs ------------------------------------

def _ints(array: np.ndarray | None) -> list[int]:
    return [] if array is None else [int(v) for v in np.ravel(array)]


def _scalar(array: Any) -> Any:
    return np.ravel(array)[0].item()


def _expand(arrays: Arrays) -> tuple[int, int]:
    x, shape = arrays[0], _ints(arrays[1])
    rank = max(x.ndim, len(shape))
    sizes = [(1,) * (rank - len(own)) + tuple(own) for own in (x.shape, shape)]
    return prod(max(pair) if 0 not in pair else 0 for pair in zip(*sizes)), x.itemsize


def _range(arrays: Arrays) -> tuple[int, int]:
    start, limit, step = map(_scalar, arrays)
    return max(0, ceil((limit - start) / step)), 8


def _pad(arrays: Arrays) -> tuple[int, int]:
    x, pads = arrays[0], _ints(arrays[1])
    axes = [axis % x.ndim for axis in _ints(arrays[3])] if len(arrays) > 3 and arrays[3] is not None else range(x.ndim)
    sizes = list(x.shape)
    for i, axis in enumerate(axes):
        sizes[axis] = max(0, sizes[axis] + max(0, pads[i]) + max(0, pads[i + len(axes)]))
    return prod(sizes), x.itemsize


GROWING: dict[str, Callable[[Arrays], tuple[int, int]]] = {
    "Expand": _expand, "Range": _range, "Pad": _pad,
    "Tile": lambda arrays: (arrays[0].size * prod(max(0, n) for n in _ints(arrays[1])), arrays[0].itemsize),
    "ConstantOfShape": lambda arrays: (prod(max(0, n) for n in _ints(arrays[0])), 8),
    "OneHot": lambda arrays: (arrays[0].size * max(0, int(_scalar(arrays[1]))), arrays[2].itemsize),
}
# The inputs whose numbers say what shape the result has.
SIZES = {"Expand": (1,), "Range": (0, 1, 2), "Pad": (1, 3), "Tile": (1,), "ConstantOfShape": (0,), "OneHot": (1,),
         "Reshape": (1,), "Squeeze": (1,), "Unsqueeze": (1,), "Split": (1,), "Slice": (1, 2, 3, 4), "NonZero": (0,),
         "TopK": (1,)}


# ---- all others ---------------------------------------------------------------------------------------------------

def results_of(node: Operator, arrays: Arrays) -> list[Value]:
    """The results of a node on these arrays: shapes of plain numbers, but for NonZero's."""
    # What says where or how many is short, or makes no difference to a size.
    said = {i: array for i, array in enumerate(arrays)
            if array is not None and array.dtype.kind in "iu" and array.size <= 256}
    known = Operator(name=node.name, inputs=tuple("" if array is None or i in said else f"x{i}"
                                                  for i, array in enumerate(arrays)),
                     outputs=node.outputs, op_type=node.op_type, attributes=node.attributes, constants=said)
    values = [None if array is None or i in said else Value(f"x{i}", array.shape, array.dtype.name)
              for i, array in enumerate(arrays)]
    return operator_shapes(known, values)


def _size(value: Value) -> int:
    return prod(dim for dim in value.shape if isinstance(dim, int))


def _of_shapes(node: Operator, attributes: dict[str, Any], arrays: Arrays) -> Need:
    given = [array for array in arrays if array is not None]
    if node.op_type == "NonZero":
        count = given[0].size * max(1, given[0].ndim)
        return Need(16 * count, count * _SLOW["NonZero"])
    made = results_of(node, arrays)
    size = sum(map(_size, made))
    result = sum(_size(value) * np.dtype(value.dtype).itemsize for value in made)
    work = (size + sum(array.size for array in given)) * _SLOW.get(node.op_type, 1)
    if node.op_type in ("MatMul", "Gemm"):
        inner = given[0].shape[0 if attributes.get("transA") else -1]
        # Whole numbers are multiplied one by one.
        work += size * inner // (_PRODUCTS_AT_ONCE if made[0].dtype.startswith("float") else 1)
    elif node.op_type == "Einsum":
        made_on_the_way, products = _contracted(attributes["equation"], given)
        result, work = result + 8 * made_on_the_way, work + products
    return Need(result + 8 * _ON_THE_WAY.get(node.op_type, 0) * size, work)


def _contracted(equation: str, arrays: Sequence[np.ndarray]) -> tuple[int, int]:
    """Elements that an Einstein sum makes on the way, and its products, in the order in which NumPy will take its
    factors: `host_ops.products` asks for the same."""
    terms, result = parse_einsum(equation, [array.ndim for array in arrays])
    if terms is None:
        raise ValueError(f"equation {equation!r} does not fit")
    numbers = {label: i for i, label in enumerate(sorted(set("".join(terms))))}
    operands: list[Any] = [part for array, term in zip(arrays, terms) for part in (array, [numbers[x] for x in term])]
    sizes: dict[str, int] = {}
    for term, array in zip(terms, arrays):
        sizes.update((label, size) for label, size in zip(term, array.shape) if size != 1)
    path = np.einsum_path(*operands, [numbers[label] for label in result], optimize=len(arrays) > 1)[0][1:]
    left = [set(term) for term in terms]
    made = products = 0
    for chosen in path:
        taken: set[str] = set().union(*(left.pop(i) for i in sorted(chosen, reverse=True)))
        kept = taken & set(result).union(*left)
        products += prod(sizes.get(label, 1) for label in taken)
        made += prod(sizes.get(label, 1) for label in kept)
        left.append(kept)
    return made, products


_WINDOWS = frozenset("Conv ConvTranspose MaxPool AveragePool".split())


def _of_windows(node: Operator, attributes: dict[str, Any], arrays: Arrays) -> Need:
    """Windows stand side by side as columns of a product, over the input with its padding."""
    x = arrays[0]
    made = results_of(node, arrays)[0]
    size, itemsize, counts = _size(made), x.itemsize, [int(dim) for dim in made.shape[2:]]
    kernel = list(attributes["kernel_shape"] or arrays[1].shape[2:])
    window = prod(kernel)
    if node.op_type == "ConvTranspose":
        columns = len(x) * made.shape[1] * window * prod(x.shape[2:])
        full = prod(max(count, length * s + k * d) for count, length, k, s, d in zip(
            counts, x.shape[2:], kernel, *windows(attributes, len(kernel))))
        channels = len(arrays[1]) // attributes["group"]
        return Need((size + columns + len(x) * made.shape[1] * full) * itemsize,
                    columns * channels // _PRODUCTS_AT_ONCE + 2 * columns + size)
    strides, dilations = windows(attributes, len(kernel))
    pads = attributes["pads"] or (0,) * (2 * len(kernel))
    padded = prod(x.shape[:2]) * prod(
        max(length + pads[i] + pads[i + len(kernel)], (count - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1)
        for i, (length, count) in enumerate(zip(x.shape[2:], counts)))
    if node.op_type == "Conv":
        columns = len(x) * x.shape[1] * window * prod(counts)
        return Need((size + padded + columns) * itemsize,
                    size * (arrays[1].shape[1] * window) // _PRODUCTS_AT_ONCE + padded + columns + size)
    return Need((2 * size + padded) * itemsize, size * window + padded)


def _of_layer(node: Node) -> Estimate:
    """Layers of the house on shapes that the core does not take: row by row."""
    def estimate(arrays: Arrays, small: int) -> Need:
        x = arrays[0]
        if isinstance(node, Dense):
            features, units = node.kernel.shape
            made = x.size // features * units
            return Need(8 * (made + x.size), made * features // _PRODUCTS_AT_ONCE + made)
        made = x.size * (node.table.shape[1] if isinstance(node, Embedding) else 1)
        return Need(8 * (made + x.size), 8 * made)
    return estimate
