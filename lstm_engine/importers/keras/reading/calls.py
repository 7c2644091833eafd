"""How the layers of a Keras model are wired: the calls of each, in the forms of Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError

MAX_SIZE = 2**40
# Types of an array in a call -> the one that it has here.
ARRAY_TYPES = {"bfloat16": "float32", "float16": "float32", **{name: name for name in (
    "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")}}


@dataclass(frozen=True)
class Ref:
    """A tensor in a configuration: output `tensor` of call `call` of the layer called `layer`."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One use of a layer: positional and keyword arguments, nested lists and dicts of Ref and constants."""

    args: list[Any]
    kwargs: dict[str, Any]


def is_ref(value: Any) -> bool:
    return (isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)
            and all(type(number) is int for number in value[1:3]))


def is_constant(value: Any) -> bool:
    """Whether it is a number in the place of a tensor: ["_CONSTANT_VALUE", -1, 2.0, keywords]."""
    return isinstance(value, list) and len(value) in (3, 4) and value[0] == "_CONSTANT_VALUE"


def ref_of(value: list[Any]) -> Ref:
    return Ref(value[0], value[1], value[2])


def calls_of(layer: object, nodes: Any) -> list[Call]:
    """The uses of a layer, from its "inbound_nodes". Raises FormatError, naming the layer, for an unknown form."""
    if not isinstance(nodes, list):
        raise FormatError(f"{layer}: inbound_nodes is {nodes!r:.80}; expected a list")
    calls = []
    for node in nodes:
        if is_ref(node) or is_constant(node):           # of TensorFlow's functions: no list around the one tensor
            node = [node]
        if isinstance(node, dict) and isinstance(node.get("args"), list) and isinstance(node.get("kwargs"), dict):
            kwargs = {name: _keras3(value) for name, value in node["kwargs"].items()}
            calls.append(Call(_keras3(node["args"]), kwargs))
        elif isinstance(node, list) and node and all(is_ref(entry) or is_constant(entry) for entry in node):
            inputs = [entry[2] if is_constant(entry) else ref_of(entry) for entry in node]
            kwargs = next((entry[3] for entry in node if len(entry) == 4 and entry[3]), {})
            if not isinstance(kwargs, dict):
                raise FormatError(f"{layer}: the keywords of a call are {kwargs!r:.80}; expected an object")
            kwargs = {name: _keras2(value) for name, value in kwargs.items()}
            calls.append(Call([inputs[0] if len(inputs) == 1 else inputs], kwargs))
        else:
            raise FormatError(f"{layer}: a call in inbound_nodes is {node!r:.80}, which is no known form")
    return calls


def _keras3(value: Any) -> Any:
    if isinstance(value, list):
        return [_keras3(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "__keras_tensor__":
        history = config.get("keras_history") if isinstance(config, dict) else None
        if not isinstance(history, list) or not is_ref(history):
            raise FormatError(f"a tensor of inbound_nodes has the keras_history {history!r:.80}")
        return ref_of(history)
    if kind == "__ellipsis__":
        return ...
    if kind == "__tuple__" and isinstance(value.get("items", config), list):
        return _keras3(value.get("items", config))
    if kind in ("__numpy__", "__tensor__") and isinstance(config, dict):
        return array_of(config.get("value"), config.get("dtype"))
    if kind == "__slice__" and isinstance(config, dict):
        return slice(*(bound_of(config.get(bound)) for bound in ("start", "stop", "step")))
    return {name: _keras3(entry) for name, entry in value.items()}


def flatten(structure: Any) -> Iterator[Any]:
    """The leaves of nested lists and dicts, dicts by sorted key, as Keras orders them."""
    if isinstance(structure, (list, tuple)):
        for entry in structure:
            yield from flatten(entry)
    elif isinstance(structure, dict):
        for key in sorted(structure):
            yield from flatten(structure[key])
    else:
        yield structure


def array_of(value: Any, dtype: Any) -> np.ndarray:
    """An array that is written out in a configuration, nested lists of numbers. Raises FormatError for another, and for
    numbers that its type cannot hold."""
    kind = ARRAY_TYPES.get(dtype, "") if isinstance(dtype, str) else ""
    plain = all(type(leaf) in (int, float, bool) for leaf in flatten(value))         # one long text widens all others
    try:
        written = np.array(value if plain else None)
        with np.errstate(over="ignore", invalid="ignore"):
            made = written.astype(kind or "float32")
        fits = bool(np.isfinite(made).all()) if made.dtype.kind == "f" else np.array_equal(made, written)
    except (ValueError, TypeError, OverflowError):          # lists of several lengths, texts, numbers beyond 64 bits
        fits = False
    if not fits or not kind or written.dtype.kind not in "biuf":
        raise FormatError(f"an array of inbound_nodes is {value!r:.80} of {dtype!r:.20}; expected lists of equally "
                          f"many finite numbers, of {', '.join(ARRAY_TYPES)}")
    return made


def bound_of(value: Any) -> int | None:
    """One bound of a slice. Raises UnsupportedError for one that is no constant."""
    if value is None or type(value) is int:
        # Beyond any size a bound means the end all the same.
        return None if value is None else max(-MAX_SIZE, min(MAX_SIZE, value))
    raise UnsupportedError(f"a slice with the bound {value!r:.80} is not supported; supported: constant bounds")


def _keras2(value: Any) -> Any:
    if is_constant(value):
        return value[2]
    if is_ref(value):
        return ref_of(value)
    if isinstance(value, list):
        return [_keras2(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _keras2(entry) for name, entry in value.items()}
    return value
