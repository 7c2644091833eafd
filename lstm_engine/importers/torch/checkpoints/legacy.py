"""Legacy `.pt` files (torch before 1.6): three pickles of preamble, the object, a list of keys, raw storages.

Storages are little-endian whatever machine wrote them (torch/csrc/serialization.cpp swaps on the way out).
Source of the layout: torch/serialization.py (_legacy_save, _legacy_load).
"""

from __future__ import annotations

from typing import Any, BinaryIO

from ....errors import CUT, FormatError
from ....files import read_exactly
from .begins import MAGIC_NUMBER
from .rebuild import storage_type
from .storages import Storages
from .symbols import Storage, Symbol
from .unpickle import MAX_BYTES, unpickle

PROTOCOL = 1001
COUNT_BYTES = 8            # of the number of items in front of each raw storage


class _Declared:
    """The storages that the pickle names: key -> one root storage, and the views of it."""

    def __init__(self) -> None:
        self.roots: dict[str, Storage] = {}

    def persistent(self, identity: Any) -> Storage | Symbol:
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module" \
                and isinstance(identity[1], Symbol):
            return identity[1]                     # a class with its source text, which is not looked at
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage" \
                or not isinstance(identity[2], str):
            raise FormatError("a persistent id that is not (storage, type, key, location, size, view)")
        _, kind, key, _, count = identity[:5]
        dtype, itemsize = storage_type(kind)
        if type(count) is not int or not 0 <= count < 2**48:
            raise FormatError(f"storage {key[:60]!r} without a count of items")
        root = self.roots.setdefault(key, Storage(key, dtype, itemsize, count * itemsize))
        if (root.dtype, root.size) != (dtype, count * itemsize):
            raise FormatError(f"storage {key[:60]!r} is declared as {root.size} bytes of {root.dtype} and as "
                              f"{count * itemsize} bytes of {dtype}")
        return root if len(identity) == 5 or identity[5] is None else self._part(root, identity[5])

    def _part(self, root: Storage, view: Any) -> Storage:
        """A storage that is a window of another: (key of the window, offset, items)."""
        if not isinstance(view, tuple) or len(view) != 3 or any(type(n) is not int or n < 0 for n in view[1:]):
            raise FormatError("a view of a storage that is not (key, offset, size)")
        start, size = view[1] * root.itemsize, view[2] * root.itemsize
        if start + size > root.size:
            raise FormatError(f"a view of bytes {start} to {start + size} of storage {root.key[:60]!r}, which has "
                              f"{root.size}")
        return Storage(root.key, root.dtype, root.itemsize, size, start)


def read_legacy(file: BinaryIO, size: int) -> tuple[Any, Storages]:
    """The object in a legacy file of `size` bytes as data, and the reader of its storages."""
    head = file.read(min(size, 2 * MAX_BYTES))
    declared = _Declared()
    position, parts = 0, []
    for part, persistent in (("magic number", _none), ("protocol version", _none), ("system information", _none),
                             ("object", declared.persistent), ("storage keys", _none)):
        value, position = unpickle(head, part, persistent, position)
        parts.append(value)
    magic, protocol, _, result, keys = parts
    if magic != MAGIC_NUMBER or protocol != PROTOCOL:
        raise FormatError(f"magic number and protocol must be {MAGIC_NUMBER:#x} and {PROTOCOL}")
    places = _places(file, size, position, keys, declared.roots)

    def load(key: str) -> bytes | memoryview:
        return read_exactly(file, places[key], declared.roots[key].size)

    return result, Storages(load)


def _none(_: Any) -> Any:
    raise FormatError("a persistent id outside the object")


def _places(file: BinaryIO, size: int, position: int, keys: Any, roots: dict[str, Storage]) -> dict[str, int]:
    """Where each storage's items begin; the storages must fill the rest of the file exactly."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise FormatError("storage keys: must be a list of different strings")
    if set(keys) != set(roots):
        odd = sorted(set(keys) ^ set(roots))[0]
        raise FormatError(f"storage {odd[:60]!r} is {'declared, but not stored' if odd in roots else 'never declared'}")
    places = {}
    for key in keys:
        root = roots[key]
        file.seek(position)
        count = int.from_bytes(file.read(COUNT_BYTES), "little", signed=True)
        if count * root.itemsize != root.size:
            raise FormatError(f"storage {key[:60]!r} has {count} items in the file, {root.size // root.itemsize} were "
                              "declared")
        places[key] = position + COUNT_BYTES
        position = places[key] + root.size
        if position > size:
            raise FormatError(f"storage {key[:60]!r} ends at byte {position}, the file has {size}: {CUT}")
    if position != size:
        raise FormatError(f"{size - position} bytes follow the last storage")
    return places
