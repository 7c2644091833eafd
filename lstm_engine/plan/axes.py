"""Which axis of a value is the batch, and which is time.

House order is [batch, time, features], and recurrent layers see nothing else; but the inputs and outputs of a model may
stand in another order, such as ONNX's [time, batch, features]. Symbols tell: those of the recurrent layers' inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Embedding, Graph, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim

if TYPE_CHECKING:
    from ..operators.places import Place


@dataclass(frozen=True, eq=False)
class Axes:
    """`batch`: the symbol (or size) of the batch. `times`: those of the time axes. `turned`: some node transposes."""

    values: Mapping[str, Value]
    batch: Dim
    times: frozenset[Dim]
    turned: bool
    _found: dict[tuple[str, int], int | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, graph: Graph, values: Mapping[str, Value]) -> Axes:
        """The axes of a graph whose values have the shapes that inference settled on."""
        sequences = _sequences(graph, values, (Recurrent, Pool)) or _sequences(graph, values, (Embedding,))
        outside = {dim for value in graph.inputs for dim in values[value.name].shape}
        # An inner layer may run over rows of its own, such as the words of a batch of sentences.
        batches = [shape[0] for shape in sequences if shape[0] in outside]
        first = next((values[value.name].shape[:1] for value in graph.inputs), ()) or (1,)
        batch = batches[0] if batches else first[0]
        times = {shape[1] for shape in sequences}
        if isinstance(batch, str):
            times.discard(batch)        # one name for both: lengths could not say which of the two they mean
        return cls(values, batch, frozenset(times),
                   any(isinstance(node, Operator) and node.op_type == "Transpose" for node in graph.nodes))

    def followed(self, times: Mapping[str, Place]) -> Axes:
        """The same axes, that of time where it was followed to in each value, whatever their sizes are called."""
        axes = replace(self)
        for name, place in times.items():
            axes._found[name, 1] = place if isinstance(place, int) else None
        return axes

    def batch_axis(self, name: str) -> int | None:
        """The axis of a value along which its rows stand; None if it has none, or sizes alone do not tell."""
        return self._known(name, (self.batch,), 0)

    def time_axis(self, name: str) -> int | None:
        """The axis of a value along which its steps stand; None if it has none, or sizes alone do not tell. An axis of
        rows is none of steps, though one size may be both."""
        axis = self._known(name, self.times, 1)
        return None if axis is not None and axis == self.batch_axis(name) else axis

    def time(self, name: str) -> Dim | None:
        """The symbol (or size) of a value's time axis."""
        axis = self.time_axis(name)
        return None if axis is None else self.values[name].shape[axis]

    def unsettled(self, name: str) -> str:
        """The symbol of an axis of an input that may be time under another name, "" if there is none.

        A size that is open, and neither that of the rows nor that of a time axis; with rows under a name of their own,
        one more is open.
        """
        shape = self.values[name].shape
        if self.time_axis(name) is not None:
            return ""
        free = [dim for dim in shape if isinstance(dim, str) and dim != self.batch]
        return free[-1] if len(free) > (self.batch_axis(name) is None) else ""

    def rows_unknown(self, name: str) -> str:
        """The symbol of an axis of a sequence that may be its rows under another name, "" if there is none."""
        if self.time_axis(name) is None or self.batch_axis(name) is not None:
            return ""
        return next((dim for dim in self.values[name].shape if isinstance(dim, str) and dim not in self.times), "")

    def batch_and_time_first(self, name: str, array: np.ndarray) -> np.ndarray:
        """A view [batch, time, ...] of a value that has both axes."""
        axes = self.batch_axis(name), self.time_axis(name)
        return array if axes == (0, 1) else np.moveaxis(array, axes, (0, 1))  # type: ignore[arg-type]

    def _known(self, name: str, dims: Iterable[Dim], usual: int) -> int | None:
        """What `_find` says, asked once: a stream asks at every step."""
        if (name, usual) not in self._found:
            self._found[name, usual] = self._find(name, dims, usual)
        return self._found[name, usual]

    def _find(self, name: str, dims: Iterable[Dim], usual: int) -> int | None:
        value = self.values[name]
        places = [axis for axis, dim in enumerate(value.shape) if dim in dims]
        if any(isinstance(value.shape[axis], str) for axis in places):
            places = [axis for axis in places if isinstance(value.shape[axis], str)]
            return usual if usual in places else places[0]
        # A plain size: a vector may have as many features as there are steps, so only what must be a sequence counts.
        if usual == 1 and len(value.shape) == 2 and value.dtype.startswith("float"):
            return None
        if len(places) == 1:
            return places[0]
        return usual if usual in places and not self.turned else None


def _sequences(graph: Graph, values: Mapping[str, Value], kinds: tuple[type, ...]) -> list[tuple[Dim, ...]]:
    shapes = (values[node.inputs[0]].shape for node in graph.nodes if isinstance(node, kinds))
    return [shape for shape in shapes if len(shape) >= 2]
