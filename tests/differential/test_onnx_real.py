"""ONNX models that others trained and published: what is found in them. Their outputs: test_real_models.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx_graphs import kinds
from real_models import CASES

from lstm_engine.graph import Graph
from lstm_engine.importers import import_graph
from lstm_engine.importers.base import ImportOptions

pytest.importorskip("onnx")


def load(path: Path, **spec: Any) -> Graph:
    return import_graph(path, ImportOptions(spec=spec or None))


def test_byte_sb_bidi_lstm(real: Path) -> None:
    """Sentence boundaries over raw bytes: 27 nodes become four."""
    made = load(real / "tract_onnx" / "byte_sb_bidi_lstm" / "model.onnx")
    assert kinds(made) == ["Embedding", "LSTM", "LSTM", "Dense"] and made.inputs[0].dtype == "uint8"


@pytest.mark.parametrize("name, cell, count", [
    ("dtln/model_1", "LSTM", 2), ("dtln/model_2", "LSTM", 2), ("gtcrn", "GRU", 14),
    ("silero_vad/openvino_16k", "LSTM", 1), ("silero_vad/op18_ifless", "LSTM", 1), ("silero_vad/2313k", "LSTM", 1)])
def test_every_cell_is_found(real: Path, name: str, cell: str, count: int) -> None:
    """Those of dtln/model_2 and of silero_vad/op18_ifless are written out in primitives."""
    made = next(case for case in CASES if case.name == name).graph(real)
    assert kinds(made).count(cell) == count


@pytest.mark.parametrize("file", ["v6_head/silero_vad_op18_ifless.onnx", "old/silero_vad_2313k.onnx"])
def test_the_cells_of_both_rates_are_found(real: Path, file: str) -> None:
    assert kinds(load(real / "silero_vad" / file)).count("LSTM") == 2
