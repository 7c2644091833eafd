"""The tree keeps to its design, and each instruction set to its own instructions."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

if not (ROOT / "lstm_engine" / "_core.pyx").exists():
    pytest.skip("the source tree is not here", allow_module_level=True)


def run(tool: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(ROOT / "tools" / tool)], capture_output=True, text=True)


def test_arrows_point_down():
    result = run("check_structure.py")
    assert result.returncode == 0, result.stdout


def test_a_wrong_import_is_seen(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import check_structure
    finally:
        sys.path.pop(0)
    (tmp_path / "lstm_engine" / "graph").mkdir(parents=True)
    (tmp_path / "lstm_engine" / "graph" / "bad.py").write_text("import torch\nfrom ..model import Model\nfrom .. import _core\n")
    (tmp_path / "csrc" / "kernels").mkdir(parents=True)
    (tmp_path / "csrc" / "kernels" / "bad.c").write_text('#include "layers/view.h"\n#pragma omp parallel\n')
    monkeypatch.setattr(check_structure, "ROOT", tmp_path)
    found = "\n".join(check_structure.violations())
    for part in ("imports torch when it is loaded", "imports lstm_engine.model", "touches _core", "includes layers/view.h",
                 "names OpenMP"):
        assert part in found


def test_objects_hold_only_their_own_instructions():
    result = run("check_isa.py")
    if result.stdout.startswith("skipped"):
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, result.stdout
