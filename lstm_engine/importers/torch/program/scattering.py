"""Operators that give a tensor with other numbers at some of its places.

Source: torch.Tensor.scatter_, index_put_, index_add_, select_scatter, slice_scatter.
"""

from __future__ import annotations

import math
from functools import partial

from .arguments import Arguments
from .elementwise import operand
from .emit import LARGE, Emitter, Length, Tensor
from .indexing import index_tuples
from .promotion import as_dtype
from .registry import aten
from .views import put_slice

new = partial(aten, fresh=True)
_REDUCTIONS = {"add": "add", "multiply": "mul", "sum": "add", "prod": "mul", "amax": "max", "amin": "min"}
_NEUTRAL = {"add": 0, "mul": 1, "max": -math.inf, "min": math.inf}


def _sizes(e: Emitter, x: Tensor) -> list[Length]:
    return [e.size(x, axis) for axis in range(x.rank)]


def _whole_places(a: Arguments, name: str, *index: Tensor) -> None:
    if any(part.dtype not in ("int64", "int32") for part in index):
        a.refuse(f"argument {name!r} of {index[0].dtype} is not supported")


def _cut_to(e: Emitter, a: Arguments, source: Tensor, index: Tensor) -> Tensor:
    """The part of the source that an index of fewer elements speaks of."""
    for axis, (have, want) in enumerate(zip(source.shape, index.shape)):
        if have != want:
            source = e.slice(source, axis, 0, e.size(index, axis))
    return Tensor(source.name, index.shape, source.dtype, source.array)


@new("scatter.src scatter.value scatter.reduce scatter.value_reduce scatter_add.default scatter_reduce.two")
def _scatter(e: Emitter, a: Arguments) -> Tensor:
    x, index = a.tensor("self"), a.tensor("index")
    _whole_places(a, "index", index)
    if x.rank != index.rank or not x.rank:
        a.wrong(f"{x.rank} and {index.rank} axes")
    axis = a.axis("dim", x.rank)
    reduction = "add" if a.op.startswith("scatter_add") else a.text("reduce", "") if a.has("reduce") else ""
    a.ignore("reduce")
    if reduction and reduction not in _REDUCTIONS:
        a.refuse(f"reduce {reduction!r:.20} is not supported")
    how = _REDUCTIONS[reduction] if reduction else "none"
    if a.has("value"):
        source = e.expand(as_dtype(e, operand(a, "value"), x.dtype), _sizes(e, index))
        source = Tensor(source.name, index.shape, source.dtype, source.array)
    else:
        source = a.tensor("src")
        if source.rank != index.rank or source.dtype != x.dtype:
            a.wrong(f"a source {source.dtype} of {source.rank} axes for {x.dtype} of {x.rank}")
        source = _cut_to(e, a, source, index)
    if not a.flag("include_self", True):
        if how == "none":
            a.wrong("include_self without reduce")
        if not x.is_float and how in ("max", "min"):
            a.refuse("include_self=False of whole numbers is not supported")
        blank = e.expand(e.constant(_NEUTRAL[how], x.dtype), _sizes(e, index))
        x = e.op("ScatterElements", x, index, Tensor(blank.name, index.shape, x.dtype, blank.array), axis=axis)
    return e.op("ScatterElements", x, index, source, axis=axis, reduction=how)


