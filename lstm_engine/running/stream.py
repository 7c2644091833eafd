"""Streams: a model run step by step, its recurrent state kept between the calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn, overload

import numpy as np

from .. import runtime
from .._core import TryLock
from ..arguments import shown, whole_number
from ..arrays import plain_array
from ..entry import entry, out_of_memory
from ..errors import ArgumentError, ArgumentTypeError, LstmEngineError, UnsupportedError
from ..graph import Value
from ..plan import Segment
from ..plan.state_pairs import state_pairs
from ..plan.stepwise import fed_inputs
from ..types import Array, Arrays, Input, Inputs, SupportsArray
from .bound import Runner
from .execute import execute
from .explicit import Explicit
from .inputs import InputCheck
from .pasts import Pasts

_Rows = dict[int, np.ndarray]           # state rows by segment, see StateLayout


class Stream:
    """`batch` live sequences of one model. Made by `Model.stream`; a context manager.

    A layer that gives its last step alone emits every step here. Windows over time carry their past. With `states`, a
    step is a `predict` whose outputs come back as the inputs they are paired with: nothing else is carried, as a layer
    without a pair may run over rows of its own, such as the bands of a spectrum. A stream belongs to one thread at a
    time.
    """

    @entry
    def __init__(self, runner: Runner, batch: int = 1, states: Mapping[str, str] | None = None,
                 threads: int | None = None) -> None:
        self._batch = whole_number(batch, "stream: batch")
        runtime.num_threads(threads)
        self._threads = threads
        if states is not None and not isinstance(states, Mapping):
            raise ArgumentTypeError("stream: states is a dict {input name: output name}, "
                                    f"not {type(states).__name__}")
        # A model whose layers begin with inputs and end with outputs goes on by itself.
        proven = {} if states is not None else state_pairs(runner.plan)
        self._pairs = dict(states or proven)
        self._a_step_each = bool(states)                    # by definition: nothing more is known of its steps
        found = None if self._pairs else runner.streaming(runtime.num_threads(threads))
        self._runner, streaming = found or (runner, None)
        self._plan = self._runner.plan
        self._axes = self._plan.axes
        try:
            self._inputs, fed_axes = fed_inputs(self._plan, self._batch, self._pairs, streaming, bool(proven))
        except UnsupportedError as error:
            if not proven:
                raise
            raise UnsupportedError(f"{error}. Its layers pair its states, so that each call may be a predict that goes "
                                   f"on from those, with nothing else carried: stream(states={proven})") from None
        self._pasts = None if streaming is None else Pasts(streaming, self._batch)
        # What goes out of one call and into the next as values, beside the states of layers.
        self._kept = self._pasts or Explicit(self._pairs, self._plan, self._batch, self._inputs)
        self._carried = self._kept.after
        carried = set(self._carried.values())
        self._own_outputs = [name for name in self._plan.outputs if name not in carried]
        self._copied = carried.intersection(self._runner.outputs.may_alias)
        self._check = InputCheck(self._inputs, fed_axes, self._plan.bounds)
        self._one = TryLock(StreamError, "the stream is in use by another thread")
        self._closed = False
        self._layout = self._runner.states
        self._plan.bounds.check_memory(f"the states of {self.batch} sequences", 0 if self._pairs else
                                       2 * self._layout.nbytes(self.batch) + 2 * (self._pasts.nbytes if self._pasts
                                                                                  else 0))
        self._rows = {} if self._pairs else self._layout.zeros(self.batch)
        self._fed = self._kept.beginning()
        self._fast = self._fast_core()
        self._in_place = self._fast is not None

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

    @overload
    def step(self, x: Inputs | tuple[Input, ...]) -> Arrays: ...
    @overload
    def step(self, x: SupportsArray | list[Any]) -> Array: ...
    def step(self, x: Any) -> Any:
        """One step: x [batch, features], or [batch] token ids; returns [batch, features] (a dict where there are
        several outputs). A model with explicit states takes its other input in its own full shape as well.

        Raises ArgumentError, and takes no step, where there is no output for it: before a window that is not padded in
        front is full, and with strides along time."""
        fast = self._fast                       # once: another thread may close the stream
        if fast is not None and type(x) is np.ndarray:
            try:
                y = fast.step(x)
            except MemoryError as error:
                out_of_memory(error)
            if y is not None:
                return y
        return self._step(x)

    def _step(self, x: Any) -> Any:
        with self._lock():
            answer, rows, fed = self._made_by_step(x)
            self._keep(rows, fed)
            return answer

    @entry
    def _made_by_step(self, x: Any) -> tuple[Any, _Rows, dict[str, np.ndarray]]:
        """The answer of `step`, and the state behind it."""
        x = x if self._check.texts is None else self._check.texts(x)
        arrays = self._checked(self._with_time(x))
        for name, array in arrays.items():
            axis = self._axes.time_axis(name)
            if axis is not None and array.shape[axis] != 1 and not self._a_step_each:
                raise ArgumentError(f"stream.step: input {name!r} has {array.shape[axis]} steps; "
                                    "use run for more than one")
        if self._pasts and self._pasts.at_once > 1:
            raise ArgumentError(f"stream.step: {self._in_pieces()}; give them to run")
        if self._pasts and (late := self._pasts.first_missing(self._own_outputs, self._pasts.come(self._fed))):
            raise ArgumentError(f"stream.step: output {late[0]!r} has its first step after {late[1] + 1} of the "
                                "inputs, as its windows are not padded in front, and "
                                f"{self._pasts.come(self._fed)} have come; give the first ones to run, which answers "
                                "with as many steps as there are")
        results, rows, fed = self._run(arrays, self._rows, self._kept.begun(self._fed, arrays))
        return self._single_steps(results), rows, fed

    @overload
    def run(self, x: Inputs | tuple[Input, ...]) -> Arrays: ...
    @overload
    def run(self, x: SupportsArray | list[Any]) -> Array: ...
    def run(self, x: Any) -> Any:
        """Several steps: x [batch, steps, features], or [batch, steps] token ids (or the layout that the model's
        `inputs` show); returns every step's output, [batch, steps, features]. The same bits as `step` for each.

        Of windows over time that are not padded in front there are as many steps as are settled, none at first; with
        strides the steps come in multiples of them, ArgumentError otherwise."""
        fast = self._fast
        if fast is not None and type(x) is np.ndarray:
            try:
                y = fast.chunk(x)
            except MemoryError as error:
                out_of_memory(error)
            if y is not None:
                return y
        return self._several(x)

    def _several(self, x: Any) -> Any:
        with self._lock():
            answer, rows, fed = self._made_by_run(x)
            self._keep(rows, fed)
            return answer

    @entry
    def _made_by_run(self, x: Any) -> tuple[Any, _Rows, dict[str, np.ndarray]]:
        """The answer of `run`, and the state behind it."""
        arrays = self._checked(x)
        if self._pasts and (steps := self._steps(arrays)) % self._pasts.at_once:
            raise ArgumentError(f"stream.run: {self._in_pieces()}, got {steps}")
        if self._a_step_each or not all(self._sequence(name) for name in self._own_outputs):
            return self._step_by_step(arrays)
        # A window that is full but for the step to come has nothing to slide over.
        results, rows, fed = ({}, self._rows, self._fed) if self._pasts and not self._steps(arrays) else \
            self._run(arrays, self._rows, self._kept.begun(self._fed, arrays))
        for name in self._own_outputs:
            if name not in results:                      # its first step is still to come
                results[name] = self._no_steps(name)
        return self._answer({name: results[name] for name in self._own_outputs}), rows, fed

    def _step_by_step(self, arrays: dict[str, np.ndarray]) -> tuple[Any, _Rows, dict[str, np.ndarray]]:
        """Run each step on its own, because an output is not a sequence: the answer, and what `_keep` takes."""
        timed = {name: axis for name in arrays if (axis := self._axes.time_axis(name)) is not None}
        if not timed:
            raise UnsupportedError("stream.run: no input of this model has a time axis; use step")
        steps = {arrays[name].shape[axis] for name, axis in timed.items()}
        if len(steps) != 1:
            raise ArgumentError(f"stream.run: the inputs have different numbers of steps ({sorted(steps)})")
        along = next(iter(timed.values()))               # where outputs that are no sequences get their steps
        made: dict[str, list[np.ndarray]] = {name: [] for name in self._own_outputs}
        rows, fed = self._rows, self._kept.begun(self._fed, arrays)
        once = self._pasts.at_once if self._pasts else 1
        for t in range(0, steps.pop(), once):
            now = {name: arrays[name][(slice(None),) * axis + (slice(t, t + once),)] for name, axis in timed.items()}
            results, rows, fed = self._run({**arrays, **now}, rows, fed)
            for name, array in results.items():
                made[name].append(array if self._sequence(name) else np.expand_dims(array, min(along, array.ndim)))
        joined = {}
        for name, parts in made.items():
            axis = self._axes.time_axis(name)
            at = min(along, len(self._plan.values[name].shape)) if axis is None else axis
            joined[name] = np.concatenate(parts, at) if parts else self._no_steps(name, along)
        return self._answer(joined), rows, fed

    def _checked(self, x: Any) -> dict[str, np.ndarray]:
        """The inputs by name, each with this stream's rows; sequences of one length."""
        checked = self._check(x, None)
        self._runner.check_steps(checked.arrays)
        for name, array in checked.arrays.items():
            axis = self._axes.batch_axis(name)
            if axis is not None and array.shape[axis] != self.batch:
                raise ArgumentError(f"input {name!r}: expected the {self.batch} rows of this stream, "
                                    f"got {array.shape[axis]}")
        if any((own != own[:1]).any() for own in checked.lengths.values()):
            raise ArgumentError("stream.run: the sequences of one call must have the same number of steps")
        return checked.arrays

    def _run(self, arrays: dict[str, np.ndarray], rows: _Rows, fed: dict[str, np.ndarray]
             ) -> tuple[dict[str, np.ndarray], _Rows, dict[str, np.ndarray]]:
        """Run a chunk from a state: the outputs, and the state behind it, which `_keep` makes the stream's own when
        nothing more can fail."""
        made = {} if self._pairs else self._layout.empty(self.batch)
        skip, stand_ins, here = self._waiting(arrays, fed)
        results = execute(self._runner, {**stand_ins, **arrays, **fed}, self.batch, lengths={}, state_in=rows,
                          state_out=made, threads=runtime.num_threads(self._threads), carry=not self._pairs, skip=skip)
        # What a host operator passes on may be the caller's array, a constant of the model, or a state.
        for name in self._copied.intersection(results):
            results[name] = results[name].copy()
        after = {name: results.get(source, fed[name]) for name, source in self._carried.items()}
        answer = {name: results[name] for name in here}
        self._runner.outputs.owned(answer, [*arrays.values(), *fed.values(), *after.values()])
        return answer, made, after

    def _waiting(self, arrays: dict[str, np.ndarray], fed: dict[str, np.ndarray]
                 ) -> tuple[Collection[int], dict[str, np.ndarray], list[str]]:
        """What of the plan has nothing to do yet in a call, what stands for its values, and the outputs that are
        there."""
        own = self._own_outputs
        if self._pasts is None or not self._pasts.longest:
            return (), {}, own
        come, steps = self._pasts.come(fed), self._steps(arrays)
        if come + steps > self._pasts.longest:
            return (), {}, own
        return *self._pasts.waiting(come, steps), [name for name in own if self._pasts.there(name, come, steps)]

    def _in_pieces(self) -> str:
        assert self._pasts is not None
        return f"steps come in multiples of {self._pasts.at_once}, as {self._pasts.strided!r} has strides along time"

    def _steps(self, arrays: dict[str, np.ndarray]) -> int:
        """The number of steps that a call brings."""
        return next(int(array.shape[axis]) for name, array in arrays.items()
                    if (axis := self._axes.time_axis(name)) is not None)

    def _keep(self, rows: _Rows, fed: dict[str, np.ndarray]) -> None:
        """Make a state the stream's own: all of it, or, where memory is short, none. The last thing that a call does:
        what fails behind it would lose the answer to steps that have been taken."""
        if self._in_place:                         # of one segment: the fast path reads the same memory
            for number, own in rows.items():
                self._rows[number][...] = own
        else:
            self._rows = rows
        self._fed = fed

    # ---- state --------------------------------------------------------------------------------------------

    @property
    @entry
    def state(self) -> dict[str, Any]:
        """A copy of the state: {layer: {"h": [batch, dirs, hidden], "c": ...}}, or explicit states by input name."""
        with self._lock():
            own = {} if self._pairs else self._layout.unpack(self._rows, given=False)
            return {**own, **self._kept.shown(self._fed)}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        with self._lock():
            self._keep(*self._given(state))

    @entry
    def _given(self, state: Mapping[str, Any]) -> tuple[_Rows, dict[str, np.ndarray]]:
        """A caller's state as `_keep` takes it."""
        if not isinstance(state, Mapping):
            raise ArgumentTypeError(f"a state is a dict, not {type(state).__name__}")
        others = {} if self._pairs else {name: parts for name, parts in state.items()
                                         if not self._pasts or name not in self._pasts.nodes}
        rows = {} if self._pairs else self._layout.pack(others, self.batch)
        return rows, self._kept.given(state if self._pairs or self._pasts else {}, self._fed)

    def reset(self, rows: Iterable[int] | int | None = None) -> None:
        """Set the state of all sequences, or of some rows, back to zero."""
        with self._lock():
            self._keep(*self._zeroed(rows))

    @entry
    def _zeroed(self, rows: Iterable[int] | int | None) -> tuple[_Rows, dict[str, np.ndarray]]:
        """The state with zeros in some rows, as `_keep` takes it."""
        chosen: Any = slice(None)
        if rows is not None:
            chosen = np.atleast_1d(plain_array(rows, "reset"))
            if chosen.size and chosen.dtype.kind not in "iu" or chosen.ndim != 1 \
                    or chosen.size and ((chosen < 0) | (chosen >= self.batch)).any():
                raise ArgumentError(f"reset: rows are whole numbers from 0 to {self.batch - 1}, got {shown(rows)}")
            chosen = chosen.astype(np.intp) if chosen.size else np.zeros(0, np.intp)
        own = {number: state.copy() for number, state in self._rows.items()}
        for state in own.values():
            state[chosen] = 0
        return own, self._kept.zeroed(self._fed, None if rows is None else chosen)

    # ---- details ------------------------------------------------------------------------------------------

    def _lock(self) -> TryLock:
        """Holds the stream for one call; a second thread, or a closed stream, is an error."""
        if self._closed:
            raise StreamError("the stream is closed")
        return self._one

    def _fast_core(self) -> Any:
        """The C core's own stream, for a plan that is one segment with one input and one output."""
        segment = self._plan.steps[0] if len(self._plan.steps) == 1 else None
        if self._pairs or not isinstance(segment, Segment) or len(segment.ports) != 1 or len(segment.outputs) != 1 \
                or any(axis.mask or axis.lengths for axis in segment.axes) \
                or not segment.takes_declared(self._plan.values):
            return None
        rows = self._rows.get(0)
        return segment.core.stream(self.batch, rows, self._threads or 0, self._one)

    def _sequence(self, name: str) -> bool:
        return self._axes.time_axis(name) is not None

    def _no_steps(self, name: str, along: int = 0) -> np.ndarray:
        value = self._plan.values[name]
        shape = [self.batch if dim == self._axes.batch else dim if isinstance(dim, int) else 0 for dim in value.shape]
        axis = self._axes.time_axis(name)
        at = min(along, len(shape)) if axis is None else axis
        shape[at:at if axis is None else at + 1] = [0]
        return np.empty(shape, value.dtype)

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
        return self._answer({name: array if axis is None or self._a_step_each else array[(slice(None),) * axis + (0,)]
                             for name, array in results.items() for axis in (self._axes.time_axis(name),)})

    @staticmethod
    def _answer(results: dict[str, np.ndarray]) -> Any:
        return next(iter(results.values())) if len(results) == 1 else results


class StreamError(LstmEngineError, RuntimeError):
    """A stream was used after it was closed, or by two threads at once."""
