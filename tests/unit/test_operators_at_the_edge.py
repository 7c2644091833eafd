"""Operators where their inputs do not quite fit, their types are unusual or their cost is unlike their sizes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.graph import Operator
from lstm_engine.operators import operator_kernel
from lstm_engine.operators.kernels import Kernel
from lstm_engine.plan.estimate import estimate_of
from lstm_engine.verifying import made_up

pytest.importorskip("onnx")

RNG = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers[0] if len(numbers) == 1 else numbers, np.int64)


def as_node(op: str, arrays: Sequence[Any], outputs: int, attributes: dict[str, Any]) -> Operator:
    return Operator(name="n", inputs=tuple("" if array is None else f"x{i}" for i, array in enumerate(arrays)),
                    outputs=tuple(f"y{i}" for i in range(outputs)), op_type=op, attributes=attributes, constants={})


def operator(op: str, *arrays: Any, **attributes: Any) -> Kernel:
    """The kernel of an operator with one output."""
    return operator_kernel(as_node(op, arrays, 1, attributes))


# ---- rows apart -----------------------------------------------------------------------------------------------------

def test_places_of_a_pool_are_those_in_the_whole_batch() -> None:
    """They count the elements of the rows before, so a part of the batch cannot tell them."""
    x = floats(4, 2, 6)
    source = model([node("MaxPool", "x", "y places", kernel_shape=[2])], {"x": ("batch", 2, 6)}, "y places")
    engine = le.convert(source)
    wanted = runtime_outputs(source, {"x": x})
    np.testing.assert_array_equal(engine.predict(x)["places"], wanted["places"])
    with pytest.raises(le.UnsupportedError, match="batch_size: this model makes .* of all rows at once, in 'maxpool"):
        engine.predict(x, batch_size=1)
    alone = le.convert(model([node("MaxPool", "x", "y", kernel_shape=[2])], {"x": ("batch", 2, 6)}, "y"))
    np.testing.assert_array_equal(alone.predict(x, batch_size=1), wanted["y"])


def test_a_scale_for_each_row_keeps_rows_together() -> None:
    x, scale = floats(5, 4, 3), floats(5, 1, 3)
    engine = le.convert(model([node("LayerNormalization", "x scale", "y")], {"x": ("batch", 4, 3)}, "y",
                              {"scale": scale}))
    assert engine.predict(x).shape == x.shape
    with pytest.raises(le.UnsupportedError, match="batch_size: "):
        engine.predict(x, batch_size=1)


# ---- what is broadcast to an input ----------------------------------------------------------------------------------

@pytest.mark.parametrize("op, opset", [("LayerNormalization", 21), ("RMSNormalization", 23), ("PRelu", 21)])
def test_an_input_that_is_broadcast_to_another_is_not_larger(op: str, opset: int) -> None:
    """ONNX Runtime refuses it too; NumPy would make more rows of one."""
    fixed = {"scale": floats(5, 1, 3)}
    engine = le.convert(model([node(op, "x scale", "y")], {"x": ("batch", 4, 3)}, "y", fixed, opset))
    for _ in range(3):                      # step by step, and recorded
        assert engine.predict(floats(5, 4, 3)).shape == (5, 4, 3)
        with pytest.raises(le.ArgumentError, match=r"inputs that are broadcast to \[1, 4, 3\] make it \[5, 4, 3\]"):
            engine.predict(floats(1, 4, 3))
    with pytest.raises(le.FormatError, match="input 1 of shape .* is larger than"):
        le.convert(model([node(op, "x scale", "y")], {"x": (1, 4, 3)}, "y", fixed, opset))


def test_an_addend_is_not_larger_than_its_product() -> None:
    engine = le.convert(model([node("Gemm", "x k c", "y")], {"x": ("batch", 4)}, "y",
                              {"k": floats(4, 2), "c": floats(3, 2)}))
    assert engine.predict(floats(3, 4)).shape == (3, 2)
    with pytest.raises(le.ArgumentError, match="broadcast"):
        engine.predict(floats(1, 4))


def test_attention_is_of_one_batch() -> None:
    engine = le.convert(model([node("Attention", "q k k", "y")],
                              {"q": ("b", 2, 3, 4), "k": ("c", 2, 3, 4)}, "y", opset=23))
    with pytest.raises(le.ArgumentError, match="batches of 1, 3 and 3"):
        engine.predict({"q": floats(1, 2, 3, 4), "k": floats(3, 2, 3, 4)})


# ---- numbers of the run ---------------------------------------------------------------------------------------------

def test_an_axis_that_comes_with_the_run_is_one_of_the_input() -> None:
    engine = le.convert(model([node("DFT", "x points axis", "y")],
                              {"x": (2, 8, 1), "points": ("int64", ()), "axis": ("int64", ())}, "y"))
    given = {"x": floats(2, 8, 1), "points": whole(8)}
    for axis in (1, -2):
        assert engine.predict({**given, "axis": whole(axis)}).shape == (2, 8, 2)
    for axis in (2, -1, 4, -5, 2**40):
        with pytest.raises(le.ArgumentError, match=f"axis {axis} of 3"):
            engine.predict({**given, "axis": whole(axis)})


def test_factors_of_whole_numbers_are_whole() -> None:
    nodes = [node("Gemm", "x k", "y", alpha=0.5)]
    with pytest.raises(le.UnsupportedError, match=r"factors \(0.5, 1.0\) of int64 are not supported"):
        le.convert(model(nodes, {"x": ("int64", (3, 4))}, "y", {"k": np.ones((4, 2), np.int64)}))


# ---- numbers far from 0, and types ----------------------------------------------------------------------------------

def test_a_variance_far_from_zero_keeps_its_digits() -> None:
    pytest.importorskip("onnxruntime")
    x = floats(2, 3, 40, 4) + np.float32(1000)
    source = model([node("MeanVarianceNormalization", "x", "y")], {"x": x.shape}, "y")
    # A float32 near 1000 has a spacing of 6e-5, which sums of 320 of them leave in what is divided by 1.
    np.testing.assert_allclose(le.convert(source).predict(x), runtime_outputs(source, {"x": x})["y"], rtol=0, atol=2e-4)
    assert np.isfinite(le.convert(source).predict(np.full_like(x, 1000.1))).all()


TYPED: list[tuple[list[Any], dict[str, Any]]] = [
    ([node("EyeLike", "x", "y", dtype=1)], {"x": (3, 4)}),
    ([node("HannWindow", "n", "y")], {"n": ("int64", ())}),
    ([node("DequantizeLinear", "q scale", "y", output_dtype=1)], {"q": ("uint8", (3,))}),
    ([node("MelWeightMatrix", "n points rate low high", "y")], {"n": ("int64", ())})]


@pytest.mark.parametrize("nodes, inputs", TYPED)
def test_a_type_that_an_attribute_names_is_float64_where_all_is(nodes: list[Any], inputs: dict[str, Any]) -> None:
    fixed = {"scale": np.float32(0.3), "points": whole(32), "rate": whole(16000), "low": np.float32(20),
             "high": np.float32(7000)}
    used = {name: array for name, array in fixed.items() if name in nodes[0].input}
    source = model(nodes, inputs, "y", used, 23)
    assert le.convert(source).predict(feed := _ones(inputs)).dtype == np.float32
    wide = le.convert(source, dtype="float64")
    assert wide.outputs["y"].dtype == "float64" and wide.predict(feed).dtype == np.float64


def _ones(inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    typed = {name: value if isinstance(value[0], str) else ("float32", value) for name, value in inputs.items()}
    return {name: np.ones(shape, dtype) for name, (dtype, shape) in typed.items()}


@pytest.mark.parametrize("precision", [0, 1])
def test_the_precision_of_a_quotient(precision: int) -> None:
    """Float16 over float16, in float32 where that is asked for."""
    x, scale = np.arange(1, 2000, dtype=np.float16), np.float16(12.7)
    made = operator("QuantizeLinear", x, scale, precision=precision)(x, scale)
    narrow, wide = (np.rint(x.astype(kind) / scale.astype(kind)) for kind in (np.float16, np.float32))
    assert (narrow != wide).any()
    np.testing.assert_array_equal(made, wide if precision else narrow)


def test_a_zero_that_float16_does_not_hold() -> None:
    given = np.float16([3, -3]), np.float16(1), np.array(40001, np.uint16)
    np.testing.assert_array_equal(operator("QuantizeLinear", *given)(*given), np.array([40004, 39998], np.uint16))


def test_inputs_are_made_up_for_numbers_beyond_int64() -> None:
    graph = imported(model([node("Equal", "x c", "y")], {"x": ("uint64", ("batch", 3))}, "y",
                           {"c": np.array([2**63 + 5], np.uint64)}))
    for family in made_up.families(graph):
        made = made_up.inputs(graph, {"batch": 2}, family, np.random.default_rng(0))["x"]
        assert made.dtype == np.uint64 and (np.abs(made.astype(object) - (2**63 + 5)) <= 1).all()


# ---- what is told beforehand ----------------------------------------------------------------------------------------

COSTS: list[tuple[str, dict[str, Any], list[Any], int]] = [
    ("LRN", {"size": 1000}, [floats(1, 1, 20000)], 1), ("LRN", {"size": 5}, [floats(1, 64, 2000)], 1),
    ("Unique", {}, [floats(20000)], 1), ("Unique", {"sorted": 0}, [floats(20000)], 4),
    ("Unique", {"axis": 0}, [floats(2000, 10)], 1), ("Unique", {"axis": 1, "sorted": 0}, [floats(2000, 10)], 4),
    ("MelWeightMatrix", {}, [whole(20000), whole(2), whole(16000), np.float32(0), np.float32(8000)], 1),
    *(("Resize", {"mode": mode, "antialias": antialias}, [x, None, np.float32(scales)], 1)
      for mode, antialias in (("nearest", 0), ("linear", 0), ("linear", 1), ("cubic", 0), ("cubic", 1))
      for x, scales in ((floats(4, 2000), [1, 2]), (floats(4, 2000), [1, 0.01]), (floats(40000), [1e-4]),
                        (floats(2), [1e4]))),
    ("Resize", {"mode": "cubic", "antialias": 1}, [floats(4), None, np.float32([1e-8])], 1)]


@pytest.mark.parametrize("op, attributes, arrays, outputs", COSTS)
def test_no_more_memory_is_taken_than_was_told(op: str, attributes: dict[str, Any], arrays: list[Any], outputs: int
                                               ) -> None:
    """What is made on the way counts too."""
    made = as_node(op, arrays, outputs, attributes)
    kernel, told = operator_kernel(made), estimate_of(made)(arrays, 0)
    with np.errstate(all="ignore"):
        kernel(*arrays)                     # what is loaded with a first call
        tracemalloc.start()
        try:
            kernel(*arrays)
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert taken <= told.bytes + 8192       # objects of Python's


def test_angles_are_looked_at_before_they_are_gathered() -> None:
    """Of a table with rows of a million angles, a small input would name many."""
    table = np.zeros((1, 1 << 20), np.float32)
    given = floats(1, 1, 50, 4), table, table, np.zeros((1, 50), np.int64)
    kernel = operator("RotaryEmbedding", *given)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="for 4 features"):
            kernel(*given)
        assert tracemalloc.get_traced_memory()[1] < table.nbytes
    finally:
        tracemalloc.stop()
