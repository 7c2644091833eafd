"""What "torch" says in a spec's node: which arrays, in PyTorch's naming and order, are the weights of the node.

    {"op": "LSTM", "torch": "lstm", "layer": 0}        lstm.weight_ih_l0, ..., and _reverse if the file has them
    {"op": "LSTM", "torch": "cell"}                    cell.weight_ih, ... of an LSTMCell
    {"op": "GRU", "torch": {"weight_ih": "enc_w_ih", ...}}   names of your own; a list of two for two directions
    {"op": "Dense", "torch": "fc"}                     fc.weight transposed, fc.bias if the file has it
    {"op": "Embedding", "torch": "emb"}                emb.weight
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from ...errors import FormatError
from ..reading.weights import Weights
from .recurrent import ORDERS, ROLES, recurrent_arrays

Named = Mapping[str, str]


def torch_arrays(weights: Weights, record: Mapping[str, Any],
                 where: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weight arrays of a node by field, and the settings that PyTorch's definition of the layer implies.

    Raises FormatError naming `where`.
    """
    op, source = record["op"], record["torch"]
    if "layer" in record and op not in ORDERS:
        _fail(where, "only a recurrent node has a \"layer\"")
    if op in ORDERS:
        return _recurrent(weights, record, where)
    if op == "Dense":
        names = _plain(weights, source, ("weight", "bias"), where)
        arrays = {"kernel": np.ascontiguousarray(_matrix(weights, names["weight"], where).T)}
        if "bias" in names:
            arrays["bias"] = weights.take(names["bias"])
        return arrays, {}
    if op == "Embedding":
        return {"table": _matrix(weights, _plain(weights, source, ("weight",), where)["weight"], where)}, {}
    _fail(where, f"\"torch\" is for {', '.join(ORDERS)}, Dense and Embedding")


def names_of_layer(weights: Weights, prefix: str, layer: int, reverse: bool = False) -> dict[str, str]:
    """The arrays of one direction of a layer by role; empty if the file has none. `prefix` is the module's path."""
    dotted = f"{prefix}." if prefix else ""
    suffixes = [f"_l{layer}" + ("_reverse" if reverse else "")]
    if layer == 0 and not reverse:
        suffixes.append("")                    # LSTMCell, GRUCell, RNNCell
    for suffix in suffixes:
        found = {role: f"{dotted}{role}{suffix}" for role in ROLES if f"{dotted}{role}{suffix}" in weights}
        if found:
            return found
    return {}


def _recurrent(weights: Weights, record: Mapping[str, Any],
               where: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    source, layer, direction = record["torch"], record.get("layer", 0), record.get("direction")
    if type(layer) is not int or layer < 0:
        _fail(where, f"\"layer\" must be a number from 0, got {layer!r:.50}")
    if direction is not None and not isinstance(direction, str):
        _fail(where, f"\"direction\" must be a string, got {direction!r:.50}")
    if isinstance(source, str):
        forward, backward = (names_of_layer(weights, source, layer, reverse) for reverse in (False, True))
        found = {"forward": [forward], "reverse": [backward], "bidirectional": [forward, backward],
                 None: [forward, backward] if backward else [forward]}.get(direction, [forward])
        if not all(found):
            _fail(where, f"no arrays of layer {layer} of {source!r:.100}{_of_direction(direction)}; "
                         f"there are {weights.describe(weights.names)}")
    else:
        if "layer" in record:
            _fail(where, "\"layer\" goes with the path of a module, not with names")
        found = [_roles(names, ROLES, where) for names in (source if isinstance(source, (list, tuple)) else [source])]
        if len(found) not in (1, 2):
            _fail(where, "\"torch\" must name the arrays of one or two directions")
    settings: dict[str, Any] = {}
    if direction is None:
        settings["direction"] = "bidirectional" if len(found) == 2 else "forward"
    elif (direction == "bidirectional") != (len(found) == 2):
        _fail(where, f"direction {direction!r:.50}, but arrays of {len(found)} direction(s)")
    if record["op"] == "GRU":
        if record.get("linear_before_reset", True) is not True:
            _fail(where, "PyTorch's GRU always has linear_before_reset true")
        settings["linear_before_reset"] = True
    return recurrent_arrays(weights, record["op"], found, where), settings


def _of_direction(direction: Any) -> str:
    return "" if direction is None else f" for direction {direction!r:.50}"


def _plain(weights: Weights, source: Any, roles: tuple[str, ...], where: str) -> dict[str, str]:
    """The arrays of a module by role, from its path or from names."""
    if not isinstance(source, str):
        return _roles(source, roles, where)
    dotted = f"{source}." if source else ""
    return {role: f"{dotted}{role}" for role in roles if role == "weight" or f"{dotted}{role}" in weights}


def _roles(names: Any, roles: tuple[str, ...], where: str) -> dict[str, str]:
    if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
        _fail(where, f"\"torch\" must be the path of a module, or names of arrays by {', '.join(roles)}")
    for role in names:
        if role not in roles:
            _fail(where, f"\"torch\" has no {role!r:.50}; known: {', '.join(roles)}")
    if roles[0] not in names:
        _fail(where, f"\"torch\" must name {roles[0]}")
    return dict(names)


def _matrix(weights: Weights, name: str, where: str) -> np.ndarray:
    if len(weights.shape(name)) != 2:
        _fail(where, f"{name!r:.100} must be a matrix, got {list(weights.shape(name))}")
    return weights.take(name)


def _fail(where: str, message: str) -> NoReturn:
    raise FormatError(f"{where}: {message}")
