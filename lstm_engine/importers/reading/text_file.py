"""Small files of text that callers name: a spec, a configuration."""

from __future__ import annotations

import os

from ...errors import FormatError
from ...files import Held, cannot_read, open_regular

_MARK = b"\xef\xbb\xbf"


def without_mark(text: bytes) -> bytes:
    """Text without the byte order mark that editors of Windows put before UTF-8, which readers may skip (RFC 8259)."""
    return text.removeprefix(_MARK)


def read_text(path: str | os.PathLike[str] | Held, most: int, part: str) -> bytes:
    """The bytes of a regular file of at most `most`. part: what messages call it. Raises FileError, FormatError."""
    try:
        with open_regular(path) as file:
            text = file.read(most + 1)
    except OSError as error:
        cannot_read(path, error)
    if len(text) > most:
        raise FormatError(f"{part}: more than {most} bytes")
    return text
