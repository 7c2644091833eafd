"""Symbolic shapes of the operators that move, pick or make elements."""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from .nodes import Dim
from .operator_rules import ANY, Call, Dims, product, rule


@rule("Reshape")
def _reshape(call: Call) -> list:
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


def _rest(call: Call, x: Dims, known: Dims) -> Dim | None:
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


@rule("Flatten")
def _flatten(call: Call) -> list:
    x, axis = call.shape(), call.attributes["axis"]
    if not -len(x) <= axis <= len(x):
        raise call.error(f"axis {axis} is outside the {len(x)} axes of its input")
    axis = axis + len(x) if axis < 0 else axis
    return [([product(x[:axis]), product(x[axis:])], call.dtype())]


@rule("Transpose")
def _transpose(call: Call) -> list:
    x = call.shape()
    perm = call.attributes["perm"] or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise call.error(f"perm {perm} is not an order of {len(x)} axes")
    return [([x[axis] for axis in perm], call.dtype())]


@rule("Squeeze")
def _squeeze(call: Call) -> list:
    x = call.shape()
    axes = call.axes(1, len(x))
    if axes is None:
        if call.given(1) or any(not isinstance(dim, int) for dim in x):
            raise call.unknown("which axes have size 1 is known only when the model runs")
        axes = [i for i, dim in enumerate(x) if dim == 1]
    for axis in axes:
        if isinstance(x[axis], int) and x[axis] != 1:
            raise call.error(f"axis {axis} has size {x[axis]}, not 1")
    return [([dim for i, dim in enumerate(x) if i not in axes], call.dtype())]


@rule("Unsqueeze")
def _unsqueeze(call: Call) -> list:
    x = call.shape()
    rank = len(x) + call.length(1) if call.rank(1) else len(x) + 1
    axes = call.axes(1, rank)
    if axes is None:
        return [([None] * rank, call.dtype())]
    old = iter(x)
    return [([1 if i in axes else next(old) for i in range(rank)], call.dtype())]


@rule("Expand")
def _expand(call: Call) -> list:
    x, target = call.shape(), call.ints(1)
    if target is None:      # a size above 1 is not changed, whatever the target will be
        lead: Dims = [None] * max(0, call.length(1) - len(x))
        return [(lead + [dim if isinstance(dim, int) and dim > 1 else None for dim in x], call.dtype())]
    if any(dim < 0 for dim in target):
        raise call.error(f"the shape {target} has a negative size")
    return [(call.broadcast(x, target), call.dtype())]


@rule("Tile")
def _tile(call: Call) -> list:
    x, repeats = call.shape(), call.ints(1)
    if repeats is None:
        return [([None] * len(x), call.dtype())]
    if len(repeats) != len(x) or any(r < 0 for r in repeats):
        raise call.error(f"repeats {repeats} do not fit {len(x)} axes")
    return [([dim if r == 1 else 0 if r == 0 else dim * r if isinstance(dim, int) else None
              for dim, r in zip(x, repeats)], call.dtype())]


@rule("Concat")
def _concat(call: Call) -> list:
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


@rule("Split")
def _split(call: Call) -> list:
    x, count = call.shape(), len(call.node.outputs)
    axis = call.axis(call.attributes["axis"], len(x))
    sizes: Dims | None = call.ints(1) if call.given(1) else None     # type: ignore[assignment]
    if sizes is None and not call.given(1):
        parts, total = call.attributes["num_outputs"] or count, x[axis]
        if parts != count:
            raise call.error(f"num_outputs is {parts}, but the node has {count} outputs")
        if isinstance(total, int):
            chunk = ceil(total / parts)
            sizes = [max(0, min(chunk, total - i * chunk)) for i in range(parts)]
        elif parts == 1:
            sizes = [total]
    elif sizes is not None and (len(sizes) != count or min(sizes) < 0            # type: ignore[type-var]
                                or (isinstance(x[axis], int) and sum(sizes) != x[axis])):  # type: ignore[arg-type]
        raise call.error(f"split {sizes} does not fit axis {axis} of size {x[axis]} and {count} outputs")
    return [([(sizes[k] if sizes else None) if i == axis else dim for i, dim in enumerate(x)], call.dtype())
            for k in range(count)]


