"""The check every graph passes before anything runs: names, order, weights, shapes, outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..arguments import shown
from ..errors import GraphError
from ..graph.nodes import DTYPES, MOST_NESTED, Graph, Loop, Node, Value, every_node
from ..graph.readings import Reading, is_utf8
from ..graph.shapes import show_shape
from ..graph.weights import MAX_DIM
from .inference import infer_shapes

MAX_BYTES = 2**62          # of one value, its symbols taken as 1: leaves room for sums of sizes in 64 bits


class Checked(NamedTuple):
    """A graph that has passed the check, and the shape and dtype of each of its values by name: found once, and handed
    on with the graph to whoever makes a model of it."""

    graph: Graph
    values: dict[str, Value]


def validate(graph: Graph) -> Graph:
    """Check a graph and return it. Raises as `checked`."""
    return checked(graph).graph


def checked(graph: Graph) -> Checked:
    """Check a graph.

    Raises GraphError, naming the node, the argument, what was expected and what came, if a name is empty or
    used twice, a value is used before it is made, weights do not fit each other or their inputs, a size is not
    positive or overflows, or an output does not exist. Raises UnsupportedError for an operator or activation
    that is not known.
    """
    _check_names(graph, 0)
    values = infer_shapes(graph)
    for value in values.values():
        _check_size(value)
    for node in every_node(graph):
        if isinstance(node, Loop):
            for value in infer_shapes(node.body).values():
                _check_size(value)
    _check_outputs(graph)
    return Checked(graph, values)


def _check_names(graph: Graph, depth: int) -> None:
    """Check the parts of a graph, their names, and those of the graphs inside it."""
    _check_members(graph)
    for value in graph.inputs:
        _check_input(value)
    _check_unique("node", (node.name for node in graph.nodes))
    _check_unique("value", _value_names(graph))
    for node in graph.nodes:
        if isinstance(node, Loop) and isinstance(node.body, Graph):
            if depth == MOST_NESTED:
                raise GraphError(f"node {node.name!r} (Loop): loops stand in each other more than {MOST_NESTED} deep")
            if any(value.reading is not None for value in node.body.inputs):
                raise GraphError(f"node {node.name!r} (Loop): no texts come into a body; readings belong to the inputs "
                                 "of a whole graph")
            try:
                _check_names(node.body, depth + 1)
                _check_outputs(node.body)
            except GraphError as error:
                raise GraphError(f"in the body of node {node.name!r} (Loop): {error}") from error


def _check_outputs(graph: Graph) -> None:
    made = {*_value_names(graph)}
    if not graph.outputs:
        raise GraphError("the graph must have at least one output, got none")
    _check_unique("output", graph.outputs)
    for name in graph.outputs:
        if name not in made:
            raise GraphError(f"output {name!r} is neither made by a node nor given to the graph")


def _check_members(graph: Graph) -> None:
    """Check the kinds of a graph's parts, which annotations alone do not enforce."""
    for argument, kind, members in (("inputs", Value, graph.inputs), ("nodes", Node, graph.nodes),
                                    ("outputs", str, graph.outputs)):
        if not isinstance(members, tuple) or not all(isinstance(member, kind) for member in members):
            raise GraphError(f"{argument} of the graph must be a tuple of {kind.__name__}, got {shown(members)}")
    for node in graph.nodes:
        for argument in ("inputs", "outputs"):
            names = getattr(node, argument)
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                raise GraphError(f"node {node.name!r} ({node.op}): {argument} must be a tuple of names, "
                                 f"got {shown(names)}")
    for key, text in graph.metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise GraphError(f"metadata must map strings to strings, got {shown(key)}: {shown(text)}")
        if not (is_utf8(key) and is_utf8(text)):
            raise GraphError(f"metadata must be text that UTF-8 can hold, got {shown(key)}: {shown(text)}")


def _value_names(graph: Graph) -> Iterator[str]:
    yield from (value.name for value in graph.inputs)
    for node in graph.nodes:
        yield from (name for name in node.outputs if name)


def _check_unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name:
            raise GraphError(f"{kind} names must be strings that are not empty, got {shown(name)}")
        if not is_utf8(name):
            raise GraphError(f"{kind} names must be text that UTF-8 can hold, got {shown(name)}")
        if name in seen:
            raise GraphError(f"{kind} names must be unique, got {shown(name)} twice")
        seen.add(name)


def _check_input(value: Value) -> None:
    if value.dtype not in DTYPES:
        raise GraphError(f"input {value.name!r}: dtype must be one of {', '.join(DTYPES)}, got {shown(value.dtype)}")
    if value.reading is not None:
        if not isinstance(value.reading, Reading):
            raise GraphError(f"input {value.name!r}: reading must be a Reading, got {shown(value.reading)}")
        value.reading.check(f"input {value.name!r}", value.shape, value.dtype)
    for dim in value.shape:
        if isinstance(dim, str) and dim:
            continue
        if not isinstance(dim, int) or isinstance(dim, bool) or not 0 <= dim <= MAX_DIM:
            raise GraphError(f"input {value.name!r}: each dimension must be a symbol or from 0 to {MAX_DIM}, "
                             f"got {show_shape(value.shape)}")


def _check_size(value: Value) -> None:
    if math.prod(dim for dim in value.shape if isinstance(dim, int)) * 8 > MAX_BYTES:
        raise GraphError(f"value {value.name!r}: the size of {show_shape(value.shape)} overflows")
