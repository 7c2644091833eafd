"""Runs for minutes what a long-lived process does, and shows what is left: exit code 1 if anything grows.

    python tools/soak.py --minutes M [--seed N]

Rounds of random actions (tests/support/soak_actions.py) from one seed: models of every kind of file loaded, converted
and dropped, shapes, threads, streams, pickles, forks, refusals, interrupted calls. After each round everything is
dropped and the process is measured; growth is the slope of a line by least squares through the rounds behind the
warm-up, the first third. Prints what it measured, with each bound.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ACTIONS_A_ROUND = 60
LEAST_ROUNDS = 9           # six behind the warm-up: fewer say nothing of a slope
MOST_ROUNDS = 100_000      # days


@dataclass(frozen=True)
class Measure:
    """The process between two rounds, with nothing of ours alive."""

    seconds: float
    actions: int
    resident: float        # MB of resident memory
    heap: float            # MB in use of C's heap, where the system says it
    blocks: float          # of Python's own allocator
    descriptors: int
    threads: int           # of the system, so also those of OpenMP
    children: int
    files: int             # temporary ones of writers that have ended


class Process:
    """Looks at this process from outside. Linux alone: /proc, and glibc's books of its heap."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.libc = ctypes.CDLL(None)
        self.began = time.monotonic()
        from held import python_blocks

        self.python_blocks = python_blocks
        if hasattr(self.libc, "mallinfo2"):
            self.libc.mallinfo2.restype = type("mallinfo2", (ctypes.Structure,), {
                "_fields_": [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd",
                                                                  "usmblks", "fsmblks", "uordblks", "fordblks",
                                                                  "keepcost")]})

    def measure(self, actions: int) -> Measure:
        blocks = self.python_blocks()
        if hasattr(self.libc, "malloc_trim"):
            self.libc.malloc_trim(0)                       # what is free and kept for later is no leak
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        heap = self.libc.mallinfo2() if hasattr(self.libc, "mallinfo2") else None
        return Measure(time.monotonic() - self.began, actions, pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
                       (heap.uordblks + heap.hblkhd) / 1e6 if heap else 0.0, blocks,
                       len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), self._children(),
                       len(list(self.folder.rglob(".*.tmp"))))

    @staticmethod
    def _children() -> int:
        children = 0
        for task in os.listdir("/proc/self/task"):
            children += len(Path(f"/proc/self/task/{task}/children").read_text().split())
        return children


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Of the line by least squares through y(x), and its standard error."""
    x, y = x - x.mean(), y - y.mean()
    rise = x @ y / (x @ x)
    return float(rise), float(np.sqrt(((y - rise * x) ** 2).sum() / (len(x) - 2) / (x @ x)))


# MB by which memory may grow once, between two rounds, and count as nothing. Seen here is one step of 0.96, by which a
# dict with room for 87,381 strings outgrows one for 43,690: Python's own table of interned strings, in which those that
# come and go leave gaps. What leaks grows again and again, and all its steps but one stand.
STEP = 1.0


def without_one_step(y: np.ndarray) -> np.ndarray:
    """y without its largest step up, if that is no more than STEP."""
    steps = np.diff(y)
    at = int(np.argmax(steps))
    lowered = y.copy()
    if 0 < steps[at] <= STEP:
        lowered[at + 1:] -= steps[at]
    return lowered


# What grows with time or work -> (unit, per what, the most that may be, why that). A slope fails that is over its bound
# by more than three of its standard errors: what a short run cannot tell from noise it does not fail for.
HOUR, THOUSAND = "an hour", "a thousand actions"
GROWTH = {
    "resident": ("MB", HOUR, 20.0, "a page left behind at one action in a hundred would be 20 MB and more"),
    "heap": ("MB", THOUSAND, 0.1, "one block of 100 bytes left behind at each action"),
    "blocks": ("blocks", THOUSAND, 30.0, "one Python object left behind at every thirtieth action"),
}
# What has no business to be more at the end than after the warm-up.
COUNTS = {"descriptors": 0, "threads": 0, "children": 0, "files": 0}


def report(measures: np.ndarray, done: Counter) -> int:
    """Print what grew; the exit code. measures: [rounds, fields of Measure]."""
    settled = measures[len(measures) // 3:]
    columns = dict(zip(Measure.__dataclass_fields__, settled.T))
    print(f"{len(measures)} rounds, {columns['actions'][-1]:.0f} actions, {columns['seconds'][-1] / 60:.1f} minutes; "
          f"the first {len(measures) - len(settled)} rounds are the warm-up")
    print("actions: " + ", ".join(f"{count} {name}" for name, count in done.most_common()))
    failed = 0
    for name, (unit, per, most, why) in GROWTH.items():
        scale = columns["seconds"] / 3600 if per == HOUR else columns["actions"] / 1000
        rise, error = slope(scale, without_one_step(columns[name]) if unit == "MB" else columns[name])
        bad = rise - 3 * error > most
        failed += bad
        print(f"{name}: {rise:+.3f} {unit} {per} (standard error {error:.3f}); {columns[name][0]:.1f} after the "
              f"warm-up, {columns[name][-1]:.1f} at the end; bound {most:g}: {why}{': FAILED' if bad else ''}")
    for name, most in COUNTS.items():
        # Of the first and last few rounds the least: a thread of OpenMP may be on its way out.
        grown = int(columns[name][-3:].min() - columns[name][:3].max())
        bad = grown > most
        failed += bad
        print(f"{name}: {columns[name][-1]:.0f} at the end, {grown:+d} since the warm-up; bound {most}"
              f"{': FAILED' if bad else ''}")
    return int(failed > 0)


def soak(minutes: float, seed: int, folder: Path) -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    from soak_actions import ACTIONS, World

    world, process = World(folder, seed), Process(folder)
    names, weights = list(ACTIONS), np.array(list(ACTIONS.values()), float)
    # Laid out beforehand: what the soak itself keeps must not look like a leak.
    measures, rounds = np.zeros((MOST_ROUNDS, len(Measure.__dataclass_fields__))), 0
    done: Counter = Counter({action.__name__: 0 for action in ACTIONS})
    while rounds < LEAST_ROUNDS or time.monotonic() - process.began < 60 * minutes and rounds < MOST_ROUNDS:
        for number in world.rng.choice(len(names), ACTIONS_A_ROUND, p=weights / weights.sum()):
            names[number](world)
            done[names[number].__name__] += 1
        world.drop()
        measures[rounds] = astuple(process.measure(sum(done.values())))
        rounds += 1
    if threading.active_count() > 1:
        print(f"threads of Python left: {threading.enumerate()}")
        return 1
    return report(measures[:rounds], done)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule (default: %(default)s)")
    options = parser.parse_args()
    if not Path("/proc/self/task").is_dir():
        print("skipped: this system has no /proc to measure a process by")
        return 0
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="lstm-engine-soak-") as folder:
        tempfile.tempdir = folder                          # whatever is left there is counted
        try:
            return soak(options.minutes, options.seed, Path(folder))
        finally:
            tempfile.tempdir = None


if __name__ == "__main__":
    sys.exit(main())