@rule("Slice")
def _slice(call: Call) -> list:
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
        known = None not in (starts, ends, steps)
        result[axis] = sliced(x[axis], starts[k], ends[k], steps[k]) if known else None  # type: ignore[index]
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


@rule("Pad")
def _pad(call: Call) -> list:
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


@rule("Shape")
def _shape(call: Call) -> list:
    return [([len(call.shape()[call.attributes["start"]:call.attributes["end"]])], "int64")]


@rule("Size")
def _size(call: Call) -> list:
    return [([], "int64")]


@rule("NonZero")
def _nonzero(call: Call) -> list:
    return [([call.rank(), None], "int64")]


@rule("ConstantOfShape")
def _constant_of_shape(call: Call) -> list:
    target = call.ints(0)
    dtype = call.dtype(1) if call.given(1) else "float32"
    if target is not None and any(dim < 0 for dim in target):
        raise call.error(f"the shape {target} has a negative size")
    return [([None] * call.length(0) if target is None else target, dtype)]


@rule("Range")
def _range(call: Call) -> list:
    ends = [call.node.constants.get(i) for i in range(3)]
    if any(end is None for end in ends):
        return [([None], call.dtype())]
    start, limit, step = (np.ravel(end)[0] for end in ends)      # type: ignore[arg-type]
    if step == 0:
        raise call.error("the step is 0")
    return [([max(0, ceil((float(limit) - float(start)) / float(step)))], call.dtype())]


@rule("Gather")
def _gather(call: Call) -> list:
    x = call.shape()
    axis = call.axis(call.attributes["axis"], len(x))
    return [(x[:axis] + call.shape(1) + x[axis + 1:], call.dtype())]


@rule("GatherElements")
def _gather_elements(call: Call) -> list:
    if call.rank() != call.rank(1):
        raise call.error(f"data has {call.rank()} axes, indices {call.rank(1)}")
    call.axis(call.attributes["axis"], call.rank())
    return [(call.shape(1), call.dtype())]


@rule("GatherND")
def _gather_nd(call: Call) -> list:
    x, indices, batch = call.shape(), call.shape(1), call.attributes["batch_dims"]
    depth = indices[-1] if indices else 0
    if not isinstance(depth, int):
        raise call.unknown("the last axis of the indices has an unknown size, so the rank of the result is unknown")
    if not 0 <= batch < len(indices) or batch + depth > len(x):
        raise call.error(f"indices of depth {depth} do not fit {len(x)} axes with batch_dims {batch}")
    return [(indices[:-1] + x[batch + depth:], call.dtype())]


@rule("ScatterElements ScatterND")
def _scatter(call: Call) -> list:
    if "axis" in call.attributes:
        call.axis(call.attributes["axis"], call.rank())
    return [(call.shape(), call.dtype())]


@rule("TopK")
def _top_k(call: Call) -> list:
    x, k = call.shape(), call.ints(1)
    axis = call.axis(call.attributes["axis"], len(x))
    if k is not None and (k[0] < 0 or (isinstance(x[axis], int) and k[0] > x[axis])):    # type: ignore[operator]
        raise call.error(f"k = {k[0]} does not fit axis {axis} of size {x[axis]}")
    x[axis] = None if k is None else k[0]
    return [(x, call.dtype()), (x, "int64")]


@rule("OneHot")
def _one_hot(call: Call) -> list:
    shape, depth = call.shape(), call.node.constants.get(1)        # of any numeric type
    axis = call.axis(call.attributes["axis"], len(shape) + 1)
    shape.insert(axis, None if depth is None else int(depth.reshape(-1)[0]))
    return [(shape, call.dtype(2))]
