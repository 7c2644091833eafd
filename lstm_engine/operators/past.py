"""How operators that work along the axis of time do so on a sequence that comes in pieces.

Whatever such an operator makes of the steps that have come must be what it makes of them in the whole sequence, so it
is told here as what it puts around a sequence, how far its windows reach, and what it drops at the ends. Who runs it in
pieces keeps the last steps of its input, and gives it those before the new ones (`plan/streaming.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..graph.nodes import Operator
from .axis_rules import AxisCall

# What stands before the first step of a sequence: numbers of steps, each with the one number that they are filled with.
Fills = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Work:
    """What an operator does along an axis: it puts steps before and behind, slides windows of `reach` steps along by
    `stride`, then drops the first and last of what it made. reads: it makes other numbers of its steps.

    again: the operator that does the rest of it, of how many steps it is left to drop at each end.
    instead: what would keep it from reading steps to come, for messages.
    """

    again: Callable[[int, int], Operator]
    before: Fills = ()
    behind: int = 0
    reach: int = 1
    stride: int = 1
    first: int = 0
    last: int = 0
    reads: bool = False
    instead: str = ""


# What a node does along the axis that stands at a place of its first input; None where it leaves that axis alone.
# Raises Mixes, with the reason, where it cannot be done in pieces.
PastRule = Callable[[AxisCall, int], Work | None]


def fills(count: int, value: float = 0.0) -> Fills:
    return ((count, value),) if count else ()
