"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import FileError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` once the block has ended without an exception.

    Written beside `path`, flushed to the disk, then renamed, so a reader sees the old file or the whole new one;
    if anything fails, the old one is as it was and the temporary file is gone. A symbolic link is followed.
    Raises FileError if the file cannot be written, or if `path` is something other than a regular file.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileError(f"cannot write {path}: it exists and is not a regular file")
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise FileError(error.errno, f"cannot write {path}: {error.strerror}") from error
    except BaseException:               # Ctrl-C too must leave nothing behind
        _remove(temporary)
        raise
    _sync_directory(target.parent)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable, where the system allows a directory to be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
