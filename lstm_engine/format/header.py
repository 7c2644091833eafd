"""The header of a `*.lstm` file: built, and parsed with every rule of docs/format.md checked.

    offset 0          u64, little-endian: N, the bytes of the header
    offset 8          {"__metadata__":{"crc32":"........","format":...},"node.field":{...},...} and spaces
    offset 8 + N      the data, a multiple of 64 from the start of the file
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import FormatError
from ..graph.rows import Rows
from ..strict_json import parse_object

FORMAT = "lstm-engine"
VERSION = 3                    # the newest `min_reader` that this reads
LOOPS = 3                      # the version of a file that has loops, or says how texts are read,
QUANTIZED = 2                  # of another that has quantised weights,
FLOAT = 1                      # and of any other
# About 7000 recurrent layers; a hostile header of this size is still refused within 2 s and 100 MB (safetensors' cap
# of 100 MB would take a minute and 2.4 GB: JSON grows up to 24-fold).
HEADER_LIMIT = 4 * 2**20
ALIGNMENT = 64
MAX_RANK = 16
CRC_ZERO = b"00000000"
CRC_PREFIX = b'{"__metadata__":{"crc32":"'
CRC_AT = slice(len(CRC_PREFIX), len(CRC_PREFIX) + len(CRC_ZERO))      # where the checksum stands in the header
METADATA_KEYS = ("crc32", "format", "version", "min_reader", "config")
ENTRY_KEYS = ("dtype", "shape", "data_offsets")

# safetensors' name -> NumPy's type in the file.
DTYPES = {"F64": "<f8", "I64": "<i8", "U64": "<u8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "F16": "<f2",
          "I16": "<i2", "U16": "<u2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}
_NAME_OF_DTYPE = {np.dtype(text): name for name, text in DTYPES.items()}
DTYPES["BF16"] = "<u2"         # its bits; from version 2 on


class Entry(NamedTuple):
    """One tensor of the file: data[begin:end] is its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(DTYPES[self.dtype])


class Header(NamedTuple):
    """What a header says: the checksum of the file, what reads it, the configuration as text, the tensors in file
    order."""

    crc32: str
    version: int
    min_reader: int
    config: str
    entries: tuple[Entry, ...]

    @property
    def data_size(self) -> int:
        return self.entries[-1].end if self.entries else 0


