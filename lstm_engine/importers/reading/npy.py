"""Arrays of a `.npz` file, read without pickle: np.load(allow_pickle=False) semantics, every header checked.

Source of the layout: numpy.lib.format. The header is matched against the one form that NumPy writes, never
evaluated.
"""

from __future__ import annotations

import math
import re

import numpy as np

from ...errors import FormatError
from .weights import Entry, check_shape
from .zip_archive import Archive

MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096
_HEADER = re.compile(r"\{'descr': ('[^']{1,16}'|\[[^]]*\]), 'fortran_order': (True|False), "
                     r"'shape': \(((?:[0-9]{1,18}, ?)*[0-9]{0,18})\), ?\} *\n?")
_PLAIN = re.compile(r"'([<>=|]?)(f[248]|[iu][1248]|b1)'")


def npz_entries(archive: Archive) -> dict[str, Entry]:
    """The arrays of an `.npz` by name, without `.npy`. Raises FormatError naming the member and what is wrong."""
    entries = {}
    for record in archive.records:
        if not record.endswith(".npy"):
            raise FormatError(f"member {record!r} is no .npy file")
        entries[record.removesuffix(".npy")] = _entry(archive, record)
    return entries


def _entry(archive: Archive, record: str) -> Entry:
    head = archive.peek(record, MAX_HEADER + 12)
    if not head.startswith(MAGIC) or len(head) < 12:
        raise FormatError(f"{record}: does not begin with {MAGIC!r}")
    version = (head[6], head[7])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise FormatError(f"{record}: version {version[0]}.{version[1]} of the npy format; supported: 1.0, 2.0, 3.0")
    start = 10 if version == (1, 0) else 12
    length = int.from_bytes(head[8:start], "little")
    if length > MAX_HEADER or start + length > len(head):
        raise FormatError(f"{record}: a header of {length} bytes; {min(MAX_HEADER, len(head) - start)} can be there")
    start += length
    match = _HEADER.fullmatch(head[start - length:start].decode("latin-1"))
    if not match:
        raise FormatError(f"{record}: its header is not what NumPy writes: {head[start - length:start][:80]!r}")
    descr, fortran, sizes = match.groups()
    shape = tuple(int(size) for size in sizes.replace(" ", "").split(",") if size)
    check_shape(shape, record)
    plain = _PLAIN.fullmatch(descr)
    if not plain:
        kind = "Python objects, which would need pickle" if "O" in descr else f"of dtype {descr}"
        return Entry(shape, kind, _unreadable)
    dtype = np.dtype("".join(plain.groups()))
    expected = start + math.prod(shape) * dtype.itemsize
    if expected != archive.record(record).size:
        raise FormatError(f"{record}: {dtype.name} {list(shape)} needs {expected} bytes, the member has "
                          f"{archive.record(record).size}")

    def load() -> np.ndarray:
        flat = np.frombuffer(archive.read(record), dtype, offset=start)
        return flat.reshape(shape, order="F" if fortran == "True" else "C")

    return Entry(shape, dtype.newbyteorder("=").name, load)


def _unreadable() -> np.ndarray:
    raise AssertionError("its dtype is refused before it is read")
