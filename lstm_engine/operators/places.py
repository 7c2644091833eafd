"""Where an axis that is followed through a graph, the rows of the batch or the steps of time, stands in a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixed:
    """A value of which one row depends on other rows, or on their number; `node` made it so."""

    node: str


@dataclass(frozen=True, eq=False)
class Counts:
    """Sizes, such as Shape gives: `rows` says which of them are the number of rows; the others are the same for all."""

    rows: np.ndarray            # bool, of the shape of the value


# Where the rows of a value stand: an axis; None where it has none, and is the same for every row.
Place = int | None | Mixed | Counts


class Mixes(Exception):
    """This node makes a row of other rows, or it is not known that it does not."""


def need(holds: bool, why: str = "") -> None:
    """Raise Mixes, with a reason, unless it holds."""
    if not holds:
        raise Mixes(why)
