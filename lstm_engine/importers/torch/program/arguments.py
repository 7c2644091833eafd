"""The arguments of one operator, taken by name and kind; what an operator's reading does not take is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ....errors import FormatError, UnsupportedError
from .emit import Length, Size, Tensor
from .schema import Inert, Scalar

# Arguments that say where and how a result is kept, not what it is.
_KEEPING = frozenset({"device", "layout", "memory_format", "pin_memory", "non_blocking", "copy", "requires_grad",
                      "cudnn_enable", "cudnn_enabled"})
HALF = {"float16": "float32", "bfloat16": "float32"}        # half precision is computed in float32
MISSING: Any = object()


class Arguments:
    """Arguments of a call with the values put in: tensors, sizes and plain data."""

    def __init__(self, label: str, op: str, values: Mapping[str, Any], outputs: int) -> None:
        """label: what messages call the node. op: its operator with the overload, without a mark of being in place.
        outputs: how many results the program names."""
        self.label, self.op, self.outputs = label, op, outputs
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

    def any(self, name: str, default: Any = MISSING) -> Any:
        """An argument of any kind; `default` where it is left out."""
        self._taken.add(name)
        if name in self._values:
            return self._values[name]
        if default is MISSING:
            self.wrong(f"argument {name!r} is missing")
        return default

    def _of(self, name: str, default: Any, wanted: str, test: Callable[[Any], bool]) -> Any:
        value = self.any(name, default)
        if value is default and default is not MISSING:
            return value
        if not test(value):
            self.wrong(f"argument {name!r} must be {wanted}, got {kind(value)}")
        return value

    def tensor(self, name: str) -> Tensor:
        return self._of(name, MISSING, "a tensor", lambda v: isinstance(v, Tensor))

    def optional(self, name: str) -> Tensor | None:
        return self._of(name, None, "a tensor", lambda v: v is None or isinstance(v, Tensor))

    def tensors(self, name: str) -> list[Tensor]:
        return self._of(name, MISSING, "a list of tensors", lambda v: isinstance(v, list) and bool(v) and
                        all(isinstance(t, Tensor) for t in v))

    def int(self, name: str, default: Any = MISSING) -> int:
        return self._of(name, default, "a whole number", lambda v: type(v) is int)

    def number(self, name: str, default: Any = MISSING) -> int | float | bool:
        return self._of(name, default, "a number", lambda v: type(v) in (int, float, bool))

    def flag(self, name: str, default: Any = MISSING) -> bool:
        return self._of(name, default, "true or false", lambda v: type(v) is bool)

    def text(self, name: str, default: Any = MISSING) -> str:
        return self._of(name, default, "text", lambda v: isinstance(v, str))

    def ints(self, name: str, default: Any = MISSING) -> list[int]:
        return self._of(name, default, "whole numbers", lambda v: isinstance(v, list) and
                        all(type(i) is int for i in v))

    def size(self, name: str, default: Any = MISSING) -> Length:
        return self._of(name, default, "a size", lambda v: type(v) is int or isinstance(v, Size))

    def sizes(self, name: str, default: Any = MISSING) -> list[Length]:
        return self._of(name, default, "sizes", lambda v: isinstance(v, list) and
                        all(type(i) is int or isinstance(i, Size) for i in v))

    def dtype(self, name: str, default: Any = MISSING) -> str:
        """A dtype in which it is computed here: half precision gives float32."""
        value = self._of(name, default, "a dtype", lambda v: v is None or isinstance(v, Scalar))
        if value is None or not isinstance(value, Scalar):
            return default if default is not MISSING else self.wrong(f"argument {name!r} must be a dtype")
        return HALF.get(value.dtype, value.dtype)

    def axis(self, name: str, rank: int, default: Any = MISSING) -> int:
        """An axis, made positive. A tensor without axes is taken as one of one axis, as torch does."""
        return self.positive(self.int(name, default), rank)

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


def kind(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return "a size" if isinstance(value, Size) else f"{value!r:.60}"
