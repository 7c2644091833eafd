"""Describes an ONNX protobuf message as plain data: dicts, lists and arrays that JSON and bytes can carry.

For files this runs in the sandbox's child process only. A live message is described by the same code. Nothing
here knows what an operator means.

A tensor is {"dtype", "dims"} with either "array" (its name among the arrays) or "external" (where the file says
its bytes are). An attribute is [kind, value]: "i", "f", "s", "is", "fs", "ss", "t", "g", "r" (the name of an
attribute of the function around the node) or "?" (a kind that is not supported, named). A graph is {"name",
"nodes", "tensors", "inputs", "outputs"}; a value is [name, element type, dims], a dim an int, a symbol, or None.
"""

from __future__ import annotations

import importlib
import io
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from itertools import zip_longest
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from ....data_types import DATA_TYPES, OTHER_TYPES
from ....errors import CUT, FormatError, MissingDependencyError, UnsupportedError
from ...reading.answer import ITEM_BYTES, can_be
from ...reading.protobuf import number_at
from .outline import Left, outline

if TYPE_CHECKING:
    import numpy as np

MAX_DEPTH = 16            # of graphs inside attributes of nodes
MAX_RANK = 16             # of a tensor
MAX_FIELDS = 100_000      # of a whole model, looked through where the parser gave up
_BYTES = {0: 0, 1: 8, 2: 0, 5: 4}       # of a field by the kind in its key, where no number in front says how many
EXTERNAL = 1              # TensorProto.DataLocation
AS_BITS = {"bfloat16": "uint16"}        # types that NumPy lacks, as arrays of what

# The field of a TensorProto that holds its elements where raw_data does not; of all other dtypes it is int32_data.
_FIELDS = {"float32": "float_data", "float64": "double_data", "int64": "int64_data", "uint32": "uint64_data",
           "uint64": "uint64_data"}
# The type of numbers in such a field, and its code in `array`; of the floats of 16 bits there are the bits.
_STORED = {"bool": ("bool", "B"), "int8": ("int8", "b"), "uint8": ("uint8", "B"), "int16": ("int16", "h"),
           "uint16": ("uint16", "H"), "int32": ("int32", "i"), "uint32": ("uint32", "I"), "int64": ("int64", "q"),
           "uint64": ("uint64", "Q"), "float16": ("uint16", "H"), "bfloat16": ("uint16", "H"),
           "float32": ("float32", "f"), "float64": ("float64", "d")}
_ATTRIBUTES: dict[int, tuple[str, Callable[[Any], Any]]] = {
    1: ("f", lambda a: float(a.f)), 2: ("i", lambda a: int(a.i)), 3: ("s", lambda a: _text(a.s)),
    6: ("fs", lambda a: [float(v) for v in a.floats]), 7: ("is", lambda a: [int(v) for v in a.ints]),
    8: ("ss", lambda a: [_text(v) for v in a.strings]),
}
_ATTRIBUTE_NAMES = {9: "tensors", 10: "graphs", 11: "sparse_tensor", 12: "sparse_tensors", 13: "type_proto",
                    14: "type_protos"}
# The field of an AttributeProto that holds what its type says, and those that say something about it.
_HELD_IN = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings", 13: "tp"} | _ATTRIBUTE_NAMES
_ABOUT = {"name", "doc_string", "type", "ref_attr_name"}


def make_ready() -> None:
    """Load what `parse` needs; after it nothing has to be opened. Raises MissingDependencyError."""
    model = _model_class()()
    model.graph.name = "ready"
    parse(io.BytesIO(model.SerializeToString()))


