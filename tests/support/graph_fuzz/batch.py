"""Many seeds, each batch of them in a child process so that a crash is a finding with its seed.

    python batch.py FIRST COUNT      the child: a line "seed N" before each graph, its report as JSON after it
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[3]
SECONDS = 120                       # one graph, on a loaded machine


@dataclass
class Table:
    """The sum of many reports."""

    graphs: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    undecidable: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str, str, str]] = field(default_factory=list)     # seed, way, kind, message
    seconds: float = 0.0

    def add(self, report: dict) -> None:
        if report["invalid"]:
            self.invalid[report["invalid"].split(":")[0]] += 1
            return
        self.graphs += 1
        self.runs.update(report["runs"])
        self.refused.update(report["refused"])
        self.outputs += report["outputs"]
        self.undecidable += report["undecidable"]
        self.findings += [(report["seed"], *found) for found in report["findings"]]

    def undecided(self) -> float:
        """The share of outputs that could not be judged."""
        return self.undecidable / max(1, self.outputs)

    def show(self) -> str:
        kinds = Counter(f"{way}: {kind}" for _, way, kind, _ in self.findings)
        lines = [f"graphs        {self.graphs}", f"invalid       {sum(self.invalid.values())} (made anew) "
                 f"{dict(self.invalid)}",
                 "runs compared " + ", ".join(f"{k} {n}" for k, n in sorted(self.runs.items())),
                 f"outputs       {self.outputs} judged, {self.undecidable} undecidable ({self.undecided():.2%})",
                 f"minutes       {self.seconds / 60:.1f}", "refused by reason:"]
        lines += [f"  {n:5}  {why}" for why, n in self.refused.most_common()] or ["  none"]
        lines += ["findings by kind:"] + ([f"  {n:5}  {kind}" for kind, n in kinds.most_common()] or ["  none"])
        return "\n".join(lines)


def run(first: int, count: int, minutes: float | None = None, say=lambda finding: None) -> Table:
    """Examine `count` valid graphs from the seed `first` on, or as many as the minutes allow."""
    table, begun, seed = Table(), time.monotonic(), first
    while table.graphs < count and (minutes is None or time.monotonic() - begun < 60 * minutes):
        seed = _child(seed, count - table.graphs, table, minutes and begun + 60 * minutes, say)
    table.seconds = time.monotonic() - begun
    return table


def _child(first: int, count: int, table: Table, until: float | None, say) -> int:
    """One child from the seed `first` on; the seed to go on with."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join((str(ROOT), str(HERE.parents[1]))), OMP_NUM_THREADS="1",
                       PYTHONFAULTHANDLER="")
    child = subprocess.Popen([sys.executable, "-m", "graph_fuzz.batch", str(first), str(min(count, 200))], text=True,
                             env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seed, done = first, first - 1
    before = len(table.findings)
    assert child.stdout is not None
    watch = threading.Timer(SECONDS, child.kill)
    watch.start()
    for line in child.stdout:
        watch.cancel()
        watch = threading.Timer(SECONDS, child.kill)
        watch.start()
        if line.startswith("seed "):
            seed = int(line[5:])
            continue
        table.add(json.loads(line))
        done = seed
        for finding in table.findings[before:]:
            say(finding)
        before = len(table.findings)
        if until is not None and time.monotonic() > until:
            child.kill()
            child.wait()
            watch.cancel()
            return done + 1
    watch.cancel()
    if code := child.wait():
        if done == seed or code > 0:          # Python's own exit, not a signal: the fuzzer itself is at fault
            raise RuntimeError(f"the child that examines graphs failed with exit code {code} after seed {done}")
        table.findings.append((seed, "process", "crash", f"exit code {code}"))
        table.graphs += 1
        say(table.findings[-1])
        return seed + 1
    return done + 1


def main() -> None:
    from graph_fuzz.make import make
    from graph_fuzz.ways import examine

    first, count = map(int, sys.argv[1:])
    seed = first
    while count:
        print(f"seed {seed}", flush=True)
        report = examine(make(seed))
        print(json.dumps(report.plain()), flush=True)
        count -= not report.invalid
        seed += 1


if __name__ == "__main__":
    main()
