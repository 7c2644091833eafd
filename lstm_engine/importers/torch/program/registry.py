"""The table of operators: from an operator of torch to the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arguments import Arguments
from .emit import Emitter, Length, Tensor

Writer = Callable[[Emitter, Arguments], Any]
# (emitter, the view's call, the tensor that it is a view of, what now stands in the view, which of its results it is)
Put = Callable[[Emitter, Arguments, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Cut:
    """Part of one axis: every `step`-th element from `start` on, before `end`; end None: the one element at `start`."""

    axis: int
    start: Length
    end: Length | None
    step: int = 1


@dataclass(frozen=True)
class Known:
    """How one operator is written.

    fresh: its results share no memory with its inputs, so that changing them in place changes nothing else.
    put: of a view, the whole tensor after a write through it; None where a write cannot be followed.
    cut: of a view that is part of one axis, which part.
    copies: what is a view here may be a copy as well, as the strides of the tensor have it.
    each: result i is a view of tensor i of a list, not of the first.
    """

    write: Writer
    fresh: bool
    put: Put | None = None
    cut: Callable[[Arguments, Tensor, int], Cut] | None = None
    copies: bool = False
    each: bool = False


TABLE: dict[str, Known] = {}
# torch's other names for operators, whose overloads are the same.
ALIASES = {"absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
           "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "divide": "div", "multiply": "mul",
           "subtract": "sub", "negative": "neg", "greater": "gt", "greater_equal": "ge", "less": "lt",
           "less_equal": "le", "not_equal": "ne"}


def aten(names: str, fresh: bool = False, **more: Any) -> Callable[[Writer], Writer]:
    """Register a function for operators of torch.ops.aten, names with overloads, by spaces; more: of Known."""
    def register(function: Writer) -> Writer:
        for name in names.split():
            assert name not in TABLE, name
            TABLE[name] = Known(function, fresh, **more)
        return function
    return register
