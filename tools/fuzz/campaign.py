"""Targets one after the other, each in child processes, for the minutes given; what ends a child is a finding too."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import findings, rule, targets
from .state import State
from .target import CORPUS, HERE, ROOT

HANG = 120.0                      # seconds of the clock without an execution's end, on a loaded machine
START = 900.0                     # until the first execution begins: atheris instruments the modules
MOST_ENDS = 20                    # children that an input may end before a target is given up
# How many times longer than plainly an execution takes: instrumented, and under a sanitizer.
SLOWER = {"own": 1.0, "atheris": 3.0}
SANITIZED = 3.0


@dataclass
class Row:
    """One line of the table."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    corpus: int = 0
    findings: list[Path] = field(default_factory=list)
    growth: int = 0                                        # graphs that ask for much work (Target.grows)
    problem: str = ""                                      # why it was not fuzzed, or not to the end


@dataclass(frozen=True)
class Plan:
    """How targets are fuzzed. tree: where the package is imported from; environment: of the children; sanitized:
    whether the extension there is. reports: the folder where a sanitizer leaves its reports."""

    engine: str
    work: Path
    seed: int
    tree: Path = ROOT
    environment: dict[str, str] | None = None
    sanitized: bool = False
    reports: Path | None = None
    more: dict[str, Any] = field(default_factory=dict)     # what tests add to a request

    @property
    def findings(self) -> Path:
        return self.work / "findings"


def engine_here() -> str:
    """What there is to fuzz with: "atheris" where it is installed, else "own"."""
    return "atheris" if importlib.util.find_spec("atheris") else "own"


def run(names: Sequence[str], plan: Plan, minutes: float) -> list[Row]:
    """Fuzz each target for its share of the minutes."""
    rows = []
    for number, name in enumerate(names):
        rows.append(_fuzzed(name, plan, 60 * minutes / len(names), plan.seed + number))
        print(line(rows[-1]), flush=True)
    return rows


def _fuzzed(name: str, plan: Plan, seconds: float, seed: int) -> Row:
    row, work = Row(name), plan.work / name
    work.mkdir(parents=True, exist_ok=True)
    (work / "state").unlink(missing_ok=True)
    state, found = State(work / "state"), findings.Folder(plan.findings, name)
    began, until = time.monotonic(), time.monotonic() + seconds
    for attempt in range(MOST_ENDS):
        left = until - time.monotonic()
        if left <= 0 or attempt and left < 1:
            break
        ended = _child(name, plan, work, state, max(left, 0.5), seed + 1000 * attempt)
        if ended is None:
            break
        if isinstance(ended, str):
            row.problem = ended
            break
        found.keep(ended, state.input)
    else:
        row.problem = f"given up after {MOST_ENDS} children that inputs ended"
    row.executions, row.seconds = state.executions, time.monotonic() - began
    if "maker" not in plan.more:
        _settle(name, found)
    row.findings = found.all()
    row.growth = len(found.aside("growth").all())
    row.corpus = sum(len(os.listdir(folder)) for folder in (work / "corpus", CORPUS / name) if folder.is_dir())
    return row


def _child(name: str, plan: Plan, work: Path, state: State, seconds: float, seed: int) -> rule.Finding | str | None:
    """What ended a child: an input (a finding), something else (in words), or its time (None)."""
    slower = SLOWER[plan.engine] * (SANITIZED if plan.sanitized else 1)
    request = {"target": name, "engine": plan.engine, "seconds": seconds, "seed": seed, "work": str(work),
               "findings": str(plan.findings), "tree": str(plan.tree), "sanitized": plan.sanitized, "slower": slower,
               "corpus": [str(CORPUS / name)] if (CORPUS / name).is_dir() else [], **plan.more}
    (work / "request.json").write_text(json.dumps(request))
    before = state.executions
    with open(work / "log", "wb") as log:
        child = subprocess.Popen([sys.executable, str(HERE / "child.py"), str(work / "request.json")], cwd=work,
                                 env=plan.environment, stdout=log, stderr=subprocess.STDOUT)
        stuck = _watch(child, state, before)
    text = (work / "log").read_text(errors="replace")[-4000:]
    if stuck:
        return rule.Finding("hang", "an input", f"no end within {HANG:g} s\n{text}") if state.executions > before \
            else f"not one execution within {START:g} s: {text[-300:]}"
    reports = sorted(plan.reports.iterdir()) if plan.reports is not None and plan.reports.is_dir() else []
    shown = "".join(report.read_text(errors="replace")[:6000] for report in reports)
    for report in reports:
        report.unlink()
    if child.returncode == 0 and "ERROR: AddressSanitizer" not in shown:
        return None
    if child.returncode > 0 and not shown or state.executions == before:
        return f"exit code {child.returncode}: {text.strip()[-300:]}"      # the fuzzer's own fault
    place = next((line.strip() for line in shown.splitlines() if "SUMMARY" in line), f"signal {-child.returncode}")
    return rule.Finding("crash", place[:100], f"{shown or text}")


def _settle(name: str, found: findings.Folder) -> None:
    """Make what was found smaller in a plain process. What takes too long or too much only where it is instrumented is
    put aside: the folder `unconfirmed` has it."""
    for path in found.all():
        if path.name.startswith(("crash", "hang")):
            continue                                       # each attempt would take a process
        done = subprocess.run([sys.executable, str(HERE / "run.py"), "--smaller", name, str(path)],
                              capture_output=True, text=True)
        if done.returncode == 0:
            aside = found.aside("unconfirmed").path
            for file in (path, path.with_suffix(".txt")):
                file.replace(aside / file.name)


def _watch(child: subprocess.Popen, state: State, before: int) -> bool:
    """Wait for a child's end; kill it, and say so, if it stays at one input for too long."""
    last, since = before, time.monotonic()
    while True:
        try:
            child.wait(timeout=1.0)
            return False
        except subprocess.TimeoutExpired:
            pass
        if state.executions != last:
            last, since = state.executions, time.monotonic()
        if time.monotonic() - since > (START if last == before else HANG):
            child.kill()
            child.wait()
            return True


def line(row: Row) -> str:
    """A row of the table."""
    return (f"{row.target:14}{row.executions:12,}{row.seconds / 60:9.1f}{row.corpus:8,}{len(row.findings):10}"
            f"{row.growth:8}  {row.problem}").rstrip()


HEADING = f"{'target':14}{'executions':>12}{'minutes':>9}{'corpus':>8}{'findings':>10}{'growth':>8}"


def all_targets() -> list[str]:
    return list(targets.FILES)
