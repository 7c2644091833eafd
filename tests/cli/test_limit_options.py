"""--max-memory and its like: set on the command line what le.Limits sets, and named by its errors."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.cli.values import size


@pytest.fixture
def model(tmp_path):
    le.Model([le.LSTM(np.ones((1, 16, 3), "f4"), np.ones((1, 16, 4), "f4")), le.Dense(np.ones((4, 2), "f4"))]
             ).save(tmp_path / "m.lstm")
    np.save(tmp_path / "x.npy", np.ones((2, 50, 3), "f4"))
    return tmp_path / "m.lstm"


@pytest.mark.parametrize("option, value, message", [
    ("--max-steps", 49, "input 'input' has 50 steps; at most 49 are allowed (Limits.steps)"),
    ("--max-memory", 100, "(Limits.memory)"), ("--max-work", 1, "(Limits.work)"),
    ("--max-nodes", 1, "the model has 2 nodes; at most 1 are allowed"),
    ("--max-weights", "100", "the model's weights take 480 bytes; at most 100 are allowed")])
def test_predict_keeps_to_them(cli, model, option, value, message):
    ended = cli("predict", model, model.parent / "x.npy", option, value)
    assert ended.code == 1 and not ended.out
    assert message in ended.err and ended.err.count("\n") <= 2 and f"or {option} " in ended.err
    enough = ended.err.split(f"or {option} ")[1].split()[0]
    for _ in range(3):                                   # what is typed next is enough for what was asked
        again = cli("predict", model, model.parent / "x.npy", option, enough)
        if again.code == 0:
            break
        enough = again.err.split(f"or {option} ")[1].split()[0]
    assert again.code == 0 and again.out == cli("predict", model, model.parent / "x.npy").out


def test_untrusted_is_the_tighter_set_and_gives_way(cli, model):
    np.save(model.parent / "long.npy", np.ones((1, 70_000, 3), "f4"))
    ended = cli("predict", model, model.parent / "long.npy", "-o", model.parent / "y.npy", "--untrusted")
    assert ended.code == 1 and "has 70,000 steps; at most 65,536 are allowed" in ended.err
    assert cli("predict", model, model.parent / "long.npy", "-o", model.parent / "y.npy", "--untrusted",
               "--max-steps", 70_000).code == 0


@pytest.mark.parametrize("command", ["inspect", "verify", "bench"])
def test_other_commands_keep_to_what_a_model_may_have(cli, model, command):
    ended = cli(command, model, *(["--reference"] if command == "verify" else []), "--max-nodes", 1)
    assert ended.code == 1 and "the model has 2 nodes" in ended.err


def test_convert_writes_nothing_that_is_over(cli, model):
    rng = np.random.default_rng(0)
    np.savez(model.parent / "w.npz", **{"fc.weight": rng.random((4, 4), "f4")})
    (model.parent / "spec.json").write_text('{"inputs": [{"name": "x", "shape": ["batch", 4]}], "nodes": '
                                            '[{"name": "fc", "op": "Dense", "torch": "fc"}]}')
    given = ("convert", model.parent / "w.npz", "--spec", model.parent / "spec.json")
    ended = cli(*given, "--max-weights", 63)
    assert ended.code == 1 and "the model's weights take 64 bytes" in ended.err
    assert not (model.parent / "w.lstm").exists()
    assert cli(*given, "--untrusted").code == 0 and (model.parent / "w.lstm").exists()


@pytest.mark.parametrize("text, number", [("1", 1), ("512M", 512 << 20), ("4g", 4 << 30), ("2K", 2048),
                                          ("1T", 1 << 40)])
def test_bytes_are_read(text, number):
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5G", "G", "4GB", "4 G", "٤", "9" * 30])
def test_what_is_no_number_of_bytes(cli, model, text):
    ended = cli("predict", model, model.parent / "x.npy", f"--max-memory={text}")
    assert ended.code == 2 and "is not a number of bytes, such as 4294967296, 512M or 4G" in ended.err
