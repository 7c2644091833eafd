"""The rule that every execution keeps: whatever the input, one of our errors or the right answer, in bounded time and
memory. `Judge` makes one execution and says what broke it."""

from __future__ import annotations

import re
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lstm_engine.errors import LstmEngineError

SECONDS = 2.0                  # of CPU time, for inputs of the sizes that targets take (at most some tens of KB)
MEMORY = 256 << 20             # resident, beyond what was there before; inputs of such sizes hold next to no tensors
ADDRESS_SPACE = 4 << 30        # beyond what is mapped at the start: more than that is refused, and must be well taken
PAGE = resource.getpagesize()


class Broken(Exception):
    """An answer that is not right. kind: "differs", "changed", ...: findings of one kind and place are one finding."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _TooLong(BaseException):
    """The CPU time is over; not an Exception, so that nothing takes it for an error of its own."""


@dataclass(frozen=True)
class Finding:
    """What broke the rule. where: the place in the project's code that tells it from others."""

    kind: str
    where: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.kind} at {self.where}"


def reason(error: BaseException) -> str:
    """The message of an error without the names and numbers of one input: what own mutators go by as new."""
    text = re.sub(r"'[^']*'|\[[^\]]*\]|b?\"[^\"]*\"", "_", str(error).split("\n")[0])
    return f"{type(error).__name__}: " + re.sub(r"\d+|/\S+", "#", text)[:110]


class Judge:
    """Executes one target. slower: how many times longer than plainly anything takes (instrumented, sanitized)."""

    def __init__(self, execute: Callable[[bytes], str], slower: float = 1.0) -> None:
        self._execute, self._seconds = execute, SECONDS * slower
        signal.signal(signal.SIGPROF, self._end)

    def __call__(self, data: bytes) -> Finding | str:
        """The finding, or in a few words what became of the input."""
        _forget_peak()
        resident, peak, began = _resident(), _peak(), time.process_time()
        # Twice the limit ends an execution; one that ends by itself beyond the limit is found below.
        signal.setitimer(signal.ITIMER_PROF, 2 * self._seconds)
        try:
            outcome: Finding | str = self._execute(data)
        except LstmEngineError as error:
            outcome = reason(error)
        except Broken as error:
            outcome = Finding(error.kind, _place(error), _text(error))
        except _TooLong as error:
            outcome = Finding("slow", _place(error), f"more than {2 * self._seconds:g} s of CPU time\n{_text(error)}")
        except Exception as error:
            outcome = Finding(type(error).__name__, _place(error), _text(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if isinstance(outcome, Finding):
            return outcome
        if (took := time.process_time() - began) > self._seconds:
            return Finding("slow", _begins(outcome), f"{took:.1f} s of CPU time of {self._seconds:g}; {outcome}")
        now = _peak()
        if now > peak and now - resident > MEMORY:
            return Finding("memory", _begins(outcome), f"{(now - resident) >> 20} MB more than before, beyond "
                                              f"{MEMORY >> 20}; {outcome}")
        return outcome

    def _end(self, *_: Any) -> NoReturn:
        raise _TooLong


def limit_address_space() -> None:
    """Have what no machine has refused, instead of given by a system that promises more than it holds. Not under a
    sanitizer, which maps terabytes for its own books and has options for this."""
    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * PAGE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, hard))


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return _peak()                                     # not Linux: growth of the peak alone is seen


def _forget_peak() -> None:
    """What the process held before says nothing about an execution, and may hide it."""
    try:
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")
    except OSError:
        pass                                               # not Linux, or not allowed: the peak of all executions


def _peak() -> int:
    try:
        with open("/proc/self/status", "rb") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(b"VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _begins(outcome: str) -> str:
    """The first words of an outcome: one finding for all that came to the same end."""
    return " ".join(outcome.split()[:2])


def _place(error: BaseException) -> str:
    """The last line of the package that an error went through; of the fuzzers', where it met none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "lstm_engine" in Path(frame.filename).parts] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "?"


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]
