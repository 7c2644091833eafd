"""Constants that an operator cannot be made of: refused when the file is read, as ONNX Runtime refuses file or run."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAN = np.array(np.nan, np.float32)
X = np.ones((2, 3), np.float32)
# A node of x [2, 3], its constants, and what the refusal says.
CASES = {
    "Range to NaN": (node("Range", "zero nan one", "y"), {"zero": np.float32(0), "nan": NAN, "one": np.float32(1)},
                     "NaN|nan"),
    "OneHot of NaN": (node("OneHot", "ids nan values", "y"),
                      {"ids": np.array([0, 1]), "nan": NAN, "values": np.array([0, 1], np.float32)}, "NaN|nan"),
    "ScatterND at one number": (node("ScatterND", "x at update", "y"), {"at": np.array(0), "update": X[0]},
                                "indices are one number"),
    "Gather at a half": (node("Gather", "x at", "y"), {"at": np.array([0.5], np.float32)}, "must be int32 or int64"),
    "GatherElements at a half": (node("GatherElements", "x at", "y"), {"at": np.zeros((1, 1), np.float32)},
                                 "must be int32 or int64"),
    "ConvTranspose to no channels": (node("ConvTranspose", "x3 w", "y"), {"w": np.zeros((3, 0, 3), np.float32)},
                                     "makes no channels"),
    "CumSum on no axis": (node("CumSum", "x axis", "y"), {"axis": np.array(9)}, "axis 9 is outside"),
    "CumSum on a half": (node("CumSum", "x axis", "y"), {"axis": np.array(0.5, np.float32)}, "must be int32 or int64"),
    "ReverseSequence on no axis": (node("ReverseSequence", "x n", "y", batch_axis=7), {"n": np.array([1, 1])},
                                   "axis 7 is outside"),
}


EMPTY_THERE = "ConvTranspose to no channels"              # which ONNX Runtime gives an array without elements


@pytest.mark.parametrize("name", CASES)
def test_constants_that_do_not_fit(name):
    step, tensors, said = CASES[name]
    inputs = {"x3": (1, 3, 4)} if "x3" in step.input else {"x": (2, 3)}
    keep = [] if "x" in step.input or "x3" in step.input else [node("Identity", "x", "kept")]
    source = model([*keep, step], inputs, "y kept" if keep else "y", tensors)
    arrays = {key: np.ones(shape, np.float32) for key, shape in inputs.items()}
    if name == EMPTY_THERE:
        assert [output.size for output in runtime_outputs(source, arrays).values()][-1] == 0
    else:
        with pytest.raises(Exception):                    # noqa: B017  (of many kinds, none of which has a public name)
            runtime_outputs(source, arrays)
    with pytest.raises(le.LstmEngineError, match=said):
        le.convert(source)
