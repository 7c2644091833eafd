"""Type promotion as torch has it: the kind of a number, then tensors with axes, without axes, and plain numbers.

Source: torch/csrc "Type promotion" (aten/src/ATen/native/TypeProperties.cpp, result_type).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .emit import Emitter, Size, Tensor

Operand = Tensor | Size | int | float | bool
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


def _kind(dtype: str) -> int:
    return _RANK[np.dtype(dtype).kind]


def dtype_of(value: Operand) -> str:
    """The dtype of an operand; a plain float counts as float32, torch's default."""
    if isinstance(value, Tensor):
        return value.dtype
    return "bool" if type(value) is bool else "float32" if isinstance(value, float) else "int64"


def promote_types(first: str, second: str) -> str:
    """torch.promote_types: unlike NumPy, whole numbers beside floats do not widen them."""
    if _kind(first) != _kind(second):
        return first if _kind(first) > _kind(second) else second
    return str(np.promote_types(first, second).name)


def result_type(operands: Sequence[Operand]) -> str:
    """torch.result_type of the operands."""
    groups: list[str | None] = [None, None, None]
    for operand in operands:
        group = (0 if operand.rank else 1) if isinstance(operand, Tensor) else 2
        dtype = dtype_of(operand)
        before = groups[group]
        groups[group] = dtype if before is None else promote_types(before, dtype)
    return _combined(_combined(groups[0], groups[1]), groups[2]) or "float32"


def _combined(higher: str | None, lower: str | None) -> str | None:
    """A lower group matters only if its numbers are of a higher kind."""
    if higher is None or lower is None:
        return higher or lower
    return promote_types(higher, lower) if _kind(lower) > _kind(higher) else higher


def as_dtype(e: Emitter, operand: Operand, dtype: str) -> Tensor:
    """An operand as a tensor of a dtype."""
    if isinstance(operand, Tensor):
        return e.cast(operand, dtype)
    if isinstance(operand, Size):
        return e.cast(e.scalar(operand), dtype)
    return e.constant(operand, dtype)


def promoted(e: Emitter, *operands: Operand, floating: bool = False) -> list[Tensor]:
    """The operands as tensors of their common dtype; with `floating` that is a float."""
    dtype = result_type(operands)
    if floating and not dtype.startswith("float"):
        dtype = "float32"
    return [as_dtype(e, operand, dtype) for operand in operands]
