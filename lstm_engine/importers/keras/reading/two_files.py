"""A model kept as two files: what it is as JSON (`to_json()`, `get_config()`), its arrays as HDF5 (`save_weights`)."""

from __future__ import annotations

import os
import re
from typing import Any

from ....errors import ArgumentError, FormatError
from ....files import Held, ModelFile
from ....strict_json import parse_object
from ...reading.text_file import read_text
from .container import MAX_TEXT

# The versions of Keras that write no version of theirs mean what this one means.
NEWEST = "3.15"
_ENDINGS = (".weights.h5", ".h5", ".hdf5", "_weights.h5", "_weights.hdf5")
_LAYERS = re.compile(rb'"layers"\s{0,64}:\s{0,64}\[')


def is_configuration(head: bytes) -> bool:
    """Whether a file that begins so is JSON that may say what a model is."""
    return head.lstrip().startswith(b"{") and (_LAYERS.search(head) is not None or any(
        word in head for word in (b'"class_name"', b'"input_layers"'))) and not any(
            word in head for word in (b'"modelTopology"', b'"weightsManifest"',       # TensorFlow.js has it inside
                                      b'"in_shape"', b'"architecture"'))                # RTNeural, NAM


def contents_of(path: ModelFile) -> dict[str, Any]:
    """{"config", "metadata"} of a JSON file, as a `.keras` file has them.

    Keras 2 writes its version beside the configuration. Keras 3 writes none: what it means is then taken to be what the
    newest means, which "assumed_version" in the metadata says.
    Raises FormatError for other JSON, FileError.
    """
    config = parse_object(read_text(path, MAX_TEXT, str(path)), f"{path}: the configuration", nonfinite=True)
    if "class_name" not in config:
        if not isinstance(config.get("layers"), list):
            raise FormatError(f"{path}: this JSON is no model: it has neither a class_name nor layers")
        config = {"class_name": "Functional" if "input_layers" in config else "Sequential", "config": config}
    version = config.get("keras_version")
    if version is None:
        return {"config": config, "metadata": {"keras_version": NEWEST, "assumed_version": NEWEST}}
    return {"config": config, "metadata": {"keras_version": version}}


def weights_of(path: ModelFile, given: ModelFile | None) -> ModelFile:
    """The file of arrays: the one given, or the only one beside the JSON file that is called like it.

    Raises ArgumentError, with what to type, where none or several are there.
    """
    if given is not None:
        return given
    advice = 'say which: weights="model.weights.h5" (--weights on the command line)'
    if isinstance(path, Held):
        raise ArgumentError(f"{path}: this says what a model is; its arrays are in another file; {advice}")
    stem = path.name.removesuffix(".json")
    found = [place for ending in _ENDINGS if os.path.isfile(place := path.with_name(stem + ending))]
    if len(found) == 1:
        return found[0]
    if found:
        raise ArgumentError(f"{path}: several files may hold its arrays ({', '.join(place.name for place in found)}); "
                            f"{advice}")
    looked = ", ".join(stem + ending for ending in _ENDINGS)
    raise ArgumentError(f"{path}: this says what a model is; its arrays are in another file, and none called {looked} "
                        f"is beside it; {advice}")
