"""A graph as plain data: a configuration that JSON can hold, and tensors by name.

Generic over the node dataclasses: a field marked as a tensor becomes the name of a tensor ("node.field", or the
name another node gave it where both hold the same array; of a quantised weight, an object that names two), any other
field becomes JSON by its declared type.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..errors import FormatError, UnsupportedError
from ..graph import NODE_TYPES, Activation, Graph, Node, Value
from ..graph.nodes import MOST_NESTED, Dim, Shape
from ..graph.quantized import VALUE_DTYPES, Quantized, channel_axis
from ..graph.readings import MOST_TOKENS, Reading
from ..graph.rows import Rows

Tensors = Callable[[str], np.ndarray]
Shared = dict[tuple[str, str, str, int], Quantized]        # quantised weights by type, names of tensors, and axis
MISSING = dataclasses.MISSING
TENSOR, CONSTANTS, GRAPH, PLAIN = "tensor", "constants", "graph", "plain"


def encode(graph: Graph) -> tuple[dict[str, Any], dict[str, np.ndarray | Rows]]:
    """The configuration of a valid graph and its tensors by name; the inverse of `decode`."""
    tensors: dict[str, np.ndarray | Rows] = {}
    inside = ""                             # before the names of tensors: the loops that they stand in
    kept: list[np.ndarray] = []             # so that no other array is given the id of one of these
    names: dict[int, str] = {}              # id of an array -> its name, so that a shared one is stored once

    def name_of(node: Node | Value, field: str, array: np.ndarray | Rows) -> str:
        if id(array) not in names:
            name = f"{inside}{node.name}.{field}"
            while name in tensors:              # a name of a node may have anything in it, also another's and a field
                name += "_"
            names[id(array)], tensors[name] = name, array
        return names[id(array)]

    def record_of(node: Node, field: str, weight: Any) -> Any:
        if not isinstance(weight, Quantized):
            return None if weight is None else name_of(node, field, weight)
        record = {"type": weight.type, "values": name_of(node, field, weight.values)}
        return record if weight.scale is None else {**record, "scale": name_of(node, f"{field}.scale", weight.scale)}

    def encode_node(node: Node) -> dict[str, Any]:
        record: dict[str, Any] = {"op": node.op}
        for name, field in _record(node.op).fields.items():
            value = getattr(node, name)
            if field.sort == TENSOR:
                record[name] = record_of(node, name, value)
            elif field.sort == GRAPH:
                record[name] = encode_graph(value, f"{inside}{node.name}/")
            elif field.sort == CONSTANTS:
                record[name] = {str(position): name_of(node, f"constant_{position}", array)
                                for position, array in sorted(value.items())}
            else:
                record[name] = _encode_value(value, field.hint)
        return record

    def encode_input(value: Value) -> dict[str, Any]:
        record: dict[str, Any] = {"name": value.name, "shape": list(value.shape), "dtype": value.dtype}
        if value.reading is not None:
            settings = {name: _encode_value(setting, None) for name, setting in value.reading.settings().items()}
            kept.append(joined(value.reading.vocabulary))
            record["reading"] = {"vocabulary": name_of(value, "vocabulary", kept[-1]), **settings}
        return record

    def encode_graph(graph: Graph, within: str) -> dict[str, Any]:
        nonlocal inside
        around, inside = inside, within
        nodes = [encode_node(node) for node in graph.nodes]
        inside = around
        return {"inputs": [encode_input(value) for value in graph.inputs], "nodes": nodes,
                "outputs": list(graph.outputs), "metadata": dict(graph.metadata)}

    return encode_graph(graph, ""), tensors


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether a configuration that `encode` made, or `decode` took, has quantised weights."""
    return any(True for _ in _quantized(config))


def bfloat16_names(config: Mapping[str, Any]) -> set[str]:
    """The names of the tensors of such a configuration that are the bits of bfloat16."""
    return {record["values"] for record in _quantized(config) if record["type"] == "bfloat16"}


