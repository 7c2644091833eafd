"""Reads an HDF5 file as names, arrays and attributes, following nothing that leads out of it.

Runs in the sandbox's child process only: HDF5 is a C library that hostile files can crash.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ...errors import CUT, FormatError, MissingDependencyError, UnsupportedError

MAX_OBJECTS = 100_000
MAX_DEPTH = 64
MAX_EXPANSION = 64               # declared bytes of a compressed dataset for each byte that is stored
FREE_BYTES = 1 << 20             # what a dataset may declare in any case
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def make_ready() -> None:
    """Load what reading needs: after it nothing has to be opened. Raises MissingDependencyError."""
    h5py = _library()
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["names"] = ["a"]
        file.create_dataset("group/data", data=np.zeros((4, 4), np.float32), compression="gzip", shuffle=True)
    with open_file(memory) as file:
        text_list(file, "names")
        for path, dataset in walk(file):
            np.asarray(checked_dataset(path, dataset)[()])


def _library() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("reading Keras files needs h5py: pip install 'lstm-engine[keras]'") from error
    return h5py


def open_file(file: BinaryIO) -> Any:
    """The h5py.File behind an open binary file."""
    h5py = _library()
    try:
        return h5py.File(file, "r")
    except (OSError, RuntimeError, ValueError) as error:
        again = f": {CUT}" if "truncated file" in str(error) else ""
        raise FormatError(f"not a readable HDF5 file: {error}{again}") from error


def child(group: Any, name: str) -> Any | None:
    """The member `name` of a group, None if there is none. Raises FormatError if it is not a plain hard link."""
    import h5py

    try:
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FormatError(f"HDF5 object {_join(group, name)!r} is a link of kind {type(link).__name__} "
                              "that may lead elsewhere; expected data in this file")
        return group[name]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"HDF5 object {_join(group, name)!r} cannot be read: {error}") from error


def walk(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, dataset) of everything below a group, names as they are stored.

    Raises FormatError for soft and external links, a group reached twice, and too many or too deep objects.
    """
    import h5py

    seen = {_address(group)}
    stack = [(prefix, group, 0)]
    count = 0
    while stack:
        path, parent, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise FormatError(f"HDF5 groups are nested more than {MAX_DEPTH} deep at {path[:200]!r}")
        for name in names(parent):
            count += 1
            if count > MAX_OBJECTS:
                raise FormatError(f"the HDF5 file holds more than {MAX_OBJECTS} objects")
            member = child(parent, name)
            here = f"{path}/{name}" if path else name
            if isinstance(member, h5py.Group):
                address = _address(member)
                if address in seen:
                    raise FormatError(f"HDF5 group {here!r} is reached twice: the file holds a cycle or an alias")
                seen.add(address)
                stack.append((here, member, depth + 1))
            elif isinstance(member, h5py.Dataset):
                yield here, member
            else:
                raise FormatError(f"HDF5 object {here!r} is a {type(member).__name__}; expected groups and datasets")


def names(group: Any) -> list[str]:
    """The names of a group's members."""
    try:
        return list(group.keys())
    except (OSError, RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"HDF5 group {group.name!r} cannot be listed: {error}") from error


def _address(group: Any) -> int:
    import h5py

    try:
        return int(h5py.h5o.get_info(group.id).addr)
    except (OSError, RuntimeError) as error:
        raise FormatError(f"HDF5 group {group.name!r} cannot be read: {error}") from error


def _join(group: Any, name: str) -> str:
    return f"{(group.name or '').strip('/')}/{name}".strip("/")


class Bfloat16:
    """A dataset of bfloat16 numbers, kept as two opaque bytes each, read as float32: they are its upper half."""

    dtype = np.dtype(np.float32)

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.shape = dataset.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raw = np.asarray(self._dataset[()], order="C")
        wide: np.ndarray = raw.view("<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32)


def checked_dataset(path: str, dataset: Any) -> Any:
    """The dataset itself, to be read later, or a view of it as float32.

    Raises FormatError for data outside the file, declared sizes far beyond what is stored and types that are
    no numbers; UnsupportedError for a filter that is not known.
    """
    what = f"HDF5 dataset {path!r}"
    try:
        plist = dataset.id.get_create_plist()
        if dataset.is_virtual:
            raise FormatError(f"{what} is virtual: its data is in other files; expected data in this file")
        if dataset.external:
            raise FormatError(f"{what} keeps its data in other files ({dataset.external[0][0]!r}); "
                              "expected data in this file")
        for index in range(plist.get_nfilters()):
            code = plist.get_filter(index)[0]
            if code not in FILTERS:
                raise UnsupportedError(f"{what}: filter {code} is not supported; "
                                       f"supported: {', '.join(FILTERS.values())}")
        shape, dtype, stored = dataset.shape, dataset.dtype, dataset.id.get_storage_size()
        chunk = math.prod(dataset.chunks) * dtype.itemsize if dataset.chunks else 0
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, (FormatError, UnsupportedError)):
            raise
        raise FormatError(f"{what} cannot be read: {error}") from error
    bfloat16 = dtype == np.dtype("V2") and attribute(dataset, "dtype") == "bfloat16"
    if shape is None or dtype.kind not in "fiub" and not bfloat16:
        unnamed = " (bfloat16? HDF5 does not know it; a .keras file says so)" if dtype == np.dtype("V2") else ""
        raise FormatError(f"{what} holds {dtype if shape is not None else 'nothing'}; expected numbers{unnamed}")
    declared = max(math.prod(shape) * dtype.itemsize, chunk)
    allowed = stored * MAX_EXPANSION + FREE_BYTES if chunk else stored
    if declared > allowed:
        raise FormatError(f"{what} declares {declared} bytes, far beyond the {stored} that are stored")
    return Bfloat16(dataset) if bfloat16 else dataset


def attribute(item: Any, name: str) -> Any:
    """An attribute as plain data: text for text, a list for an array, None if absent."""
    try:
        if name not in item.attrs:
            return None
        value = item.attrs[name]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"HDF5 attribute {name!r} of {item.name!r} cannot be read: {error}") from error
    return _plain(value, name)


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(entry, name) for entry in value.reshape(-1).tolist()]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise FormatError(f"HDF5 attribute {name!r} is not UTF-8 text") from None
    return value.item() if isinstance(value, np.generic) else value


def text_list(item: Any, name: str) -> list[str] | None:
    """A list of texts; Keras cuts one of more than 64 KB into the attributes name0, name1, ..."""
    whole = attribute(item, name)
    if whole is None:
        parts: list[str] = []
        while (part := attribute(item, f"{name}{len(parts)}")) is not None:
            parts.append(part)
        if not parts:
            return None
        whole = [entry for part in parts for entry in (part if isinstance(part, list) else [part])]
    if not isinstance(whole, list) or not all(isinstance(entry, str) for entry in whole):
        raise FormatError(f"HDF5 attribute {name!r} of {item.name!r} is not a list of names")
    return whole
