"""The files that declare operators are loaded when an operator is asked for, all of them, each once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import small_model

import lstm_engine as le
from lstm_engine.operators.families import FAMILIES

FOLDER = Path(le.__file__).parent / "operators"


def ran(code: str, *arguments: object) -> str:
    """What a process of its own prints: this one has loaded everything."""
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                           cwd=FOLDER.parents[1], check=True)
    return ended.stdout.strip()


def test_the_families_are_the_files_that_declare():
    declaring = {path.stem for path in FOLDER.glob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                 and node.func.id in ("declare", "older_only")}
    assert set(FAMILIES) == declaring and len(FAMILIES) == len(set(FAMILIES)) > 5


LOADED = """
import sys
import numpy as np
import lstm_engine as le
from lstm_engine.operators.families import FAMILIES
def loaded():
    return [name for name in FAMILIES if f"lstm_engine.operators.{name}" in sys.modules]
model = le.load(sys.argv[1])
y = model.predict(np.zeros((2, 6, 3), np.float32))
model.stream(batch=2).step(np.zeros((2, 3), np.float32))
print(*loaded(), sep=",")
from lstm_engine.operators import OPERATORS
assert "Add" in OPERATORS and loaded() == list(FAMILIES)
"""


def test_a_model_without_operators_loads_none(tmp_path):
    small_model().save(tmp_path / "m.lstm")
    assert ran(LOADED, tmp_path / "m.lstm") == ""


DECLARED = """
from lstm_engine.operators.families import Declared
from lstm_engine.operators.spec import OPERATORS
from lstm_engine.operators.older import FORMS
names = {id(OPERATORS): [], id(FORMS): []}
add = Declared.add
def counted(self, name, what):
    names[id(self)].append(name)
    add(self, name, what)
Declared.add = counted
assert sorted(FORMS) == sorted(names[id(FORMS)]) and sorted(OPERATORS) == sorted(names[id(OPERATORS)])
print(len(OPERATORS), len(FORMS))
"""


def test_every_operator_is_declared_once():
    operators, forms = map(int, ran(DECLARED).split())
    assert operators > 80 and forms > 15


INTERRUPTED = """
import importlib, sys
from lstm_engine.operators import OPERATORS, families
from lstm_engine.operators.older import FORMS
real = families.importlib.import_module
class Refusing:
    def __init__(self): self.left = int(sys.argv[1])
    def import_module(self, name):
        made = real(name)
        self.left -= 1
        if not self.left:
            del sys.modules[name]                       # as Python leaves a file that it could not run to its end
            raise MemoryError
        return made
families.importlib = Refusing()
try:
    len(OPERATORS)
except MemoryError:
    families.importlib = importlib
    print(len(OPERATORS), len(FORMS))
"""


@pytest.mark.parametrize("after", [1, 5, len(FAMILIES)])
def test_a_load_that_was_interrupted_is_made_whole_by_the_next(after):
    assert ran(INTERRUPTED, after) == ran(DECLARED)


THREADS = """
import sys, threading
sys.setswitchinterval(1e-6)
from lstm_engine.operators import OPERATORS
begin, found = threading.Barrier(8), []
def ask():
    begin.wait()
    found.append(len(OPERATORS))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*found)
"""


def test_threads_that_ask_at_once_all_see_all():
    assert set(ran(THREADS).split()) == {ran(DECLARED).split()[0]}


def test_an_operator_of_a_file_is_found(tmp_path):
    onnx_graphs = pytest.importorskip("onnx_graphs")
    model = onnx_graphs.model([onnx_graphs.node("Relu", "x", "y")], {"x": ("batch", 3)}, "y", {})
    le.convert(model).save(tmp_path / "m.lstm")
    code = ("import sys, numpy as np, lstm_engine as le\n"
            "print(le.load(sys.argv[1]).predict(np.array([[-1, 2, 3]], 'f4')))")
    assert ran(code, tmp_path / "m.lstm") == "[[0. 2. 3.]]"
