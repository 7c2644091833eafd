"""Operators that cut, spread and interleave: windows, parts by number, grids, shuffles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from .arguments import Arguments
from .emit import LARGE, Emitter, Length, Tensor
from .guards import combined
from .promotion import as_dtype, dtype_of, promoted, result_type
from .registry import Cut, aten
from .views import MOST_PLACES, cutting, put_reshaped, put_same, reordering

new = partial(aten, fresh=True)


def _moved(a: Arguments, rank: int) -> list[int]:
    sources, targets = ([a.positive(axis, rank) for axis in a.ints(name)] for name in ("source", "destination"))
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        a.wrong(f"axes {sources} to {targets}")
    rest = iter(axis for axis in range(rank) if axis not in sources)
    where = dict(zip(targets, sources))
    return [where[axis] if axis in where else next(rest) for axis in range(rank)]


reordering("movedim.intlist moveaxis.intlist", _moved)


@aten("ravel.default", put=put_reshaped, copies=True)
def _ravel(e: Emitter, a: Arguments) -> Tensor:
    return e.reshape(a.tensor("self"), [-1])


def _tensor_cuts(a: Arguments, x: Tensor) -> list[Length]:
    """In so many parts, the first ones a step longer; or at the places named."""
    dim = x.shape[a.axis("dim", x.rank, 0)]
    if a.has("indices"):
        return [0, *a.sizes("indices"), LARGE]
    parts = a.whole("sections")
    if not isinstance(dim, int) or parts < 1 or parts > max(a.outputs, 1):
        a.refuse(f"in {parts} parts of an axis of {dim!r:.40} is not supported")
    return [i * (dim // parts) + min(i, dim % parts) for i in range(parts + 1)]


def _tensor_cut(a: Arguments, x: Tensor, at: int) -> Cut:
    cuts = _tensor_cuts(a, x)
    return Cut(a.axis("dim", x.rank, 0), cuts[at], cuts[at + 1])


@cutting("tensor_split.sections tensor_split.indices", _tensor_cut)
def _tensor_split(e: Emitter, a: Arguments) -> list[Tensor]:
    x = a.tensor("self")
    axis, cuts = a.axis("dim", x.rank, 0), _tensor_cuts(a, x)
    return [e.slice(x, axis, low, high) for low, high in zip(cuts, cuts[1:])]


@aten("unfold.default")
def _unfold(e: Emitter, a: Arguments) -> Tensor:
    """Windows of an axis: their number stands in its place, what is in them comes last."""
    x, size, step = a.tensor("self"), a.whole("size"), a.whole("step")
    if not x.rank or size < 0 or step < 1:
        a.refuse(f"windows of {size} every {step} of {x.rank} axes are not supported")
    axis = a.axis("dimension", x.rank)
    dim = x.shape[axis]
    if isinstance(dim, int) and dim < size:
        a.wrong(f"windows of {size} over {dim}")
    count = combined(e, "Add", combined(e, "FloorDiv", combined(e, "Add", e.size(x, axis), -size), step), 1)
    first = e.op("Mul", counted(e, count), e.constant(step, "int64"))
    places = e.op("Add", e.unsqueeze(first, 1), e.unsqueeze(counted(e, size), 0))
    made = e.op("Gather", x, places, axis=axis)
    order = [i for i in range(made.rank) if i != axis + 1]
    return e.transpose(made, [*order, axis + 1])


def counted(e: Emitter, count: Length) -> Tensor:
    """0, 1, ... below count."""
    made = e.op("Range", e.constant(0, "int64"), e.scalar(count), e.constant(1, "int64"))
    return Tensor(made.name, e.dims([count]), "int64", made.array)


def _common(a: Arguments, e: Emitter, tensors: Sequence[Tensor]) -> list[Length]:
    """The sizes that tensors have once they are broadcast."""
    rank = max(tensor.rank for tensor in tensors)
    sizes: list[Length] = []
    for axis in range(rank):
        found = [(t, axis - rank + t.rank) for t in tensors if axis - rank + t.rank >= 0]
        kinds = {t.shape[i]: (t, i) for t, i in found if t.shape[i] != 1}
        known = [dim for dim in kinds if isinstance(dim, int)]
        if len(known) > 1 or (not known and len(kinds) > 1):
            a.refuse(f"of sizes {list(kinds)}, of which it is not known that they fit, is not supported")
        tensor, at = kinds[known[0]] if known else next(iter(kinds.values()), found[0])
        sizes.append(e.size(tensor, at))
    return sizes


@aten("broadcast_tensors.default", put=put_same, each=True)
def _broadcast_tensors(e: Emitter, a: Arguments) -> list[Tensor]:
    tensors = a.tensors("tensors")
    sizes = _common(a, e, tensors)
    return [x if x.shape == e.dims(sizes) else e.expand(x, sizes) for x in tensors]


@aten("broadcast_to.default", put=put_same)
def _broadcast_to(e: Emitter, a: Arguments) -> Tensor:
    return e.expand(a.tensor("self"), [1 if size == -1 else size for size in a.sizes("size")])


@aten("meshgrid.default meshgrid.indexing", each=True)
def _meshgrid(e: Emitter, a: Arguments) -> list[Tensor]:
    tensors = a.tensors("tensors")
    indexing, count = a.text("indexing", "ij"), len(tensors)
    if any(t.rank > 1 for t in tensors) or indexing not in ("ij", "xy"):
        a.wrong(f"indexing {indexing!r:.20} of tensors of {[t.rank for t in tensors]} axes")
    tensors = [t if t.rank else e.unsqueeze(t, 0) for t in tensors]
    sizes = [e.size(t, 0) for t in tensors]
    spread = [e.expand(e.unsqueeze(t, *(axis for axis in range(count) if axis != i)) if count > 1 else t, sizes)
              for i, t in enumerate(tensors)]
    return [e.swap(t, 0, 1) for t in spread] if indexing == "xy" and count > 1 else spread


@new("repeat_interleave.self_int repeat_interleave.self_Tensor")
def _repeat_interleave(e: Emitter, a: Arguments) -> Tensor:
    """Each slice of an axis so many times in a row; how often is known before."""
    x, repeats = a.tensor("self"), a.any("repeats")
    a.ignore("output_size")
    if a.any("dim", None) is None:
        x, axis = e.reshape(x, [-1]), 0
    else:
        axis = a.axis("dim", x.rank)
    if isinstance(repeats, Tensor):
        dim = x.shape[axis]
        if repeats.array is None or not isinstance(dim, int) or dim > MOST_PLACES \
                or repeats.array.shape not in ((dim,), (1,), ()):
            a.refuse("repeats that are known only when the model runs, or of a long axis, are not supported")
        counts = np.broadcast_to(repeats.array, (dim,))
        if counts.min(initial=0) < 0 or counts.sum() > MOST_PLACES:
            a.refuse(f"repeats that make more than {MOST_PLACES} elements of an axis, or fewer than none")
        places, = e.derived(("repeats", repeats.name, dim), lambda: [np.repeat(np.arange(dim), counts)])
        return e.op("Gather", x, places, axis=axis)
    count = a.whole("repeats")
    if count < 0:
        a.wrong(f"{count} repeats")
    sizes = [e.size(x, i) for i in range(x.rank)]
    wide = e.expand(e.unsqueeze(x, axis + 1), [*sizes[:axis + 1], count, *sizes[axis + 1:]])
    return e.reshape(wide, [*sizes[:axis], combined(e, "Mul", sizes[axis], count), *sizes[axis + 1:]])


@new("hstack.default vstack.default dstack.default column_stack.default")
def _stacked(e: Emitter, a: Arguments) -> Tensor:
    parts = a.tensors("tensors")
    dtype, kind = result_type(parts), a.op.partition(".")[0]
    parts = [as_dtype(e, part, dtype) for part in parts]
    if kind == "hstack":
        return e.op("Concat", *(x if x.rank else e.unsqueeze(x, 0) for x in parts), axis=int(parts[0].rank > 1))
    made = []
    for x in parts:
        x = x if x.rank else e.unsqueeze(x, 0)
        if x.rank == 1:
            x = e.unsqueeze(x, 1 if kind == "column_stack" else 0)
        made.append(e.unsqueeze(x, 2) if kind == "dstack" and x.rank == 2 else x)
    return e.op("Concat", *made, axis={"vstack": 0, "column_stack": 1, "dstack": 2}[kind])


@new("diff.default")
def _diff(e: Emitter, a: Arguments) -> Tensor:
    x, times = a.tensor("self"), a.whole("n", 1)
    axis = a.axis("dim", x.rank, -1)
    if x.dtype == "bool" or not 0 <= times <= 8:
        a.refuse(f"{times} times of {x.dtype} is not supported")
    parts = [part for part in (a.optional("prepend"), x, a.optional("append")) if part is not None]
    x = e.op("Concat", *parts, axis=axis) if len(parts) > 1 else x
    for _ in range(times):
        x = e.op("Sub", e.slice(x, axis, 1, LARGE), e.slice(x, axis, 0, -1))
    return x


@new("pixel_shuffle.default")
def _pixel_shuffle(e: Emitter, a: Arguments) -> Tensor:
    x, factor = a.tensor("self"), a.whole("upscale_factor")
    if x.rank != 4:
        a.refuse(f"of {x.rank} axes is not supported")
    return e.op("DepthToSpace", x, blocksize=factor, mode="CRD")


@new("channel_shuffle.default native_channel_shuffle.default")
def _channel_shuffle(e: Emitter, a: Arguments) -> Tensor:
    x, groups = a.tensor("self"), a.whole("groups")
    channels = x.shape[1] if x.rank > 2 else None
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        a.refuse(f"{groups} groups of {channels!r:.40} channels are not supported")
    sizes = [e.size(x, axis) for axis in range(x.rank)]
    apart = e.swap(e.reshape(x, [sizes[0], groups, channels // groups, *sizes[2:]]), 1, 2)
    return e.reshape(apart, sizes)


def along_diagonal(e: Emitter, a: Arguments, x: Tensor) -> tuple[list[int], Tensor]:
    """The axes with those of the diagonal first, and the places on it, [count, 2]."""
    offset = a.whole("offset", 0)
    first, second = a.axis("dim1", x.rank, 0), a.axis("dim2", x.rank, 1)
    dims = x.shape[first], x.shape[second]
    if first == second or not isinstance(dims[0], int) or not isinstance(dims[1], int):
        a.refuse("of axes whose sizes are open is not supported")
    count = max(0, min(dims[0] + min(offset, 0), dims[1] - max(offset, 0)))
    if count > MOST_PLACES:
        a.refuse(f"of {count} elements is not supported")
    at = np.arange(count)
    places, = e.derived(("diagonal", count, offset),
                        lambda: [np.stack([at - min(offset, 0), at + max(offset, 0)], axis=1)])
    return [first, second, *(axis for axis in range(x.rank) if axis not in (first, second))], places


def _put_diagonal(e: Emitter, a: Arguments, whole: Tensor, part: Tensor, at: int) -> Tensor:
    order, places = along_diagonal(e, a, whole)
    last_first = e.transpose(part, [part.rank - 1, *range(part.rank - 1)])
    made = e.op("ScatterND", e.transpose(whole, order), places, last_first)
    return e.transpose(made, [order.index(axis) for axis in range(whole.rank)])


@aten("diagonal.default", put=_put_diagonal)
def _diagonal(e: Emitter, a: Arguments) -> Tensor:
    """The elements whose indices on two axes are the same but for an offset, on a new last axis."""
    x = a.tensor("self")
    order, places = along_diagonal(e, a, x)
    made = e.op("GatherND", e.transpose(x, order), places)
    return e.transpose(made, [*range(1, made.rank), 0])


@new("eye.default eye.m")
def _eye(e: Emitter, a: Arguments) -> Tensor:
    rows = a.whole("n")
    columns = a.whole("m", rows)
    if rows < 0 or columns < 0 or rows * columns > MOST_PLACES:
        a.refuse(f"of {rows} by {columns} is not supported")
    dtype = a.dtype("dtype", "float32")
    return e.derived(("eye", rows, columns, dtype), lambda: [np.eye(rows, columns, dtype=dtype)])[0]


@new("linspace.default")
def _linspace(e: Emitter, a: Arguments) -> Tensor:
    """From each end to the middle, as torch counts them."""
    start, end, steps = a.number("start"), a.number("end"), a.whole("steps")
    dtype = a.dtype("dtype", "float32")
    if not 0 <= steps <= MOST_PLACES or not dtype.startswith("float"):
        a.refuse(f"{steps} steps of {dtype} are not supported")
    return e.derived(("linspace", start, end, steps, dtype), lambda: [_spaced(start, end, steps, dtype)])[0]


def _spaced(start: float, end: float, steps: int, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype).type
    at = np.arange(steps)
    step = kind((end - start) / (steps - 1)) if steps > 1 else kind(0)
    made: np.ndarray = np.where(at < steps // 2 + (steps == 1), kind(start) + step * at.astype(dtype),
                                kind(end) - step * (steps - 1 - at).astype(dtype))
    return np.asarray(made, dtype)


@new("bucketize.Tensor bucketize.Scalar searchsorted.Tensor searchsorted.Scalar")
def _bucketize(e: Emitter, a: Arguments) -> Tensor:
    """How many of sorted boundaries, a vector, stand before each number; with `right` those equal to it do."""
    bucket = a.op.startswith("bucketize")
    x = a.any("self")
    boundaries = a.tensor("boundaries" if bucket else "sorted_sequence")
    if boundaries.rank != 1 or a.any("sorter", None) is not None or (not bucket and a.any("side", None) == "right"):
        a.refuse("other than a vector of sorted boundaries, with right=, is not supported")
    a.ignore("side")
    x, boundaries = promoted(e, x if isinstance(x, Tensor) else as_dtype(e, a.number("self"), dtype_of(x)), boundaries)
    over = "Greater" if a.flag("right", False) else "GreaterOrEqual"
    before = e.op("Not", e.op(over, boundaries, e.unsqueeze(x, x.rank)))
    counted = e.op("ReduceSum", e.cast(before, "int64"), e.integers(x.rank), keepdims=0)
    return e.cast(counted, "int32" if a.flag("out_int32", False) else "int64")
