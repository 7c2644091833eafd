"""`python -m bench.peers`: lstm-engine beside ONNX Runtime, PyTorch and OpenVINO.

Every engine has a process of its own; only one runs at a time. Outputs are compared before anything is timed.
Cells are interleaved over several rounds; a figure is the median of the rounds' medians, in us per call. With a
quantised --dtype every engine runs its own quantised form of the float model, and is compared with that. Exit
code: 0; 1 if an engine computed something else or died; 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .cells import Cell, catalogue, choose
from .compare import LIMITS, compare, medians
from .engines import ENGINES, EngineFailed, NotSupported, installed
from .machine import machine, sentence
from .table import format_table
from .worker import Worker, WorkerDied

Row = dict[str, Any]

# Threads of an engine may spin on after its last call, on a core that the next one needs: with two cores an engine that
# followed ONNX Runtime at once took up to 1.8 times as long.
CALM_SECONDS = 0.03
# Single calls of a round: enough for a 99th percentile in a few rounds of fast ones, few of those that take long.
LEAST_SINGLES, MOST_SINGLES = 10, 5000


@dataclass
class Job:
    """One variant of one engine on one cell, and its times so far: a list of us per round."""

    engine: str
    cell: Cell
    threads: int
    variant: str
    against: str = ""
    max_abs_diff: float = 0.0
    rounds: list[list[float]] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)

    def row(self, version: str, dtype: str) -> Row:
        cell = self.cell
        percentiles = {f"p{p}_us": round(float(np.percentile(self.singles, p)), 3) for p in (50, 99) if self.singles}
        return {
            "engine": self.engine,
            "version": version,
            "cell": cell.name,
            "dtype": dtype,
            "threads": self.threads,
            "batch": cell.batch,
            "inputs": cell.inputs,
            "hidden": cell.hidden,
            "steps": cell.steps,
            "median_us": round(medians(medians(times) for times in self.rounds), 3),
            "min_us": round(min(min(times) for times in self.rounds), 3),
            "max_abs_diff": self.max_abs_diff,
            "variant": self.variant,
            "compared_with": self.against,
            "rounds_us": [round(medians(times), 3) for times in self.rounds],
            **percentiles,
        }


@dataclass
class Run:
    """What a run gave: rows of times, cells an engine does not support with the reason, and disagreements."""

    rows: list[Row]
    unsupported: list[Row]
    wrong: list[str]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _prepare(workers: dict[str, Worker], cell: Cell, threads: int, dtype: str, run: Run) -> list[Job]:
    """Build the cell in every engine and compare the outputs; jobs for those that agree."""
    outputs = {}
    for engine, worker in workers.items():
        try:
            for variant, made in worker.ask("prepare", cell.name, threads, dtype).items():
                outputs[engine, variant] = made
        except NotSupported as error:
            run.unsupported.append(
                {
                    "engine": engine,
                    "cell": cell.name,
                    "dtype": dtype,
                    "threads": threads,
                    "reason": str(error),
                }
            )
            _say(f"  {cell.name}: {engine}: not supported: {error}")
        except EngineFailed as error:
            run.wrong.append(f"{cell.name}: {engine} failed: {error}")
            _say(f"  WRONG: {run.wrong[-1]}")
    if not outputs:
        return []
    against, apart, wrong = compare(cell, dtype, outputs, partial(_in_float32, workers, cell, threads))
    for engine, variant in wrong:
        name = " ".join(filter(None, (engine, variant)))
        message = f"{cell.name}: {name} is {apart[engine, variant]:.2g} from {against}"
        run.wrong.append(message)
        _say(f"  WRONG: {message}")
    return [
        Job(engine, cell, threads, variant, against, apart[engine, variant])
        for engine, variant in outputs
        if (engine, variant) not in wrong
    ]


def _in_float32(workers: dict[str, Worker], cell: Cell, threads: int) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """The outputs of the float model, of every engine that runs it."""
    outputs = {}
    for engine, worker in workers.items():
        try:
            outputs[engine, ""] = worker.ask("outputs", cell.name, threads, "float32")
        except NotSupported:
            pass
    return outputs


def measure(
    cells: Sequence[Cell],
    engines: Sequence[str],
    threads: Sequence[int],
    dtype: str,
    rounds: int,
    seconds: float,
    environment: dict[str, str] | None = None,
    percentiles: bool = False,
) -> Run:
    """Time every cell in every engine. `seconds`: what one engine gets for one cell in one round, and as much again for
    the single calls that percentiles are taken of.

    Raises WorkerDied if the process of an engine ends.
    """
    run = Run([], [], [])
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, max(threads), environment)) for name in engines}
        jobs = []
        for cell in cells:
            for count in threads:
                jobs.append(_prepare(workers, cell, count, dtype, run))
        _say(f"outputs compared ({len(cells)} cells); timing {rounds} rounds")
        for number in range(rounds):
            for own in jobs:
                # Another order each round, so that no engine always follows the same one.
                shift = number % len(own) if own else 0
                for job in own[shift:] + own[:shift]:
                    time.sleep(CALM_SECONDS)
                    asked = job.cell.name, job.threads, dtype, job.variant
                    times = workers[job.engine].ask("time", *asked, seconds)
                    job.rounds.append(times)
                    if percentiles:
                        count = min(MOST_SINGLES, max(LEAST_SINGLES, int(seconds * 1e6 / medians(times))))
                        job.singles += workers[job.engine].ask("single", *asked, count)
            _say(f"  round {number + 1} of {rounds}")
        run.rows = [job.row(workers[job.engine].version, dtype) for own in jobs for job in own]
    return run


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--cells",
        nargs="+",
        default=["lstm"],
        metavar="PATTERN",
        help="shell patterns of cell names, or groups (default: lstm, the grid; '*' for all)",
    )
    parser.add_argument("--list", action="store_true", help="print the names of all cells and stop")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), help="default: those installed")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--dtype", choices=list(LIMITS), default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="for one engine on one cell in one round (0.05)"
    )
    parser.add_argument(
        "--percentiles", action="store_true", help="time single calls too, and print tables of their p50 and p99"
    )
    parser.add_argument(
        "--by",
        choices=["median_us", "min_us"],
        default="median_us",
        help="what the table shows; the minimum says more on a machine that others use too",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, rows and settings there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the speed-ups (PNG or SVG)")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1 or min(arguments.threads) < 1:
        parser.error("--rounds and --threads are at least 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    if arguments.list:
        print("\n".join(catalogue()))
        return 0
    if arguments.cells == ["neighbour"]:
        from . import neighbours

        threads = map(str, sorted({1, *arguments.threads}))
        return neighbours.main(["--dtype", arguments.dtype, "--threads", *threads])
    try:
        cells = choose(arguments.cells)
    except ValueError as error:
        _say(f"error: {error}")
        return 2
    about = machine()
    engines = arguments.engines or installed()
    _say(f"{sentence(about)}\nengines: {', '.join(engines)}; threads {arguments.threads}; {arguments.dtype}")
    try:
        run = measure(
            cells,
            engines,
            arguments.threads,
            arguments.dtype,
            arguments.rounds,
            arguments.seconds,
            percentiles=arguments.percentiles,
        )
    except WorkerDied as error:
        _say(f"error: {error}")
        return 1
    print(format_table(run.rows, run.unsupported, arguments.by), end="")
    for by in ("p50_us", "p99_us") if arguments.percentiles else ():
        print("\n" + format_table(run.rows, run.unsupported, by), end="")
    if arguments.json:
        settings = {
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "threads": arguments.threads,
            "dtype": arguments.dtype,
            "cells": arguments.cells,
        }
        arguments.json.write_text(
            json.dumps(
                {
                    "machine": about,
                    "settings": settings,
                    "rows": run.rows,
                    "unsupported": run.unsupported,
                    "wrong": run.wrong,
                },
                indent=1,
            )
            + "\n"
        )
    if arguments.plot:
        from .figures import peers_figure

        peers_figure(run.rows).savefig(arguments.plot, dpi=130)
    for message in run.wrong:
        _say(f"WRONG: {message}")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
