"""Spec files: a graph with names of arrays in place of arrays, and how each array is to be laid out.

A spec is the configuration that `format.codec` decodes, and what docs/spec.md adds to it: layers in PyTorch's
naming ("torch"), arrays that need a transpose or another gate order, defaults for a plain chain, "ignore", "notes".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from ...errors import FormatError
from ...format.codec import decode
from ...graph import NODE_TYPES, Graph
from ...graph.gates import ONNX_GRU, ONNX_LSTM, ONNX_RNN, reorder
from ..reading.weights import Weights
from .torch_layers import torch_arrays

MAX_ZEROS = 1 << 24
MAX_DEPTH = 8                      # of an array's expression
FREE_BYTES = 256 << 20             # what expressions may make, beyond 16 times the arrays of the file
_KEYS = {"inputs", "nodes", "outputs", "metadata", "ignore", "notes"}
_EXPRESSION = {"tensor", "transpose", "gates"}
_GATES = {frozenset(order) for order in (ONNX_LSTM, ONNX_GRU, ONNX_RNN)}


def graph_from_spec(spec: Mapping[str, Any], weights: Weights, ignore: tuple[str, ...] = ()) -> Graph:
    """The graph that a spec describes over the arrays of a file; every array must be used or ignored.

    ignore: patterns beyond those under the spec's own "ignore". The graph is not validated.
    Raises FormatError naming the node and key, UnsupportedError for what is left over or not supported.
    """
    unknown = sorted(set(spec) - _KEYS, key=str)
    if unknown:
        _fail("", f"unknown key {unknown[0]!r:.100}; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(spec.get("nodes"), (list, tuple)):
        _fail("", "\"nodes\" must be a list")
    patterns = spec.get("ignore", [])
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
        _fail("", "\"ignore\" must be a list of patterns")
    expander = _Expander(weights)
    records = [expander.node(index, record) for index, record in enumerate(spec["nodes"])]
    config = {key: spec[key] for key in ("inputs", "outputs", "metadata") if key in spec}
    graph = decode({"outputs": _chain(records, spec.get("inputs")), **config, "nodes": records},
                   expander.arrays.__getitem__)
    weights.check_all_used((*patterns, *ignore))
    return graph


def _chain(records: list[dict[str, Any]], inputs: Any) -> list[str]:
    """Fill in "inputs" and "outputs" of nodes that leave them out, each after the one before; the last output."""
    last = None
    if isinstance(inputs, (list, tuple)) and len(inputs) == 1 and isinstance(inputs[0], Mapping):
        last = inputs[0].get("name")
    for record in records:
        if last is not None:
            record.setdefault("inputs", [last])
        if isinstance(record.get("name"), str):
            record.setdefault("outputs", [record["name"]])
        outputs = record.get("outputs")
        last = outputs[0] if isinstance(outputs, (list, tuple)) and outputs else None
    return [] if last is None else [last]


class _Expander:
    """Turns a spec's nodes into the codec's, and collects the arrays under names of its own."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.arrays: dict[str, np.ndarray] = {}
        self._taken: dict[str, str] = {}       # expression -> name here: what is shared stays shared
        self._torch: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self._left = FREE_BYTES + 16 * weights.nbytes

    def node(self, index: int, record: Any) -> dict[str, Any]:
        if not isinstance(record, Mapping):
            _fail(f"nodes[{index}]", f"must be an object, got a {type(record).__name__}")
        made = dict(record)
        kind = NODE_TYPES.get(made["op"]) if isinstance(made.get("op"), str) else None
        if kind is None:
            return made                        # the codec's message names what is known
        where = f"nodes[{index}] ({made.get('name')!r:.100}, {kind.op})"
        tensors = [f.name for f in dataclasses.fields(kind) if f.metadata.get("tensor")]
        for field in tensors:
            if made.get(field) is not None:
                made[field] = self.array(f"{where}: {field}", made[field])
        if isinstance(made.get("constants"), Mapping):
            made["constants"] = {position: self.array(f"{where}: constants", value)
                                 for position, value in made["constants"].items()}
        if "torch" in made:
            if any(field in made for field in tensors):
                _fail(where, f"\"torch\" stands for {', '.join(tensors)}; give one or the other")
            names, settings = self._torch_layer(made, f"spec: {where}")
            for key in ("torch", "layer"):
                made.pop(key, None)
            made.update(settings)
            made.update(names)
        return made

    def _torch_layer(self, record: Mapping[str, Any], where: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The names of the arrays of a layer in PyTorch's naming, and its settings: once for all nodes that name it."""
        said = repr([record.get(key) for key in ("op", "torch", "layer", "direction", "linear_before_reset")])
        if said not in self._torch:
            arrays, settings = torch_arrays(self.weights, record, where)
            self._torch[said] = {field: self._keep(array) for field, array in arrays.items()}, settings
        return self._torch[said]

    def array(self, where: str, expression: Any) -> str:
        """The name of the array that an expression describes."""
        said = repr(expression)
        if said not in self._taken:
            self._taken[said] = self._keep(self.evaluate(where, expression, 0))
        return self._taken[said]

    def evaluate(self, where: str, expression: Any, depth: int) -> np.ndarray:
        if depth > MAX_DEPTH:
            _fail(where, f"nested more than {MAX_DEPTH} deep")
        if isinstance(expression, str):
            return self.weights.take(expression)
        if isinstance(expression, (list, tuple)) and expression:       # one array per direction
            return self._join(where, np.stack, expression, depth)
        if isinstance(expression, Mapping):
            if set(expression) == {"concat"} and isinstance(expression["concat"], (list, tuple)):
                return self._join(where, np.concatenate, expression["concat"], depth)
            count = expression.get("zeros")
            if set(expression) == {"zeros"} and type(count) is int and 0 < count <= MAX_ZEROS:
                self._spend(where, 4 * count)
                return np.zeros(count, np.float32)
            if "tensor" in expression and set(expression) <= _EXPRESSION:
                return self._laid_out(where, expression, depth)
        _fail(where, "must be the name of an array, {\"tensor\": ..., \"transpose\": true, \"gates\": \"ifco\"}, "
                     f"{{\"concat\": [...]}}, {{\"zeros\": n}} or a list of one per direction; got {expression!r:.100}")

    def _laid_out(self, where: str, expression: Mapping[str, Any], depth: int) -> np.ndarray:
        array = self.evaluate(where, expression["tensor"], depth + 1)
        transpose, gates = expression.get("transpose", False), expression.get("gates")
        if not isinstance(transpose, bool):
            _fail(where, "\"transpose\" must be true or false")
        if transpose:
            if array.ndim != 2:
                _fail(where, f"only a matrix can be transposed, got {list(array.shape)}")
            array = np.ascontiguousarray(array.T)
        if gates is None:
            return array
        if not isinstance(gates, str) or frozenset(gates) not in _GATES or len(set(gates)) != len(gates):
            _fail(where, f"\"gates\" must be an order of the letters iofc, zrh or h, got {gates!r:.50}")
        if not array.ndim or array.shape[0] % len(gates):
            _fail(where, f"{list(array.shape)} has no {len(gates)} gates in its rows")
        return reorder(array, gates)

    def _join(self, where: str, join: Callable[[list[np.ndarray]], np.ndarray], expressions: Any,
              depth: int) -> np.ndarray:
        parts = []
        for part in expressions:
            parts.append(self.evaluate(where, part, depth + 1))
            self._spend(where, parts[-1].nbytes)
        dtypes = {part.dtype for part in parts}
        if "float64" in {dtype.name for dtype in dtypes} and len(dtypes) > 1:
            parts = [part.astype(np.float64) for part in parts]
        try:
            return join(parts)
        except ValueError:
            _fail(where, f"arrays of {[list(part.shape) for part in parts]} cannot be joined")

    def _spend(self, where: str, size: int) -> None:
        self._left -= size
        if self._left < 0:
            _fail(where, f"the spec makes more than {FREE_BYTES >> 20} MiB and 16 times the arrays of the file")

    def _keep(self, array: np.ndarray) -> str:
        name = str(len(self.arrays))
        self.arrays[name] = array
        return name


def _fail(where: str, message: str) -> NoReturn:
    raise FormatError(f"spec: {where}: {message}" if where else f"spec: {message}")
