"""docs/keras.md does what it says, and lists what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lstm_engine.importers.keras import mapping_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
# Short names of Keras that no file holds, and models that Keras calls by their class.
ALIASES = re.compile(r"(Global)?(Max|Avg)Pool\dD|GlobalAvgPool\dD|GroupedQueryAttention")


def test_the_layers_of_the_page_are_those_of_the_importer():
    table = PAGE.split("## Layers")[1].split("Operations of")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", table))
    there = {kind for kind in mapping_table() if "." not in kind and not ALIASES.fullmatch(kind)}
    assert named == there
    others = {kind for kind in mapping_table() if "." in kind and not kind.startswith("ops.")}
    assert others and all(kind.replace(".", ".layers.") in PAGE for kind in others)     # of other packages


def test_the_operations_of_the_page_are_there():
    text = PAGE.split("Operations of")[1].split("Refused by name")[0]
    named = {"".join(part.title() for part in word.split("_")) for word in re.findall(r"`([a-z_]+)`", text)}
    assert len(named) > 20 and named <= {kind.removeprefix("ops.") for kind in mapping_table()}


@pytest.mark.filterwarnings("ignore:the JSON names no version", "ignore::DeprecationWarning")
def test_the_commands_of_the_page(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    keras = pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    source = keras.Sequential([keras.Input((None, 4)), keras.layers.LSTM(3), keras.layers.Dense(2)])
    source.save("tagger.keras")
    source.save("tagger.h5")
    Path("tagger.json").write_text(source.to_json())
    source.save_weights("tagger.weights.h5")
    code, = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["y"].shape == (2, 2) and Path("tagger.lstm").exists()
