"""What the values of a script are while it is gone through, and the words for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..checkpoints.symbols import Instance
from ..program.schema import Inert, Ref
from .plain import Condition
from .tree import Class

AS_NUMBERS = "give it as a number: spec={'shapes': {input: [sizes]}}"


@dataclass(frozen=True)
class Object:
    """A module of the script. path: its name from the root, "" for that."""

    path: str
    instance: Instance
    kind: Class
    module: str                 # the full name of the class


@dataclass(frozen=True)
class Number:
    """A number that stands in a tensor of no axes: what tracing makes of sizes."""

    value: Any


@dataclass(frozen=True)
class Record:
    """A NamedTuple."""

    names: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Path:
    """A name with dots that is no value: torch.add, ops.prim.dtype, __torch__.f."""

    name: str


@dataclass(frozen=True)
class Unknown:
    """What an operator makes that is not supported; `message` says so where it is used in the end."""

    message: str


class Changes(Exception):
    """A tensor of the module is changed by a call of it: `path` is a state."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def unknown(values: Sequence[Any], count: Callable[[], None]) -> Iterator[Unknown]:
    """Those among values and inside lists of them; each is counted, for lists may hold each other many times."""
    for value in values:
        count()
        if isinstance(value, Unknown):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from unknown(value, count)


def changes(name: str) -> bool:
    """Whether an operator changes what it is given: add_, append."""
    return name.endswith("_") and not name.endswith("__") or name.rpartition(".")[2] in ("append", "extend")


def shown(value: Any, depth: int = 0) -> str:
    """A value for a message."""
    if isinstance(value, Ref):
        return "a tensor"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(shown(one, depth + 1) for one in value[:6])}]" if depth < 2 else "[...]"
    if isinstance(value, (Object, Record, Condition, Path, Inert, Number)):
        return f"a {type(value).__name__.lower()}"
    return f"{value!r:.40}"
