"""Tensors whose bytes lie in another file: read only from regular files inside folders that may be read."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import FileError, FormatError
from ....files import HEAD_BYTES, note_read
from ....limits import Limits, check_held
from ....pages import empty
from ...reading.foreign import said_of
from ...reading.inside import Folders, LeadsElsewhere

_ADVICE = "; name the folder that it may lead into (data_folder=..., --data-folder), or put the file in its place"
_KEYS = ("location", "offset", "length", "checksum")        # the last says nothing of where the numbers are
_PACKED = "prepacked_"                                      # weights once more, in a layout of ONNX Runtime's own


class ExternalData:
    """The files of one model's tensors. Each tensor is read on its own; a file is never mapped."""

    def __init__(self, folders: Folders, limits: Limits) -> None:
        self.folders = folders
        self._limits = limits
        self._sizes: dict[tuple[int, int], int] = {}              # of the files, whatever names they have
        self._tensors: dict[tuple[Any, ...], np.ndarray] = {}     # tensors may share bytes, as shared weights do
        self._claimed: dict[tuple[int, int], int] = {}            # bytes by file, whatever names it has

    def read(self, name: str, dtype: str, dims: list[int], entries: Mapping[str, str]) -> np.ndarray:
        """The tensor `name`. Raises FormatError for a location, offset or length that may not be, FileError; LimitError
        where the files together have more bytes than a model's file may."""
        where = f"tensor {name!r}: external data"
        location = entries.get("location", "")
        parts = _inside(where, location)
        for key in entries:
            if key not in _KEYS and not key.startswith(_PACKED):
                raise FormatError(f"{where}: it says {key!r:.100}; known: {', '.join(_KEYS)}")
        offset = _number(where, entries, "offset", 0)
        needed = math.prod(dims) * np.dtype(dtype).itemsize
        length = _number(where, entries, "length", needed)
        if length != needed:
            raise FormatError(f"{where}: dims {dims} of {dtype} need {needed} bytes, its length is {length}")
        try:
            descriptor = self.folders.open(parts)
            try:
                array = self._read(where, descriptor, location, offset, np.dtype(dtype), dims)
            finally:
                os.close(descriptor)
        except LeadsElsewhere as error:
            raise FormatError(f"{where}: {location!r:.200} leads through a link to {error}, which is in none of the "
                              f"folders that may be read{_ADVICE}") from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):         # systems differ in which of them a link is
                raise FormatError(f"{where}: {location!r:.200} leads through a link, or through what is no folder"
                                  ) from error
            raise FileError(error.errno, f"{where}: cannot read {location!r:.200} beside the model: "
                                         f"{error.strerror or error}") from error
        return array

    def _read(self, where: str, descriptor: int, location: str, offset: int, dtype: np.dtype, dims: list[int]
              ) -> np.ndarray:
        """The tensor in a file that is open. A hard link is a file like any other: there is nothing to tell it by."""
        needed = math.prod(dims) * dtype.itemsize
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{where}: {location!r:.200} is not a plain file")
        note_read(status)
        if offset + needed > status.st_size:
            raise FormatError(f"{where}: bytes {offset} to {offset + needed} of {location!r:.200}, "
                              f"which has {status.st_size}{_why(descriptor, location)}")
        file_id = status.st_dev, status.st_ino
        self._sizes[file_id] = status.st_size
        check_held("the external data", sum(self._sizes.values()), self._limits)
        key = (*file_id, offset, dtype, *dims)
        if key in self._tensors:
            return self._tensors[key]
        # Tensors that overlap without being the same could ask for far more memory than there are bytes.
        self._claimed[file_id] = self._claimed.get(file_id, 0) + needed
        if self._claimed[file_id] > status.st_size:
            raise FormatError(f"{where}: the tensors claim more than the {status.st_size} bytes of {location!r:.200}")
        array = empty(dims, dtype.newbyteorder("<"))
        view = array.reshape(-1).view(np.uint8).data
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            if file.readinto(view) != needed:
                raise FormatError(f"{where}: {location!r:.200} ends early")
        self._tensors[key] = array.astype(dtype, copy=False)
        return self._tensors[key]


def _why(descriptor: int, location: str) -> str:
    """What a file is that is shorter than it must be, where it begins as something else does."""
    with open(descriptor, "rb", closefd=False) as file:
        said = said_of(Path(location), file.read(HEAD_BYTES))
    return f": {said}" if said else ""


def _inside(where: str, location: str) -> list[str]:
    """The steps of a location, every one a plain name."""
    parts = location.removeprefix("./").split("/")
    if any(part in ("", ".", "..") for part in parts) or any(mark in location for mark in "\\:\0"):
        raise FormatError(f"{where}: the location {location!r:.200} is not a file inside the model's folder")
    return parts


def _number(where: str, entries: Mapping[str, Any], key: str, default: int) -> int:
    text = str(entries.get(key, default))
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise FormatError(f"{where}: its {key} is {text!r:.100}, not a number of bytes")
    return int(text)
