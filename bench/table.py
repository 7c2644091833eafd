"""Rows of times turned into a table of cells, and the ratios that matter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .engines import OWN

Row = dict[str, Any]
TITLES = {"median_us": "us per call", "min_us": "us, the least", "p50_us": "us, p50", "p99_us": "us, p99"}
# Not what a user would choose: shown, but no peer's best.
ASIDE = ("padded",)


@dataclass(frozen=True)
class Line:
    """A cell at a number of threads: us by engine, the best peer, our speed-up against it."""

    cell: str
    threads: int
    us: dict[str, float]
    best_peer: str | None
    speed_up: float | None


def label(row: Row) -> str:
    return f"{row['engine']}/{row['variant']}" if row.get("variant") else row["engine"]


def lines(rows: Iterable[Row], by: str = "median_us") -> list[Line]:
    """One line for each cell and thread count, in the order of the rows. by: a key of TITLES."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["cell"], row["threads"]), []).append(row)
    made = []
    for (cell, threads), own in grouped.items():
        us = {label(row): row[by] for row in own}
        ours = next((row[by] for row in own if row["engine"] == OWN[0]), None)
        peers = {
            label(row): row[by] for row in own if row["engine"] not in OWN and row.get("variant") not in ASIDE
        }
        best = min(peers, key=peers.__getitem__, default=None)
        made.append(Line(cell, threads, us, best, peers[best] / ours if best and ours else None))
    return made


def geometric_mean(values: Iterable[float]) -> float:
    """NaN for no values."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def _by_columns(made: Sequence[Line]) -> list[tuple[list[str], list[Line]]]:
    """Lines in runs that share columns: cells of unequal lengths have other columns than the rest."""
    runs: list[tuple[list[str], list[Line]]] = []
    for line in made:
        variants = [*line.us, *(runs[-1][0] if runs else ())]
        if not runs or any("/" in name for name in variants) and not set(line.us) <= set(runs[-1][0]):
            runs.append((list(line.us), [line]))
        else:
            names, own = runs[-1]
            names += [name for name in line.us if name not in names]
            own.append(line)
    return runs


def format_table(rows: Sequence[Row], unsupported: Sequence[Row] = (), by: str = "median_us") -> str:
    """Times in us, the speed-up against the best peer, geometric means by group."""
    made = lines(rows, by)
    title = f"{TITLES[by]}, {rows[0]['dtype']}" if rows and "dtype" in rows[0] else TITLES[by]
    several_threads = len({line.threads for line in made}) > 1
    refused = {(row["cell"], row["threads"], row["engine"]) for row in unsupported}
    text = []
    for names, own in _by_columns(made):
        width = max(len(title), *(len(line.cell) + (4 if several_threads else 0) for line in own))
        columns = [max(len(name), 13) for name in names]
        text.append(
            " ".join(
                [
                    title.ljust(width),
                    *(n.rjust(w) for n, w in zip(names, columns)),
                    " speed-up  best peer",
                ]
            )
        )
        for line in own:
            name = f"{line.cell} x{line.threads}" if several_threads else line.cell
            times = [
                _time(line.us.get(n), (line.cell, line.threads, n.split("/")[0]) in refused).rjust(w)
                for n, w in zip(names, columns)
            ]
            ratio = "-" if line.speed_up is None else f"{line.speed_up:.2f}"
            text.append(" ".join([name.ljust(width), *times, ratio.rjust(9), f" {line.best_peer or '-'}"]))
        text.append("")
    return "\n".join(text + _means(made) + _padded(made) + [_refusals(unsupported)]).rstrip() + "\n"


def _time(us: float | None, refused: bool) -> str:
    if us is None:
        return "not supported" if refused else "-"
    return f"{us:.1f}" if us >= 10 else f"{us:.2f}"


def _means(made: Sequence[Line]) -> list[str]:
    text = []
    for threads in sorted({line.threads for line in made}):
        groups: dict[str, list[float]] = {}
        for line in made:
            if line.threads == threads and line.speed_up is not None:
                groups.setdefault(line.cell.split("/")[0], []).append(line.speed_up)
        for group, ratios in groups.items():
            below = sum(ratio < 1 for ratio in ratios)
            text.append(
                f"{group}, {threads} threads: geometric mean speed-up {geometric_mean(ratios):.2f} over "
                f"{len(ratios)} cells, least {min(ratios):.2f}, {below} below 1.0"
            )
    return text


def _padded(made: Sequence[Line]) -> list[str]:
    """What unequal lengths gain over peers that run the padding."""
    text = []
    for line in made:
        padded = [us for name, us in line.us.items() if name.endswith("/padded")]
        ours = min((us for name, us in line.us.items() if name.split("/")[0] == OWN[0]), default=None)
        if padded and ours:
            text.append(
                f"{line.cell}, {line.threads} threads: {min(padded) / ours:.2f} times as fast as the best "
                "peer on padded input"
            )
    return text


def _refusals(unsupported: Sequence[Row]) -> str:
    reasons: dict[tuple[str, str], int] = {}
    for row in unsupported:
        key = row["engine"], row["reason"]
        reasons[key] = reasons.get(key, 0) + 1
    return "\n".join(
        f"not supported by {engine} ({count} cells): {reason}" for (engine, reason), count in reasons.items()
    )
