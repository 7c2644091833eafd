"""Saves and loads `*.lstm` files. A file is read, never mapped: a truncation while it is open must not kill us."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ..errors import CUT, FormatError, GraphError, OutOfMemoryError, UnsupportedError
from ..files import Held, cannot_read, open_regular, size_of
from ..graph import Graph
from ..graph.rows import blocks
from ..operators import Checked, checked, validate
from ..pages import empty
from ..strict_json import parse_object
from . import header
from .codec import bfloat16_names, decode, encode, has_loops, is_quantized, reads_texts
from .header import Entry, Header

CHUNK = 2**20        # bytes read at a time: the checksum is taken while they are still in the cache
THREAD_FROM = 2**23  # bytes from which a second thread reads


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `graph` to `path`; an existing file is replaced only by a whole one. The same graph gives the same bytes.

    Raises GraphError if the graph is not valid, FileError if the file cannot be written.
    """
    from .atomic import atomic_write

    config, tensors = encode(validate(graph))
    entries = header.lay_out(tensors, bfloat16_names(config))
    version = _version(config)
    text = header.build(header.canonical(config), entries, version)
    if len(text) > header.HEADER_LIMIT:
        raise FormatError(f"the header of this graph has {len(text)} bytes; at most {header.HEADER_LIMIT} can be saved")
    head = len(text).to_bytes(8, "little") + text
    crc = zlib.crc32(head)
    with atomic_write(path) as file:
        file.write(head)
        for entry in entries:
            for block in blocks(tensors[entry.name]):
                data = _bytes_of(block, entry)
                crc = zlib.crc32(data, crc)
                file.write(data)
        # The one thing that is known at the end alone stands at the beginning.
        file.seek(8 + header.CRC_AT.start)
        file.write(b"%08x" % crc)


def _bytes_of(array: np.ndarray, entry: Entry) -> memoryview:
    little = np.ascontiguousarray(array).astype(entry.numpy_dtype, copy=False)
    return little.reshape(-1).view(np.uint8).data


def load(path: str | os.PathLike[str] | Held) -> Graph:
    """The checked graph in a file; its arrays are read-only. Raises as `load_checked`."""
    return load_checked(path).graph


def load_checked(path: str | os.PathLike[str] | Held) -> Checked:
    """The graph in a file, with the shapes of its values; its arrays are read-only.

    Raises FormatError naming the part of the file that breaks a rule of docs/format.md, UnsupportedError for a
    node or activation this version does not know, FileError if it cannot be read, OutOfMemoryError.
    """
    try:
        with open_regular(path, buffering=0) as file:
            return _read(file)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{path}: not enough memory for its tensors") from error
    except OSError as error:
        cannot_read(path, error)


def _read(file: BinaryIO) -> Checked:
    size = size_of(file)
    prefix = _read_exactly(file, 8, "header length")
    length = int.from_bytes(prefix, "little")
    header.check_length(length)
    raw = _read_exactly(file, length, "header")
    parsed = header.parse(raw)
    held = size - 8 - length
    if held != parsed.data_size:
        problem = CUT if held < parsed.data_size else "trailing bytes"
        raise FormatError(f"data: the tensors need {parsed.data_size} bytes, the file holds {held}: {problem}")
    data = _read_data(file, prefix + raw, parsed)
    return _decode(parsed, data)


