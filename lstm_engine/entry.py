"""What every call from outside runs under."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import numpy as np

from . import _core
from .errors import LstmEngineError, OutOfMemoryError

P = ParamSpec("P")
R = TypeVar("R")


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function that casts, folds or computes outside the core, for callers.

    It runs in the default floating-point mode: a caller in whose process some library flushes denormals gets the same
    bits, and its own mode back. What NumPy says of memory that is not there is OutOfMemoryError.
    """
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            # Beyond float32 is inf, as IEEE has it, and no warning.
            with _core.DefaultMode(), np.errstate(all="ignore"):
                return function(*args, **kwargs)
        except MemoryError as error:
            out_of_memory(error)
    return call


def out_of_memory(error: MemoryError) -> NoReturn:
    """Raise OutOfMemoryError for an error of Python's or NumPy's."""
    if isinstance(error, LstmEngineError):
        raise error
    raise OutOfMemoryError(str(error) or "not enough memory") from error
