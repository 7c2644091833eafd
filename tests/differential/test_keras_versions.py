"""One model as six versions of Keras saved it, against what each of them computed (tools/make_keras_fixtures.py)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from lstm_engine import reference
from lstm_engine.importers import import_graph

ARCHIVES = sorted((Path(__file__).parents[1] / "golden" / "keras").glob("*.zip"))
# Those versions computed in float32: some hundred roundings of 6e-8 of values around 1.
CLOSE = dict(rtol=2e-6, atol=2e-6)


def test_there_are_files():
    assert {path.stem for path in ARCHIVES} >= {"2.12.0", "2.13.1", "2.14.0", "2.15.0", "3.0.5", "3.3.3"}


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)
def test_a_version(archive, name, tmp_path):
    with zipfile.ZipFile(archive) as members:
        if name not in members.namelist():
            pytest.skip(f"Keras {archive.stem} could not save this model as {name}")
        members.extract(name, tmp_path)
        with members.open("arrays.npz") as file:
            arrays = dict(np.load(file))
    graph = import_graph(tmp_path / name)
    assert graph.metadata["keras_version"] == archive.stem
    made = reference.run(graph, {value.name: arrays[f"x{i}"] for i, value in enumerate(graph.inputs)})
    wanted = [arrays[f"y{i}"] for i in range(len(made))]
    assert f"y{len(made)}" not in arrays
    for output, want in zip(graph.outputs, wanted):
        np.testing.assert_allclose(made[output], want, err_msg=output, **CLOSE)
