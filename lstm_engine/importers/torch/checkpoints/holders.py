"""What of a checkpoint holds anything that matters: tensors, arrays of NumPy and modules, found in one pass.

A file may tie its data into knots, and most of what is in a checkpoint has no tensor in it. Each container is looked at
once, however often and in whatever circle it is held; those that nothing of weight can be reached from are of no
concern to anybody behind this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def holders(root: Any, inside: Callable[[Any], Iterator[tuple[Any, Any]] | None],
            matters: Callable[[Any], bool]) -> set[int]:
    """The ids of the containers in `root` (itself among them) that are or hold, however deep, what `matters`.

    inside: the items of a container by key, None for what is none.
    """
    held_by: dict[int, list[int]] = {}
    found: set[int] = set()
    begins: list[int] = []
    todo = [(root, 0)]
    while todo:
        value, holder = todo.pop()
        if matters(value):
            begins += (id(value), holder)
        children = inside(value)
        if children is None:
            continue
        seen = id(value) in held_by
        held_by.setdefault(id(value), []).append(holder)
        if not seen:
            todo += [(child, id(value)) for _, child in children]
    while begins:
        one = begins.pop()
        if one not in found:
            found.add(one)
            begins += held_by.get(one, ())
    return found
