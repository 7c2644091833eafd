"""What came of one fault: right numbers, an error that may be, or one that may not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lstm_engine as le

from .operations import Failed, Operation

if TYPE_CHECKING:
    from .campaigns import Campaign

RIGHT = "right"
# NumPy has functions that fail for want of memory and do not say so; CPython asks whether a type has a method, or makes
# a lock, and takes a MemoryError for a no. Nothing around them can tell what happened: (the error, whether it comes of
# C's allocations too, or of CPython's own alone).
FOREIGN = ((SystemError, True), (RuntimeError, True), (TypeError, False), (AttributeError, False))


def memory_outcome(error: BaseException | None, python: bool) -> tuple[str, bool]:
    """(what happened, whether it may): no error, MemoryError of any kind, one of ours, or what is known of others.
    python: CPython's own allocators failed."""
    if error is None:
        return RIGHT, True
    name = type(error).__name__
    if isinstance(error, MemoryError | le.LstmEngineError | Failed):
        return name, True
    foreign = any(type(error) is kind and (everywhere or python) for kind, everywhere in FOREIGN)
    return (f"{name} of others", True) if foreign else (name, False)


def crash_outcome(ended: str) -> tuple[str, bool]:
    """Of a process that ended: whether it was in NumPy's or CPython's own code, by the calls that the shim printed.
    What CPython is handed by NumPy (a dict that could not be made) is NumPy's. CPython is a library, or the program."""
    calls = re.findall(r"^(\S+?)\(.*\[0x[0-9a-f]+\]$", ended, re.MULTILINE)
    if not calls or any("/lstm_engine/" in call for call in calls):
        return "CRASH", False
    around = re.compile(r"fault_shim|/libc\.|/libpython|/bin/python[\d.]*$|/lib-dynload/")
    inside = next((call for call in calls if not around.search(call)), "")
    if not inside:
        return "CRASH of CPython", True
    return ("CRASH of NumPy", True) if "/numpy/" in inside else ("CRASH", False)


def file_outcome(error: BaseException | None, files: Sequence[Path]) -> tuple[str, bool]:
    """(what happened, whether it may): no error, or one of ours that names a file; of the command line its message."""
    if error is None:
        return RIGHT, True
    name = type(error).__name__
    if not isinstance(error, le.LstmEngineError | Failed):
        return name, False
    if not any(path.name in str(error) for path in files):
        return f"{name} that names no file", False
    return name, True


def judged(operation: Operation, error: BaseException | None, answer: bytes | None, right: bytes,
           campaign: Campaign) -> tuple[str, str]:
    """(the outcome's kind, what is wrong with it or "")."""
    outcome, may = (memory_outcome(error, campaign.python) if campaign.memory else
                    file_outcome(error, operation.files))
    if not may:
        return outcome, f"{type(error).__name__}: {error}"
    if error is None:
        return outcome, "" if answer == right else "WRONG: other numbers, or other bytes"
    return outcome, operation.left()
