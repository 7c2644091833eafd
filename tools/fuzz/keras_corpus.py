"""Keras models for the fuzzers to begin with: those of the tests that ask Keras itself, and files another Keras wrote.

Each as (name, what the parser's process would say of the file, its arrays).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Described = Iterator[tuple[str, dict, dict]]
AT_ONCE = 8                      # layers or functions of one file: mutations of more of them hit too little of each


def of_live_keras() -> Described:
    """The layers and operations of the tests that ask Keras itself, some a file."""
    import keras
    import test_keras_attention
    import test_keras_layers
    import test_keras_operations
    import test_keras_spatial

    from lstm_engine.importers.keras.reading.live import contents_of

    L = keras.layers
    steps = test_keras_layers.TIME
    tables = {
        "layers": ({**test_keras_layers.LAYERS, **_of_nothing(test_keras_layers.BETWEEN)}, [(steps, 4)]),
        "steps": (_of_nothing(test_keras_spatial.SEQUENCE), [(test_keras_spatial.TIME, 4)]),
        "images": (_of_nothing(test_keras_spatial.IMAGE), [(test_keras_spatial.HEIGHT, test_keras_spatial.WIDTH, 3)]),
        "attention": (test_keras_attention.ATTENTION, [(5, 4), (7, 4)]),
        "each-step": ({name: lambda x, make=make: L.TimeDistributed(make())(x)
                       for name, make in test_keras_attention.EACH_STEP.items()}, [(3, 6, 4)]),
        "operations": (test_keras_operations.OPERATIONS, [(steps, 3), (steps, 4), (steps,)]),
    }
    for group, (table, shapes) in tables.items():
        makes = list(table.values())
        for start in range(0, len(makes), AT_ONCE):
            keras.utils.clear_session()
            inputs = [L.Input(shape, dtype="int32" if len(shape) == 1 else "float32") for shape in shapes]
            made = [make(*inputs) for make in makes[start:start + AT_ONCE]]
            model = keras.Model(inputs, keras.tree.flatten(made))
            yield f"{group}-{start // AT_ONCE}.json", *contents_of(model)


def _of_nothing(table: dict[str, Callable[[], Any]]) -> dict[str, Callable[[Any], Any]]:
    """Functions of an input, of functions that make a layer."""
    return {name: lambda x, make=make: make()(x) for name, make in table.items()}


def kept_by_keras_2() -> Described:
    """What the HDF5 files say that another Keras wrote, some outputs a file."""
    import io

    from lstm_engine.importers.keras.reading.container import read_h5

    folder = ROOT / "tests" / "golden" / "keras"
    for path in (folder / "2.15.0-functions.zip", folder / "2.15.0-layers.zip"):
        with zipfile.ZipFile(path) as archive:
            contents, arrays = read_h5(io.BytesIO(archive.read("model.h5")))
        outputs = contents["config"]["config"]["output_layers"]
        for start in range(0, len(outputs), AT_ONCE):
            some = outputs[start:start + AT_ONCE]
            yield f"{path.stem}-{start // AT_ONCE}.json", *_of_outputs(contents, arrays, some)


def _of_outputs(contents: dict, arrays: dict, outputs: list) -> tuple[dict, dict]:
    """A functional model of all inputs and some outputs, without the layers that these do not need."""
    config = contents["config"]["config"]
    layers = {entry["name"]: entry for entry in config["layers"]}
    needed: set[str] = set()
    open_names = [name for name, *_ in config["input_layers"] + outputs]
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += [text for text in re.findall(r'"([^"]+)"', json.dumps(layers[name]["inbound_nodes"]))
                           if text in layers]
    kept = {**config, "layers": [entry for entry in config["layers"] if entry["name"] in needed],
            "output_layers": outputs}
    stored = [entry for entry in contents["layers"] if entry[0] in needed]
    return ({**contents, "config": {**contents["config"], "config": kept}, "layers": stored},
            {f"{layer}/{name}": arrays[f"{layer}/{name}"] for layer, names in stored for name in names})
