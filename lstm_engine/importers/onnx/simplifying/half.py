"""Half precision: each operator is computed in float32 and its result rounded to float16, as the standard has it.

After this pass every number in between is float32, those that the model declares float16 being such as float16 holds:
a Cast to float16 and one back stand behind each operator that makes new numbers. Inputs and outputs of the model that
are float16 stay so; `mapping` casts them at the border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ....data_types import FLOAT16, FLOAT32
from ....errors import UnsupportedError
from ....graph.derived import Derived
from ....graph.names import Names
from ....graph.nodes import Operator, Value
from ....operators import OPERATORS
from .fold import Folded
from .narrow import widened
from .recurrent import Cell
from .steps import Step, Turned, makes, reads


def in_float32(folded: Folded) -> Folded:
    """The same model with float32 between its operators where it has float16, rounded as that rounds."""
    if not any(folded.is_half(name) for name in (*folded.values, *folded.constants)):
        return folded
    return _Pass(folded).run()


class _Pass:
    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.values = {name: _float32(value) for name, value in folded.values.items()}
        self.derived = Derived()
        self.same: dict[str, str] = {}              # results of a Cast from float16 to float32, and what they are
        self.names = Names([*folded.values, *folded.constants])

    def run(self) -> Folded:
        steps = [made for step in self.folded.steps
                 for made in (self._cell(step) if isinstance(step, Cell) else self._loop(step)
                              if isinstance(step, Turned) else self._operator(step))]
        return replace(
            self.folded, steps=steps, values=self.values,
            constants={name: self._wide(array) for name, array in self.folded.constants.items()},
            outputs={name: self._name(value) for name, value in self.folded.outputs.items()},
            half_outputs=frozenset(name for name, value in self.folded.outputs.items() if self.folded.is_half(value)))

    def _wide(self, array: np.ndarray) -> np.ndarray:
        return self.derived.get("wide", widened, array)

    def _name(self, name: str) -> str:
        return self.same.get(name, name)

    def _operator(self, step: Operator) -> Iterator[Step]:
        changed = replace(step, inputs=tuple(map(self._name, step.inputs)),
                          constants={position: self._wide(array) for position, array in step.constants.items()})
        if step.op_type == "CastLike" and self.folded.is_half(step.outputs[0]):
            changed = replace(changed, op_type="Cast", inputs=changed.inputs[:1], attributes={"to": FLOAT16},
                              constants={place: array for place, array in changed.constants.items() if place == 0})
        if changed.op_type == "Cast" and changed.attributes["to"] == FLOAT16:
            yield from self._rounded(changed.inputs[0], step.outputs[0], changed)
        elif step.op_type == "Cast" and step.attributes["to"] == FLOAT32 and self.folded.is_half(step.inputs[0]):
            self.same[step.outputs[0]] = changed.inputs[0]
        elif OPERATORS[step.op_type].exact:         # of float16 numbers it makes float16 numbers
            yield changed
        else:
            outputs, roundings = self._roundings(step.outputs)
            yield replace(changed, outputs=outputs)
            yield from roundings

    def _loop(self, step: Turned) -> Iterator[Step]:
        """A loop that has no half precision. Raises UnsupportedError for another."""
        pending: list[Step] = [step]
        while pending:
            inner = pending.pop()
            names = (*reads(inner), *makes(inner))
            if half := next((name for name in names if name and self.folded.is_half(name)), ""):
                raise UnsupportedError(f"node {step.name!r} (Loop): {half!r} is float16, in a loop that is no "
                                       "recurrent layer; convert the model to float32 before")
            pending += inner.steps if isinstance(inner, Turned) else ()
        yield replace(step, inputs=tuple(map(self._name, step.inputs)))

    def _cell(self, cell: Cell) -> Iterator[Step]:
        arrays: dict[str, Any] = {field: self._wide(array) for field in ("W", "R", "B", "P", "projection")
                                  if (array := getattr(cell, field)) is not None}
        outputs, roundings = self._roundings(cell.node.outputs)
        yield replace(cell, **arrays, node=replace(cell.node, outputs=outputs), x=self._name(cell.x),
                      lengths=self._name(cell.lengths), initial_h=self._name(cell.initial_h),
                      initial_c=self._name(cell.initial_c), mask=self._name(cell.mask))
        yield from roundings

    def _roundings(self, outputs: tuple[str, ...]) -> tuple[tuple[str, ...], list[Operator]]:
        """Names for the outputs before they are rounded, and the Casts that round them."""
        names, steps = [], []
        for output in outputs:
            if not output or not self.folded.is_half(output):
                names.append(output)
                continue
            wide = self._new(f"{output}/float32", self.values[output])
            names.append(wide)
            steps += self._rounded(wide, output, Operator(name=f"Cast {output}", inputs=(wide,), outputs=(output,),
                                                          op_type="Cast", attributes={"to": FLOAT16}))
        return tuple(names), steps

    def _rounded(self, source: str, output: str, cast: Operator) -> list[Operator]:
        """`cast` to float16 of `source`, and back to the float32 value `output`."""
        value = self.values[output]
        narrow = self._new(f"{output}/float16", replace(value, dtype="float16"))
        return [replace(cast, outputs=(narrow,)),
                Operator(name=cast.name, inputs=(narrow,), outputs=(output,), op_type="Cast",
                         attributes={"to": FLOAT32})]

    def _new(self, hint: str, like: Value) -> str:
        name = self.names.unused(hint)
        self.values[name] = replace(like, name=name)
        return name


def _float32(value: Value) -> Value:
    return replace(value, dtype="float32") if value.dtype == "float16" else value
