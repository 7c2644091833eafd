"""The arguments of one operator, taken by name and kind; what an operator's reading does not take is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, TypeGuard, TypeVar

from ....errors import FormatError, UnsupportedError
from .emit import Emitter, Length, Size, Tensor
from .schema import Inert, Scalar

# Arguments that say where and how a result is kept, not what it is.
_KEEPING = frozenset({"device", "layout", "memory_format", "pin_memory", "non_blocking", "copy", "requires_grad",
                      "cudnn_enable", "cudnn_enabled"})
HALF = {"float16": "float32", "bfloat16": "float32"}        # half precision is computed in float32
MISSING: Any = object()


class Opaque:
    """A value of the program that only some operators can take; `kind` says for a message what it is."""

    kind: ClassVar[str]

    def size(self, e: Emitter, axis: int) -> Length:
        """The size of an axis of what torch has for it."""
        raise UnsupportedError(f"{self.kind} are not supported")


_T = TypeVar("_T")


class Arguments:
    """Arguments of a call with the values put in: tensors, sizes and plain data."""

    def __init__(self, label: str, op: str, values: Mapping[str, Any], outputs: int, rank: int | None = None) -> None:
        """label: what messages call the node. op: its operator with the overload, without a mark of being in place.
        outputs: how many results the program names. rank: the axes that it says the first of them has."""
        self.label, self.op, self.outputs, self.rank = label, op, outputs, rank
        self._values = dict(values)
        self._taken: set[str] = set()

    def refuse(self, message: str) -> NoReturn:
        """Raise UnsupportedError that names the node."""
        raise UnsupportedError(f"{self.label}: {message}")

    def wrong(self, message: str) -> NoReturn:
        """Raise FormatError that names the node."""
        raise FormatError(f"{self.label}: {message}")

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def with_value(self, name: str, value: Any) -> Arguments:
        """The same call with another value of one argument."""
        return Arguments(self.label, self.op, {**self._values, name: value}, self.outputs, self.rank)

    def same_as(self, other: Arguments) -> bool:
        """Whether another call has the same operator and the same arguments, but for the numbers in its tensors."""
        return self.op == other.op and _plain(self._values) == _plain(other._values)

    def any(self, name: str, default: Any = MISSING) -> Any:
        """An argument of any kind; `default` where it is left out."""
        self._taken.add(name)
        if name in self._values:
            return self._values[name]
        if default is MISSING:
            self.wrong(f"argument {name!r} is missing")
        return default

    def _of(self, wanted: str, test: Callable[[Any], TypeGuard[_T]], name: str, default: Any = MISSING) -> _T:
        """The argument, which `test` holds for or is `default`; wanted: what a message says of it."""
        value: _T = self.any(name, default)
        if value is default and default is not MISSING:
            return value
        if not test(value):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Opaque):
                    self.refuse(f"{part.kind} are not supported")
            self.wrong(f"argument {name!r} must be {wanted}, got {kind(value)}")
        return value

    def tensor(self, name: str) -> Tensor:
        return self._of("a tensor", _is_tensor, name)

    def optional(self, name: str) -> Tensor | None:
        return None if self.any(name, None) is None else self.tensor(name)

    def tensors(self, name: str) -> list[Tensor]:
        return self._of("a list of tensors", _is_tensors, name)

    def whole(self, name: str, default: Any = MISSING) -> int:
        return self._of("a whole number", _is_whole, name, default)

    def number(self, name: str, default: Any = MISSING) -> int | float | bool:
        return self._of("a number", _is_number, name, default)

    def flag(self, name: str, default: Any = MISSING) -> bool:
        return self._of("true or false", _is_flag, name, default)

    def text(self, name: str, default: Any = MISSING) -> str:
        return self._of("text", _is_text, name, default)

    def ints(self, name: str, default: Any = MISSING) -> list[int]:
        return self._of("whole numbers", _is_wholes, name, default)

    def size(self, name: str, default: Any = MISSING) -> Length:
        return self._of("a size", _is_size, name, default)

    def sizes(self, name: str, default: Any = MISSING) -> list[Length]:
        return self._of("sizes", _is_sizes, name, default)

    def dtype(self, name: str, default: str | None = None) -> str:
        """A dtype in which it is computed here: half precision gives float32."""
        value = self.any(name, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, Scalar):
            self.wrong(f"argument {name!r} must be a dtype, got {kind(value)}")
        return HALF.get(value.dtype, value.dtype)

    def stands_for(self, name: str, dtype: str) -> bool:
        """Whether a dtype that was given is this one, whatever is computed in for it."""
        value = self.any(name, None)
        return isinstance(value, Scalar) and value.dtype == dtype

    def axis(self, name: str, rank: int, default: Any = MISSING) -> int:
        """An axis, made positive. A tensor without axes is taken as one of one axis, as torch does."""
        return self.positive(self.whole(name, default), rank)

    def axes(self, name: str, rank: int) -> list[int]:
        """Axes made positive; all of them where the argument is left out or empty. A single number is one axis."""
        value = self.any(name, None)
        if type(value) is int:
            value = [value]
        if value is None or value == []:
            return list(range(rank))
        if not isinstance(value, list) or not all(type(v) is int for v in value):
            self.wrong(f"argument {name!r} must be axes, got {kind(value)}")
        axes = [self.positive(v, rank) for v in value]
        if len(set(axes)) != len(axes):
            self.wrong(f"argument {name!r} names one axis twice: {value}")
        return axes

    def positive(self, axis: int, rank: int) -> int:
        if not -max(rank, 1) <= axis < max(rank, 1):
            self.wrong(f"axis {axis} is outside the {rank} axes of its tensor")
        return axis % rank if rank else 0

    def ignore(self, *names: str) -> None:
        """Take arguments that change no number here."""
        self._taken.update(names)

    def check_all_taken(self) -> None:
        """Raise UnsupportedError naming an argument that was given and not looked at."""
        for name, value in self._values.items():
            if name not in self._taken and name not in _KEEPING and value is not None and not isinstance(value, Inert):
                self.refuse(f"argument {name!r} = {kind(value)} is not supported")


def _plain(value: Any) -> Any:
    """A value to be compared: of a tensor its shape, of a size its symbol."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Tensor):
        return value.shape
    return (value.symbol or value.name) if isinstance(value, Size) else (type(value), value)


def _is_tensor(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor)


def _is_tensors(value: Any) -> TypeGuard[list[Tensor]]:
    return isinstance(value, list) and bool(value) and all(map(_is_tensor, value))


def _is_whole(value: Any) -> TypeGuard[int]:
    return type(value) is int           # True is none


def _is_wholes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(map(_is_whole, value))


def _is_number(value: Any) -> TypeGuard[int | float | bool]:
    return type(value) in (int, float, bool)


def _is_flag(value: Any) -> TypeGuard[bool]:
    return type(value) is bool


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_size(value: Any) -> TypeGuard[Length]:
    return type(value) is int or isinstance(value, Size)


def _is_sizes(value: Any) -> TypeGuard[list[Length]]:
    return isinstance(value, list) and all(map(_is_size, value))


def kind(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return "a size" if isinstance(value, Size) else f"{value!r:.60}"
