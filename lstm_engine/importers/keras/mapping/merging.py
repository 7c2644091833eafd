"""Layers that join several inputs: Concatenate, Add, Multiply, ..., with the masks they make of their inputs'."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import OWN, Arguments, Context, check_width, maps, show

_FOLDS = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Average": "Add", "Maximum": "Max", "Minimum": "Min"}
# What these are of masks alone, as NumPy has it.
OF_MASKS = {"Add": "Or", "Multiply": "And", "Maximum": "Or", "Minimum": "And"}


@maps("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", mask=OWN)
def merge(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Element by element; inputs of lower rank get new axes after the batch, as Keras has it (ONNX: in front)."""
    builder, name = context.builder, layer.where
    if len(arguments.x) < 2 or layer.kind == "Subtract" and len(arguments.x) != 2:
        raise FormatError(f"{layer} is called with {len(arguments.x)} inputs; expected "
                          f"{'2' if layer.kind == 'Subtract' else 'at least 2'}")
    bools = sum(x.dtype == "bool" for x in arguments.x)
    if bools > 1 and (bools < len(arguments.x) or layer.kind not in OF_MASKS):
        raise UnsupportedError(f"{layer} of {' and '.join(x.dtype for x in arguments.x)} is not supported: masks are "
                               "joined before numbers come to them; supported: masks that are cast to numbers first")
    # Whole numbers stay whole, but for their mean.
    promoted = builder.in_one_dtype if layer.kind == "Average" else builder.in_dtype_of_all
    inputs = _equal_ranks(builder, name, promoted(arguments.x, name))
    check_width(context, layer, inputs)
    masks = [x.mask for x in arguments.x]
    if context.version.merges_heed_masks and layer.kind in ("Multiply", "Maximum", "Minimum") and any(masks):
        fold = _masked_product if layer.kind == "Multiply" else _masked_extreme
        made = fold(builder, layer, inputs)
    else:
        made = inputs[0]
        for number, other in enumerate(inputs[1:], 1):
            last = number == len(inputs) - 1 and layer.kind != "Average"
            made = _fold(builder, layer, name if last else f"{name}/part", made, other)
        if layer.kind == "Average":
            made = builder.operator("Div", name, [made, np.array(len(inputs), made.dtype)], made.shape)
    return replace(made, mask=_merged_mask(context, name, masks))


def _equal_ranks(builder: Builder, name: str, inputs: list[Tensor]) -> list[Tensor]:
    rank = max(x.rank for x in inputs)
    made = []
    for x in inputs:
        if x.rank < rank:
            axes = np.arange(1, 1 + rank - x.rank, dtype=np.int64)
            shape = (x.shape[0], *(1,) * (rank - x.rank), *x.shape[1:])
            x = builder.operator("Unsqueeze", f"{name}/expanded", [x, axes], shape)
        made.append(x)
    return made


def broadcast(builder: Builder, layer: Layer, left: Tensor, right: Tensor) -> tuple[Dim, ...]:
    """The shape of an element-by-element operation on two values. Raises FormatError if they do not fit."""
    rank = max(left.rank, right.rank)
    pairs = zip((1,) * (rank - left.rank) + left.shape, (1,) * (rank - right.rank) + right.shape)
    shape: list[Dim] = []
    for a, b in pairs:
        if a != 1 and b != 1 and not builder.unify(a, b):
            raise FormatError(f"{layer}: shapes {show(left.shape)} and {show(right.shape)} do not fit each other")
        shape.append(b if a == 1 else a)
    return tuple(shape)


def _fold(builder: Builder, layer: Layer, name: str, left: Tensor, right: Tensor) -> Tensor:
    kind = (OF_MASKS if left.dtype == "bool" else _FOLDS)[layer.kind]
    return builder.operator(kind, name, [left, right], broadcast(builder, layer, left, right))


def _merged_mask(context: Context, name: str, masks: list[Tensor | None]) -> Tensor | None:
    """From Keras 3.4 a step counts if it does in any input, and unmasked inputs lift the mask; in Keras 2, in all."""
    if context.version.merges_drop_masks or context.version.merges_heed_masks and not all(masks):
        return None
    return _joined(context, name, [mask for mask in masks if mask])


def _joined(context: Context, name: str, masks: list[Tensor]) -> Tensor | None:
    """One mask of several of one shape."""
    distinct = list({mask.name: mask for mask in masks}.values())
    if not distinct:
        return None
    made = distinct[0]
    for other in distinct[1:]:
        made = context.builder.operator("Or" if context.version.merges_heed_masks else "And", f"{name}/mask",
                                        [made, other], made.shape)
    return made


