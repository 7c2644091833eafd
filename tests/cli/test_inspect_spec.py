"""lstm-engine inspect --spec: what a file is, its content says, and what is proposed converts it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch_bytes
from model_files import KINDS

import lstm_engine as le


def proposed(cli, path):
    ended = cli("inspect", path, "--spec")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize("name", ["model.pt", "model.ckpt", "model.th", "model.tar", "model.bin", "model", "model.h5",
                                  "model.json"])
def test_torch_files_whatever_they_are_called(cli, tmp_path, checkpoint, name):
    shutil.copyfile(checkpoint, tmp_path / name)
    spec = proposed(cli, tmp_path / name)
    assert spec == proposed(cli, checkpoint)
    assert [node.op for node in le.convert(tmp_path / name, spec=spec).graph.nodes] == ["LSTM", "Dense"]


def test_a_folder_and_an_index(cli, tmp_path):
    header = {"weight_ih_l0": torch_bytes.entry(0, 24, (3, 2)), "weight_hh_l0": torch_bytes.entry(24, 36, (3, 1))}
    (tmp_path / "a.safetensors").write_bytes(torch_bytes.safetensors(json.dumps(header).encode(), bytes(36)))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(header, "a.safetensors")}))
    assert proposed(cli, tmp_path) == proposed(cli, index)
    assert [node["op"] for node in proposed(cli, index)["nodes"]] == ["GRU"]


def test_arrays_in_pytorchs_naming(cli, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"lstm.weight_ih_l0": rng.standard_normal((8, 3)), "lstm.weight_hh_l0": rng.standard_normal((8, 2)),
              "fc.weight": rng.standard_normal((1, 2)), "fc.bias": rng.standard_normal(1)}
    np.savez(tmp_path / "a.npz", **arrays)
    spec = proposed(cli, tmp_path / "a.npz")
    assert [node.op for node in le.convert(tmp_path / "a.npz", spec=spec).graph.nodes] == ["LSTM", "Dense"]


KERAS = {
    "lstm": lambda layers: [layers.LSTM(4, return_sequences=True), layers.Dense(2)],
    "gru": lambda layers: [layers.GRU(4, return_sequences=True), layers.Dense(2)],
    "old gru": lambda layers: [layers.GRU(4, return_sequences=True, reset_after=False), layers.Dense(2)],
    "no biases": lambda layers: [layers.LSTM(4, return_sequences=True, use_bias=False),
                                 layers.Dense(2, use_bias=False)],
    "square": lambda layers: [layers.LSTM(5, return_sequences=True), layers.Dense(5)],
    "rnn": lambda layers: [layers.SimpleRNN(4, return_sequences=True), layers.Dense(2)],
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["npz", "weights.h5"])
@pytest.mark.parametrize("name", KERAS)
def test_layers_as_keras_keeps_them(cli, tmp_path, name, kind):
    """Keras computes in float32, on values below 1: 1e-6."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((None, 5)), *KERAS[name](keras.layers)])
    for layer in model.layers:
        layer.set_weights([array + 0.1 for array in layer.get_weights()])
    path = tmp_path / f"a.{kind}"
    if kind == "npz":
        np.savez(path, **{f"{place}/{number}": array for place, layer in enumerate(model.layers)
                          for number, array in enumerate(layer.get_weights())})
    else:
        model.save_weights(path)
    spec = proposed(cli, path)
    assert spec["notes"][0].startswith("a draft, to be corrected: ")
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    found = le.convert(path, spec=spec | {"ignore": ["optimizer*"]}).predict(x)
    assert np.abs(found - model.predict(x, verbose=0)).max() <= 1e-6


def test_arrays_that_are_no_layers(cli, tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 3, 4)), b=np.zeros(3, np.int64))
    spec = proposed(cli, tmp_path / "a.npz")
    assert spec["nodes"] == [] and "belong to no node yet: 'a' [2, 3, 4], 'b' [3]" in spec["notes"][-1]


@pytest.mark.parametrize("kind", ["lstm", "onnx", "keras"])
def test_what_says_itself_what_it_computes_has_no_spec(cli, tmp_path, kind):
    made = KINDS[kind](tmp_path)
    shutil.copyfile(made.path, tmp_path / "model.pt")
    ended = cli("inspect", tmp_path / "model.pt", "--spec")
    assert ended.code == 2 and "it says itself what it computes" in ended.err or "says itself what it" in ended.err


def test_a_folder_is_converted_and_shown(cli, tmp_path, monkeypatch):
    header = {"weight_ih_l0": torch_bytes.entry(0, 24, (3, 2)), "weight_hh_l0": torch_bytes.entry(24, 36, (3, 1))}
    folder = tmp_path / "v1.0"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(torch_bytes.safetensors(json.dumps(header).encode(), bytes(36)))
    assert cli("convert", folder).code == 0 and (tmp_path / "v1.0.lstm").exists()
    assert "model.safetensors" in cli("inspect", folder).out
    (tmp_path / "v1.0.lstm").unlink()
    monkeypatch.chdir(folder)
    assert cli("convert", ".").code == 0 and (tmp_path / "v1.0.lstm").exists()
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    (tmp_path / "v1.0.lstm").unlink()
    ended = cli("convert", folder, "--untrusted")
    assert ended.code == 0, ended.err


def test_what_is_no_model_is_named(cli, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    ended = cli("inspect", tmp_path / "a.pt", "--spec")
    assert ended.code == 1 and "a pointer of Git LFS" in ended.err
