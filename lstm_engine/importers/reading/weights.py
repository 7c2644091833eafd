"""Named arrays of a checkpoint, converted when they are asked for, and a record of which were used."""

from __future__ import annotations

import fnmatch
import glob
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import FormatError, UnsupportedError
from .altering import altering

FLOATS = ("float16", "bfloat16", "float32", "float64")
NUMBERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
MAX_RANK = 16
MAX_ELEMENTS = 2**58               # leaves room for byte counts in 64 bits
MAX_NAME = 1024                    # characters of an array's name: names are sorted, matched and taken apart
MAX_NAMES = 32 << 20               # of all names of a file that makes them up from nested keys
_DIGITS = re.compile(r"[0-9]+")


def check_shape(shape: Sequence[int], what: str) -> None:
    """Raise FormatError, naming `what`, if NumPy could not hold an array of `shape` even with its zeros as ones."""
    if len(shape) > MAX_RANK or min(shape, default=1) < 0 or math.prod(size or 1 for size in shape) > MAX_ELEMENTS:
        raise FormatError(f"{what}: the shape {str(list(shape)):.100} is out of range")


def check_name(name: str) -> None:
    """Raise FormatError for a name that is longer than any that a framework gives."""
    if len(name) > MAX_NAME:
        raise FormatError(f"a name of {len(name)} characters, at most {MAX_NAME} are allowed: {name[:60]!r}...")


def by_number(name: str) -> tuple[str, str]:
    """A key that sorts names with their numbers by value: layers.2 before layers.10."""
    return _DIGITS.sub(_weighed, name), name


def _weighed(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return chr(len(digits)) + digits


@dataclass(frozen=True)
class Entry:
    """One array of a file: what the file says of it, and how to get it."""

    shape: tuple[int, ...]
    dtype: str                          # NumPy's name, or "bfloat16"
    load: Callable[[], np.ndarray]      # of `shape`; bfloat16 comes as uint16


@dataclass(frozen=True)
class Derived:
    """An array that is computed from others of the file, which count as used where it is."""

    entry: Entry
    parts: tuple[str, ...]


class Weights:
    """The arrays of one checkpoint by name, in the file's order.

    derived: arrays that can be taken like those of the file, but need not be: names alone tell them.
    """

    def __init__(self, entries: Mapping[str, Entry], derived: Mapping[str, Derived] | None = None) -> None:
        for name in entries:
            check_name(name)
        self._entries = dict(entries)
        self._derived = dict(derived or {})
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._derived

    def with_derived(self, derived: Mapping[str, Derived]) -> Weights:
        """These arrays, and others computed from them, which take the place of those that are called like them."""
        return Weights(self._entries, derived)

    def replaced(self, derived: Mapping[str, Derived]) -> Weights:
        """These arrays with others in the place of those that they are computed from."""
        parts = {part for one in derived.values() for part in one.parts}
        left = {name: entry for name, entry in self._entries.items() if name not in parts}
        return Weights(left | {name: one.entry for name, one in derived.items()})

    def without(self, pattern: str) -> Weights:
        """These arrays but for those whose names match a pattern."""
        return Weights({name: entry for name, entry in self._entries.items()
                        if not fnmatch.fnmatchcase(name, pattern)})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays as they are computed with."""
        return sum(math.prod(entry.shape) * (8 if entry.dtype == "float64" else 4) for entry in self._entries.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises FormatError if there is no such array."""
        return self._entry(name).shape

    def dtype(self, name: str) -> str:
        """What the array is computed in: "float64" if it is stored so, else "float32"."""
        return "float64" if self._entry(name).dtype == "float64" else "float32"

    def stored(self, name: str) -> str:
        """The type in which the file has the array."""
        return self._entry(name).dtype

    def take(self, name: str) -> np.ndarray:
        """An array in native byte order, half and bfloat16 widened to float32; it counts as used.

        Raises FormatError if it is absent, UnsupportedError if its dtype cannot be a weight.
        """
        entry = self._entry(name)
        self._mark(name)
        if entry.dtype not in FLOATS:
            raise UnsupportedError(f"tensor {name!r:.100} is {entry.dtype}; weights must be one of {', '.join(FLOATS)}")
        array = entry.load()
        if entry.dtype == "bfloat16":       # the upper half of a float32
            wide = array.astype(np.uint32)
            wide <<= np.uint32(16)
            return wide.view(np.float32)
        return array.astype("float32" if entry.dtype == "float16" else entry.dtype, copy=False)

    def take_any(self, name: str) -> np.ndarray:
        """The same of an array that is no weight, and may hold integers or booleans."""
        entry = self._entry(name)
        if entry.dtype not in NUMBERS:
            return self.take(name)
        self._mark(name)
        return entry.load().astype(entry.dtype, copy=False)

    def _mark(self, name: str) -> None:
        self._used.add(name)
        if name in self._derived:
            self._used.update(self._derived[name].parts)

    def describe(self, names: Iterable[str], limit: int = 12) -> str:
        """Names and shapes for a message: 'fc.weight' [1, 64], ..."""
        listed = list(names)
        shown = ", ".join(f"{name!r:.100} {list(self.shape(name))}" for name in listed[:limit])
        return f"{shown} and {len(listed) - limit} more" if len(listed) > limit else shown or "none"

    def unused(self, ignore: Iterable[str] = ()) -> list[str]:
        """Names never taken and matched by none of the patterns `ignore` (shell style: "decoder.*")."""
        exact, patterns = set(), []
        for pattern in ignore:
            name = pattern.replace("[*]", "*").replace("[?]", "?").replace("[[]", "[")
            if glob.escape(name) == pattern:           # it matches this name alone: as many of them as there are names
                exact.add(name)
            else:
                patterns.append(pattern)
        return [name for name in self._entries if name not in self._used and name not in exact
                and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]

    def check_all_used(self, ignore: Iterable[str] = ()) -> None:
        """Raise UnsupportedError naming the arrays that were left over: a model that drops some is a wrong model."""
        left = self.unused(ignore)
        if left:
            raise UnsupportedError(f"{len(left)} tensor(s) belong to no layer: {self.describe(left)}; " + (
                altering(left) or "a spec can place them, or name them under \"ignore\""))

    def _entry(self, name: str) -> Entry:
        if name in self._derived:
            return self._derived[name].entry
        if name not in self._entries:
            raise FormatError(f"no tensor {name!r:.100}; there are {self.describe(self._entries)}")
        return self._entries[name]
