"""Weights that a file holds as whole numbers with scales, which become the floats that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....graph.nodes import Operator
from ....operators import operator_attributes

_SHOWN = 8


@dataclass(frozen=True, eq=False)
class WholeNumbers:
    """What a constant was before it became floats: (values - zero) * scale, the scale and the zero one number, or one
    for each place of `axis`, or of `block` places of it, where that is above 0."""

    values: np.ndarray
    scale: np.ndarray
    zero: np.ndarray | None
    axis: int
    block: int


def whole_numbers(operator: Operator) -> WholeNumbers | None:
    """The whole numbers behind the result of an operator on constants alone; None where there are none."""
    if operator.op_type != "DequantizeLinear":
        return None
    attributes, given = operator_attributes(operator), operator.constants
    rank = given[0].ndim
    return WholeNumbers(given[0], given[1], given.get(2), attributes["axis"] % max(rank, 1), attributes["block_size"])


def shown(known: dict[str, WholeNumbers]) -> str:
    """Which constants these are, for a fact of the model."""
    listed = [f"{name} ({whole.values.dtype})" for name, whole in known.items() if whole.values.ndim > 1]
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if listed[_SHOWN:] else "")
