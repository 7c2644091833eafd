"""`python -m bench...` needs no installation, and says what to do where the extension is not built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

if not (ROOT / "bench" / "peers.py").exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def run(folder, *extra):
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    # -S: no site-packages, so that a project that is installed there plays no part.
    return subprocess.run([sys.executable, *extra, "-m", "bench.peers", "--list"], cwd=folder, env=environment,
                          capture_output=True, text=True)


@pytest.mark.skipif(not list((ROOT / "lstm_engine").glob("_core.*.so")), reason="the extension is elsewhere")
def test_it_runs_from_the_checkout():
    ended = run(ROOT)
    assert ended.returncode == 0 and "lstm/H32-B1-T1\n" in ended.stdout, ended.stderr


@pytest.mark.skipif(not (ROOT / "lstm_engine" / "__init__.py").exists(), reason="the package is elsewhere")
class TestNotBuilt:
    """A checkout as it is cloned."""

    @pytest.fixture
    def checkout(self, tmp_path):
        shutil.copytree(ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("results", "__pycache__"))
        shutil.copytree(ROOT / "lstm_engine", tmp_path / "lstm_engine",
                        ignore=shutil.ignore_patterns("_core.*.so", "_core.*.pyd", "__pycache__", "demo_data"))
        return tmp_path

    def test_a_benchmark_says_what_to_do(self, checkout):
        ended = run(checkout, "-S")
        assert ended.returncode == 1 and ended.stdout == "" and "Traceback" not in ended.stderr
        assert ended.stderr.startswith("bench: the engine of this checkout is not built; in its root run: python ")

    def test_the_package_says_what_to_do(self, checkout):
        numpy = Path(np.__file__).parents[1]
        ended = subprocess.run([sys.executable, "-S", "-c", "import lstm_engine as le; le.load"], cwd=checkout,
                               env={**os.environ, "PYTHONPATH": str(numpy)}, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith(
            f"ImportError: {checkout / 'lstm_engine'} has no compiled engine: beside that folder run: python setup.py ")
