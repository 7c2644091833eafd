"""Operations of keras.ops that pick, split, repeat or choose elements, and products of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE, flatten
from ..reading.config import Layer
from .builder import Builder, Tensor
from .encoding import categories
from .merging import broadcast
from .operations import axis_of, operand
from .registry import Arguments, Context, check_width, dtype_of, maps, one, promoted, show
from .shaping import reshape


def _ints(layer: Layer, what: str, value: Any, count: int | None = None, least: int = 0) -> list[int]:
    """A list of whole numbers, or one of them. Raises FormatError for anything else."""
    given = value if isinstance(value, (list, tuple)) else [value]
    if not all(type(entry) is int and least <= entry < MAX_SIZE for entry in given) or count not in (None, len(given)):
        raise FormatError(f"{layer}: {what} is {value!r:.80}; expected whole numbers from {least}")
    return list(given)


@maps("ops.Matmul")
def matmul(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The product of the last two axes; axes before them are the batch of both, or of one alone."""
    builder, name = context.builder, layer.where
    arguments.read.update((1, "x1", "x2"))
    left, right = _two(layer, arguments)
    left, right = promoted(context, layer, [left, right])
    left, right = (_across(builder, f"{name}/{key}", x) if arguments.setting(layer, key, place, False) else x
                   for x, key, place in ((left, "transpose_a", 2), (right, "transpose_b", 3)))
    if left.rank < 2 or right.rank < 2 or not builder.unify(left.shape[-1], right.shape[-2]):
        raise FormatError(f"{layer}: {show(left.shape)} and {show(right.shape)} cannot be multiplied")
    flat = [Tensor("", x.shape[:-2], x.dtype) for x in (left, right)]
    lead = broadcast(builder, layer, flat[0], flat[1])
    return builder.operator("MatMul", name, [left, right], (*lead, left.shape[-2], right.shape[-1]))


def _across(builder: Builder, name: str, x: Tensor) -> Tensor:
    """x with its last two axes exchanged."""
    axes = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return builder.operator("Transpose", name, [x], [x.shape[axis] for axis in axes], attributes={"perm": tuple(axes)})


def _two(layer: Layer, arguments: Arguments) -> tuple[Tensor, Tensor]:
    if len(arguments.x) != 2:
        raise UnsupportedError(f"{layer} of {len(arguments.x)} tensors is not supported; supported: two")
    return arguments.x[0], arguments.x[1]


@maps("ops.Einsum")
def einsum(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder = context.builder
    subscripts = layer.get("subscripts", str).replace(" ", "")
    terms, arrow, result = subscripts.partition("->")
    arguments.read.update(range(1, len(arguments.x)))
    labels = terms.split(",")
    if arrow and "..." in terms:
        labels, result = _spelled(layer, subscripts, labels, result, [x.rank for x in arguments.x])
        terms = ",".join(labels)
        subscripts = f"{terms}->{result}"
    if not arrow or "." in subscripts or len(labels) != len(arguments.x) or any(
            len(term) != x.rank or not term.isalpha() for term, x in zip(labels, arguments.x, strict=False)):
        raise UnsupportedError(f"{layer}: {subscripts!r:.80} of {' and '.join(show(x.shape) for x in arguments.x)} is "
                               "not supported; supported: a letter for each axis, and what comes out behind ->")
    sizes: dict[str, Dim] = {}
    for term, x in zip(labels, arguments.x, strict=True):
        for label, size in zip(term, x.shape, strict=True):
            if not builder.unify(sizes.setdefault(label, size), size):
                raise FormatError(f"{layer}: axis {label!r} of {subscripts!r:.80} is {sizes[label]} and {size}")
    if any(label not in sizes for label in result) or len(set(result)) != len(result):
        raise FormatError(f"{layer}: {result!r:.80} is no result of {terms!r:.80}")
    inputs = promoted(context, layer, arguments.x)
    return builder.operator("Einsum", layer.where, inputs, [sizes[label] for label in result],
                            attributes={"equation": subscripts})


def _spelled(layer: Layer, subscripts: str, labels: list[str], result: str, ranks: list[int]) -> tuple[list[str], str]:
    """The terms of an equation with letters for the axes that "..." stands for, the same ones in all: from the last."""
    counts = [rank - len(term.replace("...", "")) if "..." in term else 0 for term, rank in zip(labels, ranks)]
    unused = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if letter not in subscripts]
    most = max(counts, default=0)
    given = {count for count, term in zip(counts, labels) if "..." in term}
    if len(given) != 1 or not 0 <= most <= len(unused) or any(term.count("...") > 1 for term in [*labels, result]):
        raise UnsupportedError(f"{layer}: {subscripts!r:.80} is not supported; supported: '...' that stands for "
                               "equally many axes of each tensor")
    letters = "".join(unused[:most])
    return [term.replace("...", letters) for term in labels], result.replace("...", letters)


