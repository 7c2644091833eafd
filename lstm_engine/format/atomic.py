"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import FileError
from ..files import cannot_write

try:
    import fcntl
except ImportError:                     # Windows, where a file that is open cannot be removed in any case
    fcntl = None  # type: ignore[assignment]

_MOST_NAME = 255                        # bytes of a file name on every file system in common use


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` once the block has ended without an exception.

    Written beside `path`, flushed to the disk, then renamed, so a reader sees the old file or the whole new one;
    if anything fails, the old one is as it was and the temporary file is gone. The new file has the mode of the old
    one. A symbolic link is followed. What killed writers of the same file left behind is removed.
    Raises FileError if the file cannot be written, or if `path` is something other than a regular file.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = _mode_of(path, target)
        _remove_abandoned(target)
    except (OSError, ValueError) as error:
        cannot_write(path, error)
    # Known before the file is there: an interruption at any instant from here on removes it.
    temporary = _name_beside(target)
    try:
        with _created(temporary, 0o666 if mode is None else 0o600) as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(file.fileno())
            # While the lock is still held: nobody takes the whole file for one that was left behind.
            if os.name == "posix":
                os.replace(temporary, target)
        if os.name != "posix":
            os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        cannot_write(path, error)
    except BaseException:               # Ctrl-C too must leave nothing behind
        _remove(temporary)
        raise
    _sync_directory(target.parent)


def _mode_of(path: object, target: Path) -> int | None:
    """The mode of the file that is there; None for a new one, which has the mode that new files have."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise FileError(errno.EINVAL, f"cannot write {path}: it exists and is not a regular file")
    return stat.S_IMODE(status.st_mode)


def _prefix(target: Path) -> bytes:
    """What the names of a target's temporary files begin with: as much of its name as leaves room for the rest."""
    return b"." + os.fsencode(target.name)[:_MOST_NAME - len(".0123456789ab.tmp") - 1] + b"."


def _name_beside(target: Path) -> Path:
    return Path(os.fsdecode(os.path.join(os.fsencode(target.parent),
                                         _prefix(target) + os.urandom(6).hex().encode() + b".tmp")))


def _created(temporary: Path, mode: int) -> BinaryIO:
    """A new file, open and locked. mode: where it takes the place of a file, nobody else can read it before it has
    that file's mode."""
    # In C from the system's open to the object that owns the descriptor: a signal's handler that raises loses none.
    opener = functools.partial(os.open, mode=mode)
    while True:
        file = open(temporary, "xb", opener=opener)
        _lock(file.fileno(), wait=True)
        # Somebody who cleans up may have come between creating and locking.
        if os.path.exists(temporary):
            return file
        file.close()


def _lock(descriptor: int, wait: bool) -> bool:
    """Whether this process has the lock of an open file; True too where the file system knows no locks and `wait`."""
    if fcntl is None:
        return wait
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait
    return True


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of the same target that nobody writes any more: their writers were killed."""
    prefix = _prefix(target)
    length = len(prefix) + len("0123456789ab.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(os.fsencode(target.parent)):
            if name.startswith(prefix) and name.endswith(b".tmp") and len(name) == length:
                _remove_if_abandoned(os.path.join(os.fsencode(target.parent), name))


def _remove_if_abandoned(path: bytes) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor, wait=False):
                os.unlink(path)
        finally:
            os.close(descriptor)


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
