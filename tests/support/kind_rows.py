"""What became of a kind of model in one form: the rows of the tables of kinds."""

from __future__ import annotations

from dataclasses import dataclass

RIGHT, REFUSED, WRONG = "right", "refused", "WRONG"


@dataclass(frozen=True)
class Row:
    """outcome: RIGHT, REFUSED or WRONG; detail: the difference, or the message."""

    kind: str
    form: str
    outcome: str
    detail: str
