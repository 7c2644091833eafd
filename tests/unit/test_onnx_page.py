"""docs/onnx.md does what it says, and lists what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node

from lstm_engine.importers.onnx.simplifying.inner import TAKEN_IN
from lstm_engine.operators import OPERATORS
from lstm_engine.operators.older import FORMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")


def test_the_operators_of_the_page_are_those_of_the_table() -> None:
    table = PAGE.split("## Operators")[1].split("`com.microsoft` has")[0]
    named = re.findall(r"`([A-Z]\w+)`", table)
    assert len(named) == len(set(named))
    there = {name.rpartition(".")[2] for name in {*OPERATORS, *FORMS, *TAKEN_IN} if ".nchwc." not in name}
    assert set(named) == there


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape).astype(np.float32)
               for name, shape in (("W", (1, 12, 4)), ("R", (1, 12, 3)), ("k", (3, 2)))}
    nodes = [node("LSTM", "x W R", "- h -", hidden_size=3, layout=1), node("Squeeze", "h one", "v"),
             node("MatMul", "v k", "y")]
    onnx.save(model(nodes, {"x": ("batch", "time", 4)}, "y", {**weights, "one": np.array([1])}), "tagger.onnx")
    code, = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["y"].shape == (2, 2) and Path("tagger.lstm").exists()
