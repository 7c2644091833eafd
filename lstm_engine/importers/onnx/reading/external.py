"""Tensors whose bytes lie in another file: read only from regular files inside the model's own folder."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import FileError, FormatError
from ....files import note_read
from ....pages import empty


class ExternalData:
    """The files beside one model. Each tensor is read on its own; a file is never mapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tensors: dict[tuple[Any, ...], np.ndarray] = {}     # tensors may share bytes, as shared weights do
        self._claimed: dict[str, int] = {}              # bytes by file

    def read(self, name: str, dtype: str, dims: list[int], entries: Mapping[str, str]) -> np.ndarray:
        """The tensor `name`. Raises FormatError for a location, offset or length that may not be, FileError."""
        where = f"tensor {name!r}: external data"
        location = entries.get("location", "")
        parts = self._inside(where, location)
        offset = _number(where, entries, "offset", 0)
        needed = math.prod(dims) * np.dtype(dtype).itemsize
        length = _number(where, entries, "length", needed)
        if length != needed:
            raise FormatError(f"{where}: dims {dims} of {dtype} need {needed} bytes, its length is {length}")
        key = (*parts, offset, dtype, *dims)
        if key not in self._tensors:
            self._tensors[key] = self._load(where, parts, location, offset, np.dtype(dtype), dims)
        return self._tensors[key]

    def _load(self, where: str, parts: list[str], location: str, offset: int, dtype: np.dtype, dims: list[int]
              ) -> np.ndarray:
        try:
            descriptor = self._open(parts)
            try:
                array = self._read(where, descriptor, "/".join(parts), location, offset, dtype, dims)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):         # systems differ in which of them a link is
                raise FormatError(f"{where}: {location!r:.200} leads through a link, or through what is no folder"
                                  ) from error
            raise FileError(error.errno, f"{where}: cannot read {location!r:.200} beside the model: "
                                         f"{error.strerror or error}") from error
        return array.astype(dtype, copy=False)

    def _read(self, where: str, descriptor: int, path: str, location: str, offset: int, dtype: np.dtype,
              dims: list[int]) -> np.ndarray:
        needed = math.prod(dims) * dtype.itemsize
        status = os.fstat(descriptor)
        # A second name of the file could be a file elsewhere, which the model's owner may not read.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise FormatError(f"{where}: {location!r:.200} is not a plain file with one name")
        note_read(status)
        if offset + needed > status.st_size:
            raise FormatError(f"{where}: bytes {offset} to {offset + needed} of {location!r:.200}, "
                              f"which has {status.st_size}")
        # Tensors that overlap without being the same could ask for far more memory than there are bytes.
        self._claimed[path] = self._claimed.get(path, 0) + needed
        if self._claimed[path] > status.st_size:
            raise FormatError(f"{where}: the tensors claim more than the {status.st_size} bytes of {location!r:.200}")
        array = empty(dims, dtype.newbyteorder("<"))
        view = array.reshape(-1).view(np.uint8).data
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            if file.readinto(view) != needed:
                raise FormatError(f"{where}: {location!r:.200} ends early")
        return array

    def _inside(self, where: str, location: str) -> list[str]:
        """The steps of a location, every one a plain name, and none a link."""
        parts = location.removeprefix("./").split("/")
        if any(part in ("", ".", "..") for part in parts) or any(mark in location for mark in "\\:\0"):
            raise FormatError(f"{where}: the location {location!r:.200} is not a file inside the model's folder")
        path = str(self.folder)
        for part in parts:
            path = os.path.join(path, part)
            if os.path.islink(path):
                raise FormatError(f"{where}: {location!r:.200} leads through a link")
        return parts

    def _open(self, parts: list[str]) -> int:
        """A descriptor of the file that is at this place now. Each folder on the way is opened from the one before, and
        none through a link: what was exchanged since `_inside` looked leads nowhere else."""
        last = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if os.open not in os.supports_dir_fd:
            return os.open(os.path.join(self.folder, *parts), last)
        way = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
        at = os.open(self.folder, way)                  # this one the caller named, as a link if he likes
        try:
            for part in parts[:-1]:
                below = os.open(part, way | os.O_NOFOLLOW, dir_fd=at)
                at, above = below, at
                _close(above)
            return os.open(parts[-1], last, dir_fd=at)
        finally:
            _close(at)


def _close(folder: int) -> None:
    """Close a folder on the way; what the system says of that is nothing to the file below it."""
    with contextlib.suppress(OSError):
        os.close(folder)


def _number(where: str, entries: Mapping[str, Any], key: str, default: int) -> int:
    text = str(entries.get(key, default))
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise FormatError(f"{where}: its {key} is {text!r:.100}, not a number of bytes")
    return int(text)
