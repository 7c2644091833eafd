"""Writes files in the layouts of Keras 1, 2 and 3 by hand, for the versions that cannot be run here."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from zip_bytes import made


def legacy(path: Path, config: dict, layers: Mapping[str, Mapping[str, np.ndarray]], version: str | None = "2.2.4",
           chunked: int | None = None) -> Path:
    """A whole-model HDF5 file. layers: by name, the arrays by weight name, in order.

    version None: as Keras 1.0 wrote it. chunked: lists of names are cut into attributes of that many.
    """
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version.encode()
            file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        _names(group, "layer_names", list(layers), chunked)
        for name, weights in layers.items():
            member = group.create_group(name)
            _names(member, "weight_names", list(weights), chunked)
            for weight_name, array in weights.items():
                member.create_dataset(weight_name, data=array)
    return path


def _names(group: h5py.Group, attribute: str, names: Sequence[str], chunked: int | None) -> None:
    encoded = [name.encode() for name in names]
    if chunked is None or len(encoded) <= chunked:
        group.attrs[attribute] = encoded
    else:
        for number, start in enumerate(range(0, len(encoded), chunked)):
            group.attrs[f"{attribute}{number}"] = encoded[start : start + chunked]


def h5_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An HDF5 file of datasets by path."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return buffer.getvalue()


def zipped(path: Path, config: dict, arrays: Mapping[str, np.ndarray] | bytes, version: str = "3.10.0",
           compression: int = zipfile.ZIP_STORED) -> Path:
    """A `.keras` file. arrays: by path ("layers/lstm/cell/vars/0"), or the bytes of model.weights.h5."""
    weights = arrays if isinstance(arrays, bytes) else h5_bytes(arrays)
    metadata = json.dumps({"keras_version": version, "date_saved": "2024-01-01@00:00:00"})
    path.write_bytes(made(("metadata.json", metadata), ("config.json", json.dumps(config)),
                          ("model.weights.h5", weights), method=compression))
    return path


def layer(kind: str, name: str, inbound: Any = None, **config: Any) -> dict:
    """One entry of a model's "layers"."""
    entry = {"class_name": kind, "config": {"name": name, **config}, "name": name}
    return entry if inbound is None else {**entry, "inbound_nodes": inbound}


def sequential(*layers: dict, name: str = "model") -> dict:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(layers: Sequence[dict], inputs: Any, outputs: Any, name: str = "model") -> dict:
    return {"class_name": "Functional", "config": {"name": name, "layers": list(layers), "input_layers": inputs,
                                                   "output_layers": outputs}}


def random(seed: int, *shape: int) -> np.ndarray:
    return (0.5 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
