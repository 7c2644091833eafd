"""The process that goes through the points of a campaign: started with the shim, it says on stdout what came of each.

A line of JSON a message: {"operation": name, "number": ...}; then {"begin": point} before a fault, so that a point
which ends the process is known, and {"point": ..., "outcome": ..., "wrong": ...} after it; and, behind the last point
of an operation, {"calls": points there are, "done": points tried, and what was left over all of them}.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from held import python_blocks

from lstm_engine import _core

from . import campaigns
from .control import Fault, Shim
from .judge import judged
from .operations import Operation

try:
    import _testcapi
except ImportError:
    _testcapi = None                           # not every Python has it

NOBODY = 10**6                                 # allocations that no operation makes


class PythonMemory:
    """CPython's own allocators under faults, with the face of Shim."""

    def __init__(self) -> None:
        self.calls = 0
        _testcapi.set_nomemory(NOBODY, NOBODY + 1)
        self._turns = turns_until_refused()
        _testcapi.remove_mem_hooks()

    @contextmanager
    def armed(self, fault: Fault, at: int) -> Iterator[None]:
        """As Shim.armed; `calls`, about, is told only by a fault that nobody reaches."""
        _testcapi.set_nomemory(at, at + 1)
        try:
            yield
        finally:
            if at == NOBODY:
                self.calls = int(NOBODY * (1 - turns_until_refused() / self._turns))
            _testcapi.remove_mem_hooks()


def turns_until_refused() -> int:
    """How often something can be allocated."""
    turns = 0
    try:
        while True:
            bytearray(1)
            turns += 1
    except MemoryError:
        return turns


def allocated() -> tuple[int, int]:
    """Python's blocks and open descriptors."""
    return python_blocks(), len(os.listdir("/proc/self/fd"))


def say(**message: Any) -> None:
    os.write(_answers, json.dumps(message).encode() + b"\n")


def attempt(operation: Operation, injector: Any, fault: Fault, at: int) -> tuple[BaseException | None, Any]:
    error = made = None
    came_back = False
    try:
        with injector.armed(fault, at):
            made = operation.run()
            came_back = True
    except BaseException as caught:
        if not came_back:                      # or the fault came into this harness
            error = caught.with_traceback(None)
            error.__context__ = error.__cause__ = None
    return error, made


def spread(count: int, most: int) -> list[int]:
    """The points from 1 to `count`, or `most` of them at even distances."""
    return list(range(1, count + 1)) if count <= most else [1 + i * (count - 1) // (most - 1) for i in range(most)]


def go_through(operation: Operation, campaign: campaigns.Campaign, shim: Shim, most: int, after: int) -> None:
    """Every point behind `after`, each judged; then what has been left over many of them."""
    injector = PythonMemory() if campaign.python else shim
    for _ in range(3):                         # what is imported and kept for later comes first
        operation.prepare()
        right = operation.answer(operation.run())
    operation.prepare()
    attempt(operation, injector, campaign.fault, NOBODY)
    count = injector.calls
    begun = allocated(), shim.living()
    points = [point for point in spread(count, min(most, operation.most)) if point > after]
    for at in points:
        operation.prepare()
        say(begin=at)
        error, made = attempt(operation, injector, campaign.fault, at)
        answer = None if error is not None else operation.answer(made)
        outcome, wrong = judged(operation, error, answer, right, campaign)
        del error, made, answer
        if not wrong and (operation.lasting or at == points[-1]):
            operation.prepare()
            if operation.answer(operation.run()) != right:
                wrong = "after it, other numbers"
        say(point=at, outcome=outcome, wrong=wrong)
    ended = allocated(), shim.living()
    say(calls=count, done=len(points), blocks=ended[0][0] - begun[0][0], descriptors=ended[0][1] - begun[0][1],
        living=ended[1] - begun[1])


def main() -> None:
    """argv: the folder, the campaign, the operation to begin with, the most points of one, the point to begin behind,
    and whether only quick operations are wanted (1 or 0)."""
    folder, name, *numbers = sys.argv[1:]
    first, most, after, quick = map(int, numbers)
    warnings.simplefilter("ignore")
    shim = Shim()
    shim.own(Path(_core.__file__).name)
    campaign = campaigns.CAMPAIGNS[name]
    for number, operation in enumerate(campaign.operations(Path(folder))):
        if number >= first and (operation.quick or not quick):
            say(operation=operation.name, number=number)
            go_through(operation, campaign, shim, most, after if number == first else 0)


_answers = os.dup(1)
if __name__ == "__main__":
    os.dup2(2, 1)                              # what a command prints is no message
    main()
