"""Where the fault shim is compiled, and what is skipped where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults import control

SUPPORT = Path(__file__).parents[1] / "support"
SECONDS = 900                   # after which a process has hung, however loaded the machine


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> Path:
    """The folder of the compiled shim."""
    if why := control.missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("shim")
    control.compiled(folder)
    return folder


@pytest.fixture
def process(shim, tmp_path):
    """Run a module of tests/support in a process with the shim: process("faults.killed", folder) -> what it printed."""
    def run(module: str, *arguments: object) -> str:
        environment = {**control.environment(control.compiled(shim)), "OMP_NUM_THREADS": "1",
                       "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True,
                              timeout=SECONDS, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture
def everything() -> bool:
    """Whether the long form of a test is asked for: LSTM_ENGINE_TEST_FAULTS=all."""
    return os.environ.get("LSTM_ENGINE_TEST_FAULTS") == "all"
