"""Operators that touch the features of a step alone, beside ONNX Runtime: with lengths, lists and streams.

Each row is the right one if it is what the same sequence gives by itself, cut to its length; what stands behind its end
is NaN. A layer's own order of axes is [time, batch, features], so an operator is met in either order of an array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FEATURES, HIDDEN = 5, 6
LENGTHS = [4, 2, 7]
RNG = np.random.default_rng(20)
LAST = np.array([-1])


@dataclass(frozen=True)
class Case:
    """Nodes that make "o" of "s" [.., .., HIDDEN], in an opset. features: those of the result, 0 for an axis less."""

    nodes: list
    tensors: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    features: int = HIDDEN


def one(op: str, *arrays: Any, outputs: str = "o", opset: int = 17, features: int = HIDDEN, **attributes: Any) -> Case:
    names = [f"t{i}" if array is not None else "-" for i, array in enumerate(arrays)]
    tensors = {name: np.asarray(array) for name, array in zip(names, arrays) if array is not None}
    return Case([node(op, " ".join(["s", *names]), outputs, **attributes)], tensors, opset, features)


def layer_normalization() -> Case:
    """As exporters write it before opset 17."""
    scale, shift = RNG.normal(size=(2, HIDDEN)).astype(np.float32)
    return Case([node("ReduceMean", "s", "mean", axes=[-1]), node("Sub", "s mean", "centred"),
                 node("Pow", "centred two", "squares"), node("ReduceMean", "squares", "variance", axes=[-1]),
                 node("Add", "variance epsilon", "above"), node("Sqrt", "above", "deviation"),
                 node("Div", "centred deviation", "normal"), node("Mul", "normal scale", "scaled"),
                 node("Add", "scaled shift", "o")],
                {"two": np.float32(2), "epsilon": np.float32(1e-5), "scale": scale, "shift": shift}, 14)


CASES = {
    **{op.lower(): one(op, opset=18) for op in ("Celu", "Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Mish", "Asinh",
                                                           "Atanh", "Shrink", "Hardmax")},
    "is nan": Case([node("Sqrt", "s", "root"), node("IsNaN", "root", "o")]),
    "is inf": Case([node("Relu", "s", "above"), node("Log", "above", "log"), node("IsInf", "log", "o")], opset=20),
    "cast like": one("CastLike", np.zeros((2, 3))),
    "cast like x": Case([node("CastLike", "s x", "o")]),
    "and": Case([node("Greater", "s zero", "a"), node("Less", "s some", "b"), node("And", "a b", "o")],
                {"zero": np.float32(0), "some": np.full(HIDDEN, 0.1, np.float32)}),
    "where": Case([node("Greater", "s zero", "a"), node("Where", "a s some", "o")],
                  {"zero": np.float32(0), "some": np.arange(HIDDEN, dtype=np.float32)}),
    "sum": one("Sum", np.arange(HIDDEN, dtype=np.float32)),
    "reduce mean": one("ReduceMean", opset=14, features=1, axes=[-1]),
    "reduce mean, axis 2, dropped": one("ReduceMean", opset=14, features=0, axes=[2], keepdims=0),
    "reduce max": one("ReduceMax", LAST, opset=18, features=1),
    "reduce max, dropped": one("ReduceMax", LAST, opset=18, features=0, keepdims=0),
    "reduce l2": one("ReduceL2", LAST, opset=18, features=1),
    "arg max": one("ArgMax", features=1, axis=-1),
    "arg max, axis 2, dropped": one("ArgMax", features=0, axis=2, keepdims=0),
    "top k": one("TopK", [3], outputs="o i", features=3),
    "top k, where": one("TopK", [3], outputs="v o", features=3, axis=2),
    "slice": one("Slice", [1], [4], [-1], features=3),
    "slice, every second": one("Slice", [0], [2**31], [2], [2], features=3),
    "slice, backwards": one("Slice", [-1], [-2**31], [2], [-1]),
    "pad": one("Pad", [0, 0, 1, 0, 0, 2], features=HIDDEN + 3),
    "pad, the last axis": one("Pad", [1, 2], None, [2], opset=18, features=HIDDEN + 3),
    "pad, reflected": one("Pad", [0, 0, 1, 0, 0, 2], features=HIDDEN + 3, mode="reflect"),
    "cumulative sum": one("CumSum", -1),
    "norm of 1": one("LpNormalization", axis=-1, p=1),
    "compress": one("Compress", [True, False, True, True, False, True], features=4, axis=2),
    "quantized": Case([node("QuantizeLinear", "s scale zero", "q"), node("DequantizeLinear", "q scale zero", "o")],
                      {"scale": np.float32(0.01), "zero": np.int8(3)}),
    "integers": Case([node("QuantizeLinear", "s scale zero", "q"), node("MatMulInteger", "q k zero", "m"),
                      node("Cast", "m", "o", to=1)],
                     {"scale": np.float32(0.01), "zero": np.uint8(128),
                      "k": np.arange(12, dtype=np.uint8).reshape(6, 2)}, features=2),
    "product of quantized": Case([node("QuantizeLinear", "s scale zero", "q"),
                                  node("QLinearMatMul", "q scale zero k each zeros wide zero", "m"),
                                  node("DequantizeLinear", "m wide zero", "o")],
                                 {"scale": np.float32(0.01), "zero": np.uint8(128), "each": np.float32([0.01, 0.02]),
                                  "zeros": np.uint8([7, 7]), "wide": np.float32(0.03),
                                  "k": np.arange(12, dtype=np.uint8).reshape(6, 2)}, features=2),
    "root mean square": one("RMSNormalization", np.arange(HIDDEN, dtype=np.float32), opset=23, axis=-1),
    "layer normalization, opset 14": layer_normalization(),
    "layer normalization, opset 17": one("LayerNormalization", np.arange(HIDDEN, dtype=np.float32), axis=-1),
}


def lstm(number: int, x: str, y: str, features: int) -> tuple[list, dict[str, np.ndarray]]:
    """An LSTM [time, batch, features] -> [time, batch, HIDDEN], and its weights."""
    sizes = {"W": (1, 4 * HIDDEN, features), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN)}
    weights = {f"{name}{number}": RNG.normal(scale=0.4, size=size).astype(np.float32) for name, size in sizes.items()}
    return [node("LSTM", " ".join([x, *weights]), f"Y{number}", hidden_size=HIDDEN),
            node("Squeeze", f"Y{number} first", y)], weights


def built(case: Case, batch_first: bool, between: bool) -> Any:
    """LSTM, the case, and, if that stands between, another LSTM. What goes in and what the case is given: in either
    order of axes."""
    nodes, weights = lstm(0, "xt" if batch_first else "x", "t", FEATURES)
    if batch_first:
        nodes = [node("Transpose", "x", "xt", perm=[1, 0, 2]), *nodes, node("Transpose", "t", "s", perm=[1, 0, 2])]
    else:
        nodes.append(node("Identity", "t", "s"))
    nodes += case.nodes
    tensors = {**weights, **case.tensors, "first": np.array([1])}
    if between:
        nodes.append(node("Cast", "o", "f", to=1))
        if batch_first:
            nodes.append(node("Transpose", "f", "ft", perm=[1, 0, 2]))
        more, weights = lstm(1, "ft" if batch_first else "f", "y", case.features)
        nodes, tensors = nodes + more, tensors | weights
    axes = ("batch", "time") if batch_first else ("time", "batch")
    return model(nodes, {"x": (*axes, FEATURES)}, "y" if between else "o", tensors, case.opset)


@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize("name, between", [(name, between) for name, case in CASES.items() for between in (False, True)
                                           if case.features or not between])
def test_features_only(name: str, between: bool, batch_first: bool) -> None:
    case = CASES[name]
    source = built(case, batch_first, between)
    sequences = [RNG.normal(size=(length, FEATURES)).astype(np.float32) for length in LENGTHS]
    rows = 0 if batch_first and not between else 1              # the axis of the rows in the output
    alone = []
    for x in sequences:         # as written: where ONNX Runtime moves a Transpose behind a Pad of some axes it fails
        made, = runtime_outputs(source, {"x": x[None] if batch_first else x[:, None]}, as_written=True).values()
        alone.append(made.take(0, rows))
    padded = np.full((len(LENGTHS), max(LENGTHS), FEATURES), np.nan, np.float32)
    for row, x in zip(padded, sequences):
        row[:len(x)] = x
    ours = le.convert(source)

    def compare(made: np.ndarray, right: np.ndarray, way: str) -> None:
        assert made.dtype == right.dtype, way
        np.testing.assert_allclose(made, right, rtol=1e-5, atol=2e-6, err_msg=way)

    y = ours.predict(padded if batch_first else padded.swapaxes(0, 1), lengths=LENGTHS)
    for row, right in enumerate(alone):
        compare(y.take(row, rows)[:len(right)], right, "lengths")
    for made, right in zip(ours.predict(sequences), alone, strict=True):
        compare(made, right, "a list")
    with ours.stream(batch=1) as stream:
        compare(np.concatenate([stream.step(step[None]) for step in sequences[2]]), alone[2], "a stream")
