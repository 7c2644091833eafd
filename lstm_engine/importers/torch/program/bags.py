"""nn.EmbeddingBag: rows of a table, summed, averaged or their greatest, bag by bag.

Which bag an id is of is a running count of the bags that have begun, so the work grows with the ids alone.
"""

from __future__ import annotations

import math
from functools import partial

from .arguments import Arguments
from .emit import Emitter, Length, Tensor
from .guards import combined
from .registry import aten

new = partial(aten, fresh=True)
_SUM, _MEAN, _MAX = 0, 1, 2


@new("embedding_bag.padding_idx embedding_bag.default _embedding_bag_forward_only.default _embedding_bag.default")
def _embedding_bag(e: Emitter, a: Arguments) -> list[Tensor | None]:
    table, ids, offsets = a.tensor("weight"), a.tensor("indices"), a.tensor("offsets")
    a.ignore("scale_grad_by_freq", "sparse")        # they matter to training alone
    mode, shares, padding = a.whole("mode", _SUM), a.optional("per_sample_weights"), a.any("padding_idx", None)
    if table.rank != 2 or ids.rank != 1 or offsets.rank != 1 or ids.dtype not in ("int32", "int64"):
        a.wrong(f"needs a matrix, ids and where each bag begins, got {list(table.shape)}, {ids.dtype} "
                f"{list(ids.shape)} and {list(offsets.shape)}")
    if mode not in (_SUM, _MEAN, _MAX) or (shares is not None and mode != _SUM):
        a.wrong(f"mode {mode}")
    if padding is not None and (type(padding) is not int or padding < -1):
        a.wrong(f"padding_idx {padding!r:.20}")
    ids, offsets = e.cast(ids, "int64"), e.cast(offsets, "int64")
    zero, one = e.constant(0, "int64"), e.constant(1, "int64")
    count = e.size(ids, 0)
    e.require("the first offset is 0", e.op("Equal", e.op("Gather", offsets, zero, axis=0), zero))
    if a.flag("include_last_offset", False):
        last = e.op("Gather", offsets, e.constant(-1, "int64"), axis=0)
        e.require("the last offset is the number of ids", e.op("Equal", last, e.scalar(count)))
        offsets = e.slice(offsets, 0, 0, -1)
    bags, features = e.size(offsets, 0), e.size(table, 1)
    bag = _bag_of(e, offsets, count, one)
    rows = e.op("Gather", table, ids, axis=0)
    real = None if padding in (None, -1) else e.op("Not", e.op("Equal", ids, e.constant(padding, "int64")))
    if shares is not None:
        rows = e.op("Mul", rows, e.unsqueeze(shares, 1))
    wide = e.expand(e.unsqueeze(bag, 1), [count, features])
    fill = -math.inf if mode == _MAX else 0
    if real is not None:
        rows = e.op("Where", e.unsqueeze(real, 1), rows, e.constant(fill, table.dtype))
    blank = e.full([bags, features], fill, table.dtype)
    y = e.op("ScatterElements", blank, wide, rows, axis=0, reduction="max" if mode == _MAX else "add")
    if mode == _MAX:
        counted = _count(e, bag, real, bags, count)
        y = e.op("Where", e.unsqueeze(e.op("Equal", counted, zero), 1), e.constant(0, table.dtype), y)
    if mode == _MEAN:
        counted = e.op("Max", _count(e, bag, real, bags, count), one)
        y = e.op("Div", y, e.unsqueeze(e.cast(counted, table.dtype), 1))
    y = Tensor(y.name, e.dims([bags, features]), y.dtype, y.array)
    return [y, None, None, None]


def _bag_of(e: Emitter, offsets: Tensor, count: Length, one: Tensor) -> Tensor:
    """[ids]: the number of the bag that each id is of. Bags that begin at the end, empty ones, count at a place of its
    own behind the ids; several that begin at one place count there together."""
    places = e.full([combined(e, "Add", count, 1)], 0, "int64")
    ones = e.expand(one, [e.size(offsets, 0)])
    begun = e.op("ScatterElements", places, offsets, Tensor(ones.name, offsets.shape, "int64", ones.array), axis=0,
                 reduction="add")
    bag = e.op("Sub", e.op("CumSum", begun, e.constant(0, "int64")), one)
    made = e.slice(bag, 0, 0, -1)
    return Tensor(made.name, e.dims([count]), "int64", made.array)


def _count(e: Emitter, bag: Tensor, real: Tensor | None, bags: Length, count: Length) -> Tensor:
    """[bags]: how many ids each has, padding left out."""
    ones = e.expand(e.constant(1, "int64"), [count]) if real is None else e.cast(real, "int64")
    ones = Tensor(ones.name, bag.shape, "int64", ones.array)
    return e.op("ScatterElements", e.full([bags], 0, "int64"), bag, ones, axis=0, reduction="add")
