"""Values that are others with their axes moved, merged, split or picked: transposes and reshapes as algebra.

ONNX models keep recurrent states and sequences in layouts that differ from ours, and wrap them in Transpose,
Squeeze, Reshape, Slice and Concat. Here such a value is a view of a root value; only where a view is needed as
an array, and is not the root itself, do operators remain (see `layouts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ....graph.nodes import Dim


@dataclass(frozen=True)
class View:
    """A view of `root`, whose axes are products of factors.

    factors: (axis of the root, size) in the root's order; sizes of 1 have no factor.
    axes: for each axis of the view the factors merged into it, by index; () is an axis of size 1.
    picks: (factor, index): only that index of the factor is seen, and no axis has it.
    """

    root: str
    factors: tuple[tuple[int, Dim], ...]
    axes: tuple[tuple[int, ...], ...]
    picks: tuple[tuple[int, int], ...] = ()

    @classmethod
    def whole(cls, root: str, shape: Sequence[Dim]) -> View:
        """The root itself."""
        factors = tuple((axis, dim) for axis, dim in enumerate(shape) if dim != 1)
        index = {axis: i for i, (axis, _) in enumerate(factors)}
        return cls(root, factors, tuple((index[a],) if a in index else () for a in range(len(shape))))

    def size(self, factor: int) -> Dim:
        return self.factors[factor][1]

    def of_axis(self, axis: int) -> tuple[int, ...]:
        """The factors of one axis of the root."""
        return tuple(i for i, (of, _) in enumerate(self.factors) if of == axis)

    def order(self) -> list[int]:
        """The factors as the view runs through them."""
        return [factor for axis in self.axes for factor in axis]

    def shape(self) -> tuple[Dim | None, ...]:
        """The view's sizes; None for a product with a symbol in it."""
        return tuple(_product([self.size(f) for f in axis]) for axis in self.axes)

    def transpose(self, perm: Sequence[int]) -> View:
        return replace(self, axes=tuple(self.axes[axis] for axis in perm))

    def squeeze(self, axes: Sequence[int]) -> View | None:
        """Without `axes`, which must be known to have size 1."""
        if any(self.axes[axis] for axis in axes):
            return None
        gone = {axis % len(self.axes) for axis in axes}
        return replace(self, axes=tuple(a for i, a in enumerate(self.axes) if i not in gone))

    def unsqueeze(self, axes: Sequence[int]) -> View:
        rank = len(self.axes) + len(axes)
        new = {axis % rank for axis in axes}
        old = iter(self.axes)
        return replace(self, axes=tuple(() if i in new else next(old) for i in range(rank)))

    def without(self, picked: Sequence[int]) -> View:
        """As a view of the part of the root that some of its picks leave."""
        kept = [f for f in range(len(self.factors)) if f not in picked]
        new = {f: i for i, f in enumerate(kept)}
        return replace(self, factors=tuple(self.factors[f] for f in kept),
                       axes=tuple(tuple(new[f] for f in axis) for axis in self.axes),
                       picks=tuple((new[f], index) for f, index in self.picks if f in new))

    def compose(self, inner: View) -> View | None:
        """This view, of a root that `inner` has the elements of in the same order; None if they do not line up."""
        seen = inner.reshape([size for _, size in self.factors])
        at = {factor: factor for factor in range(len(self.factors))}
        for factor, index in reversed(self.picks):
            seen = seen.pick(at[factor], index, keep=False) if seen is not None else None
            at = {f: position - (f > factor) for f, position in at.items() if f != factor}
        if seen is None:
            return None
        groups = seen.axes
        return replace(seen, axes=tuple(tuple(g for f in axis for g in groups[at[f]]) for axis in self.axes))

    def merge(self, first: int, count: int) -> View:
        """With `count` neighbouring axes from `first` on made one."""
        joined = tuple(f for axis in self.axes[first:first + count] for f in axis)
        return replace(self, axes=self.axes[:first] + (joined,) + self.axes[first + count:])

    def pick(self, axis: int, index: int, keep: bool) -> View | None:
        """Only `index` of an axis, which must be one factor; the axis goes, or with `keep` has size 1."""
        factors, kept = self.axes[axis], ((),) if keep else ()
        axes = self.axes[:axis] + kept + self.axes[axis + 1:]
        if not factors:
            return replace(self, axes=axes) if index in (0, -1) else None
        if len(factors) > 1:
            return None
        size = self.size(factors[0])
        if isinstance(size, int):
            index = index + size if index < 0 else index
            if not 0 <= index < size:
                return None
        return replace(self, axes=axes, picks=tuple(sorted((*self.picks, (factors[0], index)))))

    def reshape(self, target: Sequence[Dim]) -> View | None:
        """The view in another shape, None if factors do not line up with it.

        A symbol that no factor has stands for whatever is left over; there may be one.
        """
        view = self
        for _ in range(2 * len(target) + 2):        # each pass settles the shape or splits one factor in two
            result = view._line_up(list(target))
            if not isinstance(result, _Split):
                return result
            view = view._split(result)
        return None

    def _line_up(self, target: list[Dim]) -> View | _Split | None:
        left = self.order()
        symbols = {self.size(f) for f in left}
        axes: list[tuple[int, ...]] = [()] * len(target)
        ahead, behind = 0, len(target)
        while ahead < behind and not _free(target[ahead], symbols):
            taken = self._take(left, target[ahead], front=True)
            if not isinstance(taken, list):
                return taken
            axes[ahead] = tuple(taken)
            ahead += 1
        while behind > ahead + 1:
            behind -= 1
            if _free(target[behind], symbols):
                return None
            taken = self._take(left, target[behind], front=False)
            if not isinstance(taken, list):
                return taken
            axes[behind] = tuple(reversed(taken))
        if ahead < len(target) and ahead < behind:
            axes[ahead] = tuple(left)
        elif left:
            return None
        return replace(self, axes=tuple(axes))

    def _take(self, left: list[int], size: Dim, front: bool) -> list[int] | _Split | None:
        """Take factors of a product of `size` from one end of `left`."""
        at = 0 if front else -1
        if isinstance(size, str):
            return [left.pop(at)] if left and self.size(left[at]) == size else None
        taken: list[int] = []
        while size > 1:
            if not left:
                return None
            factor = self.size(left[at])
            if isinstance(factor, str):
                return None
            if factor > size:
                if factor % size:
                    return None
                return _Split(left[at], size if front else factor // size)
            if not factor or size % factor:
                return None
            taken.append(left.pop(at))
            size //= factor
        return taken if size == 1 else None

    def _split(self, split: _Split) -> View:
        """With one factor written as two."""
        at, first = split.factor, split.first
        axis, size = self.factors[at]
        assert isinstance(size, int)                # `_take` splits numbers alone
        factors = (*self.factors[:at], (axis, first), (axis, size // first), *self.factors[at + 1:])

        def moved(f: int) -> tuple[int, ...]:
            return (f,) if f < at else (at, at + 1) if f == at else (f + 1,)
        return replace(self, factors=factors, axes=tuple(tuple(g for f in a for g in moved(f)) for a in self.axes),
                       picks=tuple((moved(f)[0], i) for f, i in self.picks))

    def follow(self, root: str) -> View:
        """The same view of another root of the same shape."""
        return replace(self, root=root)

    def follow_last(self, root: str, rank: int, last: Dim) -> View:
        """The same view of a root whose last axis, which must be the view's, has size `last` instead."""
        start = len(self.factors) - len(self.of_axis(rank - 1))
        new = ((rank - 1, last),) if last != 1 else ()
        return replace(self, root=root, factors=self.factors[:start] + new,
                       axes=self.axes[:-1] + ((start,) if new else (),))

    def keeps_last(self, rank: int) -> bool:
        """Whether the view's last axis is the root's last axis, whole, and nothing is picked."""
        last = self.of_axis(rank - 1)
        return bool(last) and bool(self.axes) and self.axes[-1] == last and not self.picks


@dataclass(frozen=True)
class _Split:
    """A factor that must be written as first * rest."""

    factor: int
    first: int


def _free(dim: Dim, symbols: set[Dim]) -> bool:
    return isinstance(dim, str) and dim not in symbols


def _product(sizes: Sequence[Dim]) -> Dim | None:
    if len(sizes) == 1:
        return sizes[0]
    known = [size for size in sizes if isinstance(size, int)]
    return prod(known) if len(known) == len(sizes) else None


def join(views: Sequence[View], axis: int) -> View | None:
    """The one view that views put together along `axis` make: each picks the next index of one factor."""
    first = views[0]
    if any((v.root, v.factors, v.axes) != (first.root, first.factors, first.axes) for v in views):
        return None
    differing = {f for v in views for f, i in v.picks if (f, i) not in first.picks}
    if len(differing) != 1:
        return None
    factor, = differing
    others = [tuple(p for p in v.picks if p[0] != factor) for v in views]
    indices = [dict(v.picks).get(factor) for v in views]
    if any(other != others[0] for other in others) or indices != list(range(len(views))) \
            or first.size(factor) != len(views):
        return None
    axes = first.axes[:axis] + ((factor, *first.axes[axis]),) + first.axes[axis + 1:]
    return replace(first, axes=axes, picks=others[0])
