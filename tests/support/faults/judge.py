"""What came of one fault: right numbers, an error that may be, or one that may not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lstm_engine as le

from .operations import Failed, Operation

RIGHT = "right"
# Of CPython itself where memory is short: what it says when it cannot say MemoryError.
_MEMORY = (MemoryError,)


def memory_outcome(error: BaseException | None) -> tuple[str, bool]:
    """(what happened, whether it may): no error, MemoryError of any kind, or an error of ours."""
    if error is None:
        return RIGHT, True
    if isinstance(error, _MEMORY):
        return "MemoryError" if type(error) is MemoryError else type(error).__name__, True
    return f"{type(error).__name__}", isinstance(error, le.LstmEngineError | Failed)


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
           memory: bool) -> tuple[str, str]:
    """(the outcome's kind, what is wrong with it or "")."""
    outcome, may = memory_outcome(error) if memory else file_outcome(error, operation.files)
    if not may:
        return outcome, f"{type(error).__name__}: {error}"
    if error is None:
        return outcome, "" if answer == right else "WRONG: other numbers, or other bytes"
    return outcome, operation.left()
