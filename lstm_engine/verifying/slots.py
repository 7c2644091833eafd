"""The inputs of a comparison: made up in sizes that the model takes, with what the model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Graph
from . import made_up
from .made_up import ORDINARY, Family
from .sizes import Roles, least_steps

if TYPE_CHECKING:
    from ..model import Model

Arrays = dict[str, np.ndarray]
ORDINARY_SIZES = ((1, 1), (1, 17), (3, 5), (5, 33), (2, 64))        # batch, steps
OTHER_SIZES = ((3, 7), (2, 19))
FIXED_SEEDS = 5             # inputs of a model that fixes all its sizes
EMPTY = (0, 5)
AMPLE = 4                   # times the least number of steps are enough for all layers


@dataclass
class Slot:
    """One input in the ways in which it could be laid out, of which the framework takes the first that it can.

    ours: the model's outputs, for each way; a text: why it refused. optional: nothing is said where it was not run.
    """

    family: str
    cases: list[Arrays] = field(default_factory=list)
    ours: list[Arrays | str] = field(default_factory=list)
    optional: bool = False

    @property
    def refused(self) -> str | None:
        """Why the model took none of the ways."""
        return next((one for one in self.ours if isinstance(one, str)), None) \
            if all(isinstance(one, str) for one in self.ours) else None


def run_ours(model: Model, case: Arrays) -> Arrays | str:
    """The model's outputs by name, or the first line of its refusal."""
    try:
        results = model.predict(case)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    named: Mapping[str, Any] = results if isinstance(results, dict) else {next(iter(model.outputs)): results}
    return {name: np.asarray(array) for name, array in named.items()}


def given_slots(model: Model, cases: Sequence[Arrays]) -> list[Slot]:
    """Slots of inputs that the caller gave."""
    return [Slot("the given inputs", [case], [run_ours(model, case)]) for case in cases]


def made_up_slots(model: Model, graph: Graph, seed: int, batches: Sequence[int] | None, steps: Sequence[int] | None,
                  fixed: Mapping[str, list[int | None]] | None = None) -> tuple[list[Slot], list[str]]:
    """(slots, remarks): inputs of all kinds, from `seed`. batches, steps: the sizes to use instead of our own; fixed:
    the shapes that the framework wants, by input name."""
    maker = _Maker(model, graph, Roles.of(graph), np.random.default_rng(seed), fixed or {})
    remarks = []
    least = 1
    if steps is None and maker.roles.times:
        found = least_steps(lambda count: not isinstance(run_ours(model, maker.first_taken(2, count)), str))
        least = found or 1
        if found is None:
            remarks.append("no number of steps was found that the model takes; give one with --steps (steps=)")
        elif found > 1:
            remarks.append(f"the model takes no fewer than {found} steps")
    ordinary, others = _sizes(ORDINARY_SIZES, batches, steps), _sizes(OTHER_SIZES, batches, steps)
    if not maker.free:
        ordinary, others = [(1, 1)] * FIXED_SEEDS, [(1, 1)] * 2
    slots = [maker.slot(ORDINARY, *sizes, least) for sizes in ordinary]
    if least > 1:                        # of these, windows may leave no step at all to the layers behind them
        slots += [maker.slot(ORDINARY, *sizes, AMPLE * least) for sizes in others]
    for family in made_up.families(graph):
        slots += [maker.slot(family, *sizes, least if least == 1 else AMPLE * least) for sizes in others]
    if maker.roles.batch is not None and batches is None and steps is None:
        slots.append(maker.slot(ORDINARY, *EMPTY, least))
        slots[-1].optional = True
    return slots, remarks


def _sizes(own: Sequence[tuple[int, int]], batches: Sequence[int] | None,
           steps: Sequence[int] | None) -> list[tuple[int, int]]:
    if batches is None and steps is None:
        return list(own)
    return [(batch, count) for batch in batches or sorted({one for one, _ in own})
            for count in steps or sorted({one for _, one in own})]


@dataclass
class _Maker:
    model: Model
    graph: Graph
    roles: Roles
    rng: np.random.Generator
    fixed: Mapping[str, list[int | None]]

    @property
    def free(self) -> bool:
        return bool(self.roles.batch or self.roles.times or self.roles.others)

    def slot(self, family: Family, batch: int, steps: int, least: int) -> Slot:
        """The ways to lay out one input that the model takes; where it takes none, all of them.

        Steps count from the least that the model takes, or are multiples of them.
        """
        slot = Slot(family.name)
        counts = [steps] if least == 1 else list(dict.fromkeys((least + steps - 1, least * steps, least)))
        for count in counts:
            for sizes in self.roles.ways(batch, count):
                case = made_up.inputs(self.graph, sizes, family, self.rng, self.fixed)
                slot.cases.append(case)
                slot.ours.append(run_ours(self.model, case))
            if slot.refused is None:
                break
        if slot.refused is None:
            taken = [place for place, ours in enumerate(slot.ours) if not isinstance(ours, str)]
            slot.cases, slot.ours = [slot.cases[place] for place in taken], [slot.ours[place] for place in taken]
        return slot

    def first_taken(self, batch: int, steps: int) -> Arrays:
        """Inputs of this size that the model takes, else the last way to lay them out."""
        for sizes in self.roles.ways(batch, steps):
            case = made_up.inputs(self.graph, sizes, ORDINARY, self.rng, self.fixed)
            if not isinstance(run_ours(self.model, case), str):
                break
        return case
