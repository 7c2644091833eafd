"""Zip archives, as `.npz` files: the container of NumPy's and torch's files."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch_bytes import listed, number, pickled
from zip_bytes import CENTRAL, END, LOCAL, made, patch

from lstm_engine.errors import FormatError, UnsupportedError

from .. import uses
from ..attack import Made, Table, floats

SPEC = {"inputs": [{"name": "x", "shape": ["batch", 3]}], "nodes": [{"op": "Dense", "name": "d", "kernel": "w"}]}
W = floats(3, 2)
ANSWER = np.ones((2, 3), np.float32) @ W
ZIP_LINK = 0o120777 << 16


def npy(array: np.ndarray) -> bytes:
    np.lib.format.write_array(buffer := io.BytesIO(), array, allow_pickle=False)
    return buffer.getvalue()


def beside_spec(data: Callable[[], bytes], spec: dict | None = None) -> Callable[[Path], Made]:
    """The archive, and beside it the spec that says what its arrays are."""
    def make(folder: Path) -> Path:
        (folder / "spec.json").write_text(json.dumps(SPEC if spec is None else spec))
        (folder / "model.npz").write_bytes(data())
        return folder / "model.npz"
    return make


def archived(*records: tuple, **options: object) -> bytes:
    return made(*(records or (("w.npy", npy(W)),)), **options)  # type: ignore[arg-type]


TABLE = Table("zip archives (.npz, .pt, .pt2)", "model.npz", beside_spec(archived), uses.with_spec)


def refuse(name: str, source: str, data: Callable[[], bytes], message: str, error: type = FormatError) -> None:
    TABLE.refuse(name, source, beside_spec(data), error, message)


def right(name: str, source: str, data: Callable[[], bytes], why: str, spec: dict | None = None) -> None:
    TABLE.right(name, source, beside_spec(data, spec), ANSWER, why)


def named(name: str) -> Callable[[], bytes]:
    """An archive with a second record of this name, however zipfile would write it."""
    place = "X" * len(name.encode())
    return lambda: archived(("w.npy", npy(W)), (place, b"")).replace(place.encode(), name.encode())


def link() -> bytes:
    info = zipfile.ZipInfo("w.npy")
    info.create_system, info.external_attr = 3, ZIP_LINK
    return archived((info, b"/etc/passwd"))


def overlapping() -> bytes:
    """Fifield's bomb in small: two directory entries over one record."""
    whole = archived(("w.npy", npy(W)), ("v.npy", npy(W)))
    return patch(whole, CENTRAL, 42, "<L", 0, nth=1)


def quine() -> bytes:
    """An archive whose only record is an archive, eight times over."""
    data = archived()
    for _ in range(8):
        data = archived(("w.npy", data))
    return data


def bomb() -> bytes:
    head = npy(np.zeros((3, 2), np.float32)).replace(b"(3, 2), }", b"(8192, 3200), }")
    return archived(("w.npy", head + bytes(100 << 20)), method=zipfile.ZIP_DEFLATED)


def many() -> bytes:
    return archived(*((f"{i}.npy", b"") for i in range(70_000)))


def declared(size: int) -> bytes:
    """A .pt archive whose pickle is deflated and says that it has another size."""
    data = archived(("a/data.pkl", pickled(listed(number(7)) + b"0" * 140)), method=zipfile.ZIP_DEFLATED)
    return patch(patch(data, LOCAL, 22, "<L", size), CENTRAL, 24, "<L", size)


def encrypted() -> bytes:
    return patch(archived(), CENTRAL, 8, "<H", 1)


def streamed() -> bytes:
    """As a writer to a pipe makes it: sizes follow the data."""
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as file:  # type: ignore[arg-type]
        file.writestr("w.npy", npy(W))
    return bytes(pipe.data)


def wide(size: int, packed: int) -> zipfile.ZipInfo:
    """A record whose sizes stand in its zip64 field."""
    info = zipfile.ZipInfo("w.npy")
    info.extra = struct.pack("<2HQQ", 1, 16, size, packed)
    return info


