"""lstm-engine inspect."""

from __future__ import annotations

import json

import numpy as np

import lstm_engine as le


def test_text_shows_inputs_outputs_and_layers(cli, models):
    ended = cli("inspect", models / "ids.lstm")
    assert ended.code == 0 and ended.err == ""
    assert "input   input int32 [batch, time]" in ended.out and "output  output float32 [batch, time, 2]" in ended.out
    for layer in ("Embedding(7, 3)", "LSTM(4)", "Dense(2, softmax)"):
        assert layer in ended.out


def test_json_describes_the_graph(cli, models):
    ended = cli("inspect", models / "two.lstm", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and ended.err == ""
    assert told["inputs"] == [{"name": "x", "shape": ["batch", "time", 2], "dtype": "float32"},
                              {"name": "h0", "shape": ["batch", 4], "dtype": "float32"}]
    assert [value["name"] for value in told["outputs"]] == ["y", "h"]
    assert told["parameters"] == 16 * 2 + 16 * 4 == told["layers"][0]["parameters"]
    assert told["layers"][0]["op"] == "LSTM" and told["layers"][0]["shape"] == ["batch", "time", 4]


def test_what_padding_is_to_the_model(cli, models):
    told = json.loads(cli("inspect", models / "ids.lstm", "--json").out)["padding"]
    assert (told["mask"], told["masked"], len(told["unmasked"])) == ("none", [], 1)
    assert told["note"].startswith("no mask is in the model: a list of unequal sequences (or lengths) leaves padding")
    line, = [line for line in cli("inspect", models / "ids.lstm").out.splitlines() if line.startswith("mask ")]
    assert line.split(maxsplit=1)[1] == told["note"]


def test_a_model_without_sequences_says_nothing_of_padding(cli, tmp_path):
    node = le.graph.Dense(name="d", inputs=("x",), outputs=("y",), kernel=np.ones((2, 1), np.float32))
    le.Model(le.graph.Graph((le.graph.Value("x", ("batch", 2)),), (node,), ("y",))).save(tmp_path / "m.lstm")
    assert "mask" not in cli("inspect", tmp_path / "m.lstm").out
    assert json.loads(cli("inspect", tmp_path / "m.lstm", "--json").out)["padding"] is None


def test_a_checkpoint_is_shown_without_converting_it_first(cli, checkpoint):
    ended = cli("inspect", checkpoint, "--pool", "last", "--dtype", "float64", "--json")
    told = json.loads(ended.out)
    assert told["dtype"] == "float64" and [layer["op"] for layer in told["layers"]] == ["LSTM", "Pool", "Dense"]
    assert told["metadata"]["producer"] == "torch"


def test_the_proposed_spec_converts_the_file(cli, checkpoint):
    spec = json.loads(cli("inspect", checkpoint, "--spec").out)
    assert [node.op for node in le.convert(checkpoint, spec=spec).graph.nodes] == ["LSTM", "Dense"]


def test_a_spec_is_for_weights_alone(cli, models, checkpoint):
    ended = cli("inspect", models / "ids.lstm", "--spec")
    assert ended.code == 2 and "says itself what it computes" in ended.err
    assert cli("inspect", checkpoint, "--spec", "--json").code == 2
    assert cli("inspect", checkpoint, "--spec", "--pool", "last").code == 2


def test_a_damaged_file(cli, models, tmp_path):
    raw = bytearray((models / "ids.lstm").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "m.lstm").write_bytes(raw)
    ended = cli("inspect", tmp_path / "m.lstm")
    assert ended.code == 1 and ended.out == "" and "crc32" in ended.err and ended.err.count("\n") == 1
