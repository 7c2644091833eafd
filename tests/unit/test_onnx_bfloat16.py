"""bfloat16 in ONNX files: constants that are cast, and what is computed of constants alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node

import lstm_engine as le

onnx = pytest.importorskip("onnx")

RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def bfloat16(name: str, array: np.ndarray) -> Any:
    """A tensor of the upper halves of float32 numbers."""
    bits = np.ascontiguousarray(array, "<f4").view("<u4") >> 16
    return onnx.helper.make_tensor(name, onnx.TensorProto.BFLOAT16, array.shape, bits.astype("<u2").tobytes(), raw=True)


def cut(array: np.ndarray) -> np.ndarray:
    """What those stand for."""
    return (np.ascontiguousarray(array, "<f4").view("<u4") & 0xFFFF0000).view("<f4")


def half_lstm(*casts: Any) -> tuple[Any, dict[str, np.ndarray]]:
    weights = {"W": floats(1, 16, 3), "R": floats(1, 16, 4)}
    source = model([*casts, node("LSTM", "x W R", "y", hidden_size=4)], {"x": (5, "batch", 3)}, "y")
    return source, weights


@pytest.mark.parametrize("field", ["raw_data", "int32_data"])
def test_bfloat16_constants_that_are_cast(field: str, tmp_path: Path) -> None:
    source, weights = half_lstm(*(node("Cast", f"{name}16", name, to=1) for name in "WR"))
    source.graph.initializer.extend(bfloat16(f"{name}16", array) for name, array in weights.items())
    if field == "int32_data":
        for tensor in source.graph.initializer:
            bits = np.frombuffer(tensor.raw_data, "<u2")
            tensor.ClearField("raw_data")
            tensor.int32_data.extend(map(int, bits))
    onnx.save(source, tmp_path / "m.onnx")
    whole = model([node("LSTM", "x W R", "y", hidden_size=4)], {"x": (5, "batch", 3)}, "y",
                  {name: cut(array) for name, array in weights.items()})
    x = floats(5, 2, 3)
    np.testing.assert_array_equal(le.convert(tmp_path / "m.onnx").predict(x), le.convert(whole).predict(x))
    np.testing.assert_array_equal(le.convert(source).predict(x), le.convert(whole).predict(x))


def test_bfloat16_constants_are_computed_with_as_bfloat16() -> None:
    """A product of two of them is rounded to one, half to even, before it is cast; onnx.reference's numbers."""
    a, b = floats(64), floats(64)
    source = model([node("Mul", "a b", "p"), node("Reshape", "p shape", "r"), node("Cast", "r", "k", to=1),
                    node("Add", "x k", "y")], {"x": (8, 8)}, "y", {"shape": np.array([8, 8])})
    source.graph.initializer.extend([bfloat16("a", a), bfloat16("b", b)])
    exact = (cut(a) * cut(b)).view(np.uint32).astype(np.uint64)
    rounded = ((exact + 0x7FFF + (exact >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(le.convert(source).predict(np.zeros((8, 8), np.float32)), rounded.reshape(8, 8))


@pytest.mark.parametrize("nodes, message", [
    ([node("Add", "x b", "y")], "(Add): it computes in bfloat16, in which constants alone may be; cast them to"),
    ([node("Identity", "b", "y")], "output 'y' is bfloat16, which NumPy lacks; cast it to float32 in the model"),
    ([node("LSTM", "s b b", "y", hidden_size=1)], "W must be [1, 4, input size], got [4]"),
    ([node("Cast", "x", "y", to=16)], "attribute 'to' is data type 16"),
])
def test_bfloat16_that_is_refused(nodes: list[Any], message: str) -> None:
    source = model(nodes, {"x": ("b", 4), "s": ("t", "b", 1)}, "y")
    source.graph.initializer.append(bfloat16("b", floats(4)))
    with pytest.raises((le.UnsupportedError, le.FormatError)) as caught:
        le.convert(source)
    assert message in str(caught.value)
