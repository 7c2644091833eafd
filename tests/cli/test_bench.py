"""lstm-engine bench: what is timed is right, and told in both forms. No figure is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.verifying import frameworks

QUICK = ("--seconds", "0.001")


def test_every_cell_of_the_grid(cli, models):
    ended = cli("bench", models / "ids.lstm", "--batch", "1,3", "--steps", "2,5", "--threads", "1,2", "--json", *QUICK)
    told = json.loads(ended.out)
    assert ended.code == 0 and ended.err == "" and told["model"] == "ids.lstm"
    cells = [(result["threads"], result["batch"], result["steps"]) for result in told["results"]]
    assert cells == [(n, b, t) for n in (1, 2) for b in (1, 3) for t in (2, 5)]
    assert all(result["seconds"]["lstm-engine"] > 0 for result in told["results"])


def test_text(cli, models):
    ended = cli("bench", models / "numbers.lstm", "--batch", "2", "--steps", "3", *QUICK)
    assert ended.code == 0 and ended.err == "" and "median milliseconds" in ended.out
    assert ended.out.splitlines()[1].split() == ["batch", "steps", "threads", "lstm-engine"]


def fake(monkeypatch, change: float):
    """Stands in for a framework: our own outputs, moved by `change`."""
    model = {}

    def run(framework, source, cases, *, spec, threads, seconds):
        model.setdefault("model", le.load(source.with_suffix(".lstm")))
        return framework, [frameworks.Answer(["y"], [model["model"].predict(case) + np.float32(change)], 0.5)
                           for case in cases]

    monkeypatch.setattr(frameworks, "run", run)
    monkeypatch.setattr(frameworks, "installed", lambda name: True)


def test_a_framework_stands_beside_ours(cli, models, monkeypatch):
    fake(monkeypatch, 1e-6)
    ended = cli("bench", models / "numbers.lstm", "--source", models / "numbers.onnx", "--against", "onnxruntime",
                "--batch", "2", "--json", *QUICK)
    (result,) = json.loads(ended.out)["results"]
    assert ended.code == 0 and result["seconds"]["onnxruntime"] == 0.5
    assert result["difference"]["onnxruntime"] == pytest.approx(1e-6, rel=0.1)


def test_outputs_that_differ_are_not_timed(cli, models, monkeypatch):
    fake(monkeypatch, 1e-3)
    ended = cli("bench", models / "numbers.lstm", "--source", models / "numbers.onnx", "--against", "onnxruntime",
                *QUICK)
    assert ended.code == 1 and ended.out == "" and "the outputs differ from onnxruntime's by 0.001" in ended.err


def test_a_framework_that_is_not_installed_is_left_out(cli, models, monkeypatch):
    monkeypatch.setattr(frameworks, "installed", lambda name: False)
    ended = cli("bench", models / "numbers.lstm", "--source", "x.keras", "--against", "keras", "--batch", "1", *QUICK)
    assert ended.code == 0 and ended.err == "lstm-engine: keras is not installed and is left out\n"
    assert "keras" not in ended.out


def test_onnxruntime_is_timed_in_its_own_process(cli, tmp_path):
    onnx = pytest.importorskip("onnx", reason="writes an ONNX model")
    pytest.importorskip("onnxruntime", reason="is timed")
    helper, shape = onnx.helper, ["batch", "time", 2]
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", 1, shape)],
                              [helper.make_tensor_value_info("y", 1, shape)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    ended = cli("bench", tmp_path / "m.onnx", "--against", "onnxruntime", "--threads", "1", "--json", *QUICK)
    assert ended.code == 0, ended.err
    for result in json.loads(ended.out)["results"]:
        assert result["seconds"]["onnxruntime"] > 0
        # tanh of one number: both engines are within an ulp or two of it.
        assert result["difference"]["onnxruntime"] < 1e-6


@pytest.mark.parametrize(("argv", "message"), [
    (["--batch", "1,,2"], "argument --batch: '' is not a whole number of at least 1"),
    (["--steps", "0"], "argument --steps: '0' is not"),
    (["--against", "tensorrt"], "'tensorrt' is none of keras, onnxruntime, torch"),
    (["--against", "torch"], "is no file that a framework can run; give one with --source"),
    (["--against", "torch", "--source", "x.onnx"], "--against torch: x.onnx is run by onnxruntime"),
    (["--seconds", "0"], "'0' is not a number above 0"),
])
def test_wrong_usage(cli, models, argv, message):
    ended = cli("bench", models / "ids.lstm", *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


def test_a_model_that_is_not_there(cli):
    assert cli("bench", "nowhere.lstm").code == 1
