"""The limits of one plan's calls, and what is settled of them beforehand; `running/account.py` keeps calls to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import LimitError
from ..graph import Dense, Graph, Loop, Node, Operator, Recurrent
from ..graph.derived import place
from ..graph.nodes import every_node
from ..limits import LEAST_WORK, Limits, over
from ..operators import OPERATORS
from .steps import Segment


def sized_by_numbers(graph: Graph) -> set[str]:
    """The names of nodes that make a size, or turns, of numbers which come with a run, and not from shapes alone."""
    numbers = {value.name for value in graph.inputs}         # values that are neither constant nor made of shapes
    found = set()
    for node in graph.nodes:
        if isinstance(node, Operator):
            given, spec = {i: name for i, name in enumerate(node.inputs) if name}, OPERATORS[node.op_type]
            if any(given.get(i) in numbers for i in spec.sized_by):
                found.add(node.name)
            if spec.of_shapes or not numbers.intersection(given.values()):
                continue
        elif isinstance(node, Loop):
            found.add(node.name)
        numbers.update(filter(None, node.outputs))
    return found


def checked_graph(graph: Graph, limits: Limits) -> Graph:
    """The graph itself. Raises LimitError where it has more nodes or weights than a model may."""
    if limits.nodes is not None and (nodes := sum(1 for _ in every_node(graph))) > limits.nodes:
        raise over("the model has", "nodes", nodes, limits.nodes, "nodes")
    if limits.weights is not None and (weights := sum(_weights(graph).values())) > limits.weights:
        raise over("the model's weights take", "weights", weights, limits.weights, "bytes")
    return graph


def _weights(graph: Graph) -> dict[Any, int]:
    """Bytes of the weights by where they stand, those that nodes share once."""
    return {place(array): array.nbytes for node in every_node(graph) for array in node.tensors().values()}


class Bounds(NamedTuple):
    """The limits of the calls of one graph's plan."""

    limits: Limits
    weights: int                # bytes
    numbers: int                # of weights and nodes, which a call may take work for
    sized: frozenset[str]       # nodes that make sizes of numbers
    small: int                  # elements that do not matter
    counted: int | None         # steps that the loops of the model's file count rightly; None for any

    @classmethod
    def of(cls, graph: Graph, limits: Limits) -> Bounds:
        weights = sum(_weights(graph).values())
        return cls(limits, weights, weights // 4 + len(graph.nodes), frozenset(sized_by_numbers(graph)),
                   min(1 << 20, limits.most_memory(0, 0) // 64), _counted(graph.metadata.get("most_steps", "")))

    @property
    def most_steps(self) -> int | None:
        """Of a sequence in one call; None for any."""
        return min((most for most in (self.limits.steps, self.counted) if most is not None), default=None)

    def limit_direct_calls(self, segment: Segment) -> None:
        """Let the core take calls that are far from the limits as they come, and leave the rest to an account."""
        memory = self.limits.most_memory(self.weights, 0)
        work = LEAST_WORK if self.limits.work is None else self.limits.work
        # Of a row and step; 8 numbers of 8 bytes for each that a layer has: more than it keeps.
        numbers = sum(-(-_width(node) // 64) * 64 for node in segment.nodes)
        cells = min(memory / (64 * max(numbers, 64)), work / max(sum(map(work_of, segment.nodes)), 1.0))
        segment.core.limit(self.most_steps or 2**31 - 1, cells)

    def check_steps(self, name: str, steps: int) -> None:
        """Raise LimitError for more steps than a call may have. name: of the input."""
        if self.limits.steps is not None and steps > self.limits.steps:
            raise over(f"input {name!r} has", "steps", steps, self.limits.steps, "steps")
        if self.counted is not None and steps > self.counted:
            raise LimitError(f"input {name!r} has {steps:,} steps; a loop in the file that the model was made of "
                             f"counts them in a type that rounds beyond {self.counted:,}, so it would leave off early. "
                             "Give fewer, or the sequence in parts: model.stream()")

    def check_memory(self, what: str, needed: int, inputs: int = 0) -> None:
        """Raise LimitError for more bytes than a call may take; `what` needs them."""
        most = self.limits.most_memory(self.weights, inputs)
        if needed > most:
            raise over(f"{what} need", "memory", needed, most, "bytes")

    def checked(self, node: Node, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel of a node. One that makes a size of numbers looks at them in every run, recorded ones too."""
        if not isinstance(node, Operator) or node.name not in self.sized:
            return kernel
        from ..operators.spec import operator_attributes

        grown, attributes = OPERATORS[node.op_type].grown, operator_attributes(node)
        if grown is None:
            return kernel

        def look_first(*inputs: Any) -> Any:
            count, itemsize = grown(attributes, inputs)
            given = sum(x.nbytes for x in inputs if x is not None)
            self.check_memory(f"the results of {label(node)}", count * itemsize, given)
            return kernel(*inputs)
        return look_first


def _counted(text: str) -> int | None:
    """What a model's metadata say, which may be anything."""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 19 else None


def label(node: Node) -> str:
    return f"node {node.name!r} ({node.op_type if isinstance(node, Operator) else node.op})"


def _width(node: Node) -> int:
    """How many numbers of a row and step a layer keeps at most."""
    if isinstance(node, Recurrent):
        return node.dirs * node.hidden * (node.gates + 4) + node.features
    return max([node.kernel.shape[1], 1]) if isinstance(node, Dense) else max(
        [array.shape[-1] for array in node.tensors().values() if array.ndim], default=1)


def work_of(node: Node) -> float:
    """About how many nanoseconds a layer takes for a row and step."""
    if isinstance(node, Recurrent):
        return node.dirs * node.gates * node.hidden * (node.features + node.output_size + 32) / 16
    if isinstance(node, Dense):
        return node.kernel.shape[1] * (node.kernel.shape[0] + 64) / 16
    return 1.0
