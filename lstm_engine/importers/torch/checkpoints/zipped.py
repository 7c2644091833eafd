"""`.pt` zip archives: `<stem>/data.pkl` over `<stem>/data/<key>`; TorchScript archives have the same two parts.

The code that a TorchScript archive carries is read by importers.torch.script.
Source of the layout: torch/serialization.py (_save), caffe2/serialize/inline_container.h.
"""

from __future__ import annotations

from typing import Any

from ....errors import FormatError
from ...reading.zip_archive import Archive
from .rebuild import storage_type
from .storages import Storages, storage
from .symbols import Storage
from .unpickle import MAX_BYTES, unpickle

PICKLE = "/data.pkl"
# Of a TorchScript archive: what it holds is then what the code makes its tensors of, not the tensors.
REMADE = ("whose code makes an object's tensors anew when it is loaded; load the archive in PyTorch, and save the "
          "module's state_dict or export the program")


def stem_of(archive: Archive) -> str | None:
    """The folder of `data.pkl`, or None if there is no such record."""
    found = [name.removesuffix(PICKLE) for name in archive.records if name.endswith(PICKLE) and name.count("/") == 1]
    if len(found) > 1:
        raise FormatError(f"two folders hold a data.pkl: {found[0]!r} and {found[1]!r}")
    return found[0] if found else None


def read_zip(archive: Archive, stem: str, what: str = "data") -> tuple[Any, Storages]:
    """The object in the archive as data, and the reader of its storages. Raises FormatError, UnsupportedError.

    what: the name of the pickle and of the folder of its storages; a TorchScript archive has "constants", too.
    """
    types: dict[str, str] = {}

    def persistent(identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage" \
                or not isinstance(identity[2], str):
            raise FormatError("a persistent id that is not (storage, type, key, location, size)")
        _, kind, key, _, count = identity
        dtype, itemsize = storage_type(kind)
        if types.setdefault(key, dtype) != dtype:          # torch would take the first for both
            raise FormatError(f"storage {key[:60]!r} is declared as {types[key]} and as {dtype}")
        return storage(key, dtype, itemsize, count, archive.record(f"{stem}/{what}/{key}").size)

    part = f"{stem}/{what}.pkl"
    data = archive.read(part, MAX_BYTES)
    result, end = unpickle(data, part, persistent)
    if end != len(data):
        raise FormatError(f"{part}: {len(data) - end} bytes follow the pickle")
    return result, Storages(lambda key: archive.read(f"{stem}/{what}/{key}"), is_big_endian(archive, stem))


def remakes(archive: Archive, stem: str) -> bool:
    """Whether classes of a TorchScript archive have a __setstate__."""
    return any(b"def __setstate__" in archive.read(name, MAX_BYTES) for name in archive.records
               if name.startswith(f"{stem}/code/") and name.endswith(".py"))


def is_big_endian(archive: Archive, stem: str) -> bool:
    """What the record `byteorder` says; files without it are little-endian, as torch reads them."""
    name = f"{stem}/byteorder"
    order = archive.read(name, 16) if name in archive.records else b"little"
    if order not in (b"little", b"big"):
        raise FormatError(f"{name}: must be 'little' or 'big', got {order!r}")
    return order == b"big"
