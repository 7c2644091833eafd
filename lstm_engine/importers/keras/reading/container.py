"""Reads what Keras writes, as data: the configuration, versions, and the arrays by path.

`read_zip` and `read_h5` run in the sandbox's child process. Both give arrays that are read when they are sent.
"""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO

from ....errors import FormatError, UnsupportedError
from ....strict_json import parse_object
from ...reading import hdf5
from ...reading.zip_archive import Archive

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_TEXT = 8 << 20               # of a configuration
MAX_RECORDS = 10_000             # of a .keras archive; Keras writes three
MAX_RATIO = 64                   # of what one of them inflates to; Keras stores weights as they are
_VOCABULARY = re.compile(r"assets/(layers/.*)/vocabulary\.txt")
LAYER_ROOTS = ("layers", "_layer_checkpoint_dependencies")   # the second: written by Keras 2.12 and 2.13


def make_ready() -> None:
    """Load what the readers need; after it nothing has to be opened."""
    hdf5.make_ready()


def read_zip(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """A `.keras` file: {"config", "metadata"} and the arrays of its layers by path ("layers/lstm/cell/vars/0").

    Raises FormatError, naming the record, for anything but the three that Keras writes, whole.
    """
    archive = Archive(file, file.seek(0, os.SEEK_END), most_records=MAX_RECORDS, most_ratio=MAX_RATIO)
    if WEIGHTS not in archive.records and "model.weights.npz" in archive.records:
        raise UnsupportedError(f"weights in model.weights.npz are not supported; supported: {WEIGHTS}")
    missing = [name for name in (CONFIG, METADATA, WEIGHTS) if name not in archive.records]
    if missing:
        raise FormatError(f"zip: no record {missing[0]!r}; a .keras file holds {CONFIG}, {METADATA}, {WEIGHTS}")
    config, metadata = (_parsed(archive.read(name, MAX_TEXT), name) for name in (CONFIG, METADATA))
    arrays = _layer_arrays(hdf5.open_file(archive.open(WEIGHTS)))
    return {"config": config, "metadata": metadata, "vocabularies": _vocabularies(archive)}, arrays


def _vocabularies(archive: Archive) -> dict[str, list[str]]:
    """What layers that look values up have learnt, a line each, by the path of the layer. Raises FormatError where it
    is no text."""
    found, left = {}, MAX_TEXT
    for name in archive.records:
        match = _VOCABULARY.fullmatch(name)
        if match is None:
            continue
        text = archive.read(name, left)
        left -= len(text)
        try:
            # As Python reads text: a file that Windows wrote has lines that end otherwise.
            found[match[1]] = text.decode().replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError:
            raise FormatError(f"{name!r}: not a text") from None
    return found


def read_h5(source: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """A legacy `.h5` file: {"config", "metadata", "layers": [[name, [weight name, ...]], ...]} and the arrays.

    The arrays are called "layer name/weight name", in the order of "layers".
    Raises UnsupportedError for a file of weights alone, FormatError for attributes that do not fit.
    """
    file = hdf5.open_file(source)
    config = hdf5.attribute(file, "model_config")
    if config is None:
        raise UnsupportedError("the HDF5 file holds no model_config: weights alone do not say what the model is; "
                               "save the whole model (model.save), or give a spec (docs/spec.md)")
    if not isinstance(config, str) or len(config) > MAX_TEXT:
        raise FormatError(f"HDF5 attribute 'model_config' is not a text of at most {MAX_TEXT} bytes")
    group = hdf5.child(file, "model_weights")
    if group is None:
        raise FormatError("HDF5 group 'model_weights' is missing")
    layers, arrays = _legacy_arrays(group)
    metadata = {name: hdf5.attribute(file, name) or hdf5.attribute(group, name)
                for name in ("keras_version", "backend")}
    return {"config": _parsed(config, "model_config"), "metadata": metadata, "layers": layers}, arrays


def read_weights(source: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays that `save_weights` wrote, or those of a whole model's `.h5` file; the optimizer's are not looked at.

    {"layers", "backend"} and the arrays as `read_h5` gives them, or {} and the arrays by path, as `read_zip`.
    Raises FormatError for HDF5 that holds neither.
    """
    file = hdf5.open_file(source)
    group = hdf5.child(file, "model_weights") or file
    if hdf5.text_list(group, "layer_names") is not None:
        layers, arrays = _legacy_arrays(group)
        return {"layers": layers, "backend": hdf5.attribute(group, "backend")}, arrays
    arrays = _layer_arrays(file)
    if not arrays and any(True for _ in hdf5.walk(file)):       # a model without weights has none at all
        raise FormatError("the HDF5 file holds no layers' arrays: it has neither an attribute 'layer_names' nor a "
                          "group 'layers'")
    return {}, arrays


def _parsed(text: bytes | str, part: str) -> dict[str, Any]:
    """A configuration: Keras writes infinite limits (ReLU's max_value) as Python does."""
    return parse_object(text, part, nonfinite=True)


def read_arrays(source: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """Any HDF5 file as its datasets by path alone: {} and the arrays, for a spec to say what they are."""
    file = hdf5.open_file(source)
    return {}, {name: hdf5.checked_dataset(name, dataset) for name, dataset in hdf5.walk(file)}


def _layer_arrays(file: Any) -> dict[str, Any]:
    """The datasets of the layers; those of the optimizer are not looked at."""
    arrays: dict[str, Any] = {}
    for top in hdf5.names(file):
        # Keras on Windows once wrote whole paths as one name, with backslashes.
        root, *rest = top.replace("\\", "/").split("/")
        if root not in LAYER_ROOTS:
            continue
        member = hdf5.child(file, top)
        found = hdf5.walk(member, top) if hasattr(member, "keys") else [(top, member)]
        for stored, dataset in found:
            parts = stored.replace("\\", "/").split("/")
            path = "/".join("layers" if part in LAYER_ROOTS else part for part in parts)
            if path in arrays:
                raise FormatError(f"HDF5 dataset {path!r} is there twice")
            arrays[path] = hdf5.checked_dataset(stored, dataset)
    return arrays


def _legacy_arrays(group: Any) -> tuple[list[Any], dict[str, Any]]:
    layer_names = hdf5.text_list(group, "layer_names")
    if layer_names is None:
        raise FormatError("HDF5 attribute 'layer_names' of 'model_weights' is missing")
    layers: list[Any] = []
    arrays: dict[str, Any] = {}
    for layer_name in layer_names:
        member = _descend(group, layer_name)
        weight_names = hdf5.text_list(member, "weight_names")
        if weight_names is None:
            raise FormatError(f"HDF5 attribute 'weight_names' of layer {layer_name!r} is missing")
        for weight_name in weight_names:
            key = f"{layer_name}/{weight_name}"
            if key in arrays:
                raise FormatError(f"HDF5 dataset {key!r} is named twice")
            arrays[key] = hdf5.checked_dataset(key, _descend(member, weight_name))
        layers.append([layer_name, weight_names])
    return layers, arrays


def _descend(group: Any, path: str) -> Any:
    item = group
    for part in path.split("/"):
        if part:
            item = hdf5.child(item, part) if hasattr(item, "keys") else None
            if item is None:
                raise FormatError(f"HDF5 object {path!r} is missing in {group.name!r}")
    return item
