"""JSON from a stranger: no duplicate keys, no NaN, no nesting or integers that would exhaust the parser."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ...errors import FormatError


def parse_object(raw: bytes, part: str) -> dict[str, Any]:
    """The JSON object in `raw`. Raises FormatError, naming `part`, for anything else."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                raise FormatError(f"{part}: the key {name!r:.100} appears twice")
            made[name] = value
        return made

    def no_constant(name: str) -> NoReturn:
        raise FormatError(f"{part}: {name} is no JSON number")

    try:
        value = json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=no_constant)
    except FormatError:
        raise
    except UnicodeDecodeError:
        raise FormatError(f"{part}: not UTF-8") from None
    except RecursionError:
        raise FormatError(f"{part}: nested too deeply") from None
    except ValueError as error:            # JSONDecodeError, and integers of thousands of digits
        raise FormatError(f"{part}: no JSON: {str(error):.100}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{part}: must be an object, got a {type(value).__name__}")
    return value
