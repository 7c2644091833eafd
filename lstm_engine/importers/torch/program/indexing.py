"""Operators that pick elements by index, order them, or make tensors out of nothing but sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .arguments import Arguments
from .elementwise import operand
from .emit import Emitter, Length, Size, Tensor
from .promotion import as_dtype, dtype_of
from .registry import aten

new = partial(aten, fresh=True)
_IDS = ("int32", "int64", "uint8")


@new("embedding.default")
def _embedding(e: Emitter, a: Arguments) -> Tensor:
    table, ids = a.tensor("weight"), a.tensor("indices")
    a.ignore("padding_idx", "scale_grad_by_freq", "sparse")         # they matter to training alone
    if table.rank != 2 or ids.dtype not in _IDS:
        a.wrong(f"needs a matrix and whole numbers, got {list(table.shape)} and {ids.dtype}")
    return e.op("Gather", table, ids, axis=0)


@new("index_select.default")
def _index_select(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.op("Gather", x, a.tensor("index"), axis=a.axis("dim", x.rank))


@new("take.default")
def _take(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Gather", e.reshape(a.tensor("self"), [-1]), a.tensor("index"), axis=0)


@new("gather.default")
def _gather(e: Emitter, a: Arguments) -> Tensor:
    """torch lets the index be smaller than the data on the other axes, as ONNX does."""
    x, index = a.tensor("self"), a.tensor("index")
    a.ignore("sparse_grad")
    if x.rank != index.rank or not x.rank:
        a.wrong(f"{x.rank} and {index.rank} axes")
    axis = a.axis("dim", x.rank)
    for i in range(x.rank):     # NumPy would broadcast an index of size 1 that torch takes as it is
        if i != axis and not (x.shape[i] == index.shape[i] or index.shape[i] == 1):
            index_dim, dim = index.shape[i], x.shape[i]
            if isinstance(index_dim, int) and isinstance(dim, int) and index_dim > dim:
                a.wrong(f"axis {i} of the index has {index_dim} elements, the data {dim}")
    return e.op("GatherElements", x, index, axis=axis)


@new("index.Tensor")
def _index(e: Emitter, a: Arguments) -> Tensor:
    """x[i, j, :, k]: the indices broadcast; their axes stand where the first was, or in front if they are apart. By a
    mask, x[mask]: what stands where it is true, in order."""
    x, given = a.tensor("self"), a.any("indices")
    if not isinstance(given, list) or not all(i is None or isinstance(i, Tensor) for i in given):
        a.wrong("indices must be tensors")
    places = [axis for axis, index in enumerate(given) if index is not None]
    indices = [index for index in given if index is not None]
    if len(given) == 1 and indices and indices[0].dtype == "bool":
        mask = indices[0]
        if not 1 <= mask.rank <= x.rank:
            a.wrong(f"a mask of {mask.rank} axes for {x.rank}")
        return e.op("GatherND", x, e.transpose(e.op("NonZero", mask), (1, 0)))
    if not places or len(given) > x.rank or any(index.dtype not in ("int32", "int64") for index in indices):
        a.refuse("indices that are bytes, or truth values beside others, are not supported")
    rest = [axis for axis in range(x.rank) if axis not in places]
    at = places[0] if places == list(range(places[0], places[0] + len(places))) else 0
    if len(indices) == 1:
        made = e.op("Gather", x, indices[0], axis=places[0])
        return made
    tuples = index_tuples(e, indices)
    wide = tuples.rank - 1
    made = e.op("GatherND", e.transpose(x, [*places, *rest]), tuples)
    front, tail = list(range(wide)), list(range(wide, wide + len(rest)))
    return e.transpose(made, tail[:at] + front + tail[at:])


def index_tuples(e: Emitter, indices: Sequence[Tensor]) -> Tensor:
    """Indices of several axes as tuples, [*what they broadcast to, axes]."""
    wide = max(index.rank for index in indices)
    zero = e.constant(0, "int64")
    total = e.cast(indices[0], "int64")
    for index in indices[1:]:
        total = e.op("Add", total, e.op("Mul", e.cast(index, "int64"), zero))
    total = e.op("Mul", total, zero)        # of the shape that all indices have together, and 0
    return e.op("Concat", *(e.unsqueeze(e.op("Add", e.cast(index, "int64"), total), wide) for index in indices),
                axis=wide)


@new("argmax.default argmin.default")
def _arg(e: Emitter, a: Arguments) -> Tensor:
    x, keep, dim = a.tensor("self"), a.flag("keepdim", False), a.any("dim", None)
    op_type = "ArgMax" if a.op.startswith("argmax.") else "ArgMin"
    if x.dtype == "bool":
        a.refuse("of truth values is not supported")
    if dim is None:
        if keep:
            a.refuse("keepdim without dim is not supported")
        return e.op(op_type, e.reshape(x, [-1]), axis=0, keepdims=0)
    return e.op(op_type, x, axis=a.axis("dim", x.rank), keepdims=int(keep))


@new("topk.default")
def _topk(e: Emitter, a: Arguments) -> list[Tensor]:
    x = a.tensor("self")
    a.ignore("sorted")
    return e.several("TopK", 2, x, e.as_tensor(a.size("k")), axis=a.axis("dim", x.rank, -1),
                     largest=int(a.flag("largest", True)))


@new("sort.default sort.stable")
def _sort(e: Emitter, a: Arguments) -> list[Tensor]:
    x = a.tensor("self")
    a.ignore("stable")
    axis = a.axis("dim", x.rank, -1)
    return e.several("TopK", 2, x, e.as_tensor(e.size(x, axis)), axis=axis,
                     largest=int(a.flag("descending", False)))


@new("argsort.default argsort.stable")
def _argsort(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    axis = a.axis("dim", x.rank, -1)
    a.ignore("stable")
    return e.several("TopK", 2, x, e.as_tensor(e.size(x, axis)), axis=axis,
                     largest=int(a.flag("descending", False)))[1]


@new("msort.default")
def _msort(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.several("TopK", 2, x, e.as_tensor(e.size(x, 0)), axis=0, largest=0)[0] if x.rank else x


@new("take_along_dim.default")
def _take_along_dim(e: Emitter, a: Arguments) -> Tensor:
    x, index = a.tensor("self"), a.tensor("indices")
    if a.any("dim", None) is None or x.rank != index.rank:
        a.refuse("without dim, or of other numbers of axes, is not supported")
    axis = a.axis("dim", x.rank)
    for i in range(x.rank):
        if i != axis and x.shape[i] != index.shape[i]:
            a.refuse(f"data {list(x.shape)} and indices {list(index.shape)} that must be broadcast are not supported")
    return e.op("GatherElements", x, index, axis=axis)


@new("cumsum.default cumprod.default")
def _cumulated(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    x = e.cast(x, a.dtype("dtype", x.dtype if x.is_float else "int64"))
    return e.op("CumSum" if a.op.startswith("cumsum") else "CumProd", x, e.constant(a.axis("dim", x.rank), "int64"))


@new("tril.default triu.default")
def _triangle(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.op("Trilu", x, e.constant(a.whole("diagonal", 0), "int64"), upper=int(a.op.startswith("triu.")))


@new("one_hot.default")
def _one_hot(e: Emitter, a: Arguments) -> Tensor:
    ids, classes = a.tensor("self"), a.whole("num_classes", -1)
    if classes < 1:
        a.refuse("needs num_classes")
    return e.op("OneHot", ids, e.constant(classes, "int64"), e.constant([0, 1], "int64"))


# What `empty` makes torch leaves undefined until it is written: any number is right there, and zeros are the same in
# every run.
@new("zeros.default ones.default full.default empty.memory_format")
def _filled(e: Emitter, a: Arguments) -> Tensor:
    return _full(e, a, a.sizes("size"), "float32")


@new("zeros_like.default ones_like.default full_like.default empty_like.default")
def _filled_like(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return _full(e, a, [e.size(x, axis) for axis in range(x.rank)], x.dtype)


@new("new_zeros.default new_ones.default new_full.default new_empty.default")
def _new_filled(e: Emitter, a: Arguments) -> Tensor:
    return _full(e, a, a.sizes("size"), a.tensor("self").dtype)


def _full(e: Emitter, a: Arguments, sizes: Sequence[Length], dtype: str) -> Tensor:
    """zeros, ones or full; a dtype is that of the argument, else `dtype`, else (full) that of the number."""
    fill = operand(a, "fill_value") if "full" in a.op else int("ones" in a.op)
    if a.op == "full.default":
        dtype = dtype_of(fill)
    dtype = a.dtype("dtype", dtype)
    if isinstance(fill, (Size, Tensor)):
        return e.expand(as_dtype(e, fill, dtype), sizes)
    return e.full(sizes, fill, dtype)


@new("fill.Scalar fill.Tensor zero.default")
def _fill(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    value = operand(a, "value") if a.op.startswith("fill.") else 0
    return e.expand(as_dtype(e, value, x.dtype), [e.size(x, axis) for axis in range(x.rank)])


@new("copy.default")
def _copy(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    return e.expand(e.cast(a.tensor("src"), x.dtype), [e.size(x, axis) for axis in range(x.rank)])


@new("scalar_tensor.default")
def _scalar_tensor(e: Emitter, a: Arguments) -> Tensor:
    value = operand(a, "s")
    return as_dtype(e, value, a.dtype("dtype", "float32"))


@new("arange.default arange.start arange.start_step")
def _arange(e: Emitter, a: Arguments) -> Tensor:
    ends = [operand(a, name) if a.has(name) else default for name, default in
            (("start", 0), ("end", 0), ("step", 1))]
    a.ignore("start", "end", "step")
    floating = any(isinstance(end, float) for end in ends)
    dtype = a.dtype("dtype", "float32" if floating else "int64")
    inner = "float64" if floating else "int64"
    made = e.op("Range", *(as_dtype(e, end, inner) for end in ends))
    if made.array is None and ends[0] == 0 and ends[2] == 1 and isinstance(ends[1], Size):
        made = Tensor(made.name, e.dims([ends[1]]), made.dtype)
    return e.cast(made, dtype)