def has_loops(config: Mapping[str, Any]) -> bool:
    """Whether such a configuration has graphs inside it."""
    return any(field.sort == GRAPH for node in config["nodes"] for field in _record(node["op"]).fields.values())


def reads_texts(config: Mapping[str, Any]) -> bool:
    """Whether such a configuration says how texts become ids."""
    return any("reading" in value for value in config["inputs"])


def _quantized(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for node in config["nodes"]:
        for name, field in _record(node["op"]).fields.items():
            if field.sort == TENSOR and isinstance(node.get(name), Mapping):
                yield node[name]
            elif field.sort == GRAPH:
                yield from _quantized(node[name])


def _encode_value(value: Any, hint: Any) -> Any:
    if isinstance(value, Activation):
        parameters = {key: float(number) for key, number in (("alpha", value.alpha), ("beta", value.beta))
                      if number is not None}
        return {"name": value.name, **parameters} if parameters else value.name
    if isinstance(value, tuple):
        return [_encode_value(item, None) for item in value]
    if isinstance(value, Mapping):
        return {key: _encode_value(item, None) for key, item in value.items()}
    if value is not None and hint in (float, float | None):
        return float(value)
    return value


def decode(config: Mapping[str, Any], tensors: Tensors) -> Graph:
    """The graph that a configuration describes; `tensors` gives the array of a name (KeyError: there is none).

    Keys whose field has a default may be left out. The graph is not validated.
    Raises FormatError naming the place for a key that is unknown or missing, a value of a wrong type, or a
    tensor that does not exist; UnsupportedError for an operation or activation that is not known.
    """
    return _decode_graph("config", config, tensors, {}, 0)


def _decode_graph(where: str, config: Any, tensors: Tensors, shared: Shared, depth: int) -> Graph:
    _check_keys(where, config, {"inputs", "nodes", "outputs"}, {"metadata"})
    if depth > MOST_NESTED:
        raise FormatError(f"{where}: graphs stand in each other more than {MOST_NESTED} deep")
    for key in ("inputs", "nodes", "outputs"):
        if not isinstance(config[key], (list, tuple)):
            _wrong(f"{where}: {key}", "a list", config[key])
    inputs = tuple(_decode_input(f"{where}: inputs[{i}]", record, tensors) for i, record in enumerate(config["inputs"]))
    nodes = tuple(_decode_node(f"{where}: nodes[{i}]", record, tensors, shared, depth)
                  for i, record in enumerate(config["nodes"]))
    outputs = _decode_value(f"{where}: outputs", config["outputs"], tuple[str, ...])
    metadata = _decode_value(f"{where}: metadata", config.get("metadata", {}), Mapping[str, str])
    return Graph(inputs, nodes, outputs, metadata)


def _decode_input(where: str, record: Any, tensors: Tensors) -> Value:
    _check_keys(where, record, {"name", "shape"}, {"dtype", "reading"})
    name = _decode_value(f"{where}: name", record["name"], str)
    return Value(name, _decode_value(f"{where}: shape", record["shape"], Shape),
                 _decode_value(f"{where}: dtype", record.get("dtype", "float32"), str),
                 _decode_reading(f"{where}: reading", name, record["reading"], tensors)
                 if "reading" in record else None)


def _decode_reading(where: str, name: str, record: Any, tensors: Tensors) -> Reading:
    hints = typing.get_type_hints(Reading)
    _check_keys(where, record, {"vocabulary"}, hints.keys() - {"vocabulary"})
    settings = {name: _decode_value(f"{where}: {name}", value, hints[name]) for name, value in record.items()
                if name != "vocabulary"}
    array = _tensor(f"{where}: vocabulary", record["vocabulary"], tensors)
    own = f"{name}.vocabulary"                  # or inputs without number could each take another's apart
    if array.dtype == np.uint8 and record["vocabulary"].rstrip("_") != own.rstrip("_"):
        raise FormatError(f"{where}: vocabulary: expected the tensor {own!r:.200}, got {record['vocabulary']!r:.200}")
    try:
        return Reading(parted(array), **settings)
    except ValueError as error:
        raise FormatError(f"{where}: vocabulary: {error}") from None


def joined(vocabulary: tuple[str, ...]) -> np.ndarray:
    """The tokens of a vocabulary as one array: UTF-8, with a zero between two."""
    return np.frombuffer("\0".join(vocabulary).encode(), np.uint8)


def parted(array: np.ndarray) -> tuple[str, ...]:
    """The inverse of `joined`. Raises ValueError for an array that is none of UTF-8."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"expected one row of uint8, got {array.dtype} {list(array.shape)}")
    if np.count_nonzero(array == 0) >= MOST_TOKENS:
        raise ValueError(f"at most {MOST_TOKENS} tokens are read")
    return tuple(array.tobytes().decode().split("\0"))


def _decode_node(where: str, record: Any, tensors: Tensors, shared: Shared, depth: int) -> Node:
    if not isinstance(record, Mapping):
        _wrong(where, "an object", record)
    op = record.get("op")
    where = f"{where} ({record.get('name')!r:.100}, {op!r:.100})"
    if not isinstance(op, str) or op not in NODE_TYPES:
        raise UnsupportedError(f"{where}: op is not known; known: {', '.join(NODE_TYPES)}")
    kind = _record(op)
    _check_keys(where, record, kind.required, kind.optional)
    values: dict[str, Any] = {}
    for name, field in kind.fields.items():
        if name not in record:
            continue
        place = f"{where}: {name}"
        if field.sort == TENSOR:
            absent = field.optional and record[name] is None
            values[name] = None if absent else _weight(place, name, record[name], shared, tensors)
        elif field.sort == CONSTANTS:
            values[name] = _decode_constants(place, record[name], tensors)
        elif field.sort == GRAPH:
            values[name] = _decode_graph(place, record[name], tensors, shared, depth + 1)
        else:
            values[name] = _decode_value(place, record[name], field.hint)
    return NODE_TYPES[op](**values)


def _decode_constants(where: str, record: Any, tensors: Tensors) -> dict[int, np.ndarray]:
    if not isinstance(record, Mapping):
        _wrong(where, "an object from positions to names of tensors", record)
    constants = {}
    for position, name in record.items():
        if not isinstance(position, str) or not (position.isascii() and position.isdigit() and len(position) < 5) \
                or str(int(position)) != position:
            _wrong(where, "positions of inputs as keys", position)
        constants[int(position)] = _tensor(f"{where}[{position}]", name, tensors)
    return constants


def _weight(where: str, field: str, record: Any, shared: Shared, tensors: Tensors) -> Any:
    """A weight by the name of its tensor, or by the object of a quantised one; one for all who name the same."""
    if not isinstance(record, Mapping):
        return _tensor(where, record, tensors)
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in VALUE_DTYPES:
        _wrong(f"{where}: type", f"one of {', '.join(VALUE_DTYPES)}", kind)
    scaled = VALUE_DTYPES[kind] == np.int8
    _check_keys(where, record, {"type", "values", "scale"} if scaled else {"type", "values"}, set())
    values = _tensor(f"{where}: values", record["values"], tensors)
    scale = _tensor(f"{where}: scale", record["scale"], tensors) if scaled else None
    key = (kind, record["values"], record.get("scale", ""), channel_axis(field))
    return shared.setdefault(key, Quantized(kind, values, scale, channel_axis(field)))  # type: ignore[arg-type]


def _tensor(where: str, name: Any, tensors: Tensors) -> np.ndarray:
    if not isinstance(name, str):
        _wrong(where, "the name of a tensor", name)
    try:
        return tensors(name)
    except KeyError:
        raise FormatError(f"{where}: there is no tensor {name!r:.200}") from None


def _decode_value(where: str, value: Any, hint: Any) -> Any:
    """`value`, out of JSON, as the type `hint` says."""
    if type(value) is hint and hint is not float:
        return value                            # as nearly all are
    if hint == Activation:
        return _decode_activation(where, value)
    if _is_mapping(hint, str, Any):
        return _decode_attributes(where, value)
    if _is_mapping(hint, str, str):
        if not isinstance(value, Mapping) or not all(isinstance(s, str) for pair in value.items() for s in pair):
            _wrong(where, "an object of strings", value)
        return dict(value)
    if hint == Dim:
        if not isinstance(value, str) and type(value) is not int:
            _wrong(where, "a list of ints and strings", value)
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            _wrong(where, "a list", value)
        item = typing.get_args(hint)[0]
        return tuple(_decode_value(f"{where}[{i}]", v, item) for i, v in enumerate(value))
    if type(None) in typing.get_args(hint):
        return None if value is None else _decode_value(where, value, typing.get_args(hint)[0])
    if hint is float:
        return _decode_float(where, value)
    assert hint in (str, int, bool), f"no rule for a field of type {hint}"
    if type(value) is not hint:
        _wrong(where, {str: "a string", int: "an integer", bool: "true or false"}[hint], value)
    return value


def _is_mapping(hint: Any, *key_and_value: Any) -> bool:
    """Whether a type is Mapping[key, value], in typing's or collections.abc's spelling."""
    return typing.get_origin(hint) is Mapping and typing.get_args(hint) == key_and_value


def _decode_float(where: str, value: Any) -> float:
    if type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value) is not float or not math.isfinite(value):
        _wrong(where, "a finite number", value)
    return value


def _decode_activation(where: str, value: Any) -> Activation:
    record = {"name": value} if isinstance(value, str) else value
    _check_keys(where, record, {"name"}, {"alpha", "beta"})
    name = _decode_value(f"{where}: name", record["name"], str)
    try:
        known = Activation.of(name)
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from None
    parameters = {key: _decode_float(f"{where}: {key}", record[key]) for key in ("alpha", "beta") if key in record}
    for key in parameters:
        if getattr(known, key) is None:
            raise FormatError(f"{where}: {name} has no {key}")
    return Activation(name, parameters.get("alpha", known.alpha), parameters.get("beta", known.beta))


def _decode_attributes(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        _wrong(where, "an object", value)
    attributes = {}
    for key, item in value.items():
        items = item if isinstance(item, (list, tuple)) else (item,)
        if not isinstance(key, str) or not all(type(i) in (int, float, str) for i in items):
            _wrong(f"{where}[{key!r:.100}]", "an integer, number, string or a list of them", item)
        attributes[key] = tuple(items) if isinstance(item, (list, tuple)) else item
    return attributes


def _check_keys(where: str, record: Any, required: set[str], optional: set[str]) -> None:
    if not isinstance(record, Mapping):
        _wrong(where, "an object", record)
    for key in record:
        if key not in required and key not in optional:
            raise FormatError(f"{where}: unknown key {key!r:.100}; known: {', '.join(sorted(required | optional))}")
    if missing := sorted(required - record.keys()):
        raise FormatError(f"{where}: key {missing[0]!r} is missing")


def _wrong(where: str, expected: str, got: Any) -> NoReturn:
    raise FormatError(f"{where}: expected {expected}, got {type(got).__name__} {got!r:.100}")


class _Field(NamedTuple):
    """A field of a kind of node: how it is written, which its declared type says."""

    sort: str
    hint: Any
    optional: bool              # None may stand for it


class _Record(NamedTuple):
    """A kind of node: its fields, the keys of a record that must be there, and those that may be."""

    fields: dict[str, _Field]
    required: set[str]
    optional: set[str]


@cache                          # asked for every node; typing takes its time
def _record(op: str) -> _Record:
    kind = NODE_TYPES[op]
    hints, record = typing.get_type_hints(kind), _Record({}, {"op"}, set())
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        sort = TENSOR if field.metadata.get("tensor") else CONSTANTS if _is_mapping(hint, int, np.ndarray) \
            else GRAPH if hint is Graph else PLAIN
        record.fields[field.name] = _Field(sort, hint, field.default is None)
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        (record.optional if has_default else record.required).add(field.name)
    return record
