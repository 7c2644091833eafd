"""What TorchScript's functions make of plain values: numbers, texts, lists, None. Sizes that are open stay so.

A size that depends on the inputs is a `Ref`; arithmetic of such sizes is written into the program, and a comparison is
a `Condition`, which is decided where it is asked.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....errors import FormatError, UnsupportedError
from ..program.schema import Ref

MAX_ITEMS = 100_000
# What is done to a list itself, whatever it holds.
_CHANGING = frozenset({"append", "extend", "_set_item"})
CONTAINERS = frozenset({"len", "__getitem__", "list", "append", "extend", "slice", "_set_item"})
_OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


@dataclass(frozen=True)
class Condition:
    """Comparisons of sizes (name, left, right), all of which hold; negated: of which one does not."""

    parts: tuple[tuple[str, Any, Any], ...]
    negated: bool = False

    def opposite(self) -> Condition:
        if len(self.parts) == 1 and not self.negated:
            (name, left, right), = self.parts
            return Condition(((_OPPOSITE[name], left, right),))
        return Condition(self.parts, not self.negated)


Emit = Callable[[str, Any, Any], Any]           # an operator of sizes, written into the program


class Plain:
    """The functions, over an `emit` for arithmetic of open sizes."""

    def __init__(self, emit: Emit, count: Callable[[], None]) -> None:
        """count: called for each step of work."""
        self.emit, self.count = emit, count

    def knows(self, name: str) -> bool:
        return hasattr(self, f"do_{name}") or name in _COMPARE or name in _ARITHMETIC or name in _NUMBERS

    def call(self, name: str, arguments: list[Any]) -> Any:
        """Raises UnsupportedError and FormatError."""
        made = self._called(name, arguments)
        if type(made) is int and not -2**63 <= made < 2**63 or isinstance(made, str) and len(made) > MAX_ITEMS:
            raise UnsupportedError(f"torch.{name} gives a number beyond 64 bits, or a text of more than {MAX_ITEMS}")
        return made

    def _called(self, name: str, arguments: list[Any]) -> Any:
        if name in _CHANGING and isinstance(arguments[0], (HeldList, HeldDict)):
            raise UnsupportedError("it changes a list or dict that it keeps, which the next call would read; "
                                   "supported: tensors that it keeps from call to call")
        try:
            if name in _COMPARE:
                return self.compare(name, *arguments)
            if name in _ARITHMETIC:
                return self.arithmetic(name, *arguments)
            if name in _NUMBERS:
                return _NUMBERS[name](*map(_number, arguments))
            return getattr(self, f"do_{name}")(*arguments)
        except (TypeError, KeyError, IndexError, ValueError, ArithmeticError) as error:
            if isinstance(error, (FormatError, UnsupportedError)):
                raise
            raise FormatError(f"torch.{name}: {error}") from error

    # Numbers and sizes.

    def arithmetic(self, name: str, left: Any, right: Any, *others: Any) -> Any:
        if others not in ((), (1,)):            # alpha
            raise UnsupportedError(f"torch.{name} of numbers with {others!r:.60} is not supported")
        if isinstance(left, list) or isinstance(right, list):
            return self._lists(name, left, right)
        if isinstance(left, str) and isinstance(right, str) and name == "add":
            return left + right
        if not isinstance(left, Ref) and not isinstance(right, Ref):
            return _ARITHMETIC[name](_number(left), _number(right))
        for side in (left, right):
            if not isinstance(side, Ref) and type(side) is not int:
                raise UnsupportedError(f"torch.{name} of a size that depends on the inputs and {side!r:.60} is not "
                                       "supported")
        return self.emit(name, left, right)

    def _lists(self, name: str, left: Any, right: Any) -> Any:
        if name == "add" and isinstance(left, list) and isinstance(right, list):
            made = [*left, *right]
        elif name == "mul" and isinstance(left, list) and type(right) is int:
            made = left * min(right, MAX_ITEMS // max(1, len(left)) + 1)
        else:
            raise UnsupportedError(f"torch.{name} of lists is not supported")
        if len(made) > MAX_ITEMS:
            raise UnsupportedError(f"a list of more than {MAX_ITEMS} items")
        return made

    def compare(self, name: str, left: Any, right: Any) -> Any:
        self.count()
        if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            return self._compare_lists(name, list(left), list(right))
        if isinstance(left, Ref) or isinstance(right, Ref):
            if left == right:
                return name in ("eq", "le", "ge")
            return Condition(((name, left, right),))
        if isinstance(left, (str, bool, int, float)) and isinstance(right, (str, bool, int, float)):
            return bool(_COMPARE[name](left, right))
        raise UnsupportedError(f"torch.{name} of {left!r:.40} and {right!r:.40} is not supported")

    def _compare_lists(self, name: str, left: list[Any], right: list[Any]) -> Any:
        if name not in ("eq", "ne"):
            raise UnsupportedError(f"torch.{name} of lists is not supported")
        same: Any = len(left) == len(right)
        if same:
            parts = [self.compare("eq", one, other) for one, other in zip(left, right, strict=True)]
            if False in parts:
                same = False
            else:
                open_ = tuple(part for made in parts if isinstance(made, Condition) for part in made.parts)
                same = Condition(open_) if open_ else True
        return same if name == "eq" else self.do___not__(same)

    def do_neg(self, value: Any) -> Any:
        return self.emit("mul", value, -1) if isinstance(value, Ref) else -_number(value)

    # Conditions.

    def do___not__(self, value: Any) -> Any:
        return value.opposite() if isinstance(value, Condition) else not _truth(value)

    def do___and__(self, left: Any, right: Any) -> Any:
        return self._both(left, right, neutral=True)

    def do___or__(self, left: Any, right: Any) -> Any:
        return self._both(left, right, neutral=False)

    def _both(self, left: Any, right: Any, neutral: bool) -> Any:
        for one, other in ((left, right), (right, left)):
            if not isinstance(one, Condition):
                return other if _truth(one) is neutral else not neutral
        if neutral and not left.negated and not right.negated:
            return Condition(left.parts + right.parts)
        raise UnsupportedError("two conditions on sizes that are joined are not supported; give the sizes as numbers")

    # What is None, and what is in what.

    def do___is__(self, left: Any, right: Any) -> bool:
        return left is right

    def do___isnot__(self, left: Any, right: Any) -> bool:
        return left is not right

    def do___contains__(self, items: Any, item: Any) -> bool:
        if isinstance(item, Ref) or isinstance(items, list) and any(isinstance(one, Ref) for one in items):
            raise UnsupportedError("whether a size that depends on the inputs is in a list is not supported")
        return bool(item in items)

    def do_len(self, items: Any) -> int:
        return len(items)

    def do___getitem__(self, items: Any, at: Any) -> Any:
        return items[at]

    def do_list(self, items: Any) -> list[Any]:
        return list(items)

    def do_append(self, items: list[Any], item: Any) -> list[Any]:
        if len(items) >= MAX_ITEMS:
            raise UnsupportedError(f"a list of more than {MAX_ITEMS} items")
        items.append(item)
        return items

    def do_extend(self, items: list[Any], others: list[Any]) -> None:
        for item in list(others):
            self.do_append(items, item)

    def do__set_item(self, items: Any, key: Any, value: Any) -> None:
        items[key] = value

    def do_keys(self, items: dict[Any, Any]) -> list[Any]:
        return list(items)

    def do_values(self, items: dict[Any, Any]) -> list[Any]:
        return list(items.values())

    def do_items(self, items: dict[Any, Any]) -> list[Any]:
        return list(items.items())

    def do_slice(self, items: list[Any], begin: Any = None, end: Any = None, step: int = 1) -> list[Any]:
        return items[begin:end:step]

    def do___range_length(self, begin: int, end: int, step: int) -> int:
        return len(range(begin, end, step))

    def do___derive_index(self, at: int, begin: int, step: int) -> int:
        return begin + at * step

    def do_warn(self, *_: Any) -> None:
        return None

    def do_format(self, text: Any, *_: Any) -> str:
        return str(text)


class HeldList(list[Any]):
    """A list that the module keeps: a change of it would be seen by the next call."""


class HeldDict(dict[Any, Any]):
    """A dict that the module keeps."""


def _number(value: Any) -> Any:
    if type(value) not in (int, float, bool):
        raise UnsupportedError(f"{value!r:.60} where a number is expected is not supported")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise UnsupportedError(f"{value!r:.60} where true or false is expected is not supported")
    return value


def _divided(left: Any, right: Any) -> float:
    return float(left / right)


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
    "remainder": operator.mod, "div": _divided}
_NUMBERS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "floor": math.floor, "ceil": math.ceil, "exp": math.exp, "log": math.log, "pow": math.pow,
    "abs": abs, "max": max, "min": min}
