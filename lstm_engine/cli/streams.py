"""Standard streams that the caller has closed: Python has None for them, the system gives their numbers away."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator


class Closed(io.TextIOBase):
    """Stands for a closed stdout: what is written to it is an error, not lost."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "stdout is closed")


class Nobody(io.TextIOBase):
    """Stands for a closed stderr: there is nobody to tell."""

    def write(self, text: str) -> int:
        return len(text)


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """Something in the place of each stream that is closed. No file that is opened inside the block takes the number of
    one: what a library prints would be written into it."""
    before = sys.stdout, sys.stderr
    held = _hold_numbers() if None in (*before, sys.stdin) else []
    try:
        if sys.stdout is None:
            sys.stdout = Closed()
        if sys.stderr is None:
            sys.stderr = Nobody()
        yield
    finally:
        sys.stdout, sys.stderr = before
        for descriptor in held:
            os.close(descriptor)


def _hold_numbers() -> list[int]:
    """The null device under those of 0, 1 and 2 that are free: the system gives the lowest first."""
    held = []
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        held.append(descriptor)
    os.close(descriptor)
    return held
