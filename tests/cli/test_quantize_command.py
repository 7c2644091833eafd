"""lstm-engine quantize, and how the other commands show a quantised model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from graphs import weights
from quantized_models import stacked

import lstm_engine as le

IDS = np.random.default_rng(0).integers(0, 11, (4, 12))


@pytest.fixture
def files(tmp_path):
    """A float model and its inputs, in a folder."""
    le.Model(stacked()).save(tmp_path / "float.lstm")
    np.savez(tmp_path / "in.npz", ids=IDS)
    return tmp_path


def test_it_writes_what_quantize_makes(cli, files):
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8", "--eval",
                files / "in.npz")
    assert ended.code == 0
    model = le.load(files / "float.lstm")
    expected = le.quantize(model, "int8", data={"ids": IDS})
    np.testing.assert_array_equal(le.load(files / "small.lstm").predict(IDS), expected.predict(IDS))
    lines = [line.split() for line in ended.out.splitlines() if line]
    assert lines[0] == ["layer", "kind", "weights", "float32", "bytes", "bytes", "largest", "error", "rms", "error"]
    layers = expected.quantization.layers
    for line, layer in zip(lines[2:8], layers, strict=True):
        assert line == [layer.name, layer.op, "int8", f"{layer.bytes_before:,}", f"{layer.bytes:,}",
                        f"{layer.error.largest:.2e}", f"{layer.error.rms:.2e}"]
    (output,) = expected.quantization.outputs
    assert lines[-1] == ["y", f"{output.largest:.2e}", f"{output.rms:.2e}", "48", str(output.changed),
                         f"({output.changed / 48:.2%})"]
    size = (files / "small.lstm").stat().st_size
    assert f"wrote {files / 'small.lstm'}, {size:,} bytes; weights 2,330 bytes, in float32 4,320" in ended.err


def test_without_data_nothing_is_run(cli, files):
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "bfloat16")
    assert ended.code == 0 and "decisions" not in ended.out and "bfloat16" in ended.out


def test_layers_and_tolerance(cli, files):
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8", "--layer", "fc=float32",
                "--layer", "gru=float16", "--json")
    told = json.loads(ended.out)
    assert {layer["name"]: layer["type"] for layer in told["layers"]} == {
        "embed": "int8", "lstm": "int8", "gru": "float16", "gru_2": "int8", "rnn": "int8", "fc": "float32"}
    assert told["weight_dtype"] == "mixed" and told["outputs"] == []
    assert told["file_bytes"] == (files / "small.lstm").stat().st_size
    ended = cli("quantize", files / "float.lstm", "-o", files / "near.lstm", "--to", "int8", "--eval", files / "in.npz",
                "--tolerance", "0.03", "--json")
    told = json.loads(ended.out)
    assert told["outputs"][0]["largest"] <= 0.03 and told["weight_dtype"] == "mixed"
    assert le.load(files / "near.lstm").weight_dtype == "mixed"


REFUSED = {
    "no type": ([], 2, "the following arguments are required: --to"),
    "a type": (["--to", "int4"], 2, "argument --to: invalid choice: 'int4'"),
    "a layer without a type": (["--to", "int8", "--layer", "fc"], 2, "argument --layer: 'fc' is not NAME=TYPE, such as "
                                                                     "lstm=int8 or fc=float32"),
    "a layer's type": (["--to", "int8", "--layer", "fc=int4"], 2, "--layer fc=int4: the type is one of float32, int8, "
                                                                  "int8_weights, bfloat16, float16"),
    "a layer twice": (["--to", "int8", "--layer", "fc=int8", "--layer", "fc=float32"], 2,
                      "--layer: layer 'fc' is given int8 and float32"),
    "a layer": (["--to", "int8", "--layer", "nope=int8"], 1, "layers: 'nope': the model has no such layer; those that "
                                                             "can be quantised are: embed (Embedding), lstm (LSTM)"),
    "a tolerance alone": (["--to", "int8", "--tolerance", "1"], 2, "--tolerance needs --eval"),
    "nothing": (["--to", "float32"], 1, "nothing is left to quantise: the layers that can be are embed"),
    "float64": (["--to", "int8", "--dtype", "float64"], 1, "the model computes in float64, and quantised layers in"),
}


@pytest.mark.parametrize(("argv", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_one_line(cli, files, argv, code, message):
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.lstm", *argv)
    assert ended.code == code and ended.out == ""
    assert ended.err.startswith("lstm-engine: error: ") and message in ended.err and ended.err.count("\n") == 1
    assert not (files / "small.lstm").exists()


def test_files_that_are_read_are_not_replaced(cli, files):
    before = (files / "float.lstm").read_bytes()
    ended = cli("quantize", files / "float.lstm", "-o", files / "float.lstm", "--to", "int8")
    assert ended.code == 2 and "would replace MODEL" in ended.err
    (files / "eval.lstm").write_bytes((files / "in.npz").read_bytes())
    ended = cli("quantize", files / "float.lstm", "-o", files / "eval.lstm", "--to", "int8", "--eval",
                files / "eval.lstm")
    assert ended.code == 2 and "would replace --eval" in ended.err
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.npz", "--to", "int8")
    assert ended.code == 2 and "the name must end in .lstm" in ended.err
    assert (files / "float.lstm").read_bytes() == before


def test_a_file_that_is_there_stays_where_it_fails(cli, files):
    (files / "small.lstm").write_text("as it was")
    np.savez(files / "bad.npz", other=IDS)
    ended = cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8", "--eval",
                files / "bad.npz")
    assert ended.code == 1 and "ids" in ended.err and (files / "small.lstm").read_text() == "as it was"


def test_quantising_twice_is_refused(cli, files):
    cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8")
    ended = cli("quantize", files / "small.lstm", "-o", files / "smaller.lstm", "--to", "bfloat16")
    assert ended.code == 1 and "the model is quantised already (int8)" in ended.err


def test_inspect_shows_types_and_bytes(cli, files):
    cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8", "--layer", "fc=float32")
    report = le.load(files / "small.lstm").quantization
    text = cli("inspect", files / "small.lstm").out
    facts = dict(line.split(None, 1) for line in text.split("\n\n")[0].splitlines())
    assert facts["weights"] == f"mixed, {report.bytes:,} bytes, in float32 4,320"
    told = json.loads(cli("inspect", files / "small.lstm", "--json").out)
    assert told["weight_dtype"] == "mixed" and told["dtype"] == "float32" and told["parameters"] == 1080
    assert [layer["type"] for layer in told["quantization"]["layers"]] == ["int8"] * 5 + ["float32"]
    assert told["quantization"]["layers"][0]["error"] is None
    assert json.loads(cli("inspect", files / "float.lstm", "--json").out)["quantization"] is None


def test_bench_says_what_it_times(cli, files):
    cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8")
    ended = cli("bench", files / "small.lstm", "--batch", "1", "--steps", "3", "--seconds", "0.001")
    assert ended.code == 0 and "median milliseconds of a run; int8 weights, float32, " in ended.out
    ended = cli("bench", files / "small.lstm", "--batch", "1", "--steps", "3", "--seconds", "0.001", "--json")
    assert json.loads(ended.out)["weight_dtype"] == "int8"


@pytest.fixture
def onnx_file(tmp_path):
    """An LSTM of ONNX, and the same quantised by us."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import helper, numpy_helper

    arrays = {"W": weights(1, 32, 3), "R": weights(1, 32, 8) / 2}
    node = helper.make_node("LSTM", ["x", "W", "R"], ["Y", "Y_h"], hidden_size=8, name="cell")
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, ["time", "batch", 3])],
                              [helper.make_tensor_value_info("Y_h", 1, [1, "batch", 8])],
                              [numpy_helper.from_array(array, name) for name, array in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "cell.onnx")
    return tmp_path / "cell.onnx"


