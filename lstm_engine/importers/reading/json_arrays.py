"""Arrays in JSON, as exporters for audio plugins and the like write them: nested lists of numbers under names.

Numbers become float32, which is what the weights were before they were written as decimals; where that rounds any of
them, it is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ...errors import CUT, FormatError
from ...strict_json import parse_object
from .text_file import without_mark
from .weights import MAX_NAMES, MAX_RANK, Entry, check_name

MAX_BYTES = 32 << 20           # of text
MAX_MEMORY = 192 << 20         # of what Python makes of it: the sizes of an empty list or dict, a number, a short text
_MEMORY = ((b"[", 72), (b"{", 72), (b",", 40), (b'"', 72))
MAX_DEPTH = 16                 # of objects
MAX_ARRAYS = 65_536


def read_json(file: BinaryIO, size: int) -> dict[str, Any]:
    """The JSON object in a file of `size` bytes. Raises FormatError, also for more than Python could hold cheaply."""
    if size > MAX_BYTES:
        raise FormatError(f"JSON of {size:,} bytes; at most {MAX_BYTES:,} are read. Save the weights as .safetensors "
                          "or with torch.save")
    text = without_mark(file.read(size))
    needed = sum(text.count(mark) * each for mark, each in _MEMORY)
    if needed > MAX_MEMORY:
        raise FormatError(f"JSON of so many values that they would take some {needed >> 20} MB; at most "
                          f"{MAX_MEMORY >> 20} are allowed. Save the weights as .safetensors or with torch.save")
    if not text.rstrip().endswith(b"}"):
        raise FormatError(f"JSON that does not end: {CUT}")
    return parse_object(text, "JSON")


class JsonArrays:
    """The arrays in a tree of objects: by name, and what else is in it."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.others: dict[str, Any] = {}       # by name what is no array: texts, single numbers
        self._letters = 0
        self.rounded = False                   # whether a number was no float32

    def add(self, tree: Mapping[str, Any], prefix: str = "", depth: int = 0) -> None:
        """Every array below an object, its name made of the keys on the way. Raises FormatError."""
        if depth > MAX_DEPTH:
            raise FormatError(f"{prefix!r:.100}: objects nested more than {MAX_DEPTH} deep")
        for key, value in tree.items():
            name = prefix + key
            check_name(name)
            self._letters += len(name)                 # a key above others is in the names of all of them
            if self._letters > MAX_NAMES:
                raise FormatError(f"names of more than {MAX_NAMES} characters in all")
            if isinstance(value, dict):
                self.add(value, f"{name}.", depth + 1)
            elif isinstance(value, list) and not _is_text(value):
                self.take(name, value)
            else:
                self.others[name] = value

    def take_numbers(self, anywhere: bool = False) -> None:
        """Single numbers among the others that are tensors without axes, such as the scale of quantised weights, and no
        count of a training: those on a path that has arrays, or all."""
        paths = {name.rpartition(".")[0] for name in self.entries} - {""}
        for name, value in list(self.others.items()):
            if type(value) in (int, float) and (anywhere or name.rpartition(".")[0] in paths):
                del self.others[name]
                self.take(name, value)

    def take(self, name: str, value: Any) -> None:
        """One array. Raises FormatError for lists that are not rectangular or hold anything but numbers."""
        if name in self.entries:
            raise FormatError(f"two arrays are named {name!r:.100}")
        if len(self.entries) == MAX_ARRAYS:
            raise FormatError(f"more than {MAX_ARRAYS} arrays")
        array = self._array(name, value)
        self.entries[name] = Entry(array.shape, "float32", lambda: array)

    def _array(self, name: str, value: Any) -> np.ndarray:
        shape: list[int] = []
        level = [value]
        while level and isinstance(level[0], list):
            size = len(level[0])
            if len(shape) == MAX_RANK:
                _fail(name, f"lists nested more than {MAX_RANK} deep")
            if not all(isinstance(row, list) and len(row) == size for row in level):
                _fail(name, f"lists of other lengths than {[*shape, size]} have")
            shape.append(size)
            level = [item for row in level for item in row]
        for item in level:
            if type(item) is not float and type(item) is not int:
                _fail(name, f"must hold numbers, got {item!r:.50}")
        if len(level) != math.prod(shape):           # an axis of no elements above others
            _fail(name, "an empty list among others")
        try:
            exact = np.array(level, np.float64)
        except OverflowError:
            _fail(name, "a number beyond float64")
        with np.errstate(over="ignore"):
            array = exact.astype(np.float32)
        if not np.isfinite(array).all():
            _fail(name, "a number beyond float32")
        self.rounded = self.rounded or not np.array_equal(array, exact)
        return array.reshape(shape)


def _is_text(value: list[Any]) -> bool:
    """Whether a list is one of texts, such as names of notes."""
    return bool(value) and all(isinstance(item, str) for item in value)


def _fail(name: str, message: str) -> NoReturn:
    raise FormatError(f"{name!r:.100}: {message}")
