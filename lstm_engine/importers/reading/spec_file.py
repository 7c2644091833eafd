"""Specs that callers give: a mapping, or a JSON file of one. What may be in it is for each importer to say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...errors import ArgumentTypeError, FormatError
from ...files import cannot_read, open_regular
from ...strict_json import parse_object

MAX_BYTES = 8 << 20


def load_spec(source: Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    """The spec in a JSON file, or the mapping itself. Raises FileError, FormatError, ArgumentTypeError."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(f"a spec is a mapping or the path of a JSON file, not {type(source).__name__}")
    try:
        with open_regular(source) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        cannot_read(source, error)
    if len(raw) > MAX_BYTES:
        raise FormatError(f"spec {source}: more than {MAX_BYTES} bytes")
    return parse_object(raw, f"spec {source}")
