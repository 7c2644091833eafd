"""`le.load` opens what `le.convert` does, and the other way round."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx_graphs import model as onnx_model
from onnx_graphs import node

import lstm_engine as le


@pytest.fixture
def files(tmp_path):
    """One LSTM as .onnx and .lstm, and as a .lstm file under another name."""
    rng = np.random.default_rng(0)
    weights = {"W": rng.standard_normal((1, 12, 4), np.float32), "R": rng.standard_normal((1, 12, 3), np.float32)}
    graph = onnx_model([node("LSTM", "x W R", "Y Yh", hidden_size=3)], {"x": ("t", "b", 4)}, "Y Yh", weights)
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    model = le.convert(tmp_path / "m.onnx")
    model.save(tmp_path / "m.lstm")
    shutil.copy(tmp_path / "m.lstm", tmp_path / "m.bin")
    x = {name: rng.standard_normal([3 if isinstance(dim, str) else dim for dim in value.shape], np.float32)
         for name, value in model.inputs.items()}
    return tmp_path, x, model.predict(x)


@pytest.mark.parametrize("open_", [le.load, le.convert])
@pytest.mark.parametrize("name", ["m.onnx", "m.lstm", "m.bin"])
def test_either_opens_any(open_, name, files):
    folder, x, wanted = files
    made = open_(folder / name, dtype="float32").predict(x)
    wanted, made = ([y] if isinstance(y, np.ndarray) else list(y.values()) for y in (wanted, made))
    for left, right in zip(wanted, made, strict=True):
        np.testing.assert_array_equal(left, right)


def test_readings_of_weights_do_not_belong_to_a_file_of_ours(files):
    with pytest.raises(le.ArgumentError, match="m.bin is a .lstm file.* pool, order cannot be given"):
        le.convert(files[0] / "m.bin", pool="last", order=["a"])
    with pytest.raises(le.ArgumentError, match="order, example_inputs cannot be given"):
        le.convert(files[0] / "m.lstm", order=np.array(["a", "b"]), example_inputs=np.zeros((2, 3, 4)))


@pytest.mark.parametrize("open_", [le.load, le.convert])
def test_what_is_no_file_is_said(open_, tmp_path):
    with pytest.raises(le.FileError, match="nothing"):
        open_(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(le.FormatError, match="not a checkpoint of a known kind"):
        open_(tmp_path / "text")
