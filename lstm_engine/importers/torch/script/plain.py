"""What TorchScript's functions make of plain values: numbers, texts, lists, None. Sizes that are open stay so.

A size that depends on the inputs is a `Ref`; arithmetic of such sizes is written into the program, and a comparison is
a `Condition`, which is decided where it is asked.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from ....errors import FormatError, UnsupportedError
from ..program.schema import Inert, Ref
from .values import AS_NUMBERS, Condition, shown

MAX_ITEMS, MAX_COMPARISONS = 100_000, 100
# What is done with a list or dict itself, whatever it holds.
_CHANGING = frozenset("append extend insert pop popitem remove reverse sort clear setdefault update Delete _set_item "
                      "add_ mul_".split())
# What takes as long with many items as with few; of the rest, so many items take as long as a step.
_QUICK, _ITEMS_A_STEP = frozenset("append len __getitem__ _set_item pop insert Delete get setdefault".split()), 16
CONTAINERS = _CHANGING | frozenset("len __getitem__ list copy slice add mul keys values items get".split())


Emit = Callable[[str, Any, Any], Any]           # an operator of sizes, written into the program


class Plain:
    """The functions, over an `emit` for arithmetic of open sizes."""

    def __init__(self, emit: Emit, count: Callable[[int], None]) -> None:
        """count: called for steps of work, with their number."""
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
        if arguments and isinstance(arguments[0], (list, dict)) and name not in _QUICK:
            self.count(len(arguments[0]) // _ITEMS_A_STEP)
        try:
            if len(arguments) > 1 and isinstance(arguments[0], dict) and name != "update":
                _plain(arguments[1])                        # a key
            if name in _COMPARE:
                return self.compare(name, *arguments)
            if name in _ARITHMETIC:
                return self.arithmetic(name, *arguments)
            if name in ("min", "max") and len(arguments) > 1 and any(isinstance(one, Ref) for one in arguments):
                return self.arithmetic(name, *arguments)
            if name in _NUMBERS:
                return _NUMBERS[name](*map(_number, arguments))
            return getattr(self, f"do_{name}")(*arguments)
        except (TypeError, AttributeError, KeyError, IndexError, ValueError, ArithmeticError) as error:
            if isinstance(error, (FormatError, UnsupportedError)):
                raise
            if any(isinstance(one, (Ref, Condition)) for one in arguments):
                raise UnsupportedError(f"torch.{name}({', '.join(map(shown, arguments))}) is not supported of a size "
                                       f"that is open; {AS_NUMBERS}") from error
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
                raise UnsupportedError(f"torch.{name} of a size that is open and {shown(side)} is not supported; "
                                       f"{AS_NUMBERS}")
        if name == "div":
            raise UnsupportedError(f"a size that is open, divided into what need be no whole number, is not supported; "
                                   f"{AS_NUMBERS}")
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
        self.count(1)
        if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            return self._compare_lists(name, list(left), list(right))
        if isinstance(left, Ref) or isinstance(right, Ref):
            if left == right:
                return name in ("eq", "le", "ge")
            return Condition(name, left, right)
        if isinstance(left, (str, bool, int, float)) and isinstance(right, (str, bool, int, float)):
            return bool(_COMPARE[name](left, right))
        if isinstance(left, Inert) and isinstance(right, Inert) and left.kind == right.kind == "device":
            return name == "eq"                     # of two tensors: all are on one device
        raise UnsupportedError(f"torch.{name} of {shown(left)} and {shown(right)} is not supported")

    def _compare_lists(self, name: str, left: list[Any], right: list[Any]) -> Any:
        if name not in ("eq", "ne"):
            raise UnsupportedError(f"torch.{name} of lists is not supported")
        same: Any = len(left) == len(right)
        for one, other in zip(left, right) if same else ():        # noqa: B905
            same = self.do___and__(same, self.compare("eq", one, other))
        return same if name == "eq" else self.do___not__(same)

    def do_neg(self, value: Any) -> Any:
        return self.emit("mul", value, -1) if isinstance(value, Ref) else -_number(value)

    # Conditions.

    def do___not__(self, value: Any) -> Any:
        return value.opposite() if isinstance(value, Condition) else not _truth(value)

    def do___and__(self, left: Any, right: Any) -> Any:
        if type(left) is int and type(right) is int:
            return left & right
        return self._both("and", left, right)

    def do___or__(self, left: Any, right: Any) -> Any:
        if type(left) is int and type(right) is int:
            return left | right
        return self._both("or", left, right)

    def do___xor__(self, left: Any, right: Any) -> Any:
        return left ^ right if type(left) is int and type(right) is int else _truth(left) is not _truth(right)

    @staticmethod
    def _both(name: str, left: Any, right: Any) -> Any:
        for one, other in ((left, right), (right, left)):
            if not isinstance(one, Condition):
                truth, _ = _truth(one), isinstance(other, Condition) or _truth(other)
                return other if truth is (name == "and") else truth
        if left.size + right.size > MAX_COMPARISONS:
            raise UnsupportedError(f"a condition of more than {MAX_COMPARISONS} comparisons of sizes that are open")
        return Condition(name, left, right, left.size + right.size)

    # What is None, and what is in what.

    def do___is__(self, left: Any, right: Any) -> bool:
        if left is right or left is None or right is None:
            return left is right
        if type(left) is bool and type(right) is bool:
            return left == right
        raise UnsupportedError(f"whether {shown(left)} and {shown(right)} are one object is not supported; compare "
                               "with ==, or with None")

    def do___isnot__(self, left: Any, right: Any) -> bool:
        return not self.do___is__(left, right)

    def do___contains__(self, items: Any, item: Any) -> Any:
        if isinstance(items, (dict, str)):
            return _plain(item) in items
        found: Any = False
        for one in items:
            found = self.do___or__(found, self.compare("eq", one, item))
        return found

    # Lists, dicts and texts.

    def do_len(self, items: Any) -> int:
        return len(items)

    def do___getitem__(self, items: Any, at: Any) -> Any:
        return items[at]

    def do_list(self, items: Any) -> list[Any]:
        return list(items)

    def do_copy(self, items: Any) -> Any:
        return dict(items) if isinstance(items, dict) else list(items)

    def do_add_(self, items: Any, others: Any) -> Any:
        self.do_extend(items, others)
        return items

    def do_mul_(self, items: Any, count: Any) -> Any:
        items[:] = self._lists("mul", items, count)
        return items

    def do_insert(self, items: list[Any], at: int, item: Any) -> None:
        self.do_append(items, item)
        items.insert(at, items.pop())

    def do_pop(self, items: Any, *at: Any) -> Any:
        return items.pop(*at)

    def do_Delete(self, items: Any, at: Any) -> None:       # noqa: N802 (TorchScript's name)
        del items[at]

    def do_reverse(self, items: list[Any]) -> None:
        items.reverse()

    def do_sort(self, items: list[Any], reverse: bool = False) -> None:
        items[:] = self.do_sorted(items, reverse)

    def do_sorted(self, items: Any, reverse: bool = False) -> list[Any]:
        return sorted((_plain(item) for item in items), reverse=_truth(reverse))

    def do_remove(self, items: list[Any], item: Any) -> None:
        del items[self.do_index(items, item)]

    def do_index(self, items: list[Any], item: Any) -> int:
        return [_plain(one) for one in items].index(_plain(item))

    def do_count(self, items: Any, item: Any) -> int:
        return [_plain(one) for one in items].count(_plain(item))

    def do_clear(self, items: Any) -> None:
        items.clear()

    def do_update(self, items: dict[Any, Any], others: dict[Any, Any]) -> None:
        items.update(others)

    def do_setdefault(self, items: dict[Any, Any], key: Any, value: Any) -> Any:
        return items.setdefault(key, value)

    def do_get(self, items: dict[Any, Any], key: Any, value: Any = None) -> Any:
        return items.get(key, value)

    def do_sum(self, items: list[Any]) -> Any:
        total: Any = 0
        for item in items:
            total = self.arithmetic("add", total, item)
        return total

    def do_any(self, items: list[Any]) -> Any:
        found: Any = False
        for item in items:
            found = self.do___or__(found, item if isinstance(item, Condition) else bool(_number(item)))
        return found

    def do_all(self, items: list[Any]) -> Any:
        found: Any = True
        for item in items:
            found = self.do___and__(found, item if isinstance(item, Condition) else bool(_number(item)))
        return found

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

    def do_slice(self, items: Any, begin: Any = None, end: Any = None, step: int = 1) -> Any:
        return items[begin:end:step]

    def do___range_length(self, begin: int, end: int, step: int) -> int:
        return len(range(begin, end, step))

    def do___derive_index(self, at: int, begin: int, step: int) -> int:
        return begin + at * step

    def do_warn(self, *_: Any) -> None:
        return None

    def do_format(self, text: str, *given: Any) -> str:
        parts = text.split("{}")
        if len(parts) != len(given) + 1 or not all(type(one) in (int, bool, str) for one in given):
            raise UnsupportedError("a text made of what are no whole numbers or texts is not supported")
        return parts[0] + "".join(f"{one}{part}" for one, part in zip(given, parts[1:], strict=True))


class HeldList(list[Any]):
    """A list that the module keeps: a change of it would be seen by the next call."""


class HeldDict(dict[Any, Any]):
    """A dict that the module keeps."""


def _number(value: Any) -> Any:
    if type(value) not in (int, float, bool):
        hint = f"; {AS_NUMBERS}" if isinstance(value, Ref) else ""
        raise UnsupportedError(f"{shown(value)} where a number is expected is not supported{hint}")
    return value


def _plain(value: Any) -> Any:
    """A value that others are compared with: what is equal to it is known."""
    if type(value) not in (int, float, bool, str) or value != value:
        raise UnsupportedError(f"{shown(value)} where a number or text is expected is not supported")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise UnsupportedError(f"{shown(value)} where true or false is expected is not supported")
    return value


def _divided(left: Any, right: Any) -> float:
    return float(left / right)


def _remainder(left: Any, right: Any) -> Any:
    """torch's of floats is fmod, put right by the divisor, which makes nan of an infinite one."""
    if math.isinf(right):
        raise UnsupportedError("a remainder of an infinite divisor is not supported")
    return left % right


def _extreme(of: Callable[..., Any]) -> Callable[..., Any]:
    def made(*values: Any) -> Any:
        if any(value != value for value in values):
            raise UnsupportedError(f"{of.__name__} of nan is not supported")
        found = of(values)
        return float(found) if any(type(value) is float for value in values) else found
    return made


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
    "remainder": _remainder, "div": _divided}
_NUMBERS: dict[str, Callable[..., Any]] = {
    "abs": abs, "max": _extreme(max), "min": _extreme(min), "fabs": math.fabs, "divmod": divmod,
    "round": lambda value: float(round(value)),
    "__lshift__": lambda left, right: _whole(left) << _within(right, 63),
    "__rshift__": lambda left, right: _whole(left) >> _within(right, 63),
    **{name: getattr(math, name) for name in
       "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees erf exp expm1 floor fmod gcd isfinite "
       "isinf isnan log log10 log1p pow radians sin sinh sqrt tan tanh".split()}}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise UnsupportedError(f"{value!r:.60} where a whole number is expected is not supported")
    return value


def _within(value: Any, most: int) -> int:
    if not 0 <= _whole(value) <= most:
        raise UnsupportedError(f"a shift by {value} is not supported")
    return int(value)
