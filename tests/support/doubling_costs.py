"""Files of every kind that grow by one thing: twice as much of it may cost twice as much to read, and no more.

What reading costs is counted, not timed: lines and calls of Python, and the largest memory in use. Foreign parsers,
which run in a child process, run in this one here, so that they are counted too.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lstm_engine as le
from lstm_engine.cli.arguments import UsageError
from lstm_engine.importers.reading import sandbox


@dataclass(frozen=True)
class Case:
    """`make` writes a file with so many of a thing and returns what `read` takes. n: how many, at first. needs: the
    library that writes it."""

    reader: str
    thing: str
    n: int
    make: Callable[[Path, int], Any]
    read: Callable[[Any], Any]
    needs: str = ""

    @property
    def name(self) -> str:
        return f"{self.reader}: {self.thing}"


@dataclass(frozen=True)
class Cost:
    """events: lines run and functions called. peak: bytes."""

    events: int
    peak: int
    ended: str          # "read", or the class of the error


def outcome(case: Case, given: Any) -> str:
    """Read, refused, or whatever else: nothing but our own errors may come."""
    try:
        case.read(given)
    except (le.LstmEngineError, UsageError) as error:
        return type(error).__name__
    return "read"


def events(call: Callable[[], Any]) -> int:
    """Lines run, functions of Python entered and functions of C called, in this thread."""
    count = 0

    def line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    def called(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace()
    sys.settrace(line)
    sys.setprofile(called)
    try:
        call()
    finally:
        sys.setprofile(None)
        sys.settrace(before)
    return count


def peak(call: Callable[[], Any]) -> int:
    """The most memory that Python and NumPy had at a time, beyond what they had before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# What two doublings may cost, as the factor of one. A list or a dict that grows is laid out anew at some sizes and not
# at others: over two doublings that evens out. n log n is 2.2 at these sizes, each thing compared with each other 4.
MOST = 2.3


def growth(before: int, after: int) -> float:
    """The factor of one doubling of two."""
    return (max(after, 1) / max(before, 1)) ** 0.5


def cost(case: Case, folder: Path, n: int) -> Cost:
    """What reading n of the thing costs, when all that reading imports is there already."""
    folder.mkdir()
    given = case.make(folder, n)
    with parsers_here():
        ended = outcome(case, given)
        # The lesser of two: what other threads of the process allocate meanwhile counts as well.
        least = min(peak(lambda: outcome(case, given)) for _ in range(2))
        return Cost(events(lambda: outcome(case, given)), least, ended)


def _run_here(module_function: str, path: Path, *, what: str, max_bytes: int | None = None) -> tuple[dict, dict]:
    """`sandbox.run` without its child."""
    import numpy as np

    module, _, function = module_function.partition(":")
    parser = importlib.import_module(module)
    parser.make_ready()
    with open(path, "rb") as file:
        result, arrays = getattr(parser, function)(file)
        return json.loads(json.dumps(result)), {name: np.asarray(array) for name, array in arrays.items()}


@contextlib.contextmanager
def parsers_here() -> Iterator[None]:
    """Let what runs in a child process run here."""
    run, sandbox.run = sandbox.run, _run_here
    try:
        yield
    finally:
        sandbox.run = run
