"""Operators that pick, put or order elements by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph.nodes import Operator, Value
from . import counts
from .axis_rules import AxisCall, beside_axis
from .costs import Need
from .kernels import Call, Kernel, repeatable, scalar
from .older import Facts, FileNode, older_only, optional_outputs, to_input, trimmed, without
from .places import Place, need
from .shape_rules import Dims, ShapeCall, Shapes, product, same
from .spacing import taken_again
from .spec import Attribute, declare, one_of

# ---- Gather ---------------------------------------------------------------------------------------------------------

def _gather_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    call.indices(1)
    axis = call.axis(call.attributes["axis"], len(x))
    return [(x[:axis] + call.shape(1) + x[axis + 1:], call.dtype())]


def _gather_axes(call: AxisCall) -> Place:
    data, indices = call.given
    axis, rank = call.axis(call.attributes["axis"]), len(call.shapes[1])
    if data is None:
        return axis + (indices or 0)
    need(indices is None and data != axis)
    return data if data < axis else data - 1 + rank


def _gather_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]
    if 1 in node.constants and node.constants[1].ndim == 0:
        index = int(node.constants[1])

        def pick(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
            y: np.ndarray = x[(slice(None),) * (axis % x.ndim) + (index,)]
            return y
        return pick
    if 1 in node.constants:
        return repeatable(lambda x, indices: x.take(indices, axis), taken_again(axis, node.constants[1]))
    return lambda x, indices: x.take(indices, axis)


def _gather_elements_shape(call: ShapeCall) -> Shapes:
    call.indices(1)
    if call.rank() != call.rank(1):
        raise call.error(f"data has {call.rank()} axes, indices {call.rank(1)}")
    call.axis(call.attributes["axis"], call.rank())
    return [(call.shape(1), call.dtype())]


def _gather_elements_axes(call: AxisCall) -> Place:
    at = call.given[0]
    need(at is not None and call.given[1] == at and at != call.axis(call.attributes["axis"]))
    return at


def _gather_elements_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        y: np.ndarray = x[_along(x.ndim, indices, axis)]
        return y
    return gather


def _along(rank: int, indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """Index arrays that put `indices` on `axis` and each element's own position on the others."""
    if indices.ndim != rank:
        raise IndexError(f"indices with {indices.ndim} axes for data with {rank}")
    grid = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def _gather_nd_shape(call: ShapeCall) -> Shapes:
    x, indices, batch = call.shape(), call.shape(1), call.attributes["batch_dims"]
    call.indices(1)
    depth = indices[-1] if indices else 0
    if not isinstance(depth, int):
        raise call.unknown("the last axis of the indices has an unknown size, so the rank of the result is unknown")
    if not 0 <= batch < len(indices) or batch + depth > len(x):
        raise call.error(f"indices of depth {depth} do not fit {len(x)} axes with batch_dims {batch}")
    return [(indices[:-1] + x[batch + depth:], call.dtype())]


def _gather_nd_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    batch = attributes["batch_dims"]
    if batch:
        return lambda x, indices: x[_tuples(indices, batch)]
    return lambda x, indices: x[tuple(np.moveaxis(indices, -1, 0))]


def _tuples(indices: np.ndarray, batch: int) -> tuple[np.ndarray, ...]:
    """Index arrays out of rows of indices [..., depth], led by the positions on the batch axes."""
    lead = np.ogrid[tuple(slice(size) for size in indices.shape[:-1])][:batch] if batch else []
    return (*lead, *np.moveaxis(indices, -1, 0))


declare("Gather", 2, make=_gather_kernel, attributes={"axis": 0}, shape=_gather_shape, axes=_gather_axes,
        counts=counts.moved, exact=True, view="perhaps", moves=(0,), combines=True, takes=("any", "indices"))
declare("GatherElements", 2, make=_gather_elements_kernel, attributes={"axis": 0}, shape=_gather_elements_shape,
        axes=_gather_elements_axes, exact=True, work=8, scratch=3, takes=("any", "indices"))
