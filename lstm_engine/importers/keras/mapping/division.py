"""Division with a remainder: x % y and x // y, rounded down as Python and every backend of Keras round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....errors import UnsupportedError
from ....graph.nodes import Dim
from ..reading.config import Layer
from .builder import Builder, Tensor

Operands = Sequence[Tensor | np.ndarray]


def divided(builder: Builder, layer: Layer, operands: Operands, shape: tuple[Dim, ...], dtype: str) -> Tensor:
    """What `ops.Mod` or `ops.FloorDivide` makes of two operands of one dtype that are broadcast to this shape.

    Raises UnsupportedError for quotients of floats: torch rounds what is left without the remainder, TensorFlow the
    quotient itself, and 1.0 // 0.1 is 9 there and 10 here.
    """
    name, whole = layer.where, not dtype.startswith("float")
    if layer.kind == "ops.Mod":
        return _remainder(builder, name, operands, shape, dtype)
    if not whole:
        raise UnsupportedError(f"{layer} of floating-point numbers is not supported, as Keras' backends round them "
                               "differently; supported: whole numbers, or ops.floor(x / y)")
    rest = _remainder(builder, f"{name}/rest", operands, shape, dtype)
    even = builder.operator("Sub", f"{name}/even", [operands[0], rest], shape, dtype)
    return builder.operator("Div", name, [even, operands[1]], shape, dtype)


def _remainder(builder: Builder, name: str, operands: Operands, shape: tuple[Dim, ...], dtype: str) -> Tensor:
    """With the sign of the divisor. ONNX has it so of whole numbers alone."""
    if not dtype.startswith("float"):
        return builder.operator("Mod", name, operands, shape, dtype)
    zero, divisor = np.zeros((), dtype), operands[1]
    rest = builder.operator("Mod", f"{name}/rest", operands, shape, dtype, {"fmod": 1})
    signs = [np.asarray(of < 0) if isinstance(of, np.ndarray)
             else builder.operator("Less", f"{name}/sign", [of, zero], of.shape, "bool") for of in (rest, divisor)]
    other = builder.operator("Xor", f"{name}/other", signs, shape, "bool")
    none = builder.operator("Equal", f"{name}/none", [rest, zero], shape, "bool")
    some = builder.operator("Not", f"{name}/some", [none], shape, "bool")
    add = builder.operator("And", f"{name}/add", [other, some], shape, "bool")
    more = builder.operator("Add", f"{name}/more", [rest, divisor], shape, dtype)
    return builder.operator("Where", name, [add, more, rest], shape, dtype)