def twice(first: str, second: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archived((first, npy(W)), (second, npy(W + 1)))


def two_arrays(name: str) -> dict:
    """The spec that takes one of two arrays whose names look alike."""
    return {**SPEC, "nodes": [{**SPEC["nodes"][0], "kernel": name}], "ignore": ["*"]}  # type: ignore[index]


def hidden_directory() -> bytes:
    """A second end record in the comment: readers that search from the front and from the back see two archives."""
    return archived(comment=archived(("v.npy", b""))[-22:])


# Names: zip-slip and its relatives.
for shown, name in (("../../evil.npy", "../../evil.npy"), ("/etc/evil.npy", "/etc/evil.npy"),
                    ("C:evil.npy", "C:evil.npy"), ("..\\evil.npy", "..\\evil.npy"), ("a\\0.npy", "a\0.npy")):
    refuse(f"a record named {shown}", "zip-slip, CVE-2018-1002201; CVE-2024-5187", named(name),
           f"zip: entry 1 has the unsafe name {name!r}")
refuse("a record that is a symbolic link", "CVE-2024-5187; CVE-2025-4330", link,
    "zip: record 'w.npy' is a symbolic link")
refuse("two records of one name", "CVE-2025-1944; parser differentials", lambda: twice("w.npy", "w.npy"),
       "zip: two records are named 'w.npy'")
right("names that differ in Unicode form alone", "CWE-176: é composed and decomposed", lambda: twice(
    "\u00e9.npy", "e\u0301.npy"), "each by its own code points", two_arrays("\u00e9"))
right("names that differ in case alone", "CVE-2024-32002 and its kind", lambda: twice("w.npy", "W.npy"),
      "each by its own case", two_arrays("w"))

# Bombs.
refuse("100 MB of zeros in 100 KB", "CVE-2019-9674, zip bombs", bomb, "has 104857758 bytes packed into")
refuse("overlapping records", "Fifield 2019, CVE-2024-0450", overlapping, "overlaps the one before it")
refuse("archives in archives", "42.zip, quines", quine, "w.npy: does not begin with b'\\x93NUMPY'")
refuse("70,000 records", "CWE-400", many, "more than the 65536 records or 16777216 bytes allowed")
for shown, size, message in (("less", 300, "inflates to 151 bytes, not 300"), ("more", 140,
    "inflates to 140 or more bytes, not 140")):
    TABLE.refuse(f"a record that inflates to {shown} than it says", "CVE-2019-9674",
                 lambda size=size: declared(size), FormatError, message, use=uses.convert, file="model.pt")
refuse("a member that is longer than its array", "CWE-131", lambda: archived(("w.npy", npy(W) + bytes(4))),
       "w.npy: float32 [3, 2] needs 152 bytes, the member has 156")

# Two readers, two archives.
refuse("header and directory name different files", "CVE-2025-1944", lambda: patch(archived(), LOCAL, 30, "5s",
    b"v.npy"),
       "zip: record 'w.npy': its header and the directory differ")
refuse("flag bits that make other readers skip it", "CVE-2025-1945", encrypted, "zip: record 'w.npy' is encrypted",
       UnsupportedError)
refuse("a checksum that is wrong", "CVE-2025-10156", lambda: archived().replace(W.tobytes(), bytes(24)),
    "differs from the stored")
refuse("another size in the header", "CVE-2025-10156 and its kind", lambda: patch(archived(), LOCAL, 18, "<L", 9),
       "its header and the directory differ in size or checksum")
refuse("a script before the archive", "polyglot files", lambda: b"#!/bin/sh\ntouch x\n" + archived(),
    "where the end record is")
refuse("bytes behind the archive", "polyglot files", lambda: archived() + b"%PDF-1.7", "8 bytes follow the end record")
refuse("a second end record in the comment", "parser differentials", hidden_directory, "of 51 bytes does not end at")
refuse("parts on other disks", "APPNOTE 4.3", lambda: patch(archived(), END, 4, "<H", 1),
       "an archive of several parts is not supported")
refuse("an offset of 2 GB", "CWE-125", lambda: patch(archived(), CENTRAL, 42, "<L", 2**31),
       "needs bytes 2147483648 to 2147483678")
refuse("an unknown compression", "CWE-434", lambda: patch(archived(), CENTRAL, 10, "<H", 12),
       "uses compression method 12; supported: 0 (stored), 8 (deflated)", UnsupportedError)
refuse("a zip64 record of 2^63 bytes", "CWE-190", lambda: patch(archived(
    (wide(2**63, 2**63), npy(W))), CENTRAL, 20, "<Q", 2**64 - 1),
    "its header and the directory differ in size or checksum")
refuse("a damaged deflate stream", "zlib's own CVEs", lambda: archived(method=zipfile.ZIP_DEFLATED)[:35] + b"\xff" * 4
       + archived(method=zipfile.ZIP_DEFLATED)[39:], "cannot be inflated")
right("sizes behind the data", "APPNOTE 4.3.9, data descriptors", streamed, "sizes of the directory, checked")
right("a comment and deflated records", "no attack: NumPy's savez_compressed", lambda: archived(
    method=zipfile.ZIP_DEFLATED, comment=b"hello"), "what NumPy reads")
