"""Sums and products of truth values in ONNX: what ONNX does not define is refused, as ONNX Runtime refuses it."""

import numpy as np
import onnx_graphs
import pytest

pytest.importorskip("onnx")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import FormatError  # noqa: E402


def counted(op, axes):
    made = [onnx_graphs.node("Greater", "x zero", "positive"), onnx_graphs.node(op, "positive axes", "y")]
    return onnx_graphs.model(made, {"x": ("batch", 3)}, "y", {"zero": np.float32(0), "axes": np.array(axes)})


@pytest.mark.parametrize("op, axes", [("CumSum", 1), ("ReduceSum", [1]), ("ReduceMean", [1]), ("ReduceProd", [1])])
def test_truth_values_are_not_counted(op, axes):
    """torch's older exporter writes `(x > 0).cumsum(1)` so; NumPy gives truth values for it, torch numbers."""
    with pytest.raises(FormatError, match=rf"\({op}\): input 0 must be numbers, got bool; cast it first"):
        le.convert(counted(op, axes).SerializeToString())


def test_whether_any_is_true_is_known():
    model = le.convert(counted("ReduceMax", [1]).SerializeToString())
    assert model.predict(np.array([[1, -1, 0], [-1, -1, 0]], np.float32)).tolist() == [[True], [False]]
