"""Specs that callers give: a mapping, or a JSON file of one. What may be in it is for each importer to say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...errors import ArgumentTypeError
from ...strict_json import parse_object
from .text_file import read_text

MAX_BYTES = 8 << 20


def load_spec(source: Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    """The spec in a JSON file, or the mapping itself. Raises FileError, FormatError, ArgumentTypeError."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(f"a spec is a mapping or the path of a JSON file, not {type(source).__name__}")
    return parse_object(read_text(source, MAX_BYTES, f"spec {source}"), f"spec {source}")
