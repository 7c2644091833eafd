"""Operators that move, repeat, join and cut: shapes, axes, slices. Most may share memory with what they are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from .arguments import Arguments
from .emit import LARGE, Emitter, Length, Size, Tensor
from .guards import combined, compared
from .promotion import as_dtype, result_type
from .registry import Cut, aten
from .views import cutting, put_reshaped, put_same, reordering


@aten("alias.default detach.default detach_.default lift_fresh.default conj.default resolve_conj.default"
      " resolve_neg.default positive.default", put=put_same)
def _same(e: Emitter, a: Arguments) -> Tensor:
    return a.tensor("self")


@aten("contiguous.default", put=put_same, copies=True)
def _contiguous(e: Emitter, a: Arguments) -> Tensor:
    return a.tensor("self")


@aten("clone.default lift_fresh_copy.default detach_copy.default alias_copy.default", fresh=True)
def _copied(e: Emitter, a: Arguments) -> Tensor:
    return a.tensor("self")


@aten("_to_copy.default", fresh=True)
@aten("to.dtype to.dtype_layout to.device type_as.default to.other", put=put_same, copies=True)
def _to(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    if a.has("other"):
        return e.cast(x, a.tensor("other").dtype)
    dtype = a.dtype("dtype", x.dtype)
    if a.stands_for("dtype", "float16"):            # rounded so, and computed with in float32
        x = e.cast(x, "float16")
    return e.cast(x, dtype)


def filled_in(e: Emitter, a: Arguments, x: Tensor, sizes: Sequence[Length]) -> list[Length]:
    """The sizes with -1 worked out where all else is known: a size that is the input's stays a symbol."""
    if sizes.count(-1) != 1:
        return list(sizes)
    given = [e.dims([size])[0] for size in sizes if size != -1]
    known = prod(dim for dim in x.shape if isinstance(dim, int))
    wanted = prod(dim for dim in given if isinstance(dim, int))
    have, asked = (Counter(dim for dim in dims if isinstance(dim, str)) for dims in (x.shape, given))
    if asked - have:
        return list(sizes)          # a size that is none of x's: its relation to them is not known
    left = list((have - asked).elements())
    if not left and wanted and known % wanted == 0:
        return [known // wanted if size == -1 else size for size in sizes]
    if len(left) == 1 and known == wanted:
        return [e.size(x, x.shape.index(left[0])) if size == -1 else size for size in sizes]
    return list(sizes)


@aten("view.default _unsafe_view.default", put=put_reshaped)
@aten("reshape.default", put=put_reshaped, copies=True)
def _view(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.reshape(x, filled_in(e, a, x, a.sizes("size" if a.has("size") or not a.has("shape") else "shape")))


@aten("view_as.default", put=put_reshaped)
@aten("reshape_as.default", put=put_reshaped, copies=True)
def _view_as(e: Emitter, a: Arguments) -> Tensor:
    other = a.tensor("other")
    return e.reshape(a.tensor("self"), [e.size(other, axis) for axis in range(other.rank)])


@aten("flatten.using_ints", put=put_reshaped, copies=True)
def _flatten(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    if not x.rank:
        return e.reshape(x, [1])
    first, last = a.axis("start_dim", x.rank, 0), a.axis("end_dim", x.rank, -1)
    if first == last:
        return x
    merged = x.shape[first:last + 1]
    known = [dim for dim in merged if isinstance(dim, int)]
    middle = prod(known) if len(known) == len(merged) else -1
    sizes = [e.size(x, axis) for axis in range(x.rank)]
    return e.reshape(x, [*sizes[:first], middle, *sizes[last + 1:]])


@aten("unflatten.int", put=put_reshaped)
def _unflatten(e: Emitter, a: Arguments) -> Tensor:
    x, sizes = a.tensor("self"), a.sizes("sizes")
    axis = a.axis("dim", x.rank)
    dim = x.shape[axis]
    known = [s for s in sizes if isinstance(s, int)]
    if known.count(-1) == 1 and isinstance(dim, int) and len(known) == len(sizes):
        rest = prod(s for s in known if s != -1)
        if not rest or dim % rest:
            a.wrong(f"{dim} elements do not divide into {sizes}")
        sizes = [dim // rest if s == -1 else s for s in sizes]
    around = [e.size(x, i) for i in range(x.rank)]
    return e.reshape(x, [*around[:axis], *sizes, *around[axis + 1:]])


def _permuted(a: Arguments, rank: int) -> list[int]:
    perm = [a.positive(axis, rank) for axis in a.ints("dims")]
    return perm if sorted(perm) == list(range(rank)) else a.wrong(f"{perm} is no order of {rank} axes")


def _swapped(a: Arguments, rank: int) -> list[int]:
    names = ("dim0", "dim1") if a.has("dim0") else ("axis0", "axis1")
    first, second = (a.axis(name, rank) for name in names)
    perm = list(range(rank))
    if rank:
        perm[first], perm[second] = second, first
    return perm


def _turned(a: Arguments, rank: int) -> list[int]:
    return list(range(rank))[::-1]


def _matrix_turned(a: Arguments, rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2] if rank >= 2 else a.wrong("needs two axes")


def _moved(a: Arguments, rank: int) -> list[int]:
    perm = list(range(rank))
    source = perm.pop(a.axis("source", rank))
    perm.insert(a.axis("destination", rank), source)
    return perm


reordering("permute.default", _permuted)
reordering("transpose.int swapaxes.default swapdims.default", _swapped)
reordering("t.default numpy_T.default", _turned)
reordering("mT.default mH.default adjoint.default matrix_H.default", _matrix_turned)
reordering("movedim.int moveaxis.int", _moved)


@aten("unsqueeze.default", put=put_reshaped)
def _unsqueeze(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.unsqueeze(x, a.axis("dim", x.rank + 1))


@aten("squeeze.default squeeze.dim squeeze.dims", put=put_reshaped)
def _squeeze(e: Emitter, a: Arguments) -> Tensor:
    """Axes of size 1 go, others stay. Those of open sizes stay on the condition that they are not 1 in a run, or go, if
    the program says so, on the condition that they are."""
    x = a.tensor("self")
    axes = a.axes("dim", x.rank)
    gone = [axis for axis in axes if x.shape[axis] == 1]
    unsure = [axis for axis in axes if isinstance(x.shape[axis], str)]
    drops = bool(unsure) and a.rank == x.rank - len(gone) - len(unsure)
    for axis in unsure:
        text = "1" if drops else "not 1 (name the axis, as in squeeze(-1), to be free of this)"
        e.require(f"axis {axis} of what {a.label} drops axes of is {text}",
                  compared(e, "eq" if drops else "ne", e.size(x, axis), 1))
    return e.squeeze(x, *sorted(gone + unsure if drops else gone))


@aten("expand.default", put=put_same)
def _expand(e: Emitter, a: Arguments) -> Tensor:
    x, sizes = a.tensor("self"), a.sizes("size")
    a.ignore("implicit")
    if len(sizes) < x.rank:
        a.wrong(f"{len(sizes)} sizes for {x.rank} axes")
    return e.expand(x, [1 if size == -1 else size for size in sizes])


@aten("expand_as.default", put=put_same)
def _expand_as(e: Emitter, a: Arguments) -> Tensor:
    other = a.tensor("other")
    return e.expand(a.tensor("self"), [e.size(other, axis) for axis in range(other.rank)])


@aten("repeat.default tile.default", fresh=True)
def _repeat(e: Emitter, a: Arguments) -> Tensor:
    x, repeats = a.tensor("self"), a.sizes("repeats" if a.has("repeats") else "dims")
    repeats = [*[1] * (x.rank - len(repeats)), *repeats]
    lead = len(repeats) - x.rank
    x = e.unsqueeze(x, *range(lead)) if lead else x
    if all(repeat == 1 or dim == 1 for repeat, dim in zip(repeats, x.shape)):
        return e.expand(x, repeats)
    made = e.op("Tile", x, e.lengths(repeats))
    if made.array is not None:
        return made
    shape = tuple(new if old == 1 else old if new == 1 else known
                  for old, new, known in zip(x.shape, e.dims(repeats), made.shape))
    return Tensor(made.name, shape, made.dtype)


@aten("cat.default concat.default concatenate.default", fresh=True)
def _cat(e: Emitter, a: Arguments) -> Tensor:
    given = a.tensors("tensors")
    parts = [t for t in given if t.shape != (0,)] or given[:1]      # empty vectors do not count, whatever the rank
    dtype = result_type(given)
    axis = a.axis("dim", parts[0].rank, 0)
    return e.op("Concat", *(as_dtype(e, part, dtype) for part in parts), axis=axis)


@aten("stack.default", fresh=True)
def _stack(e: Emitter, a: Arguments) -> Tensor:
    parts = a.tensors("tensors")
    dtype, axis = result_type(parts), a.axis("dim", parts[0].rank + 1, 0)
    return e.op("Concat", *(e.unsqueeze(as_dtype(e, part, dtype), axis) for part in parts), axis=axis)


def _selected(a: Arguments, x: Tensor, at: int) -> Cut:
    return Cut(a.axis("dim", x.rank), a.size("index"), None)


@cutting("select.int", _selected, drops=True)
def _select(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    axis, index = a.axis("dim", x.rank), a.size("index")
    return e.op("Gather", x, e.scalar(index), axis=axis)


def _sliced(a: Arguments, x: Tensor, at: int) -> Cut:
    start, end = a.size("start", None), a.size("end", None)
    return Cut(a.axis("dim", x.rank, 0), 0 if start is None else start, LARGE if end is None else end,
               a.whole("step", 1))


@cutting("slice.Tensor", _sliced)
def _slice(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    cut = _sliced(a, x, 0)
    if cut.step < 1:
        a.wrong(f"a step of {cut.step}")
    axis, start, end, step = cut.axis, cut.start, cut.end, cut.step
    assert end is not None
    if start == 0 and end == LARGE and step == 1:
        return x
    made = e.slice(x, axis, start, end, step)
    if made.array is None and start == 0 and step == 1 and isinstance(end, Size) and end.symbol == x.shape[axis]:
        return x
    return made


def _narrowed(a: Arguments, x: Tensor, at: int) -> Cut:
    start, length = a.whole("start"), a.whole("length")
    axis = a.axis("dim", x.rank)
    dim = x.shape[axis]
    if start < 0:
        start = start + dim if isinstance(dim, int) else a.refuse("a start counted from an end that is open")
    return Cut(axis, start, start + length)


@cutting("narrow.default", _narrowed)
def _narrow(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    cut = _narrowed(a, x, 0)
    assert cut.end is not None
    return e.slice(x, cut.axis, cut.start, cut.end)


@aten("flip.default fliplr.default flipud.default", fresh=True)
def _flip(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    axes = a.ints("dims") if a.op.startswith("flip.") else [int(a.op.startswith("fliplr"))]
    for axis in [a.positive(axis, x.rank) for axis in axes]:
        x = e.op("Slice", x, e.integers(-1), e.integers(-LARGE), e.integers(axis), e.integers(-1), shape=x.shape)
    return x


@aten("roll.default", fresh=True)
def _roll(e: Emitter, a: Arguments) -> Tensor:
    x, shifts = a.tensor("self"), a.ints("shifts")
    axes = [a.positive(axis, x.rank) for axis in a.ints("dims", [])]
    if not axes and len(shifts) == 1 and x.rank != 1:
        sizes = [e.size(x, axis) for axis in range(x.rank)]
        return e.reshape(_rolled(e, e.reshape(x, [-1]), [0], shifts), sizes)
    return _rolled(e, x, axes or [0], shifts) if len(axes or [0]) == len(shifts) else \
        a.wrong(f"{len(shifts)} shifts of {len(axes)} axes")


def _rolled(e: Emitter, x: Tensor, axes: Sequence[int], shifts: Sequence[int]) -> Tensor:
    for axis, shift in zip(axes, shifts):
        dim = x.shape[axis]
        cut: Length = (-shift % dim if dim else 0) if isinstance(dim, int) else \
            combined(e, "Mod", -shift, e.size(x, axis))
        if cut:
            parts = e.slice(x, axis, cut, LARGE), e.slice(x, axis, 0, cut)
            x = e.op("Concat", *parts, axis=axis, shape=x.shape)
    return x


def _parts(a: Arguments, x: Tensor) -> list[int]:
    """The sizes of the parts of an axis."""
    dim = x.shape[a.axis("dim", x.rank, 0)]
    if a.has("split_sizes") or isinstance(a.any("split_size", None), list):
        sizes = a.ints("split_sizes") if a.has("split_sizes") else a.ints("split_size")
    elif not isinstance(dim, int):
        a.refuse("the number of parts of an axis whose size is open is not known")
    else:
        size = a.whole("split_size") if a.has("split_size") else -(-dim // max(a.whole("chunks"), 1))
        if size < 1 or -(-dim // size) > max(a.outputs, 1):
            a.wrong(f"{a.outputs} results of {dim} in parts of {size}")
        sizes = [min(size, dim - start) for start in range(0, dim, size)] or [0]
    if sizes and isinstance(dim, int) and sum(sizes) != dim:
        a.wrong(f"parts of {sizes} for {dim}")
    return sizes


def _part(a: Arguments, x: Tensor, at: int) -> Cut:
    sizes = _parts(a, x)
    return Cut(a.axis("dim", x.rank, 0), sum(sizes[:at]), sum(sizes[:at + 1]))


@cutting("split.Tensor chunk.default split_with_sizes.default split.sizes unsafe_split.Tensor unsafe_chunk.default",
         _part)
def _split(e: Emitter, a: Arguments) -> list[Tensor]:
    x = a.tensor("self")
    axis, sizes = a.axis("dim", x.rank, 0), _parts(a, x)
    return e.several("Split", len(sizes), x, e.integers(*sizes), axis=axis) if len(sizes) > 1 else [x]


def _unbound(a: Arguments, x: Tensor, at: int) -> Cut:
    return Cut(a.axis("dim", x.rank, 0), at, None)


@cutting("unbind.int", _unbound, drops=True)
def _unbind(e: Emitter, a: Arguments) -> list[Tensor]:
    x = a.tensor("self")
    axis = a.axis("dim", x.rank, 0)
    dim = x.shape[axis]
    if not isinstance(dim, int):
        a.refuse("the number of parts of an axis whose size is open is not known")
    if dim != a.outputs:
        a.wrong(f"{a.outputs} results of an axis of {dim}")
    return [e.op("Gather", x, e.constant(i, "int64"), axis=axis) for i in range(dim)]


@aten("constant_pad_nd.default pad.default", fresh=True)
def _pad(e: Emitter, a: Arguments) -> Tensor:
    x, pads, mode = a.tensor("self"), a.ints("pad"), a.text("mode", "constant")
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in modes or len(pads) % 2 or len(pads) > 2 * x.rank:
        a.refuse(f"mode {mode!r} with {len(pads)} pads is not supported")
    value = a.number("value", 0)
    axes = [x.rank - 1 - i for i in range(len(pads) // 2)]
    fill = e.constant(0 if value is None else value, x.dtype) if mode == "constant" else None
    return e.op("Pad", x, e.integers(*pads[::2], *pads[1::2]), fill, e.integers(*axes), mode=modes[mode])
