"""Checks a description of a model before anything is read out of it.

`proto.describe` made it, but in a process that a hostile file may own: what comes back is a stranger's, whatever the
parser would have written. The forms below are those that `proto` documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ....errors import FormatError
from ...reading.answer import DTYPES, can_be
from .proto import AS_BITS, MAX_RANK

Check = Callable[[Any, Mapping[str, np.ndarray]], bool]


def check(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise FormatError unless `described` is a description over these arrays, to its last part."""
    for key, fits in _MODEL.items():
        if not fits(described.get(key), arrays):
            raise FormatError(f"the ONNX (protobuf) parser answered {key!r} that is no part of a model")


def _a(*types: type) -> Check:
    return lambda value, arrays: type(value) in types


def _each(fits: Check) -> Check:
    """A list of what fits."""
    return lambda value, arrays: type(value) is list and all(fits(item, arrays) for item in value)


def _named(fits: Check) -> Check:
    """What fits, by name: the names in a JSON object are texts."""
    return lambda value, arrays: type(value) is dict and all(fits(item, arrays) for item in value.values())


def _record(**fields: Check) -> Check:
    return lambda value, arrays: type(value) is dict and all(fits(value.get(key), arrays)
                                                             for key, fits in fields.items())


def _whole(value: Any, arrays: Any) -> bool:
    return type(value) is int and -2**63 <= value < 2**63


def _size(value: Any, arrays: Any) -> bool:
    return _whole(value, arrays) and value >= 0


def _dim(value: Any, arrays: Any) -> bool:
    return value is None or type(value) is str or _size(value, arrays)


def _value(value: Any, arrays: Any) -> bool:
    match value:
        case [str(), number, dims] if _whole(number, arrays):
            return dims is None or _each(_dim)(dims, arrays)
    return False


def _tensor(value: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    match value:
        case {"dtype": str(dtype), "dims": list(dims)} if AS_BITS.get(dtype, dtype) in DTYPES and len(dims) <= MAX_RANK:
            if not all(_size(dim, arrays) for dim in dims) or not can_be(dims):
                return False
            if "array" not in value:
                return _named(_text)(value.get("external"), arrays)
            array = arrays.get(value["array"]) if type(value["array"]) is str else None
            return array is not None and array.dtype == AS_BITS.get(dtype, dtype) and array.shape == tuple(dims)
    return False


def _attribute(value: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    match value:
        case [str(kind), inner] if kind in _KINDS:
            return _KINDS[kind](inner, arrays)
    return False


_text = _a(str)
_node = _record(name=_text, op=_text, domain=_text, overload=_text, inputs=_each(_text), outputs=_each(_text),
                attributes=_named(_attribute))
_graph = _record(name=_text, nodes=_each(_node), tensors=_named(_tensor), inputs=_each(_value), outputs=_each(_value))
_KINDS: dict[str, Check] = {
    "i": _whole, "f": _a(float, int), "s": _text, "is": _each(_whole), "fs": _each(_a(float, int)), "ss": _each(_text),
    "t": _tensor, "g": _graph, "r": _text, "?": _text,
}
_MODEL: dict[str, Check] = {
    "producer": _text, "opsets": _named(_whole), "graph": _graph,
    "functions": _each(_record(domain=_text, name=_text, overload=_text, opsets=_named(_whole), inputs=_each(_text),
                               outputs=_each(_text), defaults=_named(_attribute), nodes=_each(_node))),
}
