"""The one reader of JSON that a stranger may have written, in every file format and every spec.

RFC 8259 leaves open what a key given twice means, and readers differ: a file could show one thing to a scanner and
another to the engine. Here it is an error, as is everything else that the RFC does not have.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from .errors import FormatError

MAX_DIGITS = 4300              # of a whole number: Python's own limit, where it has one


def parse_value(text: bytes | str, part: str, *, nonfinite: bool = False) -> Any:
    """The JSON value in `text`, UTF-8 if it is bytes.

    nonfinite: whether NaN, Infinity and -Infinity may stand for numbers, as Python's own writer puts them.
    Raises FormatError, naming `part`, for anything that is not JSON, a key given twice in one object, integers of
    thousands of digits and nesting that would exhaust the parser.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise FormatError(f"{part}: the key {name!r:.100} appears twice in one object")
            seen.add(name)
        raise AssertionError("fewer keys than pairs, and none twice")

    def no_number(name: str) -> NoReturn:
        raise FormatError(f"{part}: {name} is no JSON number")

    def whole(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise FormatError(f"{part}: a whole number of {len(text)} digits; at most {MAX_DIGITS} are read")
        return int(text)

    try:
        # Given bytes, json would look for other encodings than the one that the RFC allows.
        return json.loads(text.decode() if isinstance(text, bytes) else text, object_pairs_hook=unique,
                          parse_constant=None if nonfinite else no_number, parse_int=None if _is_bounded() else whole)
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        raise FormatError(f"{part}: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError(f"{part}: nested too deeply") from None
    except ValueError as error:            # JSONDecodeError, and integers of thousands of digits
        raise FormatError(f"{part}: not JSON: {str(error):.100}") from None


def _is_bounded() -> bool:
    """Whether int() of this Python refuses long texts, for which it takes the square of their length: a process may
    have turned that off."""
    digits = getattr(sys, "get_int_max_str_digits", int)()
    return 0 < digits <= MAX_DIGITS


def parse_object(text: bytes | str, part: str, *, nonfinite: bool = False) -> dict[str, Any]:
    """The JSON object in `text`; otherwise as `parse_value`. Raises FormatError for any other value as well."""
    value = parse_value(text, part, nonfinite=nonfinite)
    if not isinstance(value, dict):
        raise FormatError(f"{part}: must be a JSON object, got a {type(value).__name__}")
    return value
