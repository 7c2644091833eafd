"""Changes to protobuf messages by their fields."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

WHOLE = (0, 1, -1, 2, 3, 4, 7, 8, 11, 13, 16, 21, 99, 255, 2**20, 2**31 - 1, -2**31, 2**33, 2**62, 2**63 - 1, -2**63)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e38, float("inf"), float("nan"))


def damaged(message: Any, rng: random.Random, words: Sequence[str], often: Sequence[str] = ()) -> None:
    """Change one to four fields of a message or of those inside it, in place. words: what texts may become. often:
    messages, by the names of their types, that are chosen before others: what is in them is not seen at once."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        parts = list(_parts(message))
        inner = [part for part in parts if part.DESCRIPTOR.name in often]
        part = rng.choice(inner if inner and rng.random() < 0.85 else parts)
        present = [field for field, _ in part.ListFields()]
        field = rng.choice(present if present and rng.random() < 0.8 else list(part.DESCRIPTOR.fields))
        texts = [*words, *(part.name for part in parts if getattr(part, "name", ""))]
        try:
            _change(part, field, rng, texts, parts)
        except (ValueError, TypeError, OverflowError, UnicodeError):
            pass                                           # a value that the field cannot hold


def _parts(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else [value]:
                yield from _parts(inner)


def _change(part: Any, field: Any, rng: random.Random, texts: Sequence[str], parts: Sequence[Any]) -> None:
    value = getattr(part, field.name)
    alike = [other for other in parts if field.message_type is not None and other.DESCRIPTOR is field.message_type]
    if hasattr(value, "extend"):
        kind = rng.randrange(4)
        if kind == 0 and len(value):
            del value[rng.randrange(len(value))]
        elif field.message_type is not None:
            value.add().CopyFrom(_apart(rng.choice(alike))) if alike and kind < 3 else value.add()
        elif kind == 1 and len(value):
            value.append(value[rng.randrange(len(value))])
        elif kind == 2 and len(value):
            value[rng.randrange(len(value))] = _scalar(field, rng, texts)
        else:
            value.extend([_scalar(field, rng, texts)] * rng.choice((1, 1, 1, 20)))
    elif field.message_type is not None:
        if alike and rng.random() < 0.6:
            value.CopyFrom(_apart(rng.choice(alike)))
        else:
            part.ClearField(field.name)
    elif rng.random() < 0.2:
        part.ClearField(field.name)
    else:
        setattr(part, field.name, _scalar(field, rng, texts, value))


def _apart(message: Any) -> Any:
    """A copy: what is copied may hold the place where it goes."""
    made = type(message)()
    made.CopyFrom(message)
    return made


def _scalar(field: Any, rng: random.Random, texts: Sequence[str], before: Any = None) -> Any:
    if field.type == field.TYPE_BYTES:
        return rng.choice((b"", b"\xff\xfe", b"forward", b"Tanh", (before or b"")[:-1], (before or b"") + b"\0\0\0\0",
                           rng.choice(texts).encode("utf-8", "replace") if texts else b"x"))
    if field.type == field.TYPE_STRING:
        return rng.choice(texts) if texts else "x"
    return rng.choice(FLOATS if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE) else WHOLE)
