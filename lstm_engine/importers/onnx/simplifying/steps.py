"""The steps of a model after the walk: operators of the table, recurrent cells, and loops that are no cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ....graph.nodes import Operator, Value
from .recurrent import Cell


@dataclass(frozen=True, eq=False)
class Turned:
    """A loop among the steps of a model; see `graph.Loop`, whose inputs, outputs and axes these are.

    inputs, outputs: names of the walk, those of constants among the inputs. given: what its body is given. steps: of
    the body. made: what it makes, by name, and which value that is.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    given: tuple[Value, ...]
    steps: tuple[Operator | Cell | Turned, ...]
    made: dict[str, str]
    states: int
    sequence_axes: tuple[int, ...]
    backwards: tuple[int, ...]
    result_axes: tuple[int, ...]
    turned: tuple[int, ...]


Step = Operator | Cell | Turned


def reads(step: Step) -> Iterator[str]:
    """The names of the values that a step reads."""
    names = (step.x, step.lengths, step.initial_h, step.initial_c, step.mask) if isinstance(step, Cell) else step.inputs
    yield from filter(None, names)


def makes(step: Step) -> tuple[str, ...]:
    return step.node.outputs if isinstance(step, Cell) else step.outputs
