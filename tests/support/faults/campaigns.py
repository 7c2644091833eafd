"""The campaigns: which faults come into which operations, and the table of what came of them."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import control, operations
from .control import Fault
from .judge import crash_outcome

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 7200                      # after which a process has hung, however loaded the machine


@dataclass(frozen=True)
class Campaign:
    """One fault, at each of its points, in some operations."""

    fault: Fault
    operations: Callable[[Path], Iterator[operations.Operation]]
    python: bool = False            # CPython's own allocators

    @property
    def memory(self) -> bool:
        return self.python or bool(self.fault.kinds & (control.OWN_MEMORY | control.ANY_MEMORY))


def _all(folder: Path) -> Iterator[operations.Operation]:
    yield from operations.reads(folder)
    yield from operations.calls(folder)
    yield from operations.writes(folder)


def _in_this_process(folder: Path) -> Iterator[operations.Operation]:
    """Without what a child process parses: thousands of points, and a process started at each."""
    return (operation for operation in _all(folder) if operation.quick)


def _files(folder: Path) -> Iterator[operations.Operation]:
    yield from operations.reads(folder)
    yield from operations.writes(folder)


def _on_files(name: str, error: int, kinds: int = control.FILES) -> Campaign:
    return Campaign(Fault(name, kinds, error=error), _files)


CAMPAIGNS = {
    "core memory": Campaign(Fault("", control.OWN_MEMORY), _all),
    "any memory": Campaign(Fault("", control.ANY_MEMORY), _all),
    "Python memory": Campaign(Fault("", 0), _in_this_process, python=True),
    "EIO": _on_files("EIO", errno.EIO),
    "ENOSPC": _on_files("ENOSPC", errno.ENOSPC, control.OPEN | control.WRITE | control.SYNC | control.RENAME
                        | control.CLOSE),
    "EINTR": _on_files("EINTR", errno.EINTR, control.OPEN | control.READ | control.WRITE | control.SYNC
                       | control.RENAME),
    "short": Campaign(Fault("short", control.READ | control.WRITE, control.SHORT), _files),
    "all short": Campaign(Fault("all short", control.READ | control.WRITE, control.SHORT, every=True), _files),
    "ends early": Campaign(Fault("ends early", control.READ, control.END), operations.reads),
}


def absent(name: str) -> str:
    """Why a campaign cannot run here, "" where it can."""
    if CAMPAIGNS[name].python and importlib.util.find_spec("_testcapi") is None:
        return "this Python has no _testcapi, which makes its own allocators fail"
    return control.missing()


@dataclass
class Result:
    """What came of a campaign in one operation."""

    campaign: str
    operation: str = ""
    calls: int = 0                                      # points there are
    outcomes: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)      # what may not be, with its point

    def line(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        tried = sum(self.outcomes.values())
        of = f"{tried}" if tried >= self.calls else f"{tried} of {self.calls}"
        return f"{self.campaign:14} {self.operation:28} {of:>14}  {outcomes}"


def run(name: str, most: int, folder: Path, quick: bool = False) -> Iterator[Result]:
    """A campaign in its operations (quick: those that take milliseconds), at no more than `most` points of each.
    Where a fault ends the process, another goes on behind that point."""
    library = control.compiled(folder)
    result, number, after = Result(name), 0, 0
    while True:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            messages, ended = _process(name, number, most, after, int(quick), library, Path(place))
        begun = 0
        for message in messages:
            if "operation" in message and message["operation"] != result.operation:
                result, number, after = Result(name, message["operation"]), message["number"], 0
            begun = message.get("begin", begun)
            if "point" in message:
                result.outcomes[message["outcome"]] += 1
                if message["wrong"]:
                    result.wrong.append(f"point {message['point']}: {message['wrong']}")
            if "calls" in message:
                result.calls, begun = message["calls"], 0
                # CPython loses the arguments of a call for which it has no memory; theirs are not told from ours.
                result.wrong += [] if CAMPAIGNS[name].python else _leaks(message, CAMPAIGNS[name])
                yield result
        if ended == FINISHED:
            return
        if not begun or begun == after:
            result.wrong.append(f"the process that injects ended: {ended}")
            yield result
            return
        outcome, may = crash_outcome(ended)
        result.outcomes[outcome] += 1
        if not may:
            result.wrong.append(f"point {begun}: the process ended: {ended}")
        after = begun


FINISHED = "finished"


def _process(name: str, number: int, most: int, after: int, quick: int, library: Path, place: Path
             ) -> tuple[list[dict], str]:
    """Its messages, and how it ended."""
    path = os.pathsep.join([str(ROOT / "tests" / "support"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "faults.points", str(place), name,
         *map(str, (number, most, after, quick))], capture_output=True, timeout=SECONDS,
        env={**control.environment(library), "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TMPDIR": str(place)})
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode == 0:
        return messages, FINISHED
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    return messages, f"{how}: {done.stderr.decode(errors='replace').strip()[-4000:]}"


# Of Python's allocator: what the paths of errors keep when they are first taken (lines of source for a traceback,
# modules, warnings), and what a point may leave: less than any object of ours.
BLOCKS_AT_FIRST, BLOCKS_A_POINT = 700, 0.5


# NumPy loses its duplicate of a descriptor for which C's fdopen has no memory: one in reading an array, one in writing.
DESCRIPTORS_OF_NUMPY = 2


def _leaks(message: dict, campaign: Campaign) -> Iterator[str]:
    if message["descriptors"] > (DESCRIPTORS_OF_NUMPY if campaign.memory else 0):
        yield f"{message['descriptors']} descriptors left open"
    if message["blocks"] > BLOCKS_AT_FIRST + BLOCKS_A_POINT * message["done"]:
        yield f"{message['blocks']} blocks of Python's allocator left after {message['done']} points"
    if message["living"] > 8:                          # workspaces that a model keeps for its next call
        yield f"{message['living']} blocks of the core left"
