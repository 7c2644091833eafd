"""lstm-engine verify: against stored outputs and the program itself, and what it says where neither could be run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.verifying import frameworks
from lstm_engine.verifying.differences import difference
from lstm_engine.verifying.made_up import random_inputs

DEMO_DATA = Path(le.__file__).parent / "demo_data"


@pytest.fixture
def stored(models, tmp_path):
    """in.npz and out.npz of two.lstm: a run of the float64 reference, saved as float32."""
    model = le.load(models / "two.lstm")
    case = random_inputs(model.graph, 3, 5, np.random.default_rng(1))
    np.savez(tmp_path / "in.npz", **case)
    outputs = reference.run(model.graph, case)
    np.savez(tmp_path / "out.npz", **{name: array.astype(np.float32) for name, array in outputs.items()})
    return tmp_path


def test_stored_outputs(cli, models, stored):
    ended = cli("verify", models / "two.lstm", "--inputs", stored / "in.npz", "--outputs", stored / "out.npz", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and ended.err == "" and told["ok"] and set(told["outputs"]) == {"y", "h"}
    # Values below 1 rounded to float32, after five steps of four units: a few units of 6e-8.
    assert all(0 <= output["max_abs"] < 5e-7 for output in told["outputs"].values())


def test_beyond_the_tolerance_fails(cli, models, stored):
    with np.load(stored / "out.npz") as arrays:
        outputs = dict(arrays)
    outputs["h"][1, 2] += 0.25
    np.savez(stored / "out.npz", **outputs)
    argv = ("verify", models / "two.lstm", "--inputs", stored / "in.npz", "--outputs", stored / "out.npz")
    ended = cli(*argv)
    assert ended.code == 1 and "tolerance: 1e-05" in ended.out and "2.50e-01" in ended.out and "beyond" in ended.out
    assert ended.err == ("lstm-engine: error: output 'h' differs from stored outputs by up to 0.25; worst on the given "
                         "inputs, where 1e-05 is allowed\n")
    assert cli(*argv, "--tolerance", "0.26").code == 0
    told = json.loads(cli(*argv, "--json").out)
    assert not told["ok"] and told["outputs"]["h"]["max_abs"] == pytest.approx(0.25, abs=1e-6)
    assert told["outputs"]["y"]["max_abs"] < 1e-6           # the other output is judged on its own


@pytest.mark.parametrize(("change", "message"), [
    ({"h": None}, "stored outputs: y; the model's outputs are y, h"),
    ({"h": np.zeros((3, 5), np.float32)},
     "stored output 'h' is float32 of shape [3, 5]; the model's is float32 of shape [3, 4]"),
    ({"h": np.full((3, 4), "x")}, "output 'h' is <U1 of shape [3, 4]"),
])
def test_stored_outputs_that_do_not_fit(cli, models, stored, change, message):
    with np.load(stored / "out.npz") as arrays:
        outputs = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    np.savez(stored / "out.npz", **outputs)
    ended = cli("verify", models / "two.lstm", "--inputs", stored / "in.npz", "--outputs", stored / "out.npz")
    assert ended.code == 1 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


def test_nan_is_beyond_every_tolerance_and_no_number_in_json(cli, models, stored):
    with np.load(stored / "out.npz") as arrays:
        outputs = dict(arrays)
    outputs["h"][0, 0] = np.nan
    np.savez(stored / "out.npz", **outputs)
    ended = cli("verify", models / "two.lstm", "--inputs", stored / "in.npz", "--outputs", stored / "out.npz", "--json",
                "--tolerance", "1e30")
    assert ended.code == 1 and json.loads(ended.out)["outputs"]["h"]["max_abs"] is None


def test_without_a_source_the_engine_alone_is_checked(cli, models):
    for name in ("ids", "numbers", "two"):
        ended = cli("verify", models / f"{name}.lstm")
        assert ended.code == 3 and "against our own float64 reference of the graph as imported" in ended.out
        assert "no source was given (--source, source=): the import was not checked" in ended.err
        assert "the engine alone" in ended.out


def test_the_seed_makes_the_inputs(cli, models):
    runs = [cli("verify", models / "ids.lstm", "--json", "--seed", seed).out for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert json.loads(runs[0])["outputs"] != json.loads(runs[2])["outputs"]


def test_weights_alone_are_no_program(cli, checkpoint, tmp_path):
    cli("convert", checkpoint, "--pool", "last", "-o", tmp_path / "m.lstm")
    ended = cli("verify", tmp_path / "m.lstm", "--source", checkpoint, "--pool", "last")
    assert ended.code == 3 and "NOT CHECKED: weights only: the program was not seen" in ended.out
    assert "weights only" in ended.err and "checks the engine, not the import" in ended.out
    # Pooled otherwise, it is another model.
    ended = cli("verify", tmp_path / "m.lstm", "--source", checkpoint, "--pool", "max")
    assert ended.code == 1 and "DIFFERENT" in ended.out


def test_a_source_of_our_own_is_no_program(cli, models):
    ended = cli("verify", models / "ids.lstm", "--source", models / "ids.lstm")
    assert ended.code == 3 and "is a .lstm file: it holds what was imported" in ended.err
    assert cli("verify", models / "ids.lstm", "--source", models / "numbers.lstm").code == 3


def test_a_framework_that_is_not_installed_is_told(cli, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="writes an ONNX model")
    path = dense_onnx(tmp_path)
    le.convert(path).save(tmp_path / "m.lstm")
    monkeypatch.setattr(frameworks, "installed", lambda name: False)
    ended = cli("verify", tmp_path / "m.lstm", "--source", path)
    assert ended.code == 3 and "not checked: onnxruntime is not installed" in ended.err


def dense_onnx(folder, name="dense.onnx", weight=2.0):
    """y = weight * x over [batch, time, 2] as an ONNX file."""
    import onnx
    from onnx import TensorProto, helper

    shape = ["batch", "time", 2]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [weight, 0, 0, weight])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / name)
    return folder / name


def test_onnxruntime(cli, tmp_path):
    pytest.importorskip("onnx", reason="writes an ONNX model")
    pytest.importorskip("onnxruntime", reason="runs the model in ONNX Runtime")
    path = dense_onnx(tmp_path)
    ended = cli("verify", path)                            # a checkpoint is its own source
    assert ended.code == 0 and f"against {path} in onnxruntime" in ended.out and ended.err == ""
    assert "everything was checked and nothing differs" in ended.out
    ended = cli("verify", path, "--source", dense_onnx(tmp_path, "other.onnx", weight=2.001))
    assert ended.code == 1 and "output 'y' differs from onnxruntime" in ended.err
    ended = cli("verify", path, "--source", path, "--steps", "4,9", "--batch", "2", "--json")
    told = json.loads(ended.out)
    assert told["ok"] and told["exit_code"] == 0 and told["outputs"]["y"]["shape"] == [2, 9, 2]
    (tmp_path / "bad.onnx").write_bytes(path.read_bytes()[:-20])
    ended = cli("verify", path, "--source", tmp_path / "bad.onnx")
    assert ended.code == 3 and "onnxruntime could not run" in ended.err


def test_inputs_that_a_spec_fixed_are_given_to_the_framework(cli, tmp_path):
    onnx = pytest.importorskip("onnx", reason="writes an ONNX model")
    pytest.importorskip("onnxruntime", reason="runs the model in ONNX Runtime")
    helper, shape = onnx.helper, ["batch", "time", 2]
    inputs = [helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("gain", 1, [])]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "gain"], ["y"])], "g", inputs,
                              [helper.make_tensor_value_info("y", 1, shape)])
    path = tmp_path / "gain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    (tmp_path / "spec.json").write_text('{"fixed": {"gain": 3.0}}')
    assert cli("convert", path, "--spec", tmp_path / "spec.json").code == 0
    ended = cli("verify", tmp_path / "gain.lstm", "--source", path, "--spec", tmp_path / "spec.json")
    assert ended.code == 0 and "in onnxruntime" in ended.out
    (tmp_path / "spec.json").write_text('{"fixed": {"gain": 3.5}}')
    assert cli("verify", tmp_path / "gain.lstm", "--source", path, "--spec", tmp_path / "spec.json").code == 1


def test_keras(cli, monkeypatch):
    for package, reason in (("h5py", "reads a .keras file"), ("keras", "runs the model"),
                            ("torch", "is Keras' backend")):
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} {reason} and is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    path = DEMO_DATA / "shakespeare.keras"
    ended = cli("verify", path, "--batch", "2", "--steps", "3", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and ended.err == "" and "in keras" in told["against"] and "on torch" in told["against"]
    assert told["outputs"]["next_character"]["used"] <= 1


def test_a_process_that_dies_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(frameworks, "_PROGRAM", tmp_path / "dies.py")
    (tmp_path / "dies.py").write_text("import os, sys\ndef main(request):\n    sys.stderr.write('bang\\n')\n"
                                      "    sys.stderr.flush()\n    os._exit(7)\n")
    with pytest.raises(le.LstmEngineError, match="torch could not run x.pt2: it ended with code 7: bang"):
        frameworks.run("torch", Path("x.pt2"), [{"x": np.ones(2)}])


@pytest.mark.parametrize(("argv", "message"), [
    (["--outputs", "o.npz"], "--outputs needs the --inputs"),
    (["--inputs", "i.npz", "--outputs", "o.npz", "--source", "x.pt"], "--outputs excludes --source and --reference"),
    (["--tolerance", "0"], "'0' is not a number above 0"),
    (["--tolerance", "nan"], "'nan' is not a number above 0"),
    (["--seed", "-1"], "argument --seed"),
    (["--pool", "last"], "--pool is for checkpoints"),
    (["--inputs", "i.npz", "--steps", "3"], "--inputs has its own sizes"),
    (["--steps", "0"], "'0' is not a whole number of at least 1"),
])
def test_wrong_usage(cli, models, argv, message):
    ended = cli("verify", models / "two.lstm", *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


def test_a_source_that_is_not_there(cli, models):
    ended = cli("verify", models / "ids.lstm", "--source", "nowhere.pt")
    assert ended.code == 1 and "cannot read nowhere.pt" in ended.err


def test_differences_by_hand():
    one = np.float32(1)
    found = difference(np.array([one, 0.0, -0.0, 4.0], np.float32),
                       np.array([np.nextafter(one, np.float32(2)), -0.0, 0.0, 4.0], np.float32))
    assert found.ulps == 1 and found.absolute == 2**-23
    assert found.relative == found.scaled == 2**-23 / (1 + 2**-23)             # the expected number is above 1
    assert difference(np.array([100.5]), np.array([100.0])).scaled == pytest.approx(0.005)
    assert difference(np.float32([1e-45]), np.float32([-1e-45])).ulps == 2      # over zero: one step each side
    assert difference(np.array([np.nan, np.inf]), np.array([np.nan, np.inf])).absolute == 0
    for ours, expected in ((np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (np.inf, -np.inf)):
        assert difference(np.array([ours]), np.array([expected])).scaled == np.inf
    assert difference(np.array([True, False]), np.array([True, True])).absolute == 1
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))).absolute == 0


def test_made_up_inputs_fit_the_model(models):
    rng = np.random.default_rng(0)
    ids = random_inputs(le.load(models / "ids.lstm").graph, 50, 40, rng)["input"]
    assert ids.shape == (50, 40) and ids.min() == 0 and ids.max() == 6        # 2000 draws of 7 ids meet them all
    two = random_inputs(le.load(models / "two.lstm").graph, 3, 5, rng)
    assert two["x"].shape == (3, 5, 2) and two["h0"].shape == (3, 4) and two["x"].dtype == np.float32
    node = le.graph.LSTM(name="l", inputs=("x", "n"), outputs=("y",), W=np.ones((1, 4, 2), np.float32),
                         R=np.ones((1, 4, 1), np.float32))
    graph = le.graph.Graph((le.graph.Value("x", ("batch", "time", 2)), le.graph.Value("n", ("batch",), "int32")),
                           (node,), ("y",))
    lengths = random_inputs(graph, 100, 4, rng)["n"]
    assert lengths.shape == (100,) and lengths.min() == 1 and lengths.max() == 4


def test_ids_follow_operators_to_their_table():
    cast = le.graph.Operator(name="c", op_type="Cast", inputs=("i",), outputs=("j",), attributes={"to": 7})
    gather = le.graph.Operator(name="g", op_type="Gather", inputs=("", "j"), outputs=("y",), attributes={"axis": 0},
                               constants={0: np.zeros((3, 2), np.float32)})
    graph = le.graph.Graph((le.graph.Value("i", ("batch", "time"), "int32"),), (cast, gather), ("y",))
    drawn = random_inputs(graph, 30, 10, np.random.default_rng(0))["i"]
    assert set(drawn.ravel().tolist()) == {0, 1, 2}


def test_the_child_imports_nothing_of_this_package():
    names = {line.split()[1].partition(".")[0] for path in frameworks._PROGRAM.parent.glob("*.py")
             for line in path.read_text().splitlines() if line.startswith(("import ", "from "))}
    assert names <= {*sys.stdlib_module_names, "numpy", ""}             # "": its own files