declare("GatherND", 2, make=_gather_nd_kernel, attributes={"batch_dims": 0}, shape=_gather_nd_shape, exact=True,
        work=8, combines=True, takes=("any", "int64"))


# ---- Scatter --------------------------------------------------------------------------------------------------------

_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _scatter_shape(call: ShapeCall) -> Shapes:
    call.indices(1)
    if "axis" in call.attributes:
        call.axis(call.attributes["axis"], call.rank())
    elif not call.shape(1):
        raise call.error("its indices are one number; expected rows of them")
    return [(call.shape(), call.dtype())]


def _copy_for(x: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """A copy of `x` to write `updates` into: a float32 constant gives way to float64 updates."""
    return x.astype(np.result_type(x, updates))


def _put(x: np.ndarray, where: tuple[np.ndarray, ...], updates: np.ndarray, reduction: str) -> np.ndarray:
    result = _copy_for(x, updates)
    if reduction == "none":
        result[where] = updates
    else:
        _COMBINE[reduction].at(result, where, updates)
    return result


def _scatter_elements_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, reduction = attributes["axis"], attributes["reduction"]
    return lambda x, indices, updates: _put(x, _along(x.ndim, indices, axis), updates, reduction)


def _scatter_nd_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    reduction = attributes["reduction"]
    box = _box(node.constants[1]) if reduction == "none" and 1 in node.constants else None
    if box is None:
        return lambda x, indices, updates: _put(x, tuple(np.moveaxis(indices, -1, 0)), updates, reduction)

    def put_box(x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
        if any(part.stop > size for part, size in zip(box, x.shape)):
            raise IndexError(f"indices reach outside {x.shape}")
        result = _copy_for(x, updates)
        result[box] = updates
        return result

    def again(out: np.ndarray, x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> list[Call]:
        return [(np.copyto, (out, x)), (np.copyto, (out[box], updates))]
    return repeatable(put_box, again)


def _box(indices: np.ndarray) -> tuple[slice, ...] | None:
    """The block of axes that constant indices spell out in order, as an exporter writes x[a:b, c:d] = updates."""
    depth = indices.shape[-1]
    if indices.ndim != depth + 1 or not indices.size or indices.min() < 0:
        return None
    first = indices.reshape(-1, depth)[0]
    span = [slice(int(a), int(a) + size) for a, size in zip(first, indices.shape[:-1])]
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in span), indexing="ij"), axis=-1)
    return tuple(span) if np.array_equal(grid, indices) else None


@older_only("Scatter")
def _scatter_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """The name that ScatterElements had before version 11."""
    return [replace(node, op="ScatterElements")]


declare("ScatterElements", 3, make=_scatter_elements_kernel,
        attributes={"axis": 0, "reduction": one_of("none", *_COMBINE)}, shape=_scatter_shape, work=8, scratch=3,
        takes=("any", "indices", "any"))
declare("ScatterND", 3, make=_scatter_nd_kernel, attributes={"reduction": one_of("none", *_COMBINE)},
        shape=_scatter_shape, work=8, takes=("any", "int64", "any"))


# ---- order ----------------------------------------------------------------------------------------------------------

def _top_k_shape(call: ShapeCall) -> Shapes:
    x, k = call.shape(), call.ints(1)
    axis = call.axis(call.attributes["axis"], len(x))
    size = x[axis]
    if k is not None and (k[0] < 0 or (isinstance(size, int) and k[0] > size)):
        raise call.error(f"k = {k[0]} does not fit axis {axis} of size {size}")
    x[axis] = None if k is None else k[0]
    return [(x, call.dtype()), (x, "int64")]


