"""RTNeural's JSON: layers in their order, each with its kind, activation, shape and arrays as Keras keeps them.

    {"in_shape": [null, null, 1], "layers": [{"type": "lstm", "activation": "tanh", "shape": [null, null, 8],
                                              "weights": [kernel, recurrent kernel, bias]}, ...]}

Source of the layout: RTNeural's python/model_utils.py (save_model) and RTNeural/model_loader.h; a GRU resets after its
product, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ...errors import FormatError, UnsupportedError
from ...graph.gates import KERAS_GRU, KERAS_LSTM
from ..reading.json_arrays import JsonArrays
from ..reading.weights import Weights

MAX_LAYERS = 256
_TOP = ("in_shape", "layers")
_KEYS = {"type", "activation", "shape", "weights", "name"}
_ACTIVATIONS: dict[str, Any] = {"": "linear", "linear": "linear", "tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid",
                                "softmax": "softmax", "elu": {"name": "elu", "alpha": 1.0}}
_DENSE = ("dense", "time-distributed-dense")
_READ = (*_DENSE, "lstm", "gru", "activation")


def begins_rtneural(head: bytes) -> bool:
    """Whether a file begins as RTNeural's JSON does."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and b'"in_shape"' in head and b'"layers"' in head


def spec_of_rtneural(tree: Mapping[str, Any]) -> tuple[dict[str, Any], Weights]:
    """The spec of such a file, and its arrays. Raises FormatError, UnsupportedError naming the layer."""
    if unknown := [key for key in tree if key not in _TOP]:
        raise UnsupportedError(f"RTNeural's JSON says {unknown[0]!r:.100}, which is not known; known: "
                               f"{', '.join(_TOP)}")
    layers = tree.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise FormatError(f"\"layers\" must be a list of 1 to {MAX_LAYERS} layers")
    features = inputs = _last(tree.get("in_shape"), "\"in_shape\"")
    arrays = JsonArrays()
    nodes = []
    for place, layer in enumerate(layers):
        node, features = _node(place, layer, features, arrays)
        nodes.append(node)
    spec = {"inputs": [{"name": "input", "shape": ["batch", "time", inputs], "dtype": "float32"}], "nodes": nodes}
    return spec, Weights(arrays.entries)


def _last(shape: Any, where: str) -> int:
    if not isinstance(shape, list) or not 0 < len(shape) <= 3 or type(shape[-1]) is not int \
            or not 0 < shape[-1] < 2**31:
        raise FormatError(f"{where} must be a list of up to three sizes, the last the features, got {shape!r:.100}")
    size: int = shape[-1]
    return size


def _node(place: int, layer: Any, features: int, arrays: JsonArrays) -> tuple[dict[str, Any], int]:
    """The node of a layer that reads `features`, and how many it gives."""
    where = f"layers[{place}]"
    if not isinstance(layer, dict):
        raise FormatError(f"{where} must be an object, got a {type(layer).__name__}")
    kind, activation, weights = layer.get("type"), layer.get("activation", ""), layer.get("weights", [])
    where = f"{where} ({kind!r:.50})"
    if kind not in _READ:
        raise UnsupportedError(f"{where}: is not read; read are {', '.join(_READ)}. Convert the model that it was "
                               "exported from")
    for key in layer:
        if key not in _KEYS:
            raise UnsupportedError(f"{where}: says {key!r:.50}, which is not known; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise UnsupportedError(f"{where}: the activation {activation!r:.50}; known: {', '.join(_ACTIVATIONS)}")
    if not isinstance(weights, list) or len(weights) > 3:
        raise FormatError(f"{where}: \"weights\" must be a list of up to three arrays")
    units = _last(layer.get("shape"), f"{where}: \"shape\"")
    names = [f"layers.{place}.weights.{number}" for number in range(len(weights))]
    for name, array in zip(names, weights):
        arrays.take(name, array)
    shapes = [arrays.entries[name].shape for name in names]
    named = f"{kind.replace('time-distributed-', '')}_{place}"
    if kind in _DENSE:
        _expect(where, shapes, [(features, units), (units,)])
        return {"op": "Dense", "name": named, "kernel": names[0], "bias": names[1],
                "activation": _ACTIVATIONS[activation]}, units
    if kind == "activation":
        _expect(where, shapes, [])
        if units != features:
            _wrong(where, f"gives {units} features, and reads {features}")
        return {"op": "Activate", "name": named, "activation": _ACTIVATIONS[activation]}, units
    if activation not in ("", "tanh"):
        raise UnsupportedError(f"{where}: its activation is {activation!r}; RTNeural's has tanh inside")
    gates, count = (KERAS_LSTM, 4) if kind == "lstm" else (KERAS_GRU, 3)
    _expect(where, shapes, [(features, count * units), (units, count * units),
                            (count * units,) if kind == "lstm" else (2, count * units)])
    node: dict[str, Any] = {"op": kind.upper(), "name": named}
    for field, name in zip(("W", "R"), names):
        node[field] = [{"tensor": name, "transpose": True, "gates": gates}]
    if kind == "lstm":
        return node | {"B": [{"concat": [{"tensor": names[2], "gates": gates}, {"zeros": count * units}]}]}, units
    halves = [{"tensor": {"reshape": {"slice": names[2], "start": row, "stop": row + 1}, "shape": [count * units]},
               "gates": gates} for row in (0, 1)]
    return node | {"B": [{"concat": halves}], "linear_before_reset": True}, units


def _expect(where: str, shapes: list[tuple[int, ...]], expected: list[tuple[int, ...]]) -> None:
    if shapes != expected:
        _wrong(where, f"its arrays must be {list(map(list, expected))}, got {list(map(list, shapes))!s:.200}")


def _wrong(where: str, message: str) -> NoReturn:
    raise FormatError(f"{where}: {message}")