def _places(layer: Layer, indices: Any) -> np.ndarray:
    """Constant indices, a number or nested lists of them."""
    indices = indices.tolist() if isinstance(indices, np.ndarray) else indices
    leaves = _ints(layer, "indices", list(flatten(indices)), least=-MAX_SIZE)
    try:
        places: np.ndarray = np.array(leaves, np.int64).reshape(np.shape(indices))
    except ValueError:
        raise FormatError(f"{layer}: indices is {indices!r:.80}; expected lists of equal lengths") from None
    return places


@maps("ops.Take")
def take(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    given, indices = arguments.setting(layer, "x", 0), arguments.setting(layer, "indices", 1)
    constant = isinstance(given, np.ndarray) and given.ndim > 0
    x = context.builder.constant(f"{layer.where}/constant", given) if constant else given
    if not isinstance(x, Tensor):
        raise UnsupportedError(f"{layer} of {given!r:.80} is not supported; supported: tensors and arrays")
    axis = axis_of(layer, arguments.setting(layer, "axis", 2), x.rank)
    if axis == 0 and constant and isinstance(indices, Tensor):
        return context.builder.operator("Gather", layer.where, [x, context.builder.cast(indices, "int64", layer.where)],
                                        (*indices.shape, *x.shape[1:]), x.dtype, {"axis": 0})
    if axis == 0:
        raise UnsupportedError(f"{layer} over the batch is not supported; supported: the other axes, or rows of a "
                               "constant array")
    if isinstance(indices, Tensor):
        raise UnsupportedError(f"{layer} at places that are computed is not supported; supported: constant places")
    places = _places(layer, indices)
    size = x.shape[axis]
    if isinstance(size, int) and places.size and not (-size <= places.min() and places.max() < size):
        raise FormatError(f"{layer}: places {indices!r:.80} are beyond the shape {show(x.shape)}")
    return context.builder.operator("Gather", layer.where, [x, places],
                                    (*x.shape[:axis], *places.shape, *x.shape[axis + 1:]), attributes={"axis": axis})


@maps("ops.Split")
def split(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    x = one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 2, 0), x.rank)
    size, where = x.shape[axis], arguments.setting(layer, "indices_or_sections", 1)
    if axis == 0 or not isinstance(size, int):
        raise UnsupportedError(f"{layer} of axis {axis} of {show(x.shape)} is not supported; supported: an axis of "
                               "known size, not the batch")
    if type(where) is int:
        if where < 1 or size % where:
            raise FormatError(f"{layer}: {size} does not divide into {where} parts")
        ends = [size // where * (part + 1) for part in range(where)]
    else:
        ends = [*_ints(layer, "indices_or_sections", where), size]
    begins = [0, *ends[:-1]]
    return [context.builder.slice(x, layer.where, axis, begin, end) for begin, end in zip(begins, ends, strict=True)]


@maps("ops.Unstack")
def unstack(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    x = one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 2, 0), x.rank)
    size, count = x.shape[axis], arguments.setting(layer, "num", 1)
    if axis == 0 or not isinstance(size, int) or count not in (None, size):
        raise UnsupportedError(f"{layer} of axis {axis} of {show(x.shape)} is not supported; supported: an axis of "
                               "known size, not the batch")
    return [context.builder.operator("Gather", layer.where, [x, np.array(place, np.int64)],
                                     (*x.shape[:axis], *x.shape[axis + 1:]), attributes={"axis": axis})
            for place in range(size)]


