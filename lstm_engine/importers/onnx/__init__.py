"""ONNX models: files and live onnx.ModelProto messages."""

from __future__ import annotations

from pathlib import Path

from ...graph import Graph
from ..base import ImportOptions

name = "onnx"
suffixes = (".onnx",)


def claims(path: Path, head: bytes) -> bool:
    """By name; or by the bytes exporters begin with: field 1 (the version, a small number), then a plausible field."""
    if path.suffix.lower() in suffixes:
        return True
    # Fields 2 producer_name, 3 producer_version, 4 domain, 7 graph, 8 opset_import, each a string or message.
    return len(head) > 8 and head[0] == 8 and 1 <= head[1] < 64 and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42) \
        and head[8:9] != b"{"


def claims_live(source: object) -> bool:
    """Whether `source` is an onnx.ModelProto."""
    kind = type(source)
    return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"


def read(path: Path, options: ImportOptions) -> Graph:
    """The graph of an ONNX file.

    options.spec may say what the file leaves open: {"fixed": {input: value}} makes an input a constant (an If on
    it can then be decided), {"shapes": {input: [sizes]}} gives sizes to an input's symbols.
    Raises FormatError, UnsupportedError, FileError, MissingDependencyError.
    """
    from .mapping.to_graph import to_graph
    from .reading.container import read_file

    return to_graph(read_file(path), options, str(path))


def read_live(source: object, options: ImportOptions) -> Graph:
    """The graph of an onnx.ModelProto; options as in `read`."""
    from .mapping.to_graph import to_graph
    from .reading.container import read_message

    return to_graph(read_message(source), options, "")
