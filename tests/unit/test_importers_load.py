"""Reading a file of strangers needs neither the engine's C code nor anything that runs a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_engine

PACKAGE = Path(lstm_engine.__file__).parent

# The C code, and the parts that run a model or answer for one.
RUNS = {"_core", "blas", "checking", "cli", "entry", "loading", "model", "ops", "plan", "running", "runtime",
        "verifying"}

# In a process of its own: this one has loaded everything already.
LOADED = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def modules(folder: str) -> list[str]:
    files = sorted((PACKAGE / "importers" / folder).rglob("*.py"))
    return [".".join(("lstm_engine", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
            for file in files]


def loaded_by(names: list[str]) -> set[str]:
    ended = subprocess.run([sys.executable, "-c", LOADED, json.dumps(names)], cwd=PACKAGE.parent, capture_output=True,
                           text=True, check=True)
    return set(json.loads(ended.stdout))


@pytest.mark.parametrize("folder", [".", "reading", "arrays", "keras", "onnx", "torch"])
def test_no_engine_is_loaded(folder):
    names = modules(folder)
    found = loaded_by(names)
    assert len(names) > 3 and set(names) <= found
    parts = {name.split(".")[1] for name in found if name.startswith("lstm_engine.")}
    assert {"importers", "errors"} <= parts and not parts & RUNS
    assert not found & {"torch", "keras", "tensorflow", "onnx", "h5py", "safetensors"}


def test_loading_the_engine_would_be_seen():
    assert "lstm_engine._core" in loaded_by(["lstm_engine.model"])
