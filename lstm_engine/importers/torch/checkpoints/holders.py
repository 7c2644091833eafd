"""What of a checkpoint holds anything that matters: tensors, arrays of NumPy and modules, found in one pass.

A file may tie its data into knots, and most of what is in a checkpoint has no tensor in it. Each container is looked at
once, however often and in whatever circle it is held; those that nothing of weight can be reached from are of no
concern to anybody behind this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from ....errors import FormatError

MAX_NESTED = 10_000            # Python's own pickler gives up near 1,000


def holders(root: Any, inside: Callable[[Any], Iterator[tuple[Any, Any]] | None],
            matters: Callable[[Any], bool]) -> set[int]:
    """The ids of the containers in `root` (itself among them) that are or hold, however deep, what `matters`.

    inside: the items of a container by key, None for what is none. Raises FormatError for what no pickler can write.
    """
    held_by: dict[int, list[int]] = {}
    empty: set[int] = set()                  # containers of nothing that could matter: most of those in a large file
    found: set[int] = set()
    begins: list[int] = []
    if matters(root):
        begins.append(id(root))
    todo = [(inside(root) or iter(()), id(root))]
    held_by[id(root)] = []
    while todo:
        children, holder = todo[-1]
        for _, value in children:
            if matters(value):
                begins += (id(value), holder)
            if id(value) in held_by:
                held_by[id(value)].append(holder)
                continue
            inner = None if id(value) in empty else inside(value)
            if inner is None:
                continue
            first = next(inner, None)
            if first is None:
                empty.add(id(value))
                continue
            held_by[id(value)] = [holder]
            if len(todo) == MAX_NESTED:
                raise FormatError(f"containers are nested more than {MAX_NESTED} deep")
            todo.append((chain((first,), inner), id(value)))
            break
        else:
            todo.pop()
    while begins:
        one = begins.pop()
        if one not in found:
            found.add(one)
            begins += held_by.get(one, ())
    return found
