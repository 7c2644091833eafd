"""Models handed over without a path: bytes, and open binary files, which become bytes in memory."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any, NoReturn

from .errors import ArgumentTypeError, FileError, FormatError, LimitError, LstmEngineError
from .files import Held
from .limits import Limits, check_held, most_bytes

AT_ONCE = 1 << 20            # bytes asked of a file object at a time


def is_bytes(source: object) -> bool:
    """Whether an object is the bytes of a file."""
    return isinstance(source, (bytes, bytearray, memoryview))


def is_file(source: object) -> bool:
    """Whether an object can be read as an open file can."""
    try:
        return isinstance(source, io.IOBase) or callable(getattr(source, "read", None))
    except Exception:                       # of the caller's own class
        return False


def held_bytes(source: Any, limits: Limits) -> Held:
    """Bytes as a file in memory; those that could change are copied. Raises LimitError, ArgumentTypeError."""
    try:
        view = memoryview(source)
        check_held("<bytes>", view.nbytes, limits)
        return Held(source if type(source) is bytes else view.tobytes(), "<bytes>")
    except (BufferError, ValueError) as error:
        if isinstance(error, LstmEngineError):
            raise
        raise ArgumentTypeError(f"<bytes>: its bytes cannot be read: {error}") from error       # it was released


def held_file(source: Any, limits: Limits, head_bytes: int, check: Callable[[Held], object]) -> Held:
    """What an open binary file holds from where it stands to its end.

    check: called with the first bytes; what it raises keeps the rest from being read. An endless file that is no model
    costs no more than that. At most one byte more is read than `limits` allow. The file is left open, behind the last
    byte that was read.

    Raises FileError if it cannot be read, FormatError if nothing is left to read, ArgumentTypeError if it gives text,
    LimitError.
    """
    name = _name(source)
    most = most_bytes(limits)
    buffer = io.BytesIO()
    if not _read(source, name, buffer, head_bytes):
        raise FormatError(f"{name}: nothing is left to read from where it stands; file.seek(0) takes it to its start")
    check(Held(buffer.getvalue(), name))
    while _read(source, name, buffer, AT_ONCE if most is None else min(AT_ONCE, most + 1 - buffer.tell())):
        if most is not None and buffer.tell() > most:
            raise LimitError(f"{name}: more than {most:,} bytes, which are allowed for a file of "
                             f"{limits.weights:,} bytes of weights (Limits.weights)")
    return Held(buffer.getvalue(), name)


def _read(source: Any, name: str, into: io.BytesIO, count: int) -> int:
    """Read up to `count` bytes, as many as come before the end; how many that were."""
    start = into.tell()
    while (missing := start + count - into.tell()) > 0:
        part = _part(source, name, missing)
        if not part:
            break
        into.write(part)
    return into.tell() - start


def _part(source: Any, name: str, count: int) -> Any:
    try:
        part = source.read(count)
    except (LstmEngineError, MemoryError):
        raise
    except Exception as error:              # of the caller's own class, or of what it unpacks
        _cannot(name, errno.EIO, f"{type(error).__name__}: {error}", error)
    if isinstance(part, str):
        raise ArgumentTypeError(f'{name}: it is open as text, and a model is bytes; open it with open(path, "rb")')
    if part is None:
        _cannot(name, errno.EAGAIN, "it gives nothing now, and is not at its end: it does not wait for data")
    if not is_bytes(part):
        raise ArgumentTypeError(f"{name}: its read() gave {type(part).__name__}, not bytes")
    return part


def _cannot(name: str, number: int, reason: str, error: Exception | None = None) -> NoReturn:
    raise FileError(number, f"cannot read {name}: {reason}") from error


def _name(source: Any) -> str:
    """What messages call an open file: the name that it has, or its kind."""
    try:
        name = source.name
    except Exception:                       # most have none, and one of the caller's own may raise anything
        name = None
    # As a plain str: a class of the caller's own could raise whenever it is asked something.
    return isinstance(name, str) and str.__str__(name) or f"<{type(source).__name__}>"
