"""Quantised ONNX files: what ONNX Runtime's quantiser writes, and its own operators of whole numbers, against it.

Its products of uint8 and int8 are exact only where the CPU has VNNI; without, sums of pairs of 16 bits may saturate, so
weights stay in 7 bits here.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings("ignore:as the file says:UserWarning")      # what depends on the whole batch

MICROSOFT = "com.microsoft"
RNG = np.random.default_rng(3)


def floats(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def own(op: str, *arrays: np.ndarray | None, outputs: str = "y", **attributes: Any) -> tuple[Any, dict[str, Any]]:
    """A model of one operator of com.microsoft on its inputs, and what they are fed."""
    names = ["-" if array is None else f"x{i}" for i, array in enumerate(arrays)]
    feeds = {f"x{i}": array for i, array in enumerate(arrays) if array is not None}
    inputs = {name: (array.dtype.name, array.shape) for name, array in feeds.items()}
    return model([node(op, " ".join(names), outputs, domain=MICROSOFT, **attributes)], inputs, outputs,
                 domains={MICROSOFT: 1}), feeds


def results(made: Any, feeds: dict[str, Any]) -> list[np.ndarray]:
    found = made.predict(feeds)
    return list(found.values()) if isinstance(found, dict) else [found]


# ---- whole models ---------------------------------------------------------------------------------------------------

IDS = RNG.integers(0, 30, (3, 9))


def network(op: str, direction: str) -> Any:
    """ids [batch, time] -> table, convolution over time, a recurrent layer, a product, a sigmoid."""
    gates, dirs, hidden = {"LSTM": 4, "GRU": 3}[op], 1 + (direction == "bidirectional"), 12
    weights = {"table": floats(30, 8), "k": floats(8, 8, 3, scale=0.2), "c": floats(8),
               "W": floats(dirs, gates * hidden, 8), "R": floats(dirs, gates * hidden, hidden, scale=0.4),
               "B": floats(dirs, 2 * gates * hidden),
               "fc": floats(dirs * hidden, 5), "b": floats(5), "flat": np.array([0, 0, -1])}
    return model([node("Gather", "table ids", "e"), node("Transpose", "e", "et", perm=[0, 2, 1]),
                  node("Conv", "et k c", "v", pads=[1, 1]), node("Relu", "v", "r"),
                  node("Transpose", "r", "x", perm=[2, 0, 1]),
                  node(op, "x W R B", "h", hidden_size=hidden, direction=direction),
                  node("Transpose", "h", "ht", perm=[2, 0, 1, 3]), node("Reshape", "ht flat", "hr"),
                  node("MatMul", "hr fc", "m"), node("Add", "m b", "a"), node("Sigmoid", "a", "y")],
                 {"ids": ("int64", ("batch", "time"))}, "y", weights, opset=17)


class Reader:
    """What ONNX Runtime's calibration reads."""

    def __init__(self) -> None:
        self.left = [{"ids": np.roll(IDS, shift, 0)} for shift in range(3)]

    def get_next(self) -> Any:
        return self.left.pop() if self.left else None


def written(tmp_path: Path, source: Any, how: str, activations: str, weights: str, per_channel: bool) -> Path:
    quantization = pytest.importorskip("onnxruntime.quantization")
    types = {name: getattr(quantization.QuantType, name) for name in ("QInt8", "QUInt8", "QInt16", "QUInt16")}
    file = tmp_path / "q.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "dynamic":
            quantization.quantize_dynamic(source, file, per_channel=per_channel, reduce_range=True,
                                          weight_type=types[weights])
        else:
            quantization.quantize_static(source, file, Reader(), quant_format=getattr(quantization.QuantFormat, how),
                                         activation_type=types[activations], weight_type=types[weights],
                                         per_channel=per_channel, reduce_range=True)
    return file


KINDS = [("dynamic", "", "QInt8"), ("dynamic", "", "QUInt8"), ("QDQ", "QUInt8", "QInt8"), ("QDQ", "QInt8", "QInt8"),
         ("QDQ", "QUInt16", "QInt8"), ("QDQ", "QInt16", "QInt16"), ("QOperator", "QUInt8", "QInt8"),
         ("QOperator", "QUInt8", "QUInt8"), ("QOperator", "QInt8", "QInt8")]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("op, direction", [("LSTM", "forward"), ("LSTM", "bidirectional"), ("GRU", "reverse")])
