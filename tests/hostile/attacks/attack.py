"""What an attack is, and the table of those on one format."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from lstm_engine.errors import LstmEngineError

from . import uses

Made = bytes | str | Path | None
Make = Callable[[Path], Made] | Callable[[], Made]


@dataclass(frozen=True)
class Refused:
    """The exact class of the error, and a part of its message that tells this attack from others."""

    error: type[Exception]
    message: str

    def __str__(self) -> str:
        return f"{self.error.__name__}: {self.message}"


@dataclass(frozen=True)
class Right:
    """An answer: the file is harmless, and what is computed with it is this."""

    numbers: Any                 # what `use` must return, as `uses.plain` writes it
    why: str                     # a few words for the table

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True)
class Attack:
    """One class of attack on one format.

    source: the CVE, or the work that it is modelled on. make: writes what it needs into an empty folder and returns the
    path to open, or the bytes of the one file. use: what the victim does with the path, of `uses` or `calls`.
    writes: files in the folder that this use is asked to write.
    """

    format: str
    name: str
    source: str
    make: Make
    expected: Refused | Right
    use: Callable[..., Any]
    file: str = ""               # the file's name, where `make` gives bytes
    writes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name of letters, figures and hyphens that no other attack has: a folder's, and a test's."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.format} {self.name}".lower()).strip("-")
        return f"{words[:60]}-{zlib.crc32(f'{self.format} {self.name}'.encode()):08x}"

    def write(self, folder: Path) -> Path:
        """Make the files in a folder; the path that the victim opens."""
        takes_folder = "folder" in signature(self.make).parameters
        made: Made = self.make(folder) if takes_folder else self.make()  # type: ignore[call-arg]
        if made is None:
            return folder
        if isinstance(made, Path):
            return made
        path = folder / self.file
        path.write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        return path


@dataclass
class Table:
    """The attacks on one format. file: what a file of it is called. good: makes a file that opens, with which the
    victim loads beforehand whatever is loaded late."""

    format: str
    file: str
    good: Make
    use: Callable[..., Any] = uses.convert
    attacks: list[Attack] = field(default_factory=list)

    def refuse(self, name: str, source: str, make: Make, error: type[LstmEngineError] | type[Exception], message: str,
        *,
               use: Callable[..., Any] | None = None, file: str = "", writes: tuple[str, ...] = ()) -> None:
        """An attack that must be refused with these words."""
        self._add(name, source, make, Refused(error, message), use, file, writes)

    def right(self, name: str, source: str, make: Make, numbers: Any, why: str, *,
              use: Callable[..., Any] | None = None, file: str = "", writes: tuple[str, ...] = ()) -> None:
        """What looks like an attack and must be answered."""
        self._add(name, source, make, Right(uses.plain(numbers), why), use, file, writes)

    def _add(self, name: str, source: str, make: Make, expected: Refused | Right, use: Any, file: str,
             writes: tuple[str, ...]) -> None:
        self.attacks.append(Attack(self.format, name, source, make, expected, use or self.use, file or self.file,
            writes))

    def warm_up(self, folder: Path) -> Path:
        """The good file, in an empty folder."""
        return Attack(self.format, "good", "", self.good, Right(None, ""), self.use, self.file).write(folder)


def floats(*shape: int) -> np.ndarray:
    """Small numbers that are exact in float16, all different."""
    return (np.arange(np.prod(shape), dtype=np.float32).reshape(shape) - 3) / 8
