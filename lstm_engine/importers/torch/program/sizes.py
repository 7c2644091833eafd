"""Sizes as numbers: what a program computes from the shapes of its inputs."""

from __future__ import annotations

from .arguments import Arguments
from .emit import Emitter, Length, Size
from .registry import TABLE, Known, aten


@aten("sym_size.int", fresh=True)
def _sym_size(e: Emitter, a: Arguments) -> Length:
    x = a.tensor("self")
    return e.size(x, a.axis("dim", x.rank))


@aten("sym_numel.default", fresh=True)
def _sym_numel(e: Emitter, a: Arguments) -> Length:
    x = a.tensor("self")
    total: Length = 1
    for axis in range(x.rank):
        total = _combined(e, "Mul", total, e.size(x, axis))
    return total


def _combined(e: Emitter, op_type: str, x: Length, y: Length) -> Length:
    made = e.op(op_type, e.as_tensor(x), e.as_tensor(y))
    if made.array is not None:
        return int(made.array[0])
    neutral = {"Mul": 1, "Add": 0}.get(op_type)
    if neutral is not None and neutral in (x, y):
        return y if x == neutral else x
    return Size(made.name)


def _arithmetic(name: str, op_type: str) -> None:
    def write(e: Emitter, a: Arguments) -> Length:
        return _combined(e, op_type, a.size("a"), a.size("b"))
    TABLE[f"_operator.{name}"] = Known(write, True)


for _name, _op in {"add": "Add", "sub": "Sub", "mul": "Mul"}.items():
    _arithmetic(_name, _op)


@aten("_operator.floordiv _operator.mod", fresh=True)
def _floordiv(e: Emitter, a: Arguments) -> Length:
    """Division that rounds down, as Python's."""
    x, y = a.size("a"), a.size("b")
    if y == 0:
        a.wrong("division by 0")
    left, right = e.as_tensor(x), e.as_tensor(y)
    rest = e.op("Mod", left, right)
    made = rest if a.op.endswith("mod") else e.op("Div", e.op("Sub", left, rest), right)
    return int(made.array[0]) if made.array is not None else Size(made.name)


@aten("_operator.neg", fresh=True)
def _neg(e: Emitter, a: Arguments) -> Length:
    return _combined(e, "Mul", a.size("a"), -1)
