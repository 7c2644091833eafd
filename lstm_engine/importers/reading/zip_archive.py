"""A strict reader of zip files: the container of `.keras`, of `.npz`, of PyTorch's `.pt` and of `.pt2`.

Only what those writers produce is accepted: one part, nothing before or between the records that overlaps,
stored or deflated records, no encryption, no links, names that stay inside the archive. Sizes are checked
before any memory is taken, checksums when a record is read.
Source of the layout: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, overload

from ... import pages
from ...errors import FormatError, UnsupportedError

MARK = b"PK\x03\x04"       # of a record's header, which is what a file begins with
MAX_RECORDS = 65_536
MAX_DIRECTORY_BYTES = 16 << 20
MAX_NAME_BYTES = 1024
MAX_RATIO = 200            # of a deflated record above FREE_BYTES; real weights deflate by less than 20
FREE_BYTES = 1 << 20
STORED, DEFLATED = 0, 8
_CHUNK = 1 << 20           # of what is summed up and not kept
_FEW = 16                  # records that are looked at to tell what an archive is

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_SIZES_FOLLOW = 0x8
_UTF8 = 0x800
_UNIX, _LINK, _KIND = 3, 0o120000, 0o170000


@dataclass(frozen=True)
class Record:
    """One file of the archive, as the directory and its own header agree on it."""

    name: str
    method: int
    crc: int
    packed: int            # bytes in the archive
    size: int              # bytes once read
    header: int            # offset of its header
    start: int = 0         # offset of its data


def first_record(head: bytes) -> bytes:
    """The name of the first record of a zip file that begins so, b"" for any other."""
    if not head.startswith(MARK) or len(head) < _LOCAL.size:
        return b""
    return head[_LOCAL.size:_LOCAL.size + min(int.from_bytes(head[26:28], "little"), MAX_NAME_BYTES)]


def first_records(head: bytes) -> list[bytes]:
    """The names of the records of a zip file that begins so, as far as their headers are in it and say how long they
    are: whoever packs a file again may put them in another order, and folders before them."""
    names: list[bytes] = []
    at = 0
    while (name := first_record(head[at:])) and len(names) < _FEW:
        names.append(name)
        flags, packed = int.from_bytes(head[at + 6:at + 8], "little"), int.from_bytes(head[at + 18:at + 22], "little")
        if flags & _SIZES_FOLLOW or packed == 0xFFFFFFFF:
            break
        lengths = int.from_bytes(head[at + 26:at + 28], "little") + int.from_bytes(head[at + 28:at + 30], "little")
        at += _LOCAL.size + lengths + packed
    return names


class Archive:
    """The records of a zip file by name; `file` stays the caller's, open and seekable."""

    def __init__(self, file: BinaryIO, size: int, *, most_records: int | None = None, most_ratio: int | None = None
                 ) -> None:
        """Read the directory of `file`, which is `size` bytes long. Raises FormatError naming what is wrong.

        most_records, most_ratio: tighter bounds than MAX_RECORDS and MAX_RATIO, of a container that needs no more.
        """
        self._file = file
        self._size = size
        self._most_records = MAX_RECORDS if most_records is None else most_records
        self._most_ratio = MAX_RATIO if most_ratio is None else most_ratio
        start, length, count = self._find_directory()
        found = list(self._directory(start, length, count))
        self.records = {record.name: record for record in self._place(found, start)}
        # torch.serialization.set_crc32_options(False) writes 0 for every checksum.
        self._checksums = any(record.crc for record in found)

    @overload
    def read(self, name: str, limit: None = None) -> bytes | memoryview: ...
    @overload
    def read(self, name: str, limit: int) -> bytes: ...
    def read(self, name: str, limit: int | None = None) -> bytes | memoryview:
        """The bytes of a record; without a limit a large one is not bytes, but stands on pages of its own (`pages`).

        Raises FormatError if it is absent, larger than `limit` or damaged.
        """
        record = self.record(name)
        if limit is not None and record.size > limit:
            _fail(f"record {name!r} has {record.size} bytes, more than the {limit} allowed for it")
        data = self._part(record.start, record.packed, f"record {name!r}")
        if record.method == DEFLATED:
            data = _inflate(data, record)
        self._check(record, zlib.crc32(data))
        return data if limit is None else bytes(data)

    def open(self, name: str) -> BinaryIO:
        """A record as a file that can seek, found whole; a stored one is read where it is, never all in memory."""
        record = self.record(name)
        if record.method == DEFLATED:
            return io.BytesIO(self.read(name))
        window = _Window(self._file, record.start, record.size)
        checksum = 0
        for start in range(0, record.size, _CHUNK):
            part = self._part(record.start + start, min(_CHUNK, record.size - start), f"record {name!r}")
            checksum = zlib.crc32(part, checksum)
        self._check(record, checksum)
        return io.BufferedReader(window)

    def peek(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a record or all of a shorter one, its checksum not looked at."""
        record = self.record(name)
        data = self._at(record.start, min(record.packed, count + 4096), f"record {name!r}")
        if record.method == DEFLATED:
            try:
                data = zlib.decompressobj(-15).decompress(data, count)
            except zlib.error as error:
                _fail(f"record {name!r} cannot be inflated: {error}")
        return data[:min(count, record.size)]

    def record(self, name: str) -> Record:
        if name not in self.records:
            _fail(f"no record {name!r:.100}; there are {_some(self.records)}")
        return self.records[name]

    def _check(self, record: Record, checksum: int) -> None:
        if self._checksums and checksum != record.crc:
            _fail(f"record {record.name!r}: checksum {checksum:08x} differs from the stored {record.crc:08x}")

    def _at(self, offset: int, count: int, what: str) -> bytes:
        """A part of the archive that is looked at byte by byte."""
        return bytes(self._part(offset, count, what))

    def _part(self, offset: int, count: int, what: str) -> bytes | memoryview:
        if offset < 0 or offset + count > self._size:
            _fail(f"{what} needs bytes {offset} to {offset + count}, the file has {self._size}")
        self._file.seek(offset)
        data = pages.read(self._file, count)
        if len(data) != count:
            _fail(f"{what}: {len(data)} of {count} bytes could be read")
        return data

    def _find_directory(self) -> tuple[int, int, int]:
        """Offset, length and count of the directory, from the end record(s)."""
        tail_start = max(0, self._size - _END.size - 0xFFFF)
        tail = self._at(tail_start, self._size - tail_start, "the end record")
        found = tail.rfind(b"PK\x05\x06")
        if found < 0 or len(tail) - found < _END.size:
            _fail("no end record: the file is truncated, or no zip; fetch or copy it again")
        end = tail_start + found
        _, disk, first, here, count, length, start, comment = _END.unpack_from(tail, found)
        if end + _END.size + comment != self._size:
            _fail(f"{self._size - end - _END.size - comment} bytes follow the end record")
        small: tuple[int, ...] = (disk, first, here, count, length, start)
        if end >= _LOCATOR.size:
            locator = self._at(end - _LOCATOR.size, _LOCATOR.size, "the zip64 locator")
            if locator.startswith(b"PK\x06\x07"):
                end, small = self._find_directory64(end, locator, small)
        disk, first, here, count, length, start = small
        if disk or first or here != count:
            _fail("an archive of several parts is not supported")
        if start + length != end:
            _fail(f"the directory at {start} of {length} bytes does not end at {end}, where the end record is")
        if count > self._most_records or length > MAX_DIRECTORY_BYTES:
            _fail(f"{count} records in a directory of {length} bytes, more than the {self._most_records} records or "
                  f"{MAX_DIRECTORY_BYTES} bytes allowed")
        return start, length, count

    def _find_directory64(self, end: int, locator: bytes, small: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        _, disk, offset, disks = _LOCATOR.unpack(locator)
        if disk or disks != 1 or offset + _END64.size + _LOCATOR.size != end:
            _fail(f"the zip64 end record is said to be at {offset}, it must end at {end - _LOCATOR.size}")
        mark, size, _, _, *large = _END64.unpack(self._at(offset, _END64.size, "the zip64 end record"))
        if mark != b"PK\x06\x06" or size != _END64.size - 12:
            _fail(f"no zip64 end record at {offset}")
        for name, old, new in zip(("disk", "first disk", "records here", "records", "length", "offset"), small, large,
                                  strict=True):
            if old != new and old not in (0xFFFF, 0xFFFFFFFF):
                _fail(f"the two end records differ in {name}: {old} and {new}")
        return offset, tuple(large)

    def _directory(self, start: int, length: int, count: int) -> Iterator[Record]:
        data = self._at(start, length, "the directory")
        position, seen = 0, set()
        for index in range(count):
            if position + _CENTRAL.size > length:
                _fail(f"the directory ends after {index} of {count} records")
            (mark, _, system, _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment_bytes,
             disk, _, external, header) = _CENTRAL.unpack_from(data, position)
            if mark != b"PK\x01\x02":
                _fail(f"entry {index} of the directory does not begin with its mark")
            position += _CENTRAL.size
            after = position + name_bytes + extra_bytes + comment_bytes
            if after > length:
                _fail(f"entry {index} runs over the end of the directory")
            name = _name(data[position:position + name_bytes], flags, index)
            extra = data[position + name_bytes:position + name_bytes + extra_bytes]
            size, packed, header, disk = _widen(extra, size, packed, header, disk, name)
            position = after
            if name in seen:
                _fail(f"two records are named {name!r}")
            seen.add(name)
            if disk:
                _fail(f"record {name!r} is in another part of the archive")
            if flags & _ENCRYPTED:
                raise UnsupportedError(f"zip: record {name!r} is encrypted; supported: plain records")
            if system == _UNIX and (external >> 16) & _KIND == _LINK:
                _fail(f"record {name!r} is a symbolic link")
            _check_sizes(name, method, packed, size, self._most_ratio)
            yield Record(name, method, crc, packed, size, header)
        if position != length:
            _fail(f"{length - position} bytes of the directory belong to no record")

    def _place(self, found: list[Record], directory: int) -> Iterator[Record]:
        """Find where each record's data starts, and check that no two share bytes."""
        free = 0
        for record in sorted(found, key=lambda record: record.header):
            if record.header < free:
                _fail(f"record {record.name!r} at {record.header} overlaps the one before it, which ends at {free}")
            header = self._at(record.header, _LOCAL.size, f"the header of record {record.name!r}")
            mark, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(header)
            if mark != b"PK\x03\x04":
                _fail(f"record {record.name!r}: no header at {record.header}")
            name = self._at(record.header + _LOCAL.size, name_bytes, f"the name of record {record.name!r}")
            if name != record.name.encode() or method != record.method or flags & _ENCRYPTED:
                _fail(f"record {record.name!r}: its header and the directory differ")
            known = not flags & _SIZES_FOLLOW
            if known and any(here not in (there, 0xFFFFFFFF) for here, there in
                             ((packed, record.packed), (size, record.size), (crc, record.crc))):
                _fail(f"record {record.name!r}: its header and the directory differ in size or checksum")
            start = record.header + _LOCAL.size + name_bytes + extra_bytes
            free = start + record.packed
            if free > directory:
                _fail(f"record {record.name!r} runs into the directory: it ends at {free}, the directory begins at "
                      f"{directory}")
            yield Record(record.name, record.method, record.crc, record.packed, record.size, record.header, start)


def _fail(message: str) -> NoReturn:
    raise FormatError(f"zip: {message}")


def _some(names: Collection[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(map(repr, sorted(names)[:8])) + (", ..." if len(names) > 8 else "")


def _name(raw: bytes, flags: int, index: int) -> str:
    """The checked name of a record: a relative path with no way out of the archive."""
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        _fail(f"the name of entry {index} is not {'UTF-8' if flags & _UTF8 else 'ASCII'}")
    parts = name.removesuffix("/").split("/")
    if len(raw) > MAX_NAME_BYTES or "\\" in name or name[1:2] == ":" or not name.isprintable() \
            or any(part in ("", ".", "..") for part in parts):
        _fail(f"entry {index} has the unsafe name {name[:100]!r}")
    return name


def _widen(extra: bytes, size: int, packed: int, header: int, disk: int, name: str) -> tuple[int, int, int, int]:
    """Replace what did not fit in 32 bits by the values of the zip64 field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        field = extra[position + 4:position + 4 + length]
        position += 4 + length
        if kind != 1:
            continue
        wide = []
        for value, mark, form in ((size, 0xFFFFFFFF, "<Q"), (packed, 0xFFFFFFFF, "<Q"), (header, 0xFFFFFFFF, "<Q"),
                                  (disk, 0xFFFF, "<L")):
            if value == mark:
                if len(field) < struct.calcsize(form):
                    _fail(f"record {name!r}: its zip64 field is too short")
                value = struct.unpack_from(form, field)[0]
                field = field[struct.calcsize(form):]
            wide.append(value)
        return wide[0], wide[1], wide[2], wide[3]
    return size, packed, header, disk


def _check_sizes(name: str, method: int, packed: int, size: int, most_ratio: int) -> None:
    if method not in (STORED, DEFLATED):
        raise UnsupportedError(f"zip: record {name!r} uses compression method {method}; supported: 0 (stored), "
                               "8 (deflated)")
    if method == STORED and packed != size:
        _fail(f"record {name!r} is stored, yet has {size} bytes in {packed}")
    if size > FREE_BYTES and size > packed * most_ratio:
        _fail(f"record {name!r} has {size} bytes packed into {packed}, more than {most_ratio} to 1")


def _inflate(data: bytes | memoryview, record: Record) -> bytes:
    stream = zlib.decompressobj(-15)
    try:
        result = stream.decompress(data, record.size) if record.size else b""
        rest = stream.decompress(stream.unconsumed_tail if record.size else data, 1)
    except zlib.error as error:
        _fail(f"record {record.name!r} cannot be inflated: {error}")
    if len(result) != record.size or rest or not stream.eof or stream.unused_data:
        _fail(f"record {record.name!r} inflates to {len(result)}{' or more' if rest else ''} bytes, not {record.size}")
    return result


class _Window(io.RawIOBase):
    """A part of a file as a file: `size` bytes from `start`."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._start + self._position)
        done: int = self._file.readinto(view[:count])  # type: ignore[attr-defined]
        self._position += done
        return done
