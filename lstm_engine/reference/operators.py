"""ONNX's operators in float64 through `onnx.reference`, which nobody here wrote.

Numbers are float64 whatever the graph declares, integers and truth values as they are. A Cast rounds to the type that
it names, as the standard says (a clock of 1.7e9 seconds has lost its fractions after a Cast to float32), and its result
is float64 again. What `onnx.reference` lacks or has wrong is in `OWN`, written here from the text of the standard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..data_types import DATA_TYPE_NUMBERS
from ..errors import ArgumentError, MissingDependencyError
from ..graph.nodes import Operator
from ..operators import OPERATORS, operator_attributes
from . import movement, pointwise, rounded, windows

OPSET = 21              # or the version in which ONNX first had the operator or attribute, where that is later
IR_VERSION = 10

def _qlinear_conv(attributes: dict[str, Any], x: np.ndarray, x_scale: np.ndarray, x_zero: np.ndarray, w: np.ndarray,
                  w_scale: np.ndarray, w_zero: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray,
                  bias: np.ndarray | None = None) -> np.ndarray:
    """onnx.reference's Conv of whole numbers, which float64 holds."""
    channels = (-1, *(1,) * (w.ndim - 2))
    given = {name: value for name, value in attributes.items() if value != ()}
    plain = Operator(name="conv", inputs=("x", "w"), outputs=("y",), op_type="Conv", attributes=given)
    wide = x.astype(np.float64) - x_zero.reshape(()), w.astype(np.float64) - w_zero.reshape(-1, 1, *channels[1:])
    sums = _by_onnx(plain, attributes, list(wide))[0] + (0 if bias is None else bias.reshape(channels))
    scale = x_scale.reshape(()) * w_scale.reshape(channels) / y_scale.reshape(())
    return rounded.requantized(sums.astype(np.int64), scale, y_zero.reshape(()))


# Operator -> its own float64 form here, a function of the attributes and the inputs.
OWN: dict[str, Callable[..., Any]] = {
    # The reference computes these in float32: by its table of Erf, constants of float32, or stash_type.
    "Erf": pointwise.erf,
    "Gelu": pointwise.gelu,
    "HardSwish": pointwise.hard_swish,
    "GroupNormalization": pointwise.group_normalization,
    "MeanVarianceNormalization": pointwise.mean_variance_normalization,
    # The reference adds numbers up where the norm is of absolute ones.
    "LpNormalization": pointwise.lp_normalization,
    # A node of ours takes the values of its branches, which have run before it.
    "If": movement.chosen,
    # The reference slices as Python does for a negative step, and cannot cut with negative pads.
    "Pad": movement.pad,
    "Slice": movement.cut,
    # The reference has no ceil_mode beside auto_pad, and fails on uneven pads.
    "AveragePool": windows.average_pool,
    "MaxPool": windows.max_pool,
    # The reference fails on auto_pad VALID with groups.
    "ConvTranspose": windows.transposed_convolution,
    # The reference has one scale for all.
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": rounded.qlinear_matmul,
    # ONNX Runtime's own.
    "DynamicQuantizeLSTM": rounded.dynamic_quantize_lstm,
}

