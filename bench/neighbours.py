"""`python -m bench.neighbours`: calls beside other processes that want the cores.

    python -m bench.neighbours [--cells PATTERN ...] [--settings NAME ...] [--engines NAME ...]
                               [--dtype TYPE] [--seconds S] [--json FILE]

For every setting and cell: p50 and p99 of single calls, us, on one and on two threads, and the share of calls that took
2 ms longer than the median ("stalls"). Each engine has a process of its own; one runs at a time, all beside the same
neighbours in the same minute. Settings:

    quiet      nothing else
    pinned     one busy process on the last core         niced      the same at nice 10
    two        two busy processes, on any core           bursts     one that spins and sleeps, 1 to 10 ms at a time
    engine     another process that runs this engine     engines    four of them
    bandwidth  one that copies memory all the time
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .cells import Cell, choose
from .compare import LIMITS
from .engines import ENGINES, EngineFailed, NotSupported, installed
from .machine import machine, sentence
from .worker import ROOT, Worker

STALL_US = 2000.0
LEAST_CALLS, MOST_CALLS = 60, 5000

# Before each program: it ends when the process that started it has ended, however that was.
_WATCH = """
import os, threading, time
def watch(parent=os.getppid()):
    while os.getppid() == parent: time.sleep(1)
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
"""
_BUSY = "while True: pass"
_BURSTS = """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.001, 0.010)
    while time.perf_counter() < end: pass
    time.sleep(random.uniform(0.001, 0.010))
"""
_ENGINE = """
import numpy as np, lstm_engine as le
weight = lambda *shape: np.random.default_rng(0).standard_normal(shape).astype("f4") * 0.1
model, x = le.Model([le.LSTM(weight(1, 512, 128), weight(1, 512, 128))]), weight(8, 50, 128)
while True: model.predict(x, threads=2)
"""
_BANDWIDTH = """
import numpy as np
a, b = np.ones(1 << 25), np.empty(1 << 25)
while True: np.copyto(b, a)
"""
# Setting -> program, how many of it, the core it is pinned to ("last" or any), its niceness.
SETTINGS: dict[str, tuple[str, int, str, int]] = {
    "quiet": (_BUSY, 0, "any", 0),
    "pinned": (_BUSY, 1, "last", 0),
    "niced": (_BUSY, 1, "last", 10),
    "two": (_BUSY, 2, "any", 0),
    "bursts": (_BURSTS, 1, "any", 0),
    "engine": (_ENGINE, 1, "any", 0),
    "engines": (_ENGINE, 4, "any", 0),
    "bandwidth": (_BANDWIDTH, 1, "any", 0),
}


@contextmanager
def neighbours(setting: str) -> Iterator[None]:
    """The processes of a setting, running while inside."""
    program, count, core, nice = SETTINGS[setting]

    def prepare() -> None:
        if core == "last":
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.nice(nice)
    command = [sys.executable, "-c", _WATCH + program]
    started = [subprocess.Popen(command, cwd=ROOT, preexec_fn=prepare) for _ in range(count)]
    try:
        time.sleep(1.0 if count else 0.1)           # they import what they need first
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _figures(times: list[float]) -> dict[str, float]:
    array = np.array(times)
    middle = float(np.median(array))
    return {"p50_us": round(middle, 1), "p99_us": round(float(np.percentile(array, 99)), 1),
            "stalls_percent": round(100 * float((array > middle + STALL_US).mean()), 2), "calls": len(times)}


def measure(cells: Sequence[Cell], settings: Sequence[str], engines: Sequence[str], threads: Sequence[int],
            seconds: float, dtype: str = "float32") -> list[dict[str, Any]]:
    """A row for each setting, cell, engine and number of threads."""
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, max(threads))) for name in engines}
        variants: dict[tuple[str, str, int], str] = {}
        for cell in cells:
            for name, worker in workers.items():
                for count in threads:
                    try:
                        made = worker.ask("prepare", cell.name, count, dtype)
                        variants[name, cell.name, count] = next(iter(made))
                    except (NotSupported, EngineFailed) as error:
                        print(f"{cell.name}: {name}: {error}", file=sys.stderr)
        for setting in settings:
            with neighbours(setting):
                for cell in cells:
                    for name, worker in workers.items():
                        for count in threads:
                            variant = variants.get((name, cell.name, count))
                            if variant is None:
                                continue
                            ask = ("single", cell.name, count, dtype, variant)
                            first = float(np.median(worker.ask(*ask, 9)))
                            calls = int(np.clip(seconds * 1e6 / max(first, 1), LEAST_CALLS, MOST_CALLS))
                            rows.append({"setting": setting, "cell": cell.name, "engine": name, "dtype": dtype,
                                         "threads": count,
                                         **_figures(worker.ask(*ask, calls))})
                    print(_line(rows, setting, cell.name), flush=True)
    return rows


def _line(rows: list[dict[str, Any]], setting: str, cell: str) -> str:
    found = [row for row in rows if row["setting"] == setting and row["cell"] == cell]
    parts = [f"{row['engine']} {row['threads']}: {row['p50_us']:.0f}/{row['p99_us']:.0f} {row['stalls_percent']:.1f}%"
             for row in found]
    return f"{setting:9} {cell:26} " + " | ".join(parts)


def format_rows(rows: list[dict[str, Any]]) -> str:
    """A line for each setting and cell."""
    return "\n".join(_line(rows, *place) for place in dict.fromkeys((row["setting"], row["cell"]) for row in rows))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=["neighbour"], metavar="PATTERN")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), help="default: those installed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", choices=list(LIMITS), default="float32")
    parser.add_argument("--seconds", type=float, default=0.3, help="for one engine on one cell (0.3)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(argv)
    about = machine()
    print(sentence(about), file=sys.stderr)
    rows = measure(choose(given.cells), given.settings, given.engines or installed(), given.threads, given.seconds,
                   given.dtype)
    if given.json:
        given.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
