"""What a caller gives as an array, as an array."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import ArgumentError, ArgumentTypeError, OutOfMemoryError


def plain_array(given: Any, what: str, dtype: Any = None) -> np.ndarray:
    """`given` as an array, named `what` in messages. dtype: for what is not an array yet.

    Raises ArgumentError for what is not rectangular or says no to being an array, ArgumentTypeError for Python objects
    and for a masked array, whose masked entries would count like any others.
    """
    if may_be_masked(given) and np.ma.is_masked(given):
        raise ArgumentTypeError(f"{what}: a masked array has no values there; fill it first (predict can leave out "
                                'steps that are NaN: nan="mask")')
    try:
        array = np.asarray(given, None if isinstance(given, np.ndarray) else dtype)
    except MemoryError as error:
        raise OutOfMemoryError(f"{what}: {error}") from error
    except Exception as error:                  # an object may raise anything when it is asked for its array
        raise ArgumentError(f"{what}: not a rectangular array of numbers ({error})") from error
    if array.dtype.kind == "O":
        raise ArgumentTypeError(f"{what}: expected numbers, got an array of Python objects")
    return array


def may_be_masked(given: Any) -> bool:
    """Whether it is an array of numpy.ma. That part of NumPy is not loaded for the question: without it, it is none."""
    kind = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return kind is not None and isinstance(given, kind)


class Owners:
    """What owns the memory of some arrays, to tell soon whether another array shares it.

    For arrays that were made later than these: such an array shares memory where it has the same owner, or one that
    says nothing about its memory (a buffer of another library).
    """

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._arrays = list(arrays)
        self._owners = {id(_owner(array)) for array in self._arrays}

    def add(self, array: np.ndarray) -> None:
        """One more of these arrays."""
        self._arrays.append(array)
        self._owners.add(id(_owner(array)))

    def share(self, array: np.ndarray) -> bool:
        """Whether the array may share memory with one of these."""
        owner = _owner(array)
        if type(owner) is np.ndarray and owner.flags.owndata:
            return id(owner) in self._owners
        return any(np.may_share_memory(array, other) for other in self._arrays)


def owning_array(array: np.ndarray) -> np.ndarray:
    """The array at the end of the chain of bases: the one whose memory `array` shows, itself where it shows its own."""
    base = array.base
    while isinstance(base, np.ndarray):
        array, base = base, base.base
    return array


def _owner(array: np.ndarray) -> object:
    """The array or other object at the end of the chain of bases."""
    last = owning_array(array)
    return last if last.base is None else last.base
