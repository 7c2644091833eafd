"""What a stream keeps of the past of convolutions, pools and others that work along time, and what is there when.

A window of several steps has no output before it is full, unless padding stands in front. So values may lag: until
enough steps have come, the nodes that make and read them wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import plain_array
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..plan import Segment
from ..plan.streaming import Past, Streaming
from .inputs import converted

Fed = dict[str, np.ndarray]


class Pasts:
    """Those of one stream, of `batch` sequences. Arrays are kept by the inputs of the plan that bring them."""

    def __init__(self, streaming: Streaming, batch: int) -> None:
        self._streaming, self._plan, self._batch = streaming, streaming.plan, batch
        self._pasts = streaming.pasts
        self.nodes = {past.node: past for past in self._pasts}
        self.after = {past.value: past.after for past in self._pasts}
        self._growing = [past for past in self._pasts if past.grows]
        self.nbytes = sum(past.nbytes(batch) for past in self._pasts)
        self.longest = max(streaming.waits.values(), default=-1)
        self.at_once, self.strided = streaming.at_once, streaming.strided
        self.waiting = lru_cache(64)(self._waiting)
        for past in self._growing:                              # what cannot wait is refused now
            self.waiting(past.lag * past.rate, self.at_once)

    def beginning(self) -> Fed:
        return {past.value: past.beginning(self._batch) for past in self._pasts}

    def begun(self, fed: Fed, arrays: Mapping[str, np.ndarray]) -> Fed:
        """The pasts for a call: those that are kept."""
        return fed

    def come(self, fed: Mapping[str, np.ndarray]) -> int:
        """How many steps have come before, as far as it makes a difference: what is there of each past tells."""
        return max(((past.lag + more) * past.rate for past in self._growing
                    if (more := fed[past.value].shape[past.axis] - past.has(0))), default=0)

    def there(self, name: str, come: int, steps: int) -> bool:
        """Whether a value is there after a call of so many steps behind those that have come."""
        return come + steps > self._streaming.waits.get(name, -1)

    def first_missing(self, names: list[str], come: int) -> tuple[str, int] | None:
        """An output that the next step does not make, and how many steps must come before one that does."""
        missing = [(self._streaming.waits[name], name) for name in names if not self.there(name, come, 1)]
        return None if not missing else (max(missing)[1], max(missing)[0])

    def _waiting(self, come: int, steps: int) -> tuple[frozenset[int], Fed]:
        """The numbers of the plan's steps that have nothing to do yet, and what stands for values that a segment reads
        which has something to do."""
        skipped, stand_ins = set(), {}
        for number, step in enumerate(self._plan.steps):
            if not isinstance(step, Segment):
                if not any(self.there(name, come, steps) for name in step.makes() if name):
                    skipped.add(number)
                continue
            waits = [wait for port in step.ports if (wait := self._streaming.waits[port.value]) >= 0]
            if waits and come + steps <= min(waits):
                skipped.add(number)
                continue
            for port in step.ports:
                if not self.there(port.value, come, steps):
                    stand_ins[port.value] = self._nothing(step, port.value, port.axis is not None,
                                                          [] if port.ids else [port.features])
        return frozenset(skipped), stand_ins

    def _nothing(self, segment: Segment, name: str, sequence: bool, features: list[int]) -> np.ndarray:
        """A value of no steps, or, in place of a vector, numbers that nobody reads."""
        if segment.rows != self._plan.axes.batch:
            raise UnsupportedError(f"this model cannot run step by step: node {segment.nodes[0].name!r} runs over "
                                   f"other rows ({segment.rows}) than the batch, beside values that are there later")
        return np.zeros([self._batch, *([0] if sequence else []), *features], self._plan.values[name].dtype)

    # ---- as states of callers ---------------------------------------------------------------------------------

    def shown(self, fed: Fed) -> dict[str, dict[str, np.ndarray]]:
        """Copies by node: {node: {"past": array}}."""
        return {past.node: {"past": fed[past.value].copy()} for past in self._pasts}

    def given(self, state: Mapping[str, Any], kept: Fed) -> Fed:
        """The arrays of a caller's state; what is left out is as at the beginning.

        Raises ArgumentTypeError, ArgumentError naming the node, and the shape that it expects.
        """
        fed = self.beginning()
        for past in self._pasts:
            parts = state.get(past.node, {})
            what = f"state of {past.node!r}"
            if not isinstance(parts, Mapping):
                raise ArgumentTypeError(f"{what}: expected a dict of arrays, got {type(parts).__name__}")
            if unknown := [part for part in parts if part != "past"]:
                raise ArgumentError(f"{what}: there is no {unknown[0]!r}; it has past")
            if "past" in parts:
                fed[past.value] = self._array(past, parts["past"])
        come = self.come(fed)
        if come % self.at_once and come < max((past.lag + past.grows) * past.rate for past in self._growing):
            raise ArgumentError(f"the pasts of this state are those of {come} steps, which come in multiples of "
                                f"{self.at_once} here")
        for past in self._growing:
            steps, wanted = fed[past.value].shape[past.axis], past.has(come)
            if steps != wanted:
                raise ArgumentError(f"state of {past.node!r}: expected a past of {wanted} steps, as {come} steps of "
                                    f"the model have come by what the other states hold, got {steps}")
        return fed

    def _array(self, past: Past, given: Any) -> np.ndarray:
        array = plain_array(given, f"state {past.node!r}.past")
        steps = array.shape[past.axis] if array.ndim == len(past.shape) else -1
        most, least = past.memory, past.memory - past.grows
        if not least <= steps <= most or array.shape != past.sizes(self._batch, steps):
            shape: list[Any] = list(past.sizes(self._batch, most))
            if past.grows:
                shape[past.axis] = f"{least} to {most}"
            raise ArgumentError(f"state {past.node!r}.past: expected shape [{', '.join(map(str, shape))}], "
                                f"got {list(array.shape)}")
        own: np.ndarray = converted(self._plan.values[past.value], array, f"state {past.node!r}.past").copy()
        return own

    def zeroed(self, fed: Fed, rows: np.ndarray | None) -> Fed:
        """The pasts with those of some rows, or of all, as at the beginning."""
        start = self.beginning()
        if rows is None:
            return start
        if self.come(fed):
            raise ArgumentError(f"reset: the sequences of this stream begin together, as node "
                                f"{self._growing[0].node!r} has no output before it has all steps of its window; reset "
                                "all of them, or pad it in front")
        made = {}
        for past in self._pasts:
            if past.rows is None:
                raise ArgumentError(f"reset: state {past.node!r} has no batch axis, so single rows cannot be reset")
            made[past.value] = array = fed[past.value].copy()
            np.moveaxis(array, past.rows, 0)[rows] = np.moveaxis(start[past.value], past.rows, 0)[rows]
        return made
