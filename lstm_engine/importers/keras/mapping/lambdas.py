"""TensorFlow's functions between the layers of functional models of TF 2.4 to 2.15: TFOpLambda, SlicingOpLambda.

x[:, -1] and tf.concat([a, b], -1) stand among the layers under the name of the function, with its own arguments. Each
is the operation of keras.ops that means the same, called with the arguments by their names there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from ....errors import UnsupportedError
from ..reading.calls import array_of, bound_of, flatten
from ..reading.config import Layer
from ..reading.settings import Settings
from .builder import Tensor
from .operations import axes_given, operand
from .registry import OWN, Arguments, Context, apply, maps
from .scaling import of_norm_one
from .sizes import FILLED, filled, part_of_shape, shape_of, target_shape

# Names of arguments there and here; what is not named here is the same.
_Renamed = dict[str, str]
_XY: _Renamed = {"x": "x1", "y": "x2"}
_REDUCED: _Renamed = {"input_tensor": "x", "keep_dims": "keepdims"}
_FEATURES: _Renamed = {"features": "x", "logits": "x"}
# TensorFlow's function -> the operation, and how its arguments are called there.
_FUNCTIONS: dict[str, tuple[str, _Renamed]] = {
    **{f"math.{name}": (kind, _XY) for name, kind in (
        ("add", "Add"), ("subtract", "Subtract"), ("multiply", "Multiply"), ("truediv", "TrueDivide"),
        ("divide", "TrueDivide"), ("maximum", "Maximum"), ("minimum", "Minimum"), ("pow", "Power"), ("equal", "Equal"),
        ("not_equal", "NotEqual"), ("greater", "Greater"), ("greater_equal", "GreaterEqual"), ("less", "Less"),
        ("less_equal", "LessEqual"), ("logical_and", "LogicalAnd"), ("logical_or", "LogicalOr"),
        ("logical_xor", "LogicalXor"), ("floormod", "Mod"), ("floordiv", "FloorDivide"),
        ("divide_no_nan", "DivideNoNan"))},
    "compat.v1.floor_div": ("FloorDivide", _XY),
    "nn.bias_add": ("Add", {"value": "x1", "bias": "x2"}),
    "__operators__.add": ("Add", _XY), "__operators__.eq": ("Equal", {"self": "x1", "other": "x2"}),
    "__operators__.ne": ("NotEqual", {"self": "x1", "other": "x2"}),
    **{f"math.{name}": (kind, {}) for name, kind in (
        ("negative", "Negative"), ("abs", "Abs"), ("exp", "Exp"), ("log", "Log"), ("sqrt", "Sqrt"),
        ("square", "Square"), ("rsqrt", "Rsqrt"), ("sign", "Sign"), ("floor", "Floor"), ("ceil", "Ceil"),
        ("sin", "Sin"), ("cos", "Cos"), ("reciprocal", "Reciprocal"), ("tanh", "Tanh"), ("sigmoid", "Sigmoid"),
        ("logical_not", "LogicalNot"), ("round", "Round"), ("erf", "Erf"), ("log1p", "Log1p"), ("expm1", "Expm1"),
        ("acos", "Arccos"), ("acosh", "Arccosh"), ("asin", "Arcsin"), ("asinh", "Arcsinh"), ("atan", "Arctan"),
        ("atanh", "Arctanh"), ("cosh", "Cosh"), ("sinh", "Sinh"), ("tan", "Tan"), ("is_nan", "Isnan"),
        ("is_inf", "Isinf"), ("is_finite", "Isfinite"), ("log_sigmoid", "LogSigmoid"))},
    "math.softplus": ("Softplus", _FEATURES),
    **{f"nn.{name}": (kind, _FEATURES) for name, kind in (
        ("relu", "Relu"), ("relu6", "Relu6"), ("selu", "Selu"), ("elu", "Elu"), ("softsign", "Softsign"),
        ("softplus", "Softplus"), ("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("silu", "Silu"), ("swish", "Silu"),
        ("softmax", "Softmax"), ("log_softmax", "LogSoftmax"), ("leaky_relu", "LeakyRelu"), ("gelu", "Gelu"))},
    "math.softmax": ("Softmax", _FEATURES),
    **{f"math.reduce_{name}": (kind, _REDUCED) for name, kind in (
        ("mean", "Mean"), ("sum", "Sum"), ("max", "Max"), ("min", "Min"), ("prod", "Prod"), ("any", "Any"),
        ("all", "All"), ("std", "Std"), ("variance", "Var"), ("logsumexp", "Logsumexp"))},
    "concat": ("Concatenate", {"values": "xs"}), "stack": ("Stack", {"values": "x"}),
    "expand_dims": ("ExpandDims", {"input": "x"}), "compat.v1.expand_dims": ("ExpandDims", {"input": "x"}),
    "squeeze": ("Squeeze", {"input": "x"}), "compat.v1.squeeze": ("Squeeze", {"input": "x"}),
    "transpose": ("Transpose", {"a": "x", "perm": "axes"}), "compat.v1.transpose": ("Transpose", {"a": "x",
                                                                                                 "perm": "axes"}),
    "reshape": ("Reshape", {"tensor": "x", "shape": "newshape"}), "cast": ("Cast", {}),
    "clip_by_value": ("Clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "linalg.matmul": ("Matmul", {"a": "x1", "b": "x2"}), "where": ("Where", {"x": "x1", "y": "x2"}),
    "split": ("Split", {"value": "x", "num_or_size_splits": "indices_or_sections"}),
    "unstack": ("Unstack", {"value": "x"}), "tile": ("Tile", {"input": "x", "multiples": "repeats"}),
    "repeat": ("Repeat", {"input": "x"}), "reverse": ("Flip", {"tensor": "x"}),
    "gather": ("Take", {"params": "x"}), "compat.v1.gather": ("Take", {"params": "x"}),
    "norm": ("Norm", {"tensor": "x"}), "compat.v1.norm": ("Norm", {"tensor": "x"}), "roll": ("Roll", {"input": "x"}),
    "sort": ("Sort", {"values": "x"}), "argsort": ("Argsort", {"values": "x"}), "math.cumprod": ("Cumprod", {}),
    "math.top_k": ("TopK", {"input": "x"}), "identity": ("Identity", {"input": "x"}),
    "stop_gradient": ("StopGradient", {"input": "x"}), "ensure_shape": ("Identity", {}),
    "one_hot": ("OneHot", {"indices": "x", "depth": "num_classes"}), "math.cumsum": ("Cumsum", {}),
    "math.argmax": ("Argmax", {"input": "x"}), "math.argmin": ("Argmin", {"input": "x"}),
    "pad": ("Pad", {"tensor": "x", "paddings": "pad_width"}),
    "compat.v1.pad": ("Pad", {"tensor": "x", "paddings": "pad_width"}),
    "ones_like": ("OnesLike", {"input": "x"}), "zeros_like": ("ZerosLike", {"input": "x"}),
}
# Arguments that change nothing at the value given.
_IDLE: dict[str, tuple[Any, ...]] = {
    "name": (), "conjugate": (False,), "validate_indices": (), "batch_dims": (0,), "reduction_indices": (None,),
    "optimize": (),
    "a_is_sparse": (False,), "b_is_sparse": (False,),
    "grad_a": (False,), "grad_b": (False,), "num": (None,)}


@maps("SlicingOpLambda")
def slicing(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """x[slice_spec]."""
    arguments.read.add("slice_spec")
    if layer.config.get("function", "__operators__.getitem") != "__operators__.getitem":
        raise UnsupportedError(f"{layer}: the function {layer.config['function']!r:.80} is not supported; supported: "
                               "__operators__.getitem")
    spec = arguments.kwargs.get("slice_spec")
    key = [_index(layer, entry) for entry in spec] if isinstance(spec, list) else _index(layer, spec)
    if arguments.x[0].sizes is not None:
        return [part_of_shape(context.builder, layer, arguments.x[0], key)]
    return _call(context, layer, "GetItem", [arguments.x[0]], {"key": key})


def _index(layer: Layer, entry: Any) -> Any:
    """One axis' part of an index as Python has it."""
    if entry is None or type(entry) is int:
        return entry
    if isinstance(entry, dict) and entry.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(entry, dict) and set(entry) == {"start", "stop", "step"}:
        return slice(*(bound_of(entry[key]) for key in ("start", "stop", "step")))
    raise UnsupportedError(f"{layer}: the index {entry!r:.80} is not supported; supported: constant numbers and slices")


