"""Whether all engines compute the same: against the float64 oracle where that is quick, else each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lstm_engine.graph import Dense, Recurrent

from .cells import STREAM, Case, Cell

Outputs = dict[str, np.ndarray]
Key = tuple[str, str]  # engine, variant

# Engines differ from float64 by 1e-7 to 2e-6 on these networks; a wrong gate, layout or a 16-bit shortcut
# differs by more than 1e-3. 2e-5 (relative above 1) stands well clear of both.
LIMITS = {"float32": 2e-5, "float64": 1e-10}
# About a second of the oracle.
ORACLE_FLOPS = 2e9


def difference(ours: Outputs, reference: Outputs) -> float:
    """The largest difference, absolute, relative above 1; inf where names, shapes or NaN disagree."""
    if set(ours) != set(reference):
        return float("inf")
    worst = 0.0
    for name, wanted in reference.items():
        got = ours[name]
        if got.shape != wanted.shape:
            return float("inf")
        if got.size:
            apart = np.abs(got.astype(np.float64) - wanted) / np.maximum(1, np.abs(wanted))
            worst = max(worst, float(apart.max()) if np.isfinite(apart).all() else float("inf"))
    return worst


def _flops(cell: Cell, case: Case) -> float:
    per_row = sum(
        2.0 * array.size
        for node in case.graph.nodes
        if isinstance(node, (Recurrent, Dense))
        for name, array in node.tensors().items()
        if name in ("W", "R", "kernel")
    )
    x = next(iter(case.inputs.values()))
    return per_row * cell.batch * (x.shape[1] if cell.kind == STREAM else cell.steps)


def oracle(cell: Cell) -> Outputs | None:
    """The outputs in float64, or None where that would take long."""
    from lstm_engine import reference

    case = cell.case()
    if _flops(cell, case) > ORACLE_FLOPS:
        return None
    return reference.run(case.graph, case.inputs, case.lengths)


def compare(cell: Cell, dtype: str, outputs: dict[Key, Outputs]) -> tuple[str, dict[Key, float], list[Key]]:
    """What was compared against, the difference of each engine's variant, and those that are too far off."""
    exact = oracle(cell)
    if exact is not None:
        against, reference = "float64 oracle", exact
    else:
        # The engine in the middle: the one whose largest difference from all others is least.
        def spread(key: Key) -> float:
            return max((difference(other, outputs[key]) for other in outputs.values()), default=0.0)

        middle = min(outputs, key=spread)
        against, reference = " ".join(filter(None, middle)), outputs[middle]
    apart = {key: difference(own, reference) for key, own in outputs.items()}
    return against, apart, [key for key, value in apart.items() if value > LIMITS[dtype]]


def medians(values: Iterable[float]) -> float:
    return float(np.median(list(values)))
