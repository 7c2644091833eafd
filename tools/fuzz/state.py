"""What a target's process and the one that watches it share: how far it is, and the input that it is at. In a file that
both have mapped, so that it survives whatever becomes of the process."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_HEAD = struct.Struct("<QI")            # executions, bytes of the input
LARGEST = 1 << 20


class State:
    """executions: those begun; what is counted beyond those that ended is the one that runs."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD.size + LARGEST))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), _HEAD.size + LARGEST)

    def begin(self, data: bytes) -> None:
        """An execution of `data` begins."""
        count, _ = _HEAD.unpack_from(self._map)
        self._map[_HEAD.size:_HEAD.size + min(len(data), LARGEST)] = data[:LARGEST]
        _HEAD.pack_into(self._map, 0, count + 1, min(len(data), LARGEST))

    @property
    def executions(self) -> int:
        return _HEAD.unpack_from(self._map)[0]

    @property
    def input(self) -> bytes:
        """The input of the execution that began last."""
        return self._map[_HEAD.size:_HEAD.size + _HEAD.unpack_from(self._map)[1]]
