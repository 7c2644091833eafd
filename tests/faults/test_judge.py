"""Whose a crash is, by the calls that led to it."""

from __future__ import annotations

import pytest
from faults.judge import crash_outcome

SHIM, OURS = "/tmp/shim0/fault_shim.so(+0x1a2b)[0x7f0001]", "/src/lstm_engine/_core.so(le_model_run+0x10)[0x7f0002]"
NUMPY = "/env/lib/python3.11/site-packages/numpy/_core/_multiarray_umath.so(+0x99)[0x7f0003]"
PYTHON = ("/usr/lib/libpython3.11.so.1.0(PyObject_Vectorcall+0x2c)[0x53acbc]",
          "/env/bin/python(_PyEval_EvalFrame+0x8)[0x52b9]", "/usr/bin/python3.11(_PyEval_EvalFrame+0x8)[0x52b9]")


@pytest.mark.parametrize("python", PYTHON)
@pytest.mark.parametrize(("calls", "outcome"), [
    ([], ("CRASH of CPython", True)), ([NUMPY], ("CRASH of NumPy", True)), ([OURS], ("CRASH", False)),
    ([NUMPY, OURS], ("CRASH", False)), (["/usr/lib/libother.so(f+0x1)[0x7f0004]"], ("CRASH", False)),
])
def test_whose_a_crash_is(python: str, calls: list[str], outcome: tuple[str, bool]) -> None:
    assert crash_outcome("\n".join(["SIGSEGV:", SHIM, *calls, python])) == outcome


def test_a_crash_that_shows_no_calls_may_be_ours() -> None:
    assert crash_outcome("SIGSEGV") == ("CRASH", False)
