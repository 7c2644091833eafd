"""Operators with an axis, given a value of no axes: refused at load, as ONNX Runtime refuses them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ZERO = np.array(0)
CASES = {
    "Concat": (node("Concat", "x x", "y", axis=0), {}),
    "Concat from the end": (node("Concat", "x", "y", axis=-1), {}),
    "Gather": (node("Gather", "x i", "y", axis=0), {"i": ZERO}),
    "Gather of many": (node("Gather", "x i", "y"), {"i": np.array([0, 0])}),
    "Softmax": (node("Softmax", "x", "y"), {}),
    "LogSoftmax": (node("LogSoftmax", "x", "y", axis=0), {}),
    "Split": (node("Split", "x", "y", axis=0, num_outputs=1), {}),
    "ArgMax": (node("ArgMax", "x", "y", axis=0), {}),
    "TopK": (node("TopK", "x k", "y i", axis=0), {"k": np.array([1])}),
    "LayerNormalization": (node("LayerNormalization", "x s", "y", axis=0), {"s": np.ones((), np.float32)}),
    "Slice": (node("Slice", "x i k", "y"), {"i": np.array([0]), "k": np.array([1])}),
    "ReduceSum": (node("ReduceSum", "x a", "y"), {"a": np.array([0])}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("made", [False, True])
def test_an_axis_of_a_value_that_has_none(name, made):
    """`made`: the value comes from a node before, which may be followed as a view."""
    step, tensors = CASES[name]
    before = [node("Squeeze", "z", "x")] if made else []
    source = model([*before, step], {"z" if made else "x": (1, 1) if made else ()}, "y", tensors)
    with pytest.raises(Exception, match="(?i)axis|rank"):
        runtime_outputs(source, {"z" if made else "x": np.ones((1, 1) if made else (), np.float32)})
    with pytest.raises(le.FormatError, match=r"ax[ei]s"):
        le.convert(source)
