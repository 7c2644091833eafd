"""Reads what Keras writes, as data: the configuration, versions, and the arrays by path.

`read_zip` and `read_h5` run in the sandbox's child process. Both give arrays that are read when they are sent.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from typing import Any, BinaryIO

from ...errors import FormatError, UnsupportedError
from . import h5

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_TEXT = 8 << 20               # of a configuration
MAX_MEMBERS = 10_000
MAX_RATIO = 64                   # of a member larger than FREE_BYTES
FREE_BYTES = 1 << 20
_CHUNK = 1 << 20
LAYER_ROOTS = ("layers", "_layer_checkpoint_dependencies")   # the second: written by Keras 2.12 and 2.13


def make_ready() -> None:
    """Load what the readers need, by reading a file of each kind: after it nothing has to be opened."""
    "".encode("cp437")                           # names in zip archives
    zipfile.ZipFile(io.BytesIO(b"PK\5\6" + bytes(18)))
    h5.make_ready()


def read_zip(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """A `.keras` file: {"config", "metadata"} and the arrays of its layers by path ("layers/lstm/cell/vars/0").

    Raises FormatError, naming the member, for anything but the three members Keras writes, whole.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise FormatError(f"not a readable zip archive: {error}") from error
    members = _checked_members(archive)
    if WEIGHTS not in members and "model.weights.npz" in members:
        raise UnsupportedError(f"weights in model.weights.npz are not supported; supported: {WEIGHTS}")
    missing = [name for name in (CONFIG, METADATA, WEIGHTS) if name not in members]
    if missing:
        raise FormatError(f"zip member {missing[0]!r} is missing; a .keras file holds {CONFIG}, {METADATA}, {WEIGHTS}")
    config, metadata = (h5.parse_json(_text(archive, members[name]), name) for name in (CONFIG, METADATA))
    weights = h5.open_file(_member(file, archive, members[WEIGHTS]))
    return {"config": config, "metadata": metadata}, _layer_arrays(weights)


