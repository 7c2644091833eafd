"""What is kept of shapes that were seen has a bound: sizes may come without end."""

from __future__ import annotations

import contextlib
import tracemalloc
import warnings

import numpy as np
import pytest
from onnx_operators import as_operator

import lstm_engine as le
from lstm_engine.errors import LstmEngineError
from lstm_engine.graph import Graph, Operator, Value
from lstm_engine.operators import OPERATORS, operator_kernel, run_operator
from lstm_engine.operators.kernels import MISFITS, MOST_KEPT


@pytest.fixture(scope="module")
def node_cases() -> dict[str, list]:
    pytest.importorskip("onnx")
    from onnx.backend.test.case.node import collect_testcases

    cases: dict[str, list] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            if len(case.model.graph.node) == 1:
                cases.setdefault(case.model.graph.node[0].op_type, []).append(case)
    return cases


def stretched(x: np.ndarray, size: int) -> np.ndarray:
    """`x` with its last axis of another size."""
    return np.resize(x, (*x.shape[:-1], size))


def grown(kernel, inputs, sizes) -> int:
    """Bytes that are held after a kernel ran on its first input with the last axis of each size."""
    def run(size: int) -> None:
        # What does not fit the other inputs is refused, and must leave nothing behind either.
        with np.errstate(all="ignore"), contextlib.suppress(*MISFITS):
            kernel(stretched(inputs[0], size), *inputs[1:])

    for size in sizes[:2 * MOST_KEPT]:
        run(size)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for size in sizes:
            run(size)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("part", range(4))
def test_no_operator_keeps_something_of_every_shape(part, node_cases):
    """Cases of ONNX's node tests of every operator, the last axis of the first input of 300 sizes."""
    ran = set()
    # The input of ConstantOfShape is itself a shape.
    tried = {name for name, spec in OPERATORS.items() if not spec.domain} - {"ConstantOfShape"}
    for op_type in sorted(tried)[part::4]:
        for case in node_cases[op_type][:6]:
            given = [np.asarray(x) for x in case.data_sets[0][0]]
            if not given or not given[0].ndim or any(x.dtype.kind not in "fiub" for x in given):
                continue
            try:
                operator, arrays = as_operator(case.model.graph.node[0], given, True)
                kernel = operator_kernel(operator)
            except LstmEngineError:
                continue
            inputs = [arrays[0], *(operator.constants.get(i) for i in range(1, len(arrays)))]
            # The last MOST_KEPT at most, each no larger than a padded input.
            most = MOST_KEPT * 2 * stretched(inputs[0], 700).nbytes + (64 << 10)
            assert grown(kernel, inputs, range(400, 700)) < most, case.name
            ran.add(op_type)
    assert len(ran) > 20


@pytest.mark.unchecked("the pool of ONNX's reference is a loop of Python: too slow for 5,000 lengths")
def test_average_pool_over_5000_lengths():
    node = Operator(name="pool", inputs=("x",), outputs=("y",), op_type="AveragePool",
                    attributes={"kernel_shape": (3,), "pads": (1, 1)})
    model = le.Model(Graph((Value("x", ("batch", 2, "time")),), (node,), ("y",)))
    x = np.ones((1, 2, 8000), np.float32)
    for size in range(3000, 3100):
        model.predict(x[..., :size])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for size in range(3000, 8000):
            y = model.predict(np.ascontiguousarray(x[..., :size]))
        kept = tracemalloc.get_traced_memory()[0] - before - y.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(y, run_operator(node, [x[..., :7999]])[0])
    # 16 counts of up to 32 KB, and recordings of no more than 8 shapes; one for each length would be 110 MB.
    assert kept < 4 << 20
