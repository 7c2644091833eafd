"""Signals that come at random instants of many calls: the process that tests/faults/test_signals.py starts.

    python -m faults.interrupts FOLDER ANSWER CALLS SEED

Each call gives the right bits, or the exception of the signal's handler; afterwards a state is what it was before the
call or what it is after it, nothing is left behind, and the same object gives the right bits. Prints the table.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from held import python_blocks

from .operations import Failed, Operation, calls, writes


class Rung(Exception):
    """What the handler raises."""


def ring(*_: object) -> None:
    raise Rung


# How a signal is answered: (the signal, its handler, the exception that may come of it).
ANSWERS = {"nothing": (signal.SIGALRM, lambda *_: None, ()), "raises": (signal.SIGALRM, ring, (Rung,)),
           "interrupt": (signal.SIGINT, signal.default_int_handler, (KeyboardInterrupt,))}
# Seconds until a signal, whose logarithms are uniform: from the beginning of the shortest call to behind most of them.
SOONEST, LATEST = 2e-6, 3e-2


class Timer:
    """Sends this process a signal after some time, which setitimer does with SIGALRM alone."""

    class _Event(ctypes.Structure):                # struct sigevent
        _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int),
                    ("rest", ctypes.c_char * 48)]

    def __init__(self, number: int) -> None:
        self._libc, self._timer = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p()
        event = self._Event(None, number, 0)
        monotonic = 1
        if self._libc.timer_create(monotonic, ctypes.byref(event), ctypes.byref(self._timer)):
            raise OSError(ctypes.get_errno(), "timer_create")

    def set(self, seconds: float) -> None:
        """Ring once after `seconds`; 0: not at all."""
        value = (ctypes.c_long * 4)(0, 0, int(seconds), int(seconds % 1 * 1e9))       # interval, then value
        self._libc.timer_settime(self._timer, 0, value, None)


def under_signal(operation: Operation, timer: Timer, seconds: float, expected: tuple) -> tuple[Any, bool]:
    """(what `run` made, whether the handler's exception came instead)."""
    try:
        timer.set(seconds)
        made = operation.run()
        timer.set(0)
        for _ in range(10):                        # one that has come by now is answered here
            pass
        return made, False
    except BaseException as error:
        timer.set(0)
        if not came_of(error, expected):
            raise
        return None, True


def came_of(error: BaseException | None, expected: tuple) -> bool:
    """Whether it is the handler's exception, or tells of it: the command line by its exit code, and a check by an error
    of its own where an object of the caller's class may raise anything."""
    if isinstance(error, Failed) and KeyboardInterrupt in expected:
        return "exit code 130: lstm-engine: error: interrupted" in str(error)
    if expected and isinstance(error, TypeError) and raised_in_numpy(error):
        return True
    while error is not None and not isinstance(error, expected):
        error = error.__cause__ or error.__context__
    return error is not None


def raised_in_numpy(error: BaseException) -> bool:
    """Whether NumPy's own code raised it: where a handler's exception comes inside its C functions, some of them drop
    it and say that they were given a wrong type."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and Path(np.__file__).parent in Path(frame.tb_frame.f_code.co_filename).parents


def main() -> None:
    folder, answer, count, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    number, handler, expected = ANSWERS[answer]
    signal.signal(number, handler)
    rng, timer = np.random.default_rng(seed), Timer(number)
    operations = [operation for operation in (*calls(folder), *writes(folder)) if operation.quick]
    right = {}
    for operation in operations:
        operation.prepare()
        right[operation.name] = operation.answer(operation.run())
    ended: dict[str, Counter] = {operation.name: Counter() for operation in operations}
    begun = (0, 0)
    streams = sys.stdout, sys.stderr
    for number in range(count):
        operation = operations[number % len(operations)]
        operation.prepare()
        seconds = float(np.exp(rng.uniform(np.log(SOONEST), np.log(LATEST))))
        made, interrupted = under_signal(operation, timer, seconds, expected)
        sys.stdout, sys.stderr = streams           # a command that was interrupted may not have put them back
        gc.collect(0)
        if interrupted:
            wrong = operation.left(came_through=True)
        else:
            wrong = "" if operation.answer(made) == right[operation.name] else "other numbers"
        assert not wrong, f"call {number}, {operation.name}, {'interrupted' if interrupted else 'answered'}: {wrong}"
        ended[operation.name]["interrupted" if interrupted else "right"] += 1
        if number == count // 4:
            begun = python_blocks(), len(os.listdir("/proc/self/fd"))
    grown = python_blocks() - begun[0], len(os.listdir("/proc/self/fd")) - begun[1]
    # os.open gives a bare number: what a handler raises before the next line of Python loses it, there as anywhere.
    assert grown[1] <= 3 + count // 500, f"{grown[1]} descriptors left open"
    assert grown[0] < 500 + count // 8, f"{grown[0]} blocks of Python's allocator left"
    for name, counts in ended.items():
        print(f"{answer:10} {name:28} {sum(counts.values()):6}  "
              + ", ".join(f"{many} {how}" for how, many in counts.most_common()))


if __name__ == "__main__":
    main()
