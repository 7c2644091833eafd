"""`*.lstm` files built by hand, so that a test can break one rule at a time."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from graphs import one_node, weights

from lstm_engine.format import encode
from lstm_engine.graph import Dense, Graph

CRC_AT = 8 + len('{"__metadata__":{"crc32":"')
ALIGNMENT = 64


def tiny() -> Graph:
    """A graph of two tensors: d.bias at 0 and d.kernel after it."""
    return one_node(Dense(name="d", inputs=("x",), outputs=("y",), kernel=weights(3, 2), bias=weights(2)))


def config_text(graph: Graph) -> str:
    return canonical(encode(graph)[0])


def canonical(config: Any) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parts(graph: Graph) -> tuple[dict[str, Any], bytes]:
    """The header as data and the data section of a graph whose tensors are all float32."""
    config, tensors = encode(graph)
    header: dict[str, Any] = {"__metadata__": {"crc32": "0" * 8, "format": "lstm-engine", "version": "1",
                                               "min_reader": "1", "config": canonical(config)}}
    data = b""
    for name in sorted(tensors):
        raw = tensors[name].astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return header, data


def assemble(header: Mapping[str, Any] | str, data: bytes, *, seal: bool = True) -> bytes:
    """The bytes of a file; `seal` puts in the checksum that those bytes have."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    raw = text.encode("utf-8", "surrogatepass")
    raw += b" " * (-(8 + len(raw)) % ALIGNMENT)
    return sealed(len(raw).to_bytes(8, "little") + raw + data) if seal else len(raw).to_bytes(8, "little") + raw + data


def sealed(file: bytes) -> bytes:
    zeroed = file[:CRC_AT] + b"0" * 8 + file[CRC_AT + 8:]
    return file[:CRC_AT] + b"%08x" % zlib.crc32(zeroed) + file[CRC_AT + 8:]


def broken(path: Path, change: Callable[[dict[str, Any], bytearray], str | None]) -> Path:
    """A file of `tiny` whose header and data `change` has edited (or whose header text it returns), resealed."""
    header, data = parts(tiny())
    editable = bytearray(data)
    text = change(header, editable)
    path.write_bytes(assemble(header if text is None else text, bytes(editable)))
    return path


class File:
    """A file taken apart: its header as JSON, its config, its tensors as bytes."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        self.header = json.loads(raw[8:8 + length])
        self.config = json.loads(self.header["__metadata__"]["config"])
        data = raw[8 + length:]
        self.tensors = {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
                        for name, entry in self.header.items() if name != "__metadata__"}

    @property
    def node(self) -> dict:
        return self.config["nodes"][0]

    def array(self, name: str, dtype: str) -> np.ndarray:
        return np.frombuffer(self.tensors[name][2], dtype).copy()

    def replace(self, name: str, array: np.ndarray, dtype: str | None = None, shape: list[int] | None = None) -> None:
        was = self.tensors[name]
        self.tensors[name] = dtype or was[0], was[1] if shape is None else shape, array.tobytes()

    def write(self, path: Path) -> Path:
        metadata = {**self.header["__metadata__"], "crc32": "0" * 8, "config": canonical(self.config)}
        sizes = {"I64": 8, "F32": 4, "U32": 4, "F16": 2, "BF16": 2, "U16": 2, "I8": 1, "U8": 1}
        header, data = {"__metadata__": metadata}, b""
        for name, (dtype, shape, raw) in sorted(self.tensors.items(), key=lambda item: (-sizes[item[1][0]], item[0])):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        path.write_bytes(assemble(header, data))
        return path
