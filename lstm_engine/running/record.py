"""Recording a run of a plan, to make it again on inputs of the same shapes.

Around a small recurrent layer the time goes into calling: views made anew, arrays allocated, values looked up. For
given shapes all of that is always the same, so it is done once: every value gets its place in memory, operators that
only look at another value differently are views made in advance, and what remains is a list of calls that write where
the next ones read. Results have the bits of `execute.execute`, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._core import BoundCall
from ..arrays import owning_array
from ..graph import Operator
from ..operators import OPERATORS
from ..operators.guards import Guard, chooses, is_true
from ..operators.kernels import Call
from ..plan import HostStep, LoopStep, Segment
from ..plan.steps import Step
from ..plan.weights import arrays_of
from .account import Account
from .merge import merged

_Values = dict[str, np.ndarray]


class Unrepeatable(Exception):
    """This run cannot be made, or repeated, in memory laid out beforehand."""


class OtherBranch(Exception):
    """The inputs take a branch of the model that the run recorded did not take."""


@dataclass(frozen=True)
class Recording:
    """The calls of one run, in memory of their own: `inputs` are filled before they are made, `outputs` by them."""

    inputs: _Values
    calls: list[Call]
    outputs: _Values
    bytes: int

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> _Values:
        """The outputs for inputs of the shapes recorded, as new arrays."""
        for name, array in self.inputs.items():
            np.copyto(array, arrays[name])
        for function, arguments in self.calls:
            function(*arguments)
        return {name: array.copy() for name, array in self.outputs.items()}


def record(steps: Sequence[Step], guards: Sequence[Guard], outputs: Sequence[str], arrays: Mapping[str, np.ndarray],
           threads: int, most_bytes: int, account: Account | None = None) -> Recording:
    """A run of a plan's steps, each under its guard, on inputs of these shapes.

    account: what this run must keep to, where calls of these shapes were not looked at before.
    Calling it raises OtherBranch for inputs that take another branch.
    Raises Unrepeatable for a plan in which the shape or place of a value depends on more than the inputs' shapes, or
    whose values take more than `most_bytes`.
    """
    inputs = {name: array.copy() for name, array in arrays.items()}
    recorder = _Recorder(steps, guards, inputs, threads, most_bytes, account)
    return Recording(inputs, merged(recorder.calls), {name: recorder.values[name] for name in outputs}, recorder.bytes)


class _Recorder:
    """Runs the steps once, and notes what has to be called to run them again."""

    def __init__(self, steps: Sequence[Step], guards: Sequence[Guard], inputs: _Values, threads: int, most_bytes: int,
                 account: Account | None) -> None:
        self.bytes = 0
        self._account = account
        self.calls: list[Call] = []
        self.values: _Values = dict(inputs)
        self._fixed: set[str] = set()               # values that no input changes
        self._most = most_bytes
        self._looked_at: set[str] = set()           # conditions
        weights = [array for step in steps if isinstance(step, HostStep) for array in arrays_of(step.node)]
        self._counted = {id(owning_array(array)) for array in weights}
        self._count(*inputs.values())
        for step, guard in zip(steps, guards):
            before = len(self.calls)
            if not self._taken(guard):
                if account is not None:
                    account.passed_over()
            elif isinstance(step, LoopStep):
                raise Unrepeatable              # how many turns there are, and what they make, the numbers say
            elif isinstance(step, HostStep):
                self._add_host(step)
            else:
                self._add_segment(step, threads)
            self._count(*_arrays(self.calls[before:]))

    def _taken(self, guard: Guard) -> bool:
        """Whether this run has a step; every run of the recording will look whether it takes the same branch."""
        for name, wanted in guard:
            condition = self.values[name]
            taken = is_true(condition, name)
            if name not in self._looked_at and name not in self._fixed:
                self._looked_at.add(name)
                self.calls.append((_same_branch, (condition, taken)))
            if taken is not wanted:
                return False
        return True

    def _count(self, *arrays: np.ndarray) -> None:
        for array in map(owning_array, arrays):
            if id(array) not in self._counted:
                self._counted.add(id(array))
                self.bytes += array.nbytes
        if self.bytes > self._most:
            raise Unrepeatable

    def _add_segment(self, segment: Segment, threads: int) -> None:
        if any(axis.lengths or axis.mask for axis in segment.axes):
            raise Unrepeatable
        if self._account is not None:
            self._account.before(segment, self.values, threads)
        ready = []
        for port in segment.ports:
            array = self.values[port.value]
            dtype = array.dtype if port.ids else segment.core.dtype
            if not array.flags.c_contiguous or array.dtype != dtype:
                placed = np.ascontiguousarray(array, dtype)
                self.calls.append((partial(np.copyto, casting="same_kind"), (placed, array)))
                array = placed
            ready.append(array)
        call = segment.core.bind(ready, threads)
        if call is None:
            raise Unrepeatable
        call()
        self.calls.append((call, ()))
        self.values.update((port.value, array) for port, array in zip(segment.outputs, call.outputs))

    def _add_host(self, step: HostStep) -> None:
        node, kernel = step.node, step.kernel
        if self._account is not None:
            self._account.before(step, self.values, 1)
        if chooses(node):
            self._choose(step)
            return
        inputs = step.inputs(self.values)
        made = kernel(*inputs)
        several = isinstance(made, (list, tuple))
        results = [np.asarray(array) for array in (made if several else (made,))]
        names = [name for name in node.inputs if name]
        if isinstance(node, Operator) and (self._fixed.issuperset(names) or OPERATORS[node.op_type].of_shapes):
            self._fixed.update(node.outputs)
        elif not self._views(node, inputs, results):
            results = [_placed(array) for array in results]
            self.calls += _repetition(kernel, inputs, results, several)
        self._count(*results)
        self.values.update((name, array) for name, array in zip(node.outputs, results) if name)

    def _choose(self, step: HostStep) -> None:
        """Let the value of the branch that this run takes be the result."""
        condition = step.node.inputs[0]
        if condition:
            self._taken(((condition, True),))               # every run will look at it
        step.run(self.values)
        if self._fixed.issuperset(filter(None, step.node.inputs)):
            self._fixed.update(step.node.outputs)

    def _views(self, node: Any, inputs: Sequence[np.ndarray | None], results: Sequence[np.ndarray]) -> bool:
        """Whether the results only show the first input, the same places of it every time."""
        return isinstance(node, Operator) and OPERATORS[node.op_type].view != "" and inputs[0] is not None \
            and self._fixed.issuperset(name for name in node.inputs[1:] if name) \
            and all(array.size and np.may_share_memory(array, inputs[0]) for array in results)


def _same_branch(condition: np.ndarray, taken: bool) -> None:
    if bool(condition.item()) is not taken:
        raise OtherBranch


def _arrays(calls: Sequence[Call]) -> Iterator[np.ndarray]:
    """The arrays that calls read and write."""
    for function, arguments in calls:
        parts: list[Any] = [*arguments, getattr(function, "__self__", None)]
        if isinstance(function, partial):
            parts += [*function.args, *function.keywords.values()]
        if isinstance(function, BoundCall):
            parts += [*function.inputs, *function.outputs]
        for part in parts:
            yield from (array for array in (part if isinstance(part, tuple) else (part,))
                        if isinstance(array, np.ndarray))


def _placed(array: np.ndarray) -> np.ndarray:
    """Memory for a value, with what is in it; laid out like `array`: the layout decides how NumPy goes on to sum."""
    placed = np.empty_like(array)
    if not _same_layout(placed, array):
        before = sum((1 - size) * stride for size, stride in zip(array.shape, array.strides) if stride < 0)
        after = sum((size - 1) * stride for size, stride in zip(array.shape, array.strides) if stride > 0)
        memory = np.empty(before + after + array.itemsize, np.uint8)
        placed = np.ndarray(array.shape, array.dtype, memory, before, array.strides)
    placed[...] = array
    return placed


def _same_layout(a: np.ndarray, b: np.ndarray) -> bool:
    return not a.size or all(p == q for size, p, q in zip(a.shape, a.strides, b.strides) if size > 1)


def _repetition(kernel: Callable[..., Any], inputs: list[np.ndarray | None], placed: list[np.ndarray],
                several: bool) -> list[Call]:
    """The calls that put a kernel's results for these inputs where they are placed."""
    if not several and _same_layout(placed[0], np.empty_like(placed[0])):
        if isinstance(kernel, np.ufunc):
            return [(kernel, (*inputs, placed[0]))]
        repetition = getattr(kernel, "repetition", None)
        calls = repetition(placed[0], *inputs) if repetition is not None else None
        if calls is not None:
            return list(calls)

    def again() -> None:
        made = kernel(*inputs)
        for array, target in zip(made if several else (made,), placed):
            if np.shape(array) != target.shape or not _same_layout(np.asarray(array), target):
                raise Unrepeatable
            target[...] = array
    return [(again, ())]
