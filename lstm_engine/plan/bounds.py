"""Keeps the calls of one plan within its limits: what they take is told before they take it.

Sizes decide. A call on shapes of inputs that were within the limits once is not looked at again, unless the graph makes
sizes of numbers (`sized_by_numbers`): then each call is, and the operators where that happens look at their inputs
themselves. Runs that are recorded cost nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import owning_array
from ..errors import LimitError
from ..graph import Dense, Graph, Node, Operator, Recurrent
from ..graph.derived import place
from ..limits import LEAST_WORK, Limits, over
from ..operators import OPERATORS
from ..operators.costs import Need
from .estimate import estimate_of
from .foresee import Foreseen
from .ports import sizes
from .steps import HostStep, Segment, Step

Values = Mapping[str, np.ndarray]


def sized_by_numbers(graph: Graph) -> set[str]:
    """The names of nodes that make a size of numbers which come with a run, and not from shapes alone."""
    numbers = {value.name for value in graph.inputs}         # values that are neither constant nor made of shapes
    found = set()
    for node in graph.nodes:
        if isinstance(node, Operator):
            given, spec = {i: name for i, name in enumerate(node.inputs) if name}, OPERATORS[node.op_type]
            if any(given.get(i) in numbers for i in spec.sized_by):
                found.add(node.name)
            if spec.of_shapes or not numbers.intersection(given.values()):
                continue
        numbers.update(filter(None, node.outputs))
    return found


def checked_graph(graph: Graph, limits: Limits) -> Graph:
    """The graph itself. Raises LimitError where it has more nodes or weights than a model may."""
    if limits.nodes is not None and len(graph.nodes) > limits.nodes:
        raise over("the model has", "nodes", len(graph.nodes), limits.nodes, "nodes")
    if limits.weights is not None and (weights := sum(_weights(graph).values())) > limits.weights:
        raise over("the model's weights take", "weights", weights, limits.weights, "bytes")
    return graph


def _weights(graph: Graph) -> dict[Any, int]:
    """Bytes of the weights by where they stand, those that nodes share once."""
    return {place(array): array.nbytes for node in graph.nodes for array in node.tensors().values()}


class Bounds:
    """The limits of the calls of one graph's plan."""

    MOST_SEEN = 64

    def __init__(self, graph: Graph, limits: Limits) -> None:
        own = _weights(graph)
        self.limits, self.weights = limits, sum(own.values())
        self.numbers = self.weights // 4 + len(graph.nodes)
        self._inputs = [value.name for value in graph.inputs]
        self._sized = sized_by_numbers(graph)
        self.small = min(1 << 20, self.limits.most_memory(0, 0) // 64)      # elements that do not matter
        self._looks: dict[int, _Look] = {}
        self._seen: set[tuple[Any, ...]] = set()

    def account(self, values: Values, steps: Sequence[Step], drops: Sequence[tuple[str, ...]]) -> Account | None:
        """What a call on these inputs has to keep to; None where calls of these shapes did."""
        if not self._sized and self._key(values) in self._seen:
            return None
        return Account(self, values, self._key(values), steps, drops)

    def keep(self, account: Account) -> None:
        """Calls on inputs of the same shapes are within the limits."""
        if len(self._seen) >= self.MOST_SEEN:
            self._seen.clear()
        self._seen.add(account.key)

    def _key(self, values: Values) -> tuple[Any, ...]:
        return tuple([values[name].shape for name in self._inputs])

    def look(self, step: HostStep) -> _Look:
        """How a node is looked at, made once."""
        found = self._looks.get(id(step))
        if found is None:
            found = self._looks[id(step)] = _Look(step)
        return found

    def limit_quick_calls(self, segment: Segment) -> None:
        """Let the core take calls that are far from the limits as they come, and leave the rest to an account."""
        memory = self.limits.most_memory(self.weights, 0)
        work = LEAST_WORK if self.limits.work is None else self.limits.work
        # Of a row and step; 8 numbers of 8 bytes for each that a layer has: more than it keeps.
        numbers = sum(-(-_width(node) // 64) * 64 for node in segment.nodes)
        cells = min(memory / (64 * max(numbers, 64)), work / max(sum(map(_work, segment.nodes)), 1.0))
        segment.core.limit(self.limits.steps or 2**31 - 1, cells)

    def check_steps(self, name: str, steps: int) -> None:
        """Raise LimitError for more steps than a call may have. name: of the input."""
        if self.limits.steps is not None and steps > self.limits.steps:
            raise over(f"input {name!r} has", "steps", steps, self.limits.steps, "steps")

    def check_memory(self, what: str, needed: int, inputs: int = 0) -> None:
        """Raise LimitError for more bytes than a call may take; `what` needs them."""
        most = self.limits.most_memory(self.weights, inputs)
        if needed > most:
            raise over(f"{what} need", "memory", needed, most, "bytes")

    def checked(self, node: Node, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel of a node. One that makes a size of numbers looks at them in every run, recorded ones too."""
        grown = OPERATORS[node.op_type].grown if isinstance(node, Operator) and node.name in self._sized else None
        if grown is None:
            return kernel

        def look_first(*inputs: Any) -> Any:
            count, itemsize = grown(inputs)
            given = sum(x.nbytes for x in inputs if x is not None)
            self.check_memory(f"the results of {label(node)}", count * itemsize, given)
            return kernel(*inputs)
        return look_first


def label(node: Node) -> str:
    return f"node {node.name!r} ({node.op_type if isinstance(node, Operator) else node.op})"


class _Look:
    """What is asked of a node before and after each run that is looked at: short, for a model may have hundreds."""

    def __init__(self, step: HostStep) -> None:
        node = step.node
        constants = node.constants if isinstance(node, Operator) else {}
        self._inputs = [("", constants[i]) if i in constants else (name, None) for i, name in enumerate(node.inputs)]
        self._estimate = estimate_of(node)
        self.outputs = tuple(filter(None, node.outputs))
        # Whether results may show the memory of an input.
        spec = OPERATORS[node.op_type] if isinstance(node, Operator) else None
        self.shows = spec is not None and (spec.of_shapes or spec.view != "" and not spec.combines)

    def need(self, values: Values, small: int) -> Need:
        return self._estimate([values[name] if name else array for name, array in self._inputs], small)

    def made(self, values: Values) -> int:
        """Bytes of the results."""
        made = 0
        for name in self.outputs:
            array = values[name]
            if not self.shows or array.base is None:
                made += array.nbytes
        return made


class Account:
    """What one call may take, and has taken.

    `steps`, `drops`: of the plan. A call that turns out long or large is gone through to its end by shapes, once: what
    doubles with every node is then refused while it is small.
    """

    LONG, LARGE = 1 << 27, 64 << 20         # nanoseconds, bytes
    CALL = 1000                             # nanoseconds of calling one step

    def __init__(self, bounds: Bounds, inputs: Values, key: tuple[Any, ...], steps: Sequence[Step],
                 drops: Sequence[tuple[str, ...]]) -> None:
        self._bounds, self.key = bounds, key
        self._steps, self._drops, self._done = steps, drops, 0
        self._foreseen: Foreseen | None = None
        given = list(inputs.values())
        self.memory = bounds.limits.most_memory(bounds.weights, sum(array.nbytes for array in given))
        self.work = bounds.limits.most_work(bounds.numbers, sum(array.size for array in given))
        self._inputs = {id(owning_array(array)) for array in given}
        self._values = self._workspaces = self._worked = 0

    def before(self, step: Step, values: Values, threads: int) -> None:
        """Raise LimitError where the next step, on these values, would go beyond the limits."""
        need = self._need(step, values, threads)
        self._worked += need.work + self.CALL
        if self._values + self._workspaces + need.bytes > self.memory:
            self._count(values)
        if self._worked > self.work or self._values + self._workspaces + need.bytes > self.memory:
            raise self._over(step, self._values + need.bytes)
        if self._foreseen is None and (self._worked > self.LONG or self._values > self.LARGE):
            self._foresee(values, threads)
        self._done += 1

    def after(self, step: Step, values: Values) -> None:
        """Count what the step has made."""
        if isinstance(step, HostStep):
            self._values += self._bounds.look(step).made(values)
        else:
            self._values += sum(values[port.value].nbytes for port in step.outputs)

    def _need(self, step: Step, values: Values, threads: int) -> Need:
        if isinstance(step, HostStep):
            return self._bounds.look(step).need(values, self._bounds.small)
        rows, steps = sizes(step, values)
        itemsize = np.dtype(step.core.dtype).itemsize
        made = sum(rows * port.features * itemsize * (1 if port.axis is None else steps[port.axis])
                   for port in step.outputs)
        workspace = step.core.run_bytes(rows, steps, threads, True, step.core.state_size > 0)
        self._workspaces += workspace           # which the core keeps
        return Need(made, int(sum(_work(node) * rows * (1 if axis is None else steps[axis])
                                  for node, axis in zip(step.nodes, step.node_axes))))

    def _count(self, values: Values) -> dict[str, int]:
        """Count the values that are there: what was made may be gone by now. Bytes by name, of one of those that show
        the same memory."""
        self._worked += 200 * len(values)
        seen, held = set(self._inputs), {}
        for name, array in values.items():
            owner = owning_array(array)
            held[name] = 0 if id(owner) in seen else owner.nbytes
            seen.add(id(owner))
        self._values = sum(held.values())
        return held

    def _over(self, step: Step, values: int) -> LimitError:
        """The error for a step that makes it so many bytes of values, or too much work."""
        if values + self._workspaces > self.memory:
            return over(f"{_label_of(step)} brings the memory of this call to", "memory", values + self._workspaces,
                        self.memory, "bytes")
        return over(f"{_label_of(step)} brings the work of this call to", "work", self._worked, self.work,
                    "nanoseconds")

    def _foresee(self, values: Values, threads: int) -> None:
        """Go through the steps that are left by shapes, and raise what they would raise."""
        self._foreseen = foreseen = Foreseen(values)
        live = self._count(values)
        before, held = (self._workspaces, self._worked), self._values
        for step, done in zip(self._steps[self._done:], self._drops[self._done:]):
            told = not foreseen.open(step) if isinstance(step, Segment) else foreseen.inputs(step) is not None
            if told:
                need = self._need(step, foreseen.values, threads)
                self._worked += need.work + self.CALL
                if self._worked > self.work or held + self._workspaces + need.bytes > self.memory:
                    raise self._over(step, held + need.bytes)
                foreseen.make(step)
                shows = isinstance(step, HostStep) and self._bounds.look(step).shows
                made = {name: 0 if shows else foreseen.values[name].nbytes for name in step.makes()
                        if name in foreseen.values}
                live.update(made)
                held += sum(made.values())
            held -= sum(live.pop(name, 0) for name in done)
        self._workspaces, self._worked = before


def _label_of(step: Step) -> str:
    if isinstance(step, HostStep):
        return label(step.node)
    return f"{label(step.nodes[0])}{' and what runs with it' if len(step.nodes) > 1 else ''}"


def _width(node: Node) -> int:
    """How many numbers of a row and step a layer keeps at most."""
    if isinstance(node, Recurrent):
        return node.dirs * node.hidden * (node.gates + 4) + node.features
    return max([node.kernel.shape[1], 1]) if isinstance(node, Dense) else max(
        [array.shape[-1] for array in node.tensors().values() if array.ndim], default=1)


def _work(node: Node) -> float:
    """About how many nanoseconds a layer takes for a row and step."""
    if isinstance(node, Recurrent):
        return node.dirs * node.gates * node.hidden * (node.features + node.output_size + 32) / 16
    if isinstance(node, Dense):
        return node.kernel.shape[1] * (node.kernel.shape[0] + 64) / 16
    return 1.0
