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


# A file, what stands in it, and what the check says.
WRONG = [
    ("lstm_engine/graph/bad.py", "import torch", "imports torch when it is loaded"),
    ("lstm_engine/graph/bad.py", "from ..model import Model", "imports lstm_engine.model"),
    ("lstm_engine/importers/bad.py", "def f():\n    from .. import _core", "touches _core"),
    ("lstm_engine/novelty.py", "", "has no place among the arrows"),
    ("lstm_engine/graph/long.py", "x = 1\n" * 500, "at most 400"),
    ("lstm_engine/importers/reading/bad.py", "from ..torch.checkpoints import files",
     "importers/reading may import []"),
    ("tests/unit/test_bad.py", "from time import perf_counter", "reads the clock perf_counter"),
    ("tests/unit/test_bad.py", "began = time.process_time()", "reads the clock process_time"),
    ("csrc/kernels/bad.c", '#include "layers/view.h"', "includes layers/view.h"),
    ("csrc/base/bad.c", '#include "kernels/kernels.h"', "includes kernels/kernels.h"),
    ("csrc/layers/bad.c", "#pragma omp parallel", "belongs to team_openmp.c"),
    ("csrc/layers/bad.c", "pthread_mutex_lock(&m);", "belongs to os_threads.h"),
    ("csrc/layers/bad.c", "x = malloc(3);", "belongs to arena.c"),
    ("csrc/model/bad.c", 'fprintf(stderr, "x");', "belongs to no file of the core"),
    ("csrc/model/bad.c", "#if defined(__AVX2__)", "asks for an instruction set"),
    ("csrc/kernels/cell_body.h", "vec v_helper(vec a)", "not static"),
]


@pytest.mark.parametrize("file, text, complaint", WRONG, ids=[complaint for _, _, complaint in WRONG])
def test_each_rule_is_enforced(tmp_path, monkeypatch, file, text, complaint):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_structure

    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text + "\n")
    monkeypatch.setattr(check_structure, "ROOT", tmp_path)
    found = check_structure.violations()
    assert any(complaint in line for line in found)
    assert all(line.startswith(file) for line in found)


def test_imports_in_a_circle_are_found_inside_functions_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_structure

    files = {"one": "from .two import f", "two": "def f():\n    from . import three", "three": "from .one import g",
             "above": "from . import one", "below": "", "aside": "import typing\nif typing.TYPE_CHECKING:\n"
                                                                "    from .above import one"}
    files["three"] += "\nfrom . import below"
    (tmp_path / "lstm_engine" / "graph").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "lstm_engine" / "graph" / f"{name}.py").write_text(text + "\n")
    monkeypatch.setattr(check_structure, "ROOT", tmp_path)
    assert check_structure.violations() == [
        f"lstm_engine/graph/{name}.py: in a circle of imports, through lstm_engine.graph.{through}"
        for name, through in (("one", "two"), ("three", "one"), ("two", "three"))]


def test_arrows_that_go_round_are_found(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_structure

    monkeypatch.setitem(check_structure.PY_ARROWS, "errors", {"model"})
    found = list(check_structure.arrow_violations())
    assert len(found) == 1 and "errors" in found[0] and "model" in found[0]


def test_file_names_are_unique_in_the_core(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_structure

    for folder in ("layers", "model"):
        (tmp_path / "csrc" / folder).mkdir(parents=True)
        (tmp_path / "csrc" / folder / "twice.c").write_text("\n")
    monkeypatch.setattr(check_structure, "ROOT", tmp_path)
    assert check_structure.violations() == ["csrc: 2 files are called twice.c"]


def test_objects_hold_only_their_own_instructions():
    result = run("check_isa.py")
    if result.stdout.startswith("skipped"):
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, result.stdout
