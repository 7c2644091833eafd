"""What becomes of a number that a graph computes of the number of steps, as the steps of a sequence go on.

Programs that were exported from PyTorch look at sizes in every run, "holds only where there are at least 4 steps", and
fail where that is not so. In a stream nobody knows how many steps there will be. What holds for all sequences beyond
some length holds for a stream, and what may not hold again and again does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from ..graph.nodes import Operator


class Fate(Enum):
    """Of a number: it grows beyond any other, or stays within bounds. Of a condition: it holds from some length on, or
    does not hold from there on."""

    GROWS = "grows"
    BOUNDED = "bounded"
    HOLDS = "holds"
    FAILS = "fails"


_COMPARED = {"GreaterOrEqual": Fate.HOLDS, "Greater": Fate.HOLDS, "Less": Fate.FAILS, "LessOrEqual": Fate.FAILS,
             "Equal": Fate.FAILS}           # a number that grows, beside one that does not
_OPPOSITE = {Fate.HOLDS: Fate.FAILS, Fate.FAILS: Fate.HOLDS}


def fate(node: Operator, given: Sequence[Fate | None]) -> Fate | None:
    """The fate of what an operator makes, of those of its inputs (None: not known; constants are bounded); None where
    that is not known."""
    fates = [Fate.BOUNDED if position in node.constants else own for position, own in enumerate(given)]
    first, second = (*fates, None, None)[:2]
    op, conditions = node.op_type, set(_OPPOSITE)
    if op in ("Cast", "Squeeze", "Unsqueeze", "Identity"):
        return first
    if op == "Not":
        return _OPPOSITE.get(first) if first is not None else None
    if op in ("And", "Or") and first in conditions and second in conditions:
        wins = Fate.FAILS if op == "And" else Fate.HOLDS
        return wins if wins in (first, second) else first
    if first is None or second is None or conditions & {first, second}:
        return None
    if Fate.GROWS not in (first, second):
        return Fate.BOUNDED if op in ("Add", "Sub", "Mul", "Mod") else None
    if op in _COMPARED and first != second:
        held = _COMPARED[op]
        return held if first is Fate.GROWS or op == "Equal" else _OPPOSITE[held]
    if op == "Add" or op == "Sub" and second is Fate.BOUNDED:
        return Fate.GROWS
    if op == "Mod" and _least(node, 1) > 0:
        return Fate.BOUNDED
    if op == "Mul" and max(_least(node, 0), _least(node, 1)) > 0 or op == "Div" and _least(node, 1) > 0:
        return Fate.GROWS
    return None


def _least(node: Operator, position: int) -> float:
    """The least number of a constant; 0 where it is none."""
    constant = node.constants.get(position)
    return float(constant.min()) if constant is not None and constant.size and constant.dtype.kind in "iuf" else 0.0


def only_choice(node: Operator, given: Sequence[Fate | None]) -> np.ndarray | None:
    """The one element that a Gather can take out of a constant of one, whose index is a condition that does not hold
    in the long run: with any other index it fails. None for other nodes."""
    data = node.constants.get(0)
    if node.op_type != "Gather" or data is None or data.shape != (1,) or len(given) < 2 or given[1] is not Fate.FAILS:
        return None
    return data
