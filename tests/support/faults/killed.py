"""Writers that are killed at every call of the system that they make: what tests/faults/test_kills.py starts.

    python -m faults.killed FOLDER [operations, default all]

For each way of writing a file and each call (open, write, fsync, rename, close, ...): a forked child is killed before
it, in the middle of it, or behind it. Then the file is the old one or the new one, whole, and the next writer leaves
nothing beside it. Prints, for each way, the points and how often the old and the new file was found.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from itertools import islice
from pathlib import Path

from . import control
from .control import Fault, Shim
from .operations import Write, writes

KILLS = (Fault("before", control.FILES, control.KILL_BEFORE), Fault("within", control.WRITE, control.KILL_WITHIN),
         Fault("behind", control.FILES, control.KILL_AFTER))


def killed(operation: Write, shim: Shim, fault: Fault, at: int) -> bool:
    """Whether a child that writes was killed at this point; False where it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            with shim.armed(fault, at):
                operation.run()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    return False


def main() -> None:
    warnings.simplefilter("ignore")
    folder, shim, points = Path(sys.argv[1]), Shim(), 0
    for operation in islice(writes(folder), *map(int, sys.argv[2:3])) if sys.argv[2:] else writes(folder):
        assert isinstance(operation, Write)
        old = new = 0
        for fault in KILLS:
            at = 0
            while True:
                operation.prepare()
                at += 1
                if not killed(operation, shim, fault, at):
                    break
                where = f"{operation.name}, killed {fault.name} call {at}"
                assert operation.whole(), f"{where}: neither the old file nor the new one"
                if operation.is_new():
                    new += 1
                else:
                    old += 1
                operation.run()
                wrong = operation.left()
                assert not wrong and operation.is_new(), f"{where}: the next writer left: {wrong or 'not the new file'}"
        points += old + new
        print(f"{operation.name:28} {old + new:5}  {old} old, {new} new")
    print(f"{points} points")


if __name__ == "__main__":
    main()