@maps("ops.Where")
def where(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x1 where the condition is true, else x2."""
    builder, name = context.builder, layer.where
    given = [arguments.setting(layer, key, place) for place, key in enumerate(("condition", "x1", "x2"))]
    condition, *branches = given
    if not isinstance(condition, Tensor) or condition.dtype != "bool" or not any(
            isinstance(branch, Tensor) for branch in branches):
        raise UnsupportedError(f"{layer} of {[getattr(value, 'dtype', value) for value in given]!r:.80} is not "
                               "supported; supported: a computed condition, and a tensor at least to choose from")
    tensors = [branch for branch in branches if isinstance(branch, Tensor)]
    floats = any(isinstance(branch, float) for branch in branches)
    tensors = (builder.in_one_dtype if floats else builder.in_dtype_of_all)(tensors, name)
    left = iter(tensors)
    chosen = [next(left) if isinstance(branch, Tensor) else operand(layer, branch, tensors[0]) for branch in branches]
    shape = condition.shape
    for x in tensors:
        shape = broadcast(builder, layer, Tensor("", shape, ""), x)
    return builder.operator("Where", name, [condition, *chosen], shape, tensors[0].dtype)


@maps("ops.Clip")
def clip(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    given = [arguments.setting(layer, key, place) for place, key in enumerate(("x_min", "x_max"), 1)]
    if any(isinstance(bound, float) for bound in given):
        x = context.builder.as_float(x, layer.where)
    bounds = [operand(layer, bound, x) for bound in given]
    if any(isinstance(bound, Tensor) for bound in bounds):
        raise UnsupportedError(f"{layer} between computed bounds is not supported; supported: numbers")
    # The lower bound first, then the upper, which wins where they cross.
    low = context.builder.operator("Max", f"{layer.where}/least", [x, bounds[0]], x.shape)
    return context.builder.operator("Min", layer.where, [low, bounds[1]], x.shape)


@maps("ops.Tile")
def tile(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    repeats = _ints(layer, "repeats", arguments.setting(layer, "repeats", 1))
    if len(repeats) != x.rank or repeats[0] != 1:
        raise UnsupportedError(f"{layer}: repeats {repeats!r:.80} of {show(x.shape)} is not supported; supported: one "
                               "for each axis, 1 for the batch")
    shape = [size * times if isinstance(size, int) else size if times == 1 else context.builder.symbol()
             for size, times in zip(x.shape, repeats, strict=True)]
    return context.builder.operator("Tile", layer.where, [x, np.array(repeats, np.int64)], shape)


@maps("ops.Repeat")
def repeat(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Each element along an axis, so many times in a row."""
    builder, name = context.builder, layer.where
    x = one(layer, arguments)
    times, = _ints(layer, "repeats", arguments.setting(layer, "repeats", 1), 1, 1)
    axis = axis_of(layer, arguments.setting(layer, "axis", 2), x.rank)
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1:]
    others = [dim for dim in (*before[1:], *after) if isinstance(dim, int)]
    if axis == 0 or len(others) != x.rank - 2:
        raise UnsupportedError(f"{layer} along axis {axis} of {show(x.shape)} is not supported; supported: another "
                               "axis than the batch, the others of known size")
    wide = builder.operator("Unsqueeze", f"{name}/each", [x, np.array([axis + 1], np.int64)],
                            (*before, size, 1, *after))
    often = np.array([times if place == axis + 1 else 1 for place in range(x.rank + 1)], np.int64)
    wide = builder.operator("Expand", f"{name}/repeated", [wide, often], (*before, size, times, *after))
    return reshape(builder, name, wide, [*others[:axis - 1], size * times if isinstance(size, int) else -1,
                                         *others[axis - 1:]])


