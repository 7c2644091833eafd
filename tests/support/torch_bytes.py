"""Torch and NumPy files made by hand, opcode by opcode, so that any part of one can be a lie."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from zip_bytes import made

STOP = b"."
MARK = b"("
NONE = b"N"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -2**31 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def symbol(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def items(*parts: bytes) -> bytes:
    """A tuple."""
    return MARK + b"".join(parts) + b"t"


def listed(*parts: bytes) -> bytes:
    return b"]" + MARK + b"".join(parts) + b"e"


def mapping(entries: Mapping[str, bytes]) -> bytes:
    return b"}" + MARK + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + items(*arguments) + b"R"


def instance(module: str, name: str, state: bytes) -> bytes:
    """An object of a class, made without arguments, with this state."""
    return symbol(module, name) + items() + b"\x81" + state + b"b"


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + STOP


def storage(key: str = "0", count: int = 12, kind: bytes = symbol("torch", "FloatStorage")) -> bytes:
    return items(text("storage"), kind, text(key), text("cuda:0"), number(count)) + b"Q"


def tensor(shape=(4, 3), strides=(3, 1), offset: int = 0, over: bytes | None = None, count: int = 12) -> bytes:
    """A float32 tensor over a storage of `count` items."""
    return call(symbol("torch._utils", "_rebuild_tensor_v2"), storage(count=count) if over is None else over,
                number(offset), items(*map(number, shape)), items(*map(number, strides)), b"\x89",
                call(symbol("collections", "OrderedDict")))


def archive(records: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    return made(*records.items(), method=method)


def checkpoint(value: bytes, storages: Mapping[str, bytes] | None = None, **more: bytes) -> bytes:
    """A `.pt` zip archive with the pickle of `value`, a storage "0" of 12 floats unless told, and more records."""
    given = {"0": np.arange(12, dtype="<f4").tobytes()} if storages is None else storages
    return archive({"a/data.pkl": pickled(value), "a/byteorder": b"little",
                    **{f"a/data/{key}": data for key, data in given.items()}, "a/version": b"3\n",
                    **{f"a/{name}": data for name, data in more.items()}})


def legacy(value: bytes, keys: bytes | None = None, raw: bytes | None = None) -> bytes:
    """A legacy file: preamble, the object, the keys and the raw storages (by default "0" with 12 floats)."""
    return (pickled(number(0x1950A86A20F9469CFC6C)) + pickled(number(1001)) + pickled(b"}") + pickled(value)
            + pickled(listed(text("0")) if keys is None else keys)
            + (struct.pack("<q", 12) + np.arange(12, dtype="<f4").tobytes() if raw is None else raw))


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(begin: int = 0, end: int = 48, shape: Any = (4, 3), dtype: Any = "F32", **more: Any) -> dict:
    """A tensor in the header of a safetensors file."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def npy_header(text: str, version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    """The beginning of an .npy file; length: what it says that its header has."""
    raw = text.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(raw) if length is None else length) + raw


def write(folder: Path, data: bytes, name: str = "bad.pt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
