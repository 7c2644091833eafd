"""Sizes as numbers: what a program computes from the shapes of its inputs."""

from __future__ import annotations

from .arguments import Arguments, Opaque
from .emit import Emitter, Length, Tensor
from .guards import COMPARISONS, combined, compared
from .registry import TABLE, Known, aten


@aten("sym_size.int", fresh=True)
def _sym_size(e: Emitter, a: Arguments) -> Length:
    x = a.any("self")
    if isinstance(x, Opaque):
        return x.size(e, a.whole("dim"))
    x = a.tensor("self")
    return e.size(x, a.axis("dim", x.rank))


@aten("sym_numel.default", fresh=True)
def _sym_numel(e: Emitter, a: Arguments) -> Length:
    x = a.tensor("self")
    total: Length = 1
    for axis in range(x.rank):
        total = combined(e, "Mul", total, e.size(x, axis))
    return total


def _arithmetic(name: str, op_type: str) -> None:
    def write(e: Emitter, a: Arguments) -> Length:
        return combined(e, op_type, a.size("a"), a.size("b"))
    TABLE[f"_operator.{name}"] = Known(write, True)


for _name, _op in {"add": "Add", "sub": "Sub", "mul": "Mul", "floordiv": "FloorDiv", "mod": "Mod"}.items():
    _arithmetic(_name, _op)


@aten("_operator.neg", fresh=True)
def _neg(e: Emitter, a: Arguments) -> Length:
    return combined(e, "Mul", a.size("a"), -1)


def _comparison(name: str) -> None:
    def write(e: Emitter, a: Arguments) -> Tensor:
        return compared(e, name, a.size("a"), a.size("b"))
    TABLE[f"_operator.{name}"] = Known(write, True)


for _name in COMPARISONS:
    _comparison(_name)
