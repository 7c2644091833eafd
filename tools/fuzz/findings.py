"""Findings as files: the input, and beside it what it shows and how to repeat it; and inputs made smaller."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from json_damage import at, places
from torch_bytes import archive

from .mutate.text import dumped
from .mutate.zips import records
from .rule import Finding


class Folder:
    """The findings of one target, each kind and place once."""

    def __init__(self, folder: Path, name: str, target: str = "") -> None:
        self.path, self._target = folder / name, target or name
        self.path.mkdir(parents=True, exist_ok=True)

    def aside(self, name: str) -> Folder:
        """A folder in this one, whose inputs are not among `all`."""
        return Folder(self.path, name, self._target)

    def known(self, finding: Finding) -> bool:
        return self._file(finding).exists()

    def keep(self, finding: Finding, data: bytes) -> Path:
        """Write an input down with what it shows; an input found before is replaced by a smaller one."""
        file = self._file(finding)
        if not file.exists() or len(data) < file.stat().st_size:
            file.write_bytes(data)
            file.with_suffix(".txt").write_text(
                f"{finding.key}\n\nrepeat: python tools/fuzz/run.py {self._target} {file}\n\n{finding.text}\n",
                errors="backslashreplace")
        return file

    def all(self) -> list[Path]:
        """The inputs, and of each kind and place one."""
        return sorted(self.path.glob("*.bin"))

    def _file(self, finding: Finding) -> Path:
        name = re.sub(r"\W+", "-", finding.key)[:60].strip("-")
        return self.path / f"{name}-{hashlib.sha256(finding.key.encode()).hexdigest()[:8]}.bin"


def smaller(data: bytes, fails: Callable[[bytes], bool], seconds: float) -> bytes:
    """The smallest input found within so many seconds for which `fails` still holds."""
    until = time.monotonic() + seconds
    found = True
    while found:
        found = False
        for candidate in _candidates(data):
            if time.monotonic() > until:
                return data
            if len(candidate) < len(data) and fails(candidate):
                data, found = candidate, True
                break
    return data


def _candidates(data: bytes) -> Iterator[bytes]:
    """The input without parts of it: records of an archive, parts of a JSON tree, pieces of bytes, large ones first."""
    found = records(data) if data[:2] == b"PK" else None
    for name in found or ():
        yield archive({other: content for other, content in found.items() if other != name})
        for inner in _candidates(found[name]):
            yield archive({**found, name: inner})
    if data[:1] in (b"{", b"["):
        try:
            tree = json.loads(data)
            paths = sorted(places(tree), key=len)
            for path in paths:
                less = copy.deepcopy(tree)
                del at(less, path[:-1])[path[-1]]
                yield dumped(less)
        except (ValueError, RecursionError):
            pass
    size = len(data) // 2
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size:]
        size //= 2
