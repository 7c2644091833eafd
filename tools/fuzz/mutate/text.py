"""Changes to JSON, by its tree: parts replaced, removed, doubled, swapped for other parts, or nested deeply."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from json_damage import damaged

from . import raw


def changed_json(data: bytes, rng: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """JSON with parts of its tree changed, seldom its bytes."""
    if rng.random() < 0.1:
        return raw.damaged(data, rng, words)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return raw.damaged(data, rng, words)
    try:
        tree = damaged(tree, rng, values=[word.decode("utf-8", "replace") for word in words])
    except RecursionError:
        return raw.damaged(data, rng, words)               # nested deeper than it can be walked
    return dumped(tree) or data


def dumped(tree: Any) -> bytes:
    """The JSON of a tree; b"" for one that JSON or UTF-8 cannot hold."""
    try:
        return json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        try:
            return json.dumps(tree).encode()               # lone surrogates, escaped
        except (ValueError, RecursionError):
            return b""
