"""float16 in ONNX models: rounded after each operator as the standard says, by onnx.reference and ONNX Runtime.

ONNX Runtime's CPU provider has few kernels for float16: it computes in float32 and rounds where it must, so that it
agrees within float16's roundings, and has finite numbers where a float16 value in between is infinite.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_engine as le

onnx = pytest.importorskip("onnx")
FLOAT, INT64, HALF, DOUBLE = 1, 7, 10, 11
LAST_PLACE = 2.0 ** -10            # of a float16 between 1 and 2


def model_of(nodes: list[tuple], x: tuple[int, list], outputs: dict[str, int],
             weights: dict[str, np.ndarray] | None = None) -> Any:
    """nodes: (operator, inputs, outputs, attributes)."""
    from onnx import helper, numpy_helper

    made = [helper.make_node(op, names, results, **attributes) for op, names, results, attributes in nodes]
    graph = helper.make_graph(made, "g", [helper.make_tensor_value_info("X", *x)],
                              [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
                              [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def by_reference(model: Any, x: np.ndarray) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, {"X": x})


def by_runtime(model: Any, x: np.ndarray) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": x})


def ours(model: Any, x: np.ndarray, *names: str) -> list[np.ndarray]:
    """By several ways to run, which must have the same bits."""
    converted = le.convert(model)
    made = [converted.predict(x) for _ in range(3)]              # the third is a recorded run
    results = [[each[name] for name in names] if isinstance(each, dict) else [each] for each in made]
    for other in results[1:]:
        for first, again in zip(results[0], other):
            np.testing.assert_array_equal(first, again)
    return results[0]


ROW = np.array([[900.0, 1 / 3, 1e-7, -70000.0, 2049.0]])
EXACT = {
    "a Cast and back": ([("Cast", ["X"], ["h"], {"to": HALF}), ("Cast", ["h"], ["Y"], {"to": FLOAT})],
                        np.float32, FLOAT, {}),
    "a square that overflows": ([("Cast", ["X"], ["h"], {"to": HALF}), ("Mul", ["h", "h"], ["m"], {}),
                                 ("Cast", ["m"], ["Y"], {"to": FLOAT})], np.float32, FLOAT, {}),
    "squares of constants": ([("Mul", ["c", "c"], ["d"], {}), ("Sqrt", ["d"], ["e"], {}),
                              ("Add", ["X", "e"], ["Y"], {})], np.float16, HALF,
                             {"c": np.array([900, 1 / 3, 3, 4, 5], np.float16)}),
    "three sums": ([("Add", ["X", "c"], ["a"], {}), ("Sub", ["a", "X"], ["b"], {}), ("Add", ["b", "b"], ["Y"], {})],
                   np.float16, HALF, {"c": np.full(5, 0.1, np.float16)}),
    "whole numbers": ([("Cast", ["X"], ["h"], {"to": HALF}), ("Cast", ["h"], ["Y"], {"to": DOUBLE})],
                      np.int64, DOUBLE, {}),
    "CastLike": ([("CastLike", ["X", "c"], ["h"], {}), ("Cast", ["h"], ["Y"], {"to": FLOAT})],
                 np.float32, FLOAT, {"c": np.ones(1, np.float16)}),
    "nothing at all": ([("Identity", ["X"], ["Y"], {})], np.float16, HALF, {}),
    "moved": ([("Transpose", ["X"], ["t"], {}), ("Concat", ["t", "t"], ["Y"], {"axis": 1})], np.float16, HALF, {}),
    "compared": ([("Add", ["X", "c"], ["a"], {}), ("Equal", ["a", "X"], ["q"], {}),
                  ("Where", ["q", "X", "c"], ["Y"], {})], np.float16, HALF, {"c": np.full(5, 0.25, np.float16)}),
}


@pytest.mark.parametrize("name", EXACT)
def test_rounded_after_each_operator(name: str) -> None:
    """Single operations of IEEE arithmetic, so the same bits."""
    nodes, dtype, kind, weights = EXACT[name]
    with np.errstate(over="ignore"):
        x = ROW.astype(dtype)
    data_type = {np.float32: FLOAT, np.float16: HALF, np.int64: INT64}[dtype]
    model = model_of(nodes, (data_type, ["batch", 5]), {"Y": kind}, weights)
    wanted, = by_reference(model, x)
    made, = ours(model, x, "Y")
    assert made.dtype == wanted.dtype
    np.testing.assert_array_equal(made, wanted)


def layers() -> tuple[Any, np.ndarray]:
    """An LSTM, a Dense, an activation and a LayerNormalization, float16 from end to end."""
    rng = np.random.default_rng(3)

    def array(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.5, shape).astype(np.float16)

    nodes = [("LSTM", ["X", "W", "R", "B"], ["h", "Yh", "Yc"], {"hidden_size": 6}),
             ("Squeeze", ["h", "one"], ["s"], {}), ("MatMul", ["s", "K"], ["m"], {}), ("Add", ["m", "b"], ["a"], {}),
             ("Tanh", ["a"], ["t"], {}),
             ("LayerNormalization", ["t", "g"], ["n"], {"axis": -1}), ("Softmax", ["n"], ["Y"], {"axis": -1})]
    weights = {"W": array(1, 24, 3), "R": array(1, 24, 6), "B": array(1, 48), "K": array(6, 4), "b": array(4),
               "g": array(4), "one": np.array([1])}
    return model_of(nodes, (HALF, ["time", "batch", 3]), {"Y": HALF, "Yh": HALF, "Yc": HALF}, weights), array(5, 2, 3)


def test_layers(tmp_path: Path) -> None:
    """Six operators that round once each: ONNX Runtime, which rounds the outputs alone, is a few roundings away."""
    model, x = layers()
    made = ours(model, x, "Y", "Yh", "Yc")
    for array, wanted in zip(made, by_runtime(model, x), strict=True):
        assert array.dtype == wanted.dtype == np.float16
        np.testing.assert_allclose(array.astype(float), wanted.astype(float), rtol=0, atol=4 * LAST_PLACE)
    converted = le.convert(model)
    converted.save(tmp_path / "half.lstm")
    again = le.load(tmp_path / "half.lstm").predict(x)
    for array, name in zip(made, ("Y", "Yh", "Yc")):
        np.testing.assert_array_equal(array, again[name])


def test_inputs_and_asking_for_float64() -> None:
    """A float32 array is rounded to the float16 that the model declares; asked for float64, nothing is rounded."""
    model, x = layers()
    converted = le.convert(model)
    assert converted.inputs["X"].dtype == converted.outputs["Y"].dtype == "float16"
    fine = x.astype(np.float32) * np.float32(1 + 2e-4)
    np.testing.assert_array_equal(converted.predict(fine)["Y"], converted.predict(fine.astype(np.float16))["Y"])
    wide = le.convert(model, dtype="float64").predict(x)
    assert wide["Y"].dtype == np.float64
    np.testing.assert_allclose(wide["Y"], by_runtime(model, x)[0].astype(float), rtol=0, atol=4 * LAST_PLACE)


def test_float16_weights_cast_to_float32() -> None:
    """Weights are float16 for storage alone: the numbers of a float32 model, which stays one."""
    rng = np.random.default_rng(5)
    stored = {name: rng.normal(size=shape).astype(np.float16) for name, shape in
              (("W16", (1, 8, 3)), ("R16", (1, 8, 2)))}
    nodes = [("Cast", ["W16"], ["W"], {"to": FLOAT}), ("Cast", ["R16"], ["R"], {"to": FLOAT}),
             ("LSTM", ["X", "W", "R"], ["Y"], {"hidden_size": 2})]
    model = model_of(nodes, (FLOAT, ["time", "batch", 3]), {"Y": FLOAT}, stored)
    x = rng.normal(size=(4, 2, 3)).astype(np.float32)
    made, = ours(model, x, "Y")
    np.testing.assert_allclose(made, by_runtime(model, x)[0], rtol=0, atol=1e-6)       # roundings of float32
    assert not [node for node in le.convert(model).graph.nodes if getattr(node, "op_type", "") == "Cast"]


def test_verify(tmp_path: Path) -> None:
    """In units of float16, where that is what comes out; a weight that is off is seen all the same."""
    pytest.importorskip("onnxruntime")
    model, _ = layers()
    onnx.save(model, tmp_path / "right.onnx")
    assert le.verify(le.convert(tmp_path / "right.onnx"), tmp_path / "right.onnx").ok
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "K")
    kernel.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(kernel) * np.float16(1.25), "K"))
    assert not le.verify(le.convert(model), tmp_path / "right.onnx").ok
