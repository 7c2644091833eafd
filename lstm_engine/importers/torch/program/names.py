"""Names for the open sizes of a program's inputs: torch's are s17, s94; here rows are "batch" and steps "time"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ....graph import Embedding, Graph, Recurrent, Value
from ....graph.nodes import Dim
from ....operators import infer_shapes


def named_axes(graph: Graph) -> Graph:
    """The same graph with the symbols of its inputs renamed."""
    values = infer_shapes(graph)
    symbols = list(dict.fromkeys(dim for value in graph.inputs for dim in value.shape if isinstance(dim, str)))
    settled = {symbol: _settled(graph, symbol, values) for symbol in symbols}
    sequences = [values[node.inputs[0]].shape for kind in (Recurrent, Embedding) for node in graph.nodes
                 if isinstance(node, kind) and len(values[node.inputs[0]].shape) >= 2]
    wanted: dict[str, str] = {}
    taken = set(symbols)
    for axis, name in ((0, "batch"), (1, "time")):
        for shape in sequences:
            origin = next((s for s in symbols if settled[s] == shape[axis]), None)
            if origin is not None and origin not in wanted:
                wanted[origin] = _free(name, taken)
    for value in graph.inputs:
        for at, dim in enumerate(value.shape):
            if isinstance(dim, str) and dim not in wanted:
                wanted[dim] = _free("batch" if at == 0 and not sequences else f"{value.name}_{at}", taken)
    inputs = tuple(replace(value, shape=tuple(wanted.get(dim, dim) if isinstance(dim, str) else dim
                                              for dim in value.shape)) for value in graph.inputs)
    return replace(graph, inputs=inputs)


def _settled(graph: Graph, symbol: str, values: Mapping[str, Value]) -> Dim:
    """What a symbol of an input turned out to be: shapes that must fit may give it another's name, or a number."""
    for value in graph.inputs:
        for before, after in zip(value.shape, values[value.name].shape):
            if before == symbol:
                return after
    return symbol


def _free(name: str, taken: set[str]) -> str:
    names: Iterator[str] = (f"{name}_{count}" if count > 1 else name for count in range(1, 1 << 30))
    found = next(candidate for candidate in names if candidate not in taken)
    taken.add(found)
    return found
