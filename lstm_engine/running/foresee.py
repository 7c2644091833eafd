"""A run gone through by shapes alone: what it will take, before it takes it.

Stand-ins without memory take the place of arrays. Small whole numbers that follow from shapes are computed as they are,
for they say how large the next values will be; what follows from numbers of the run is left open, and looked at when
the run gets there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from ..errors import LstmEngineError
from ..graph import Operator, Value
from ..operators import OPERATORS, operator_attributes
from ..operators.guards import Guard, holds
from ..operators.kernels import MISFITS
from ..plan import HostStep, LoopStep, Segment
from ..plan.estimate import results_of
from ..plan.steps import Step
from .ports import sizes

SMALL = 1 << 12         # elements of a value that is computed


def stand_in(shape: Sequence[int], dtype: object) -> np.ndarray:
    """An array of any content, of this shape and dtype, that takes no memory."""
    return np.broadcast_to(np.empty((), dtype), shape)          # type: ignore[call-overload]


class Foreseen:
    """The values of a run as far as shapes tell. `known`: the names of those that are what they will be."""

    def __init__(self, values: Mapping[str, np.ndarray]) -> None:
        self.values = {name: stand_in(array.shape, array.dtype) for name, array in values.items()}
        # What is small may be a size of what comes: it is kept as it is.
        small = {name: array for name, array in values.items() if array.size < SMALL}
        self.values.update(small)
        self.known = set(small)

    def tells(self, step: Step, guard: Guard) -> bool:
        """Whether it is known that a step is run, and on what."""
        if any(name not in self.known for name, _ in guard) or not holds(guard, self.values):
            return False
        if isinstance(step, LoopStep):
            return False                        # its turns are counted as they are made
        return not self.open(step) if isinstance(step, Segment) else self.inputs(step) is not None

    def inputs(self, step: HostStep) -> list[np.ndarray | None] | None:
        """What a node will be called with; None where that is open."""
        if any(name not in self.values for name in step.node.inputs if name):
            return None
        return step.inputs(self.values)

    def open(self, step: Segment) -> bool:
        """Whether the sizes of a segment's inputs are not told."""
        return not self.values.keys() >= {port.value for port in step.ports}

    def make(self, step: Step) -> None:
        """Add the results of a step whose inputs are told."""
        if isinstance(step, Segment):
            rows, steps = sizes(step, self.values)
            for port in step.outputs:
                shape = (rows, port.features) if port.axis is None else (rows, steps[port.axis], port.features)
                self.values[port.value] = stand_in(shape, step.core.dtype)
            return
        assert isinstance(step, HostStep)
        node, arrays = step.node, self.inputs(step)
        if not isinstance(node, Operator) or arrays is None:
            return                              # a layer on a shape of its own: its result is looked at when it comes
        try:
            made = results_of(node, arrays, operator_attributes(node))
            if self._tells(node, made):
                self.values[node.outputs[0]] = np.asarray(step.kernel(*arrays))
                self.known.add(node.outputs[0])
                return
        except (LstmEngineError, *MISFITS):
            return                              # running it says what is wrong
        for name, value in zip(node.outputs, made):
            if name and all(isinstance(dim, int) for dim in value.shape):
                self.values[name] = stand_in(value.shape, value.dtype)      # type: ignore[arg-type]

    def _tells(self, node: Operator, made: Sequence[Value]) -> bool:
        """Whether a node makes few numbers of shapes and constants alone, which may be sizes: an output's size is the
        input's times a factor."""
        of_shapes = OPERATORS[node.op_type].of_shapes or all(name in self.known for name in node.inputs if name)
        told = [dim for dim in made[0].shape if isinstance(dim, int)]
        return of_shapes and len(made) == 1 and made[0].dtype.startswith(("int", "bool", "float")) \
            and len(told) == len(made[0].shape) and prod(told) < SMALL
