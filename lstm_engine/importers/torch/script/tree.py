"""The tree of a script's code: statements, expressions, functions and classes, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Constant:
    value: Any


@dataclass(frozen=True)
class Name:
    id: str


@dataclass(frozen=True)
class Attribute:
    value: Any
    name: str


@dataclass(frozen=True)
class Index:
    value: Any
    items: tuple[Any, ...]


@dataclass(frozen=True)
class CallOf:
    function: Any
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    line: int


@dataclass(frozen=True)
class Several:
    """A tuple, list or dict ("()", "[]", "{}"); of a dict, keys and values in turn."""

    kind: str
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Assign:
    """targets: names, or one Attribute. many: whether the value is taken apart."""

    targets: tuple[Any, ...]
    value: Any
    many: bool
    line: int


@dataclass(frozen=True)
class Return:
    value: Any


@dataclass(frozen=True)
class If:
    test: Any
    then: tuple[Any, ...]
    otherwise: tuple[Any, ...]
    line: int


@dataclass(frozen=True)
class Loop:
    """for target in value; target None: while value."""

    target: str | None
    value: Any
    body: tuple[Any, ...]
    line: int


@dataclass(frozen=True)
class With:
    value: Any
    body: tuple[Any, ...]
    line: int


@dataclass(frozen=True)
class Run:
    """An expression for what it does."""

    value: Any
    line: int


@dataclass(frozen=True)
class Parameter:
    name: str
    type: Any
    default: Any            # an expression, or None where there is none


@dataclass(frozen=True)
class Function:
    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Class:
    """fields: by name, type and value (None where there is none)."""

    name: str
    base: str
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    methods: dict[str, Function] = field(default_factory=dict)
