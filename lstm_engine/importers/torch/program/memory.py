"""Which tensors of a program are views of which, and what each is once one of them was changed in place.

A tensor here is a value that never changes. A change in place gives the tensor a new value, and so, by the way back
through each view, all that it is a view of. Its other views are made anew when they are next read.

    block   a tensor and its views, for certain: what one is follows from the others
    area    blocks that may be the same memory or not, as strides have it: a change in one is refused where another is
            read later
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ....errors import UnsupportedError
from .arguments import Arguments
from .emit import LARGE, Emitter, Tensor
from .registry import Known
from .views import apart, put_same

DEEPEST = 400               # views of views that a change is followed through
INSTEAD = "write it without a change in place (y = torch.where(...), y = torch.cat(...))"


@dataclass(frozen=True, eq=False)
class View:
    """Result number `at` of a call that makes views of what is given as `argument`."""

    known: Known
    arguments: Arguments
    argument: str
    at: int

    def same_as(self, other: View) -> bool:
        return self.known is other.known and self.at == other.at and self.arguments.same_as(other.arguments)


@dataclass(eq=False)
class Area:
    given: bool                 # of an input or a weight
    blocks: list[Block] = field(default_factory=list)


@dataclass(eq=False)
class Block:
    area: Area
    name: str
    last: int                   # the number of the last node that reads one of its tensors
    changes: int = 0


@dataclass(eq=False)
class Held:
    """A tensor with the value that it had after so many changes of its block; parent: what it is a view of.

    names: of what is this very object of torch, or may be: an operator may give back what it is given.
    """

    value: Tensor
    block: Block
    parent: Held | None = None
    view: View | None = None
    seen: int = 0
    depth: int = 0
    names: list[str] = field(default_factory=list)


class Memory:
    def __init__(self, e: Emitter, last_use: Mapping[str, int]) -> None:
        """last_use: the number of the last node that reads a value."""
        self.e, self.last_use = e, last_use
        self.held: dict[str, Held] = {}

    # New tensors.

    def own(self, name: str, value: Tensor, given: bool = False) -> None:
        """A tensor that shares memory with no other."""
        self._in_block(name, value, Area(given), [])

    def beside(self, name: str, value: Tensor, of: str, view: View) -> None:
        """A tensor that may share memory with another, or may not."""
        parent = self.held[of]
        self._in_block(name, value, parent.block.area, parent.names if _may_be_itself(view) else [])

    def _in_block(self, name: str, value: Tensor, area: Area, names: list[str]) -> None:
        block = Block(area, name, -1)
        area.blocks.append(block)
        self._add(name, Held(value, block, names=names))

    def part(self, name: str, value: Tensor, of: str, view: View) -> None:
        """A view of another tensor."""
        parent = self.held[of]
        block = parent.block
        names = parent.names if _may_be_itself(view) else []
        self._add(name, Held(value, block, parent, view, block.changes, parent.depth + 1, names))

    def again(self, name: str, of: str) -> None:
        """Another name of a tensor."""
        self._add(name, self.held[of])

    def _add(self, name: str, held: Held) -> None:
        self.held[name] = held
        held.names.append(name)
        held.block.last = max(held.block.last, self.last_use.get(name, -1))

    # What they are.

    def read(self, held: Held) -> Tensor:
        """The value after all changes so far."""
        stale = []
        while held.seen != held.block.changes and held.parent is not None:
            stale.append(held)
            held = held.parent
        value = held.value
        for view in reversed(stale):
            value = view.value = self._made(view, value)
            view.seen = view.block.changes
        return value

    def _made(self, held: Held, whole: Tensor) -> Tensor:
        view = held.view
        assert view is not None
        given = view.arguments
        value = [whole if i == view.at else x for i, x in enumerate(given.any(view.argument))] if view.known.each \
            else whole
        made = view.known.write(self.e, given.with_value(view.argument, value))
        made = made[view.at] if isinstance(made, (list, tuple)) else made
        return Tensor(made.name, held.value.shape, made.dtype, made.array)

    def write(self, label: str, number: int, name: str, changed: Tensor, sources: Iterable[str],
              elementwise: bool) -> None:
        """Node `number` gives the tensor a new value, made of its old one and of `sources`.

        Raises UnsupportedError if anything that reads the change cannot be told.
        """
        held = self.held[name]
        block = held.block
        others = [other.name for other in block.area.blocks if other is not block and other.last > number]
        if block.area.given or others:
            seen = "an input or a weight" if block.area.given else f"{others[0]!r:.100}, which may share its memory"
            raise UnsupportedError(f"{label}: it changes a tensor in place that is seen through {seen}; {INSTEAD}")
        if held.depth > DEEPEST:
            raise UnsupportedError(f"{label}: it changes a view of more than {DEEPEST} views")
        for source in sources:
            self._check_source(label, held, source, elementwise)
        updated = [(held, changed)]
        while held.parent is not None:
            view, parent = held.view, held.parent
            assert view is not None
            if view.known.put is None:
                raise UnsupportedError(f"{label}: it changes a tensor in place that {view.arguments.label} has made of "
                                       f"another, which is not followed there; {INSTEAD}")
            changed = view.known.put(self.e, view.arguments, self.read(parent), changed, view.at)
            held = parent
            updated.append((held, changed))
        block.changes += 1
        for held, value in updated:
            held.value, held.seen = value, block.changes

    def turned(self, label: str, number: int, name: str) -> None:
        """Node `number` changes the axes of a tensor, so that its names up to then are no names of it any more.

        Raises UnsupportedError if one is read later, or if an input or a weight itself changes.
        """
        held = self.held[name]
        late = [other for other in held.names if self.last_use.get(other, -1) > number]
        if late or (held.block.area.given and held.parent is None):
            seen = f"{late[0]!r:.100}" if late else "an input or a weight"
            raise UnsupportedError(f"{label}: it changes the axes of a tensor in place that is seen through {seen}; "
                                   "give the result a name (y = x.transpose(0, 1))")

    # Reads and writes at once: torch goes on reading while it writes.

    def _check_source(self, label: str, held: Held, name: str, elementwise: bool) -> None:
        source = self.held[name]
        if source.block.area is not held.block.area:
            return
        if source.block is not held.block or not self._harmless(held, source, elementwise):
            raise UnsupportedError(f"{label}: it changes a tensor in place and reads it through {name!r:.100}, where "
                                   "elements may be seen before and after their change; clone() what is read")

    @staticmethod
    def _harmless(held: Held, source: Held, elementwise: bool) -> bool:
        """Whether two tensors of a block are the same elements in the same places, or have none in common."""
        mine, others = _way(held), _way(source)
        for (whole, first), (_, second) in zip(mine, others):
            if first.same_as(second):
                continue
            if first.known.cut is None or second.known.cut is None or not whole.rank:
                return False
            cut = first.known.cut(first.arguments, whole, first.at)
            return apart(cut, second.known.cut(second.arguments, whole, second.at), whole.shape[cut.axis])
        return elementwise and len(mine) == len(others)


def _may_be_itself(view: View) -> bool:
    """Whether the operator may give back the tensor that it is given, not another one of the same memory."""
    return (view.known.put is put_same or view.arguments.op.startswith("flatten")) and \
        view.arguments.op not in ("detach.default", "alias.default")


def _way(held: Held) -> list[tuple[Tensor, View]]:
    """The views that lead from the root of a block to a tensor, each with what it is of; those that change nothing are
    left out."""
    way = []
    while held.parent is not None and held.view is not None:
        whole, view = held.parent.value, held.view
        cut = None if view.known.cut is None else view.known.cut(view.arguments, whole, view.at)
        all_of_it = cut is not None and cut.start == 0 and cut.end == LARGE and cut.step == 1
        if not all_of_it and not (view.known.put is put_same and whole.shape == held.value.shape):
            way.append((whole, view))
        held = held.parent
    return way[::-1]
