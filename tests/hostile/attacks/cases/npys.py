"""NumPy's arrays in `.npz` files of weights."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch_bytes import npy_header

from lstm_engine.errors import FormatError, UnsupportedError

from .. import uses
from ..attack import Table
from .torch_pickles import Evil
from .zips import ANSWER, W, archived, beside_spec, npy

PICKLED = "CVE-2019-6446"
HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"


def weight(raw: bytes) -> Callable[[Path], object]:
    return beside_spec(lambda: archived(("w.npy", raw)))


TABLE = Table(".npz weights", "model.npz", beside_spec(archived), uses.with_spec)


def refuse(name: str, source: str, raw: Callable[[], bytes], message: str, error: type = FormatError) -> None:
    """An .npz of weights with this member."""
    TABLE.refuse(name, source, beside_spec(lambda: archived(("w.npy", raw()))), error, message)


def objects() -> bytes:
    np.lib.format.write_array(buffer := io.BytesIO(), np.array([Evil()], object), allow_pickle=True)
    return buffer.getvalue()


refuse("an array of objects", PICKLED, objects, "tensor 'w' is Python objects, which would need pickle",
    UnsupportedError)
refuse("a header of Python code", "CWE-95", lambda: npy_header("__import__('os').system('id')"),
       "w.npy: its header is not what NumPy writes")
refuse("a header nested 4,000 deep", "CWE-674 in Python's parser", lambda: npy_header("(" * 2000 + ")" * 2000),
       "w.npy: its header is not what NumPy writes")
refuse("a header of 64 KB", "numpy's max_header_size", lambda: npy_header(HEAD + " " * 60_000),
       "w.npy: a header of 60059 bytes; 4096 can be there")
refuse("a header longer than the member", "CWE-125", lambda: npy_header(HEAD, length=5000),
    "a header of 5000 bytes; 59 can be")
refuse("a negative size", "CWE-195", lambda: npy_header(HEAD.replace("3, 2", "3, -2")),
    "its header is not what NumPy writes")
refuse("sizes whose product overflows", "CWE-190", lambda: npy_header(HEAD.replace("3, 2", "4294967296, 4294967296")),
       "w.npy: the shape [4294967296, 4294967296] is out of range")
refuse("400 TB in 100 bytes", "CVE-2026-0897 and its kind", lambda: npy_header(HEAD.replace("3, 2",
    "9999999, 9999999")),
       "needs 399999920000085 bytes")
refuse("rank 20", "CWE-787", lambda: npy_header(HEAD.replace("3, 2", "1, " * 20)), "is out of range")
refuse("a record type", "CWE-843", lambda: npy_header(HEAD.replace("'<f4'", "[('a', '<f4')]")) + bytes(24),
       "tensor 'w' is of dtype [('a', '<f4')]", UnsupportedError)
refuse("a size of 4,400 digits", "CVE-2020-10735", lambda: npy_header(HEAD.replace("3, 2", "9" * 4000)),
       "its header is not what NumPy writes")
refuse("a version to come", "confusion of versions", lambda: npy_header(HEAD, b"\x09\x00"),
    "w.npy: version 9.0 of the npy")
TABLE.refuse("a member that is a program", "CVE-2025-1889", beside_spec(lambda: archived(
    ("w.npy", npy(W)), ("evil.py", b"import os"))), FormatError, "member 'evil.py' is no .npy file")
TABLE.refuse("a pickle named .npz", "CVE-2025-10155; " + PICKLED, beside_spec(lambda: pickle.dumps(Evil())),
    FormatError,
             "a plain pickle without torch's magic number, which is never unpickled here")
TABLE.right("big-endian, Fortran order", "no attack: NumPy writes it", weight(npy(np.asfortranarray(W).astype(">f4"))),
            ANSWER, "the same numbers")
