"""Brings single ONNX nodes to `Operator` nodes, as the tests of the host operators need them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_engine.data_types import DATA_TYPES
from lstm_engine.errors import UnsupportedError
from lstm_engine.graph.nodes import Operator, Value
from lstm_engine.operators import operator_shapes

# Node tests of forms that importers bring to others of the table: training, of which the statistics are operators, and
# an axis that was an attribute.
LEFT_OUT = {"test_batchnorm_example_training_mode", "test_batchnorm_epsilon_training_mode", "test_dft_opset19",
            "test_dft_axis_opset19", "test_dft_inverse_opset19", "test_dft_rfft_opset19", "test_dft_irfft_opset19"}


def as_array(x: Any) -> np.ndarray | None:
    """A value of a node test; None for one of a type that is not this engine's (strings, sequences, float8)."""
    from onnx import numpy_helper

    if hasattr(x, "data_type"):
        if x.data_type not in DATA_TYPES:
            return None
        x = numpy_helper.to_array(x)
    array = None if isinstance(x, (list, dict)) else np.asarray(x)
    return array if array is not None and array.dtype.name in DATA_TYPES.values() else None


def attributes_of(node: Any) -> dict[str, Any]:
    """Attributes as plain data; tensors stay NumPy arrays."""
    from onnx import helper, numpy_helper
    made: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, list):
            value = tuple(value)
        elif hasattr(value, "data_type"):
            value = numpy_helper.to_array(value)
        made[attribute.name] = value
    return made


def as_operator(node: Any, inputs: list[np.ndarray], fixed: bool) -> tuple[Operator, list[np.ndarray | None]]:
    """An `Operator` and its inputs by position; with `fixed` all inputs but the first are constants."""
    attributes = attributes_of(node)
    attributes.pop("saturate", None)            # of the float8 casts, which are not supported
    names = list(node.input)
    given = iter(inputs)
    arrays: list[np.ndarray | None] = [next(given) if name else None for name in names]
    constants = {}
    if "value" in attributes:                   # ConstantOfShape
        names.append("")
        arrays.append(None)
        constants[1] = attributes.pop("value")
    if fixed:
        for i, array in enumerate(arrays):
            if i and array is not None:
                constants[i], arrays[i], names[i] = array, None, ""
    operator = Operator(name=node.name or "n", inputs=tuple(names), outputs=tuple(node.output), op_type=node.op_type,
                        attributes=attributes, constants=constants)
    return operator, arrays


def check_shapes(operator: Operator, inputs: list, outputs: list[np.ndarray]) -> None:
    """What shape inference says before the run must hold after it."""
    values = [None if x is None else Value(f"in_{i}", x.shape, x.dtype.name) for i, x in enumerate(inputs)]
    try:
        inferred = operator_shapes(operator, values)
    except UnsupportedError:
        # Only a rank that depends on an input made by the run may be unknown.
        assert len([x for x in inputs if x is not None]) > 1 or operator.op_type == "Squeeze"
        return
    for value, array in zip((v for v, name in zip(inferred, operator.outputs) if name), outputs, strict=True):
        assert value.dtype == array.dtype.name
        assert len(value.shape) == array.ndim
        assert all(isinstance(dim, str) or dim == size for dim, size in zip(value.shape, array.shape)), value
