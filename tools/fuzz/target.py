"""What a target is, and what several targets need: a file of its own for each input."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .rule import Broken

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """execute: makes one execution and says in a few words what became of it; raises LstmEngineError, `rule.Broken`, or
    anything else, which is a finding. mutate: changes that know the format. words: of the format's dictionary. largest:
    bytes of an input. whole: it starts a process for each execution, a few of which take a second. grows: it runs
    graphs, which may ask for any amount of work: what takes too long or too much is kept apart, and is no finding."""

    name: str
    about: str
    execute: Callable[[bytes], str]
    mutate: Mutate
    words: Sequence[bytes] = ()
    largest: int = 16 << 10
    whole: bool = False
    grows: bool = False

    def corpus(self) -> Iterator[Path]:
        """The files committed for this target."""
        return iter(sorted((CORPUS / self.name).iterdir()))


class Folder:
    """A folder of this process for input files, in memory where the system has such a place."""

    def __init__(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._own = tempfile.TemporaryDirectory(prefix="lstm-engine-fuzz-", dir=memory)
        self.path = Path(self._own.name)

    @contextmanager
    def file(self, data: bytes, name: str) -> Iterator[Path]:
        """A file of these bytes. Raises Broken if they, or what lies beside them, are others afterwards."""
        path = self.path / name
        path.write_bytes(data)
        before = set(os.listdir(self.path))
        try:
            yield path
        finally:
            made = sorted(set(os.listdir(self.path)) ^ before)
            for extra in made:
                shutil.rmtree(self.path / extra, ignore_errors=True)
            if made:
                raise Broken("changed", f"reading made or removed {made}")
            if path.read_bytes() != data:
                raise Broken("changed", "the input file has other bytes than before")
