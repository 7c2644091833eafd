"""What goes into a method of a script, by its signature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .tree import Index, Name, Parameter


def tensors_of(parameter: Parameter) -> Iterator[tuple[str, Any]]:
    """The tensors in a parameter, by name: of a tuple name_0, name_1, ..."""
    def leaves(name: str, type_: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(type_, Name) and type_.id == "Tensor":
            yield name, type_
        elif isinstance(type_, Index) and isinstance(type_.value, Name):
            if type_.value.id == "Optional":
                yield from leaves(name, type_.items[0])
            elif type_.value.id == "Tuple":
                for at, item in enumerate(type_.items):
                    yield from leaves(f"{name}_{at}", item)
    return leaves(parameter.name, parameter.type)
