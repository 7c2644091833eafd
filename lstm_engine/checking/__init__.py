"""The engine beside its reference: with LSTM_ENGINE_CHECK=1 in the environment every step of every run is made twice.

A run of the C core is repeated by `reference/` in float64 on the same inputs, lengths and states, a host operator by
`onnx.reference`. Each step starts from what the step before it really gave, so errors do not add up over a model, and
an operator with jumps (Floor, ArgMax, a comparison) sees the same bits on both sides and must give the same result.

How far two results may be apart: a sum of n products in floating point is the exact sum of products that are each off
by some sqrt(n) roundings. So the reference runs again with every weight, input and state on the way off by as much, at
random (a cell of 1 that a step takes back to 0 is left with the roundings of 1): what that changes, times MARGIN, is
what rounding can do, however well or badly conditioned the step is.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._core import CoreModel, CoreStream, TryLock
from ..errors import CheckError, MissingDependencyError
from ..graph import Activate, Dense, Embedding, Graph, Node, Operator, Recurrent
from ..operators import OPERATORS
from ..operators.guards import chooses
from ..plan import HostStep, LoopStep, Plan, Segment
from ..plan.steps import Step
from ..plan.weights import restore
from ..reference.operators import jumps, run_operator
from ..reference.runner import run_layer, run_recurrent
from ..running.bound import BoundRun, Runner
from ..running.execute import execute
from .comparing import compare, moved


def guarded(plan: Plan, graph: Graph) -> Runner:
    """Runs the plan of a graph with every step checked as it runs; CheckError names the node that differs."""
    whole = {node.name: node for node in graph.nodes}
    return _GuardedRunner(dataclasses.replace(plan, steps=tuple(_checked(step, whole) for step in plan.steps)))


def _checked(step: Step, whole: dict[str, Node]) -> Step:
    if isinstance(step, LoopStep):
        return step                                 # its turns are runs of their own
    core: Any = isinstance(step, Segment) and _Core(step, [whole[node.name] for node in step.nodes])
    return _host(step, whole) if isinstance(step, HostStep) else dataclasses.replace(step, core=core)


class _GuardedRunner(Runner):
    """Holds recorded runs, which go round the steps, to the bits of a run that goes through them, checked."""

    def recorded(self, bound: BoundRun, values: Any, threads: int) -> dict[str, np.ndarray] | None:
        results = super().recorded(bound, values, threads)
        if results is None:
            return None
        again = execute(self._step_by_step, dict(values), 0, lengths={}, state_in={}, state_out={}, threads=threads)
        for name, array in results.items():
            if not np.array_equal(array, again[name], equal_nan=array.dtype.kind == "f"):
                raise CheckError(f"output {name!r}: a recorded run has other bits than one step by step")
        return results

    _beside = staticmethod(guarded)

    def lent(self, bound: BoundRun) -> None:
        """None: it would go past the checks."""

    def _inside(self, step: LoopStep) -> Runner:
        return guarded(step.body, restore(step.body.skeleton))

    @functools.cached_property
    def _step_by_step(self) -> Runner:
        return _Unrecorded(self.plan)


class _Unrecorded(Runner):
    """Records nothing."""

    def recorded(self, *arguments: Any) -> None:
        return None


def _is_gelu(node: Node) -> bool:
    functions = [f for direction in node.activations for f in direction] if isinstance(node, Recurrent) \
        else [node.activation] if isinstance(node, (Dense, Activate)) else []
    return any(function.name.startswith("gelu") for function in functions)


def _largest(arrays: Sequence[Any]) -> float:
    return max((float(np.nanmax(np.abs(array), initial=0)) for array in arrays
                if array is not None and array.dtype.kind == "f"), default=0.0)


# ---- host operators -----------------------------------------------------------------------------------------

def _host(step: HostStep, whole: dict[str, Node]) -> HostStep:
    node = whole.get(step.node.name, step.node)
    if chooses(node):
        return step                                          # it computes nothing

    def run(values: dict[str, np.ndarray]) -> None:
        inputs = [values[name] if name else None for name in node.inputs]
        step.run(values)
        _check_host(node, inputs, [values[name] for name in node.outputs if name])
    return step._replace(run=run)


def _check_host(node: Node, inputs: list[np.ndarray | None], made: list[np.ndarray]) -> None:
    what = f"node {node.name!r} ({getattr(node, 'op_type', node.op)})"
    constants = node.constants if isinstance(node, Operator) else {}
    given = [constants.get(position, array) for position, array in enumerate(inputs)]
    sizes = [array for array in given if array is not None]
    floats = [array.dtype for array in (*sizes, *made) if array.dtype.kind == "f"]
    dtype = min(floats, key=lambda kind: kind.itemsize, default=np.dtype(np.float64))
    terms = max([1, *(size for array in sizes for size in array.shape),
                 *(array.size // max(made[0].size, 1) for array in sizes)])
    if isinstance(node, Operator):
        if node.op_type == "Cast" and made[0].dtype.kind in "iu" and sizes[0].dtype.kind == "f":
            limits = np.iinfo(made[0].dtype)
            if not np.all((sizes[0] >= limits.min) & (sizes[0] <= limits.max)):
                return                                       # the standard leaves it open what these become
        names = tuple("" if array is None else f"x{i}" for i, array in enumerate(given))
        bare = dataclasses.replace(node, inputs=names, constants={})

        def run(change: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
            results = run_operator(bare, [None if array is None else change(array) for array in given])
            return [array for array, name in zip(results, node.outputs) if name]
    else:
        def run(change: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
            return [run_layer(moved(node, change), change(_wide(given[0])), None)]     # type: ignore[arg-type]
    exact = isinstance(node, Operator) and OPERATORS[node.op_type].exact
    floor = 0.0 if any(array.dtype.kind == "f" for array in sizes) else 2 * _largest(made)     # windows add cosines
    try:
        compare(what, made, run, dtype, terms, exact, _largest(given) ** 2 * terms, floor + jumps(node, given, dtype))
    except MissingDependencyError:
        _say_unchecked()


_said = False


def _say_unchecked() -> None:
    global _said
    if not _said:
        _said = True
        warnings.warn("LSTM_ENGINE_CHECK: host operators went unchecked, as the onnx package is missing: "
                      "pip install 'lstm-engine[onnx]'", RuntimeWarning, stacklevel=2)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


# ---- segments of the C core ---------------------------------------------------------------------------------

class _Core:
    """A CoreModel whose runs are checked. What it does not name goes to the model itself."""

    def __init__(self, segment: Segment, nodes: list[Node]) -> None:
        self._core: CoreModel = segment.core
        self._segment, self._nodes = segment, nodes
        self._slots = [slot for slot in segment.core.state_slots()] if segment.core.state_size else []
        self._terms = max([1, *(size for node in nodes for array in node.tensors().values() for size in array.shape
                                if not isinstance(node, Embedding))])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def run(self, inputs: list[Any], threads: int, lengths: list[Any], outputs: list[Any], state_in: Any,
            state_out: Any, split: str, block_steps: int, resumed: bool) -> list[np.ndarray]:
        before = None if state_in is None else state_in.copy()       # a stream's rows may be written in place
        made = self._core.run(inputs, threads, lengths, outputs, state_in, state_out, split, block_steps, resumed)
        self._check(inputs, lengths, made, before, state_out, resumed)
        return made

    def try_one(self, x: Any, threads: int, out: Any = None, lengths: Any = None) -> Any:
        y = self._core.try_one(x, threads, out, lengths)
        if y is not None:
            self._check([x], [lengths] * len(self._segment.axes), [y])
        return y

    def try_run(self, arrays: list[Any], threads: int) -> Any:
        results = self._core.try_run(arrays, threads)
        if results is not None:
            self._check(arrays, [None] * len(self._segment.axes), results)
        return results

    def stream(self, batch: int, rows: np.ndarray | None, threads: int, lock: TryLock) -> _Stream:
        own = TryLock(CheckError, "the stream is in use")
        return _Stream(self, self._core.stream(batch, rows, threads, own), rows, lock)

    def _check(self, inputs: list[Any], lengths: list[Any], outputs: list[Any], state_in: Any = None,
               state_out: Any = None, resumed: bool = False) -> None:
        given = [self._input(port, np.asarray(array), lengths) for port, array in zip(self._segment.ports, inputs)]
        made, shown = [], []
        for port, array in zip(self._segment.outputs, outputs):
            if array is not None:
                shown.append(port)
                made.append(self._real(port.axis, array, lengths))
        slots = list(self._state_parts())
        if state_out is not None:
            made += [state_out[:, at:at + size] for _, _, at, size in slots]

        def run(change: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
            values, states = self._reference(given, lengths, state_in, resumed, change)
            results = [self._real(port.axis, values[port.value], lengths) for port in shown]
            if state_out is not None:
                results += [states[name][part].reshape(len(state_out), size) for name, part, _, size in slots]
            return results

        if not self._nodes or not made:
            return
        names = ", ".join(f"{node.name!r} ({node.op})" for node in self._nodes)
        weights = [array for node in self._nodes for array in node.tensors().values()]
        largest = max(_largest(given), _largest(outputs), 1.0) * max(_largest(weights), 1.0) * self._terms
        # x/2 (1 + erf) and its like are rounded beside 1 where the result is small (docs/numerics.md: 5e-7).
        floor = 8.0 if any(_is_gelu(node) for node in self._nodes) else 0.0
        compare(f"segment of {names}", made, run, self._core.dtype, self._terms, largest=largest, floor=floor)

    def _input(self, port: Any, array: np.ndarray, lengths: list[Any]) -> np.ndarray:
        """An input as the core reads it, zeros past the end of each sequence, where anything may stand."""
        with np.errstate(over="ignore"):                     # a number beyond float32 is infinite to the core
            array = array.astype(np.int64 if port.ids else self._core.dtype)
        own = None if port.axis is None else lengths[port.axis]
        if own is not None:
            array[np.arange(array.shape[1]) >= np.asarray(own)[:, None]] = 0
        return array if port.ids else array.astype(np.float64)

    @staticmethod
    def _real(axis: int | None, array: np.ndarray, lengths: list[Any]) -> np.ndarray:
        """Zeros at the steps past the end, which do not count."""
        if axis is not None and lengths[axis] is not None:
            array = array.copy()
            array[np.arange(array.shape[1]) >= np.asarray(lengths[axis])[:, None]] = 0
        return array

    def _state_parts(self) -> Iterator[tuple[str, str, int, int]]:
        """(layer, "h" or "c", place, size) of each array in a state row."""
        for layer, (_, _, h, h_size, c, c_size) in zip(self._segment.layers, self._slots):
            yield layer.name, "h", h, h_size
            if c is not None:
                yield layer.name, "c", c, c_size

    def _reference(self, given: list[Any], lengths: list[Any], state_in: Any, resumed: bool,
                   change: Callable[[np.ndarray], np.ndarray]
                   ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
        """The values and final states of the segment's nodes in float64.

        A run that goes on from another shows what that left, in a row without steps too.
        """
        empty = "initial" if resumed else None
        ports = {(port.value, port.axis): change(array) for port, array in zip(self._segment.ports, given)}
        parts = {(name, part): slice(at, at + size) for name, part, at, size in self._state_parts()}
        values: dict[str, np.ndarray] = {}
        states: dict[str, dict[str, np.ndarray]] = {}
        for node, axis in zip(self._nodes, self._segment.node_axes):
            x = values[node.inputs[0]] if node.inputs[0] in values else ports[node.inputs[0], axis]
            own = None if axis is None else lengths[axis]
            if not isinstance(node, Recurrent):
                values[node.outputs[0]] = run_layer(moved(node, change), x, own)
                continue
            arguments: list[np.ndarray | None] = [x, own, None, None, None]
            for position, part in ((2, "h"), (3, "c")):
                name = node.inputs[position] if position < len(node.inputs) else ""
                if name:
                    arguments[position] = values[name] if name in values else ports[name, None]
                elif state_in is not None and (node.name, part) in parts:
                    arguments[position] = state_in[:, parts[node.name, part]].astype(np.float64)
            outputs, states[node.name] = run_recurrent(moved(node, change), arguments, own, {}, empty, change)
            values.update((name, array) for name, array in zip(node.outputs, outputs) if name)
        return values, states


class _Stream:
    """A CoreStream whose steps are checked, from the state that it had before each."""

    def __init__(self, core: _Core, stream: CoreStream, rows: np.ndarray | None, lock: TryLock) -> None:
        self._core, self._stream, self._rows, self._lock = core, stream, rows, lock

    def step(self, x: Any) -> Any:
        return self._checked(self._stream.step, x, True)

    def chunk(self, x: Any) -> Any:
        return self._checked(self._stream.chunk, x, False)

    def _checked(self, run: Callable[[Any], Any], x: Any, single: bool) -> Any:
        if not self._lock.acquire():
            return None                                      # the long way says what is wrong
        try:
            return self._alone(run, x, single)
        finally:
            self._lock.release()

    def _alone(self, run: Callable[[Any], Any], x: Any, single: bool) -> Any:
        before = None if self._rows is None else self._rows.copy()
        y = run(x)
        if y is None:
            return None
        segment = self._core._segment
        given, made = x, y
        if single:
            given = np.expand_dims(x, 1) if segment.ports[0].axis is not None else x
            made = np.expand_dims(y, 1) if segment.outputs[0].axis is not None else y
        elif segment.outputs[0].axis is None:
            return y if not x.shape[1] else self._steps(x, y, before)
        self._core._check([given], [None] * len(segment.axes), [made], before, self._rows)
        return y

    def _steps(self, x: np.ndarray, y: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        """A layer that gives its last step alone gave every step: each is the last of the steps up to it."""
        lengths = [None] * len(self._core._segment.axes)
        for t in range(x.shape[1]):
            last = self._rows if t == x.shape[1] - 1 else None
            self._core._check([x[:, :t + 1]], lengths, [y[:, t]], before, last)
        return y