def _top_k_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, largest = attributes["axis"], attributes["largest"]

    def top_k(x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = scalar(k)
        if not 0 <= count <= x.shape[axis]:
            raise ValueError(f"k = {count} for an axis of {x.shape[axis]}")
        if largest:     # a stable ascending order of the reversed axis, reversed: the lower index wins a tie
            order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        order = order[(slice(None),) * (axis % x.ndim) + (slice(count),)]
        return np.take_along_axis(x, order, axis), order.astype(np.int64)
    return top_k


def _cum_sum_shape(call: ShapeCall) -> Shapes:
    call.axes(1, call.rank())
    return same(call)


def _cum_sum_axes(call: AxisCall) -> Place:
    at, axes = call.only_first(), call.ints(1)
    need(axes is not None and len(axes) > 0 and at != call.axis(axes[0]))
    return at


def _cumulative_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    exclusive, reverse = attributes["exclusive"], attributes["reverse"]
    through, empty = (np.cumsum, 0) if node.op_type == "CumSum" else (np.cumprod, 1)

    def cumulate(x: np.ndarray, axis_input: np.ndarray) -> np.ndarray:
        axis = scalar(axis_input)
        data = np.flip(x, axis) if reverse else x
        total = through(data, axis=axis, dtype=x.dtype)
        if exclusive:
            shifted = np.full_like(total, empty)
            before = (slice(None),) * (axis % x.ndim)
            shifted[before + (slice(1, None),)] = total[before + (slice(None, -1),)]
            total = shifted
        return np.flip(total, axis) if reverse else total
    return cumulate


def _reverse_sequence_shape(call: ShapeCall) -> Shapes:
    for name in ("batch_axis", "time_axis"):
        call.axis(call.attributes[name], call.rank())
    return same(call)


def _reverse_sequence_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    time, batch = attributes["time_axis"], attributes["batch_axis"]

    def reverse_sequence(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        steps = np.arange(x.shape[time]).reshape(-1, 1)
        source = np.where(steps < lengths, lengths - 1 - steps, steps)     # [time, batch]
        moved = np.moveaxis(x, (time, batch), (0, 1))
        picked = moved[source, np.arange(lengths.size)]
        return np.moveaxis(picked, (0, 1), (time, batch))
    return reverse_sequence


def _top_k_older(node: FileNode, facts: Facts) -> list[FileNode]:
    if "k" in node.attributes:
        node = to_input(without(node, k=[node.attributes["k"]]), facts, "k", 1)
    return [trimmed(node)]


declare("TopK", 2, (1, 2), make=_top_k_kernel, older=_top_k_older, attributes={"axis": -1, "largest": 1, "sorted": 1},
        shape=_top_k_shape, axes=beside_axis, exact=True, work=96, scratch=4, sized_by=(1,), takes=("numbers", "int64"),
        low_bits=True)
for _name in ("CumSum", "CumProd"):
    declare(_name, 2, make=_cumulative_kernel, attributes={"exclusive": 0, "reverse": 0}, shape=_cum_sum_shape,
            axes=_cum_sum_axes, work=24, scratch=2, takes=("wide", "indices"), low_bits=True)
declare("ReverseSequence", 2, make=_reverse_sequence_kernel, attributes={"batch_axis": 1, "time_axis": 0},
        shape=_reverse_sequence_shape, exact=True, scratch=3, takes=("any", "int64"))


# ---- Compress and Unique --------------------------------------------------------------------------------------------

def _compress_shape(call: ShapeCall) -> Shapes:
    x, axis = call.shape(), call.attributes["axis"]
    if call.rank(1) != 1 or call.dtype(1) != "bool":
        raise call.error(f"the condition must be bool of one axis, got {call.dtype(1)} {call.shape(1)}")
    if axis is None:
        return [([None], call.dtype())]
    x[call.axis(axis, len(x))] = None
    return [(x, call.dtype())]


def _compress_axes(call: AxisCall) -> Place:
    at, axis = call.only_first(), call.attributes["axis"]
    need(axis is not None and at != call.axis(axis))
    return at


def _compress_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]
    return lambda x, condition: np.compress(condition, x, axis)


def _unique_shape(call: ShapeCall) -> Shapes:
    x, axis = call.shape(), call.attributes["axis"]
    count = product(x) if axis is None else x[call.axis(axis, len(x))]
    made: Dims = [None]
    if axis is not None:
        made, x[axis] = x, None
    return [(made, call.dtype()), ([None], "int64"), ([count], "int64"), ([None], "int64")]


def _unique_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, ordered = attributes["axis"], attributes["sorted"]

    def unique(x: np.ndarray) -> list[np.ndarray]:
        made, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True,
                                                 axis=axis)
        inverse = inverse.reshape(-1)
        if not ordered:                 # as they come
            order = np.argsort(first)
            rank = np.argsort(order)
            made = made.take(order, 0 if axis is None else axis)
            first, inverse, counts = first[order], rank[inverse], counts[order]
        return [made, first, inverse, counts][:len(node.outputs)]
    return unique


