"""A Keras model as JSON and a file of weights: the numbers of the whole model, or an error that says what to type."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras_models import floats, randomise

import lstm_engine as le

# float32 on both sides: a few roundings of 6e-8 of values of order 1.
CLOSE = dict(rtol=0, atol=2e-6)
WHOLE = "2.15.0.zip"


def model() -> keras.Model:
    x = L.Input((None, 3))
    h = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Conv1D(5, 3, padding="causal")(x))
    return randomise(keras.Model(x, L.Dense(2)(L.Dropout(0.1)(h))))


def written(folder, made, weights="model.weights.h5", config=None):
    (folder / "model.json").write_text(made.to_json() if config is None else json.dumps(config))
    if weights:
        made.save_weights(folder / "w.weights.h5")
        (folder / "w.weights.h5").rename(folder / weights)
    return folder / "model.json"


def same(converted, made):
    x = floats(4, 6, 3).astype(np.float32)
    np.testing.assert_allclose(converted.predict(x), np.asarray(made(x).detach()), **CLOSE)


@pytest.mark.parametrize("name", ["model.weights.h5", "model.h5", "model_weights.h5"])
def test_weights_are_found_beside_the_json(name, tmp_path):
    made = model()
    with pytest.warns(UserWarning, match="names no version of Keras"):
        same(le.convert(written(tmp_path, made, name)), made)


@pytest.mark.filterwarnings("ignore:the JSON names no version")
def test_weights_are_given(tmp_path):
    made = model()
    same(le.convert(written(tmp_path, made, "other.h5"), weights=tmp_path / "other.h5"), made)


@pytest.mark.filterwarnings("ignore:the JSON names no version")
def test_the_arrays_of_a_whole_file_and_a_bare_configuration(tmp_path):
    """The optimizer's arrays stand in the same file, and are not looked at."""
    made = model()
    made.compile("adam", "mse")
    made.fit(floats(4, 5, 3), floats(4, 5, 2), verbose=0)
    made.save(tmp_path / "whole.h5")
    config = made.get_config()
    path = written(tmp_path, made, None, json.loads(json.dumps(config, default=lambda value: value.get_config())))
    same(le.convert(path, weights=tmp_path / "whole.h5"), made)


def test_a_version_in_the_json_is_heeded(tmp_path):
    """Keras 2 writes it; what it computed stands in its archive."""
    import zipfile
    from pathlib import Path

    with zipfile.ZipFile(Path(__file__).parents[1] / "golden" / "keras" / WHOLE) as archive:
        archive.extract("model.h5", tmp_path)
        with archive.open("arrays.npz") as file:
            arrays = dict(np.load(file))
    with h5py.File(tmp_path / "model.h5") as file:
        config = json.loads(file.attrs["model_config"])
        config["keras_version"] = file.attrs["keras_version"]
    (tmp_path / "net.json").write_text(json.dumps(config))
    with warnings.catch_warnings():
        warnings.simplefilter("error")                       # a version is there: nothing is assumed
        converted = le.convert(tmp_path / "net.json", weights=tmp_path / "model.h5")
    made = converted.predict({"ids": arrays["x0"], "other": arrays["x1"]})
    for number, name in enumerate(converted.outputs):
        np.testing.assert_allclose(made[name], arrays[f"y{number}"], rtol=2e-6, atol=2e-6)


def test_what_is_missing_is_said(tmp_path):
    made = model()
    path = written(tmp_path, made, None)
    with pytest.raises(le.ArgumentError, match=r'none called model\.weights\.h5.*weights="model\.weights\.h5"'):
        le.convert(path)
    written(tmp_path, made, "model.h5")
    written(tmp_path, made, "model.weights.h5")
    with pytest.raises(le.ArgumentError, match=r"several files may hold its arrays \(model\.weights\.h5, model\.h5\)"):
        le.convert(path)
    made.save(tmp_path / "whole.keras")
    with pytest.raises(le.ArgumentError, match="belongs to a model's JSON file; .*whole.keras holds its own"):
        le.convert(tmp_path / "whole.keras", weights=tmp_path / "model.h5")


def test_another_models_weights_are_refused(tmp_path):
    path = written(tmp_path, model(), None)
    x = L.Input((None, 3))
    h = L.Dense(2)(L.Dense(8)(L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Conv1D(5, 3)(x))))
    other = randomise(keras.Model(x, h))
    other.save_weights(tmp_path / "o.weights.h5")
    with pytest.raises(le.FormatError, match=r"dense.*|arrays that no layer of the model takes"):
        le.convert(path, weights=tmp_path / "o.weights.h5")
    other.save(tmp_path / "o.h5")
    with pytest.raises(le.FormatError, match="which are no layers of the model; is it another model's"):
        le.convert(path, weights=tmp_path / "o.h5")


@pytest.mark.parametrize("text, said", [
    ('{"class_name": "Sequential", "class_name": "Functional", "config": {}}', "twice"),
    ('{"layers": 3}', "neither a class_name nor layers"),
    ('{"class_name": "Lambda", "config": {}}', "a model of class 'Lambda' is not supported"),
    ('{"class_name": ', "model.json: the configuration: not JSON"),
])
def test_bad_json_is_refused(text, said, tmp_path):
    (tmp_path / "model.json").write_text(text)
    model().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(le.LstmEngineError, match=said):
        le.convert(tmp_path / "model.json")
