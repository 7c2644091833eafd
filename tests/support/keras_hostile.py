"""A small good Keras file, and the check that a spoilt copy of it is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from keras_files import functional, layer, random, sequential, zipped

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


def tensor(name: str, call: int = 0, index: int = 0) -> dict:
    """An output of a layer's call, as Keras 3 names it where it is used."""
    return {"class_name": "__keras_tensor__", "config": {"shape": SHAPE, "keras_history": [name, call, index]}}


def called(name: str) -> dict:
    """A call on the first output of a layer."""
    return {"args": [tensor(name)], "kwargs": {}}


def nested(depth: int) -> dict:
    """The good model in a Sequential in a Sequential."""
    config = CONFIG
    for number in range(depth):
        config = sequential(config, name=f"m{number}")
    return config


def doubling(levels: int, kind: str = "Activation") -> dict:
    """Each model calls the one inside it twice: 2^levels layers from a configuration of `levels`."""
    inner = functional([layer("InputLayer", "x", [], batch_shape=SHAPE),
                        layer(kind, "a", [called("x")], activation="tanh")], ["x", 0, 0], ["a", 0, 0], "m0")
    for number in range(1, levels):
        below = f"m{number - 1}"
        inner = functional([layer("InputLayer", "x", [], batch_shape=SHAPE),
                            {**inner, "name": below, "inbound_nodes": [called("x"), called(below)]}],
                           ["x", 0, 0], [below, 2, 0], f"m{number}")
    return inner