@new("index_add.default index_copy.default index_fill.int_Scalar index_fill.int_Tensor")
def _along_axis(e: Emitter, a: Arguments) -> Tensor:
    """Whole slices along one axis, by a vector of places."""
    x, index = a.tensor("self"), a.tensor("index")
    _whole_places(a, "index", index)
    if index.rank > 1 or not x.rank:
        a.wrong(f"an index of {index.rank} axes for {x.rank}")
    axis = a.axis("dim", x.rank)
    index = index if index.rank else e.unsqueeze(index, 0)
    if a.op.startswith("index_fill"):
        sizes = _sizes(e, x)
        sizes[axis] = e.size(index, 0)
        source = e.expand(as_dtype(e, operand(a, "value"), x.dtype), sizes)
    else:
        source = a.tensor("source")
        if source.rank != x.rank or source.dtype != x.dtype:
            a.wrong(f"a source {source.dtype} of {source.rank} axes for {x.dtype} of {x.rank}")
        if a.op.startswith("index_add") and a.number("alpha", 1) != 1:
            source = e.op("Mul", source, e.constant(a.number("alpha"), x.dtype))
        sizes = _sizes(e, source)
    places = e.expand(e.unsqueeze(e.cast(index, "int64"), *(i for i in range(x.rank) if i != axis)), sizes)
    places = Tensor(places.name, source.shape, "int64", places.array)
    return e.op("ScatterElements", x, places, source, axis=axis,
                reduction="add" if a.op.startswith("index_add") else "none")


@new("index_put.default")
def _index_put(e: Emitter, a: Arguments) -> Tensor:
    """x[mask] = a value, or x[i, :, j] = values that broadcast to what is read there."""
    x, given, values = a.tensor("self"), a.any("indices"), a.tensor("values")
    adds = a.flag("accumulate", False)
    if not isinstance(given, list) or not all(i is None or isinstance(i, Tensor) for i in given):
        a.wrong("indices must be tensors")
    if values.dtype != x.dtype:
        a.wrong(f"values of {values.dtype} for {x.dtype}")
    indices = [index for index in given if index is not None]
    if len(given) == 1 and len(indices) == 1 and indices[0].dtype == "bool":
        return _masked_put(e, a, x, indices[0], values, adds)
    places = [axis for axis, index in enumerate(given) if index is not None]
    if not places or len(given) > x.rank:
        a.wrong(f"{len(given)} indices for {x.rank} axes")
    if any(index.dtype == "bool" for index in indices):
        a.refuse("a mask beside other indices is not supported; use torch.where")
    _whole_places(a, "indices", *indices)
    rest = [axis for axis in range(x.rank) if axis not in places]
    at = places[0] if places == list(range(places[0], places[0] + len(places))) else 0
    tuples = index_tuples(e, indices)
    wide = tuples.rank - 1
    sizes = [e.size(tuples, axis) for axis in range(wide)], [e.size(x, axis) for axis in rest]
    shape = [*sizes[1][:at], *sizes[0], *sizes[1][at:]]         # of what is read there
    spread = e.expand(values, shape)
    order = [*range(at, at + wide), *range(at), *range(at + wide, len(shape))]
    made = e.op("ScatterND", e.transpose(x, [*places, *rest]), tuples, e.transpose(spread, order),
                reduction="add" if adds else "none")
    back = [[*places, *rest].index(axis) for axis in range(x.rank)]
    return e.transpose(made, back)


def _masked_put(e: Emitter, a: Arguments, x: Tensor, mask: Tensor, values: Tensor, adds: bool) -> Tensor:
    behind = x.rank - mask.rank
    if behind < 0 or not mask.rank:
        a.wrong(f"a mask of {mask.rank} axes for {x.rank}")
    if values.rank > behind:
        if any(dim != 1 for dim in values.shape[:values.rank - behind]):
            a.refuse("a mask with a value for each of its places, whose number is known only when the model runs, is "
                     "not supported; use torch.where")
        values = e.squeeze(values, *range(values.rank - behind))
    mask = e.unsqueeze(mask, *range(mask.rank, x.rank)) if behind else mask
    return e.op("Where", mask, e.op("Add", x, values) if adds else values, x)


@new("select_scatter.default")
def _select_scatter(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    axis = a.axis("dim", x.rank)
    return put_slice(e, a, x, e.unsqueeze(e.cast(a.tensor("src"), x.dtype), axis), axis, a.size("index"), None, 1)


@new("slice_scatter.default")
def _slice_scatter(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    start, end = a.size("start", None), a.size("end", None)
    return put_slice(e, a, x, e.cast(a.tensor("src"), x.dtype), a.axis("dim", x.rank, 0), 0 if start is None else start,
                     LARGE if end is None else end, a.whole("step", 1))