def read_h5(source: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """A legacy `.h5` file: {"config", "metadata", "layers": [[name, [weight name, ...]], ...]} and the arrays.

    The arrays are called "layer name/weight name", in the order of "layers".
    Raises UnsupportedError for a file of weights alone, FormatError for attributes that do not fit.
    """
    file = h5.open_file(source)
    config = h5.attribute(file, "model_config")
    if config is None:
        raise UnsupportedError("the HDF5 file holds no model_config: weights alone do not say what the model is; "
                               "save the whole model (model.save), or give a spec (docs/spec.md)")
    if not isinstance(config, str) or len(config) > MAX_TEXT:
        raise FormatError(f"HDF5 attribute 'model_config' is not a text of at most {MAX_TEXT} bytes")
    group = h5.child(file, "model_weights")
    if group is None:
        raise FormatError("HDF5 group 'model_weights' is missing")
    layers, arrays = _legacy_arrays(group)
    metadata = {name: h5.attribute(file, name) or h5.attribute(group, name) for name in ("keras_version", "backend")}
    return {"config": h5.parse_json(config, "model_config"), "metadata": metadata, "layers": layers}, arrays


def read_arrays(source: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """Any HDF5 file as its datasets by path alone: {} and the arrays, for a spec to say what they are."""
    file = h5.open_file(source)
    return {}, {name: h5.checked_dataset(name, dataset) for name, dataset in h5.walk(file)}


def _checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    if len(archive.infolist()) > MAX_MEMBERS:
        raise FormatError(f"the zip archive holds {len(archive.infolist())} members, more than {MAX_MEMBERS}")
    for info in archive.infolist():
        what = f"zip member {info.filename!r}"
        # zipfile cuts a name at a zero byte and turns the system's separator into "/"; judge the name as stored.
        name = info.orig_filename.replace("\\", "/")
        if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/") or "\0" in name:
            raise FormatError(f"zip member {info.orig_filename!r} has a name that leads out of the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FormatError(f"{what} is a symbolic link; expected a file")
        if name in members:
            raise FormatError(f"{what} is there twice")
        if info.flag_bits & 1:
            raise UnsupportedError(f"{what} is encrypted; supported: plain members")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedError(f"{what} uses compression method {info.compress_type}; supported: none, deflate")
        if info.file_size > FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size:
            raise FormatError(f"{what} declares {info.file_size} bytes, far beyond the {info.compress_size} "
                              "that are stored")
        members[name] = info
    return members


def _text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_TEXT:
        raise FormatError(f"zip member {info.filename!r} is {info.file_size} bytes long; at most {MAX_TEXT} are read")
    return b"".join(_chunks(archive, info))


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    """The bytes of a member; its end is reached only if its length and checksum are right."""
    try:
        with archive.open(info) as member:
            length = 0
            while chunk := member.read(_CHUNK):
                length += len(chunk)
                yield chunk
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, struct.error,
            RuntimeError) as error:
        raise FormatError(f"zip member {info.filename!r} is damaged: {error}") from error
    if length != info.file_size:
        raise FormatError(f"zip member {info.filename!r} ends after {length} bytes of {info.file_size}")


def _member(file: BinaryIO, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """A member as a file that can seek, after its checksum was found right."""
    if info.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(b"".join(_chunks(archive, info)))
    for _ in _chunks(archive, info):
        pass
    # Keras stores the weights uncompressed: they are read where they are, not copied into memory first.
    file.seek(info.header_offset)
    name_length, extra_length = struct.unpack("<26xHH", file.read(30))
    start = info.header_offset + 30 + name_length + extra_length
    return io.BufferedReader(_Window(file, start, info.file_size))


class _Window(io.RawIOBase):
    """A part of a file as a file: `size` bytes from `start`."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._start + self._position)
        done: int = self._file.readinto(view[:count])  # type: ignore[attr-defined]
        self._position += done
        return done


def _layer_arrays(file: Any) -> dict[str, Any]:
    """The datasets of the layers; those of the optimizer are not looked at."""
    arrays: dict[str, Any] = {}
    for top in h5.names(file):
        # Keras on Windows once wrote whole paths as one name, with backslashes.
        root, *rest = top.replace("\\", "/").split("/")
        if root not in LAYER_ROOTS:
            continue
        member = h5.child(file, top)
        found = h5.walk(member, top) if hasattr(member, "keys") else [(top, member)]
        for stored, dataset in found:
            parts = stored.replace("\\", "/").split("/")
            path = "/".join("layers" if part in LAYER_ROOTS else part for part in parts)
            if path in arrays:
                raise FormatError(f"HDF5 dataset {path!r} is there twice")
            arrays[path] = h5.checked_dataset(stored, dataset)
    return arrays


def _legacy_arrays(group: Any) -> tuple[list[Any], dict[str, Any]]:
    layer_names = h5.text_list(group, "layer_names")
    if layer_names is None:
        raise FormatError("HDF5 attribute 'layer_names' of 'model_weights' is missing")
    layers: list[Any] = []
    arrays: dict[str, Any] = {}
    for layer_name in layer_names:
        member = _descend(group, layer_name)
        weight_names = h5.text_list(member, "weight_names")
        if weight_names is None:
            raise FormatError(f"HDF5 attribute 'weight_names' of layer {layer_name!r} is missing")
        for weight_name in weight_names:
            key = f"{layer_name}/{weight_name}"
            if key in arrays:
                raise FormatError(f"HDF5 dataset {key!r} is named twice")
            arrays[key] = h5.checked_dataset(key, _descend(member, weight_name))
        layers.append([layer_name, weight_names])
    return layers, arrays


def _descend(group: Any, path: str) -> Any:
    item = group
    for part in path.split("/"):
        if part:
            item = h5.child(item, part) if hasattr(item, "keys") else None
            if item is None:
                raise FormatError(f"HDF5 object {path!r} is missing in {group.name!r}")
    return item
