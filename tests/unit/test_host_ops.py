"""The host operators against ONNX's own node tests and against ONNX Runtime on random cases."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from onnx_operators import LEFT_OUT, as_array, as_operator, check_shapes

from lstm_engine.errors import ArgumentError, GraphError, LstmEngineError, UnsupportedError
from lstm_engine.graph.nodes import Operator, Value
from lstm_engine.operators import OPERATORS, compile_operator, operator_shapes, run_operator

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def node_cases() -> dict[str, list]:
    from onnx.backend.test.case.node import collect_testcases
    cases = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # the generators themselves overflow on purpose
        for case in collect_testcases(None):
            if len(case.model.graph.node) == 1 and case.name not in LEFT_OUT:
                cases[case.model.graph.node[0].op_type].append(case)
    return cases


# What chooses has no graphs inside here: its node tests go through the importer (test_onnx_if.py).
@pytest.mark.parametrize("op_type", sorted(name for name, spec in OPERATORS.items()
                                           if not spec.chooses and not spec.domain))
def test_onnx_node_tests(op_type: str, node_cases: dict[str, list]) -> None:
    ran = 0
    for case in node_cases[op_type]:
        for given, expected in case.data_sets:
            inputs, outputs = [as_array(x) for x in given], [as_array(y) for y in expected]
            if any(array is None for array in inputs + outputs):
                continue                        # strings, float8, bfloat16: not types of this engine
            for fixed in (False, True):
                operator, arrays = as_operator(case.model.graph.node[0], inputs, fixed)
                results = [x for x, name in zip(run_operator(operator, arrays), operator.outputs) if name]
                assert len(results) == len(outputs), case.name
                for result, wanted in zip(results, outputs):
                    assert result.dtype == wanted.dtype and result.shape == wanted.shape, case.name
                    # The tolerances are the test case's own.
                    np.testing.assert_allclose(result, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name)
                check_shapes(operator, arrays, outputs)
            ran += 1
    assert ran, f"no node test of {op_type} ran"


def operator(op_type: str, inputs: int = 1, outputs: int = 1, constants: dict | None = None,
             **attributes: Any) -> Operator:
    names = tuple("" if constants and i in constants else f"x{i}" for i in range(inputs))
    return Operator(name="node", inputs=names, outputs=tuple(f"y{i}" for i in range(outputs)), op_type=op_type,
                    attributes=attributes, constants=constants or {})


def test_symbols_pass_through() -> None:
    def infer(node: Operator, *shapes: tuple | None) -> tuple:
        values = [None if s is None else Value(f"x{i}", s) for i, s in enumerate(shapes)]
        return operator_shapes(node, values)[0].shape
    axes = np.array([0, 2])
    assert infer(operator("Transpose", perm=(1, 0, 2)), ("batch", "time", 3)) == ("time", "batch", 3)
    assert infer(operator("Add", 2), ("batch", 1, 3), ("time", 1)) == ("batch", "time", 3)
    assert infer(operator("Reshape", 2, constants={1: np.array([0, 0, -1])}), ("time", "batch", 2, 8), None) == (
        "time", "batch", 16)
    assert infer(operator("Reshape", 2, constants={1: np.array([-1, 8])}), ("batch", 4, 2), None) == ("batch", 8)
    assert infer(operator("Reshape", 2, constants={1: np.array([-1, 8])}), ("batch", "time", 8), None) == ("y0_0", 8)
    assert infer(operator("Squeeze", 2, constants={1: axes}), (1, "time", 1, 3), None) == ("time", 3)
    assert infer(operator("Unsqueeze", 2, constants={1: axes}), ("time", 3), None) == (1, "time", 1, 3)
    assert infer(operator("Concat", 2, axis=1), ("batch", "time", 3), ("batch", 2, 3)) == ("batch", "y0_1", 3)
    assert infer(operator("Conv", 2, constants={1: np.zeros((8, 4, 3), np.float32)}), ("batch", 4, "time"), None) == (
        "batch", 8, "y0_2")
    assert infer(operator("MatMul", 2), ("batch", "time", 3), (3, 7)) == ("batch", "time", 7)


@pytest.mark.parametrize("node, message", [
    (operator("Loop"), "operator 'Loop' is not supported; supported around the recurrent layers: Abs, "),
    (operator("Cast"), "attribute 'to' is missing"),
    (operator("Cast", to=8), "attribute 'to' is data type 8; supported: 1 (float32)"),
    (operator("Relu", alpha=1.0), "attribute 'alpha' is not supported; supported: none"),
    (operator("Pad", 2, mode="mirror"), "attribute 'mode' = 'mirror' is not supported"),
    (operator("Transpose", perm=(0.5,)), "attribute 'perm' has the wrong type: (0.5,)"),
    (operator("Transpose", perm=(0, 0, 1)), "perm (0, 0, 1) is not an order of 3 axes"),
    (operator("Add", 1), "takes 2 inputs, not 1"),
    (operator("AveragePool", outputs=2, kernel_shape=(2,)), "takes 1 outputs, not 2"),
    (operator("Reshape", 2, constants={1: np.array([24.0])}), "input 1 must be integers, got float64"),
    (operator("Softmax", axis=3), "axis 3 is outside the 3 axes"),
    (operator("Reshape", 2, constants={1: np.array([5, 5])}), "24 elements cannot take the shape [5, 5]"),
    (operator("Conv", 2, constants={1: np.zeros((8, 4, 3), np.float32)}), "3 channels and a weight [8, 4, 3]"),
    (operator("Split", 1, 2, axis=2, num_outputs=3), "num_outputs is 3, but the node has 2 outputs"),
    (operator("Range", 3, constants={0: np.array(0.0), 1: np.array(np.inf), 2: np.array(1.0)}),
     "do not fit its inputs"),
])
def test_errors_of_the_table(node: Operator, message: str) -> None:
    with pytest.raises((GraphError, UnsupportedError)) as caught:
        operator_shapes(node, [Value("x0", (2, 3, 4))] + [None] * (len(node.inputs) - 1))
    assert message in str(caught.value) and "'node'" in str(caught.value)


@pytest.mark.parametrize("node, inputs, message", [
    (operator("Add", 2), [np.zeros((2, 3)), np.zeros(4)],
     "node 'node' (Add) cannot run on inputs float64[2, 3], float64[4]"),
    (operator("Gather", 2), [np.zeros(3), np.array([3])], "out of bounds"),
    (operator("Reshape", 2), [np.zeros(6), np.array([4, -1])], "cannot reshape"),
    (operator("Split", 2, 2), [np.zeros(6), np.array([1, 2])], "the split sizes sum to 3, not 6"),
    (operator("TopK", 2, 2), [np.zeros(3), np.array([4])], "k = 4 for an axis of 3"),
    (operator("Conv", 2), [np.zeros((1, 3, 5)), np.zeros((2, 2, 3))], "3 channels do not fit"),
    (operator("MaxPool", kernel_shape=(9,)), [np.zeros((1, 3, 5))], "smaller than the kernel's reach 9"),
])
def test_errors_of_a_run(node: Operator, inputs: list, message: str) -> None:
    run = compile_operator(node)
    with pytest.raises(ArgumentError) as caught:
        run(inputs)
    assert message in str(caught.value)


def test_erf() -> None:
    from math import erf

    from lstm_engine.operators.activations import erf as ours
    x = np.concatenate([np.linspace(-7, 7, 20001), 10.0 ** -np.arange(1, 300, 7.0)])
    wanted = np.array([erf(v) for v in x])
    # Near 6 the terms of the series are some 100 times their sum: 40 roundings of 1e-16 at that size.
    np.testing.assert_allclose(ours(x), wanted, rtol=5e-14, atol=0)
    assert np.isnan(ours(np.array([np.nan])))[0] and list(ours(np.array([-np.inf, np.inf]))) == [-1, 1]


def test_a_compiled_operator_keeps_nothing_between_runs() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3)).astype(np.float32)
    run = compile_operator(operator("Conv", 2, constants={1: weight}, pads=(1, 1)))
    for time in (5, 9, 5, 2):
        x = rng.standard_normal((2, 3, time)).astype(np.float32)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        wanted = np.stack([np.einsum("oik,bik->bo", weight, padded[:, :, t:t + 3]) for t in range(time)], -1)
        # Nine products near 1 summed in another order.
        np.testing.assert_allclose(run([x])[0], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op_type", sorted(OPERATORS))
def test_a_second_run_makes_nothing_anew(op_type: str, node_cases: dict[str, list]) -> None:
    """What follows from nothing but the node, or from sizes seen before, is made once: a second run calls little more
    than NumPy. 200 calls: the most that any needs here is 145 (an Einsum, whose order NumPy finds each time); making
    the series of Erf takes 4,000."""
    for case in node_cases[op_type]:
        arrays = [as_array(x) for x in case.data_sets[0][0]]
        if any(array is None for array in [*arrays, *map(as_array, case.data_sets[0][1])]):
            continue                            # strings, float8, bfloat16: not types of this engine
        try:
            node, given = as_operator(case.model.graph.node[0], arrays, fixed=True)
            run = compile_operator(node)
            with np.errstate(all="ignore"):
                run(given)
        except LstmEngineError:
            continue                            # what test_onnx_node_tests looks at
        calls = [0]

        def count(frame: Any, event: str, argument: Any, calls: list[int] = calls) -> None:
            calls[0] += event in ("call", "c_call")

        before = sys.getprofile()
        with np.errstate(all="ignore"):
            sys.setprofile(count)
            try:
                run(given)
            finally:
                sys.setprofile(before)
        assert calls[0] <= 200, f"{case.name}: {calls[0]} calls"


def test_nothing_tiled_any_number_of_times_is_nothing() -> None:
    """At once: NumPy's own `tile` counts to the number of repeats."""
    made = run_operator(operator("Tile", 2), [np.zeros((0, 3), np.float32), np.array([2, 2**40])])[0]
    assert made.shape == (0, 3 * 2**40) and made.dtype == np.float32
