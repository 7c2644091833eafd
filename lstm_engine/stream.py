"""Streams: a model run step by step, its recurrent state kept between the calls."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import runtime
from .arguments import shown, whole_number
from .arrays import Owners, plain_array
from .entry import entry, out_of_memory
from .errors import ArgumentError, ArgumentTypeError, LstmEngineError, UnsupportedError
from .graph import Pool, Recurrent, Value
from .inputs import InputCheck, converted
from .plan import HostStep, Plan
from .plan.execute import execute
from .plan.step_axes import across_time, step_places, takes_last_step

if TYPE_CHECKING:
    from .model import Model


class Stream:
    """`batch` live sequences of one model. Made by `Model.stream`; a context manager.

    A layer that gives its last step alone emits every step here. With `states`, a step is a `predict` whose outputs
    come back as the inputs they are paired with: nothing else is carried, as a layer without a pair may run over rows
    of its own, such as the bands of a spectrum. A stream belongs to one thread at a time.
    """

    @entry
    def __init__(self, model: Model, batch: int = 1, states: Mapping[str, str] | None = None,
                 threads: int | None = None) -> None:
        self._model, self._plan, self._batch = model, model._plan, whole_number(batch, "stream: batch")
        runtime.num_threads(threads)
        self._threads = threads
        if states is not None and not isinstance(states, Mapping):
            raise ArgumentTypeError("stream: states is a dict {input name: output name}, "
                                    f"not {type(states).__name__}")
        self._pairs = dict(states or {})
        self._axes = self._plan.axes
        self._inputs = _stepped_inputs(self._plan, self._pairs)
        self._check = InputCheck(self._inputs, self._axes)
        self._busy = threading.Lock()
        self._closed = False
        self._layout = model._states
        self._rows = {} if self._pairs else self._layout.zeros(self.batch)
        self._fed = {name: self._zero_input(name) for name in self._pairs}
        self._fast = self._fast_core()

    @property
    def batch(self) -> int:
        """The number of its sequences."""
        return self._batch

    def __reduce__(self) -> NoReturn:
        raise ArgumentTypeError("a stream can be neither pickled nor copied: make one with Model.stream, and set its "
                                "state to the state of this one")

    def __enter__(self) -> Stream:
        if self._closed:
            raise StreamError("the stream is closed")
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; any later call on it raises."""
        self._closed = True
        self._fast = None

    # ---- running ------------------------------------------------------------------------------------------

    def step(self, x: Any) -> Any:
        """One step: x [batch, features], or [batch] token ids; returns [batch, features] (a dict where there are
        several outputs). A model with explicit states takes its other input in its own full shape as well."""
        fast = self._fast                       # once: another thread may close the stream
        if fast is not None and type(x) is np.ndarray:
            try:
                y = fast.step(x)
            except MemoryError as error:
                out_of_memory(error)
            if y is not None:
                return y
        return self._step(x)

    @entry
    def _step(self, x: Any) -> Any:
        with self._turn():
            arrays = self._checked(self._with_time(x))
            for name, array in arrays.items():
                axis = self._axes.time_axis(name)
                if axis is not None and array.shape[axis] != 1 and not self._pairs:
                    raise ArgumentError(f"stream.step: input {name!r} has {array.shape[axis]} steps; "
                                        "use run for more than one")
            return self._single_steps(self._run(arrays))

    def run(self, x: Any) -> Any:
        """Several steps: x [batch, steps, features], or [batch, steps] token ids (or the layout that the model's
        `inputs` show); returns every step's output, [batch, steps, features]. The same bits as `step` for each."""
        fast = self._fast
        if fast is not None and type(x) is np.ndarray:
            try:
                y = fast.chunk(x)
            except MemoryError as error:
                out_of_memory(error)
            if y is not None:
                return y
        return self._several(x)

    @entry
    def _several(self, x: Any) -> Any:
        with self._turn():
            arrays = self._checked(x)
            if not self._pairs and all(self._sequence(name) for name in self._plan.outputs):
                return self._answer(self._run(arrays))
            return self._step_by_step(arrays)

    def _step_by_step(self, arrays: dict[str, np.ndarray]) -> Any:
        """Run each step on its own, because an output is not a sequence; all of them, or none."""
        timed = {name: axis for name in arrays if (axis := self._axes.time_axis(name)) is not None}
        if not timed:
            raise UnsupportedError("stream.run: no input of this model has a time axis; use step")
        steps = {arrays[name].shape[axis] for name, axis in timed.items()}
        if len(steps) != 1:
            raise ArgumentError(f"stream.run: the inputs have different numbers of steps ({sorted(steps)})")
        along = next(iter(timed.values()))               # where outputs that are no sequences get their steps
        made: dict[str, list[np.ndarray]] = {name: [] for name in self._own_outputs()}
        before = {number: rows.copy() for number, rows in self._rows.items()}, self._fed
        try:
            for t in range(steps.pop()):
                now = {name: arrays[name][(slice(None),) * axis + (slice(t, t + 1),)] for name, axis in timed.items()}
                results = self._run({**arrays, **now})
                for name in made:
                    array = results[name]
                    made[name].append(array if self._sequence(name) else
                                      np.expand_dims(array, min(along, array.ndim)))
        except BaseException:
            self._keep(*before)
            raise
        joined = {}
        for name, parts in made.items():
            axis = self._axes.time_axis(name)
            at = min(along, len(self._plan.values[name].shape)) if axis is None else axis
            joined[name] = np.concatenate(parts, at) if parts else self._no_steps(name, along)
        return self._answer(joined)

    def _checked(self, x: Any) -> dict[str, np.ndarray]:
        """The inputs by name, each with this stream's rows; sequences of one length."""
        checked = self._check(x, None)
        for name, array in checked.arrays.items():
            axis = self._axes.batch_axis(name)
            if axis is not None and array.shape[axis] != self.batch:
                raise ArgumentError(f"input {name!r}: expected the {self.batch} rows of this stream, "
                                    f"got {array.shape[axis]}")
        if any((own != own[:1]).any() for own in checked.lengths.values()):
            raise ArgumentError("stream.run: the sequences of one call must have the same number of steps")
        return checked.arrays

    def _run(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run a chunk and carry every state on, or raise with the states as they were."""
        made = {} if self._pairs else self._layout.empty(self.batch)
        results = execute(self._plan, {**arrays, **self._fed}, self.batch, lengths={}, state_in=self._rows,
                          state_out=made, threads=runtime.num_threads(self._threads), carry=not self._pairs)
        # What a host operator passes on may be the caller's array, a constant of the model, or a state.
        for name in self._model._may_alias:
            if name in self._pairs.values():
                results[name] = results[name].copy()
        fed = {name: results[source] for name, source in self._pairs.items()}
        answer = {name: results[name] for name in self._own_outputs()}
        held = Owners([*arrays.values(), *self._fed.values(), *fed.values()])
        for name in answer.keys() & self._model._may_alias:
            if held.share(answer[name]) or self._model._constants.share(answer[name]):
                answer[name] = answer[name].copy()
        self._keep(made, fed)
        return answer

    def _keep(self, rows: Mapping[int, np.ndarray], fed: dict[str, np.ndarray]) -> None:
        for number, own in rows.items():
            self._rows[number][...] = own          # in place: the fast path reads the same memory
        self._fed = fed

    # ---- state --------------------------------------------------------------------------------------------

    @property
    @entry
    def state(self) -> dict[str, Any]:
        """A copy of the state: {layer: {"h": [batch, dirs, hidden], "c": ...}}, or explicit states by input name."""
        with self._turn():
            if self._pairs:
                return {name: array.copy() for name, array in self._fed.items()}
            return dict(self._layout.unpack(self._rows, given=False))

    @state.setter
    @entry
    def state(self, state: Mapping[str, Any]) -> None:
        with self._turn():
            if not isinstance(state, Mapping):
                raise ArgumentTypeError(f"a state is a dict, not {type(state).__name__}")
            unknown = [name for name in state if self._pairs and name not in self._pairs]
            if unknown:
                raise ArgumentError(f"state {shown(unknown[0])}: the stream has no such state; it has "
                                    f"{', '.join(self._pairs)}")
            rows = {} if self._pairs else self._layout.pack(state, self.batch)
            fed = dict(self._fed)
            for name in self._pairs:
                array = plain_array(state.get(name, self._zero_input(name)), f"state {name!r}")
                if array.shape != fed[name].shape or array.dtype.kind not in "fiu":
                    raise ArgumentError(f"state {name!r}: expected numbers of shape {fed[name].shape}, "
                                        f"got {array.dtype} of shape {array.shape}")
                fed[name] = converted(self._model.inputs[name], array, f"state {name!r}").copy()
            self._keep(rows, fed)

    @entry
    def reset(self, rows: Iterable[int] | int | None = None) -> None:
        """Set the state of all sequences, or of some rows, back to zero."""
        with self._turn():
            chosen: Any = slice(None)
            if rows is not None:
                chosen = np.atleast_1d(plain_array(rows, "reset"))
                if chosen.size and chosen.dtype.kind not in "iu" or chosen.ndim != 1 \
                        or chosen.size and ((chosen < 0) | (chosen >= self.batch)).any():
                    raise ArgumentError(f"reset: rows are whole numbers from 0 to {self.batch - 1}, got {shown(rows)}")
                chosen = chosen.astype(np.intp) if chosen.size else np.zeros(0, np.intp)
            whole = [name for name in self._pairs if self._axes.batch_axis(name) is None]
            if rows is not None and whole:
                raise ArgumentError(f"reset: state {whole[0]!r} has no batch axis, so single rows cannot be reset")
            for state in self._rows.values():
                state[chosen] = 0
            for name in self._pairs:
                fed = np.zeros_like(self._fed[name]) if rows is None else self._fed[name].copy()
                if rows is not None:
                    np.moveaxis(fed, self._axes.batch_axis(name), 0)[chosen] = 0     # type: ignore[arg-type]
                self._fed[name] = fed

    # ---- details ------------------------------------------------------------------------------------------

    def _turn(self) -> _Turn:
        return _Turn(self)

    def _fast_core(self) -> Any:
        """The C core's own stream, for a plan that is one segment with one input and one output."""
        if len(self._plan.steps) != 1 or self._pairs or isinstance(self._plan.steps[0], HostStep):
            return None
        segment = self._plan.steps[0]
        if len(segment.ports) != 1 or len(segment.outputs) != 1 \
                or any(axis.mask or axis.lengths for axis in segment.axes) \
                or not segment.takes_declared(self._plan.values):
            return None
        rows = self._rows.get(0)
        return segment.stream(self.batch, rows, self._threads or 0, self._busy)

    def _zero_input(self, name: str) -> np.ndarray:
        value = self._model.inputs[name]
        if any(isinstance(dim, str) and dim != self._axes.batch for dim in value.shape):
            raise ArgumentError(f"stream: the size of state {name!r} {list(value.shape)} is not known")
        shape = [self.batch if dim == self._axes.batch and isinstance(dim, str) else dim for dim in value.shape]
        return np.zeros(shape, value.dtype)

    def _own_outputs(self) -> list[str]:
        return [name for name in self._plan.outputs if name not in self._pairs.values()]

    def _sequence(self, name: str) -> bool:
        return self._axes.time_axis(name) is not None

    def _no_steps(self, name: str, along: int) -> np.ndarray:
        value = self._plan.values[name]
        shape = [self.batch if dim == self._axes.batch else dim if isinstance(dim, int) else 0 for dim in value.shape]
        return np.empty(shape if self._sequence(name) else [*shape[:along], 0, *shape[along:]], value.dtype)

    def _with_time(self, x: Any) -> Any:
        """Step inputs with their time axis of 1 put in."""
        def widen(value: Value, array: Any) -> Any:
            array, axis = plain_array(array, f"input {value.name!r}"), self._axes.time_axis(value.name)
            return array if axis is None or array.ndim != len(value.shape) - 1 else np.expand_dims(array, axis)

        if isinstance(x, Mapping):
            own = {value.name: value for value in self._inputs}
            return {name: widen(own[name], array) if name in own else array for name, array in x.items()}
        if isinstance(x, tuple) and len(x) == len(self._inputs) > 1:
            return tuple(widen(value, array) for value, array in zip(self._inputs, x, strict=True))
        return widen(self._inputs[0], x) if len(self._inputs) == 1 else x

    def _single_steps(self, results: dict[str, np.ndarray]) -> Any:
        return self._answer({name: array if axis is None or self._pairs else array[(slice(None),) * axis + (0,)]
                             for name, array in results.items() for axis in (self._axes.time_axis(name),)})

    @staticmethod
    def _answer(results: dict[str, np.ndarray]) -> Any:
        return next(iter(results.values())) if len(results) == 1 else results


class _Turn:
    """Holds the stream for one call; a second thread, or a closed stream, is an error."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream._closed:
            raise StreamError("the stream is closed")
        if not self.stream._busy.acquire(blocking=False):
            raise StreamError("the stream is in use by another thread")

    def __exit__(self, *exc: object) -> None:
        self.stream._busy.release()


class StreamError(LstmEngineError, RuntimeError):
    """A stream was used after it was closed, or by two threads at once."""


def _stepped_inputs(plan: Plan, pairs: Mapping[str, str]) -> tuple[Value, ...]:
    """The inputs a stream is fed with; UnsupportedError if the model cannot run step by step."""
    names = {value.name for value in plan.inputs}
    for name, source in pairs.items():
        if name not in names:
            raise ArgumentError(f"stream: states names the input {name!r}; the model has {', '.join(sorted(names))}")
        if source not in plan.outputs:
            raise ArgumentError(f"stream: states names the output {source!r}; the model has {', '.join(plan.outputs)}")
    inputs = tuple(value for value in plan.inputs if value.name not in pairs)
    if not inputs:
        raise ArgumentError("stream: no input is left to feed")
    if pairs:
        return inputs                       # such a model is a step by its own definition
    for value in inputs:
        if other := plan.axes.unsettled(value.name):
            raise UnsupportedError(f"this model cannot run step by step: nothing says whether {other!r} of input "
                                   f"{value.name!r} {list(value.shape)} is the time axis; give both one name in the "
                                   "model's inputs, or fix its size (spec={'shapes': ...})")
    for time in plan.axes.times:
        places = step_places(plan.light.nodes, plan.inputs, plan.axes, time, streamed=True)
        if why := across_time(places, plan.outputs):
            raise UnsupportedError(f"this model cannot run step by step: {why}")
    _refuse_last_steps_in_sequences(plan)
    for node in _nodes(plan):
        if isinstance(node, Recurrent) and node.direction != "forward":
            raise UnsupportedError(f"this model cannot run step by step: layer {node.name!r} is {node.direction}, "
                                   "so its first output needs the last input")
        if isinstance(node, Pool) and node.kind != "last":
            raise UnsupportedError(f"this model cannot run step by step: {node.name!r} pools over all steps "
                                   f"({node.kind})")
        if isinstance(node, Recurrent) and any(node.inputs[1:4]):
            raise UnsupportedError(f"this model cannot run step by step: layer {node.name!r} takes its lengths or "
                                   "initial state from another value; pair explicit states with states={input: output}")
    return inputs


def _refuse_last_steps_in_sequences(plan: Plan) -> None:
    """Refuse a model in which the last step of a sequence enters every step of another: none can be made before it."""
    last: set[str] = set()                     # values that depend on a last step and have no time themselves
    for node in _nodes(plan):
        depends = not last.isdisjoint(node.inputs) or isinstance(node, Pool) or takes_last_step(node, plan.axes)
        for position, name in enumerate(node.outputs):
            if not name or not (depends or isinstance(node, Recurrent) and position > 0):
                continue
            if plan.axes.time_axis(name) is not None:
                raise UnsupportedError(f"this model cannot run step by step: node {node.name!r} makes a sequence from "
                                       "the last step of another, so its first step needs the last input")
            last.add(name)


def _nodes(plan: Plan) -> Iterable[Any]:
    for step in plan.steps:
        yield from [step.node] if isinstance(step, HostStep) else step.nodes