def parse(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """(description, arrays) of a file; see `describe`. Raises FormatError, MissingDependencyError."""
    model_class = _model_class()
    from google.protobuf.message import DecodeError

    if (plain := outline(file)) is not None:
        try:
            model = model_class.FromString(plain[0])
        except DecodeError:
            model = None
        if model is not None and len(model.graph.initializer) == len(plain[1]):
            return describe(model, plain[1])
        file.seek(0)
    data = file.read()
    try:
        model = model_class.FromString(data)
    except DecodeError as error:
        if _ends_early(data):
            raise FormatError(f"not an ONNX model, or a damaged one: {CUT}") from error
        raise FormatError(f"not an ONNX model, or a damaged one: {error}") from error
    del data                        # the model has it a second time
    return describe(model)


def _ends_early(data: bytes) -> bool:
    """Whether the last field of a message says that it is longer than what is left, all before it being well formed."""
    position = 0
    for _ in range(MAX_FIELDS):
        if position == len(data):
            return False
        key, position = number_at(data, position)
        kind = key & 7
        if kind not in _BYTES:
            return False
        number, position = number_at(data, position) if kind in (0, 2) else (0, position)
        position += number if kind == 2 else _BYTES[kind]
        if position > len(data):
            return True
    return False


@cache                      # `parse` can import nothing
def _model_class() -> Any:
    try:
        return getattr(sys.modules.get("onnx"), "ModelProto", None) or _messages_alone() \
            or importlib.import_module("onnx").ModelProto
    except ImportError as error:
        raise MissingDependencyError("reading ONNX files needs onnx: pip install 'lstm-engine[onnx]'") from error


def _messages_alone() -> Any:
    """onnx.ModelProto without the package around it, which loads NumPy and ten times as much as a message needs; None
    where that is not how this onnx is made."""
    found = PathFinder.find_spec("onnx")
    if found is None or found.submodule_search_locations is None:
        return None
    package = ModuleType("onnx")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["onnx"] = package
    try:
        return importlib.import_module("onnx.onnx_pb").ModelProto
    except (ImportError, AttributeError):
        return None
    finally:                # whoever imports onnx later in this process gets all of it
        for name in [name for name in sys.modules if name == "onnx" or name.startswith("onnx.")]:
            del sys.modules[name]


def describe(model: Any, left: Sequence[Left | None] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """(description, arrays) of a ModelProto. An array has `shape`, `dtype`, `pieces` and `__array__`. left: for each
    initializer of its graph the raw data that was left in a file, if any was.

    Raises FormatError for a message that lacks its parts or a tensor whose bytes do not fit its dims,
    UnsupportedError for types of data that NumPy does not have.
    """
    if not model.HasField("graph"):
        raise FormatError("not an ONNX model, or a damaged one: it holds no graph")
    arrays: dict[str, Any] = {}
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opsets": _opsets(model.opset_import),
        "graph": _graph(model.graph, arrays, 0, left),
        "functions": [_function(function, arrays) for function in model.functions],
    }, arrays


def _opsets(imports: Iterable[Any]) -> dict[str, int]:
    return {_domain(entry.domain): int(entry.version) for entry in imports}


def _domain(name: str) -> str:
    """A domain of operators; ONNX's own has two names."""
    return "" if name == "ai.onnx" else name


def _function(function: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    try:
        defaults = _attributes(function.attribute_proto, arrays, 0)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"function {function.name!r}: {error}") from error
    return {"domain": _domain(function.domain), "name": function.name, "overload": function.overload,
            "opsets": _opsets(function.opset_import), "inputs": list(function.input), "outputs": list(function.output),
            "defaults": defaults, "nodes": [_node(node, arrays, 0) for node in function.node]}


def _graph(graph: Any, arrays: dict[str, Any], depth: int, left: Sequence[Left | None] = ()) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise FormatError(f"graphs are nested more than {MAX_DEPTH} deep")
    if len(graph.sparse_initializer):
        raise UnsupportedError(f"graph {graph.name!r}: sparse initializers are not supported")
    tensors: dict[str, dict[str, Any]] = {}
    for tensor, raw in zip_longest(graph.initializer, left):
        if tensor.name in tensors:
            raise FormatError(f"tensor {tensor.name!r} is stored twice")
        tensors[tensor.name] = _tensor(tensor, tensor.name, arrays, raw)
    inputs = {value.name: _value(value, depth) for value in graph.input}
    if len(inputs) != len(graph.input):
        raise FormatError(f"graph {graph.name!r}: two of its inputs have one name")
    return {"name": graph.name, "tensors": tensors, "nodes": [_node(node, arrays, depth) for node in graph.node],
            "inputs": list(inputs.values()), "outputs": [_value(value, depth) for value in graph.output]}


def _value(value: Any, depth: int) -> list[Any]:
    kind = value.type.WhichOneof("value")
    if kind == "sequence_type" and depth:           # what goes from turn to turn of a loop is what it is given
        return [value.name, 0, None]
    if kind not in (None, "tensor_type"):
        raise UnsupportedError(f"value {value.name!r} is a {kind.removesuffix('_type')}; only tensors are supported")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return [value.name, int(tensor.elem_type), None]
    dims = []
    for dim in tensor.shape.dim:
        which = dim.WhichOneof("value")
        size = int(dim.dim_value) if which == "dim_value" else None
        dims.append(size if size is not None and size >= 0 else dim.dim_param or None)
    return [value.name, int(tensor.elem_type), dims]


def _node(node: Any, arrays: dict[str, Any], depth: int) -> dict[str, Any]:
    try:
        attributes = _attributes(node.attribute, arrays, depth)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"node {node.name!r} ({node.op_type}): {error}") from error
    return {"name": node.name, "op": node.op_type, "domain": _domain(node.domain), "overload": node.overload,
            "inputs": list(node.input), "outputs": list(node.output), "attributes": attributes}


def _attributes(given: Iterable[Any], arrays: dict[str, Any], depth: int) -> dict[str, list[Any]]:
    """Attributes by name. Raises FormatError for one that is there twice: which of them would be meant?"""
    found: dict[str, list[Any]] = {}
    for attribute in given:
        if attribute.name in found:
            raise FormatError(f"attribute {attribute.name!r} is there twice")
        found[attribute.name] = _attribute(attribute, arrays, depth)
    return found


