"""What a report holds: every part measured by its own function into one dict that is stored as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from . import neighbours
from .ceilings import measure_ceilings
from .cells import Cell, choose
from .engines import OWN, NotSupported, installed
from .footprint import footprints
from .machine import machine
from .peers import Run, measure
from .worker import Worker

PEER_CELLS = (
    "lstm",
    "gru",
    "stack",
    "bidirectional",
    "odd",
    "stream",
    "lengths",
    "reference",
    "real",
    "steps",
)
THREAD_CELLS = ("lstm/H128-B32-T50", "lstm/H256-B1-T50", "lstm/H256-B128-T50", "lstm/H1024-B1-T50")
NEIGHBOUR_CELLS = (
    "neighbour/H64-B8-T50",
    "neighbour/H96-B17-T50",
    "neighbour/H128-B32-T50",
    "neighbour/H256-B128-T50",
    "neighbour/H128-B1-T1",
)
FOOTPRINT_CELLS = ("lstm/H256-B1-T1", "lstm/H1024-B1-T1")
QUICK = {
    "peers": (
        "lstm/H[36]*-B[18]-*",
        "gru/H64-B1-*",
        "stream/H[36]*-B1-*",
        "lengths",
        "real/activities-B1-*",
        "steps/H128-B1-*",
    ),
    "threads": ("lstm/H128-B32-T50",),
    "products": ("product/M[18]-*",),
    "footprint": ("lstm/H256-B1-T1",),
    "neighbours": ("neighbour/H64-B8-T50",),
}


def _cells(patterns: Sequence[str]) -> list[Cell]:
    """The cells of those patterns that match something: real models may not be at hand."""
    found: dict[str, Cell] = {}
    for pattern in patterns:
        try:
            found |= {cell.name: cell for cell in choose([pattern])}
        except ValueError as error:
            print(error, file=sys.stderr)
    return list(found.values())


def percentiles(
    cells: Sequence[Cell], engines: Sequence[str], threads: int, count: int
) -> list[dict[str, Any]]:
    """Rows: engine, cell, threads, calls, p50_us, p99_us, p99.9_us of single calls, interleaved."""
    times: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, threads)) for name in engines}
        for cell in cells:
            for name, worker in workers.items():
                try:
                    worker.ask("prepare", cell.name, threads, "float32")
                    times[name, cell.name] = []
                except NotSupported:
                    pass
        for _ in range(3):
            for (name, cell_name), own in times.items():
                own += workers[name].ask("single", cell_name, threads, "float32", "", count // 3)
    rows = []
    for (name, cell_name), own in times.items():
        p50, p99, p999 = np.percentile(own, (50, 99, 99.9))
        rows.append(
            {
                "engine": name,
                "cell": cell_name,
                "threads": threads,
                "calls": len(own),
                "p50_us": round(p50, 3),
                "p99_us": round(p99, 3),
                "p99.9_us": round(p999, 3),
            }
        )
    return rows


def collect(
    threads: int, rounds: int, seconds: float, quick: bool = False, peers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Measure everything. peers: what `bench.peers --json` wrote, used instead of measuring that."""
    chosen = (
        QUICK
        if quick
        else {
            "peers": PEER_CELLS,
            "threads": THREAD_CELLS,
            "products": ("product",),
            "footprint": FOOTPRINT_CELLS,
            "neighbours": NEIGHBOUR_CELLS,
        }
    )
    engines = installed()
    about = machine()

    def run(part: str, names: Sequence[str], counts: Sequence[int]) -> Run:
        print(f"-- {part}", file=sys.stderr)
        return measure(_cells(chosen[part]), names, counts, "float32", rounds, seconds)

    ceilings = measure_ceilings(threads)
    if peers is None:
        made = run("peers", engines, [threads])
        peers = {"rows": made.rows, "unsupported": made.unsupported, "wrong": made.wrong}
    print("-- latency", file=sys.stderr)
    # 30000 calls of larger layers take PyTorch minutes.
    streams = [c for c in _cells(chosen["peers"]) if c.group == "stream" and c.batch == 1 and c.hidden <= 256]
    latency = percentiles(streams, engines, 1, 3000 if quick else 30000)
    scaling = run("threads", engines, sorted({1, threads}))
    products = run("products", [*OWN, *(name for name in engines if name not in OWN)], [threads])
    print("-- neighbours", file=sys.stderr)
    settings = ("quiet", "pinned", "engine") if quick else tuple(neighbours.SETTINGS)
    beside = neighbours.measure(_cells(chosen["neighbours"]), settings, engines, sorted({1, threads}), 0.15)
    print("-- footprint", file=sys.stderr)
    return {
        "machine": about,
        "settings": {"threads": threads, "rounds": rounds, "seconds": seconds, "quick": quick},
        "peers": peers["rows"],
        "unsupported": peers["unsupported"],
        "wrong": [*peers["wrong"], *scaling.wrong, *products.wrong],
        "ceilings": ceilings.as_json(),
        "latency": latency,
        "threads": scaling.rows,
        "neighbours": beside,
        "products": products.rows,
        "footprint": footprints(_cells(chosen["footprint"]), engines, threads, 1 if quick else 3),
    }