def _expanded(builder: Builder, name: str, x: Tensor) -> Tensor | None:
    """The mask of x [batch, time, ...] with an axis for its features."""
    if x.mask is None:
        return None
    shape = (*x.mask.shape, 1)
    return builder.operator("Unsqueeze", f"{name}/mask", [x.mask, np.array([len(shape) - 1], np.int64)], shape)


def _where(builder: Builder, name: str, mask: Tensor, chosen: Tensor, other: Tensor | np.ndarray) -> Tensor:
    return builder.operator("Where", name, [mask, chosen, other], chosen.shape, chosen.dtype)


def _masked_product(builder: Builder, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Multiply since Keras 3.4: a masked factor is 1; where all factors are masked, the product is 0."""
    name = layer.where
    made: Tensor | None = None
    either: Tensor | None = None
    for x in inputs:
        mask = _expanded(builder, name, x)
        if mask is not None:
            x = _where(builder, f"{name}/factor", mask, x, np.ones((), x.dtype))
            either = mask if either is None else builder.operator("Or", f"{name}/any", [either, mask], mask.shape)
        made = x if made is None else _fold(builder, layer, f"{name}/part", made, x)
    assert made is not None
    if either is not None and all(x.mask for x in inputs):
        return _where(builder, name, either, made, np.zeros((), made.dtype))
    return made


def _masked_extreme(builder: Builder, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Maximum and Minimum since Keras 3.4: a masked value gives way to the other one."""
    name = layer.where
    made, made_mask = inputs[0], _expanded(builder, name, inputs[0])
    for x in inputs[1:]:
        mask = _expanded(builder, name, x)
        if mask is not None:
            x = _where(builder, f"{name}/other", mask, x, made)
        if made_mask is not None:
            made = _where(builder, f"{name}/one", made_mask, made, x)
        if mask is not None and made_mask is not None:
            made_mask = builder.operator("Or", f"{name}/any", [made_mask, mask], mask.shape)
        else:
            made_mask = None
        made = _fold(builder, layer, f"{name}/part", made, x)
    return made


@maps("Concatenate", mask=OWN)
def concatenate(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """Along one axis; masks are joined over features, and laid end to end over time."""
    builder, name = context.builder, layer.where
    inputs = builder.in_dtype_of_all(arguments.x, name)
    rank = inputs[0].rank if inputs else 0
    axis = layer.get("axis", int, -1)
    axis = axis + rank if axis < 0 else axis
    if len(inputs) < 2 or not 1 <= axis < rank or any(x.rank != rank for x in inputs):
        shapes = " and ".join(show(x.shape) for x in inputs)
        raise FormatError(f"{layer}: inputs of the shapes {shapes} cannot be joined on axis {axis}")
    made = concat(builder, layer, name, inputs, axis)
    return replace(made, mask=_concatenated_mask(context, layer, inputs, axis))


def concat(builder: Builder, layer: Layer, name: str, inputs: list[Tensor], axis: int) -> Tensor:
    """Inputs of one rank joined on one axis, their other sizes checked."""
    first = inputs[0]
    for x in inputs[1:]:
        for position, (left, right) in enumerate(zip(first.shape, x.shape)):
            if position != axis and not builder.unify(left, right):
                raise FormatError(f"{layer}: inputs of the shapes {show(first.shape)} and {show(x.shape)} cannot be "
                                  f"joined on axis {axis}")
    sizes = [x.shape[axis] for x in inputs]
    known = [size for size in sizes if isinstance(size, int)]
    total: Dim = sum(known) if len(known) == len(sizes) else builder.symbol()
    return builder.operator("Concat", name, inputs, (*first.shape[:axis], total, *first.shape[axis + 1:]),
                            attributes={"axis": axis})


def _concatenated_mask(context: Context, layer: Layer, inputs: list[Tensor], axis: int) -> Tensor | None:
    builder, name = context.builder, layer.where
    masks = [x.mask for x in inputs]
    if not any(masks) or inputs[0].rank < 3 or context.version.merges_drop_masks:
        return None
    if axis > 1:
        # Keras 3.4 counts a step that counts in any part, and an unmasked part counts throughout.
        if context.version.merges_heed_masks and not all(masks):
            return None
        return _joined(context, name, [mask for mask in masks if mask])
    parts = [mask or _all_true(builder, f"{name}/unmasked", x) for mask, x in zip(masks, inputs)]
    return concat(builder, layer, f"{name}/mask", parts, 1)


def _all_true(builder: Builder, name: str, x: Tensor) -> Tensor:
    shape = builder.operator("Shape", f"{name}/shape", [x], (2,), "int64", {"start": 0, "end": 2})
    return builder.operator("ConstantOfShape", name, [shape, np.array([True])], x.shape[:2], "bool")
