"""Replaying a plan on inputs of shapes it has run on before.

Around a small recurrent layer the time goes into calling: views made anew, arrays allocated, values looked up. For
given shapes all of that is always the same, so it is done once: every value gets its place in memory, operators that
only look at another value differently are views made in advance, and what remains is a list of calls that write where
the next ones read. Results have the bits of `execute.execute`, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Operator
from .host_ops.registry import MISFITS, Call
from .steps import HostStep, Segment, Step

# Operators whose output may be a view of their first input, at a place that the other inputs say.
_VIEWS = frozenset("Cast Expand Flatten Gather Identity Reshape Slice Split Squeeze Transpose Unsqueeze".split())
# Operators of which the shapes of their inputs say everything.
_OF_SHAPES = frozenset(("Shape", "Size"))

_Values = dict[str, np.ndarray]
_Key = tuple[Any, ...]


class Unrepeatable(Exception):
    """This run cannot be made, or repeated, in memory laid out beforehand."""


class Recording:
    """The calls of one run; `inputs` are to be filled before they are made, `outputs` are filled by them.

    Raises Unrepeatable for a plan in which the shape or place of a value depends on more than the inputs' shapes.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[str], arrays: Mapping[str, np.ndarray], threads: int,
                 most_bytes: int) -> None:
        self._most = most_bytes
        self.bytes = 0
        self.inputs: _Values = {name: array.copy() for name, array in arrays.items()}
        self.calls: list[Call] = []
        self._values: _Values = dict(self.inputs)
        self._fixed: set[str] = set()               # values that no input changes
        self._own(*self.inputs.values())
        for step in steps:
            if isinstance(step, HostStep):
                self._add_host(step)
            else:
                self._add_segment(step, threads)
        self.outputs = {name: self._values[name] for name in outputs}

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> _Values:
        """The outputs for inputs of the shapes recorded, as new arrays."""
        for name, array in self.inputs.items():
            np.copyto(array, arrays[name])
        for function, arguments in self.calls:
            function(*arguments)
        return {name: array.copy() for name, array in self.outputs.items()}

    def _own(self, *arrays: np.ndarray) -> None:
        self.bytes += sum(array.nbytes for array in arrays)
        if self.bytes > self._most:
            raise Unrepeatable

    def _add_segment(self, segment: Segment, threads: int) -> None:
        if any(axis.lengths or axis.mask for axis in segment.axes):
            raise Unrepeatable
        ready = []
        for port in segment.ports:
            array = self._values[port.value]
            if not array.flags.c_contiguous:
                placed = self._place(np.ascontiguousarray(array))
                self.calls.append((np.copyto, (placed, array)))
                array = placed
            ready.append(array)
        call = segment.core.call(ready, threads)
        if call is None or any(given is not read for given, read in zip(ready, call.inputs)):
            raise Unrepeatable
        call()
        self.calls.append((call, ()))
        self._own(*call.outputs)
        self._values.update((port.value, array) for port, array in zip(segment.outputs, call.outputs))

    def _add_host(self, step: HostStep) -> None:
        node, kernel = step.node, step.kernel
        constants = node.constants if isinstance(node, Operator) else {}
        inputs = [constants[i] if i in constants else self._values[name] if name else None
                  for i, name in enumerate(node.inputs)]
        made = kernel(*inputs)
        several = isinstance(made, (list, tuple))
        results = [np.asarray(array) for array in (made if several else (made,))]
        names = [name for name in node.inputs if name]
        if isinstance(node, Operator) and (self._fixed.issuperset(names) or node.op_type in _OF_SHAPES):
            self._fixed.update(node.outputs)
            placed = [array.copy() for array in results]
        elif self._views(node, inputs, results):
            placed = results
        else:
            placed = [self._place(array) for array in results]
            self.calls += self._repetition(kernel, inputs, placed, several)
        self._values.update((name, array) for name, array in zip(node.outputs, placed) if name)

    def _views(self, node: Any, inputs: Sequence[np.ndarray | None], results: Sequence[np.ndarray]) -> bool:
        """Whether the results only show the first input, the same places of it every time."""
        return isinstance(node, Operator) and node.op_type in _VIEWS and inputs[0] is not None \
            and self._fixed.issuperset(name for name in node.inputs[1:] if name) \
            and all(array.size and np.may_share_memory(array, inputs[0]) for array in results)

    def _place(self, array: np.ndarray) -> np.ndarray:
        """Memory for a value laid out like `array`, with what is in it."""
        placed = np.empty_like(array)
        placed[...] = array
        self._own(placed)
        return placed

    @staticmethod
    def _repetition(kernel: Callable[..., Any], inputs: list, placed: list[np.ndarray], several: bool) -> list[Call]:
        if not several:
            if isinstance(kernel, np.ufunc):
                return [(kernel, (*inputs, placed[0]))]
            repetition = getattr(kernel, "repetition", None)
            calls = repetition(placed[0], *inputs) if repetition is not None else None
            if calls is not None:
                return list(calls)

        def again() -> None:
            made = kernel(*inputs)
            for array, target in zip(made if several else (made,), placed):
                if np.shape(array) != target.shape:
                    raise Unrepeatable
                target[...] = array
        return [(again, ())]


