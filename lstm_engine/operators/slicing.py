"""Operators that put arrays together, cut them apart, and pad them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np

from ..graph.nodes import Dim, Operator
from . import counts
from .axis_rules import AxisCall, beside_axis
from .costs import Arrays, numbers_in
from .kernels import MOST_KEPT, Call, Kernel, fixed, ints, repeatable, scalar
from .older import Facts, FileNode, attributes_to_inputs, to_input
from .past import Work, fills
from .places import Mixes, Place, need
from .shape_rules import ANY, ShapeCall, Shapes
from .spacing import runs_of
from .spec import REQUIRED, Attribute, declare, one_of

# ---- Concat and Split -----------------------------------------------------------------------------------------------

def _concat_shape(call: ShapeCall) -> Shapes:
    shapes = [call.shape(i) for i in range(len(call.values))]
    axis = call.axis(call.attributes["axis"], len(shapes[0]))
    result = list(shapes[0])
    for shape in shapes[1:]:
        if len(shape) != len(result):
            raise call.error(f"inputs have {len(result)} and {len(shape)} axes")
        for i, dim in enumerate(shape):
            if i == axis:
                result[i] = _sum(result[i], dim)
            elif isinstance(dim, int):
                if isinstance(result[i], int) and result[i] != dim:
                    raise call.error(f"sizes {result[i]} and {dim} of axis {i} differ")
                result[i] = dim
    return [(result, call.dtype())]


def _sum(a: Dim | None, b: Dim | None) -> Dim | None:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return a if b == 0 else b if a == 0 else None


def _concat_axes(call: AxisCall) -> Place:
    at = call.given[0]
    need(at is not None and all(place == at for place in call.given) and at != call.axis(call.attributes["axis"]))
    return at


def _concat_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis = attributes["axis"]
    return repeatable(lambda *xs: np.concatenate(xs, axis=axis),
                      lambda out, *xs: [(np.concatenate, (xs, axis, out))])


def _split_shape(call: ShapeCall) -> Shapes:
    x, count = call.shape(), len(call.node.outputs)
    axis = call.axis(call.attributes["axis"], len(x))
    given = call.ints(1) if call.given(1) else None
    sizes: Sequence[Dim | None] | None = given
    if not call.given(1):
        parts, total = call.attributes["num_outputs"] or count, x[axis]
        if parts != count:
            raise call.error(f"num_outputs is {parts}, but the node has {count} outputs")
        if isinstance(total, int):
            chunk = ceil(total / parts)
            sizes = [max(0, min(chunk, total - i * chunk)) for i in range(parts)]
        elif parts == 1:
            sizes = [total]
    elif given is not None and (len(given) != count or min(given) < 0
                                or (isinstance(x[axis], int) and sum(given) != x[axis])):
        raise call.error(f"split {given} does not fit axis {axis} of size {x[axis]} and {count} outputs")
    return [([(sizes[k] if sizes else None) if i == axis else dim for i, dim in enumerate(x)], call.dtype())
            for k in range(count)]


def _split_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, parts = attributes["axis"], attributes["num_outputs"] or len(node.outputs)

    def split(x: np.ndarray, sizes: np.ndarray | None = None) -> list[np.ndarray]:
        if sizes is None:
            chunk = -(-x.shape[axis] // parts)
            return np.split(x, [chunk * i for i in range(1, parts)], axis=axis)
        ends = np.cumsum(sizes)
        if ends[-1] != x.shape[axis]:
            raise ValueError(f"the split sizes sum to {ends[-1]}, not {x.shape[axis]}")
        return np.split(x, ends[:-1], axis=axis)

    if 1 not in node.constants:
        return split
    edges = [0, *(int(end) for end in np.cumsum(node.constants[1]))]
    spans = [slice(a, b) for a, b in zip(edges, edges[1:])]

    def split_fixed(x: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
        if x.shape[axis] != edges[-1]:
            raise ValueError(f"the split sizes sum to {edges[-1]}, not {x.shape[axis]}")
        before = (slice(None),) * (axis % x.ndim)
        return [x[before + (span,)] for span in spans]
    return split_fixed


declare("Concat", (1, ANY), make=_concat_kernel, attributes={"axis": Attribute(int, REQUIRED)}, shape=_concat_shape,
        axes=_concat_axes, counts=counts.joined, exact=True, moves=ANY)
declare("Split", (1, 2), (1, ANY), make=_split_kernel, attributes={"axis": 0, "num_outputs": 0}, shape=_split_shape,
        older=attributes_to_inputs(split=1), axes=beside_axis, exact=True, view="always", moves=(0,), sized_by=(1,),
        takes=("any", "int64"))


# ---- Slice ----------------------------------------------------------------------------------------------------------

def _slice_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    starts, ends = call.ints(1), call.ints(2)
    axes = call.axes(3, len(x)) if call.given(3) else list(range(call.length(1)))
    steps = call.ints(4) if call.given(4) else [1] * call.length(1)
    if axes is None:
        return [([None] * len(x), call.dtype())]
    if len(axes) > len(x) or any(len(v) != len(axes) for v in (starts, ends, steps) if v is not None):
        raise call.error(f"starts, ends, axes and steps do not fit each other and {len(x)} axes")
    if steps is not None and 0 in steps:
        raise call.error("a step is 0")
    result = list(x)
    for k, axis in enumerate(axes):
        result[axis] = None if starts is None or ends is None or steps is None else \
            sliced(x[axis], starts[k], ends[k], steps[k])
    return [(result, call.dtype())]


def span(start: int, end: int, step: int, size: int) -> slice:
    """Python's slice for ONNX's: they differ where a backward start lies before the first element."""
    if step > 0:
        return slice(start, end, step)
    first = min(max(start + size if start < 0 else start, 0), size - 1)
    last = min(max(end + size if end < 0 else end, -1), size - 1)
    return slice(first, None if last < 0 else last, step)


def sliced(size: Dim | None, start: int, end: int, step: int) -> Dim | None:
    """How many elements start:end:step takes of an axis; None if that depends on a size not known.

    An axis of unknown size is taken to have at least one element: its first, or its last, is one.
    """
    if isinstance(size, int):
        return len(range(*span(start, end, step, size).indices(size)))
    if step == 1 and start == 0 and end >= ANY:
        return size
    if step == -1 and start == -1 and end <= -ANY:
        return size
    if step == 1 and ((start, end) == (0, 1) or (start == -1 and end >= ANY)):
        return 1
    return None


def _slice_axes(call: AxisCall) -> Place:
    at, starts = call.only_first(), call.ints(1)
    axes = call.ints(3)
    need(starts is not None and at not in [call.axis(axis) for axis in (range(len(starts)) if axes is None else axes)])
    for position in (2, 4):
        call.ints(position)
    return at


def _slice_past(call: AxisCall, at: int) -> Work | None:
    """Of a Slice: so many steps dropped at either end."""
    call.only_first()
    starts, ends, chosen, steps = (call.ints(position) for position in range(1, 5))
    if starts is None or ends is None:
        raise Mixes
    axes = list(range(len(starts))) if chosen is None else [call.axis(axis) for axis in chosen]
    if at not in axes:
        return None
    k = axes.index(at)
    start, end = starts[k], ends[k]
    if axes.count(at) > 1 or steps is not None and steps[k] != 1 or start < 0 or 0 <= end < ANY:
        raise Mixes("picks steps by where they stand in the whole sequence")
    node = call.node

    def again(first: int, last: int) -> Operator:
        changed = {1: np.array(starts, np.int64), 2: np.array(ends, np.int64)}
        changed[1][k], changed[2][k] = first, -last or ANY
        return replace(node, constants={**node.constants, **changed})
    return Work(again, first=start, last=max(0, -end))


def _slice_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    def spans(shape: tuple[int, ...], starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> tuple[slice, ...]:
        starts, ends = ints(starts), ints(ends)
        axes = range(len(starts)) if axes is None else ints(axes)
        steps = (1,) * len(starts) if steps is None else ints(steps)
        result = [slice(None)] * len(shape)
        for start, end, axis, step in zip(starts, ends, axes, steps):
            result[axis] = span(start, end, step, shape[axis])
        return tuple(result)

    if not fixed(node, 1, 2, 3, 4):
        return lambda x, *parameters: x[spans(x.shape, *parameters)]
    backward = 4 in node.constants and min(ints(node.constants[4]), default=1) < 0
    known: dict[Any, tuple[slice, ...]] = {}

    def take(x: np.ndarray, *parameters: Any) -> np.ndarray:
        key = x.shape if backward else x.ndim       # forward slices are the same for any size
        picked = known.get(key)
        if picked is None:
            if len(known) >= MOST_KEPT:
                known.clear()
            picked = known[key] = spans(x.shape, *parameters)
        return x[picked]
    return take


declare("Slice", (3, 5), make=_slice_kernel, shape=_slice_shape, axes=_slice_axes, past=_slice_past,
        counts=counts.moved, exact=True, older=attributes_to_inputs(starts=1, ends=2, axes=3), view="always",
        moves=(0,), sized_by=(1, 2, 3, 4), takes=("any", "indices"))


# ---- Pad ------------------------------------------------------------------------------------------------------------

def _pad_shape(call: ShapeCall) -> Shapes:
    x, pads = call.shape(), call.ints(1)
    axes = call.axes(3, len(x)) if call.given(3) else list(range(len(x)))
    if pads is None or axes is None:
        return [([None] * len(x), call.dtype())]
    if len(pads) != 2 * len(axes):
        raise call.error(f"{len(pads)} pads for {len(axes)} axes")
    result = list(x)
    for k, axis in enumerate(axes):
        total = pads[k] + pads[k + len(axes)]
        if total:
            dim = x[axis]
            result[axis] = dim + total if isinstance(dim, int) else None
            if isinstance(dim, int) and dim + total < 0:
                raise call.error(f"pads {pads} take more than the {dim} of axis {axis}")
    return [(result, call.dtype())]


def _pad_axes(call: AxisCall) -> Place:
    at, pads = call.only_first(), call.ints(1)
    axes = [call.axis(axis) for axis in call.ints(3) or range(len(call.shapes[0]))]
    need(pads is not None and (at not in axes or not any(pads[axes.index(at)::len(axes)])))
    return at


def _pad_past(call: AxisCall, at: int) -> Work | None:
    """Of a Pad: steps of one number before the first one, and behind the last."""
    call.only_first()
    pads, node = call.ints(1), call.node
    if pads is None:
        raise Mixes
    chosen = call.ints(3)
    axes = list(range(len(call.shapes[0]))) if chosen is None else [call.axis(axis) for axis in chosen]
    if at not in axes:
        return None
    k = axes.index(at)
    before, behind = pads[k], pads[k + len(axes)]
    if not before and not behind:
        return None
    if before < 0 or behind < 0 or call.attributes["mode"] != "constant":
        raise Mixes(f"pads the steps by {before} and {behind} in mode {call.attributes['mode']!r}; supported in "
                    "a stream: constants put in front")
    constant = node.constants.get(2)
    if len(node.inputs) > 2 and node.inputs[2] or constant is not None and constant.size != 1:
        raise Mixes("pads with a number that is known only when it runs")

    def again(first: int, last: int) -> Operator:
        left = np.array(pads, np.int64)
        left[k::len(axes)] = 0
        return replace(node, constants={**node.constants, 1: left})
    return Work(again, fills(before, 0.0 if constant is None else float(constant.reshape(-1)[0])), behind,
                instead=f"pad by {before + behind} in front and by 0 behind")


def _pad_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    mode = attributes["mode"]

    def widths(rank: int, pads: np.ndarray, axes: np.ndarray | None) -> list[tuple[int, int]]:
        values = ints(pads)
        chosen = range(rank) if axes is None else ints(axes)
        if len(values) != 2 * len(chosen):
            raise ValueError(f"{len(values)} pads for {len(chosen)} axes")
        result = [(0, 0)] * rank
        for i, axis in enumerate(chosen):
            result[axis] = (values[i], values[i + len(chosen)])
        return result

    known: dict[tuple[int, ...], tuple[tuple[int, ...], tuple[slice, ...]]] = {}

    def pad_fixed(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                  axes: np.ndarray | None = None) -> np.ndarray:
        layout = known.get(x.shape)
        if layout is None:
            if len(known) >= MOST_KEPT:
                known.clear()
            around = widths(x.ndim, pads, axes)
            if any(a < 0 or b < 0 for a, b in around):
                return pad(x, pads, fill, axes)
            layout = known[x.shape] = (tuple(a + size + b for (a, b), size in zip(around, x.shape)),
                                       tuple(slice(a, a + size) for (a, _), size in zip(around, x.shape)))
        shape, inside = layout
        result = np.zeros(shape, x.dtype)
        if fill is not None:
            result[...] = fill.reshape(())
        result[inside] = x
        return result

    def pad_fixed_again(out: np.ndarray, x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                        axes: np.ndarray | None = None) -> list[Call] | None:
        layout = known.get(x.shape)
        if layout is None:
            return None
        out[...] = 0 if fill is None else fill.reshape(())          # once: nothing else writes there
        return [(np.copyto, (out[layout[1]], x))]

    def pad(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
            axes: np.ndarray | None = None) -> np.ndarray:
        around = widths(x.ndim, pads, axes)
        x = x[tuple(slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(around, x.shape))]
        around = [(max(0, a), max(0, b)) for a, b in around]
        if mode != "constant":
            return np.pad(x, around, mode=mode)
        value = 0 if fill is None else fill.reshape(())
        result = np.full([a + size + b for (a, b), size in zip(around, x.shape)], value, x.dtype)
        result[tuple(slice(a, a + size) for (a, b), size in zip(around, x.shape))] = x
        return result

    taken: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}

    def pad_by_index(x: np.ndarray, pads: np.ndarray, fill: np.ndarray | None = None,
                     axes: np.ndarray | None = None) -> np.ndarray:
        """Modes that repeat elements: which ones follows from the sizes, and np.pad tells it for each axis."""
        indices = taken.get(x.shape)
        if indices is None:
            if len(taken) >= MOST_KEPT:
                taken.clear()
            around = widths(x.ndim, pads, axes)
            if not x.size or any(a < 0 or b < 0 for a, b in around):
                return pad(x, pads, fill, axes)
            indices = taken[x.shape] = [(axis, np.pad(np.arange(x.shape[axis]), ends, mode=mode))
                                        for axis, ends in enumerate(around) if any(ends)]
        for axis, index in indices:
            x = x.take(index, axis)
        return x

    def pad_by_index_again(out: np.ndarray, x: np.ndarray, *parameters: np.ndarray) -> list[Call] | None:
        indices = taken.get(x.shape, ())
        if len(indices) != 1:
            return None
        (axis, index), = indices
        lead, runs = (slice(None),) * axis, runs_of(index)
        if runs is None:
            return [(x.take, (index, axis, out, "clip"))]
        return [(np.copyto, (out[lead + (slice(*to),)], x[lead + (part,)])) for to, part in runs]

    if not fixed(node, 1, 3):
        return pad
    if mode == "constant":
        return repeatable(pad_fixed, pad_fixed_again) if fixed(node, 2) else pad_fixed
    return repeatable(pad_by_index, pad_by_index_again)


def _pad_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    x, pads = arrays[0], numbers_in(arrays[1])
    given = arrays[3] if len(arrays) > 3 else None
    axes = range(x.ndim) if given is None else [axis % x.ndim for axis in numbers_in(given)]
    sizes = list(x.shape)
    for i, axis in enumerate(axes):
        sizes[axis] = max(0, sizes[axis] + max(0, pads[i]) + max(0, pads[i + len(axes)]))
    return prod(sizes), x.itemsize


def _pad_older(node: FileNode, facts: Facts) -> list[FileNode]:
    return [to_input(to_input(node, facts, "pads", 1), facts, "value", 2, False)]


declare("Pad", (2, 4), make=_pad_kernel, older=_pad_older,
        attributes={"mode": one_of("constant", "reflect", "edge", "wrap")}, shape=_pad_shape, axes=_pad_axes,
        past=_pad_past, exact=True, grown=_pad_grown, sized_by=(1, 3), takes=("any", "int64", "any", "indices"))


# ---- Trilu ----------------------------------------------------------------------------------------------------------

def _trilu_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    part = np.triu if attributes["upper"] else np.tril
    return lambda x, k=None: part(x, 0 if k is None else scalar(k))


declare("Trilu", (1, 2), make=_trilu_kernel, attributes={"upper": 1}, exact=True, takes=("any", "int64"))
