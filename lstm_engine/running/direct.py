"""The direct way through `predict`: for a model that is one segment of the core, arrays go to it as they are.

It takes what needs no more than a cast. Whatever else comes in is answered with None, and goes through the checks of
`inputs`, which also say what is wrong with it: nothing here raises but the run itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plan import Plan, Segment


class DirectCalls:
    """The calls that a plan of one segment can answer at once. `only`: the core's call for one input and one output."""

    def __init__(self, plan: Plan, segment: Segment) -> None:
        self._core = segment.core
        self._inputs = [value.name for value in plan.inputs]
        self._outputs = list(plan.outputs)
        self._ports = [port.value for port in segment.ports]
        self._made = [port.value for port in segment.outputs]
        self.only = self._core.try_one if len(self._inputs) == len(self._outputs) == 1 else None
        # Lengths belong to a time axis of the caller's; a list may hold sequences of any length.
        self._timed = segment.ports[0].axis is not None
        self._any_length = self._timed and isinstance(segment.axes[0].time, str)
        self._sequence_out = segment.outputs[0].axis is not None

    @classmethod
    def of(cls, plan: Plan) -> DirectCalls | None:
        """None for a plan that needs more than one call of the core."""
        return None if plan.direct is None else cls(plan, plan.direct)

    def predict(self, x: Any, lengths: Any, out: Any, threads: int) -> Any:
        """The answer of `Model.predict`, or None."""
        if self.only is None:
            return self._several(x, threads) if lengths is None and out is None else None
        if type(x) is dict:
            x = x[self._inputs[0]] if x.keys() == {self._inputs[0]} else None
        if type(out) is dict:
            out = out.get(self._outputs[0]) if len(out) == 1 else None
            if out is None:
                return None
        if type(x) is list:
            return self._listed(x, out, threads) if lengths is None and self._any_length else None
        if lengths is not None and type(lengths) is not np.ndarray:
            lengths = _whole_numbers(lengths)
            if lengths is None:
                return None
        return self.only(x, threads, out, lengths) if lengths is None or self._timed else None

    def _listed(self, x: list[Any], out: Any, threads: int) -> Any:
        padded = self._core.pad(x)
        if padded is None or out is not None:
            return None
        assert self.only is not None
        y = self.only(padded[0], threads, None, padded[1])
        if y is None or not self._sequence_out:
            return y
        return [row[:len(item)].copy() for row, item in zip(y, x, strict=True)]

    def _several(self, x: Any, threads: int) -> Any:
        if type(x) is dict and x.keys() == set(self._inputs):
            given = x
        elif len(self._inputs) == 1:
            given = {self._inputs[0]: x}
        elif type(x) is tuple and len(x) == len(self._inputs):
            given = dict(zip(self._inputs, x, strict=True))
        else:
            return None
        results = self._core.try_run([given[name] for name in self._ports], threads)
        if results is None:
            return None
        made = dict(zip(self._made, results, strict=True))
        return results[0] if len(results) == 1 else {name: made[name] for name in self._outputs}


def _whole_numbers(lengths: Any) -> np.ndarray | None:
    """A list of plain ints as an array."""
    if type(lengths) is not list or not lengths or any(type(length) is not int for length in lengths):
        return None
    try:
        return np.array(lengths, np.int64)
    except OverflowError:
        return None
