"""The folders that other files of a model may be read from, and files in them opened without a way out.

They are: the folder of the model; the one that the caller names (`data_folder`); and where the model's own file is a
link, as a cache lays it (Hugging Face: snapshots/<revision>/model.onnx -> ../../blobs/<hash>), the folder that it leads
into. A link among the data is followed into these, at any depth, and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)


class LeadsElsewhere(Exception):
    """A link leads to a place that may not be read; the text names it."""


class Folders:
    """Where the data of one model may lie. Paths are those of the real folders, found once: what becomes of a link on
    the way to them later changes nothing."""

    def __init__(self, model: Path | None, data_folder: str | None = None) -> None:
        """model: the path of its file, None for one in memory. Raises OSError for a data_folder that is none."""
        self._roots: list[str] = []
        if data_folder is not None:
            root = os.path.realpath(data_folder)
            os.close(os.open(root, _WAY))
            self._roots.append(root)
        if model is not None:
            self._roots.append(os.path.realpath(model.parent))
            self._roots.append(os.path.dirname(os.path.realpath(model)))
        self._roots = list(dict.fromkeys(self._roots))

    def __bool__(self) -> bool:
        return bool(self._roots)

    def open(self, parts: list[str]) -> int:
        """A descriptor of the file at this place in the first of the folders that has it, of whatever kind it is.

        Each folder on the way is opened from the one before, and nothing through a link. Where there is one, it is
        asked where it leads, and that place is opened in the same way from the folder that it must be in: what is
        exchanged meanwhile leads nowhere else. Raises LeadsElsewhere, OSError.
        """
        for last, root in enumerate(self._roots, 1 - len(self._roots)):
            try:
                return self._open_at(root, parts)
            except FileNotFoundError:
                if last == 0 or os.path.lexists(os.path.join(root, *parts)):
                    raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _open_at(self, root: str, parts: list[str]) -> int:
        place = os.path.join(root, *parts)
        if os.open in os.supports_dir_fd:
            try:
                return _descend(root, parts)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
        real = os.path.realpath(place)
        for allowed in self._roots:
            if _is_in(real, allowed):
                try:
                    return _descend(allowed, os.path.relpath(real, allowed).split(os.sep))
                except FileNotFoundError as error:
                    raise FileNotFoundError(errno.ENOENT, f"it is a link to {ascii(real):.200}, which is not there; "
                                            "fetch it (dvc pull, git annex get, or the download again)") from error
        raise LeadsElsewhere(ascii(real)[:200])


def _is_in(path: str, folder: str) -> bool:
    """Whether a real path is below a real folder."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _descend(root: str, parts: list[str]) -> int:
    """A descriptor of root/parts, none of these parts being a link. Raises OSError, of a link ELOOP or ENOTDIR."""
    if os.open not in os.supports_dir_fd:
        return os.open(os.path.join(root, *parts), _READ)
    at = os.open(root, _WAY | os.O_NOFOLLOW)
    try:
        for part in parts[:-1]:
            below = os.open(part, _WAY | os.O_NOFOLLOW, dir_fd=at)
            at, above = below, at
            _close(above)
        return os.open(parts[-1], _READ, dir_fd=at)
    finally:
        _close(at)


def _close(folder: int) -> None:
    """Close a folder on the way; what the system says of that is nothing to the file below it."""
    with contextlib.suppress(OSError):
        os.close(folder)
