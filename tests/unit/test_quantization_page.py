"""docs/quantization.md does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.cli.main import main
from lstm_engine.graph.quantized import QUANTIZED_TYPES
from lstm_engine.types import QuantizedType

PAGE = (Path(__file__).parents[2] / "docs" / "quantization.md").read_text(encoding="utf-8")
DEMO_DATA = Path(le.__file__).parent / "demo_data"


def test_the_types_of_the_page_are_those_there_are():
    table = PAGE.split("## Types")[1].split("Quantised are")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == QUANTIZED_TYPES == get_args(QuantizedType)


def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys):
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm_engine").mkdir()
    (tmp_path / "lstm_engine" / "demo_data").symlink_to(DEMO_DATA)
    code, = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert {layer.type for layer in names["mixed"].quantization.layers} == {"int8", "float32"}
    assert names["near"].quantization.outputs[0].largest <= 0.05
    assert np.isfinite(names["small"].predict(names["ids"])).all()
    commands = re.findall(r"^lstm-engine (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)) == 0, capsys.readouterr().err
    assert (tmp_path / "near.lstm").exists() and le.load(tmp_path / "mixed.lstm").weight_dtype == "mixed"
