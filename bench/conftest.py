"""What the benchmarks share: every result is checked against the float64 oracle before its time counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import lstm_engine as le
from bench.cells import Case, catalogue
from bench.compare import LIMITS, difference
from lstm_engine import reference

# A few tenths of a second for each benchmark: enough for a median, and all of them run in a minute.
BRIEF = dict(max_time=0.1, min_time=1e-4, min_rounds=5, warmup=True, warmup_iterations=3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.benchmark(**BRIEF))


@pytest.fixture(params=le.info()["isas"])
def isa(request: pytest.FixtureRequest):
    """Each instruction set that this CPU runs, for models built while the test lasts."""
    le.set_isa(request.param)
    yield request.param
    le.set_isa(None)


@pytest.fixture
def case() -> Callable[[str], Case]:
    """The graph and input of a cell by its name."""
    return lambda name: catalogue()[name].case()


@pytest.fixture
def assert_right() -> Callable[..., None]:
    """That outputs are the oracle's, within what float32 arithmetic can do (bench/compare.py)."""

    def check(case: Case, got: np.ndarray | dict[str, np.ndarray], *, dtype: str = "float32") -> None:
        wanted = reference.run(case.graph, case.inputs, case.lengths)
        outputs = got if isinstance(got, dict) else {case.graph.outputs[0]: got}
        assert difference(outputs, wanted) <= LIMITS[dtype]

    return check
