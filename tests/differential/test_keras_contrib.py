"""Classes that Keras lacks, as the caller says what they are: keras-contrib's conditional random field against itself
(tools/make_keras_fixtures.py --contrib), and what is said of them that cannot be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import layer, sequential, zipped  # noqa: E402

import lstm_engine as le  # noqa: E402

ARCHIVE = Path(__file__).parents[1] / "golden" / "keras" / "2.2.4-contrib.zip"
CRF = {"CRF": "keras_contrib.layers.CRF"}
NAMES = sorted(name.removesuffix(".h5") for name in zipfile.ZipFile(ARCHIVE).namelist() if name.endswith(".h5"))
# Float32 of six steps of sums of four exponentials of numbers up to ten.
CLOSE = 2e-6


def written(name: str, folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    with zipfile.ZipFile(ARCHIVE) as members:
        with members.open(f"{name}.npz") as file:
            arrays = dict(np.load(file))
        return Path(members.extract(f"{name}.h5", folder)), arrays["x"], arrays["y"]


def test_there_are_files():
    assert len(NAMES) == 11 and {"join_masked", "join_plain", "marginal_masked", "one_step"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_field_is_that_of_keras_contrib(name, tmp_path):
    path, x, wanted = written(name, tmp_path)
    model = le.convert(path, custom_objects=CRF)
    model.save(tmp_path / "m.lstm")
    for each in (model, le.load(tmp_path / "m.lstm")):
        np.testing.assert_allclose(each.predict(x), wanted, rtol=0, atol=CLOSE)
        np.testing.assert_allclose(each.predict(x[2:3]), wanted[2:3], rtol=0, atol=CLOSE)


def test_without_a_word_it_is_refused(tmp_path):
    path, _, _ = written("join_plain", tmp_path)
    with pytest.raises(le.UnsupportedError, match=r"custom class 'CRF'.*custom_objects={'CRF': 'keras_"):
        le.convert(path)


def test_verify_and_specs(tmp_path):
    path, _, _ = written("join_plain", tmp_path)
    report = le.verify(le.convert(path, custom_objects=CRF), path, custom_objects=CRF)
    assert not report.differences and report.unchecked          # Keras lacks the class, and runs no such file
    with pytest.raises(le.ArgumentError, match="custom_objects says what classes of a file's layers are; a spec"):
        le.convert(path, spec={"layers": []}, custom_objects=CRF)


@pytest.mark.parametrize("given, kind, said", [
    ({"CRF": "my.layers.CRF"}, le.ArgumentError, "'CRF' is to be 'my.layers.CRF', which is not known; known are"),
    ({"CRF": "InputLayer"}, le.ArgumentError, "is not known"),
    ({"LSTM": "GRU"}, le.ArgumentError, "is a class of Keras"),
    ({"Sequential": "Dense"}, le.ArgumentError, "is a class of Keras"),
    ({"CRF": "ops.Sum"}, le.ArgumentError, "is not known"),
    ({**CRF, "Other": "LSTM"}, le.ArgumentError, "no layer of the model is of a class 'Other'"),
    ({"CRF": le.Model}, le.ArgumentTypeError, "must map names of classes to names"),
    ("CRF", le.ArgumentTypeError, "must map names of classes to names")])
def test_what_cannot_be_said(given, kind, said, tmp_path):
    with pytest.raises(kind, match=said):
        le.convert(written("join_plain", tmp_path)[0], custom_objects=given)


def test_a_class_of_ones_own_that_is_a_layer_of_keras(tmp_path):
    mine = {**layer("Scale", "mine", scale=2.0, offset=1.0), "registered_name": "mine>Scale", "module": "mine"}
    config = sequential(layer("InputLayer", "x", batch_shape=[None, 3], dtype="float32"), mine)
    path = zipped(tmp_path / "m.keras", config, {})
    for name in ("mine>Scale", "Scale"):
        made = le.convert(path, custom_objects={name: "Rescaling"}).predict(np.ones((1, 3), np.float32))
        assert made.tolist() == [[3, 3, 3]]


def field(**config):
    return layer("CRF", "field", units=2, **config)


def tagger(*layers):
    return sequential(layer("InputLayer", "x", batch_shape=[None, None], dtype="int32"),
                      layer("Embedding", "table", input_dim=4, output_dim=3, mask_zero=True), *layers)


WEIGHTS = {"layers/embedding/vars/0": (4, 3), "layers/crf/vars/0": (3, 2), "layers/crf/vars/1": (2, 2),
           "layers/crf/vars/2": (2,), "layers/crf/vars/3": (2,), "layers/crf/vars/4": (2,)}


@pytest.mark.parametrize("layers, kind, said", [
    ((field(), layer("Dropout", "behind", rate=0.1)), le.UnsupportedError, "'behind'.*behind a layer that hands on a"),
    ((field(learn_mode="other"),), le.FormatError, "learn_mode is 'other'; expected join or marginal"),
    ((field(learn_mode=["join"]),), le.FormatError, "learn_mode is .'join'.; expected join or marginal"),
    ((field(test_mode="best"),), le.FormatError, "test_mode is 'best'; expected viterbi or marginal")])
def test_settings_that_are_not_supported(layers, kind, said, tmp_path):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in WEIGHTS.items()}
    path = zipped(tmp_path / "m.keras", tagger(*layers), arrays)
    with pytest.raises(kind, match=said):
        le.convert(path, custom_objects=CRF)

