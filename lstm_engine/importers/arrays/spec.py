"""Spec files: a graph with names of arrays in place of arrays, and how each array is to be laid out.

A spec is the configuration that `format.codec` decodes, and what docs/spec.md adds to it: layers in PyTorch's
naming ("torch"), arrays that need a transpose or another gate order, defaults for a plain chain, "ignore", "notes".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...format.codec import decode
from ...graph import NODE_TYPES, Graph
from ..reading.weights import Weights
from .expressions import Expressions, fail
from .packed_layers import KEYS, packed_arrays
from .recurrent import ORDERS
from .torch_layers import torch_arrays

_KEYS = {"inputs", "nodes", "outputs", "metadata", "ignore", "notes"}


def graph_from_spec(spec: Mapping[str, Any], weights: Weights, ignore: tuple[str, ...] = ()) -> Graph:
    """The graph that a spec describes over the arrays of a file; every array must be used or ignored.

    ignore: patterns beyond those under the spec's own "ignore". The graph is not validated.
    Raises FormatError naming the node and key, UnsupportedError for what is left over or not supported.
    """
    unknown = sorted(set(spec) - _KEYS, key=str)
    if unknown:
        fail("", f"unknown key {unknown[0]!r:.100}; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(spec.get("nodes"), (list, tuple)):
        fail("", "\"nodes\" must be a list")
    patterns = spec.get("ignore", [])
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
        fail("", "\"ignore\" must be a list of patterns")
    expander = _Expander(weights)
    records = [expander.node(index, record) for index, record in enumerate(spec["nodes"])]
    config = {key: spec[key] for key in ("inputs", "outputs", "metadata") if key in spec}
    expander.check_buffers()
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


def _check_gates(where: str, op: str, expression: Any) -> None:
    """Raise FormatError for an order of gates that is another cell's: 12 rows can be three gates and four."""
    todo = [expression]
    while todo and op in ORDERS:
        one = todo.pop()
        if isinstance(one, (list, tuple)):
            todo += [part for part in one if isinstance(part, (list, tuple, Mapping))]
        elif isinstance(one, Mapping):
            gates = one.get("gates")
            if isinstance(gates, str) and sorted(gates) in [sorted(ORDERS[other]) for other in ORDERS if other != op]:
                fail(where, f"\"gates\" of {op} are the letters {ORDERS[op]}, got {gates!r:.50}")
            todo += [part for part in one.values() if isinstance(part, (list, tuple, Mapping))]


class _Expander:
    """Turns a spec's nodes into the codec's, and collects the arrays under names of its own."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.arrays: dict[str, np.ndarray] = {}
        self._taken: dict[str, str] = {}       # expression -> name here: what is shared stays shared
        self._torch: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self._expressions = Expressions(weights)
        self._buffers: dict[str, tuple[Any, ...]] = {}         # of cuDNN: what is said of each, all nodes the same
        self._layers: dict[str, set[int]] = {}                 # and which of its layers have a node

    def node(self, index: int, record: Any) -> dict[str, Any]:
        if not isinstance(record, Mapping):
            fail(f"nodes[{index}]", f"must be an object, got a {type(record).__name__}")
        made = dict(record)
        kind = NODE_TYPES.get(made["op"]) if isinstance(made.get("op"), str) else None
        if kind is None:
            return made                        # the codec's message names what is known
        where = f"nodes[{index}] ({made.get('name')!r:.100}, {kind.op})"
        tensors = [f.name for f in dataclasses.fields(kind) if f.metadata.get("tensor")]
        for field in tensors:
            if made.get(field) is not None:
                _check_gates(f"{where}: {field}", kind.op, made[field])
                made[field] = self.array(f"{where}: {field}", made[field])
        if isinstance(made.get("constants"), Mapping):
            made["constants"] = {position: self.array(f"{where}: constants", value, numbers=True)
                                 for position, value in made["constants"].items()}
        given = [key for key in ("torch", *KEYS) if key in made]
        if given:
            if any(field in made for field in tensors) or len(given) > 1:
                fail(where, f"\"{given[0]}\" stands for {', '.join((*tensors, *given[1:]))}; give one or the other")
            names, settings = self._layer(made, given[0], where)
            for key in (given[0], "layer"):
                made.pop(key, None)
            if given[0] != "torch" and any(made.get(key, value) != value for key, value in settings.items()):
                fail(where, f"\"{given[0]}\" means {settings}")
            made.update(settings)
            made.update(names)
        return made

    def _layer(self, record: Mapping[str, Any], key: str, where: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The names of the arrays of a layer in PyTorch's naming or packed together, and its settings: once for all
        nodes that name it."""
        said = repr([key, *(record.get(part) for part in ("op", key, "layer", "direction", "linear_before_reset"))])
        if said not in self._torch:
            if key == "torch":
                arrays, settings = torch_arrays(self.weights, record, f"spec: {where}")
            else:
                arrays, settings = packed_arrays(self._expressions, record, key, where)
                if key == "cudnn":
                    self._note_buffer(record["op"], record[key], where)
            self._torch[said] = {field: self._keep(array) for field, array in arrays.items()}, settings
        return self._torch[said]

    def _note_buffer(self, op: str, said: Mapping[str, Any], where: str) -> None:
        """Keep what a node says of cuDNN's buffer, the same as the nodes before it."""
        name = said["buffer"]
        whole = (op, *(said[key] for key in ("features", "hidden", "layers")), said.get("bidirectional", False))
        if self._buffers.setdefault(name, whole) != whole:
            fail(where, f"cudnn: another node says of the buffer {name!r:.100} that it is {self._buffers[name]} (op, "
                        f"features, hidden, layers, bidirectional), this one {whole}")
        self._layers.setdefault(name, set()).add(said["layer"])

    def check_buffers(self) -> None:
        """Raise FormatError for a layer of cuDNN's buffer that no node takes: it would drop out of sight."""
        for name, (_, _, _, layers, _) in self._buffers.items():
            if left := [layer for layer in range(layers) if layer not in self._layers[name]]:
                fail("", f"no node takes layer {left[0]} of the {layers} in cuDNN's buffer {name!r:.100}")

    def array(self, where: str, expression: Any, numbers: bool = False) -> str:
        """The name of the array that an expression describes. numbers: whether it may be one of integers."""
        said = f"{numbers}{expression!r}"
        if said not in self._taken:
            self._taken[said] = self._keep(self._expressions.evaluate(where, expression, 0, numbers))
        return self._taken[said]

    def _keep(self, array: np.ndarray) -> str:
        name = str(len(self.arrays))
        self.arrays[name] = array
        return name
