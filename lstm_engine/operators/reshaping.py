"""Operators that lay the same elements out otherwise: other axes, another order of axes, repeats."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Dim, Operator, Shape
from . import counts
from .axis_rules import AxisCall, first_axis
from .costs import Arrays, numbers_in
from .kernels import Call, Kernel, fixed, ints, repeatable
from .older import attributes_to_inputs
from .places import Mixes, Place, need
from .shape_rules import Dims, ShapeCall, Shapes, product
from .spec import REQUIRED, Attribute, declare, one_of

# ---- Reshape and Flatten --------------------------------------------------------------------------------------------

def _reshape_shape(call: ShapeCall) -> Shapes:
    x, target = call.shape(), call.ints(1)
    if target is None:
        return [([None] * call.length(1), call.dtype())]
    shape: Dims = []
    for i, dim in enumerate(target):
        if dim == 0 and not call.attributes["allowzero"]:
            if i >= len(x):
                raise call.error(f"size 0 at axis {i} copies an axis that the input does not have")
            shape.append(x[i])
        elif dim < -1:
            raise call.error(f"size {dim} is negative")
        else:
            shape.append(dim)
    if shape.count(-1) > 1:
        raise call.error("more than one size is -1")
    if -1 in shape:
        at = shape.index(-1)
        shape[at] = _rest(call, x, shape[:at] + shape[at + 1:])
    else:
        total, wanted = product(x), product(shape)
        if isinstance(total, int) and isinstance(wanted, int) and total != wanted:
            raise call.error(f"{total} elements cannot take the shape {shape}")
    return [(shape, call.dtype())]


def _rest(call: ShapeCall, x: Dims, known: Dims) -> Dim | None:
    """The size that -1 stands for: elements of `x` over those of the known sizes, symbols cancelled."""
    over = list(known)
    left = []
    for dim in x:
        if not isinstance(dim, int) and dim in over:
            over.remove(dim)
        else:
            left.append(dim)
    total, divisor = product(left), product(over)
    if not isinstance(divisor, int):
        return None
    numbers = prod(dim for dim in left if isinstance(dim, int))
    symbols = [dim for dim in left if not isinstance(dim, int)]
    if not symbols:
        if divisor == 0 or numbers % divisor:
            raise call.error(f"{numbers} elements do not divide into {divisor}")
        return numbers // divisor
    return symbols[0] if len(symbols) == 1 and numbers == divisor and divisor else None if total != 0 else 0


def _flatten_shape(call: ShapeCall) -> Shapes:
    x, axis = call.shape(), call.attributes["axis"]
    if not -len(x) <= axis <= len(x):
        raise call.error(f"axis {axis} is outside the {len(x)} axes of its input")
    axis = axis + len(x) if axis < 0 else axis
    return [([product(x[:axis]), product(x[axis:])], call.dtype())]


def _reshape_axes(call: AxisCall) -> Place:
    """The batch stays an axis of its own, with as many elements before it."""
    at, x, y = call.only_first(), call.shapes[0], call.made
    if x[:at + 1] == y[:at + 1]:
        return at
    need(x.count(call.dim) == 1 and y.count(call.dim) == 1)
    to = y.index(call.dim)
    need(_elements(x[:at]) == _elements(y[:to]))
    return to


def _elements(dims: Shape) -> tuple[int, list[str]]:
    """The number of elements, as one number and the symbols it is multiplied by."""
    return prod(dim for dim in dims if isinstance(dim, int)), sorted(dim for dim in dims if isinstance(dim, str))


def _reshape_counts(call: AxisCall) -> Place:
    """As many rows as before, and nothing in front of them."""
    _, to = counts.rows_of(call, 1)
    need(call.places[0] == to == 0)
    return to


def _target(x: np.ndarray, target: tuple[int, ...], allow_zero: int) -> tuple[int, ...]:
    if allow_zero or 0 not in target:
        return target
    return tuple(x.shape[i] if dim == 0 else dim for i, dim in enumerate(target))


def _reshape_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    allow_zero = attributes["allowzero"]
    if not fixed(node, 1):
        return lambda x, shape: x.reshape(_target(x, ints(shape), allow_zero))
    target = ints(node.constants[1])

    def again(out: np.ndarray, x: np.ndarray, shape: np.ndarray) -> list[Call] | None:
        return [(np.copyto, (out.reshape(x.shape), x))] if out.flags.c_contiguous else None

    if allow_zero or 0 not in target:
        return repeatable(lambda x, shape: x.reshape(target), again)
    return repeatable(lambda x, shape: x.reshape(_target(x, target, 0)), again)


def _flatten_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def flatten(x: np.ndarray) -> np.ndarray:
        at = axis + x.ndim if axis < 0 else axis
        return x.reshape(prod(x.shape[:at]), prod(x.shape[at:]))
    return flatten


declare("Reshape", 2, make=_reshape_kernel, attributes={"allowzero": 0}, shape=_reshape_shape, axes=_reshape_axes,
        counts=_reshape_counts, in_order=True, exact=True, view="always", moves=(0,), sized_by=(1,),
        takes=("any", "int64"))
declare("Flatten", 1, make=_flatten_kernel, attributes={"axis": 1}, shape=_flatten_shape, axes=_reshape_axes,
        in_order=True, exact=True, view="always", moves=(0,))


# ---- Transpose, Squeeze, Unsqueeze ----------------------------------------------------------------------------------

def _transpose_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    perm = call.attributes["perm"] or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise call.error(f"perm {perm} is not an order of {len(x)} axes")
    return [([x[axis] for axis in perm], call.dtype())]


def _transpose_axes(call: AxisCall) -> Place:
    rank = len(call.shapes[0])
    return list(call.attributes["perm"] or reversed(range(rank))).index(call.only_first())


def _transpose_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    perm = attributes["perm"]
    return (lambda x: x.transpose(perm)) if perm else (lambda x: x.transpose())


def _squeeze_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    axes = call.axes(1, len(x))
    if axes is None and call.given(1):
        left = len(x) - call.length(1)
        if left < 0:
            raise call.error(f"{call.length(1)} axes of the {len(x)} of its input")
        return [([None] * left, call.dtype())]
    if axes is None:
        if any(not isinstance(dim, int) for dim in x):
            raise call.unknown("which axes have size 1 is known only when the model runs")
        axes = [i for i, dim in enumerate(x) if dim == 1]
    for axis in axes:
        if isinstance(x[axis], int) and x[axis] != 1:
            raise call.error(f"axis {axis} has size {x[axis]}, not 1")
    return [([dim for i, dim in enumerate(x) if i not in axes], call.dtype())]


def _squeeze_axes(call: AxisCall) -> Place:
    at, axes = call.only_first(), call.ints(1)
    if axes is None:
        raise Mixes                        # a batch of one row would go
    gone = [call.axis(axis) for axis in axes]
    need(at not in gone)
    return at - sum(axis < at for axis in gone)


def _squeeze_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    if 1 in node.constants:
        axes = ints(node.constants[1])
        return lambda x, _axes=None: x.squeeze(axes)
    return lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(ints(axes))


def _unsqueeze_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    rank = len(x) + call.length(1) if call.rank(1) else len(x) + 1
    axes = call.axes(1, rank)
    if axes is None:
        return [([None] * rank, call.dtype())]
    old = iter(x)
    return [([1 if i in axes else next(old) for i in range(rank)], call.dtype())]


def _unsqueeze_axes(call: AxisCall) -> Place:
    at, axes, rank = call.only_first(), call.ints(1), len(call.made)
    new = {axis % rank for axis in axes or ()}
    return [axis for axis in range(rank) if axis not in new][at]


def _unsqueeze_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    if 1 in node.constants:
        known = ints(node.constants[1])
        by_rank: dict[int, tuple[slice | None, ...]] = {}

        def widen(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
            index = by_rank.get(x.ndim)
            if index is None:
                new = {axis % (x.ndim + len(known)) for axis in known}
                np.expand_dims(x, known)            # what it refuses is refused
                index = by_rank[x.ndim] = tuple(None if axis in new else slice(None)
                                                for axis in range(x.ndim + len(known)))
            return x[index]
        return widen
    return lambda x, axes: np.expand_dims(x, ints(axes))


declare("Transpose", 1, make=_transpose_kernel, attributes={"perm": ()}, shape=_transpose_shape,
        axes=_transpose_axes, exact=True, view="always", moves=(0,))
declare("Squeeze", (1, 2), make=_squeeze_kernel, older=attributes_to_inputs(axes=1), shape=_squeeze_shape,
        axes=_squeeze_axes, counts=counts.moved, in_order=True, exact=True, view="always", moves=(0,), sized_by=(1,),
        takes=("any", "int64"))
declare("Unsqueeze", 2, make=_unsqueeze_kernel, older=attributes_to_inputs(axes=1), shape=_unsqueeze_shape,
        axes=_unsqueeze_axes, counts=counts.moved, in_order=True, exact=True, view="always", moves=(0,), sized_by=(1,),
        takes=("any", "int64"))


# ---- DepthToSpace and SpaceToDepth ----------------------------------------------------------------------------------

def _blocks_shape(call: ShapeCall) -> Shapes:
    x, size = call.shape(), call.attributes["blocksize"]
    if len(x) != 4 or size < 1:
        raise call.error(f"expected 4 axes and a block size above 0, not {len(x)} and {size}")
    apart = call.node.op_type == "DepthToSpace"
    whole = (size * size, 1, 1) if apart else (1, size, size)
    if any(isinstance(dim, int) and dim % by for dim, by in zip(x[1:], whole)):
        raise call.error(f"sizes {x[1:]} do not divide into blocks of {size}")

    def scaled(dim: Dim | None, up: bool, by: int) -> Dim | None:
        return (dim * by if up else dim // by) if isinstance(dim, int) else dim if by == 1 else None
    return [([x[0], scaled(x[1], not apart, size * size), *(scaled(dim, apart, size) for dim in x[2:])], call.dtype())]


def _depth_to_space_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    size, depth_first = attributes["blocksize"], attributes["mode"] == "DCR"

    def depth_to_space(x: np.ndarray) -> np.ndarray:
        batch, channels, height, width = x.shape
        left = channels // (size * size)
        if depth_first:
            blocks = x.reshape(batch, size, size, left, height, width).transpose(0, 3, 4, 1, 5, 2)
        else:
            blocks = x.reshape(batch, left, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
        y: np.ndarray = blocks.reshape(batch, left, height * size, width * size)
        return y
    return depth_to_space


def _space_to_depth_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    size, depth_first = attributes["blocksize"], attributes["mode"] == "DCR"

    def space_to_depth(x: np.ndarray) -> np.ndarray:
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, channels, height // size, size, width // size, size)
        blocks = blocks.transpose(0, 3, 5, 1, 2, 4) if depth_first else blocks.transpose(0, 1, 3, 5, 2, 4)
        y: np.ndarray = blocks.reshape(batch, channels * size * size, height // size, width // size)
        return y
    return space_to_depth


for _name, _make in {"DepthToSpace": _depth_to_space_kernel, "SpaceToDepth": _space_to_depth_kernel}.items():
    declare(_name, 1, make=_make, attributes={"blocksize": Attribute(int, REQUIRED), "mode": one_of("DCR", "CRD")},
            shape=_blocks_shape, axes=first_axis, exact=True, moves=(0,))


# ---- Expand and Tile ------------------------------------------------------------------------------------------------

def _expand_shape(call: ShapeCall) -> Shapes:
    x, target = call.shape(), call.ints(1)
    if target is None:      # a size above 1 is not changed, whatever the target will be
        lead: Dims = [None] * max(0, call.length(1) - len(x))
        return [(lead + [dim if isinstance(dim, int) and dim > 1 else None for dim in x], call.dtype())]
    if any(dim < 0 for dim in target):
        raise call.error(f"the shape {target} has a negative size")
    return [(call.broadcast(x, target), call.dtype())]


def _expand_axes(call: AxisCall) -> Place:
    at, target = call.only_first(), call.ints(1)
    behind = len(call.shapes[0]) - at
    need(target is not None and (len(target) < behind or target[-behind] == 1))
    return len(call.made) - behind


def _expand_counts(call: AxisCall) -> Place:
    rows, to = counts.rows_of(call, 1)
    at, x = call.places[0], call.shapes[0]
    there = len(x) - len(rows) + to                          # where the rows would stand in x
    need(len(rows) >= len(x) and (at == there if at is not None else there < 0 or x[there] == 1))
    return to


def _expand(x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, ints(shape)))


def _expand_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    x, shape = arrays[0], numbers_in(arrays[1])
    rank = max(x.ndim, len(shape))
    sizes = [(1,) * (rank - len(own)) + tuple(own) for own in (x.shape, shape)]
    return prod(max(pair) if 0 not in pair else 0 for pair in zip(*sizes)), x.itemsize


def _tile_shape(call: ShapeCall) -> Shapes:
    x, repeats = call.shape(), call.ints(1)
    if repeats is None:
        return [([None] * len(x), call.dtype())]
    if len(repeats) != len(x) or any(r < 0 for r in repeats):
        raise call.error(f"repeats {repeats} do not fit {len(x)} axes")
    return [([dim if r == 1 else 0 if r == 0 else dim * r if isinstance(dim, int) else None
              for dim, r in zip(x, repeats)], call.dtype())]


def _tile_axes(call: AxisCall) -> Place:
    at, repeats = call.only_first(), call.ints(1)
    need(repeats is not None and repeats[at] == 1)
    return at


def _tile_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    def tile(x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
        if repeats.size != x.ndim:
            raise ValueError(f"{repeats.size} repeats for {x.ndim} axes")
        shape = [size * times for size, times in zip(x.shape, ints(repeats))]
        # NumPy counts through the repeats of an array without elements, however many.
        return np.tile(x, ints(repeats)) if 0 not in shape else np.empty(shape, x.dtype)
    return tile


def _tile_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    return arrays[0].size * prod(max(0, n) for n in numbers_in(arrays[1])), arrays[0].itemsize


declare("Expand", 2, kernel=_expand, shape=_expand_shape, axes=_expand_axes, counts=_expand_counts, in_order=True,
        exact=True, view="perhaps", moves=(0,), grown=_expand_grown, sized_by=(1,), takes=("any", "int64"))
declare("Tile", 2, make=_tile_kernel, shape=_tile_shape, axes=_tile_axes, exact=True, moves=(0,), grown=_tile_grown,
        sized_by=(1,), takes=("any", "int64"))
