"""The table of operators: from an operator of torch to the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arguments import Arguments
from .emit import Emitter

Writer = Callable[[Emitter, Arguments], Any]


@dataclass(frozen=True)
class Known:
    """How one operator is written.

    fresh: its results share no memory with its inputs, so that changing them in place changes nothing else.
    """

    write: Writer
    fresh: bool


TABLE: dict[str, Known] = {}


def aten(names: str, fresh: bool = False) -> Callable[[Writer], Writer]:
    """Register a function for operators of torch.ops.aten, names with overloads, separated by spaces."""
    def register(function: Writer) -> Writer:
        for name in names.split():
            assert name not in TABLE, name
            TABLE[name] = Known(function, fresh)
        return function
    return register
