"""JSON with random damage: parts of its tree replaced, removed, or swapped for another part."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

VALUES = [None, True, False, 0, 1, -1, 2, 3, 10**9, -10**20, 10**400, 2**63, 1.5, float("nan"), float("inf"), "", "x",
          "relu", "concat", "LSTM", "Dense", "Functional", [], {}, [1], [None], [[]], {"a": 1}, ["x", 0, 0], [0, 1, 2],
          "\ud800", "../x", [0, 2**33, 2**33], [2**20] * 3,
          {"class_name": "__keras_tensor__", "config": {"keras_history": ["lstm", 0, 0]}},
          {"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": 0}}]


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The way to each part of a tree, by keys and numbers."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


def at(value: Any, path: Sequence) -> Any:
    """The part of a tree at the end of a way."""
    for key in path:
        value = value[key]
    return value


def damaged(tree: Any, rng: random.Random, root: tuple = (), values: Sequence[Any] = ()) -> Any:
    """A copy with one to four of the parts below `root` replaced, removed or swapped for another part."""
    made = copy.deepcopy(tree)
    pool = [*VALUES, *values]
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = list(places(at(made, root), root))
        if not found:
            break
        *parent, key = rng.choice(found)
        choice = rng.random()
        if choice < 0.6:
            at(made, parent)[key] = copy.deepcopy(rng.choice(pool))
        elif choice < 0.75:
            del at(made, parent)[key]
        else:
            at(made, parent)[key] = copy.deepcopy(at(made, rng.choice(found)))
        if root and not isinstance(at(made, root[:-1]).get(root[-1]), dict):
            break
    return made
