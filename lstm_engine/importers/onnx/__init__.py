"""ONNX models: files and live onnx.ModelProto messages."""

from __future__ import annotations

import codecs

from ...files import ModelFile
from ...graph import Graph
from ..base import ImportOptions
from ..reading.protobuf import number_at

name = "onnx"
suffixes = (".onnx",)
own_options = ("data_folder",)

# Tags of a ModelProto's fields: producer_name, producer_version and domain, which are texts, and doc_string, which may
# have lines; model_version; and the graph or opset_import, which every model has.
_NAMES, _DOC, _NUMBER, _MESSAGES = (0x12, 0x1A, 0x22), 0x32, 0x28, (0x3A, 0x42)


def knows(head: bytes) -> bool:
    """By what exporters begin with: field 1 (the version, a small number), then a plausible field."""
    if len(head) < 8 or head[0] != 8 or not 1 <= head[1] < 64 or head[8:9] == b"{":
        return False
    if head[2] in _MESSAGES:
        return True
    number, end = number_at(head, 3)
    if head[2] == _NUMBER:
        return end < len(head) and head[end] in (_DOC, *_MESSAGES)
    # In others' models a message stands where ONNX has a text.
    if head[2] not in (*_NAMES, _DOC):
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head[end:end + number])      # it may end within a letter
    except UnicodeDecodeError:
        return False
    return (" ".join(text.split()) if head[2] == _DOC else text).isprintable()


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

    return to_graph(read_file(path, options.data_folder, options.limits), options, str(path))


def read_live(source: object, options: ImportOptions) -> Graph:
    """The graph of an onnx.ModelProto; options as in `read`."""
    from .mapping.to_graph import to_graph
    from .reading.container import read_message

    return to_graph(read_message(source, options.data_folder, options.limits), options, "")
