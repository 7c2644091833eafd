"""What all tests share: where the real checkpoints are, how hypothesis runs, one thread for other engines."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from pathlib import Path

# Read when the libraries are first imported, which is after this file.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

TESTS = Path(__file__).parent
REAL = TESTS.parent.parent / "shared" / "real"

# Modules that several tests share; said here so that they are found with --import-mode=importlib as well.
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "hostile")]       # the second for `attacks`

# A shell starts what it runs in the background with SIGINT ignored, which programs that tests start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import hypothesis
except ImportError:
    pass                    # the property tests skip themselves
else:
    common = dict(deadline=None, print_blob=True)       # a loaded machine must not fail a test by its clock
    hypothesis.settings.register_profile("local", **common)
    hypothesis.settings.register_profile("ci", derandomize=True, **common)
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N",
                     help="of every file about one test of N: the first, and others as their names fall out")
    parser.addoption("--slow-one-in", type=int, default=1, metavar="N",
                     help="the same of the tests that are marked slow alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each file the first test is kept, so that what any file needs is needed here, too."""
    number, slow = config.getoption("one_in"), config.getoption("slow_one_in")
    first = {item.path: item for item in reversed(items)}
    left_out = [item for item in items if item is not first[item.path] and zlib.crc32(item.nodeid.encode())
                % (max(number, slow) if item.get_closest_marker("slow") else number)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        left = set(left_out)
        items[:] = [item for item in items if item not in left]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the check itself makes otherwise: it keeps whole weights, and runs the reference beside each call."""
    from lstm_engine import runtime

    marker = item.get_closest_marker("unchecked")
    if marker is not None and runtime.checking_wanted():
        pytest.skip(f"LSTM_ENGINE_CHECK: {marker.args[0]}")


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real checkpoints beside the project; a test that needs it is skipped where it is absent."""
    if not REAL.is_dir():
        pytest.skip("needs the folder of real checkpoints, ../shared/real beside the project, which is absent")
    return REAL


@pytest.fixture(autouse=True)
def same_settings():
    """Every test begins with the instruction set and the threads that the environment asks for."""
    from lstm_engine import runtime

    before = runtime._isa, runtime._threads
    yield
    runtime._isa = before[0]
    runtime.set_num_threads(before[1])
