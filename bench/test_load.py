"""From a file to a model that runs: opening, packing, converting; and the import of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le

DEMO = Path(le.__file__).parent / "demo_data"


@pytest.mark.parametrize("name", ("lstm/H256-B1-T1", "lstm/H512-B1-T1"))
def test_load(benchmark, name, case, tmp_path):
    """Opening a *.lstm file: read, check, pack."""
    own = case(name)
    model = le.Model(own.graph)
    model.save(tmp_path / "model.lstm")
    loaded = benchmark(le.load, tmp_path / "model.lstm")
    assert np.array_equal(loaded.predict(own.inputs["x"]), model.predict(own.inputs["x"]))


def test_pack(benchmark, case, assert_right):
    """A model from arrays."""
    own = case("lstm/H512-B1-T1")
    model = benchmark(le.Model, own.graph)
    assert_right(own, model.predict(own.inputs["x"]))


@pytest.mark.parametrize("name, needs", (("shakespeare.keras", "h5py"), ("dates.onnx", "onnx")))
def test_convert(benchmark, name, needs):
    pytest.importorskip(needs)
    model = benchmark.pedantic(le.convert, (DEMO / name,), rounds=3, warmup_rounds=1)
    assert model.graph.nodes and all(
        np.isfinite(array).all() for node in model.graph.nodes for array in node.tensors().values()
    )


def test_convert_onnx(benchmark, case, assert_right):
    """An ONNX model in memory, mapped to our graph and packed."""
    pytest.importorskip("onnx")
    from bench.onnx_models import onnx_model

    own = case("gru/H64-B8-T50")
    proto = onnx_model(own.graph)
    model = benchmark.pedantic(le.convert, (proto,), rounds=5, warmup_rounds=1)
    y = np.asarray(model.predict(own.inputs["x"].swapaxes(0, 1).copy()))
    assert_right(own, y.reshape(50, 8, 64).swapaxes(0, 1).copy())


def test_import(benchmark):
    """A fresh interpreter that imports the package; NumPy's share is in it."""

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", "import lstm_engine; print(lstm_engine.__version__)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(le.__file__).parents[1],
        ).stdout

    assert benchmark.pedantic(run, rounds=3).strip() == le.__version__
