"""ONNX's node tests of every operator in the table, through `onnx_backend`: each is passed, or refused for a reason."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.operators import OPERATORS
from lstm_engine.operators.older import FORMS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.backend.test")

from onnx.backend.test.case.node import collect_testcases  # noqa: E402

from lstm_engine import onnx_backend  # noqa: E402

# What refuses a node test, and why that stays: NumPy has no such numbers, values are arrays alone, nobody trains here
# (what such a test expects is one generator's random numbers), and opsets of before version 7 are not read.
REFUSED = re.compile(
    r"is of data type (8|1[4-9]|2\d); "
    r"|elements of type (string|bfloat16|u?int4|u?int2|float8\w*|float4\w*) are not supported"
    r"|attribute 'to' is data type (8|1[4-9]|2\d); "
    r"|is a (sequence|optional); only tensors are supported"
    r"|\(Scan\): Scan of opset 8 has a batch of its own"
    r"|\(Dropout\): dropout in training mode is not supported"
    r"|the model asks for version [1-6] of ONNX's operators")


def _cases() -> dict[str, list[Any]]:
    cases = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # the generators themselves overflow on purpose
        for case in collect_testcases(None):
            nodes = case.model.graph.node
            if len(nodes) == 1 and not nodes[0].domain and nodes[0].op_type in {*OPERATORS, *FORMS, "Loop", "Scan"}:
                cases[nodes[0].op_type].append(case)
    return cases


CASES = _cases()


def _array(value: Any) -> np.ndarray:
    return onnx.numpy_helper.to_array(value) if hasattr(value, "data_type") else np.asarray(value)


@pytest.mark.parametrize("op_type", sorted(CASES))
def test_node_tests(op_type: str) -> None:
    for case in CASES[op_type]:
        try:
            prepared = onnx_backend.prepare(case.model)
        except le.LstmEngineError as error:
            assert REFUSED.search(str(error)), f"{case.name}: {error}"
            continue
        for given, expected in case.data_sets:
            made = prepared.run(list(map(_array, given)))
            for ours, wanted in zip(made, map(_array, expected), strict=True):
                assert ours.dtype == wanted.dtype and ours.shape == wanted.shape, case.name
                # The tolerances are the test case's own.
                np.testing.assert_allclose(ours, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name)


def test_whole_operators_are_passed() -> None:
    """A reason above that came to refuse more would not be seen. These have no test that is refused."""
    for op_type in ("Add", "Mod", "ReduceSum", "ReduceMax", "Squeeze", "Trilu", "MaxPool", "BatchNormalization"):
        assert len(CASES[op_type]) > 1
        for case in CASES[op_type]:
            assert onnx_backend.is_compatible(case.model), case.name
