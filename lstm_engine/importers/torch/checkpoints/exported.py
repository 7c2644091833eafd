"""`.pt2` archives of torch.export: weights by name from their list, the exported program never run.

Two layouts: that of today, and that of torch 2.7 and before, which holds the weights as files of torch.save.
Source of the layouts: torch/export/pt2_archive/ (constants.py, _package.py), torch/export/__init__.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....strict_json import parse_object
from ...reading.weights import Entry
from ...reading.zip_archive import Archive
from .rebuild import sizes
from .storages import Storages
from .symbols import Storage, Tensor, view
from .zipped import is_big_endian, read_zip, stem_of

LIST = "/data/weights/model_weights_config.json"
CONSTANTS = "/data/constants/model_constants_config.json"
MAX_LIST_BYTES = 8 << 20
OLD_PROGRAM = "serialized_exported_program.json"
OLD_WEIGHTS = ("serialized_state_dict.pt", "serialized_constants.pt")

# torch/_export/serde/schema.py, ScalarType
SCALARS = {1: ("uint8", 1), 2: ("int8", 1), 3: ("int16", 2), 4: ("int32", 4), 5: ("int64", 8), 6: ("float16", 2),
           7: ("float32", 4), 8: ("float64", 8), 12: ("bool", 1), 13: ("bfloat16", 2)}


def exported_stem(archive: Archive) -> str | None:
    """The folder of the list of weights, or None if the archive is no `.pt2` of this layout.

    Raises FormatError if there are two.
    """
    found = [name.removesuffix(LIST) for name in archive.records if name.endswith(LIST)]
    if len(found) > 1:
        raise FormatError(f"two folders hold a list of weights: {found[0]!r} and {found[1]!r}")
    return found[0] if found else None


def read_exported(archive: Archive, stem: str) -> tuple[dict[str, Tensor], Storages]:
    """The weights and constants of an exported program by name. Raises FormatError, UnsupportedError."""
    tensors: dict[str, Tensor] = {}
    for suffix in (LIST, CONSTANTS):
        if stem + suffix not in archive.records:
            continue
        folder = (stem + suffix).rpartition("/")[0]
        config = parse_object(archive.read(stem + suffix, MAX_LIST_BYTES), stem + suffix).get("config")
        if not isinstance(config, dict):
            raise FormatError(f"{stem + suffix}: must hold an object \"config\"")
        for name, item in config.items():
            if name in tensors:
                raise FormatError(f"{stem + suffix}: {name!r:.100} is among the weights as well")
            tensors[name] = _tensor(archive, folder, name, item)
    return tensors, Storages(archive.read, is_big_endian(archive, stem))


def read_old(archive: Archive) -> dict[str, Entry]:
    """The weights and constants of an archive of the older layout, by name. Raises FormatError, UnsupportedError."""
    found: dict[str, Entry] = {}
    for part in OLD_WEIGHTS:
        if part not in archive.records or not archive.records[part].size:
            continue
        with archive.open(part) as file:
            inner = Archive(file, archive.records[part].size)
            stem = stem_of(inner)
            if stem is None:
                raise FormatError(f"{part}: is no file of torch.save")
            tree, storages = read_zip(inner, stem)
            if not isinstance(tree, dict) or not all(isinstance(name, str) for name in tree):
                raise FormatError(f"{part}: must hold tensors by name")
            tensors = {name: tensor for name, tensor in tree.items() if isinstance(tensor, Tensor)}
            for name in tensors:
                if name in found:
                    raise FormatError(f"{part}: {name!r:.100} is among the weights as well")
            for name, entry in storages.entries(tensors).items():
                found[name] = Entry(entry.shape, entry.dtype, partial(np.asarray, entry.load()))
    return found


def _tensor(archive: Archive, folder: str, name: str, item: Any) -> Tensor:
    if not isinstance(item, dict) or not isinstance(item.get("path_name"), str) \
            or not isinstance(item.get("tensor_meta"), dict):
        raise FormatError(f"weight {name!r:.100} must have path_name and tensor_meta")
    if item.get("use_pickle"):
        raise UnsupportedError(f"weight {name!r:.100} is stored as a pickle of its own; save the state_dict instead")
    meta, record = item["tensor_meta"], archive.record(f"{folder}/{item['path_name']}")
    if type(meta.get("dtype")) is not int or meta["dtype"] not in SCALARS:
        raise UnsupportedError(f"weight {name!r:.100} has the scalar type {meta.get('dtype')!r:.20}")
    dtype, itemsize = SCALARS[meta["dtype"]]
    storage = Storage(record.name, dtype, itemsize, record.size)
    (offset,) = _ints([meta.get("storage_offset")], name)
    shape, strides = _ints(meta.get("sizes"), name), _ints(meta.get("strides"), name)
    return view(storage, dtype, itemsize, offset, shape, strides)


def _ints(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) and set(item) == {"as_int"} for item in value):
        raise FormatError(f"weight {name!r:.100}: its sizes must be a list of plain numbers")
    return sizes([item["as_int"] for item in value], f"sizes of {name!r:.100}")
