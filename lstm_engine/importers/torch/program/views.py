"""Writes through views: what the whole tensor is after one of its views has other numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ....graph.nodes import Dim
from .arguments import Arguments, kind
from .emit import LARGE, Emitter, Length, Size, Tensor
from .registry import Cut, Writer, aten

MOST_PLACES = 1 << 20       # along an axis, of what is written as a list of places


def put_same(e: Emitter, a: Arguments, whole: Tensor, part: Tensor, at: int) -> Tensor:
    """Of a view that has the same shape."""
    if part.rank != whole.rank or any(said != found for said, found in zip(whole.shape, part.shape)):
        a.refuse("a write through a tensor that is spread out is not supported; clone() it before")
    return part


def put_reshaped(e: Emitter, a: Arguments, whole: Tensor, part: Tensor, at: int) -> Tensor:
    """Of a view that has the same elements in the same order."""
    made = e.reshape(part, [e.size(whole, axis) for axis in range(whole.rank)])
    return Tensor(made.name, whole.shape, made.dtype, made.array)


def reordering(names: str, order: Callable[[Arguments, int], Sequence[int]]) -> None:
    """Register operators that put axes in another order. order: of the arguments and the number of axes."""
    def put(e: Emitter, a: Arguments, whole: Tensor, part: Tensor, at: int) -> Tensor:
        perm = list(order(a, whole.rank))
        return e.transpose(part, [perm.index(axis) for axis in range(whole.rank)])

    @aten(names, put=put)
    def write(e: Emitter, a: Arguments) -> Tensor:
        x = a.tensor("self")
        return e.transpose(x, order(a, x.rank))


def cutting(names: str, cut: Callable[[Arguments, Tensor, int], Cut], drops: bool = False
            ) -> Callable[[Writer], Writer]:
    """Register operators whose results are each a part of one axis. drops: the axis is not in the result."""
    def put(e: Emitter, a: Arguments, whole: Tensor, part: Tensor, at: int) -> Tensor:
        place = cut(a, whole, at)
        part = e.unsqueeze(part, place.axis) if drops else part
        return put_slice(e, a, whole, part, place.axis, place.start, place.end, place.step)

    return aten(names, put=put, cut=cut)


def put_slice(e: Emitter, a: Arguments, x: Tensor, part: Tensor, axis: int, start: Length, end: Length | None,
              step: int) -> Tensor:
    """x with `part` in place of the slice [start, end) of an axis; end None: of the one element at `start`.

    Raises UnsupportedError for places that cannot be told apart from those that stay.
    """
    dim = x.shape[axis]
    if step != 1:
        return _put_steps(e, a, x, part, axis, start, end, step)
    if end is None:
        if not isinstance(start, int):
            a.refuse("a place that is known only when the model runs is not supported")
        end = LARGE if start == -1 else start + 1
    if isinstance(end, Size) and end.symbol == dim:
        end = LARGE
    if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int):
        start, end = (min(max(place + dim if place < 0 else place, 0), dim) for place in (start, end))
    if isinstance(start, int) and isinstance(end, int) and (start < 0) == (end < 0):
        end = max(start, end)
    elif not (end == LARGE or start == 0):
        a.refuse(f"a slice from {kind(start)} to {kind(end)} of an axis whose size is open is not supported")
    parts = [] if start == 0 else [e.slice(x, axis, 0, start)]
    parts.append(part)
    if not (end == LARGE or end == dim):
        parts.append(e.slice(x, axis, end, LARGE))
    made = e.op("Concat", *parts, axis=axis) if len(parts) > 1 else part
    if any(isinstance(said, int) and isinstance(found, int) and said != found
           for said, found in zip(x.shape, made.shape)):
        a.wrong(f"{list(part.shape)} does not fit the slice of {list(x.shape)}")
    return Tensor(made.name, x.shape, made.dtype, made.array)


def _put_steps(e: Emitter, a: Arguments, x: Tensor, part: Tensor, axis: int, start: Length, end: Length | None,
               step: int) -> Tensor:
    """Every `step`-th element, by their numbers."""
    dim = x.shape[axis]
    if not isinstance(dim, int) or not isinstance(start, int) or not isinstance(end, int) or step < 1:
        a.refuse("steps over an axis whose size is open are not supported")
    places = range(*slice(start, end, step).indices(dim))
    if len(places) > MOST_PLACES:
        a.refuse(f"of {len(places)} steps is not supported")
    numbers, = e.derived(("steps", places), lambda: [np.array(places, np.int64)])
    order = [axis, *(i for i in range(x.rank) if i != axis)]
    made = e.op("ScatterND", e.transpose(x, order), e.unsqueeze(numbers, 1), e.transpose(part, order))
    return e.transpose(made, [order.index(i) for i in range(x.rank)])


def apart(first: Cut, second: Cut, dim: Dim) -> bool:
    """Whether two parts of an axis of `dim` elements certainly have none in common."""
    one, other = _bounds(first, dim), _bounds(second, dim)
    if first.axis != second.axis or one is None or other is None:
        return False
    (low, high), (other_low, other_high) = one, other
    if (low < 0) != (other_low < 0):
        return False                # one is counted from the beginning, the other from an end that is open
    if first.step == second.step and low % first.step != other_low % first.step:
        return True
    return high <= other_low or other_high <= low


def _bounds(cut: Cut, dim: Dim) -> tuple[int, int] | None:
    """Where a part begins and ends, both from the beginning or both from the end; None where that is not known."""
    start, end = cut.start, cut.end
    if end is None and isinstance(start, int):
        end = LARGE if start == -1 else start + 1
    if not isinstance(start, int) or not isinstance(end, int):
        return None
    if isinstance(dim, int):
        start, end, _ = slice(start, end).indices(dim)
    return (start, end) if (start < 0) == (end < 0) or end == LARGE else None
