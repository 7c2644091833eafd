"""Models as versions of Keras saved them, against what each of them computed (tools/make_keras_fixtures.py)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from lstm_engine import Model, UnsupportedError, pad_sequences, reference
from lstm_engine.importers import import_graph

FOLDER = Path(__file__).parents[1] / "golden" / "keras"
FROZEN = sorted(FOLDER.glob("*-frozen.zip"))
TEXTS = sorted(FOLDER.glob("*-texts.zip"))           # tests/unit/test_texts.py
CONTRIB = sorted(FOLDER.glob("*-contrib.zip"))      # test_keras_contrib.py
ARCHIVES = sorted(set(FOLDER.glob("*.zip")) - {*FROZEN, *TEXTS, *CONTRIB})
# Those versions computed in float32: some hundred roundings of 6e-8 of values around 1.
CLOSE = dict(rtol=2e-6, atol=2e-6)
# What they computed in float64, in a few operations: roundings of 1e-16.
CLOSE64 = dict(rtol=1e-14, atol=1e-14)


def test_there_are_files():
    assert {path.stem for path in ARCHIVES} >= {"2.12.0", "2.13.1", "2.14.0", "2.15.0", "2.15.0-functions",
                                                "2.15.0-layers", "2.15.0-addons", "2.15.0-lookups", "3.0.5", "3.3.3",
                                                "3.8.0-lookups", "2.15.0-attention", "3.6.0-attention"}
    assert {path.stem for path in FROZEN} >= {"2.2.4-frozen", "2.4.0-frozen", "2.15.0-frozen"}


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
    assert graph.metadata["keras_version"] == archive.stem.partition("-")[0]
    made = reference.run(graph, {value.name: arrays[f"x{i}"] for i, value in enumerate(graph.inputs)})
    declared = Model(graph).outputs
    wanted = [arrays[f"y{i}"] for i in range(len(made))]
    assert f"y{len(made)}" not in arrays
    for output, want in zip(graph.outputs, wanted):
        assert made[output].shape == want.shape, output
        assert declared[output].dtype == want.dtype.name, output
        close = CLOSE64 if want.dtype == "float64" else CLOSE
        np.testing.assert_allclose(made[output], want, err_msg=output, **close)


def test_a_tagger_says_how_to_give_sequences_of_unequal_length(tmp_path):
    with zipfile.ZipFile(FOLDER / "2.15.0-addons.zip") as members:
        members.extract("model.keras", tmp_path)
    model = Model(import_graph(tmp_path / "model.keras"))
    rows = [np.array([3, 7, 1]), np.array([2])]
    with pytest.raises(UnsupportedError, match=r"lengths cannot be used.*itself what is 0 in 'ids'.*pad_sequences\("):
        model.predict(rows)
    made = model.predict(pad_sequences(rows, side="right", value=0))
    assert np.array_equal(made["masked/lengths"], [3, 1]) and (made["masked/tags"][1, 1:] == 0).all()


@pytest.mark.parametrize("archive", FROZEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["direction", "wrapper", "cell", "directions_of_cells", "inner", "inner_of_inner",
                                  "spectral"])
def test_frozen_parts(archive, name, tmp_path):
    """Keras wrote what trains first, and of what is frozen inside wrappers and models not everything is recorded."""
    with zipfile.ZipFile(archive) as members:
        if f"{name}.h5" not in members.namelist():
            pytest.skip(f"{archive.stem}: this Keras has no such layer")
        members.extract(f"{name}.h5", tmp_path)
        with members.open(f"{name}.npz") as file:
            arrays = dict(np.load(file))
    graph = import_graph(tmp_path / f"{name}.h5")
    made = reference.run(graph, {graph.inputs[0].name: arrays["x"]})[graph.outputs[0]]
    np.testing.assert_allclose(made, arrays["y"], **CLOSE)
