"""Specs that callers give: a mapping, or a JSON file of one. What may be in it is for each importer to say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...errors import ArgumentTypeError, FormatError
from ...strict_json import parse_object
from .text_file import read_text, without_mark

MAX_BYTES = 8 << 20
MAX_DEPTH = 64
MAX_ITEMS = 8 << 20            # more than a file of MAX_BYTES can hold
MAX_BITS = 4096
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def load_spec(source: Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    """The spec in a JSON file, or the mapping itself. Raises FileError, FormatError, ArgumentTypeError."""
    if isinstance(source, Mapping):
        _check_plain(source, "spec")
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(f"a spec is a mapping or the path of a JSON file, not {type(source).__name__}")
    text = without_mark(read_text(source, MAX_BYTES, f"spec {source}"))
    if text.startswith(_UTF16):
        raise FormatError(f"spec {source}: it is UTF-16, as PowerShell's > writes; write it as UTF-8: "
                          "lstm-engine inspect FILE --spec | Out-File -Encoding utf8 net.json")
    if any(byte < 9 for byte in text[:64]):
        raise FormatError(f"spec {source}: must be a JSON object, and is no text, beginning with {text[:8]!r}; the "
                          "spec is what follows --spec (in Python spec=), the model what stands before it")
    spec = parse_object(text, f"spec {source}")
    _check_plain(spec, f"spec {source}")
    return spec


def _check_plain(spec: Mapping[str, Any], part: str) -> None:
    """Raise FormatError for nesting and whole numbers that Python itself cannot print: messages say what came."""
    level: list[Any] = [spec]
    items = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            items += len(one)
            if items > MAX_ITEMS:
                raise FormatError(f"{part}: more than {MAX_ITEMS} items, counted as often as they are shared")
            for item in (*one, *one.values()) if isinstance(one, Mapping) else one:
                if isinstance(item, (list, tuple, Mapping)):
                    below.append(item)
                elif isinstance(item, int) and item.bit_length() > MAX_BITS:
                    raise FormatError(f"{part}: a whole number of {item.bit_length()} bits")
        level = below
    if level:
        raise FormatError(f"{part}: nested more than {MAX_DEPTH} deep")
