"""Zip archives that lie or bomb, made by hand, each with its exact error."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from zip_bytes import CENTRAL, END, LOCAL, made, patch

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers.reading.zip_archive import Archive


def opened(data):
    return Archive(io.BytesIO(data), len(data))


def refused(data, name=None):
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        archive = opened(data)
        archive.read(name or next(iter(archive.records)))
    assert str(caught.value).startswith("zip: ")
    return str(caught.value).removeprefix("zip: ")


def test_good_archives():
    for data in (made(), made(method=zipfile.ZIP_DEFLATED), made(comment=b"hello")):
        archive = opened(data)
        assert [archive.read(name) for name in ("one", "two")] == [b"first", b"second"]
        assert archive.peek("two", 3) == b"sec" and archive.peek("two", 100) == b"second"
    assert opened(made(("empty", b""), method=zipfile.ZIP_DEFLATED)).read("empty") == b""


def test_zip64_archives():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        with file.open(zipfile.ZipInfo("big"), "w", force_zip64=True) as record:
            record.write(b"data")
    assert opened(buffer.getvalue()).read("big") == b"data"


def link():
    info = zipfile.ZipInfo("one")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return made((info, b"/etc/passwd"))


@pytest.mark.parametrize("name", ["../one", "a/../../one", "/etc/passwd", "a//b", "./a", "a/.", "C:/one", "c:one",
                                  "a\\b",
                                  "..", "a\nb", "x" * 2000])
def test_names_that_lead_out_of_the_archive(name):
    data = made(("X" * len(name), b"")).replace(b"X" * len(name), name.encode())
    assert refused(data) == f"entry 0 has the unsafe name {name[:100]!r}"


@pytest.mark.parametrize("data, message", [
    (b"", "no end record: the file is truncated, or no zip; fetch or copy it again"),
    (made()[:-1], "no end record: the file is truncated, or no zip; fetch or copy it again"),
    (made()[:-30], "no end record: the file is truncated, or no zip; fetch or copy it again"),
    (made() + b"x", "1 bytes follow the end record"),
    (b"#!/bin/sh\n" + made(), "the directory at 77 of 98 bytes does not end at 185, where the end record is"),
    (patch(made(), END, 10, "<H", 3), "an archive of several parts is not supported"),
    (patch(patch(made(), END, 10, "<H", 3), END, 8, "<H", 3), "the directory ends after 2 of 3 records"),
    (patch(patch(made(), END, 10, "<H", 1), END, 8, "<H", 1), "49 bytes of the directory belong to no record"),
    (patch(made(), END, 4, "<H", 1), "an archive of several parts is not supported"),
    (patch(made(), END, 16, "<L", 10), "the directory at 10 of 98 bytes does not end at 175, where the end record is"),
    (patch(made(), CENTRAL, 0, "4s", b"PK\x01\x03"), "entry 0 of the directory does not begin with its mark"),
    (patch(made(), CENTRAL, 28, "<H", 999), "entry 0 runs over the end of the directory"),
    (patch(made(), CENTRAL, 34, "<H", 1), "record 'one' is in another part of the archive"),
    (patch(made(), CENTRAL, 8, "<H", 1), "record 'one' is encrypted; supported: plain records"),
    (patch(made(), CENTRAL, 46, "3s", b"on\xff"), "the name of entry 0 is not ASCII"),
    (patch(patch(made(), CENTRAL, 46, "3s", b"on\xff"), CENTRAL, 8, "<H", 0x800), "the name of entry 0 is not UTF-8"),
    (patch(made(), CENTRAL, 10, "<H", 12),
     "record 'one' uses compression method 12; supported: 0 (stored), 8 (deflated)"),
    (patch(made(), CENTRAL, 24, "<L", 2**31), "record 'one' is stored, yet has 2147483648 bytes in 5"),
    (patch(made(), CENTRAL, 42, "<L", 1), "record 'one': no header at 1"),
    (patch(made(), CENTRAL, 42, "<L", 2**31), "the header of record 'one' needs bytes 2147483648 to 2147483678, the "
                                              "file has 197"),
    (patch(made(), CENTRAL, 42, "<L", 0, nth=1), "record 'two' at 0 overlaps the one before it, which ends at 38"),
    (patch(made(), LOCAL, 30, "3s", b"two"), "record 'one': its header and the directory differ"),
    (patch(made(), LOCAL, 8, "<H", 8), "record 'one': its header and the directory differ"),
    (patch(made(), LOCAL, 18, "<L", 9), "record 'one': its header and the directory differ in size or checksum"),
    (patch(made(), LOCAL, 14, "<L", 9), "record 'one': its header and the directory differ in size or checksum"),
    (patch(patch(patch(made(), LOCAL, 6, "<H", 8), CENTRAL, 20, "<L", 20), CENTRAL, 24, "<L", 20),
     "record 'two' at 38 overlaps the one before it, which ends at 53"),
    (patch(patch(patch(patch(made(), LOCAL, 6, "<H", 8, 1), CENTRAL, 20, "<L", 900, 1), CENTRAL, 24, "<L", 900, 1),
           CENTRAL, 8, "<H", 8, 1),
     "record 'two' runs into the directory: it ends at 971, the directory begins at 77"),
    (made().replace(b"first", b"fIrst"), f"record 'one': checksum {zlib.crc32(b'fIrst'):08x} differs from the stored "
                                         f"{zlib.crc32(b'first'):08x}"),
    (made(("one", b"x"), ("one", b"y")), "two records are named 'one'"),
    (link(), "record 'one' is a symbolic link"),
    (made(("bomb", bytes(2**21)), method=zipfile.ZIP_DEFLATED),
     f"record 'bomb' has 2097152 bytes packed into {len(zlib.compress(bytes(2**21))) - 6}, more than 200 to 1"),
])
def test_lies(data, message):
    assert refused(data) == message


def deflated(declared, content=b"content " * 10):
    data = made(("one", content), method=zipfile.ZIP_DEFLATED)
    return patch(patch(data, LOCAL, 22, "<L", declared), CENTRAL, 24, "<L", declared)


def test_a_deflated_record_of_another_size():
    assert refused(deflated(79)) == "record 'one' inflates to 79 or more bytes, not 79"
    assert refused(deflated(81)) == "record 'one' inflates to 80 bytes, not 81"
    assert refused(deflated(0)) == "record 'one' inflates to 0 or more bytes, not 0"


def test_a_deflated_record_that_is_no_deflate_stream():
    data = made(("one", b"content " * 10), method=zipfile.ZIP_DEFLATED)
    start = 30 + 3
    assert refused(data[:start] + b"\xff" + data[start + 1:]).startswith("record 'one' cannot be inflated: Error -3")


def test_a_record_that_is_not_there():
    assert refused(made(), "three") == "no record 'three'; there are 'one', 'two'"


def end64(**changes):
    """An archive with zip64 end records, some fields of which are changed."""
    data = made()
    place = data.index(END)
    fields = dict(mark=b"PK\x06\x06", size=44, made=45, need=45, disk=0, first=0, here=2, count=2, length=98, start=77)
    fields |= {name: value for name, value in changes.items() if name in fields}
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, changes.get("offset", place), changes.get("disks", 1))
    return data[:place] + struct.pack("<4sQ2H2L4Q", *fields.values()) + locator + data[place:]


@pytest.mark.parametrize("data, message", [
    (end64(offset=10), "the zip64 end record is said to be at 10, it must end at 231"),
    (end64(offset=2**63), "the zip64 end record is said to be at 9223372036854775808, it must end at 231"),
    (end64(disks=2), "the zip64 end record is said to be at 175, it must end at 231"),
    (end64(mark=b"PK\x06\x05"), "no zip64 end record at 175"),
    (end64(size=45), "no zip64 end record at 175"),
    (end64(count=3), "the two end records differ in records: 2 and 3"),
    (end64(start=2**63), "the two end records differ in offset: 77 and 9223372036854775808"),
])
def test_lies_in_zip64_end_records(data, message):
    assert opened(end64()).read("one") == b"first"
    assert refused(data) == message


def test_a_zip64_field_that_is_too_short():
    info = zipfile.ZipInfo("one")
    info.extra = struct.pack("<2HL", 1, 4, 5)
    data = made((info, b"first"))
    assert refused(patch(data, CENTRAL, 24, "<L", 0xFFFFFFFF)) == "record 'one': its zip64 field is too short"


def test_a_directory_too_large_to_be_meant(monkeypatch):
    from lstm_engine.importers.reading import zip_archive as archive
    monkeypatch.setattr(archive, "MAX_RECORDS", 1)
    assert refused(made()) == ("2 records in a directory of 98 bytes, more than the 1 records or 16777216 bytes "
                               "allowed")
