"""ONNX models: files and live onnx.ModelProto messages."""

from __future__ import annotations

from ...files import ModelFile
from ...graph import Graph
from ..base import ImportOptions

name = "onnx"
suffixes = (".onnx",)
own_options = ("data_folder",)


def knows(head: bytes) -> bool:
    """By what exporters begin with: field 1 (the version, a small number), then a plausible field."""
    if len(head) < 8 or head[0] != 8 or not 1 <= head[1] < 64 or head[8:9] == b"{":
        return False
    if head[2] in (0x3A, 0x42):            # fields 7 graph and 8 opset_import are messages
        return True
    # Fields 2 producer_name, 3 producer_version and 4 domain are texts; in others' models a message stands here.
    return head[2] in (0x12, 0x1A, 0x22) and head[3] < 128 and head[4:4 + head[3]].decode("latin-1").isprintable()


def claims_live(source: object) -> bool:
    """Whether `source` is an onnx.ModelProto."""
    kind = type(source)
    return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"


def read(path: ModelFile, options: ImportOptions) -> Graph:
    """The graph of an ONNX file.

    options.spec may say what the file leaves open: {"fixed": {input: value}} makes an input a constant (an If on
    it can then be decided), {"shapes": {input: [sizes]}} gives sizes to an input's symbols.
    options.data_folder: where external data may lie, beside the folder of the file.
    Raises FormatError, UnsupportedError, FileError, MissingDependencyError.
    """
    from .mapping.to_graph import to_graph
    from .reading.container import read_file

    return to_graph(read_file(path, options.data_folder), options, str(path))


def read_live(source: object, options: ImportOptions) -> Graph:
    """The graph of an onnx.ModelProto; options as in `read`."""
    from .mapping.to_graph import to_graph
    from .reading.container import read_message

    return to_graph(read_message(source, options.data_folder), options, "")
