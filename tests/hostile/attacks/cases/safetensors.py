"""Safetensors files of others: a header of JSON over bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch_bytes
from torch_bytes import safetensors

from lstm_engine.errors import FormatError

from .. import uses
from ..attack import Table, floats
from .zips import ANSWER, SPEC, W

AUDIT = "Trail of Bits' audit of safetensors, 2023"


def entry(begin: int = 0, end: int = 24, shape: Any = (3, 2), dtype: Any = "F32", **more: Any) -> dict:
    """The weight of the spec, unless said otherwise."""
    return torch_bytes.entry(begin, end, shape, dtype, **more)


def file(data: bytes = W.T.tobytes(), **tensors: Any) -> bytes:
    return safetensors(json.dumps(tensors).encode(), data)


def of_text(text: bytes, data: bytes = b"") -> bytes:
    return safetensors(text, data)


def with_spec(folder: Path, data: bytes) -> Path:
    (folder / "spec.json").write_text(json.dumps(SPEC))
    (folder / "model.safetensors").write_bytes(data)
    return folder / "model.safetensors"


def sparse(folder: Path) -> Path:
    """A header of 200 MB in a file that takes no room."""
    path = folder / "model.safetensors"
    with open(path, "wb") as huge:
        huge.write(struct.pack("<Q", 200 << 20) + b"{")
        huge.truncate(300 << 20)
    return path


GOOD = file(W.tobytes(), w=entry(), __metadata__={"format": "pt"})
TABLE = Table(".safetensors", "model.safetensors", lambda folder: with_spec(folder, GOOD), uses.with_spec)


def refuse(name: str, source: str, data: Any, message: str, error: type = FormatError) -> None:
    TABLE.refuse(name, source, lambda folder: with_spec(folder, data()), error, message)


refuse("a header longer than the file", AUDIT, lambda: safetensors(b"{}", length=2**63),
       "the header is said to have 9223372036854775808 bytes")
TABLE.refuse("a header of 200 MB", AUDIT, sparse, FormatError, "a header of 209715200 bytes; at most 8388608",
             use=uses.convert)
refuse("a header that is no object", AUDIT, lambda: of_text(b"[]"), "the header must begin with '{'")
refuse("a header of Python code", "CWE-95", lambda: of_text(b"__import__('os').system('id')"),
       "the header must begin with '{'")
refuse("a tensor named twice", AUDIT, lambda: of_text(b'{"a": 1, "a": 2}'), "the header: the key 'a' appears twice")
refuse("a hole, in which anything may hide", AUDIT, lambda: file(bytes(28), w=entry(4, 28)),
       "tensor 'w' begins at byte 4 of the data, the one before it ends at 0")
refuse("bytes behind the last tensor", AUDIT + ": polyglot files", lambda: file(bytes(24) + b"PK\5\6" + bytes(18),
                                                                               w=entry()), "which has 46")
refuse("tensors that overlap", AUDIT, lambda: file(w=entry(), v=entry()), "begins at byte 0 of the data")
refuse("tensors of 4 TB", "CVE-2026-0897", lambda: file(w=entry(0, 2**42, (2**40,))), "the tensors end at byte")
refuse("sizes whose product overflows", AUDIT, lambda: file(w=entry(shape=(2**40, 2**40))), "is out of range")
refuse("an overflow beside a size of 0", "CWE-190", lambda: file(w=entry(shape=(0, 2**40, 2**40))), "is out of range")
refuse("offsets that run backwards", AUDIT, lambda: file(w=entry(24, 0)), "data_offsets are [24, 0]")
refuse("sizes that are no whole numbers", "CWE-843", lambda: file(w=entry(shape=(3.0, 2))),
       "shape must be a list of numbers that are not negative")
refuse("a size of true", "CWE-843", lambda: file(w=entry(shape=(True, 6))),
       "shape must be a list of numbers that are not negative")
refuse("an unknown type", AUDIT, lambda: file(w=entry(dtype="F33")), "tensor 'w': dtype 'F33' is not known")
refuse("a further key", AUDIT, lambda: file(w=entry(x=1)), "and nothing else")
refuse("metadata that is no text", AUDIT, lambda: file(__metadata__={"a": 1}), "__metadata__ must map names to strings")
refuse("a whole number of 5,000 digits", "CVE-2020-10735", lambda: of_text(b'{"w": ' + b"9" * 5000 + b"}"),
       "the header: not JSON: Exceeds the limit")
refuse("bytes that are not UTF-8", "CWE-176", lambda: of_text(b'{"\xff": 1}'), "the header: not UTF-8")
refuse("a name that clears the terminal", "CWE-150", lambda: file(**{"\x1b[2J\x1b]0;x\x07": entry()}),
    "no tensor 'w'; there are '\\x1b[2J")
refuse("a lone surrogate in a name", "CWE-176", lambda: of_text(
    b'{"\\ud800": ' + json.dumps(entry()).encode() + b"}", W.tobytes()), "'\\ud800'")
refuse("120,000 tensors without elements", "CWE-400", lambda: of_text(json.dumps({
    f"{i}": entry(0, 0, (0,)) for i in range(120_000)}).encode()), "120000 tensors; at most 65536 are allowed")
TABLE.right("tensors in another order than their bytes", "no attack: the format allows it", lambda folder: with_spec(
    folder, file(floats(2).tobytes() + W.tobytes(), w=entry(8, 32), **{"b.num_batches_tracked": entry(0, 8, (2,))})),
    ANSWER, "each from its own place")
