"""Zip archives in memory, and such as lie: written by zipfile, then one field changed."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from typing import Any

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def made(*records: tuple, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """An archive of (name or ZipInfo, bytes or text); of two small records unless told."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                    # zipfile warns of duplicate names, as it should
        with zipfile.ZipFile(buffer, "w") as file:
            file.comment = comment
            for record in records or (("one", b"first"), ("two", b"second")):
                info = record[0] if isinstance(record[0], zipfile.ZipInfo) else zipfile.ZipInfo(record[0])
                file.writestr(info, record[1], method)
    return buffer.getvalue()


def patch(data: bytes, mark: bytes, offset: int, form: str, value: Any, nth: int = 0) -> bytes:
    """`data` with one field after the nth occurrence of `mark` replaced."""
    place = -1
    for _ in range(nth + 1):
        place = data.index(mark, place + 1)
    place += offset
    return data[:place] + struct.pack(form, value) + data[place + struct.calcsize(form):]
