"""Signatures of torch's operators: which overload a call of TorchScript means, and its arguments by name."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

_LINE = re.compile(r"([\w.]+)\.(\w+)\((.*)\) -> (.*)")
_ARGUMENT = re.compile(r"([A-Za-z]+(?:\[\])?\??(?:\[\])?\??) (\w+)(?:=(.*))?")


@dataclass(frozen=True)
class Parameter:
    type: str
    name: str
    required: bool
    default: Any
    by_name: bool


@dataclass(frozen=True)
class Schema:
    """results: "Tensor", "Tensor[]", ... of each."""

    name: str
    overload: str
    parameters: tuple[Parameter, ...]
    results: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.name}.{self.overload}"


@functools.cache
def schemas() -> Mapping[str, tuple[Schema, ...]]:
    """The overloads of each operator by its name, those on tensors before those on numbers."""
    made: dict[str, list[Schema]] = {}
    text = resources.files(__package__).joinpath("operators.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        name, overload, parameters, results = match.groups()
        made.setdefault(name, []).append(Schema(name, overload, _parameters(parameters), tuple(results.split(", "))))
    return {name: tuple(overloads) for name, overloads in made.items()}


def _parameters(text: str) -> tuple[Parameter, ...]:
    made, by_name = [], False
    for part in re.split(r", (?=\*|[A-Za-z\[\]?]+ \w)", text) if text else ():
        if part == "*":
            by_name = True
            continue
        match = _ARGUMENT.fullmatch(part)
        assert match is not None, part
        made.append(Parameter(match[1], match[2], match[3] is None,
                              None if match[3] is None else ast.literal_eval(match[3]), by_name))
    return tuple(made)


def bind(schema: Schema, given: Sequence[Any], named: Mapping[str, Any], fits: Callable[[str, Any], bool]
         ) -> dict[str, Any] | None:
    """The arguments by name, without those that are as they would be left out; None if they are not those of this
    overload. fits: whether a value is of a type."""
    by_place = [parameter for parameter in schema.parameters if not parameter.by_name]
    if len(given) > len(by_place):
        return None
    values = dict(zip((parameter.name for parameter in by_place), given)) | dict(named)     # noqa: B905
    known = {parameter.name: parameter for parameter in schema.parameters}
    if set(values) - set(known) or len(values) != len(given) + len(named):
        return None
    if any(parameter.required and name not in values for name, parameter in known.items()):
        return None
    if not all(fits(known[name].type, value) for name, value in values.items()):
        return None
    return {name: value for name, value in values.items()
            if known[name].required or not _same(value, known[name].default)}


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)