def _attribute(attribute: Any, arrays: dict[str, Any], depth: int) -> list[Any]:
    kind = int(attribute.type) or (0 if attribute.ref_attr_name else _untyped(attribute))
    held = {field.name for field, _ in attribute.ListFields()} - _ABOUT
    # A number that is 0 need not be written, so a field may be missing; another one in its place is a contradiction.
    if odd := sorted(held - (set() if attribute.ref_attr_name else {_HELD_IN.get(kind)})):
        raise FormatError(f"attribute {attribute.name!r} holds {odd[0]!r}, which its type ({kind}) does not say")
    if attribute.ref_attr_name:
        return ["r", attribute.ref_attr_name]
    if kind in _ATTRIBUTES:
        code, value = _ATTRIBUTES[kind]
        return [code, value(attribute)]
    if kind == 4:
        return ["t", _tensor(attribute.t, f"attribute {attribute.name!r}", arrays)]
    if kind == 5:
        return ["g", _graph(attribute.g, arrays, depth + 1)]
    return ["?", _ATTRIBUTE_NAMES.get(kind, f"type {kind}")]


def _untyped(attribute: Any) -> int:
    """The kind of an attribute of the first days of the format, which did not say it."""
    for kind, field in ((1, "f"), (2, "i"), (3, "s"), (4, "t"), (5, "g")):
        if attribute.HasField(field):
            return kind
    return 6 if attribute.floats else 8 if attribute.strings else 7


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError("a string attribute is not UTF-8 text") from None


def _tensor(tensor: Any, label: str, arrays: dict[str, Any], left: Left | None = None) -> dict[str, Any]:
    """The description of one tensor; its elements are put among the arrays, or left to be read later. left: its raw
    data, where that is still in the file."""
    where = f"tensor {label!r}" if not label.startswith("attribute ") else label
    number = int(tensor.data_type)
    dims = [int(dim) for dim in tensor.dims]
    if any(dim < 0 for dim in dims) or len(dims) > MAX_RANK:
        raise FormatError(f"{where}: dims {dims[:MAX_RANK]} are not a shape")
    dtype = DATA_TYPES.get(number) or OTHER_TYPES.get(number, str(number))
    if number not in DATA_TYPES and dtype not in AS_BITS:
        raise UnsupportedError(f"{where}: elements of type {dtype} are not supported; "
                               f"supported: {', '.join((*DATA_TYPES.values(), *AS_BITS))}")
    if tensor.HasField("segment"):
        raise UnsupportedError(f"{where}: tensors in segments are not supported")
    field = _FIELDS.get(dtype, "int32_data")
    count = math.prod(dims)
    if not can_be(dims):
        raise FormatError(f"{where}: the size of dims {dims} overflows")
    described: dict[str, Any] = {"dtype": dtype, "dims": dims}
    if tensor.data_location == EXTERNAL:
        described["external"] = {entry.key: entry.value for entry in tensor.external_data}
        if len(described["external"]) != len(tensor.external_data):
            raise FormatError(f"{where}: its external data says something twice")
        return described
    needed = count * ITEM_BYTES[AS_BITS.get(dtype, dtype)]
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data) if left is None else left.size
        if held != needed:
            raise FormatError(f"{where}: dims {dims} of {dtype} need {needed} bytes, raw_data has {held}")
    elif len(getattr(tensor, field)) != count:
        raise FormatError(f"{where}: dims {dims} need {count} elements, {field} has {len(getattr(tensor, field))}")
    described["array"] = f"t{len(arrays)}"
    arrays[described["array"]] = _Elements(tensor, where, dtype, tuple(dims), field, left)
    return described


class _Elements:
    """The elements of a tensor, read when they are asked for: only one copy at a time is in memory."""

    def __init__(self, tensor: Any, where: str, dtype: str, shape: tuple[int, ...], field: str, left: Left | None
                 ) -> None:
        self.tensor, self.where, self.field, self.left = tensor, where, field, left
        self.stored, self.dtype, self.shape = dtype, AS_BITS.get(dtype, dtype), shape

    def pieces(self, most: int) -> Iterator[bytes]:
        """Their bytes in C order, little-endian; where they are still in the file, so many at a time.

        Raises FormatError for numbers that are none of the type."""
        if self.left is not None:
            yield from self.left.pieces(most)
        else:
            yield self._whole()

    def _whole(self) -> bytes:
        if self.tensor.HasField("raw_data"):
            return bytes(self.tensor.raw_data)
        kind, code = _STORED[self.stored]
        try:
            numbers = array(code, getattr(self.tensor, self.field))
        except OverflowError:
            numbers = None
        if numbers is None or kind == "bool" and max(numbers, default=0) > 1:
            raise FormatError(f"{self.where}: {self.field} holds numbers beyond {kind}")
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        import numpy as np

        little = np.frombuffer(b"".join(self.pieces(1 << 24)), np.dtype(self.dtype).newbyteorder("<"))
        return little.astype(self.dtype, copy=False).reshape(self.shape)