@pytest.mark.parametrize("how, activations, weights", KINDS)
def test_models_of_the_quantiser(tmp_path: Path, how: str, activations: str, weights: str, op: str, direction: str,
                                 per_channel: bool) -> None:
    file = written(tmp_path, network(op, direction), how, activations, weights, per_channel)
    made = le.convert(file)
    # As written: what its optimiser fuses of 16 bits it computes with fewer.
    theirs = runtime_outputs(onnx.load(file), {"ids": IDS}, as_written=True)["y"]
    ours, = results(made, {"ids": IDS})
    steps = 65535 if "16" in activations else 255
    # Last bits of a layer's float32 numbers differ between engines, and where one stands near a half, the next whole
    # number is another: a step of one of `steps`, then less than two of the result after a product and a sigmoid.
    assert np.abs(ours - theirs).max() <= 2 / steps
    assert (np.abs(ours - theirs) <= 1e-5).mean() >= 0.9
    assert ("stored_as_integers" in made.graph.metadata) == (how == "QDQ")
    for again in (pickle.loads(pickle.dumps(made)), le.load(made.save(tmp_path / "m.lstm") or tmp_path / "m.lstm")):
        np.testing.assert_array_equal(results(again, {"ids": IDS})[0], ours)


# ---- single operators -----------------------------------------------------------------------------------------------

A, B2 = (RNG.integers(0, 256, (2, 3, 6, 8)).astype(np.uint8) for _ in "ab")
S, S2, S3 = (np.array(value, np.float32) for value in (0.0213, 0.0137, 0.0307))
Z, Z2, Z3 = (np.array(value, np.uint8) for value in (120, 7, 90))
SIGNED, ZERO = A.view(np.int8), np.array(-3, np.int8)
GEMM = RNG.integers(0, 256, (4, 6)).astype(np.uint8), RNG.integers(0, 128, (6, 5)).astype(np.uint8)
EACH, ZEROS = np.abs(floats(5, scale=0.01)) + np.float32(0.01), np.full(5, 7, np.uint8)
BIAS = RNG.integers(-9999, 9999, 5).astype(np.int32)
MASK = RNG.integers(0, 2, (2, 3, 6, 8)).astype(bool)
LINEAR = {
    "add": own("QLinearAdd", A, S, Z, B2, S2, Z2, S3, Z3), "mul": own("QLinearMul", A, S, Z, B2, S2, Z2, S3, Z3),
    "add signed": own("QLinearAdd", SIGNED, S, ZERO, B2.view(np.int8), S2, ZERO, S3, ZERO),
    "add broadcast": own("QLinearAdd", A, S, Z, B2[0, 0, 0], S2, Z2, S3, Z3),
    "sigmoid": own("QLinearSigmoid", A, S, Z, np.array(1 / 256, np.float32), np.array(0, np.uint8)),
    "leaky": own("QLinearLeakyRelu", A, S, Z, S3, Z3, alpha=0.2),
    "mean": own("QLinearGlobalAveragePool", A, S, Z, S2, Z2),
    "window": own("QLinearAveragePool", A, S, Z, S2, Z2, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1]),
    "softmax": own("QLinearSoftmax", A, S, Z, np.array(1 / 256, np.float32), np.array(0, np.uint8), axis=-1, opset=13),
    "where": own("QLinearWhere", MASK, A, S, Z, B2, S2, Z2, S3, Z3),
    "concat": own("QLinearConcat", S3, Z3, A, S, Z, B2, S2, Z2, axis=2),
    "gemm": own("QGemm", GEMM[0], S, Z, GEMM[1], EACH, ZEROS, BIAS, np.array(2.5, np.float32), Z3, alpha=0.5),
    "gemm transposed": own("QGemm", GEMM[0].T.copy(), S, Z, GEMM[1].T.copy(), S2, Z2, None, np.array(1.5, np.float32),
                           Z3, transA=1, transB=1),
    "gemm to floats": own("QGemm", GEMM[0], S, Z, GEMM[1], S2, Z2, BIAS),
    "quantize": own("QuantizeLinear", floats(3, 4), S, Z), "dequantize": own("DequantizeLinear", A, S, Z),
    "quantize 16": own("QuantizeLinear", floats(3, 4, scale=50), S, np.array(-5, np.int16)),
    "dequantize each": own("DequantizeLinear", GEMM[0].T.copy(), np.abs(floats(4)) + np.float32(0.1),
                           np.arange(4).astype(np.uint8), axis=1)}


