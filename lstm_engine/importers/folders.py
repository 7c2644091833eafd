"""Folders that people hand over in place of a file: those that Hugging Face lays out are read, the others are named for
what their names say they are, with what to type next."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from ..errors import FileError, FormatError
from ..files import Held, ModelFile
from .reading.hugging_face import CONFIG, INDEX, SINGLE
from .reading.hugging_face import WEIGHTS as HUGGING_FACE

MOST_NAMES = 1000               # of a folder that are looked at
_SHOWN = 8
_MODELS = (".lstm", ".keras", ".h5", ".hdf5", ".pt", ".pth", ".pt2", ".safetensors", ".onnx", ".npz", ".ckpt")

_UNPACKED_KERAS = (CONFIG, "metadata.json", "model.weights.h5")

Names = set[str]


def _has(*wanted: str) -> Callable[[Names], bool]:
    return lambda names: names.issuperset(wanted)


def _ends(*endings: str) -> Callable[[Names], bool]:
    return lambda names: any(name.endswith(endings) for name in names)


# What a folder is, told by the names in it, and what to do; {folder} is its name in a shell. The first is said.
KINDS: tuple[tuple[str, Callable[[Names], bool], str], ...] = (
    ("a SavedModel of TensorFlow", lambda names: "saved_model.pb" in names or "saved_model.pbtxt" in names,
     "python -m tf2onnx.convert --saved-model {folder} --output model.onnx, or in Keras 2 "
     'tf.keras.models.load_model(...).save("m.keras")'),
    ("a .keras file that was unpacked", _has(*_UNPACKED_KERAS),
     "(cd {folder} && zip -0 ../model.keras config.json metadata.json model.weights.h5)"),
    ("a .pt file that was unpacked", _has("data.pkl", "data"), "zip -0 -r model.pt {folder}"),
    ("a model of TensorFlow.js", lambda names: "model.json" in names and _ends(".bin")(names),
     "tensorflowjs_converter --input_format tfjs_layers_model --output_format keras {folder}/model.json model.h5"),
    ("a checkpoint of TensorFlow", lambda names: _ends(".index")(names) and any(".data-" in name for name in names),
     'it holds weights alone: in Keras build the model, model.load_weights(...) and model.save("m.keras")'),
    ("a model of OpenVINO", lambda names: _ends(".xml")(names) and _ends(".bin")(names),
     "give the .onnx, .keras or .pt file that it was made from"),
    ("a package of Core ML", _has("Manifest.json", "Data"), "give the model that it was made from"),
    ("a checkpoint of JAX (Orbax)", lambda names: not names.isdisjoint(("_CHECKPOINT_METADATA", "_METADATA")),
     "save its arrays with numpy.savez, and give a spec (docs/spec.md)"),
)


def weights_in(path: Path) -> Path:
    """The file of weights in a folder as Hugging Face lays it out, or what was given, if it is no such folder.

    In such a folder is a config.json or an index. Taken are model.safetensors, pytorch_model.bin, or the index of
    either, the first that is there; else the only .safetensors file. Raises FormatError where one of them is there
    whole and in shards.
    """
    if not os.path.isdir(path):
        return path
    has = {name for name in (*HUGGING_FACE, *_UNPACKED_KERAS) if os.path.lexists(path / name)}
    if has.issuperset(_UNPACKED_KERAS) or CONFIG not in has and not any(name.endswith(INDEX) for name in has):
        return path
    for name in SINGLE:
        if {name, f"{name}{INDEX}"} <= has:
            raise FormatError(f"{path}: it holds both {name!r} and {name + INDEX!r}, the same weights whole and in "
                              "shards; give the one that is meant")
        for file in (name, f"{name}{INDEX}"):
            if file in has:
                return path / file
    try:
        with os.scandir(path) as found:
            names = [entry.name for entry in islice(found, MOST_NAMES + 1)]
    except OSError:
        return path
    files = [name for name in names if name.endswith((".safetensors", f".safetensors{INDEX}"))]
    return path / files[0] if len(files) == 1 and len(names) <= MOST_NAMES else path


def file_of(path: ModelFile) -> ModelFile:
    """`weights_in` of what may be bytes in memory, which are in no folder."""
    return path if isinstance(path, Held) else weights_in(path)


def refuse_folder(path: ModelFile) -> None:
    """Raise FileError for a folder: what it is, or what is in it that could be meant. Returns for anything else."""
    if isinstance(path, Held):
        return
    try:
        with os.scandir(path) as found:
            names = {entry.name for entry in islice(found, MOST_NAMES)}
    except (OSError, ValueError):
        return
    raise FileError(errno.EISDIR, f"cannot read {path}: it is a folder{_what(str(path), names)}")


def _what(path: str, names: Names) -> str:
    for what, told, advice in KINDS:
        if told(names):
            return f", {what}; {advice.replace('{folder}', shlex.quote(path))}"
    models = sorted(name for name in names if name.lower().endswith(_MODELS))
    shown = f"{', '.join(map(ascii, models[:_SHOWN]))}{', ...' if len(models) > _SHOWN else ''}"
    if models:
        return f"; expected a file: {'give the one in it' if len(models) == 1 else 'give one of those in it'}, {shown}"
    return "; expected a file"