def _read_exactly(file: BinaryIO, count: int, part: str) -> bytes:
    chunks, missing = [], count
    while missing and (chunk := file.read(missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    if missing:
        raise FormatError(f"{part}: needs {count} bytes, the file ends after {count - missing}: {CUT}")
    return b"".join(chunks)


def _read_data(file: BinaryIO, head: bytes, parsed: Header) -> np.ndarray:
    """The data section, at a 64-byte boundary of memory; the checksum of the whole file is checked on the way."""
    size = parsed.data_size
    block = empty((size + header.ALIGNMENT,), np.uint8)
    start = -block.ctypes.data % header.ALIGNMENT
    data = block[start:start + size]
    at = 8 + header.CRC_AT.start
    crc = zlib.crc32(head[:at] + header.CRC_ZERO + head[8 + header.CRC_AT.stop:])
    done = 0
    for chunk in _chunks(file, data.data):
        crc = zlib.crc32(chunk, crc)
        done += len(chunk)
    if done < size:
        raise FormatError(f"data: the tensors need {size} bytes, the file ends after {done}: {CUT}")
    if f"{crc:08x}" != parsed.crc32:
        raise FormatError(f"crc32: the file says {parsed.crc32}, its bytes give {crc:08x}: it is damaged")
    return data


def _chunks(file: BinaryIO, view: memoryview) -> Iterator[memoryview]:
    """The parts of `view` as they are filled from the file, up to its end. A large file is read by a second thread:
    taking the checksum costs about as much as reading, and neither needs the interpreter."""
    parts: Iterator[memoryview] = _read_parts(file, view)
    if len(view) < THREAD_FROM:
        yield from parts
        return
    import queue
    import threading

    ready: queue.SimpleQueue[memoryview | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for part in parts:
                ready.put(part)
            ready.put(None)
        except BaseException as error:             # of whatever kind: the caller's thread raises it
            ready.put(error)

    thread = threading.Thread(target=read, name="lstm-engine reader", daemon=True)
    thread.start()
    try:
        while (part := ready.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part
    finally:
        thread.join()                              # it uses the file, which the caller closes


def _read_parts(file: BinaryIO, view: memoryview) -> Iterator[memoryview]:
    done = 0
    while done < len(view) and (count := file.readinto(view[done:done + CHUNK])):  # type: ignore[attr-defined]
        yield view[done:done + count]
        done += count


def _decode(parsed: Header, data: np.ndarray) -> Checked:
    config: dict[str, Any] = parse_object(parsed.config, "config")
    try:
        spelling = header.canonical(config)
    except ValueError:
        spelling = ""
    if spelling != parsed.config:
        raise FormatError("config: must be canonical JSON (sorted keys, no spaces, no needless escapes)")
    arrays = {entry.name: _array(entry, data) for entry in parsed.entries}
    unused = dict.fromkeys(arrays)

    def tensor(name: str) -> np.ndarray:
        unused.pop(name, None)
        return arrays[name]

    graph = decode(config, tensor)
    if unused:
        raise FormatError(f"header: tensor {next(iter(unused))!r:.200} belongs to no node of the config")
    _check_version(parsed, config)
    wanted = bfloat16_names(config)
    for entry in parsed.entries:
        if (entry.dtype == "BF16") != (entry.name in wanted):
            raise FormatError(f"header: tensor {entry.name!r:.200} is {entry.dtype}; BF16 is for the values of "
                              "bfloat16 weights, all of them and nothing else")
    try:
        found = checked(graph)
    except GraphError as error:
        raise FormatError(f"config: {error}") from error
    except UnsupportedError as error:
        raise UnsupportedError(f"config: {error}") from error
    if header.canonical(encode(graph)[0]) != parsed.config:
        raise FormatError("config: a tensor is not called after the node and field it belongs to")
    return found


def _version(config: dict[str, Any]) -> int:
    """The first version that has what is in a configuration."""
    if has_loops(config) or reads_texts(config):
        return header.LOOPS
    return header.QUANTIZED if is_quantized(config) else header.FLOAT


def _check_version(parsed: Header, config: dict[str, Any]) -> None:
    """Check the versions of a file by what it holds; a newer writer's own version may be any."""
    needed = _version(config)
    for key, got in (("min_reader", parsed.min_reader), ("version", parsed.version)):
        if got < needed or (got > needed and parsed.version <= header.VERSION):
            held = {header.FLOAT: "no quantised weights", header.QUANTIZED: "quantised weights"}.get(
                needed, "loops or readings of texts")
            raise FormatError(f"header: {key} must be {needed} in a file of {held}, got {got}")


def _array(entry: Entry, data: np.ndarray) -> np.ndarray:
    raw = data[entry.begin:entry.end]
    if entry.dtype == "BOOL" and raw.size and raw.max() > 1:
        raise FormatError(f"data: tensor {entry.name!r:.200} is BOOL, its bytes must be 0 or 1")
    array = raw.view(entry.numpy_dtype).reshape(entry.shape)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array
