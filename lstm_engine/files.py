"""Opening files that may be a stranger's: regular ones alone, without ever waiting for somebody to write to them; or
what a caller has in memory in place of one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NoReturn, TypeAlias, cast

from . import pages
from .errors import FileError, FormatError

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {stat.S_IFDIR: (errno.EISDIR, "a folder"), stat.S_IFIFO: (errno.EINVAL, "a named pipe"),
          stat.S_IFSOCK: (errno.EINVAL, "a socket"), stat.S_IFCHR: (errno.EINVAL, "a device"),
          stat.S_IFBLK: (errno.EINVAL, "a device")}


HEAD_BYTES = 4096           # of a file, by which its kind is told
JSON_BYTES = 32 << 20       # of JSON, where the first do not tell it

_Identities = set[tuple[int, int]]
_noted: ContextVar[_Identities | None] = ContextVar("noted", default=None)


@contextmanager
def noting_reads() -> Iterator[_Identities]:
    """The (device, inode) of each file that is opened inside the block to be read, as they come: what a writer must
    not put its own file in the place of, whatever name it goes by."""
    noted: _Identities = set()
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def note_read(status: os.stat_result) -> None:
    """Say that a file of this status is read."""
    noted = _noted.get()
    if noted is not None:
        noted.add((status.st_dev, status.st_ino))


@dataclass(frozen=True)
class Held:
    """The bytes of a file that is in memory: it stands where the path of one can. shown: what messages call it."""

    data: bytes = field(repr=False)
    shown: str
    suffix: ClassVar[str] = ""          # what it is, its bytes say

    @property
    def name(self) -> str:
        """Without the folder that an open file may be in, as of a path."""
        return os.path.basename(self.shown)

    def __str__(self) -> str:
        return self.shown


# A name in quotes, which nobody resolves: loading pathlib is an eighth of what a first `load` of a small model takes.
ModelFile: TypeAlias = "Path | Held"


def open_regular(path: str | os.PathLike[str] | Held, buffering: int = -1) -> BinaryIO:
    """A regular file, open for reading bytes; what is open is what was looked at. Of bytes in memory, those.

    Raises FileError, naming the path and the reason, for anything that cannot be read or is no regular file.
    """
    if isinstance(path, Held):
        return io.BytesIO(path.data)
    try:
        return open(path, "rb", buffering, opener=_opener)
    except (OSError, ValueError) as error:
        cannot_read(path, error)


def _opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        status = os.fstat(descriptor)
        kind = stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG:
            number, what = _KINDS.get(kind, (errno.EINVAL, "no regular file"))
            raise FileError(number, f"cannot read {path}: it is {what}; expected a file")
        note_read(status)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def cannot_read(path: object, error: OSError | ValueError) -> NoReturn:
    """Raise the FileError for what the system said of a path, which Python itself refuses if it holds a zero byte."""
    _cannot("read", path, error)


def cannot_write(path: object, error: OSError | ValueError) -> NoReturn:
    """The same of a path that was to be written."""
    _cannot("write", path, error)


def _cannot(what: str, path: object, error: OSError | ValueError) -> NoReturn:
    if isinstance(error, FileError):
        raise error
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    reason = isinstance(error, OSError) and error.strerror or str(error)
    raise FileError(number, f"cannot {what} {path}: {reason}".replace("\0", "\\0")) from error


def size_of(file: BinaryIO) -> int:
    """The bytes of an open file; it stands where it stood."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def first_bytes(path: str | os.PathLike[str] | Held, count: int) -> bytes:
    """The first bytes of a file, fewer of a shorter one. Raises FileError."""
    try:
        with open_regular(path) as file:
            return file.read(min(count, max(HEAD_BYTES, size_of(file))))      # room is made for what is asked for
    except OSError as error:
        cannot_read(path, error)


def telling_bytes(path: str | os.PathLike[str] | Held, head: bytes | None = None) -> bytes:
    """The bytes by which a file's kind is told: the first, and of JSON, which may say it late, many more.

    head: the first bytes, if they were read. Raises FileError.
    """
    if head is None:
        head = first_bytes(path, HEAD_BYTES)
    if len(head) < HEAD_BYTES or not begins_json(head):
        return head
    return first_bytes(path, JSON_BYTES)


def begins_json(head: bytes) -> bool:
    """Whether a file begins as a JSON object does."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def with_descriptor(file: BinaryIO) -> BinaryIO:
    """An open file that another process can be given: itself, or one without a name that has the bytes from memory.

    Nobody finds it in a folder, it goes with its last descriptor, and where the system can seal it, nobody changes it.
    Raises OSError where there is no room for it.
    """
    if not isinstance(file, io.BytesIO):
        return file
    made = _nameless()
    try:
        view = memoryview(file.getvalue())             # the bytes themselves; getbuffer() would copy them
        while view:
            view = view[made.write(view):]
        made.seek(0)
        _seal(made)
    except BaseException:
        made.close()
        raise
    return made


def _nameless() -> BinaryIO:
    with contextlib.suppress(AttributeError, OSError):         # not Linux, or one that does not allow it
        return open(os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b", buffering=0)
    import tempfile

    return cast(BinaryIO, tempfile.TemporaryFile(buffering=0))


def _seal(file: BinaryIO) -> None:
    with contextlib.suppress(ImportError, AttributeError, OSError):        # a file on disk has no seals
        import fcntl

        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS,
                    fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)


def read_exactly(file: BinaryIO, start: int, count: int) -> bytes | memoryview:
    """Bytes of a file that were there when it was opened. Raises FormatError if it has shrunk since."""
    file.seek(start)
    data = pages.read(file, count)
    if len(data) != count:
        raise FormatError(f"{len(data)} of {count} bytes at {start} could be read")
    return data
