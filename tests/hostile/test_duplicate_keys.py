"""A key given twice in one JSON object: two readers may see two things in it, so every reader here refuses it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("h5py")

import lstm_files
from keras_hostile import CONFIG, rewritten
from keras_hostile import good as keras_file
from onnx_graphs import model, node
from torch_bytes import safetensors

import lstm_engine as le
from lstm_engine.cli.main import main


def twice(text: str, key: str) -> str:
    """The text of an object with one of its keys at the first place it stands, before itself, as null."""
    place = text.index(f'"{key}":')
    return f'{text[:place]}"{key}": null, {text[place:]}'


def onnx_file(folder):
    path = folder / "m.onnx"
    path.write_bytes(model([node("Add", "x k", "y")], {"x": ("n", 2), "k": ()}, "y").SerializeToString())
    return path


def of_an_onnx_spec(folder):
    (folder / "spec.json").write_text(twice(json.dumps({"fixed": {"k": 2.0}}), "k"))
    return lambda: le.convert(onnx_file(folder), spec=folder / "spec.json"), "spec .*spec.json", "k"


def of_a_spec_of_arrays(folder):
    np.savez(folder / "w.npz", W=np.eye(2, dtype=np.float32))
    (folder / "spec.json").write_text(twice('{"nodes": []}', "nodes"))
    return lambda: le.convert(folder / "w.npz", spec=str(folder / "spec.json")), "spec .*spec.json", "nodes"


def of_the_config_of_keras(folder):
    text = twice(json.dumps(CONFIG), "units").encode()
    path = rewritten(keras_file(folder), lambda archive, contents: contents.update({"config.json": text}))
    return lambda: le.convert(path), ".*config.json", "units"


def of_the_header_of_lstm(folder):
    path = lstm_files.broken(folder / "m.lstm", lambda header, data: twice(
        json.dumps(header, separators=(",", ":")), "shape"))
    return lambda: le.load(path), ".*header", "shape"


def of_the_config_of_lstm(folder):
    def change(header, data):
        header["__metadata__"]["config"] = twice(header["__metadata__"]["config"], "outputs")
    path = lstm_files.broken(folder / "m.lstm", change)
    return lambda: le.load(path), ".*config", "outputs"


def of_the_header_of_safetensors(folder):
    (folder / "m.safetensors").write_bytes(safetensors(b'{"a": 1, "a": 2}'))
    return lambda: le.convert(folder / "m.safetensors"), ".*the header", "a"


@pytest.mark.parametrize("case", [of_an_onnx_spec, of_a_spec_of_arrays, of_the_config_of_keras, of_the_header_of_lstm,
                                  of_the_config_of_lstm, of_the_header_of_safetensors])
def test_a_key_twice(case, tmp_path):
    attempt, part, key = case(tmp_path)
    with pytest.raises(le.FormatError, match=f"^{part}: the key {key!r} appears twice in one object$"):
        attempt()


def test_the_spec_that_the_command_line_is_given(tmp_path, capsys):
    path = onnx_file(tmp_path)
    spec = tmp_path / "spec.json"
    spec.write_text('{"fixed": {"k": 2.0, "k": 3.0}}')
    assert main(["convert", str(path), "--spec", str(spec), "-o", str(tmp_path / "out.lstm")]) == 1
    assert re.search(r"spec .*spec\.json: the key 'k' appears twice in one object\n$", capsys.readouterr().err)
    assert not (tmp_path / "out.lstm").exists()
    # What is given once is read: 2 is added.
    spec.write_text('{"fixed": {"k": 2.0}}')
    np.testing.assert_array_equal(le.convert(path, spec=spec).predict(np.ones((3, 2), np.float32)), np.full((3, 2), 3))
