"""The order in which what needs each other can be made."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Mapping
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Circle(Exception, Generic[Item]):
    """Something needs itself, directly or through others; `item`: the first that could not be made."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.item = item


def in_order(needs: Mapping[Item, Collection[Item]], depth_first: bool = False) -> list[Item]:
    """The keys of `needs`, each after those that it needs (Kahn's algorithm, 1962).

    needs: keys alone, none twice for one item. Of what can be made next comes what is first in `needs`, so that an
    order that is right already stays; depth_first: what was made possible last, so that a branch is followed to its
    end. Raises Circle.
    """
    items = list(needs)
    position = {item: number for number, item in enumerate(items)}
    users: dict[Item, list[Item]] = {item: [] for item in items}
    for item, needed in needs.items():
        for source in needed:
            users[source].append(item)
    waiting = {item: len(needed) for item, needed in needs.items()}
    ready = [(number, number) for number, item in enumerate(items) if not waiting[item]]
    latest = count(-1, -1)
    order = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(items[number])
        for user in reversed(users[items[number]]):
            waiting[user] -= 1
            if not waiting[user]:
                place = position[user]
                heapq.heappush(ready, (next(latest) if depth_first else place, place))
    if len(order) < len(items):
        raise Circle(next(item for item in items if waiting[item]))
    return order