class Replays:
    """Recordings of one plan, made the second time that shapes come; each is used by one call at a time.

    Without locks, which a fork could find held: dictionaries and lists change whole, and what two threads do at once
    costs a recording at most.
    """

    MOST_BYTES = 4 << 20        # of a recording: with larger values calling is not what takes the time
    MOST_KEPT = 8
    MOST_SEEN = 64

    def __init__(self, steps: Sequence[Step], inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._steps, self._inputs, self._outputs = steps, inputs, outputs
        self._seen: dict[_Key, bool] = {}                       # whether a recording of these shapes is of use
        self._idle: dict[_Key, list[Recording]] = {}            # the shapes used last stand last

    def run(self, values: _Values, threads: int) -> _Values | None:
        """The plan's outputs; None where it has to run step by step. Call under `np.errstate(all="ignore")`."""
        key: Any = (threads,)
        for name in self._inputs:
            array = values[name]
            if not array.flags.c_contiguous:
                return None
            key += array.shape, array.dtype.num
        try:
            recording = self._idle[key].pop()
        except (KeyError, IndexError):
            recording = None
        if recording is None and not self._seen.get(key):
            if key not in self._seen:
                if len(self._seen) >= self.MOST_SEEN:
                    self._seen.clear()
                self._seen[key] = True
            return None
        try:
            if recording is None:
                self._seen[key] = False     # unless it proves good
                arrays = {name: values[name] for name in self._inputs}
                recording = Recording(self._steps, self._outputs, arrays, threads, self.MOST_BYTES)
            results = recording(values)
            self._seen[key] = True
        except Unrepeatable:
            self._seen[key] = False
            return None
        except MISFITS:
            return None                     # what is wrong with these values, running step by step tells
        self._keep(key, recording)
        return results

    def _keep(self, key: _Key, recording: Recording) -> None:
        self._idle[key] = [*self._idle.pop(key, ()), recording]
        while len(self) > self.MOST_KEPT:
            oldest = next(iter(self._idle), None)
            rest = self._idle.get(oldest, [])[1:]
            if rest:
                self._idle[oldest] = rest
            else:                           # more shapes than recordings: it would have to be made again and again
                self._idle.pop(oldest, None)
                self._seen[oldest] = False

    def __len__(self) -> int:
        """Recordings kept for runs to come."""
        return sum(len(kept) for kept in tuple(self._idle.values()))

    def bytes(self) -> int:
        """Of the recordings kept for runs to come."""
        return sum(recording.bytes for kept in tuple(self._idle.values()) for recording in tuple(kept))
