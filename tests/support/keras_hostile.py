"""A small good Keras file, and the check that a spoilt copy of it is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from keras_files import layer, random, sequential, zipped

from lstm_engine.errors import LstmEngineError
from lstm_engine.importers import import_graph

H, I = 3, 2        # noqa: E741  (units and inputs, as ONNX calls them)
SHAPE = [None, None, I]
ARRAYS = {"layers/lstm/cell/vars/0": random(1, I, 4 * H), "layers/lstm/cell/vars/1": random(2, H, 4 * H),
          "layers/lstm/cell/vars/2": random(3, 4 * H), "layers/dense/vars/0": random(4, H, 2),
          "layers/dense/vars/1": random(5, 2)}
CONFIG = sequential(layer("LSTM", "lstm", units=H, batch_shape=SHAPE), layer("Dense", "dense", units=2))


def refused(path: Path, kind: type[LstmEngineError], message: str) -> None:
    """Importing raises exactly this kind, with the path and the message, and leaves the file as it was."""
    before = path.read_bytes()
    with pytest.raises(LstmEngineError) as caught:
        import_graph(path)
    assert type(caught.value) is kind, caught.value
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert path.read_bytes() == before


def good(tmp_path: Path, name: str = "model.keras", **options) -> Path:
    return zipped(tmp_path / name, CONFIG, ARRAYS, **options)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> Path:
    """The same archive with something done to it."""
    contents = members(path)
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, contents)
        for name, data in contents.items():
            archive.writestr(name, data)
    return path
