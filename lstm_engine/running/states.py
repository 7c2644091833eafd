"""Recurrent states between their two forms: dicts of named arrays for users, one row a sequence for the C core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..arrays import plain_array
from ..errors import ArgumentError, ArgumentTypeError
from ..plan import Plan, Segment
from ..plan.partition import optional

States = dict[str, dict[str, np.ndarray]]


class Slot(NamedTuple):
    """One array of the states: layer and part ("h" or "c"), its place in a segment's state row, its shape."""

    layer: str
    part: str
    segment: int         # number among the plan's steps
    offset: int
    dirs: int
    units: int
    given: bool          # its initial value is an input of the layer, so a state cannot be set


class StateLayout:
    """Where each layer's h and c stand in the state rows [batch, state_size] of the plan's segments."""

    def __init__(self, plan: Plan) -> None:
        self.sizes = {number: step.core.state_size for number, step in enumerate(plan.steps)
                      if isinstance(step, Segment) and step.core.state_size}
        self.dtypes: dict[int, str] = {}
        self.slots: list[Slot] = []
        for number in self.sizes:
            segment = plan.steps[number]
            assert isinstance(segment, Segment)
            self.dtypes[number] = segment.core.dtype
            for layer, (name, dirs, h, h_size, c, c_size) in zip(segment.layers, segment.core.state_slots()):
                self.slots.append(Slot(name, "h", number, h, dirs, h_size // dirs, bool(optional(layer.inputs, 2))))
                if c is not None:
                    self.slots.append(Slot(name, "c", number, c, dirs, c_size // dirs, bool(optional(layer.inputs, 3))))

    def nbytes(self, batch: int) -> int:
        """Bytes of all state rows."""
        return sum(batch * size * np.dtype(self.dtypes[number]).itemsize for number, size in self.sizes.items())

    def zeros(self, batch: int) -> dict[int, np.ndarray]:
        """State rows of zeros, by segment."""
        return {number: np.zeros((batch, size), self.dtypes[number]) for number, size in self.sizes.items()}

    def empty(self, batch: int) -> dict[int, np.ndarray]:
        """State rows to be written, by segment."""
        return {number: np.empty((batch, size), self.dtypes[number]) for number, size in self.sizes.items()}

    def unpack(self, rows: Mapping[int, np.ndarray], given: bool = True) -> States:
        """{layer: {"h": [batch, dirs, hidden], "c": ...}}, copies. given: also those that cannot be set."""
        states: States = {}
        for slot in self.slots:
            if slot.given and not given:
                continue
            part = rows[slot.segment][:, slot.offset:slot.offset + slot.dirs * slot.units]
            states.setdefault(slot.layer, {})[slot.part] = part.reshape(-1, slot.dirs, slot.units).copy()
        return states

    def pack(self, states: Mapping[str, Mapping[str, np.ndarray]], batch: int) -> dict[int, np.ndarray]:
        """State rows from named arrays; layers and parts left out are zero.

        Raises ArgumentTypeError for what is not such a dict, ArgumentError naming the layer and part for an unknown
        name or a shape that is not [batch, dirs, hidden].
        """
        if not isinstance(states, Mapping):
            raise ArgumentTypeError("a state is a dict {layer: {'h': array, 'c': array}}, "
                                    f"not {type(states).__name__}")
        known = {(slot.layer, slot.part): slot for slot in self.slots}
        rows = self.zeros(batch)
        for layer, parts in states.items():
            if not isinstance(parts, Mapping):
                raise ArgumentTypeError(f"state of layer {layer!r}: expected a dict of arrays, "
                                        f"got {type(parts).__name__}")
            for part, array in parts.items():
                slot = known.get((layer, part))
                if slot is None:
                    names = ", ".join(f"{s.layer}.{s.part}" for s in self.slots) or "none"
                    raise ArgumentError(f"state {layer!r}.{part!r}: the model has no such state; it has {names}")
                if slot.given:
                    raise ArgumentError(f"state {layer}.{part}: the model sets it from one of its own values")
                value = plain_array(array, f"state {layer}.{part}")
                if value.dtype.kind not in "fiu":
                    raise ArgumentTypeError(f"state {layer}.{part}: expected numbers, got dtype {value.dtype}")
                if value.shape != (batch, slot.dirs, slot.units):
                    raise ArgumentError(f"state {layer}.{part}: expected shape ({batch}, {slot.dirs}, {slot.units}), "
                                        f"got {value.shape}")
                flat = slice(slot.offset, slot.offset + slot.dirs * slot.units)
                with np.errstate(over="ignore"):          # a number beyond float32 becomes inf, as IEEE has it
                    rows[slot.segment][:, flat] = value.reshape(batch, slot.dirs * slot.units)
        return rows
