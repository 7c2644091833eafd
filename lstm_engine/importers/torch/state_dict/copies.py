"""Weights that are there twice, averaged by a training or as a wrapper names them: which are meant, no file says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...reading.weights import Weights
from ..checkpoints.checkpoint import COUNTERS, IGNORED, WRAPPERS

# Words in the name of what holds a second set of weights: compared part by part of a path.
_WORDS = frozenset(("ema", "emas", "ewma", "swa", "shadow", "average", "averaged", "avg", "teacher", "polyak"))
_COUNTERS = frozenset((*COUNTERS, "num_updates", "decay", "initted", "step", "updates"))
_DEEPEST = 4                    # parts of a path that can be the prefix of a copy


@dataclass(frozen=True)
class Copy:
    """A second set of the weights: those whose names begin with `prefix`; `others`: with what the first ones begin."""

    prefix: str
    other: str

    @property
    def pattern(self) -> str:
        return f"{self.prefix}*"


def copy_of(weights: Weights) -> Copy | None:
    """The second set of all weights in a file, told by its name and by the names and sizes in it; None if none is."""
    for prefix in _prefixes(weights):
        inside = {name.removeprefix(prefix): weights.shape(name) for name in weights.names if name.startswith(prefix)}
        outside = {name: weights.shape(name) for name in weights.names if not name.startswith(prefix)}
        starts = {".".join(parts[:end]) + "." for parts in (name.split(".", _DEEPEST)[:-1] for name in outside)
                  for end in range(1, len(parts) + 1)}
        for other in ("", *sorted(starts)[:8]):
            first = {name.removeprefix(other): shape for name, shape in outside.items() if name.startswith(other)}
            if first and len(_counted(first)) == len(_counted(outside)) and _same(_counted(first), _counted(inside)):
                return Copy(prefix, other)
    return None


def wrapped_twice(weights: Weights) -> tuple[str, str] | None:
    """A name that is there as it is and with the prefix of a wrapper, and that prefix; None if none is."""
    return next(((name.removeprefix(prefix), prefix) for prefix in WRAPPERS for name in weights.names
                 if name.startswith(prefix) and name.removeprefix(prefix) in weights), None)


def _prefixes(weights: Weights) -> Iterator[str]:
    found: dict[str, None] = {}
    for name in weights.names:
        parts = name.split(".", _DEEPEST)[:-1]
        for place, part in enumerate(parts):
            if not _WORDS.isdisjoint(part.lower().split("_")):
                found.update(dict.fromkeys(".".join(parts[:end]) + "." for end in range(place + 1, len(parts) + 1)))
    yield from sorted(found)[:32]


def _counted(tensors: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Without what counts."""
    ends = tuple(pattern.lstrip("*") for pattern in IGNORED)
    return {name: shape for name, shape in tensors.items()
            if not name.endswith(ends) and not (shape in ((), (1,)) and name.rpartition(".")[2] in _COUNTERS)}


def _same(one: dict[str, tuple[int, ...]], other: dict[str, tuple[int, ...]]) -> bool:
    """Whether the names and sizes are the same, with or without their dots, which some averages leave out."""
    return bool(one) and (one == other or {name.replace(".", ""): shape for name, shape in one.items()} == {
        name.replace(".", ""): shape for name, shape in other.items()})
