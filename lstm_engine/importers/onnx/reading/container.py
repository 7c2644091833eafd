"""Reads the container: a file or a live message becomes an `OnnxModel` with every tensor as an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....data_types import DATA_TYPES, OTHER_TYPES
from ....errors import FileError, FormatError, UnsupportedError
from ....files import ModelFile, cannot_read
from ....graph.nodes import BFLOAT16, Dim, Value, dtype_name
from ....limits import Limits
from ...reading import sandbox
from ...reading.inside import Folders
from ..model import UNKNOWN_RANK, Attribute, OnnxFunction, OnnxGraph, OnnxModel, OnnxNode, Reference, Unknown
from . import proto
from .described import check
from .external import ExternalData

OLDEST_OPSET = 7          # before it, broadcasting was an attribute
_PARSER = f"{proto.__name__}:parse"

Load = Callable[[str, dict[str, Any]], np.ndarray]


def read_file(path: ModelFile, data_folder: str | None, limits: Limits) -> OnnxModel:
    """The model in a file. data_folder: where its external data is looked for before the folder of the file. limits:
    what there may be of that.

    Raises FormatError, UnsupportedError, FileError, LimitError, MissingDependencyError.
    """
    folders = _folders(path if isinstance(path, Path) else None, data_folder)
    return described_model(path, *sandbox.run(_PARSER, path, what="the ONNX (protobuf) parser"),
                           ExternalData(folders, limits))


def described_model(path: ModelFile, described: dict[str, Any], arrays: Mapping[str, np.ndarray],
                    external: ExternalData) -> OnnxModel:
    """The model that the parser found in the file at `path`. Raises as `read_file`."""
    def build() -> OnnxModel:
        check(described, arrays)
        return _model(described, arrays, external,
                      "bytes lie in no folder; say where it is with data_folder=..., or convert the path")
    return _named(path, build)


def read_message(message: Any, data_folder: str | None, limits: Limits) -> OnnxModel:
    """The model of a live onnx.ModelProto, whose tensors must have been loaded into it or lie in `data_folder`."""
    described, lazy = proto.describe(message)
    return _model(described, {name: np.asarray(array) for name, array in lazy.items()},
                  ExternalData(_folders(None, data_folder), limits),
                  "load the model with onnx.load(path), convert the path, or say where it is with data_folder=...")


def _folders(model: Path | None, data_folder: str | None) -> Folders:
    try:
        return Folders(model, data_folder)
    except (OSError, ValueError) as error:
        cannot_read(data_folder if data_folder is not None else model, error)


def _named(path: ModelFile, build: Callable[[], OnnxModel]) -> OnnxModel:
    """Put the path before messages about what the file holds."""
    try:
        return build()
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error
    except FileError as error:
        raise FileError(error.errno, f"{path}: {error.strerror}") from error


def _model(described: dict[str, Any], arrays: Mapping[str, np.ndarray], external: ExternalData, advice: str
           ) -> OnnxModel:
    """advice: what to do where there is external data and no folder for it."""
    def load(name: str, tensor: dict[str, Any]) -> np.ndarray:
        dtype = tensor["dtype"]
        if "array" in tensor:
            array = arrays[tensor["array"]]
        elif not external.folders:
            raise FormatError(f"tensor {name!r}: its external data was not loaded; {advice}")
        else:
            array = external.read(name, proto.AS_BITS.get(dtype, dtype), tensor["dims"], tensor["external"])
        return array.view(BFLOAT16) if dtype == "bfloat16" else array

    opsets = described["opsets"]
    _check_opset("the model", opsets)
    functions: dict[tuple[str, str, str], OnnxFunction] = {}
    for entry in described["functions"]:
        key = entry["domain"], entry["name"], entry["overload"]
        if key in functions:
            raise FormatError(f"function {'.'.join(filter(None, key))!r} is there twice")
        functions[key] = _function(entry, load)
    return OnnxModel(_graph(described["graph"], load, opsets), functions, described["producer"], opsets[""])


def _check_opset(asking: str, opsets: dict[str, int]) -> None:
    """Raise UnsupportedError for operators of ONNX's own in versions that mean something else, or in none."""
    opset = opsets.get("", 0)
    if opset < OLDEST_OPSET:
        raise UnsupportedError(f"{asking} asks for version {opset} of ONNX's operators; "
                               f"versions from {OLDEST_OPSET} on are supported")


def _function(described: dict[str, Any], load: Load) -> OnnxFunction:
    if "" in described["opsets"] or any(not node["domain"] for node in described["nodes"]):
        _check_opset(f"function {described['name']!r}", described["opsets"])
    defaults = {name: _attribute(value, load, described["opsets"]) for name, value in described["defaults"].items()}
    nodes = [_node(node, load, described["opsets"]) for node in described["nodes"]]
    return OnnxFunction(tuple(described["inputs"]), tuple(described["outputs"]), nodes, defaults)


def _graph(described: dict[str, Any], load: Load, opsets: dict[str, int]) -> OnnxGraph:
    tensors = {name: load(name, tensor) for name, tensor in described["tensors"].items()}
    for name, data_type, dims in described["inputs"]:
        if name in tensors:
            _check_initial(name, data_type, dims, tensors[name])
    inputs = [_value(*value) for value in described["inputs"] if value[0] not in tensors]
    nodes = [_node(node, load, opsets) for node in described["nodes"]]
    return OnnxGraph(nodes, tensors, inputs, [name for name, *_ in described["outputs"]])


def _check_initial(name: str, data_type: int, dims: list[Dim | None] | None, array: np.ndarray) -> None:
    """Raise FormatError for a tensor that is also an input, and as that of another type or other sizes."""
    fits = dims is None or len(dims) == array.ndim and all(
        type(dim) is not int or dim == size for dim, size in zip(dims, array.shape))
    own = dtype_name(array.dtype)
    if not fits or data_type and (DATA_TYPES | OTHER_TYPES).get(data_type) != own:
        raise FormatError(f"tensor {name!r} is {own} {list(array.shape)}; as an input of the graph it is "
                          f"{DATA_TYPES.get(data_type, f'data type {data_type}')} {dims}")


def _value(name: str, data_type: int, dims: list[Dim | None] | None) -> Value:
    """A value with its symbols; a size that is not given gets a symbol made from the name and axis."""
    dtype = DATA_TYPES.get(data_type, f"data type {data_type}")
    if dims is None:
        return Value(name, (), f"{dtype}{UNKNOWN_RANK}")
    return Value(name, tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(dims)), dtype)


def _node(described: dict[str, Any], load: Load, opsets: dict[str, int]) -> OnnxNode:
    attributes = {name: _attribute(value, load, opsets) for name, value in described["attributes"].items()}
    return OnnxNode(described["name"], described["op"], tuple(described["inputs"]), tuple(described["outputs"]),
                    attributes, domain=described["domain"], opset=opsets.get(described["domain"], 0),
                    overload=described["overload"])


def _attribute(encoded: list[Any], load: Load, opsets: dict[str, int]) -> Attribute:
    kind, value = encoded
    if kind == "t":
        return load("of an attribute", value)
    if kind == "g":
        return _graph(value, load, opsets)
    if kind == "r":
        return Reference(value)
    if kind == "?":
        return Unknown(value)
    return tuple(value) if isinstance(value, list) else value
