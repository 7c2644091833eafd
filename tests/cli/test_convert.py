"""lstm-engine convert: what it writes, where, and what stays when it fails."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_bytes import safetensors

import lstm_engine as le
from lstm_engine import format as lstm_format
from lstm_engine.operators.precision import cast


def test_the_file_computes_what_the_checkpoint_does(cli, checkpoint, tmp_path):
    ended = cli("convert", checkpoint, "--pool", "last", "-o", tmp_path / "out.lstm")
    assert ended.code == 0 and ended.out == ""
    assert "LSTM(48)" in ended.err and f"wrote {tmp_path / 'out.lstm'}" in ended.err
    x = np.random.default_rng(1).standard_normal((3, 9, 1)).astype(np.float32)
    with pytest.warns(le.AssumptionWarning):
        expected = le.convert(checkpoint, pool="last").predict(x)
    np.testing.assert_array_equal(le.load(tmp_path / "out.lstm").predict(x), expected)


def test_the_output_stands_beside_the_source_unless_said(cli, checkpoint):
    assert cli("convert", checkpoint).code == 0
    assert le.load(checkpoint.with_suffix(".lstm")).outputs["output"].shape == ("batch", "time", 52)


def test_a_spec_is_read(cli, checkpoint, tmp_path):
    assert cli("inspect", checkpoint, "--spec").code == 0
    spec = json.loads(cli("inspect", checkpoint, "--spec").out)
    spec["nodes"][-1]["activation"] = "sigmoid"
    (tmp_path / "net.json").write_text(json.dumps(spec))
    assert cli("convert", checkpoint, "--spec", tmp_path / "net.json").code == 0
    assert str(le.load(checkpoint.with_suffix(".lstm")).graph.nodes[-1].activation) == "sigmoid"


def test_dtype_is_that_of_the_stored_weights(cli, checkpoint, tmp_path):
    assert cli("convert", checkpoint, "--dtype", "float64", "-o", tmp_path / "wide.lstm").code == 0
    wide = le.load(tmp_path / "wide.lstm")
    assert wide.dtype == "float64" and wide.inputs["input"].dtype == "float64"
    assert wide.predict(np.zeros((1, 2, 1))).dtype == np.float64


def test_casting_reaches_constants_of_operators():
    node = le.graph.Operator(name="add", op_type="Add", inputs=("x", ""), outputs=("y",),
                             constants={1: np.array([0.5], np.float32)})
    graph = le.graph.Graph((le.graph.Value("x", ("batch", 3)),), (node,), ("y",))
    y = le.Model(cast(graph, "float64")).predict(np.ones((1, 3)))
    assert y.dtype == np.float64 and (y == 1.5).all()


ASSUMED = ["the layers run in the order 'lstm' -> 'head', each once",
           "there is nothing before 'lstm': it reads the input as it is", "there is nothing between 'lstm' and 'head'",
           "there is no activation after 'head'", "every step is given: no last step, mean or maximum is taken",
           "sequences are batch first: [batch, time, features]", "every sequence begins with a zero state"]


def test_what_is_assumed_of_weights_alone_is_said_and_kept(cli, checkpoint, tmp_path):
    ended = cli("convert", checkpoint, "-o", tmp_path / "out.lstm")
    said = [line.removeprefix("lstm-engine: assumed: ") for line in ended.err.splitlines() if "assumed: " in line]
    assert said[0].startswith("'lstm' is PyTorch's LSTM: known by") and said[1:] == ASSUMED
    assert "--pool, --activation, --order or --spec settle what it does not say" in ended.err
    model = le.load(tmp_path / "out.lstm")
    assert list(model.assumptions) == said == list(pickle.loads(pickle.dumps(model)).assumptions)
    assert model.graph.metadata["assumptions"].split("\n") == said
    shown = cli("inspect", tmp_path / "out.lstm")
    assert [line.removeprefix("assumed   ") for line in shown.out.splitlines() if line.startswith("assumed")] == said
    assert json.loads(cli("inspect", tmp_path / "out.lstm", "--json").out)["assumptions"] == said


def test_options_say_what_weights_do_not(cli, checkpoint, tmp_path):
    ended = cli("convert", checkpoint, "--pool", "last", "--activation", "head=tanh", "--order", "lstm,head", "-o",
                tmp_path / "out.lstm")
    model = le.load(tmp_path / "out.lstm")
    assert list(model.assumptions[1:]) == ["there is nothing before 'lstm': it reads the input as it is",
                                           "there is nothing else between 'lstm' and 'head'", *ASSUMED[-2:]]
    x = np.random.default_rng(1).standard_normal((3, 9, 1)).astype(np.float32)
    with pytest.warns(le.AssumptionWarning, match="forecast.pt holds weights alone, .*no activation after 'head'"):
        plain = le.convert(checkpoint, pool="last").predict(x)
    assert ended.code == 0
    # 1e-6: tanh of numbers below 2 in float32, here and in NumPy.
    np.testing.assert_allclose(model.predict(x), np.tanh(plain), rtol=0, atol=1e-6)


def test_a_spec_leaves_nothing_to_assume(cli, checkpoint, tmp_path):
    (tmp_path / "net.json").write_text(cli("inspect", checkpoint, "--spec").out)
    ended = cli("convert", checkpoint, "--spec", tmp_path / "net.json", "-o", tmp_path / "out.lstm")
    assert ended.code == 0 and "assumed" not in ended.err and le.load(tmp_path / "out.lstm").assumptions == ()


def test_names_from_a_file_cannot_write_to_the_terminal(cli, tmp_path):
    layer = "\x1b[2J\x07\u202e"
    header = {f"{layer}.weight_ih_l0": {"dtype": "F32", "shape": [12, 5], "data_offsets": [0, 240]},
              f"{layer}.weight_hh_l0": {"dtype": "F32", "shape": [12, 3], "data_offsets": [240, 384]}}
    (tmp_path / "a.safetensors").write_bytes(safetensors(json.dumps(header).encode(), bytes(384)))
    ended = cli("convert", tmp_path / "a.safetensors")
    shown = cli("inspect", tmp_path / "a.lstm")
    for text in (ended.err, shown.out):
        assert r"\x1b[2J\x07\u202e' is PyTorch's LSTM" in text
        assert all(character.isprintable() for character in text.replace("\n", ""))


@pytest.mark.parametrize(("argv", "message"), [
    (["--activation", "head"], "argument --activation: 'head' is not LAYER=NAME, such as fc=relu or fc=none"),
    (["--activation", "head=relu", "--activation", "head=tanh"],
     "--activation: layer 'head' is given relu and tanh"),
    (["-o", "model.h5"], "--output model.h5: the name must end in .lstm"),
    (["--pool", "first"], "argument --pool: invalid choice"),
    (["--dtype", "float16"], "argument --dtype: invalid choice"),
])
def test_wrong_usage(cli, checkpoint, argv, message):
    ended = cli("convert", checkpoint, *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


def test_a_lstm_file_is_converted_already(cli, models):
    ended = cli("convert", models / "ids.lstm")
    assert ended.code == 2 and "ids.lstm is a .lstm file already" in ended.err


def test_a_bad_source_leaves_the_output_as_it_was(cli, checkpoint, tmp_path):
    target = tmp_path / "out.lstm"
    target.write_bytes(b"what was there")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    ended = cli("convert", checkpoint, "-o", target)
    assert ended.code == 1 and ended.out == "" and ended.err.count("\n") == 1
    assert ended.err.startswith(f"lstm-engine: error: {checkpoint}: ")
    assert target.read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == ["forecast.pt", "out.lstm"]


@pytest.mark.parametrize(("failure", "code"), [(OSError(28, "No space left on device"), 1),
                                               (KeyboardInterrupt(), 130)])
def test_a_write_that_fails_leaves_the_output_as_it_was(cli, checkpoint, tmp_path, monkeypatch, failure, code):
    target = tmp_path / "out.lstm"
    target.write_bytes(b"what was there")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)              # every byte is written by then, the new name not yet given
    ended = cli("convert", checkpoint, "-o", target)
    assert ended.code == code and ended.out == "" and ended.err.count("lstm-engine: error: ") == 1
    assert target.read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == ["forecast.pt", "out.lstm"]


def test_an_existing_output_is_replaced_by_the_whole_file(cli, checkpoint, tmp_path):
    target = tmp_path / "out.lstm"
    target.write_bytes(b"x" * 1_000_000)
    assert cli("convert", checkpoint, "-o", target).code == 0
    lstm_format.load(target)


def test_a_folder_that_is_not_there(cli, checkpoint, tmp_path):
    ended = cli("convert", checkpoint, "-o", tmp_path / "no" / "out.lstm")
    assert ended.code == 1 and "No such file or directory" in ended.err and ended.err.count("lstm-engine: error: ") == 1


def test_external_data_of_a_cache(cli, tmp_path):
    """dvc lays model and data as links into folders of a cache, which --data-folder names."""
    onnx = pytest.importorskip("onnx")
    from model_files import X, onnx_proto

    cache = tmp_path / "cache"
    for name in ("ab", "9f"):
        (cache / name).mkdir(parents=True)
    onnx.save_model(onnx_proto(), cache / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (cache / "m.onnx").rename(cache / "ab" / "cd")
    (cache / "m.data").rename(cache / "9f" / "01")
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "m.onnx").symlink_to(cache / "ab" / "cd")
    (repository / "m.data").symlink_to(cache / "9f" / "01")
    model = repository / "m.onnx"
    expected = le.convert(onnx_proto()).predict(X)
    np.save(tmp_path / "x.npy", X)
    for command in (["convert", model], ["inspect", model], ["predict", model, tmp_path / "x.npy"]):
        ended = cli(*command)
        assert ended.code == 1 and "in none of the folders that may be read; name" in ended.err
        assert "--data-folder" in ended.err
    assert cli("inspect", model, "--data-folder", cache).code == 0
    assert cli("convert", model, "--data-folder", cache).code == 0
    np.testing.assert_array_equal(le.load(repository / "m.lstm").predict(X), expected)
    ended = cli("inspect", repository / "m.lstm", "--data-folder", cache)
    assert ended.code == 2 and "--data-folder is for checkpoints" in ended.err
    ended = cli("verify", repository / "m.lstm", "--source", model, "--data-folder", cache, "--reference")
    assert "cannot be imported" not in ended.out and "the engine alone" in ended.out


@pytest.mark.parametrize("command", ["convert", "inspect", "verify"])
def test_an_empty_path_is_said(cli, command):
    ended = cli(command, "")
    assert ended.code == 2 and "an empty path" in ended.err


def test_a_file_that_is_none_is_named(cli, tmp_path):
    (tmp_path / "m.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
    for command in (["convert", tmp_path / "m.pt"], ["inspect", tmp_path / "m.pt"],
                    ["inspect", tmp_path / "m.pt", "--spec"]):
        ended = cli(*command)
        assert ended.code == 1 and ended.err.count("\n") == 1
        assert "m.pt: this is a pointer of Git LFS, not the file it stands for; git lfs pull" in ended.err
    assert cli("inspect", tmp_path).err.endswith("give the one in it, 'm.pt'\n")


def test_our_own_file_by_another_name(cli, models, tmp_path):
    """What it is its bytes say: it was taken for safetensors, and an ONNX model called .lstm for a file of ours."""
    copy = shutil.copy(models / "ids.lstm", tmp_path / "ids.bin")
    ended = cli("convert", copy, "-o", tmp_path / "out.lstm")
    assert ended.code == 2 and "ids.bin is a .lstm file already" in ended.err
    onnx = pytest.importorskip("onnx")
    from model_files import X, onnx_proto

    onnx.save_model(onnx_proto(), tmp_path / "named.lstm")
    assert cli("convert", tmp_path / "named.lstm", "-o", tmp_path / "out.lstm").code == 0
    np.testing.assert_array_equal(le.load(tmp_path / "out.lstm").predict(X), le.convert(onnx_proto()).predict(X))
    ended = cli("verify", tmp_path / "named.lstm", "--steps", "3")
    assert ended.code == 0 and "named.lstm in onnxruntime" in ended.out
    ended = cli("inspect", copy, "--data-folder", tmp_path)
    assert ended.code == 2 and "--data-folder is for checkpoints" in ended.err


def test_a_class_that_keras_lacks(cli, tmp_path):
    pytest.importorskip("h5py")
    with zipfile.ZipFile(Path(__file__).parents[1] / "golden" / "keras" / "2.2.4-contrib.zip") as members:
        path = members.extract("join_masked.h5", tmp_path)
        with members.open("join_masked.npz") as file:
            arrays = dict(np.load(file))
    np.save(tmp_path / "x.npy", arrays["x"])
    said = ["--custom-object", "CRF=keras_contrib.layers.CRF"]
    assert cli("convert", path, "-o", tmp_path / "m.lstm", *said).code == 0
    assert cli("predict", path, tmp_path / "x.npy", "-o", tmp_path / "y.npy", *said).code == 0
    assert np.array_equal(np.load(tmp_path / "y.npy"), arrays["y"])
    assert cli("convert", path, "-o", tmp_path / "m.lstm", "--custom-object", "CRF").code == 2