# Operators that round to whole numbers: which, is told in the type that comes, as the result of a Cast is.
ROUNDED = {"QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "QLinearConv", "QLinearMatMul"}


def run_operator(node: Operator, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The outputs of one operator, floats as float64. inputs: one for each of `node.inputs`, None where one is left
    out or a constant.

    Raises ArgumentError where the arrays do not fit, MissingDependencyError without the onnx package.
    """
    attributes = operator_attributes(node)
    given = [node.constants.get(position, array) for position, array in enumerate(inputs)]
    given += [node.constants.get(position) for position in range(len(given), len(node.inputs))]
    change = np.asarray if node.op_type in ROUNDED else _wide
    wide = [array if array is None else change(np.asarray(array)) for array in given]
    try:
        with np.errstate(all="ignore"):
            if node.op_type in OWN:
                own = {"keeps": not node.outputs[0]} if node.op_type == "DynamicQuantizeLSTM" else {}
                made = OWN[node.op_type](attributes, *wide, **own)
            else:
                made = _by_onnx(node, attributes, wide)
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        shapes = ", ".join("none" if x is None else f"{x.dtype}{list(x.shape)}" for x in wide)
        raise ArgumentError(f"node {node.name!r} ({node.op_type}) cannot run on inputs {shapes}: {error}") from error
    several = made if isinstance(made, (list, tuple)) else [made]
    return [_wide(np.asarray(array)) for array in several][:len(node.outputs)]


def jumps(node: Any, inputs: Sequence[Any], dtype: Any) -> float:
    """How far an operator's result may be off because it rounds on the way, where another rounds the other way: in
    units of the last place of 1."""
    if getattr(node, "op_type", "") != "DynamicQuantizeLSTM":
        return 0.0
    return rounded.state_jumps(inputs) / float(np.finfo(dtype).eps)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _by_onnx(node: Operator, attributes: dict[str, Any], inputs: list[np.ndarray | None]) -> list[np.ndarray]:
    given = [array for array in inputs if array is not None]
    if node.op_type == "ConstantOfShape":
        fill = given[1] if len(given) > 1 else np.zeros(1, np.float64)
        return [np.full([int(size) for size in np.ravel(given[0])], fill.reshape(-1)[0])]
    if node.op_type == "CastLike":
        return [given[0].astype(given[1].dtype)]
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    types = tuple(None if array is None else (array.dtype.name, array.ndim) for array in inputs)
    # Attributes that are left as they were are not written: an empty `pads` is none, not one of no axes. Numbers are:
    # the default of an epsilon in ONNX's own tables is a float32.
    written = tuple((name, value) for name, value in sorted(attributes.items()) if isinstance(value, float)
                    or name in node.attributes or value != OPERATORS[node.op_type].attributes[name].default)
    names = tuple(f"y{i}" if name else "" for i, name in enumerate(node.outputs))
    evaluator = _evaluator(node.op_type, written, types, names)
    made = iter(evaluator.run(None, {f"x{i}": array for i, array in enumerate(inputs) if array is not None}))
    return [next(made) if name else np.zeros(0) for name in names]


@lru_cache(maxsize=1024)
def _evaluator(op_type: str, attributes: tuple[tuple[str, Any], ...], types: tuple[tuple[str, int] | None, ...],
               outputs: tuple[str, ...]) -> Any:
    """A model of one node, ready to run."""
    try:
        from onnx import TensorProto, defs, helper
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise MissingDependencyError("the float64 reference runs ONNX's operators through the onnx package: "
                                     "pip install 'lstm-engine[onnx]'") from error
    inputs = [helper.make_tensor_value_info(f"x{i}", DATA_TYPE_NUMBERS[kind[0]], [None] * kind[1])
              for i, kind in enumerate(types) if kind is not None]
    made = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs if name]
    values: dict[str, Any] = {name: list(value) if isinstance(value, tuple) else value for name, value in attributes}
    node = helper.make_node(op_type, ["" if kind is None else f"x{i}" for i, kind in enumerate(types)], list(outputs),
                            **values)
    graph = helper.make_graph([node], "operator", inputs, made)
    newest = defs.get_schema(op_type) if defs.has(op_type) else None
    opset = OPSET
    if newest is not None and not (defs.has(op_type, OPSET)
                                   and values.keys() <= defs.get_schema(op_type, OPSET).attributes.keys()):
        opset = newest.since_version
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
    evaluator = ReferenceEvaluator(model)
    for name, value in attributes:
        if isinstance(value, float):                  # a message holds a float32: an epsilon of Keras has more digits
            setattr(evaluator.rt_nodes_[0], name, value)
    return evaluator
