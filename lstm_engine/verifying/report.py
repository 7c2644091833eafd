"""What `verify` found: figures by output, what was checked and what was not, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .differences import Difference

EQUAL, DIFFERENT, NOT_ALL = 0, 1, 3


@dataclass
class Figures:
    """One output, in all inputs. found: the model's from the framework's. used: the largest part of its tolerance that
    a number used up (above 1: wrong), and on which inputs; tolerance: there, absolute. ours_off, theirs_off: how far
    the model's, and the framework's own, are from what is nearest to the exact outputs."""

    shape: list[int] = field(default_factory=list)
    cases: int = 0
    found: Difference = field(default_factory=Difference)
    ours_off: float = 0.0
    theirs_off: float = 0.0
    used: float = 0.0
    tolerance: float = 0.0
    where: str = ""
    undecided: int = 0
    differing: int = 0
    count: int = 0
    decided: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"shape": self.shape, "cases": self.cases, "max_abs": self.found.absolute,
                "max_rel": self.found.relative, "max_ulp": self.found.ulps, "max_scaled": self.found.scaled,
                "used": self.used, "tolerance": self.tolerance, "inputs": self.where, "numbers": self.count,
                "undecided": self.undecided}


@dataclass
class Report:
    """What `lstm_engine.verify` found.

    against: what ran the source, with its version. outputs: the figures, by name. differences: what is wrong, in
    sentences. checked, unchecked: what was compared and what could not be. remarks: what else there is to know. ok:
    nothing differs and nothing went unchecked. code: 0 for that, 1 for a difference, 3 if not everything was checked.
    """

    against: str = ""
    why: str = ""                                                   # of the tolerance
    outputs: dict[str, Figures] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.code == EQUAL

    @property
    def code(self) -> int:
        """The exit code of `lstm-engine verify`: 0, 1 or 3."""
        return DIFFERENT if self.differences else NOT_ALL if self.unchecked or not self.checked else EQUAL

    def rows(self) -> list[tuple[str, ...]]:
        """A table of the outputs, its first row the heading."""
        rows: list[tuple[str, ...]] = [("output", "largest shape", "max abs", "max rel", "ours off", "theirs off",
                                        "tolerance", "used")]
        rows += [(name, str(one.shape), f"{one.found.absolute:.2e}", f"{one.found.relative:.2e}", f"{one.ours_off:.2e}",
                  f"{one.theirs_off:.2e}", f"{one.tolerance:.2e}", f"{one.used:.0%}" if one.used < 10 else "beyond")
                 for name, one in self.outputs.items()]
        return rows

    def lines(self) -> list[str]:
        """All but the table, a sentence a line."""
        lines = [*(f"checked: {sentence}" for sentence in self.checked)]
        lines += [f"DIFFERENT: {sentence}" for sentence in self.differences]
        lines += [f"NOT CHECKED: {sentence}" for sentence in self.unchecked]
        lines += [f"note: {sentence}" for sentence in self.remarks]
        if self.why:
            lines.append(f"tolerance: {self.why}")
        lines.append({EQUAL: "everything was checked and nothing differs", DIFFERENT: "the model is not what it was "
                      "compared with", NOT_ALL: "nothing differs in what was compared, but not everything was checked"
                      }[self.code])
        return lines

    def text(self) -> str:
        """The report as text, several lines."""
        rows = self.rows() if self.outputs else []
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"against {self.against}", *table, *self.lines()])

    __str__ = text