@maps("ops.Pad")
def pad(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x, mode = one(layer, arguments), arguments.setting(layer, "mode", 2, "constant")
    width = arguments.setting(layer, "pad_width", 1)
    value = arguments.setting(layer, "constant_values", 3)
    filled = operand(layer, 0 if value is None else value, x)
    if not isinstance(width, (list, tuple)) or len(width) != x.rank or mode != "constant" or isinstance(filled, Tensor):
        raise UnsupportedError(f"{layer}: pad_width {width!r:.80}, mode {mode!r:.20} is not supported; supported: a "
                               "pair for each axis, mode constant")
    pairs = [_ints(layer, "pad_width", pair, 2) for pair in width]
    if any(pairs[0]):
        raise UnsupportedError(f"{layer} of the batch is not supported; supported: the other axes")
    shape = [size + sum(pair) if isinstance(size, int) else context.builder.symbol() if any(pair) else size
             for size, pair in zip(x.shape, pairs, strict=True)]
    pads = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return context.builder.operator("Pad", layer.where, [x, np.array(pads, np.int64), filled], shape)


@maps("ops.OneHot")
def one_hot(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, x = context.builder, one(layer, arguments)
    count, = _ints(layer, "num_classes", arguments.setting(layer, "num_classes", 1), 1, 1)
    dtype = arguments.setting(layer, "dtype", 3)
    dtype = builder.float_type if dtype is None else dtype_of(context, layer, dtype)
    if arguments.setting(layer, "axis", 2, -1) not in (-1, x.rank) or not x.dtype.startswith(("int", "uint")):
        raise UnsupportedError(f"{layer} of {x.dtype} {show(x.shape)} on another axis than the last is not supported; "
                               "supported: ids, the last axis")
    # Keras has zeros for ids out of range; ONNX counts negative ones from the end, so they are compared instead.
    wide = builder.operator("Unsqueeze", f"{layer.where}/wide", [x, np.array([x.rank], np.int64)], (*x.shape, 1))
    same = builder.operator("Equal", f"{layer.where}/same", [wide, categories(context, layer, count, x.dtype)],
                            (*x.shape, count), "bool")
    return builder.cast(same, dtype, layer.where)


@maps("ops.Cumsum", "ops.Cumprod")
def cumulative(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1), x.rank)
    if axis == 0 or arguments.setting(layer, "dtype", 2) is not None:
        raise UnsupportedError(f"{layer} over the batch, or in another dtype, is not supported; supported: the other "
                               "axes")
    check_width(context, layer, [x])
    if x.dtype == "bool":
        x = context.builder.cast(x, "int32", layer.where)
    op_type = "CumSum" if layer.kind == "ops.Cumsum" else "CumProd"
    ways = {key: int(bool(arguments.setting(layer, key, place, False)))
            for place, key in enumerate(("exclusive", "reverse"), 3)}        # TensorFlow's alone
    return context.builder.operator(op_type, layer.where, [x, np.array(axis, np.int64)], x.shape, attributes=ways)


@maps("ops.Argmax", "ops.Argmin")
def arg_extreme(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, x = context.builder, one(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1), x.rank)
    keep = bool(arguments.setting(layer, "keepdims", 2, False))
    if axis == 0:
        raise UnsupportedError(f"{layer} over the batch is not supported; supported: the other axes")
    if x.dtype == "bool":
        x = builder.cast(x, "int32", layer.where)
    shape = (*x.shape[:axis], *([1] if keep else []), *x.shape[axis + 1:])
    made = builder.operator("ArgMax" if layer.kind == "ops.Argmax" else "ArgMin", f"{layer.where}/place", [x], shape,
                            "int64", {"axis": axis, "keepdims": int(keep)})
    dtype = dtype_of(context, layer, arguments.setting(layer, "output_type", 3, "int32"))
    return builder.cast(made, dtype, layer.where)