@pytest.mark.parametrize("case", LINEAR)
def test_operators_of_onnx_runtime(case: str) -> None:
    source, feeds = LINEAR[case]
    theirs, = runtime_outputs(source, feeds).values()
    ours, = results(le.convert(source), feeds)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    # ONNX Runtime multiplies with the inverse of a scale, or rounds entries of a table: a half may go the other way.
    apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if theirs.dtype == np.float32:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    else:
        assert apart.max() <= 1 and (apart > 0).mean() <= 0.02


SCALED = np.full((1, 1), 0.1, np.float32)


@pytest.mark.parametrize("source, message", [
    (own("QLinearAdd", A, S, Z, B2, S2, Z2)[0], "takes 7 to 8 inputs, not 6"),
    (own("QLinearAdd", A, EACH, Z, B2, S2, Z2, S3, Z3)[0], "scale or zero 'x1' of shape [5] is not supported"),
    (own("QLinearConcat", S3, Z3, A, S)[0], "takes a scale, a zero, and three inputs for each part, not 4 inputs"),
    (own("QLinearSoftmax", A, S, Z, S, Z, axis=1, opset=11)[0], "axis 1 of 4 axes in ONNX's version 11 is not supp"),
    (own("QLinearAveragePool", A, S, Z, S, Z, kernel_shape=[1, 1], channels_last=1)[0], "'channels_last' = 1 is not"),
    (own("QGemm", GEMM[0], S, Z, GEMM[1], SCALED, Z2)[0], "'x4' must be one number, or one a column, got shape [1, 1]"),
    (own("QGemm", GEMM[0], S, Z, GEMM[1], S, Z2, floats(5))[0], "input 6 must be int32, got float32"),
])
def test_bad_operators_of_onnx_runtime(source: Any, message: str) -> None:
    with pytest.raises((le.FormatError, le.UnsupportedError)) as caught:
        le.convert(source)
    assert message in str(caught.value)


def plain(op: str, opset: int = 21, attributes: dict[str, Any] | None = None, **constants: Any) -> Any:
    """One of ONNX's operators on x and constants; a tuple is the type and shape of an input instead."""
    inputs = {name: value for name, value in constants.items() if isinstance(value, tuple)}
    tensors = {name: np.asarray(value) for name, value in constants.items() if name not in inputs}
    return model([node(op, " ".join(constants), "y", **(attributes or {}))], inputs, "y", tensors, opset=opset)


X8 = ("uint8", ("b", 4, 6))
W8, F = np.ones((6, 5), np.int8), ("float32", ("b", 4, 6))
CONV = {"x": X8, "xs": S, "xz": Z, "w": np.ones((3, 4, 2), np.int8), "ws": np.ones(3, np.float32),
        "wz": np.zeros(3, np.int8), "ys": S, "yz": Z, "c": np.ones(3, np.int32)}
MATMUL = {"a": X8, "as_": S, "az": Z, "b": W8, "bs": np.ones(5, np.float32), "bz": np.zeros(5, np.int8), "ys": S,
          "yz": Z}


