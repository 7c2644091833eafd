"""Keras' layers as tf2onnx writes them, in loops, against what ONNX Runtime and Keras compute of them
(tools/make_loop_fixtures.py)."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import lstm_engine as le
from lstm_engine import reference

FOLDER = Path(__file__).parents[1] / "golden" / "onnx"
# The recurrent layers of each model.
LAYERS = {
    "rnn": "RNN", "rnn_last": "RNN", "rnn_both": "RNN RNN", "rnn_states": "RNN", "rnn_masked": "RNN",
    "gru_reset_before": "GRU", "gru_reset_before_last": "GRU", "gru_cell": "GRU", "gru_hard_sigmoid": "GRU",
    "gru_masked": "GRU", "gru_masked_both": "GRU GRU", "lstm_masked": "LSTM", "lstm_masked_last": "LSTM",
    "lstm_masked_both": "LSTM LSTM", "tokens": "GRU LSTM", "stack": "LSTM LSTM",
    "stack_of_kinds": "GRU LSTM RNN", "stack_both": "LSTM GRU LSTM GRU"}
# float32 on both sides: sums of some ten terms near 1, over six steps.
TOLERANCE = 2e-6


def archives() -> list[Path]:
    return sorted(FOLDER.glob("tf2onnx-*.zip"))


def test_there_are_files() -> None:
    for archive in archives():
        with zipfile.ZipFile(archive) as members:
            assert {f"{name}.onnx" for name in LAYERS} == set(members.namelist()) - {"arrays.npz"}
    assert archives()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("archive", archives(), ids=lambda path: path.stem)
def test_a_file(archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive) as members:
        model = le.convert(members.read(f"{name}.onnx"))
        with members.open("arrays.npz") as file:
            stored = {key.partition("/")[2]: array for key, array in np.load(file).items()
                      if key.partition("/")[0] == name}
    count = Counter(node.op for node in model.graph.nodes)
    assert {op: count[op] for op in ("LSTM", "GRU", "RNN") if count[op]} == Counter(LAYERS[name].split())
    given = {value.name: stored[f"x{i}"] for i, value in enumerate(model.graph.inputs)}
    results = model.predict(given)
    exact = reference.run(model.graph, given)
    for i, output in enumerate(model.graph.outputs):
        made = results[output] if isinstance(results, dict) else results
        for letter in ("y", "keras"):
            np.testing.assert_allclose(made, stored[f"{letter}{i}"], rtol=0, atol=TOLERANCE, err_msg=letter)
            np.testing.assert_allclose(exact[output], stored[f"{letter}{i}"], rtol=0, atol=TOLERANCE, err_msg=letter)


def test_a_stream_of_a_loop() -> None:
    """A loop that is a layer runs step by step, like one."""
    with zipfile.ZipFile(archives()[-1]) as members, members.open("arrays.npz") as file:
        model = le.convert(members.read("gru_cell.onnx"))
        stored = np.load(file)
        x, y = stored["gru_cell/x0"], stored["gru_cell/y0"]
    with model.stream(batch=len(x)) as stream:
        steps = [stream.step(x[:, t]) for t in range(x.shape[1])]
    np.testing.assert_allclose(np.stack(steps, axis=1), y, rtol=0, atol=TOLERANCE)
