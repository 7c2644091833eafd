"""Operators that make arrays of shapes and numbers: Shape, Size, NonZero, ConstantOfShape, Range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES
from ..graph.nodes import Operator, Value
from ..graph.weights import MAX_DIM
from . import counts
from .axis_rules import AxisCall
from .costs import Arrays, Need, numbers_in
from .kernels import Kernel, ints, scalar
from .older import Facts, FileNode, without
from .places import Place
from .shape_rules import ANY, ShapeCall, Shapes
from .spec import Attribute, declare


def _shape_shape(call: ShapeCall) -> Shapes:
    return [([len(call.shape()[call.attributes["start"]:call.attributes["end"]])], "int64")]


def _shape_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    part = slice(attributes["start"], attributes["end"])
    return lambda x: np.array(x.shape[part], np.int64)


def _size_shape(call: ShapeCall) -> Shapes:
    return [([], "int64")]


declare("Shape", 1, make=_shape_kernel, attributes={"start": 0, "end": ANY}, shape=_shape_shape, axes=counts.of_shape,
        exact=True, of_shapes=True)
declare("Size", 1, kernel=lambda x: np.asarray(x.size, np.int64), shape=_size_shape, exact=True, of_shapes=True)


def _eye_like_shape(call: ShapeCall) -> Shapes:
    if call.rank() != 2:
        raise call.error(f"expected a matrix, got {call.rank()} axes")
    return [(call.shape(), call.dtype() if call.attributes["dtype"] is None else call.type_named("dtype"))]


def _eye_like_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    number, k = attributes["dtype"], max(-MAX_DIM, min(attributes["k"], MAX_DIM))
    return lambda x: np.eye(x.shape[0], x.shape[1], k=k, dtype=np.dtype(x.dtype if number is None else
                                                                        DATA_TYPES[number]))


declare("EyeLike", 1, make=_eye_like_kernel, shape=_eye_like_shape, exact=True,
        attributes={"dtype": Attribute(int, None, says_type=True), "k": 0})


def _nonzero_shape(call: ShapeCall) -> Shapes:
    return [([call.rank(), None], "int64")]


def _nonzero(x: np.ndarray) -> np.ndarray:
    return np.array(np.nonzero(np.atleast_1d(x)), np.int64)[:x.ndim]


def _nonzero_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    count = arrays[0].size * max(1, arrays[0].ndim)
    return Need(16 * count, 8 * count)


declare("NonZero", 1, kernel=_nonzero, shape=_nonzero_shape, exact=True, combines=True, sized_by=(0,), work=8,
        needs=_nonzero_needs)


def _constant_of_shape_shape(call: ShapeCall) -> Shapes:
    target = call.ints(0)
    dtype = call.dtype(1) if call.given(1) else "float32"
    if target is not None and any(dim < 0 for dim in target):
        raise call.error(f"the shape {target} has a negative size")
    return [([None] * call.length(0) if target is None else target, dtype)]


def _constant_of_shape_counts(call: AxisCall) -> Place:
    return counts.rows_of(call, 0)[1]


def _constant_of_shape_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    def constant_of_shape(shape: np.ndarray, fill: np.ndarray | None = None) -> np.ndarray:
        if fill is None:
            return np.zeros(ints(shape), np.float32)
        return np.full(ints(shape), fill.reshape(()), fill.dtype)
    return constant_of_shape


def _constant_of_shape_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """An array in an attribute is a constant input here."""
    if "value" not in node.attributes:
        return [node]
    fill = facts.add_constant(f"{node.outputs[0]}/value", np.asarray(node.attributes["value"]))
    return [replace(without(node, "value"), inputs=(node.inputs[0], fill))]


declare("ConstantOfShape", (1, 2), older=_constant_of_shape_older, make=_constant_of_shape_kernel,
        shape=_constant_of_shape_shape, counts=_constant_of_shape_counts, exact=True, sized_by=(0,),
        grown=lambda attributes, arrays: (prod(max(0, n) for n in numbers_in(arrays[0])), 8), apart="NV")


def _range_shape(call: ShapeCall) -> Shapes:
    ends = [call.node.constants.get(i) for i in range(3)]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return [([None], call.dtype())]
    start, limit, step = (np.ravel(end)[0] for end in known)
    if step == 0:
        raise call.error("the step is 0")
    return [([max(0, ceil((float(limit) - float(start)) / float(step)))], call.dtype())]


def _range(start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.arange(scalar(start), scalar(limit), scalar(step)).astype(start.dtype)


def _range_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    start, limit, step = map(scalar, arrays)
    return max(0, ceil((limit - start) / step)), 8


declare("Range", 3, kernel=_range, shape=_range_shape, grown=_range_grown, sized_by=(0, 1, 2),
        takes="floats|int16|indices")