@pytest.mark.parametrize("source, message", [
    (plain("QuantizeLinear", x=F, s=S * 0), "input 1, a scale, holds 0.0; scales are finite and above 0"),
    (plain("QuantizeLinear", x=F, s=-S), "input 1, a scale, holds -0.0213"),
    (plain("DequantizeLinear", x=X8, s=S * np.nan), "input 1, a scale, holds nan"),
    (plain("DequantizeLinear", x=X8, s=S * np.inf), "input 1, a scale, holds inf"),
    (plain("DequantizeLinear", x=X8, s=EACH), "input 1 of shape [5] does not fit axis 1 of ['b', 4, 6]"),
    (plain("DequantizeLinear", x=X8, s=S, z=ZERO), "its zero is int8, its input uint8"),
    (plain("DequantizeLinear", x=X8, s=np.ones((1, 3, 6), np.float32), attributes={"block_size": 2}),
     "input 1 of shape [1, 3, 6] does not fit axis 1 of ['b', 4, 6] in blocks of 2"),
    (plain("QLinearMatMul", **(MATMUL | {"bs": np.ones(4, np.float32)})),
     "input 4 of shape [4] beside [6, 5]; expected one number, or one a column"),
    (plain("QLinearMatMul", **(MATMUL | {"bz": np.zeros(5, np.uint8)})), "input 5 must be int8, got uint8"),
    (plain("QLinearMatMul", **(MATMUL | {"ys": S * 0})), "input 6, a scale, holds 0.0"),
    (plain("QLinearMatMul", **(MATMUL | {"b": W8[:4]})), "the inner sizes 6 and 4 differ"),
    (plain("QLinearConv", **(CONV | {"ws": np.ones(4, np.float32)})), "input 4 must be one number, or 3, got shape"),
    (plain("QLinearConv", **(CONV | {"ys": np.ones(3, np.float32)})), "input 6 must be one number, got shape [3]"),
    (plain("QLinearConv", **(CONV | {"c": np.ones(3, np.float32)})), "input 8 must be int32, got float32"),
    (plain("QLinearConv", **(CONV | {"c": np.ones(2, np.int32)})), "a bias of shape [2] for 3 channels"),
    (plain("QLinearConv", **(CONV | {"xs": -S})), "input 1, a scale, holds -0.0213"),
])
def test_bad_operators_of_onnx(source: Any, message: str) -> None:
    with pytest.raises((le.FormatError, le.UnsupportedError)) as caught:
        le.convert(source)
    assert message in str(caught.value)


@pytest.mark.parametrize("source", [plain("QLinearConv", **CONV), plain("QLinearMatMul", **MATMUL)],
                         ids=["QLinearConv", "QLinearMatMul"])
def test_rows_stay_apart_where_scales_are_in_the_file(source: Any) -> None:
    made, x = le.convert(source), RNG.integers(0, 256, (5, 4, 6)).astype(np.uint8)
    np.testing.assert_array_equal(made.predict(x, batch_size=2), made.predict(x))
    np.testing.assert_array_equal(made.predict(x), runtime_outputs(source, {source.graph.input[0].name: x})["y"])


def test_one_scale_a_row() -> None:
    """By the standard's text; neither ONNX Runtime nor onnx.reference has it. A row alone is a product of one scale."""
    a, scales = RNG.integers(0, 256, (3, 6)).astype(np.uint8), np.array([0.1, 0.02, 0.3], np.float32)
    zeros, ys = np.array([3, 100, 200], np.uint8), np.array([0.5, 0.6, 0.7], np.float32)
    whole = plain("QLinearMatMul", **(MATMUL | {"a": ("uint8", (3, 6)), "as_": scales, "az": zeros, "ys": ys,
                                                "yz": zeros}))
    made = le.convert(whole).predict(a)
    for row in range(3):
        one = MATMUL | {"a": ("uint8", (1, 6)), "as_": scales[row], "az": zeros[row], "ys": ys[row], "yz": zeros[row]}
        source = plain("QLinearMatMul", **one)
        np.testing.assert_array_equal(made[row:row + 1], runtime_outputs(source, {"a": a[row:row + 1]})["y"])


def test_sums_are_those_of_int32() -> None:
    """65,536 products of 255 and 127 are below 2^31: exact. What is beyond it wraps, as the standard lets it."""
    for count, wanted in ((65536, 65536 * 255 * 127), (131072, (131072 * 255 * 127 + 2**31) % 2**32 - 2**31)):
        source = plain("MatMulInteger", a=("uint8", (1, count)), b=np.full((count, 1), 127, np.int8))
        made = le.convert(source).predict(np.full((1, count), 255, np.uint8))
        assert made.item() == wanted
