"""Older versions of ONNX's operators: the same numbers as ONNX Runtime gives for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, imported, kinds, model, node

from lstm_engine.errors import FormatError, UnsupportedError

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
X = {"x": ("batch", 4, 6)}
FEED = {"x": RNG.standard_normal((3, 4, 6)).astype(np.float32)}
# float32 sums of up to 24 terms near 1, against float64.
TOLERANCE = 2e-6


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES: list[tuple[int, list, dict, list]] = [
    (9, [node("Slice", "x", "y", starts=[1, -3], ends=[100, -1], axes=[1, 2])], {}, ["Slice"]),
    (9, [node("Slice", "x", "y", starts=[1], ends=[2])], {}, ["Slice"]),
    (10, [node("Slice", "x s e a", "y")], {"s": ints(1), "e": ints(3), "a": ints(2)}, ["Slice"]),
    (10, [node("Clip", "x", "y", min=-0.5, max=0.5)], {}, ["Clip"]),
    (10, [node("Clip", "x", "y", max=0.25)], {}, ["Clip"]),
    (10, [node("Pad", "x", "y", pads=[0, 1, 0, 0, 0, 2], value=1.5)], {}, ["Pad"]),
    (10, [node("Pad", "x", "y", pads=[0, 0, 2, 0, 0, 1], mode="reflect")], {}, ["Pad"]),
    (11, [node("Unsqueeze", "x", "u", axes=[0]), node("Squeeze", "u", "s", axes=[0]), node("Relu", "s", "y")], {},
     ["Activate"]),
    (11, [node("ReduceSum", "x", "y", axes=[1], keepdims=0)], {}, ["ReduceSum"]),
    (17, [node("ReduceMean", "x", "y", axes=[-1, 1])], {}, ["ReduceMean"]),
    (17, [node("ReduceMax", "x", "y")], {}, ["ReduceMax"]),
    (11, [node("Split", "x", "a y", axis=2, split=[2, 4])], {}, ["Split"]),
    (13, [node("Split", "x", "a y", axis=1)], {}, ["Split"]),
    (18, [node("Split", "x", "a b y", axis=2, num_outputs=3)], {}, ["Split"]),
    (9, [node("TopK", "x", "y i", k=2, axis=1)], {}, ["TopK"]),
    (12, [node("Softmax", "x", "y", axis=1)], {}, ["Reshape", "Activate", "Reshape"]),
    (12, [node("Softmax", "x", "y", axis=2)], {}, ["Activate"]),
    (11, [node("LogSoftmax", "x", "y", axis=-1)], {}, ["Activate"]),
    (13, [node("Softmax", "x", "y", axis=1)], {}, ["Softmax"]),
    (11, [node("Dropout", "x", "d", ratio=0.3), node("Relu", "d", "y")], {}, ["Activate"]),
    (13, [node("Dropout", "x r t", "d -"), node("Relu", "d", "y")], {"r": np.float32(0.5), "t": np.False_},
     ["Activate"]),
    (9, [node("BatchNormalization", "x s b m v", "y", epsilon=1e-3)],
     {n: (RNG.random(4) + 0.5).astype(np.float32) for n in "sbmv"}, ["BatchNormalization"]),
    (9, [node("Gemm", "f k c", "y", transB=1)], {"k": RNG.standard_normal((3, 24)).astype(np.float32),
                                                "c": np.float32([1, 2, 3])}, ["Reshape", "Dense"]),
    (8, [node("Flatten", "x", "y")], {}, ["Reshape"]),
    (9, [node("Upsample", "x s", "y")], {"s": np.float32([1, 1, 2.5])}, ["Resize"]),
    (8, [node("Upsample", "x", "y", scales=[1.0, 2.0, 1.0])], {}, ["Resize"]),
    (10, [node("Resize", "x s", "y", mode="linear")], {"s": np.float32([1, 1, 1.5])}, ["Resize"]),
    (10, [node("Resize", "x s", "y")], {"s": np.float32([1, 0.5, 2])}, ["Resize"]),
    (12, [node("Hardmax", "x", "y", axis=1)], {}, ["Reshape", "Hardmax", "Reshape"]),
    (17, [node("Unsqueeze", "x a", "u"), node("DFT", "u", "y")], {"a": ints(-1)}, ["Unsqueeze", "DFT"]),
    (12, [node("ArgMax", "x", "y", axis=1)], {}, ["ArgMax"]),
    (10, [node("Scatter", "x i u", "y", axis=2)],
     {"i": np.zeros((1, 1, 1), np.int64), "u": np.ones((1, 1, 1), np.float32)}, ["ScatterElements"]),
    (7, [node("Constant", "", "c", value_floats=[1.0]), node("Add", "x c", "y")], {}, ["Add"]),
    (19, [node("AveragePool", "x", "y", kernel_shape=[2], dilations=[2])], {}, ["AveragePool"]),
    (22, [node("LayerNormalization", "x g", "y", axis=-1)], {"g": RNG.standard_normal(6).astype(np.float32)},
     ["LayerNormalization"]),
]


@pytest.mark.parametrize("opset, nodes, tensors, expected", CASES,
                         ids=[f"{case[1][-1].op_type}-{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_older_versions(opset: int, nodes: list, tensors: dict, expected: list) -> None:
    nodes = [node("Flatten", "x", "f"), *nodes] if "f" in nodes[0].input else nodes
    nodes = nodes if opset >= 12 else _constants_by_value(nodes)
    assert kinds(check(model(nodes, X, "y", tensors, opset), FEED, TOLERANCE)) == expected


def _constants_by_value(nodes: list) -> list:
    """Constant nodes as versions before 12 write them."""
    from onnx import helper, numpy_helper
    return [helper.make_node("Constant", [], n.output, name=n.name, value=numpy_helper.from_array(np.float32([1.0])))
            if n.op_type == "Constant" else n for n in nodes]


@pytest.mark.parametrize("opset, nodes, tensors, error, message", [
    (13, [node("Dropout", "x r t", "y")], {"r": np.float32(0.5), "t": np.True_}, UnsupportedError,
     "node 'dropout_y' (Dropout): dropout in training mode is not supported"),
    (11, [node("Dropout", "x", "d m"), node("Cast", "m", "y", to=1)], {}, UnsupportedError,
     "before version 12 it is not said what its mask is"),
    (15, [node("BatchNormalization", "x s b m v", "y", training_mode=7)], {n: np.ones(4, np.float32) for n in "sbmv"},
     UnsupportedError, "attribute 'training_mode' = 7 is not supported"),
    (7, [node("BatchNormalization", "x s b m v", "y", spatial=0)], {n: np.ones(4, np.float32) for n in "sbmv"},
     UnsupportedError, "attribute 'spatial' = 0 is not supported"),
    (15, [node("BatchNormalization", "x s b m v", "y mm vv")],
     {n: np.ones(4, np.float32) for n in "sbmv"}, FormatError, "takes 1 outputs, not 3"),
    (18, [node("GroupNormalization", "x s b", "y", num_groups=2)], {n: np.ones(2, np.float32) for n in "sb"},
     UnsupportedError, "version 18 (scale and bias by group) is not supported"),
    (11, [node("Squeeze", "x a", "y", axes=[0])], {"a": ints(0)}, FormatError,
     "'axes' is given as an attribute and as an input"),
    (11, [node("Upsample", "x s", "y")], {"s": np.ones(3, np.float32)}, UnsupportedError,
     "node 'upsample_y' (Upsample): this operator is not supported"),
    (10, [node("Resize", "x s", "y")], {"s": np.float32([1, 1, 0.6])}, UnsupportedError,
     "version 10 does not say which elements a smaller grid takes"),
])
def test_refused(opset: int, nodes: list, tensors: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        imported(model(nodes, X, "y", tensors, opset))
    assert message in str(caught.value)


def test_softmax_of_a_matrix_of_old_over_symbols() -> None:
    """Its axes from 1 on are one axis, whose size is known only when the model runs."""
    source: Any = model([node("Softmax", "x", "y", axis=1)], {"x": ("batch", "time", 6)}, "y", opset=11)
    check(source, {"x": RNG.standard_normal((2, 7, 6)).astype(np.float32)}, TOLERANCE)
