"""The engine beside our own float64 reference: a check of the engine, never of the import.

Both read the same graph, so a graph that was imported wrongly agrees with itself; what `verify` says of this names it
so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import reference
from ..graph import Graph, Loop, Operator
from ..reference.quantized import changed, rounded_elsewhere
from ..text_inputs import TextInputs
from .framework_child.measure import is_weight, nudged
from .frameworks import Answer, Answers

NUDGES = 2
NAMED = ("our own float64 reference of the graph as imported: this checks the engine, not the import")


def reference_answers(graph: Graph, slots: Sequence[Sequence[Mapping[str, np.ndarray]]]) -> Answers:
    """The float64 reference's answers to the first case of each slot, in the form of a framework's."""
    rng = np.random.default_rng(0)
    texts = TextInputs.of(graph.inputs)
    others = [moved(graph, rng) for _ in range(NUDGES)]
    answers = []
    for slot in slots:
        case = slot[0]
        try:
            case = case if texts is None else texts(case)
            right = reference.run(graph, dict(case))
            near = [rounded_elsewhere(seed, reference.run, other, {name: nudged(array, rng) for name, array
                                                                   in case.items()})
                    for seed, other in enumerate(others)]
        except Exception as error:
            answers += [Answer([], [], error=f"{type(error).__name__}: {error}")] * len(slot)
            continue
        names = list(graph.outputs)
        answers.append(Answer(names, [np.asarray(right[name]) for name in names],
                              nudged=[[np.asarray(one[name]) for name in names] for one in near]))
        answers += [Answer([], [], skipped=True)] * (len(slot) - 1)
    return Answers(NAMED, answers)


def moved(graph: Graph, rng: np.random.Generator) -> Graph:
    """A graph with its weights moved by one unit in the last place."""
    def nudge(array: np.ndarray) -> np.ndarray:
        return nudged(array, rng) if is_weight(array) else array

    nodes = []
    for node in graph.nodes:
        if isinstance(node, (Operator, Loop)):
            fields: dict[str, Any] = {"constants": {place: nudge(array) for place, array in node.constants.items()}}
        else:
            fields = {name: changed(array, nudge) for name, array in node.tensors().items()}
        if isinstance(node, Loop):
            fields["body"] = moved(node.body, rng)
        nodes.append(dataclasses.replace(node, **fields))
    return dataclasses.replace(graph, nodes=tuple(nodes))
