"""The float64 reference's operators against ONNX's own node tests, and against ONNX Runtime in float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from onnx_operators import LEFT_OUT, as_array, as_operator
from random_operators import random_case

from lstm_engine.graph import Operator
from lstm_engine.operators import OPERATORS
from lstm_engine.reference.operators import OWN, ROUNDED, run_operator

onnx = pytest.importorskip("onnx")

# A node test that writes what it expects with four digits.
FOUR_DIGITS = {"test_averagepool_2d_ceil_last_window_starts_on_pad"}
# An If of ours takes what its branches made; ONNX's takes the branches.
TRIED = {name for name, spec in OPERATORS.items() if not spec.domain} - {"If"}


def test_onnx_node_tests() -> None:
    """The expected values are the standard's own, in float32 (1e-5 of a number is some 100 of its roundings: the
    longest sums have 100 terms) or float16, whose last place is 1e-3."""
    from onnx.backend.test.case.node import collect_testcases

    ran = dict.fromkeys(TRIED, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for case in collect_testcases(None) if len(case.model.graph.node) == 1
                 and case.model.graph.node[0].op_type in TRIED and case.name not in LEFT_OUT | FOUR_DIGITS]
    for case in cases:
        for given, expected in case.data_sets:
            inputs, outputs = [as_array(x) for x in given], [as_array(y) for y in expected]
            if any(array is None for array in inputs + outputs):
                continue
            operator, arrays = as_operator(case.model.graph.node[0], inputs, False)
            results = [x for x, name in zip(run_operator(operator, arrays), operator.outputs) if name]
            for made, wanted in zip(results, outputs, strict=True):
                assert made.shape == wanted.shape, case.name
                if wanted.dtype.kind != "f":
                    np.testing.assert_array_equal(made, wanted, case.name)
                    continue
                assert made.dtype == np.float64
                tolerance = 2e-3 if wanted.dtype == np.float16 else 1e-5
                np.testing.assert_allclose(made, wanted.astype(np.float64), tolerance, tolerance, err_msg=case.name)
            ran[operator.op_type] += 1
    assert not [name for name, count in ran.items() if not count]


RANDOM = {*OWN, "Conv", "LayerNormalization", "Gemm", "CumSum"} & TRIED - {"Erf", "Gelu"}


@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_random_nodes_against_onnx_runtime(kind: str) -> None:
    """In float64 where ONNX Runtime has it, to some roundings of float64; in float32 otherwise."""
    runtime = pytest.importorskip("onnxruntime")
    for seed in range(15):
        _, attributes, inputs = random_case(kind, np.random.default_rng(seed))
        inputs = [np.asarray(array) for array in inputs]
        names = [f"x{i}" for i in range(len(inputs))]
        node = onnx.helper.make_node(kind, names, ["y"], **attributes)
        for dtype in (np.float64, np.float32)[kind in ROUNDED:]:
            arrays = [array.astype(dtype) if array.dtype.kind == "f" else array for array in inputs]
            expected = _by_runtime(runtime, node, names, arrays)
            if expected is not None:
                break
        assert expected is not None, (kind, attributes)
        operator, given = as_operator(node, arrays, False)
        made, = run_operator(operator, given)
        assert made.shape == expected.shape, (kind, attributes)
        # ONNX Runtime too normalizes in float32 inside, as stash_type says.
        exact = expected.dtype == np.float64 and kind not in ("LayerNormalization", "GroupNormalization")
        tolerance = 1e-12 if exact else 1e-5
        np.testing.assert_allclose(made, expected, tolerance, tolerance, err_msg=f"{kind} {attributes}")


def _by_runtime(runtime: Any, node: Any, names: list[str], arrays: list[np.ndarray]) -> np.ndarray | None:
    """ONNX Runtime's result, None where it has no kernel for these types."""
    from onnx import helper

    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
              for name, array in zip(names, arrays)]
    output = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(arrays[0].dtype), None)
    model = helper.make_model(helper.make_graph([node], "g", inputs, [output]), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 21)])
    try:
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        return None
    return session.run(None, dict(zip(names, arrays)))[0]


def test_a_cast_rounds_and_the_rest_is_float64() -> None:
    clock = np.array([1.7e9 + 0.5])
    cast = Operator(name="c", inputs=("x",), outputs=("y",), op_type="Cast", attributes={"to": 1})
    assert run_operator(cast, [clock])[0] == 1.7e9
    less = Operator(name="s", inputs=("x", ""), outputs=("y",), op_type="Sub", constants={1: np.float32(1.7e9)})
    assert run_operator(less, [clock])[0] == 0.5


def test_erf_and_gelu_in_float64() -> None:
    """Values of Abramowitz and Stegun's table 7.1, to its ten digits."""
    x = np.array([0.5, 1.0, 2.0])
    made, = run_operator(Operator(name="e", inputs=("x",), outputs=("y",), op_type="Erf"), [x])
    np.testing.assert_allclose(made, [0.5204998778, 0.8427007929, 0.9953222650], rtol=1e-10)
    made, = run_operator(Operator(name="g", inputs=("x",), outputs=("y",), op_type="Gelu"), [x * np.sqrt(2)])
    np.testing.assert_allclose(made, x / np.sqrt(2) * (1 + np.array([0.5204998778, 0.8427007929, 0.9953222650])),
                               rtol=1e-10)
