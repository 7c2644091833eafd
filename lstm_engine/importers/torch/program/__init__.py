"""Programs of torch.export: what a `.pt2` archive computes, read as data, becomes a graph.

    schema      model.json -> a checked `Program`
    convert     a `Program` -> nodes in ONNX's vocabulary; operators by family: elementwise, functions, activations,
                shaping, rearranging, indexing, scattering, reductions, ranks, layers, pooling, resizing, bags,
                attention, matrices, recurrent, sequences (packed ones), sizes, special; refusals: why some have no
                meaning here
    memory      which tensors are views of which, and what a write in place does to them; views are written through in
                `views`, strides tell views from copies
    export      live modules, traced: packed makes them ready, own are the operators that torch does not look into
    then        the path of ONNX files: `importers.onnx`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from ....errors import ArgumentError, FormatError, UnsupportedError
from ....files import ModelFile, cannot_read, open_regular, size_of
from ....graph import Graph
from ....strict_json import parse_object
from ...base import ImportOptions, are
from ...onnx.mapping.to_graph import to_graph
from ...reading.weights import Entry
from ...reading.zip_archive import Archive
from ..checkpoints.exported import OLD_PROGRAM, exported_stem, read_exported, read_old
from .convert import written
from .names import named_axes
from .schema import parse

PROGRAM = {"program": "torch.export"}       # in the metadata of a graph: it is the program itself, not weights alone
MODEL = "/models/model.json"
MAX_MODEL_BYTES = 64 << 20
MOST_CONTAINERS, MOST_VALUES = 600_000, 4_000_000       # of the JSON; in memory they take some 200 bytes and 32 each


def read_program(path: ModelFile, options: ImportOptions) -> Graph | None:
    """The graph of the program in a `.pt2` archive; None if the file is none.

    Raises FileError, FormatError, UnsupportedError naming the node, ArgumentError; messages begin with the path.
    """
    try:
        with open_regular(path) as file:
            graph = _graph(file, size_of(file), options)
        if graph is None or not (fixed := fixed_sizes(graph)):
            return graph
        return replace(graph, metadata={**graph.metadata, "fixed": fixed})
    except OSError as error:
        cannot_read(path, error)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def fixed_sizes(graph: Graph) -> str:
    """The sizes of inputs that are fixed, for a message; the features of numbers, which layers fix, are left out."""
    return ", ".join(f"axis {axis} of {value.name!r} at {dim}" for value in graph.inputs
                     for axis, dim in enumerate(value.shape)
                     if isinstance(dim, int) and (axis < len(value.shape) - 1 or not value.dtype.startswith("float")))


def read_bytes(file: BinaryIO, size: int) -> Graph:
    """The graph of the program in a `.pt2` archive of `size` bytes."""
    graph = _graph(file, size, ImportOptions())
    if graph is None:
        raise FormatError("no exported program")
    return graph


def _graph(file: BinaryIO, size: int, options: ImportOptions) -> Graph | None:
    if file.read(4) != b"PK\x03\x04":
        return None
    archive = Archive(file, size)
    stem, old = exported_stem(archive), OLD_PROGRAM in archive.records
    if stem is None and not old:
        return None
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for sources that hold weights alone; an exported program says itself what "
                            "it computes")
    entries: Mapping[str, Entry]
    if stem is None:
        part, entries = OLD_PROGRAM, read_old(archive)
    else:
        tensors, storages = read_exported(archive, stem)
        part, entries = stem + MODEL, storages.entries(tensors)
    if part not in archive.records:
        raise UnsupportedError(f"an archive of torch.export without {part}; save one program with torch.export.save")
    tree = _tree(archive, part)
    graph = to_graph(written(parse(tree), lambda name: _array(entries, name)), ImportOptions())
    metadata = {name: text for name, text in graph.metadata.items() if name != "source"}
    return replace(named_axes(graph), metadata=metadata | PROGRAM)


def _tree(archive: Archive, part: str) -> dict[str, Any]:
    """The parsed JSON, if it is not one that takes far more memory than its bytes."""
    raw = archive.read(part, MAX_MODEL_BYTES)
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS or raw.count(b",") > MOST_VALUES:
        raise UnsupportedError(f"{part}: more than {MOST_CONTAINERS} lists and objects, or {MOST_VALUES} values")
    return parse_object(raw, part)


def _array(entries: Mapping[str, Entry], name: str) -> np.ndarray:
    """A weight or constant in the dtype that it is computed in."""
    if name not in entries:
        raise FormatError(f"the program names the tensor {name!r:.100}, which the archive does not hold")
    return weight_array(entries[name])


def weight_array(entry: Entry) -> np.ndarray:
    """A tensor of a file in the dtype that it is computed in."""
    array = entry.load()
    if entry.dtype == "bfloat16":           # the upper half of a float32
        wide: np.ndarray = array.astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32)
    return array.astype(np.float32) if entry.dtype == "float16" else array
