"""Sizes as numbers: what a program computes from the shapes of its inputs."""

from __future__ import annotations

from .arguments import Arguments, Opaque
from .emit import Emitter, Length, Size, Tensor
from .guards import COMPARISONS, combined, compared, rounded
from .promotion import as_dtype
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
    def write(e: Emitter, a: Arguments) -> Length | Tensor:
        if op_type in ("Add", "Sub", "Mul") and any(isinstance(a.any(side), (Tensor, float)) for side in ("a", "b")):
            return e.op(op_type, _real(e, a, "a"), _real(e, a, "b"))
        return combined(e, op_type, a.size("a"), a.size("b"))
    TABLE[f"_operator.{name}"] = Known(write, True)


for _name, _op in {"add": "Add", "sub": "Sub", "mul": "Mul", "floordiv": "FloorDiv", "mod": "Mod"}.items():
    _arithmetic(_name, _op)


@aten("_operator.neg", fresh=True)
def _neg(e: Emitter, a: Arguments) -> Length:
    return combined(e, "Mul", a.size("a"), -1)


for _name in ("max", "min"):
    _arithmetic(_name, _name.capitalize())
    TABLE[f"torch.sym_{_name}"] = TABLE.pop(f"_operator.{_name}")


# Numbers that are no whole ones: tensors without axes, in float64, as Python counts. Beside tensors they weigh as plain
# numbers do: they change no dtype of floats.

def _real(e: Emitter, a: Arguments, name: str) -> Tensor:
    value = a.any(name)
    if isinstance(value, Tensor) and value.rank == 0:
        return value
    if isinstance(value, Size) or type(value) in (int, float):
        return as_dtype(e, value, "float64")
    a.wrong(f"argument {name!r} must be a number")


@aten("torch.sym_float", fresh=True)
def _sym_float(e: Emitter, a: Arguments) -> Tensor:
    return _real(e, a, "a")


@aten("_operator.truediv", fresh=True)
def _truediv(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Div", _real(e, a, "a"), _real(e, a, "b"))


@aten("math.trunc math.floor math.ceil", fresh=True)
def _rounded(e: Emitter, a: Arguments) -> Size:
    return rounded(e, a.op.partition(".")[2], _real(e, a, "x" if a.has("x") else "a"))


@aten("_operator.pow", fresh=True)
def _pow(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Pow", _real(e, a, "a"), _real(e, a, "b"))


@aten("torch._sym_sqrt", fresh=True)
def _sqrt(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Sqrt", _real(e, a, "a"))


def _comparison(name: str) -> None:
    def write(e: Emitter, a: Arguments) -> Tensor:
        return compared(e, name, a.size("a"), a.size("b"))
    TABLE[f"_operator.{name}"] = Known(write, True)


for _name in COMPARISONS:
    _comparison(_name)
