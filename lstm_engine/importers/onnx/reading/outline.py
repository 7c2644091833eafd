"""A file of ONNX without the raw data of its large tensors, which stays in the file until it is sent.

A parser holds a message twice while it reads it, and once more what is asked of it: a table of a gigabyte takes three.
Nothing is judged here: what is not plainly a message of plain fields is left to the parser whole.
Source of the encoding: protobuf's documentation, "Encoding"; of the fields' numbers, onnx.proto.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from ...reading.protobuf import encoded, number_at

FROM, MOST = 1 << 24, (1 << 31) - 1     # bytes of a file that is looked through: smaller ones take little, and a parser
                                        # takes no larger ones
SMALLEST = 1 << 20                      # bytes of raw data that are left
MAX_FIELDS = 100_000
_WIDEST = 10                            # bytes of a number
_FIXED = {1: 8, 5: 4}                   # bytes of a field by its kind
_PATH = (7, 5, 9)                       # ModelProto.graph, GraphProto.initializer, TensorProto.raw_data


class Left(NamedTuple):
    """Raw data that stands in a file."""

    file: BinaryIO
    start: int
    size: int

    def pieces(self, most: int) -> Iterator[bytes]:
        """The bytes, so many at a time. Raises EOFError where the file has become shorter."""
        for begin in range(0, self.size, most):
            self.file.seek(self.start + begin)
            count = min(most, self.size - begin)
            piece = self.file.read(count)
            if len(piece) != count:
                raise EOFError("the file has become shorter")
            yield piece


class _NotPlain(Exception):
    """It is for the parser to say what this is."""


def outline(file: BinaryIO) -> tuple[bytes, list[Left | None]] | None:
    """The message in a file, from its beginning, without its large raw data; for each initializer of its graph, in
    their order, the data that was left out. None where nothing is: then the file stands where it stood."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not FROM <= size <= MOST:
        return None
    reader = _Reader(file)
    try:
        message = reader.message(size, _PATH)
    except _NotPlain:
        message = b""
    if not any(reader.left):
        file.seek(0)
        return None
    return message, reader.left


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file, self.at, self.fields = file, 0, 0
        self.left: list[Left | None] = []

    def message(self, end: int, path: Sequence[int]) -> bytes:
        """The message up to `end`. path: the field to look into, the one inside it, ...; the last is raw data."""
        made: list[bytes] = []
        while self.at < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self._not_plain()
            key, written = self._plain_number()
            made.append(written)
            kind = key & 7
            if kind == 0:
                made.append(self._number()[1])
            elif kind in _FIXED:
                made.append(self._bytes(_FIXED[kind], end))
            elif kind == 2:
                made += self._sized(key >> 3, end, path)
            else:
                raise self._not_plain()
        if self.at != end:
            raise self._not_plain()
        return b"".join(made)

    def _sized(self, number: int, end: int, path: Sequence[int]) -> list[bytes]:
        """A field that says how long it is."""
        size, length = self._plain_number()
        stop = self.at + size
        if stop > end:
            raise self._not_plain()
        if number != path[0]:
            return [length, self._bytes(size, end)]
        if len(path) > 1:
            if len(path) == 2:
                self.left.append(None)
            body = self.message(stop, path[1:])
            return [encoded(len(body)), body]
        # Of a field that is there twice the last counts.
        self.left[-1] = Left(self.file, self.at, size) if size >= SMALLEST else None
        if self.left[-1] is None:
            return [length, self._bytes(size, end)]
        self.at = self.file.seek(stop)
        return [encoded(0)]

    def _plain_number(self) -> tuple[int, bytes]:
        """A key or a length, as every writer writes it. Of more bytes than it takes, or of more than 32 bits, parsers
        think differently: some take it, some drop bits, some refuse it."""
        number, written = self._number()
        if number >> 32 or written != encoded(number):
            raise self._not_plain()
        return number, written

    def _number(self) -> tuple[int, bytes]:
        """A number, and the bytes that it is written with."""
        written = b""
        while not written or written[-1] >= 128:
            byte = self.file.read(1)
            if not byte or len(written) == _WIDEST:
                raise self._not_plain()
            written += byte
        self.at += len(written)
        return number_at(written, 0)[0], written

    def _bytes(self, count: int, end: int) -> bytes:
        if self.at + count > end:
            raise self._not_plain()
        data = self.file.read(count)
        if len(data) != count:
            raise self._not_plain()
        self.at += count
        return data

    def _not_plain(self) -> _NotPlain:
        self.left.clear()
        return _NotPlain()