def _compress_needs(attributes: dict[str, Any], arrays: Sequence[Any], made: Sequence[Value]) -> Need:
    """All of the input may be kept, and NumPy notes the places of what is."""
    x, condition = arrays[0], arrays[1]
    return Need(x.nbytes + 8 * condition.size, 8 * x.size)


def _unique_needs(attributes: dict[str, Any], arrays: Sequence[Any], made: Sequence[Value]) -> Need:
    """Elements are sorted; along an axis NumPy compares records, of which each element is a field."""
    x, axis = arrays[0], attributes["axis"]
    count = x.size if axis is None else x.shape[axis]
    fields = 0 if axis is None else x.size // max(count, 1)
    return Need(4 * x.nbytes + 80 * count + 1024 * fields,
                96 * count + (0 if axis is None else 1000 * x.size + 20_000 * fields))


_SOME_AXIS = Attribute(int, None)           # of all elements in a row where it is left out
declare("Compress", 2, make=_compress_kernel, attributes={"axis": _SOME_AXIS}, shape=_compress_shape,
        axes=_compress_axes, exact=True, sized_by=(1,), needs=_compress_needs, takes=("any", "bool"))
declare("Unique", 1, (1, 4), make=_unique_kernel, attributes={"axis": _SOME_AXIS, "sorted": one_of(1, 0)},
        older=optional_outputs, shape=_unique_shape, exact=True, combines=True, work=96, needs=_unique_needs,
        sized_by=(0,))


# ---- OneHot ---------------------------------------------------------------------------------------------------------

def _one_hot_shape(call: ShapeCall) -> Shapes:
    shape, depth = call.shape(), call.node.constants.get(1)        # of any numeric type
    axis = call.axis(call.attributes["axis"], len(shape) + 1)
    shape.insert(axis, None if depth is None else int(depth.reshape(-1)[0]))
    return [(shape, call.dtype(2))]


def _one_hot_axes(call: AxisCall) -> Place:
    at, axis = call.only_first(), call.attributes["axis"] % len(call.made)
    return int(at + (axis <= at))


def _one_hot_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]

    def one_hot(indices: np.ndarray, depth: np.ndarray, values: np.ndarray) -> np.ndarray:
        size = int(scalar(depth))
        if size < 0:
            raise ValueError(f"depth is {size}")
        at = axis % (indices.ndim + 1)
        ids = np.expand_dims(np.where(indices < 0, indices + size, indices), at)
        classes = np.arange(size).reshape((-1,) + (1,) * (indices.ndim - at))
        y: np.ndarray = np.where(ids == classes, values[1], values[0])
        return y
    return one_hot


declare("OneHot", 3, make=_one_hot_kernel, attributes={"axis": -1}, shape=_one_hot_shape, axes=_one_hot_axes,
        exact=True, scratch=2, sized_by=(1,),
        grown=lambda attributes, arrays: (arrays[0].size * max(0, int(scalar(arrays[1]))), arrays[2].itemsize),
        takes=("numbers", "numbers", "any"), apart="IDV")
