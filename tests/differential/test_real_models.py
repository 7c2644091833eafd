"""Trained models of others, through the oracle and through the core, against what their frameworks computed."""

import pytest
from real_models import CASES, oracle

pytest.importorskip("onnx")
pytest.importorskip("h5py")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_oracle(real, case):
    for output, exact, stored in case.run(case, real, oracle):
        assert exact.shape == stored.shape
        assert abs(exact - stored).max() <= max(case.tolerance, case.stored_error), output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_core(real, case):
    for row in case.measure(real):
        assert row.good, row
