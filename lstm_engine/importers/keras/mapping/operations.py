"""Operations of keras.ops between the layers of a Keras 3 model: x * 2, x[:, -1], the masks Keras makes itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.activations import Activation
from ..reading.calls import MAX_SIZE, flatten
from ..reading.config import Layer
from .activations import named
from .builder import Builder, Tensor
from .core import activated
from .division import divided
from .merging import OF_MASKS, broadcast, concat
from .registry import OWN, Arguments, Context, check_width, dtype_of, maps, one, policy_name, show
from .shaping import all_last, any_last
from .shaping import reshape as reshaped

_BINARY = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "TrueDivide": "Div", "Divide": "Div", "Maximum": "Max",
           "Minimum": "Min", "Power": "Pow"}
_COMPARE = {"Equal": "Equal", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Less": "Less",
            "LessEqual": "LessOrEqual"}
_DIVIDE = ("Mod", "FloorDivide")
_LOGICAL = {"LogicalOr": "Or", "LogicalAnd": "And"}
_UNARY = {"Negative": "Neg", "Absolute": "Abs", "Abs": "Abs", "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt",
          "Sign": "Sign", "Floor": "Floor", "Ceil": "Ceil", "Sin": "Sin", "Cos": "Cos", "Reciprocal": "Reciprocal"}
_REDUCE = {"Mean": "ReduceMean", "Sum": "ReduceSum", "Max": "ReduceMax", "Min": "ReduceMin", "Prod": "ReduceProd"}
_ACTIVATE = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus",
             "Softsign": "softsign", "Silu": "silu", "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu",
             "Selu": "selu", "HardTanh": "hard_tanh", "LogSigmoid": "log_sigmoid", "Swish": "silu",
             "HardSwish": "hard_silu"}
MAX_POWER = 16                   # of whole numbers, which are multiplied so often
_OF_WHOLE = frozenset({"ops.Negative", "ops.Absolute", "ops.Abs", "ops.Sign", "ops.Square"})     # stay whole


def _ops(*names: str) -> tuple[str, ...]:
    return tuple(f"ops.{name}" for name in names)


def operand(layer: Layer, value: Any, like: Tensor) -> Tensor | np.ndarray:
    if isinstance(value, Tensor):
        return value
    fits = isinstance(value, bool) if like.dtype == "bool" else (
        isinstance(value, int) or isinstance(value, float) and like.dtype.startswith("float"))
    if fits and abs(value) < 2**31:
        return np.array(value, like.dtype)
    raise UnsupportedError(f"{layer} with {value!r:.80} is not supported; supported: tensors and numbers")


def _number(layer: Layer, arguments: Arguments, key: str, default: float) -> float:
    """A setting that is one number, the first behind the tensor."""
    value = arguments.setting(layer, key, 1, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**31:
        raise UnsupportedError(f"{layer}: {key} {value!r:.80} is not supported; supported: a number")
    return float(value)


def axis_of(layer: Layer, value: Any, rank: int) -> int:
    if type(value) is not int or not -rank <= value < rank:
        raise FormatError(f"{layer}: axis is {value!r:.80}; expected one of {rank} axes")
    return value % rank


def axes_given(layer: Layer, value: Any, rank: int) -> tuple[int, ...]:
    if value is None:
        raise UnsupportedError(f"{layer} over all axes is not supported; supported: given axes other than the batch")
    axes = tuple(axis_of(layer, entry, rank) for entry in (value if isinstance(value, list) else [value]))
    if 0 in axes:
        raise UnsupportedError(f"{layer} over the batch is not supported; supported: the other axes")
    return axes


@maps(*_ops(*_BINARY, *_COMPARE, *_LOGICAL, *_DIVIDE))
def binary(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name = context.builder, layer.where
    kind = layer.kind[len("ops."):]
    values = [*arguments.args, *(arguments.kwargs[key] for key in ("x1", "x2") if key in arguments.kwargs)]
    arguments.read.add(1)
    if len(values) != 2 or not arguments.x:
        raise FormatError(f"{layer} is called with {len(values)} operands; expected 2")
    if kind in _LOGICAL:
        tensors = [value for value in values if isinstance(value, Tensor) and value.dtype == "bool"]
        if len(tensors) != 2:
            raise UnsupportedError(f"{layer} of other than two masks is not supported")
        return builder.operator(_LOGICAL[kind], name, tensors, broadcast(builder, layer, *tensors), "bool")
    # Ids and numbers meet as floats, unless both are whole, as Keras promotes them.
    whole = kind not in ("TrueDivide", "Divide") and all(
        isinstance(value, int) or isinstance(value, Tensor) and not value.dtype.startswith("float") for value in values)
    if whole and kind not in _COMPARE:
        check_width(context, layer, arguments.x)
    tensors = (builder.in_dtype_of_all if whole else builder.in_one_dtype)(arguments.x, name)
    masks = tensors[0].dtype == "bool" and all(isinstance(value, (Tensor, bool)) for value in values)
    if masks and kind in (*_BINARY, *_DIVIDE) and kind not in OF_MASKS:
        raise UnsupportedError(f"{layer} of masks is not supported; supported: masks that are cast to numbers first")
    if tensors[0].dtype == "bool" and not (masks and kind in OF_MASKS):
        tensors = [builder.cast(x, "int32", name) for x in tensors]
    if whole and kind == "Power":
        return _whole_power(builder, layer, tensors[0], values[1])
    promoted = iter(tensors)
    operands = [next(promoted) if isinstance(value, Tensor) else operand(layer, value, tensors[0]) for value in values]
    shape = broadcast(builder, layer, *tensors) if len(tensors) == 2 else tensors[0].shape
    if kind in _COMPARE:
        return builder.operator(_COMPARE[kind], name, operands, shape, "bool")
    if kind in _DIVIDE:
        return divided(builder, layer, operands, shape, tensors[0].dtype)
    return builder.operator((OF_MASKS if masks else _BINARY)[kind], name, operands, shape, tensors[0].dtype)


def _whole_power(builder: Builder, layer: Layer, x: Tensor, exponent: Any) -> Tensor:
    """x times itself: what does not fit wraps, as in Keras."""
    if not isinstance(exponent, int) or not 1 <= exponent <= MAX_POWER:
        raise UnsupportedError(f"{layer} of whole numbers to {getattr(exponent, 'name', exponent)!r:.80} is not "
                               f"supported; supported: an exponent from 1 to {MAX_POWER}, or floating-point numbers")
    made = x
    for _ in range(exponent - 1):
        made = builder.operator("Mul", layer.where, [made, x], x.shape)
    return made


@maps("ops.NotEqual")
def not_equal(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Also the mask that Keras makes of token ids."""
    builder = context.builder
    x, value = arguments.x[0], next((value for value in arguments.args if not isinstance(value, Tensor)), None)
    x = builder.ids_of(x) if type(value) is int and abs(value) < 2**24 else x
    if len(arguments.x) == 1 and type(value) is int and abs(value) < 2**31 and x.rank == 2 \
            and x.dtype.startswith(("int", "uint")):
        arguments.read.add(1)
        return builder.mask_of(x, value, layer.where)
    equal = Layer(layer.name, "ops.Equal", layer.config, f"{layer.where}/equal", layer.path)
    same = binary(context, equal, arguments)
    return builder.operator("Not", layer.where, [same], same.shape, "bool")


