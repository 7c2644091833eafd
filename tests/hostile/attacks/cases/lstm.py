"""The engine's own files: a strict safetensors profile under a checksum."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from lstm_files import File, assemble, canonical, parts, sealed, tiny
from quantized_models import as_quantized

from lstm_engine.errors import FileError, FormatError, UnsupportedError
from lstm_engine.format import save

from .. import uses
from ..attack import Table

AUDIT = "Trail of Bits' audit of safetensors, 2023"


def good(folder: Path) -> Path:
    save(tiny(), folder / "model.lstm")
    return folder / "model.lstm"


# x of 2 rows and 3 steps of ones.
ANSWER = np.ones((2, 3, 3), np.float32) @ tiny().nodes[0].kernel + tiny().nodes[0].bias

TABLE = Table(".lstm", "model.lstm", good, uses.load)
refuse = TABLE.refuse


def whole() -> bytes:
    return assemble(*parts(tiny()))


def edited(edit: Any) -> bytes:
    """The file of `tiny` after an edit of its header and data, under a right checksum."""
    header, data = parts(tiny())
    editable = bytearray(data)
    text = edit(header, editable)
    return assemble(header if text is None else text, bytes(editable))


def entry(**changes: Any) -> bytes:
    return edited(lambda header, _: header["d.kernel"].update(changes))


def text(old: str, new: str) -> bytes:
    """The header as text, with one part of it replaced."""
    def edit(header: dict, _: bytearray) -> str:
        written = json.dumps(header, separators=(",", ":"))
        assert old in written
        return written.replace(old, new, 1)
    return edited(edit)


def config(edit: Any) -> bytes:
    def change(header: dict, _: bytearray) -> None:
        record = json.loads(header["__metadata__"]["config"])
        edit(record)
        header["__metadata__"]["config"] = canonical(record)
    return edited(change)


def flipped() -> bytes:
    raw = bytearray(whole())
    raw[-2] ^= 0x40
    return bytes(raw)


def many_nodes(record: dict) -> None:
    """As many nodes as the header holds, each of one activation."""
    node = {"op": "Activate", "activation": "tanh"}
    record["nodes"] += [{**node, "name": f"n{i}", "inputs": [f"n{i - 1}" if i else "y"], "outputs": [f"n{i}"]}
                        for i in range(60_000)]
    record["outputs"] = ["n59999"]


def not_numbers(folder: Path) -> Path:
    graph = tiny()
    graph.nodes[0].kernel[:] = np.nan
    save(graph, folder / "model.lstm")
    return folder / "model.lstm"


def quantized(edit: Any) -> Any:
    """A maker of the file of `tiny` in int8 after an edit of its parts, under a right checksum."""
    def make(folder: Path) -> Path:
        save(as_quantized(tiny(), "int8"), folder / "model.lstm")
        file = File(folder / "model.lstm")
        edit(file)
        return file.write(folder / "model.lstm")
    return make


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "model.lstm")
    return folder / "model.lstm"


refuse("truncated", "a broken download", lambda: whole()[:-5], FormatError,
       "data: the tensors need 32 bytes, the file holds 27: the file is truncated")
refuse("one bit of a weight flipped", "Rowhammer and faulty disks", flipped, FormatError, "it is damaged")
refuse("header length of 2^64 - 1", AUDIT, lambda: b"\xff" * 8 + whole()[8:], FormatError,
       "header length: at most 4194304 bytes, got 18446744073709551615")
refuse("a zip archive behind the tensors", "polyglot files", lambda: sealed(whole() + b"PK\5\6" + bytes(18)),
    FormatError,
       "data: the tensors need 32 bytes, the file holds 54: trailing bytes")
refuse("a key given twice", AUDIT, lambda: text('"d.kernel":', '"d.bias":'), FormatError,
       "header: the key 'd.bias' appears twice")
refuse("a hole between tensors", AUDIT, lambda: entry(data_offsets=[12, 36]), FormatError,
       "header: tensor 'd.kernel' must begin at 8, got 12: a hole")
refuse("overlapping tensors", AUDIT, lambda: entry(data_offsets=[4, 28]), FormatError,
       "header: tensor 'd.kernel' must begin at 8, got 4: an overlap")
refuse("sizes whose product is right in 64 bits alone", "integer overflow, CWE-190", lambda: entry(
    shape=[2**62 + 6, 4], data_offsets=[8, 32]), FormatError, "header: tensor 'd.kernel': the size of")
refuse("a negative size", "CWE-195", lambda: entry(shape=[-3, -2]), FormatError,
       "shape must be a list of at most 16 sizes, got [-3, -2]")
refuse("tensors of 4 TB in 500 bytes", "CVE-2026-0897", lambda: entry(shape=[2**40], data_offsets=[8, 8 + 2**42]),
       FormatError, "data: the tensors need 4398046511112 bytes, the file holds 32")
refuse("a whole number of 5,000 digits", "CVE-2020-10735", lambda: text("[3,2]", "[" + "9" * 5000 + ",2]"),
       FormatError, "header: not JSON: Exceeds the limit")
refuse("NaN where JSON has none", "RFC 8259", lambda: text("[3,2]", "[NaN,2]"), FormatError,
       "header: NaN is no JSON number")
refuse("nested 100,000 deep", "CWE-674", lambda: edited(lambda header, _: json.dumps(header, separators=(",", ":"))[:-1]
                                                        + ',"z":' + "[" * 100_000), FormatError,
       "header: nested too deeply")
refuse("a byte order mark", "parser differentials", lambda: edited(lambda header, _: "\ufeff" + json.dumps(header)),
       FormatError, "header: must begin with")
refuse("a lone surrogate in a name", "CWE-176", lambda: text('"d.kernel":', '"\\ud800":'), FormatError,
       "header: must be in canonical form")
refuse("a name that clears the terminal", "CWE-150, terminal escapes", lambda: edited(lambda header,
    data: header.update(
    {"\x1b[2J": {"dtype": "I8", "shape": [0], "data_offsets": [32, 32]}})), FormatError,
       r"header: tensor '\x1b[2J' belongs to no node of the config")
refuse("a layer with code", "CVE-2024-3660", lambda: config(lambda c: c["nodes"][0].update(op="Lambda")),
       UnsupportedError, "config: nodes[0] ('d', 'Lambda'): op is not known; known: ")
refuse("a file of a later version", "downgrade and confusion of versions", lambda: edited(
    lambda header, _: header["__metadata__"].update(version="9", min_reader="9")), FormatError,
       "header: min_reader is 9, this reads up to 3")
refuse("a weight of another shape than its layer", "CWE-131", lambda: entry(
    shape=[2, 3]), FormatError, "config: node 'd' (Dense): bias must be [3]")
refuse("a node that reads its own output", "CWE-835", lambda: config(lambda c: c["nodes"][0].update(inputs=["y"])),
       FormatError, "config: node 'd' (Dense): input 'y' is made neither by an earlier node")
refuse("60,000 nodes in the configuration", "CWE-400", lambda: config(many_nodes), FormatError,
       "header length: at most 4194304 bytes")
refuse("a named pipe nobody writes to", "CWE-400", fifo, FileError, "it is a named pipe; expected a file")


def scale(array: np.ndarray) -> Any:
    return quantized(lambda file: file.replace("d.kernel.scale", array, shape=[len(array)]))


refuse("a scale of 0", "CWE-369", scale(np.zeros(2, "<f4")), FormatError,
       "config: node 'd' (Dense): kernel's scale must be above 0 and finite, got 0.0 at [0]")
refuse("a scale that is NaN", "CWE-1287", scale(np.full(2, np.nan, "<f4")), FormatError,
       "config: node 'd' (Dense): kernel's scale must be above 0 and finite, got nan at [0]")
refuse("fewer scales than channels", "CWE-131", scale(np.ones(1, "<f4")), FormatError,
       "config: node 'd' (Dense): kernel's scale must be [2], one number for each output channel of [3, 2], got [1]")
refuse("an int8 of -128", "CWE-190", quantized(lambda file: file.replace("d.kernel", np.full(6, -128, "i1"))),
       FormatError, "config: node 'd' (Dense): kernel's values must be from -127 to 127, got -128")
refuse("quantised weights for readers of version 1", "downgrade and confusion of versions", quantized(
    lambda file: file.header["__metadata__"].update(version="1", min_reader="1")), FormatError,
       "header: min_reader must be 2 in a file of quantised weights, got 1")
TABLE.right("weights that are NaN", "a model may give any numbers", not_numbers, np.full((2, 3, 2), np.nan),
    "NaN, as it asks")
