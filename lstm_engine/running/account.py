"""Keeps the calls of one plan within its limits: what they take is told before they take it.

Sizes decide. A call on shapes of inputs that were within the limits once is not looked at again, unless the graph makes
sizes of numbers (`Bounds.sized`): then each call is, and the operators where that happens look at their inputs
themselves. Runs that are recorded cost nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arrays import owning_array
from ..errors import LimitError
from ..graph import Operator
from ..limits import over
from ..operators import OPERATORS
from ..operators.costs import Need
from ..plan import HostStep, LoopStep, Plan, Segment
from ..plan.bounds import label, work_of
from ..plan.estimate import NOTHING, estimate_of, takes_nothing
from ..plan.steps import Step
from .foresee import Foreseen
from .ports import sizes

Values = Mapping[str, np.ndarray]


class Look:
    """What is asked of a node before and after each run that is looked at: short, for a model may have hundreds."""

    def __init__(self, step: HostStep) -> None:
        node = step.node
        constants = node.constants if isinstance(node, Operator) else {}
        self._inputs = [("", constants[i]) if i in constants else (name, None) for i, name in enumerate(node.inputs)]
        self._estimate = None if takes_nothing(node) else estimate_of(node)
        self.outputs = tuple(filter(None, node.outputs))
        # Whether results may show the memory of an input.
        spec = OPERATORS[node.op_type] if isinstance(node, Operator) else None
        self.shows = spec is not None and (spec.of_shapes or spec.view != "" and not spec.combines)

    def need(self, values: Values, small: int) -> Need:
        if self._estimate is None:
            return NOTHING
        return self._estimate([values.get(name) if name else array for name, array in self._inputs], small)

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

    A call that turns out long or large is gone through to its end by shapes, once: what doubles with every node is then
    refused while it is small. looks: of the plan's host steps by `id`, kept from call to call by who makes accounts.
    keeps: the run lets no value go.
    """

    LONG, LARGE = 1 << 27, 64 << 20         # nanoseconds, bytes
    CALL, TURN = 1000, 20_000               # nanoseconds of calling one step, and of one turn of a loop

    def __init__(self, plan: Plan, looks: dict[int, Look], inputs: Values, keeps: bool = False) -> None:
        bounds = plan.bounds
        self._plan, self._looks, self._done = plan, looks, 0
        self._drops = ((),) * len(plan.steps) if keeps else plan.drops
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

    def passed_over(self) -> None:
        """Let the next step be one that is not run."""
        self._done += 1

    def after(self, step: Step, values: Values) -> None:
        """Count what the step has made."""
        if isinstance(step, HostStep):
            self._values += self._look(step).made(values)
        elif isinstance(step, LoopStep):
            self._values += sum(values[name].nbytes for name in step.makes() if name)
        else:
            self._values += sum(values[port.value].nbytes for port in step.outputs)

    def turn(self, step: LoopStep, work: int, held: int) -> None:
        """Count a turn of a loop. held: bytes that its turns have made so far, and keep.

        Raises LimitError where that is beyond the limits.
        """
        self.turns_to_come(step, 1, work, held)
        self._worked += work + self.TURN

    def turns_to_come(self, step: LoopStep, count: int, work: int, held: int) -> None:
        """Raise LimitError where so many turns of so much work, which keep `held` bytes in all, are too much."""
        worked = self._worked + count * (work + self.TURN)
        if worked > self.work or self._values + self._workspaces + held > self.memory:
            self._worked = worked
            raise self._over(step, self._values + held)

    @property
    def worked(self) -> int:
        """Nanoseconds, by the estimate."""
        return self._worked

    def _look(self, step: HostStep) -> Look:
        """How a node is looked at, made once."""
        found = self._looks.get(id(step))
        if found is None:
            found = self._looks[id(step)] = Look(step)
        return found

    def _need(self, step: Step, values: Values, threads: int) -> Need:
        if isinstance(step, HostStep):
            return self._look(step).need(values, self._plan.bounds.small)
        if isinstance(step, LoopStep):
            return NOTHING                      # each turn is counted when it is made
        rows, steps = sizes(step, values)
        itemsize = np.dtype(step.core.dtype).itemsize
        made = sum(rows * port.features * itemsize * (1 if port.axis is None else steps[port.axis])
                   for port in step.outputs)
        workspace = step.core.run_bytes(rows, steps, threads, True, step.core.state_size > 0)
        self._workspaces += workspace           # which the core keeps
        return Need(made, int(sum(work_of(node) * rows * (1 if axis is None else steps[axis])
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
        at = self._done
        for step, done, guard in zip(self._plan.steps[at:], self._drops[at:], self._plan.guards[at:]):
            told = foreseen.tells(step, guard)
            if told:
                need = self._need(step, foreseen.values, threads)
                self._worked += need.work + self.CALL
                if self._worked > self.work or held + self._workspaces + need.bytes > self.memory:
                    raise self._over(step, held + need.bytes)
                foreseen.make(step)
                shows = isinstance(step, HostStep) and self._look(step).shows
                made = {name: 0 if shows else foreseen.values[name].nbytes for name in step.makes()
                        if name in foreseen.values}
                live.update(made)
                held += sum(made.values())
            held -= sum(live.pop(name, 0) for name in done)
        self._workspaces, self._worked = before


def _label_of(step: Step) -> str:
    if not isinstance(step, Segment):
        return label(step.node)
    return f"{label(step.nodes[0])}{' and what runs with it' if len(step.nodes) > 1 else ''}"