@maps("TFOpLambda", mask=OWN)                          # what the operation does to it
def function(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    called = layer.get("function", str)
    if called == "math.l2_normalize":
        return [_l2_normalized(context, layer, arguments)]
    if called == "math.squared_difference":
        subtract = Settings({"function": "math.subtract"})
        apart = Layer(layer.name, layer.kind, subtract, f"{layer.where}/apart", layer.path)
        difference, = function(context, apart, arguments)
        return _call(context, layer, "Square", [difference], {})
    if called in ("shape", "compat.v1.shape"):
        return [shape_of(context, layer, arguments)]
    if called in FILLED:
        return [filled(context, layer, arguments, called)]
    if called not in _FUNCTIONS:
        known = ", ".join(sorted({*_FUNCTIONS, *FILLED, "math.l2_normalize", "math.squared_difference", "shape"}))
        raise UnsupportedError(f"{layer}: TensorFlow's function {called!r:.80} is not supported; supported: {known}")
    kind, renamed = _FUNCTIONS[called]
    arguments.read |= {*range(len(arguments.args)), *arguments.kwargs}
    args, kwargs = list(arguments.args), {}
    for key, value in arguments.kwargs.items():
        if key not in _IDLE or _IDLE[key] and value not in _IDLE[key]:
            kwargs[renamed.get(key, key)] = value
    args, kwargs = _written_out(context, kind, args, kwargs)
    return _call(context, layer, kind, args, _SPECIAL[kind](layer, args, kwargs) if kind in _SPECIAL else kwargs)


def _written_out(context: Context, kind: str, args: list[Any], kwargs: dict[str, Any]
                 ) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, operands that are written out as lists as arrays: of the type of the other operand, or
    of their own, where there is none."""
    choosing = kind in ("Where", "Take")            # by the first argument, or places: of a type that says nothing
    operands = list(kwargs.values()) if not choosing else [kwargs[key] for key in ("x1", "x2") if key in kwargs]
    other = next((value.dtype for value in [*([] if choosing else args), *operands] if isinstance(value, Tensor)), "")

    def array(value: Any) -> Any:
        kinds = {type(leaf) for leaf in flatten(value)} if isinstance(value, list) else set()
        if not kinds or not kinds <= {int, float, bool}:
            return value
        own = "bool" if kinds == {bool} else "int32" if float not in kinds else context.builder.float_type
        return array_of(value, other or own)

    return [*map(array, args[:1]), *args[1:]], {key: array(value) if key in ("x1", "x2", "x") else value
                                                for key, value in kwargs.items()}


def _l2_normalized(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """x / sqrt(max(the sum of its squares, epsilon))."""
    builder, name = context.builder, layer.where
    x = builder.as_float(arguments.x[0], name)
    axis = arguments.setting(layer, "axis", 1)
    epsilon = arguments.setting(layer, "epsilon", 2, 1e-12)
    arguments.read |= {"name", "dim"}
    if arguments.kwargs.get("dim") is not None:
        raise UnsupportedError(f"{layer} with dim is not supported; supported: axis")
    least = operand(layer, epsilon, x)
    if isinstance(least, Tensor):
        raise UnsupportedError(f"{layer} with a computed epsilon is not supported; supported: a number")
    return of_norm_one(builder, name, x, axes_given(layer, axis, x.rank), least)


def _call(context: Context, layer: Layer, kind: str, args: list[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    operation = Layer(layer.name, f"ops.{kind}", Settings(), layer.where, layer.path)
    return apply(context, operation, args, kwargs)


def _operands(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Two operands in order, the first of which may be a constant; TensorFlow divides whole numbers as float64."""
    args += [kwargs.pop(key) for key in ("x1", "x2") if key in kwargs]
    whole = any(isinstance(value, Tensor) and not value.dtype.startswith("float") for value in args)
    if whole and _FUNCTIONS[layer.get("function", str)][0] == "TrueDivide":
        raise UnsupportedError(f"{layer} of whole numbers is not supported; supported: floating-point tensors")
    return kwargs


def _matmul(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    for side in "ab":                                          # of real numbers the adjoint is the transpose
        if kwargs.pop(f"adjoint_{side}", False):
            kwargs[f"transpose_{side}"] = True
    if kwargs.get("output_type", 0) is None:
        kwargs.pop("output_type")
    return _operands(layer, args, kwargs)


def _softmax(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    axis = kwargs.pop("dim", None)
    kwargs["axis"] = -1 if kwargs.get("axis", axis) is None else kwargs.get("axis", axis)
    return kwargs


def _leaky(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in kwargs.items() if key != "alpha"},
            "negative_slope": kwargs.get("alpha", 0.2)}


def _gelu(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"approximate": False, **kwargs}                    # keras.ops approximates unless told not to


def _sections(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Sizes of parts as the places where they end."""
    given = kwargs.get("indices_or_sections")
    if isinstance(given, list):
        if not all(type(size) is int and size >= 0 for size in given):
            raise UnsupportedError(f"{layer} into {given!r:.80} is not supported; supported: a number, or known sizes")
        kwargs["indices_or_sections"] = list(accumulate(given))[:-1]
    return kwargs


def _places(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "int64", "axis": 0, **kwargs}


def _one_hot(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Ones among zeros, of the type of these two where no other is given."""
    on, off = kwargs.pop("on_value", None), kwargs.pop("off_value", None)
    if on not in (None, 1) or off not in (None, 0):
        raise UnsupportedError(f"{layer} of {on!r:.40} among {off!r:.40} is not supported; supported: 1 among 0")
    given = off if on is None else on
    if kwargs.get("dtype") is None and given is not None:
        kwargs["dtype"] = {bool: "bool", int: "int32", float: "float32"}[type(given)]
    if kwargs.get("axis", -1) is None:
        kwargs.pop("axis")
    return kwargs


def _ordered(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    if kwargs.pop("direction", "ASCENDING") != "ASCENDING":
        raise UnsupportedError(f"{layer} from the greatest on is not supported; supported: direction='ASCENDING'")
    kwargs.pop("stable", None)                              # equal ones stay in order in any case
    return kwargs


def _norm(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    order = kwargs.pop("ord", "euclidean")
    return {**_reduced(layer, args, kwargs), "ord": 2 if order == "euclidean" else order}


def _target(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**kwargs, "newshape": target_shape(layer, args[0], kwargs.get("newshape"))}


def _same(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key != "shape"}         # a check, not a change


def _pad(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**kwargs, "mode": str(kwargs.get("mode", "CONSTANT")).lower()}


def _taken(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """tf.gather takes along the first axis unless told otherwise."""
    if kwargs.get("axis") is None:
        kwargs["axis"] = 0
    return kwargs


def _reduced(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    if layer.config.get("function") == "math.reduce_mean" and not args[0].dtype.startswith("float"):
        raise UnsupportedError(f"{layer} of whole numbers is not supported: TensorFlow rounds their mean down; "
                               "supported: floating-point tensors")
    if kwargs.get("keepdims", False) is None:
        kwargs.pop("keepdims")
    return kwargs


_SPECIAL: dict[str, Callable[[Layer, list[Any], dict[str, Any]], dict[str, Any]]] = {
    **{kind: _operands for kind, renamed in _FUNCTIONS.values() if set(renamed.values()) == {"x1", "x2"}
       and kind not in ("Where",)},
    **{kind: _reduced for kind, renamed in _FUNCTIONS.values() if renamed is _REDUCED},
    "Matmul": _matmul, "Softmax": _softmax, "LogSoftmax": _softmax, "LeakyRelu": _leaky, "Gelu": _gelu,
    "Split": _sections, "Argmax": _places, "Argmin": _places, "OneHot": _one_hot, "Pad": _pad, "Take": _taken,
    "Sort": _ordered, "Argsort": _ordered, "Norm": _norm, "Reshape": _target, "Identity": _same,
    "TopK": lambda layer, args, kwargs: {"k": 1, **kwargs}}
