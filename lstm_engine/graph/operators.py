"""The closed table of ONNX operators that may surround the recurrent core.

An `Operator` node has ONNX's meaning as of opset 21; importers bring older forms to it (axes as an input,
not an attribute, and so on). Three departures keep every array a constant input and every attribute plain
data: ConstantOfShape takes its fill value (one element) as a second input; Cast's `to` is ONNX's data type
number and `saturate` is unknown; BatchNormalization is inference only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import GraphError, UnsupportedError
from . import operator_rules_shaping, operator_rules_windows  # noqa: F401  (they register their rules)
from .nodes import Operator, Value
from .operator_rules import ANY, infer

REQUIRED = object()     # the default of an attribute that has none


@dataclass(frozen=True)
class OperatorSpec:
    """One row of the table: least and most inputs and outputs, and the attributes with their defaults."""

    name: str
    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def _rows(names: str, least: int, most: int, outputs: tuple[int, int] = (1, 1), **attributes: Any) -> dict:
    return {name: OperatorSpec(name, (least, most), outputs, attributes) for name in names.split()}


_WINDOW: dict[str, Any] = dict(auto_pad="NOTSET", pads=(), strides=(), dilations=())

OPERATORS: dict[str, OperatorSpec] = {
    # Element by element.
    **_rows("Abs Neg Sqrt Exp Log Erf Floor Ceil Round Reciprocal Sign Not Identity IsNaN Sin Cos Tan Asin Acos"
            " Atan Sinh Cosh Relu Sigmoid Tanh Softplus Softsign HardSwish Mish", 1, 1),
    **_rows("Add Sub Mul Div Pow And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual PRelu", 2, 2),
    **_rows("Max Min Sum Mean", 1, ANY),
    **_rows("Mod", 2, 2, fmod=0),
    **_rows("Where", 3, 3),
    **_rows("Clip", 1, 3),
    **_rows("Cast", 1, 1, to=REQUIRED),
    **_rows("CastLike", 2, 2),
    **_rows("IsInf", 1, 1, detect_negative=1, detect_positive=1),
    **_rows("Elu", 1, 1, alpha=1.0),
    **_rows("Celu", 1, 1, alpha=1.0),
    **_rows("LeakyRelu", 1, 1, alpha=0.01),
    **_rows("ThresholdedRelu", 1, 1, alpha=1.0),
    **_rows("Selu", 1, 1, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    **_rows("HardSigmoid", 1, 1, alpha=0.2, beta=0.5),
    **_rows("Gelu", 1, 1, approximate="none"),
    **_rows("Softmax LogSoftmax", 1, 1, axis=-1),
    # Shapes.
    **_rows("Reshape", 2, 2, allowzero=0),
    **_rows("Flatten", 1, 1, axis=1),
    **_rows("Transpose", 1, 1, perm=()),
    **_rows("Squeeze", 1, 2),
    **_rows("Unsqueeze Expand Tile", 2, 2),
    **_rows("Concat", 1, ANY, axis=REQUIRED),
    **_rows("Split", 1, 2, (1, ANY), axis=0, num_outputs=0),
    **_rows("Slice", 3, 5),
    **_rows("Pad", 2, 4, mode="constant"),
    **_rows("Shape", 1, 1, start=0, end=ANY),
    **_rows("Size NonZero", 1, 1),
    **_rows("ConstantOfShape", 1, 2),
    **_rows("Range", 3, 3),
    **_rows("Trilu", 1, 2, upper=1),
    # Indices.
    **_rows("Gather GatherElements", 2, 2, axis=0),
    **_rows("GatherND", 2, 2, batch_dims=0),
    **_rows("ScatterElements", 3, 3, axis=0, reduction="none"),
    **_rows("ScatterND", 3, 3, reduction="none"),
    **_rows("TopK", 2, 2, (1, 2), axis=-1, largest=1, sorted=1),
    **_rows("CumSum", 2, 2, exclusive=0, reverse=0),
    **_rows("OneHot", 3, 3, axis=-1),
    **_rows("ReverseSequence", 2, 2, batch_axis=1, time_axis=0),
    # Reductions.
    **_rows("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum"
            " ReduceLogSumExp", 1, 2, keepdims=1, noop_with_empty_axes=0),
    **_rows("ArgMax ArgMin", 1, 1, axis=0, keepdims=1, select_last_index=0),
    # Products, convolutions, normalizations.
    **_rows("MatMul", 2, 2),
    **_rows("Gemm", 2, 3, alpha=1.0, beta=1.0, transA=0, transB=0),
    **_rows("Einsum", 1, ANY, equation=REQUIRED),
    **_rows("Conv", 2, 3, group=1, kernel_shape=(), **_WINDOW),
    **_rows("ConvTranspose", 2, 3, group=1, kernel_shape=(), output_padding=(), output_shape=(), **_WINDOW),
    **_rows("MaxPool", 1, 1, kernel_shape=REQUIRED, ceil_mode=0, storage_order=0, **_WINDOW),
    **_rows("AveragePool", 1, 1, kernel_shape=REQUIRED, ceil_mode=0, count_include_pad=0, **_WINDOW),
    **_rows("GlobalAveragePool GlobalMaxPool", 1, 1),
    **_rows("BatchNormalization", 5, 5, epsilon=1e-5, momentum=0.9, training_mode=0),
    **_rows("LayerNormalization", 2, 3, (1, 3), axis=-1, epsilon=1e-5, stash_type=1),
    **_rows("InstanceNormalization", 3, 3, epsilon=1e-5),
    **_rows("GroupNormalization", 3, 3, epsilon=1e-5, num_groups=REQUIRED, stash_type=1),
}

# The types of the attributes, by name: the others are ints.
_TUPLES = frozenset({"kernel_shape", "perm", "pads", "strides", "dilations", "output_padding", "output_shape"})
_FLOATS = frozenset({"alpha", "beta", "gamma", "epsilon", "momentum"})
_STRINGS = frozenset({"auto_pad", "mode", "equation", "reduction", "approximate"})
_CHOICES = {
    "auto_pad": ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "mode": ("constant", "reflect", "edge", "wrap"),
    "reduction": ("none", "add", "mul", "max", "min"),
    "approximate": ("none", "tanh"),
    "training_mode": (0,),
    "storage_order": (0,),
    "stash_type": (1,),
}


def supported_operators() -> str:
    """The names of the table, for messages."""
    return ", ".join(sorted(OPERATORS))


def _well_typed(name: str, value: Any) -> bool:
    if name in _TUPLES:
        return isinstance(value, tuple) and all(type(v) is int for v in value)
    if name in _FLOATS:
        return type(value) in (float, int)
    return isinstance(value, str) if name in _STRINGS else type(value) is int


def operator_attributes(node: Operator) -> dict[str, Any]:
    """The attributes of `node` with the defaults filled in.

    Raises UnsupportedError for an operator, attribute or choice that is not in the table, GraphError for a
    missing attribute, one of a wrong type, or a wrong number of inputs or outputs.
    """
    where = f"node {node.name!r} ({node.op_type})"
    spec = OPERATORS.get(node.op_type)
    if spec is None:
        raise UnsupportedError(f"node {node.name!r}: operator {node.op_type!r} is not supported; "
                               f"supported around the recurrent layers: {supported_operators()}")
    for what, names, (least, most) in (("inputs", node.inputs, spec.inputs), ("outputs", node.outputs, spec.outputs)):
        if not least <= len(names) <= most:
            expected = str(least) if least == most else f"{least} to {most}" if most != ANY else f"at least {least}"
            raise GraphError(f"{where} takes {expected} {what}, not {len(names)}")
    missing = [i for i in range(spec.inputs[0]) if not node.inputs[i] and i not in node.constants]
    if missing:
        raise GraphError(f"{where}: input {missing[0]} is missing")
    resolved = dict(spec.attributes)
    for name, value in node.attributes.items():
        if name not in resolved:
            raise UnsupportedError(f"{where}: attribute {name!r} is not supported; "
                                   f"supported: {', '.join(spec.attributes) or 'none'}")
        if not _well_typed(name, value):
            raise GraphError(f"{where}: attribute {name!r} has the wrong type: {value!r}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise UnsupportedError(f"{where}: attribute {name!r} = {value!r} is not supported; "
                                   f"supported: {', '.join(map(str, _CHOICES[name]))}")
        resolved[name] = value
    for name, value in resolved.items():
        if value is REQUIRED:
            raise GraphError(f"{where}: attribute {name!r} is missing")
    return resolved


def operator_shapes(node: Operator, inputs: list[Value | None]) -> list[Value]:
    """The outputs of `node` with symbolic shapes.

    inputs: one per position of `node.inputs`, None where it is left out or a constant. A size that is not
    known before the run gets a symbol made from the output's name and axis ("y_1").
    Raises what `operator_attributes` raises, GraphError where shapes cannot fit, UnsupportedError where not
    even the rank is known before the run.
    """
    return infer(node, operator_attributes(node), inputs)
