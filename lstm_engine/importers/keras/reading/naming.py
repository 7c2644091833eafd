"""Whose each array of a legacy HDF5 file is: told by the arrays' names.

Keras writes the arrays of a top-level layer as one list: first those that train, then those that do not. What is
frozen deep inside is not always recorded (a Bidirectional's own copies of its layer are not), so a position in the
list says little. The names do: "bidirectional_3/forward_lstm_3/lstm_cell/kernel:0". A name begins with that of the
layer, or of the wrapper around it; models around it may come before, and a cell's name after.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .owners import KINDS, Owner

MAX_OWNERS = 1_000
KNOWN = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "bias", "embeddings", "gamma", "beta",
         "moving_mean", "moving_variance", "alpha", "scale", "concat_score_weight", "mean", "variance", "count",
         "vector_u", "chain_kernel", "left_boundary", "right_boundary")
_LEAF = re.compile(rf"({'|'.join(KNOWN)})(?:_(\d+))?(?::\d+)?")
# Keras 1 had no slashes: lstm_1_W_i, dense_1_b, batchnormalization_1_running_mean.
_KERAS1 = re.compile(r"(.+?)_(?:[WUb](?:_[a-z])?|gamma|beta|running_(?:mean|std)|alphas)")
EXACT, NUMBERED, SIDE = 3, 2, 1
_SYNONYMS = {("depthwise_kernel", "kernel")}      # what Keras 2 called the kernel of a DepthwiseConv
OF_WRAPPER = "vector_u"                           # SpectralNormalization's own, under one name with its layer's
BESIDE = ("moving_", OF_WRAPPER)                  # how arrays begin that training does not change by gradients


@dataclass
class Group:
    """The arrays of one layer: their full names in the order of the file, and what each is ("" if not known).

    parts: the names before the last slash. number: of an older Keras' "kernel_1" beside "kernel", for one of
    several cells under one name; None where there is but one.
    """

    parts: tuple[str, ...]
    names: list[str] = field(default_factory=list)
    whats: list[str] = field(default_factory=list)
    number: int | None = None


def whose(owners: Sequence[Owner], names: Sequence[str]) -> tuple[list[tuple[Owner, Group]], list[Owner], list[Group]]:
    """The pairs that the names settle, and the owners and groups that they leave open, in order."""
    groups = grouped(names)
    pairs: dict[int, int] = {}
    tiers: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for o, owner in enumerate(owners):
        for g, group in enumerate(groups):
            if fits(owner, group) and any(rank := _rank(owner, group)):
                tiers.setdefault(rank, []).append((o, g))
    doubtful: set[tuple[str, int]] = set()           # what several fit equally well
    for rank in sorted(tiers, reverse=True):
        taken = {("owner", o) for o in pairs} | {("group", g) for g in pairs.values()} | doubtful
        here = [(o, g) for o, g in tiers[rank] if not {("owner", o), ("group", g)} & taken]
        alone = _alone(here)
        pairs.update(alone)
        doubtful.update(end for o, g in set(here) - set(alone) for end in (("owner", o), ("group", g)))
    _by_exclusion(owners, groups, pairs)
    left = [owner for o, owner in enumerate(owners) if o not in pairs]
    return [(owners[o], groups[g]) for o, g in pairs.items()], left, [
        group for g, group in enumerate(groups) if g not in pairs.values()]


def grouped(names: Sequence[str]) -> list[Group]:
    """The names of one list by the layer they name, in the order in which the layers first occur."""
    made: dict[tuple[str, int, bool], Group] = {}
    for name in names:
        prefix, _, last = name.rpartition("/")
        leaf, keras1 = _LEAF.fullmatch(last), None if prefix else _KERAS1.fullmatch(last)
        if keras1:
            prefix = keras1[1]
        what = leaf[1] if leaf else ""
        key = (prefix, int(leaf[2] or 0) if leaf else 0, what == OF_WRAPPER)
        group = made.setdefault(key, Group(tuple(prefix.split("/"))))
        group.names.append(name)
        group.whats.append(what)
    kinds = Counter((prefix, around) for prefix, _, around in made)
    for prefix, around in (kind for kind, count in kinds.items() if count > 1):
        numbers = sorted(number for one, number, other in made if (one, other) == (prefix, around))
        for position, number in enumerate(numbers):
            made[prefix, number, around].number = position
    return list(made.values())


def fits(owner: Owner, group: Group) -> bool:
    """Whether a group has the arrays of this layer: by their names, or where these are not known by their number."""
    if any(group.whats):
        return len(group.whats) == len(owner.variables) and all(map(may_be, group.whats, owner.variables))
    return len(group.whats) in (len(owner.variables), keras1_count(owner))


def may_be(what: str, variable: str) -> bool:
    """Whether what a name says ("" if nothing) is this array of a layer."""
    return what in ("", variable) or (what, variable) in _SYNONYMS


def keras1_count(owner: Owner) -> int:
    """How many arrays Keras 1 kept for a recurrent layer, three for each gate; 0 for other layers."""
    return 3 * KINDS[owner.kind].gates if owner.kind in KINDS else 0


def other_side(owner: Owner, name: str) -> bool:
    """Whether a name says that it is of the other direction of a Bidirectional."""
    parts = name.split("/")
    return any(called.startswith(one) and any(part.startswith(other) for part in parts)
               and not any(part.startswith(one) for part in parts)
               for called in owner.inside for one, other in (("forward_", "backward_"), ("backward_", "forward_")))


def what_of(name: str) -> str:
    """What an array is by the end of its name ("kernel", "moving_mean"), "" if that is none of Keras' words."""
    leaf = _LEAF.fullmatch(name.rpartition("/")[2])
    return leaf[1] if leaf else ""


