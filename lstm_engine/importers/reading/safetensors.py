"""`.safetensors` files, strictly: no holes, no overlaps, no duplicate keys, a bounded header.

Source of the layout: the "Format" section of the safetensors README.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ...errors import CUT, FormatError
from ...files import read_exactly
from ...strict_json import parse_object
from .weights import Entry, check_shape

MAX_HEADER = 8 << 20           # the format allows 100 MB; this names some sixty thousand tensors
MAX_TENSORS = 65_536
FORMAT_HEADER = 100_000_000

DTYPES = {"F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
          "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U64": ("uint64", 8),
          "U32": ("uint32", 4), "U16": ("uint16", 2), "U8": ("uint8", 1), "BOOL": ("bool", 1),
          "F8_E4M3": ("float8_e4m3", 1), "F8_E5M2": ("float8_e5m2", 1), "C64": ("complex64", 8)}
_FIELDS = {"dtype", "shape", "data_offsets"}


def read_safetensors(file: BinaryIO, size: int) -> dict[str, Entry]:
    """The tensors of a file of `size` bytes by name, in the order of their bytes. Raises FormatError."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > size - 8:
        _fail(f"the header is said to have {length} bytes, the file has {max(size - 8, 0)} after the length"
              f"{f': {CUT}' if length <= FORMAT_HEADER else ''}")
    if length > MAX_HEADER:
        _fail(f"a header of {length} bytes; at most {MAX_HEADER} are allowed")
    start = 8 + length
    header = _parse_header(file.read(length))
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        _fail(f"{len(header)} tensors; at most {MAX_TENSORS} are allowed")
    entries, places = {}, {}
    for name, tensor in header.items():
        entries[name], places[name] = _entry(file, name, tensor, start)
    end = 0
    for name in sorted(places, key=lambda name: places[name]):
        begin, stop = places[name]
        if begin != end:
            _fail(f"tensor {name!r:.100} begins at byte {begin} of the data, the one before it ends at {end}")
        end = stop
    if end != size - start:
        _fail(f"the tensors end at byte {end} of the data, which has {size - start}"
              f"{f': {CUT}' if end > size - start else ''}")
    return {name: entries[name] for name in sorted(places, key=lambda name: places[name])}


def begins_safetensors(head: bytes) -> bool:
    """Whether a file begins so that it can be safetensors, which have no magic number: a length, and JSON."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= FORMAT_HEADER


def _parse_header(raw: bytes) -> dict[str, Any]:
    """The header's JSON, its metadata checked."""
    if not raw.startswith(b"{"):
        _fail(f"the header must begin with '{{', got {raw[:8]!r}")
    header = parse_object(raw, "safetensors: the header")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _fail("__metadata__ must map names to strings")
    return header


def _fail(message: str) -> NoReturn:
    raise FormatError(f"safetensors: {message}")


def _entry(file: BinaryIO, name: str, tensor: Any, start: int) -> tuple[Entry, tuple[int, int]]:
    if not isinstance(tensor, dict) or set(tensor) != _FIELDS:
        _fail(f"tensor {name!r:.100} must have dtype, shape and data_offsets and nothing else")
    if not isinstance(tensor["dtype"], str) or tensor["dtype"] not in DTYPES:
        _fail(f"tensor {name!r:.100}: dtype {tensor['dtype']!r:.20} is not known")
    dtype, itemsize = DTYPES[tensor["dtype"]]
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
            _fail(f"tensor {name!r:.100}: {what} must be a list of numbers that are not negative")
    check_shape(shape, f"safetensors: tensor {name!r:.100}")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * itemsize:
        _fail(f"tensor {name!r:.100}: {dtype} {shape} needs {math.prod(shape) * itemsize} bytes, data_offsets are "
              f"{str(offsets):.100}")
    begin, stop = offsets

    def load() -> np.ndarray:
        items = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")
        array: np.ndarray = np.frombuffer(read_exactly(file, start + begin, stop - begin), items).reshape(shape)
        return array

    return Entry(tuple(shape), dtype, load), (begin, stop)
