"""What a caller gives as an array, as an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ArgumentError, ArgumentTypeError


def plain_array(given: Any, what: str, dtype: Any = None) -> np.ndarray:
    """`given` as an array, named `what` in messages. dtype: for what is not an array yet.

    Raises ArgumentError for what is not rectangular, ArgumentTypeError for Python objects and for a masked array, whose
    masked entries would count like any others.
    """
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise ArgumentTypeError(f"{what}: a masked array has no values there; fill it first (predict can leave out "
                                'steps that are NaN: nan="mask")')
    try:
        array = np.asarray(given, None if isinstance(given, np.ndarray) else dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(f"{what}: not a rectangular array of numbers ({error})") from error
    if array.dtype.kind == "O":
        raise ArgumentTypeError(f"{what}: expected numbers, got an array of Python objects")
    return array
