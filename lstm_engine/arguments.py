"""What callers give as names, numbers, flags and paths. Each check names the argument, what was expected, what came."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from .errors import ArgumentError, ArgumentTypeError

MOST_COUNT = 2**31 - 1          # what the core counts rows and steps with
LARGEST_FLOAT = sys.float_info.max

Name = TypeVar("Name", bound=str)


def shown(value: object) -> str:
    """A value in a message: short, and also where it cannot show itself."""
    try:
        text = repr(value)
    except Exception:                                   # of the caller's own class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def choice(value: Any, what: str, options: Iterable[Name]) -> Name:
    """One of some names, as a plain str."""
    names = tuple(options)
    if isinstance(value, str) and str(value) in names:
        return names[names.index(str(value))]
    raise ArgumentError(f"{what} is one of {', '.join(names)}, not {shown(value)}")


def whole_number(value: Any, what: str, least: int = 1, most: int | None = MOST_COUNT) -> int:
    """A count, as a plain int: an int of Python or NumPy, or an array of no axes that holds one."""
    number = value[()] if type(value) is np.ndarray and value.ndim == 0 else value
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)) or number < least:
        raise ArgumentError(f"{what} must be a whole number of at least {least}, got {shown(value)}")
    if most is not None and number > most:
        raise ArgumentError(f"{what} may be at most {most}, got {shown(value)}")
    return int(number)


def finite_number(value: Any, what: str, zero: bool = True) -> float:
    """A number above 0, or 0 where that may be, that a float holds: of Python or NumPy, or an array of no axes that
    holds one."""
    number = value[()] if type(value) is np.ndarray and value.ndim == 0 else value
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, float, np.integer, np.floating)) \
            or not 0 <= number <= LARGEST_FLOAT or (number == 0 and not zero):
        raise ArgumentError(f"{what} is a finite number {'of at least' if zero else 'above'} 0, got {shown(value)}")
    return float(number)


def flag(value: Any, what: str) -> bool:
    """True or False; 1 and 0 are taken for them."""
    if not isinstance(value, (bool, int, np.bool_, np.integer)) or value not in (0, 1):
        raise ArgumentTypeError(f"{what} is True or False, not {shown(value)}")
    return bool(value)


def listed(value: Any, what: str) -> list[Any]:
    """The items of a list, or of anything that can be gone through; a string or a dict is none."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ArgumentTypeError(f"{what}, got {type(value).__name__}")
    try:
        return list(value)
    except MemoryError:
        raise
    except Exception as error:                          # of the caller's own class
        raise ArgumentTypeError(f"{what}; {type(value).__name__} raised {type(error).__name__}") from error


def path_text(value: Any, what: str) -> str:
    """A path as a str. Numbers, which the system would take for open files, are none; an empty one, which pathlib takes
    for the folder that one is in, is an ArgumentError."""
    pathlib = sys.modules.get("pathlib")                # where nobody has loaded it, there is no path of its own
    if pathlib is not None and isinstance(value, pathlib.PurePath):
        return str(value)                               # it cannot raise: what does is a signal's handler
    try:
        text = os.fsdecode(value)
    except MemoryError:
        raise
    except Exception:                                   # TypeError, or what the caller's own class raises
        raise ArgumentTypeError(f"{what}: expected the path of a file (str or os.PathLike), "
                                f"not {type(value).__name__}") from None
    if not text:
        raise ArgumentError(f"{what}: an empty path")
    return text


def named_classes(given: Any) -> dict[str, str] | None:
    """The argument custom_objects. Raises ArgumentTypeError for what is no mapping of names to names."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise ArgumentTypeError(f"custom_objects must map names of classes to names, got {shown(given)}; classes "
                                "themselves are not used, as nothing of a file is run")
    return dict(given)