@maps("ops.LogicalNot")
def logical_not(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = context.builder.cast(one(layer, arguments), "bool", layer.where)
    return context.builder.operator("Not", layer.where, [x], x.shape)


@maps(*_ops("Any", "All"))
def any_all(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = context.builder.cast(one(layer, arguments), "bool", layer.where)
    axes = axes_given(layer, arguments.setting(layer, "axis", 1), x.rank)
    reduce = any_last if layer.kind == "ops.Any" else all_last
    return reduce(context.builder, layer.where, x, axes, bool(arguments.setting(layer, "keepdims", 2, False)))


@maps(*_ops("ZerosLike", "OnesLike"))
def filled_like(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    dtype = arguments.setting(layer, "dtype", 1)
    dtype = x.dtype if dtype is None else dtype_of(context, layer, dtype)
    shape = context.builder.operator("Shape", f"{layer.where}/shape", [x], (x.rank,), "int64")
    value = np.array([layer.kind == "ops.OnesLike"]).astype(dtype)
    return context.builder.operator("ConstantOfShape", layer.where, [shape, value], x.shape, dtype)


@maps(*_ops(*_UNARY, "Square", "Rsqrt"))
def unary(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, x = context.builder, one(layer, arguments)
    if layer.kind not in _OF_WHOLE:
        x = builder.as_float(x, layer.where)
    elif x.dtype == "bool":
        raise UnsupportedError(f"{layer} of a mask is not supported; supported: a mask that is cast to numbers first")
    check_width(context, layer, [x])
    if layer.kind == "ops.Square":
        return builder.operator("Mul", layer.where, [x, x], x.shape)
    if layer.kind == "ops.Rsqrt":
        root = builder.operator("Sqrt", f"{layer.where}/root", [x], x.shape)
        return builder.operator("Reciprocal", layer.where, [root], x.shape)
    return builder.operator(_UNARY[layer.kind[len("ops."):]], layer.where, [x], x.shape)


@maps(*_ops(*_ACTIVATE, "Gelu", "LeakyRelu", "Elu", "Softmax", "LogSoftmax"))
def activation(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    kind, x = layer.kind[len("ops."):], one(layer, arguments)
    function: Activation | None
    if kind in _ACTIVATE:
        function = named(_ACTIVATE[kind], context.version)
    elif kind == "Gelu":
        function = Activation.of("gelu_tanh" if arguments.setting(layer, "approximate", 1, True) else "gelu")
    elif kind == "LeakyRelu":
        function = Activation.of("leaky_relu", _number(layer, arguments, "negative_slope", 0.2))
    elif kind == "Elu":
        function = Activation.of("elu", _number(layer, arguments, "alpha", 1.0))
    else:
        axis = axis_of(layer, arguments.setting(layer, "axis", 1, -1), x.rank)
        if axis == 0:
            raise UnsupportedError(f"{layer} over the batch is not supported; supported: the other axes")
        if axis != x.rank - 1:
            x = context.builder.as_float(x, layer.where)
            return context.builder.operator(kind, layer.where, [x], x.shape, attributes={"axis": axis})
        function = Activation.of("softmax" if kind == "Softmax" else "log_softmax")
    return activated(context, layer, arguments, function)  # type: ignore[arg-type]


@maps(*_ops(*_REDUCE))
def reduction(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, x = context.builder, one(layer, arguments)
    axes = axes_given(layer, arguments.setting(layer, "axis", 1), x.rank)
    keep = bool(arguments.setting(layer, "keepdims", 2, False))
    if x.dtype == "bool" and layer.kind in ("ops.Max", "ops.Min"):
        return (any_last if layer.kind == "ops.Max" else all_last)(builder, layer.where, x, axes, keep)
    if layer.kind == "ops.Mean":
        x = builder.as_float(x, layer.where)
    elif x.dtype == "bool":
        x = builder.cast(x, "int32", layer.where)
    check_width(context, layer, [x])
    if arguments.setting(layer, "initial", 3) is not None:
        raise UnsupportedError(f"{layer} with an initial value is not supported")
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes)
    return builder.operator(_REDUCE[layer.kind[len("ops."):]], layer.where, [x, np.array(axes, np.int64)], shape,
                            attributes={"keepdims": int(keep)})


@maps("ops.ConvertToTensor", "ops.Cast", mask=OWN)
def cast(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x in the dtype that is given. What has it already comes out as it is, in Keras too, with its mask."""
    x, dtype = one(layer, arguments), arguments.setting(layer, "dtype", 1)
    if dtype is None and layer.kind == "ops.ConvertToTensor":
        return x
    made = context.builder.cast(x, dtype_of(context, layer, dtype), layer.where)
    if made is not x:
        return replace(made, mask=None)
    if x.mask is not None and x.dtype.startswith("float"):
        ours = ("", x.dtype, "float64")
        other = next((str(other) for other in context.applied.values()
                      if "float" in policy_name(other) and policy_name(other) not in ours), "")
        if dtype != x.dtype or other:
            raise UnsupportedError(f"{layer} of a masked tensor to {dtype} is not supported in a model whose numbers "
                                   f"are {x.dtype} here and not all in Keras{f' ({other})' if other else ''}: whether "
                                   "the mask goes on depends on that; supported: without the cast, or a model of one "
                                   "type")
    return x


def _all_tensors(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """The tensors of a list; a constant among them is refused."""
    given = arguments.args[0] if arguments.args else next((arguments.kwargs[key] for key in ("xs", "x", "arrays")
                                                           if key in arguments.kwargs), None)
    leaves = list(flatten(given))
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise UnsupportedError(f"{layer} of {given!r:.80} is not supported; supported: tensors that the model computes")
    return leaves


@maps("ops.Concatenate")
def concatenate(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = _all_tensors(layer, arguments)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1, 0), x[0].rank)
    if axis == 0 or any(other.rank != x[0].rank for other in x):
        raise UnsupportedError(f"{layer} of {' and '.join(show(each.shape) for each in x)} on axis {axis} is not "
                               "supported; supported: equal ranks, another axis than the batch")
    x = context.builder.in_dtype_of_all(x, layer.where)
    return concat(context.builder, layer, layer.where, x, axis)


@maps("ops.Stack")
def stack(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder = context.builder
    given = builder.in_dtype_of_all(_all_tensors(layer, arguments), layer.where)
    axis = axis_of(layer, arguments.setting(layer, "axis", 1, 0), given[0].rank + 1)
    if axis == 0:
        raise UnsupportedError(f"{layer} on the batch axis is not supported")
    wide = [_unsqueeze(builder, f"{layer.where}/part", x, axis) for x in given]
    return concat(builder, layer, layer.where, wide, axis)


@maps("ops.ExpandDims")
def expand_dims(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    return _unsqueeze(context.builder, layer.where, x,
                      axis_of(layer, arguments.setting(layer, "axis", 1), x.rank + 1))


def _unsqueeze(builder: Builder, name: str, x: Tensor, axis: int) -> Tensor:
    return builder.operator("Unsqueeze", name, [x, np.array([axis], np.int64)], (*x.shape[:axis], 1, *x.shape[axis:]))


@maps("ops.Squeeze")
def squeeze(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    axes = axes_given(layer, arguments.setting(layer, "axis", 1), x.rank)
    if any(x.shape[axis] != 1 for axis in axes):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}; expected 1 on the axes {list(axes)}")
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return context.builder.operator("Squeeze", layer.where, [x, np.array(axes, np.int64)], shape)


@maps("ops.Transpose")
def transpose(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    axes = arguments.setting(layer, "axes", 1)
    if not isinstance(axes, list) or sorted(map(str, axes)) != sorted(map(str, range(x.rank))) or axes[0] != 0:
        raise UnsupportedError(f"{layer}: axes {axes!r:.80} is not supported; supported: all {x.rank} axes in some "
                               "order, the batch first")
    return context.builder.operator("Transpose", layer.where, [x], tuple(x.shape[axis] for axis in axes),
                                    attributes={"perm": tuple(axes)})


@maps("ops.Swapaxes")
def swap_axes(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    first, second = (axis_of(layer, arguments.setting(layer, f"axis{which}", which), x.rank) for which in (1, 2))
    if 0 in (first, second):
        raise UnsupportedError(f"{layer} of the batch is not supported; supported: the other axes")
    axes = list(range(x.rank))
    axes[first], axes[second] = second, first
    return context.builder.operator("Transpose", layer.where, [x], [x.shape[axis] for axis in axes],
                                    attributes={"perm": tuple(axes)})


@maps("ops.Reshape")
def reshape(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    target = arguments.setting(layer, "newshape", 1)
    sizes = target[1:] if isinstance(target, list) else []
    inner = [size for size in sizes if type(size) is int and 1 <= size < MAX_SIZE]
    known = [size for size in x.shape[1:] if isinstance(size, int)]
    if not sizes or target[0] not in (-1, None) or len(inner) != len(sizes) or len(known) != x.rank - 1 \
            or math.prod(inner) != math.prod(known):
        raise UnsupportedError(f"{layer}: reshaping {show(x.shape)} to {target!r:.80} is not supported; supported: "
                               "[-1, ...] that keeps the batch, with known sizes")
    return reshaped(context.builder, layer.where, x, inner)


@maps("ops.Flip")
def flip(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    axes = axes_given(layer, arguments.setting(layer, "axis", 1), x.rank)
    for axis in axes:
        x = context.builder.slice(x, layer.where, axis, -1, None, -1)
    return x


@maps("ops.GetItem")
def get_item(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x[:, -1], x[:, 1:], x[..., 0], x[:, None]: one constant slice or number for each axis but the batch, new axes."""
    builder, name = context.builder, layer.where
    x = one(layer, arguments)
    key = arguments.setting(layer, "key", 1)
    entries = key if isinstance(key, list) else [key]
    if entries.count(...) == 1:
        place = entries.index(...)
        missing = x.rank - sum(entry is not None for entry in entries) + 1
        entries = [*entries[:place], *[slice(None)] * missing, *entries[place + 1:]]
    whole, new = slice(None), _new_axes(entries)
    entries = [entry for entry in entries if entry is not None]
    if len(entries) > x.rank or not entries or entries[0] != whole or not all(
            isinstance(entry, slice) or type(entry) is int for entry in entries):
        raise UnsupportedError(f"{layer}: the index {key!r:.80} is not supported; supported: the whole batch, and "
                               "constant numbers and slices of the other axes")
    for axis in range(len(entries) - 1, 0, -1):      # from the last, so that axes keep their number
        entry, size = entries[axis], x.shape[axis]
        if isinstance(entry, int):
            limit = size if isinstance(size, int) else MAX_SIZE
            if not -limit <= entry < limit:
                raise FormatError(f"{layer}: the index {entry} is beyond the shape {show(x.shape)}")
            x = builder.operator("Gather", name, [x, np.array(entry, np.int64)], (*x.shape[:axis], *x.shape[axis + 1:]),
                                 attributes={"axis": axis})
        elif isinstance(entry, slice) and entry != whole:
            step = 1 if entry.step is None else entry.step
            if step == 0:
                raise FormatError(f"{layer}: a slice has the step 0")
            start = entry.start if entry.start is not None else (0 if step > 0 else -1)
            x = builder.slice(x, name, axis, start, entry.stop, step)
    for axis in new:
        x = _unsqueeze(builder, name, x, axis)
    return x


def _new_axes(entries: list[Any]) -> list[int]:
    """Where the new axes of an index (None) stand in what it gives, of which numbers take axes away."""
    left = [entry for entry in entries if type(entry) is not int]
    return [place for place, entry in enumerate(left) if entry is None]
