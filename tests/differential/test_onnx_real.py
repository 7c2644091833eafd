"""ONNX models that others trained and published, streamed through the reference against their stored outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import kinds
from onnx_real import SILERO, recording

from lstm_engine.errors import UnsupportedError
from lstm_engine.graph import Graph
from lstm_engine.importers import import_graph
from lstm_engine.importers.base import ImportOptions
from lstm_engine.reference import run

pytest.importorskip("onnx")


def load(path: Path, **spec: Any) -> Graph:
    return import_graph(path, ImportOptions(spec=spec or None))


def test_byte_sb_bidi_lstm(real: Path) -> None:
    """Sentence boundaries over raw bytes: 27 nodes become four."""
    folder = real / "tract_onnx" / "byte_sb_bidi_lstm"
    made = load(folder / "model.onnx")
    assert kinds(made) == ["Embedding", "LSTM", "LSTM", "Dense"] and made.inputs[0].dtype == "uint8"
    with np.load(folder / "io.npz") as stored:
        result = run(made, {"input": stored["input"]})["output"]
        # The stored float32 outputs are themselves 3e-6 from the exact ones (58 steps, logits up to 10).
        np.testing.assert_allclose(result, stored["Add_26"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("name, given, expected, cells", [("model_1", "in1", "mask", ["LSTM", "LSTM"]),
                                                          ("model_2", "in2", "out2", ["LSTM", "LSTM"])])
def test_dtln(real: Path, name: str, given: str, expected: str, cells: list[str]) -> None:
    """Noise suppression; the states of both layers are one input and output. model_2's cells are written out."""
    made = load(real / "dtln" / f"{name}.onnx")
    assert [kind for kind in kinds(made) if kind == "LSTM"] == cells
    (frame, state), (output, new_state) = (value.name for value in made.inputs), made.outputs
    states = np.zeros((1, 2, 128, 2))
    with np.load(real / "dtln" / "golden.npz") as golden:
        for x, wanted in zip(golden[given], golden[expected], strict=True):
            results = run(made, {frame: x.reshape(1, 1, -1), state: states})
            states = results[new_state]
            # float32 against float64 over 200 frames of carried state.
            np.testing.assert_allclose(results[output].ravel(), wanted, rtol=0, atol=2e-6)


def test_gtcrn(real: Path) -> None:
    """Speech enhancement: 14 GRUs among convolutions, all caches explicit."""
    made = load(real / "gtcrn" / "gtcrn_simple.onnx")
    assert kinds(made).count("GRU") == 14
    caches = {value.name: np.zeros(value.shape) for value in made.inputs[1:]}
    with np.load(real / "gtcrn" / "golden.npz") as golden:
        x, y = golden["x"], golden["y"]
        for t in range(x.shape[2]):
            results = run(made, {"mix": x[:, :, t:t + 1], **caches})
            caches = {name: results[f"{name}_out"] for name in caches}
            # float32 against float64 through some 100 layers and 60 frames of carried caches.
            np.testing.assert_allclose(results["enh"], y[:, :, t:t + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("file, stored, spec, cells", SILERO, ids=[file for file, *_ in SILERO])
def test_silero_vad(real: Path, file: str, stored: str, spec: dict, cells: int) -> None:
    """Voice activity of a whole recording. Ifs on the sampling rate, and on shapes, are decided by the spec."""
    made = load(real / "silero_vad" / file, **spec)
    assert kinds(made).count("LSTM") == cells
    chunks, probabilities = recording(real, stored)
    state = np.zeros((2, 1, 128))
    for chunk, wanted in zip(chunks, probabilities, strict=True):
        results = run(made, {"input": chunk, "state": state})
        state = results["stateN"]
        # float32 against float64 over 343 chunks of carried state.
        assert results["output"].item() == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize("file", ["v6_head/silero_vad_op18_ifless.onnx", "old/silero_vad_2313k.onnx"])
def test_silero_vad_without_its_rate(real: Path, file: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(real / "silero_vad" / file)
    assert "its condition" in str(caught.value) and "spec={'fixed': {input: value}}" in str(caught.value)
    assert "(If)" in str(caught.value) and file.rpartition("/")[2] in str(caught.value)