def test_bench_tells_the_difference_from_a_float_framework_and_does_not_judge_it(cli, onnx_file, tmp_path):
    cli("quantize", onnx_file, "-o", tmp_path / "small.lstm", "--to", "int8")
    ended = cli("bench", tmp_path / "small.lstm", "--source", onnx_file, "--against", "onnxruntime", "--batch", "2",
                "--steps", "5", "--seconds", "0.001")
    assert ended.code == 0, ended.err
    assert "(int8 weights beside its own: not judged)" in ended.out


@pytest.mark.parametrize("to", ["int8", "int8_weights", "bfloat16", "float16"])
def test_verify_checks_the_engine_and_tells_how_far_the_source_is(cli, onnx_file, tmp_path, to):
    cli("quantize", onnx_file, "-o", tmp_path / "small.lstm", "--to", to)
    ended = cli("verify", tmp_path / "small.lstm", "--source", onnx_file)
    assert ended.code == 3, ended.out + ended.err
    assert f"NOT CHECKED: the weights are {to}, the source's are not: the outputs are up to " in ended.out
    assert "checked: the engine alone: 1 output against our own float64 reference" in ended.out
    assert cli("verify", tmp_path / "small.lstm", "--reference").code == 3


def test_verify_judges_the_distance_from_the_source_where_it_is_told_to(cli, onnx_file, tmp_path):
    cli("quantize", onnx_file, "-o", tmp_path / "small.lstm", "--to", "int8")
    # States are within [-1, 1], and eight bits of weights move them by some hundredths.
    assert cli("verify", tmp_path / "small.lstm", "--source", onnx_file, "--tolerance", "0.2").code == 0
    ended = cli("verify", tmp_path / "small.lstm", "--source", onnx_file, "--tolerance", "1e-6")
    assert ended.code == 1 and "differs from onnxruntime" in ended.out


def test_stored_outputs_of_a_float_model_are_told_apart(cli, files):
    model = le.load(files / "float.lstm")
    np.savez(files / "out.npz", y=model.predict(IDS))
    cli("quantize", files / "float.lstm", "-o", files / "small.lstm", "--to", "int8")
    ended = cli("verify", files / "small.lstm", "--inputs", files / "in.npz", "--outputs", files / "out.npz")
    assert ended.code == 1 and "note: the weights are int8: where the stored outputs are those of a float" in ended.out
    assert cli("verify", files / "small.lstm", "--inputs", files / "in.npz", "--outputs", files / "out.npz",
               "--tolerance", "0.5").code == 0
