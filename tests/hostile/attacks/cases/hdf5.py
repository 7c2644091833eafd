"""HDF5, in `.keras` and `.h5` files: a C library in a confined process."""

from __future__ import annotations

import zlib
from pathlib import Path

import hdf5_bytes as made
import numpy as np
from hdf5_bytes import KERNEL, h5_with
from keras_files import h5_bytes, legacy, sequential, zipped
from keras_hostile import ARRAYS, CONFIG

from lstm_engine.errors import FormatError, UnsupportedError

from ..attack import Table, floats

TABLE = Table("HDF5 (.keras, .h5)", "model.keras", lambda folder: zipped(folder / "model.keras", CONFIG, ARRAYS))
DENSE = sequential({"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 3]}})


def refuse(name: str, source: str, change: made.Change, message: str, error: type = FormatError) -> None:
    """A .keras file with one dataset of its weights replaced."""
    TABLE.refuse(name, source, lambda folder: zipped(folder / "model.keras", CONFIG, h5_with(change)), error, message)


def raw(name: str, source: str, data: bytes, message: str) -> None:
    TABLE.refuse(name, source, lambda folder: zipped(folder / "model.keras", CONFIG, data), FormatError, message)


def corrupt() -> bytes:
    """A chunk whose deflate stream is damaged: found when it is read, after the first arrays were sent."""
    kernel = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    data = bytearray(h5_with(lambda file: file.create_dataset(KERNEL, data=kernel, chunks=(1000, 3),
        compression="gzip")))
    data[data.index(zlib.compress(kernel.tobytes(), 4)[:64]) + 200] ^= 0xFF
    return bytes(data)


def bomb(file) -> None:
    """64 MB of zeros, deflated a thousandfold."""
    file.create_dataset(KERNEL, data=np.zeros((1 << 12, 1 << 12), np.float32), chunks=(1 << 10, 1 << 12),
                        compression="gzip", compression_opts=9)


def old(folder: Path, **arrays: np.ndarray) -> Path:
    """A legacy file of one Dense layer."""
    return legacy(folder / "model.h5", DENSE, {"d": {f"d/{name}": array for name, array in arrays.items()}})


def old_link(folder: Path) -> Path:
    import h5py

    path = old(folder, kernel=floats(3, 2), bias=floats(2))
    with h5py.File(path, "r+") as file:
        del file["model_weights/d/d/kernel"]
        file["model_weights/d/d/kernel"] = h5py.ExternalLink("../outside/secret.bin", "/x")
    return path


def old_lambda(folder: Path) -> Path:
    config = sequential({"class_name": "Lambda", "config": {"name": "evil", "batch_input_shape": [None, 3],
                                                            "function": ["4wEAAAAAAAAA", None, None]}})
    return legacy(folder / "model.h5", config, {"evil": {}})


refuse("an external link", "CVE-2026-1669", made.external_link,
    "is a link of kind ExternalLink that may lead elsewhere")
refuse("a soft link", "CVE-2026-1669's kind", made.soft_link, "is a link of kind SoftLink that may lead elsewhere")
refuse("external storage in /etc/passwd", "CVE-2026-1669", made.external_storage, "keeps its data in other files")
refuse("a virtual dataset", "CVE-2026-1669's kind", made.virtual, "is virtual: its data is in other files")
refuse("a group in itself", "CWE-835", made.cycle, "is reached twice: the file holds a cycle or an alias")
refuse("a group under two names", "CVE-2003-1564: groups that multiply", made.alias, "is reached twice")
refuse("4 TB declared, nothing stored", "CVE-2026-0897", made.declared,
    "declares 4398046511104 bytes, far beyond the 0")
refuse("4 MB declared, never stored", "CVE-2026-0897", made.never_stored, "declares 4194304 bytes, far beyond the 0")
refuse("a chunk of 1 GB", "CVE-2026-0897", made.large_chunk, "declares 1073741824 bytes, far beyond the 0")
refuse("64 MB of zeros in 70 KB", "CWE-409", bomb, "declares 67108864 bytes, far beyond the")
refuse("one dataset under 500 names", "CWE-409", made.many_shares, "bytes, far beyond the size of the file")
refuse("a filter that would load a library", "HDF5 plug-ins, CWE-426", made.unknown_filter, "filter 6 is not supported",
       UnsupportedError)
refuse("text for numbers", "CWE-843", made.strings, "holds object; expected numbers")
refuse("records for numbers", "CWE-843", made.compound, "expected numbers")
refuse("a type for a dataset", "CWE-843", made.datatype, "is a Datatype; expected groups and datasets")
refuse("a dataset without a shape", "CWE-476", made.nothing, "holds nothing; expected numbers")
refuse("groups 100 deep", "CWE-674", made.deep, "HDF5 groups are nested more than 64 deep")
raw("a damaged chunk", "HDF5's own CVEs", corrupt(), f"{KERNEL}: OSError: Can't ")
raw("a truncated file", "cve-2024-32609.h5 and its kind", h5_bytes(ARRAYS)[:-50], "not a readable HDF5 file: ")
raw("no HDF5 at all", "CWE-434", b"hello", "not a readable HDF5 file: ")
TABLE.refuse("legacy: an external link", "CVE-2026-1669", old_link, FormatError, "is a link of kind ExternalLink")
TABLE.refuse("legacy: a Lambda layer", "CVE-2025-9905, CVE-2024-3660", old_lambda, UnsupportedError,
             "layer 'evil' (Lambda) is refused: it holds Python code")
TABLE.right("legacy: a good file", "no attack", lambda folder: old(folder, kernel=floats(3, 2), bias=floats(2)),
            np.ones((2, 3), np.float32) @ floats(3, 2) + floats(2), "its numbers")