def canonical(data: Any) -> str:
    """JSON text with sorted keys, no spaces and nothing escaped that need not be.

    Raises ValueError for infinity, NaN and text that UTF-8 cannot hold.
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def file_dtype(array: np.ndarray | Rows) -> str:
    """safetensors' name of an array's dtype. Raises FormatError if the file cannot hold it."""
    name = _NAME_OF_DTYPE.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise FormatError(f"a tensor of dtype {array.dtype} cannot be stored; supported: {', '.join(DTYPES)}")
    return name


def lay_out(tensors: Mapping[str, np.ndarray | Rows], bfloat16: Collection[str] = ()) -> tuple[Entry, ...]:
    """The place of every tensor: by falling item size, then by name, without gaps. bfloat16: the names of those whose
    uint16 are its bits."""
    entries, begin = [], 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        dtype = "BF16" if name in bfloat16 else file_dtype(array)
        entries.append(Entry(name, dtype, array.shape, begin, begin + array.nbytes))
        begin += array.nbytes
    return tuple(entries)


def build(config: str, entries: Iterable[Entry], version: int = FLOAT) -> bytes:
    """The header with a checksum of zeros, spaces up to the alignment of the data included."""
    metadata = {"crc32": CRC_ZERO.decode(), "format": FORMAT, "version": str(version), "min_reader": str(version),
                "config": config}
    return _serialise(metadata, entries)


def _serialise(metadata: Mapping[str, str], entries: Iterable[Entry]) -> bytes:
    record: dict[str, Any] = {"__metadata__": metadata}
    for entry in entries:
        record[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-(8 + len(text)) % ALIGNMENT)


def check_length(length: int) -> None:
    """Check the length a file gives for its header. Raises FormatError."""
    if length > HEADER_LIMIT:
        raise FormatError(f"header length: at most {HEADER_LIMIT} bytes, got {length}; is this an .lstm file?")
    if (8 + length) % ALIGNMENT or length < len(CRC_PREFIX) + len(CRC_ZERO):
        raise FormatError(f"header length: must put the data at a multiple of {ALIGNMENT}, got {length}; "
                          "is this an .lstm file?")


def parse(raw: bytes) -> Header:
    """The header of a file, every rule about it checked. Raises FormatError naming the part that breaks one."""
    if not raw.startswith(CRC_PREFIX):
        kind = "a safetensors file of another kind" if raw.startswith(b"{") else "not an .lstm file"
        raise FormatError(f"header: must begin with {CRC_PREFIX.decode()}; this is {kind}")
    record = parse_object(raw, "header")
    metadata = record.pop("__metadata__")
    _check_metadata(metadata)
    min_reader = _version(metadata, "min_reader")
    dtypes = tuple(DTYPES) if min_reader >= QUANTIZED else tuple(name for name in DTYPES if name != "BF16")
    entries = tuple(_parse_entry(name, entry, dtypes) for name, entry in record.items())
    _check_places(entries)
    try:
        rebuilt = _serialise({key: metadata[key] for key in METADATA_KEYS}, entries)
    except UnicodeEncodeError:
        rebuilt = b""
    if rebuilt != raw:
        raise FormatError("header: must be in canonical form (order of keys, no spaces but at its end, no needless "
                          "escapes), got another spelling")
    return Header(metadata["crc32"], _version(metadata, "version"), min_reader, metadata["config"], entries)


def _check_metadata(metadata: Any) -> None:
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise FormatError(f"header: __metadata__ {key!r:.100} must be a string, got {type(value).__name__}")
    if metadata.get("format") != FORMAT:
        raise FormatError(f"header: format must be {FORMAT!r}, got {metadata.get('format')!r:.100}")
    needed = _version(metadata, "min_reader")
    if needed > VERSION:
        raise FormatError(f"header: min_reader is {needed}, this reads up to {VERSION}; a newer lstm-engine is needed")
    if _version(metadata, "version") < needed:
        raise FormatError(f"header: version {metadata['version']} is below min_reader {needed}")
    if set(metadata) != set(METADATA_KEYS):
        wrong = sorted(set(metadata) ^ set(METADATA_KEYS))[0]
        raise FormatError(f"header: __metadata__ must have the keys {', '.join(METADATA_KEYS)}; "
                          f"{wrong!r:.100} is {'unknown' if wrong in metadata else 'missing'}")
    if len(metadata["crc32"]) != 8 or set(metadata["crc32"]) - set("0123456789abcdef"):
        raise FormatError(f"header: crc32 must be 8 hexadecimal digits, got {metadata['crc32']!r:.100}")


def begins_so(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a `*.lstm` file."""
    return head[8:].startswith(CRC_PREFIX)


def _version(metadata: Mapping[str, str], key: str) -> int:
    text = metadata.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10) or text.startswith("0"):
        raise FormatError(f"header: {key} must be a positive integer, got {text!r:.100}")
    return int(text)


def _parse_entry(name: str, record: Any, dtypes: tuple[str, ...]) -> Entry:
    where = f"header: tensor {name!r:.200}"
    if not isinstance(record, dict) or set(record) != set(ENTRY_KEYS):
        got = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise FormatError(f"{where} must have the keys {', '.join(ENTRY_KEYS)}, got {got!r:.200}")
    dtype, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise FormatError(f"{where}: dtype must be one of {', '.join(dtypes)}, got {dtype!r:.100}")
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise FormatError(f"{where}: shape must be a list of at most {MAX_RANK} sizes, got {shape!r:.200}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"{where}: data_offsets must be two sizes, got {offsets!r:.200}")
    item_size = np.dtype(DTYPES[dtype]).itemsize
    if math.prod(size for size in shape if size) * item_size >= 2**63:
        raise FormatError(f"{where}: the size of {shape!r:.200} overflows")
    begin, end = offsets
    if end - begin != math.prod(shape) * item_size:
        raise FormatError(f"{where}: {dtype} {shape} needs {math.prod(shape) * item_size} bytes, "
                          f"data_offsets {offsets!r:.100} give {end - begin}")
    return Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(items: Any) -> bool:
    return isinstance(items, list) and all(type(item) is int and 0 <= item < 2**63 for item in items)


def _check_places(entries: tuple[Entry, ...]) -> None:
    """Check that the tensors follow each other in the one allowed order, without holes or overlaps."""
    end, last = 0, (-16, "")
    for entry in entries:
        if entry.begin != end:
            kind = "a hole" if entry.begin > end else "an overlap"
            raise FormatError(f"header: tensor {entry.name!r:.200} must begin at {end}, got {entry.begin}: {kind}")
        order = (-entry.numpy_dtype.itemsize, entry.name)
        if order <= last:
            raise FormatError(f"header: tensor {entry.name!r:.200} is out of order; tensors go by falling item size, "
                              "then by name")
        end, last = entry.end, order
