"""Which sizes a model's inputs may have: what each symbol of their shapes stands for, and what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph import Graph, Recurrent
from ..graph.nodes import Dim
from ..operators import infer_shapes

Sizes = dict[str, int]                      # by symbol
MOST_STEPS = 1 << 14                        # a model that takes no fewer needs --steps
MODES = ("apart", "steps", "batch", "alike")
_BATCH_NAMES = ("batch", "batch_size", "n", "b")


@dataclass(frozen=True)
class Roles:
    """What the symbols of a model's inputs stand for. batch: rows; times: axes of steps; others: not known."""

    batch: str | None
    times: tuple[str, ...]
    others: tuple[str, ...]

    @staticmethod
    def of(graph: Graph) -> Roles:
        """Told by the recurrent layers, whose inputs are [batch, time, features] wherever the file has its batch; else
        by names; else the first symbol of the first input is the batch, and others are steps."""
        values = infer_shapes(graph)
        symbols = list(dict.fromkeys(dim for value in graph.inputs for dim in values[value.name].shape
                                     if isinstance(dim, str)))
        seen: dict[str, list[Dim]] = {"batch": [], "time": []}
        for node in graph.nodes:
            if isinstance(node, Recurrent):
                seen["batch"].append(values[node.inputs[0]].shape[0])
                seen["time"].append(values[node.inputs[0]].shape[1])
        batch = next((symbol for symbol in symbols if symbol.lower() in _BATCH_NAMES), None)
        if batch is None:
            batch = next((dim for dim in seen["batch"] if dim in symbols), None)
        if batch is None and symbols and not any(symbol in seen["time"] for symbol in symbols[:1]):
            batch = symbols[0]
        rest = [symbol for symbol in symbols if symbol != batch]
        times = [symbol for symbol in rest if symbol in seen["time"]]
        times = times or rest
        return Roles(batch, tuple(times), tuple(symbol for symbol in rest if symbol not in times))

    def bound(self, batch: int, steps: int, mode: str) -> Sizes:
        """A number for every symbol. mode: other symbols "apart" from all else, as the "steps", as the "batch";
        "alike": all axes of steps the same, too, and others like them."""
        sizes: Sizes = {} if self.batch is None else {self.batch: batch}
        for place, symbol in enumerate(self.times):
            sizes[symbol] = steps if mode != "apart" else steps + place
        for place, symbol in enumerate(self.others):
            sizes[symbol] = {"apart": batch + 2 + place, "steps": steps, "batch": batch, "alike": steps}[mode]
        return sizes

    def ways(self, batch: int, steps: int) -> Iterator[Sizes]:
        """The distinct bindings of one batch and number of steps, the freest first."""
        given = []
        for mode in MODES:
            sizes = self.bound(batch, steps, mode)
            if sizes not in given:
                given.append(sizes)
                yield sizes


def least_steps(takes: Callable[[int], bool]) -> int | None:
    """The least number of steps that a model takes (a kernel must fit into them); None if it takes none.

    Found by doubling and then halving: right where a model that takes some steps takes more as well.
    """
    low, high = 0, 1
    while not takes(high):
        low, high = high, high * 2
        if high > MOST_STEPS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def from_source(wanted: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[int | None]]:
    """The shapes that a framework wants of our inputs, by name, else by place; {} where they do not pair up."""
    shapes = {str(one["name"]): list(one["shape"]) for one in wanted}
    if set(names) <= set(shapes):
        return {name: shapes[name] for name in names}
    return dict(zip(names, shapes.values(), strict=True)) if len(shapes) == len(names) else {}