def _rank(owner: Owner, group: Group) -> tuple[int, int, int]:
    """How well a group's name fits: the layer or its wrapper, what is inside, the models around. Zeros: not at all."""
    best = (0, 0, 0)
    for place, part in enumerate(group.parts):
        anchor = _likeness(part, owner.anchor)
        before, after = group.parts[:place], group.parts[place + 1:]
        if anchor:
            inside = sum(_likenesses(owner.inside, after))
            if owner.cell is not None and group.number == owner.cell:
                inside += EXACT
            best = max(best, (anchor, inside, sum(_likenesses(owner.around, before))))
    return best if any(best) else (0, sum(_likenesses(owner.inside, group.parts)), 0)


def _likenesses(names: Sequence[str], parts: Sequence[str]) -> Iterator[int]:
    """For each name how well it is met by the parts, in order, each part used once."""
    start = 0
    for name in names:
        found = max(((_likeness(part, name) or _same_side(part, name), -place)
                     for place, part in enumerate(parts[start:])), default=(0, 0))
        if found[0]:
            start += 1 - found[1]
        yield found[0]


def _likeness(part: str, name: str) -> int:
    if part == name:
        return EXACT
    # The second of this name in one graph of TensorFlow 1 got a number.
    return NUMBERED if part.startswith(f"{name}_") and part[len(name) + 1:].isdigit() else 0


def _same_side(part: str, name: str) -> int:
    """A direction of a Bidirectional whose layer was renamed."""
    return SIDE if any(part.startswith(side) and name.startswith(side) for side in ("forward_", "backward_")) else 0


def _alone(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs neither of whose ends is in another pair."""
    left, right = Counter(o for o, _ in pairs), Counter(g for _, g in pairs)
    return [(o, g) for o, g in pairs if left[o] == right[g] == 1]


def _by_exclusion(owners: Sequence[Owner], groups: Sequence[Group], pairs: dict[int, int]) -> None:
    """Pair what only one open owner and only one open group can be."""
    while True:
        taken = set(pairs.values())
        alone = _alone([(o, g) for o, owner in enumerate(owners) if o not in pairs
                        for g, group in enumerate(groups) if g not in taken and fits(owner, group)])
        if not alone:
            return
        pairs.update(alone)
