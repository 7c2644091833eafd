"""lstm-engine inspect."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

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


def test_weights_that_a_file_holds_as_int8(cli, tmp_path):
    onnx = pytest.importorskip("onnx", reason="writes an ONNX model")
    helper, rng = onnx.helper, np.random.default_rng(0)
    tensors = {"q": rng.integers(-127, 128, (4, 6)).astype(np.int8), "s": np.float32(0.01) * np.arange(1, 7),
               "k": rng.standard_normal((6, 2))}
    nodes = [helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=1),
             helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
             helper.make_node("MatMul", ["a", "k"], ["y"], name="second")]
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["batch", 4])],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(array if name == "q" else array.astype(np.float32), name)
         for name, array in tensors.items()])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    text = cli("inspect", tmp_path / "m.onnx").out
    facts = dict(line.split(None, 1) for line in text.split("\n\n")[0].splitlines())
    assert facts["stored_as_integers"] == "w (int8)" and facts["weights"] == "mixed, 96 bytes, in float32 144"
    rows = [line.split() for line in text.split("\n\n")[1].splitlines()]
    assert ["first", "Dense(6,", "linear)", "int8_weights"] in [row[:4] for row in rows]
    assert ["second", "Dense(2,", "linear)", "float32"] in [row[:4] for row in rows]
    told = json.loads(cli("inspect", tmp_path / "m.onnx", "--json").out)
    assert [layer["type"] for layer in told["quantization"]["layers"]] == ["int8_weights", "float32"]
    if importlib.util.find_spec("onnxruntime") is not None:
        ended = cli("verify", tmp_path / "m.onnx", "--batch", "3")
        assert ended.code == 0, ended.out                      # judged as any: the weights are those of the source
    ended = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.lstm")
    assert ended.code == 0 and le.load(tmp_path / "m.lstm").weight_dtype == "mixed"
