"""From names and shapes to layers: the recurrent modules and matrices of a state dict, whatever their order in it.

Layers come in the order of their names (numbers by value): the order in a file is that of registration in one kind of
container and of the alphabet in another, and says nothing of the order in which layers run.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field

from ....errors import FormatError
from ...arrays.recurrent import Sizes, sizes_of
from ...arrays.torch_layers import names_of_layer
from ...reading.weights import Weights, by_number
from ..checkpoints.checkpoint import IGNORED

MAX_SHOWN = 12             # layers that a message lists
_RECURRENT = re.compile(r"(?:(?P<path>.*)\.)?(?:weight|bias)_(?:ih|hh|hr)(?:_l(?P<layer>[0-9]{1,4})(?:_reverse)?)?")
_MATRIX = re.compile(r"(?:(?P<path>.*)\.)?weight")


@dataclass(frozen=True)
class Stack:
    """A recurrent module: its layers from the input up, each of one or two directions."""

    path: str
    layers: tuple[Sizes, ...]
    bidirectional: bool
    cell: bool = False     # named as LSTMCell, GRUCell and RNNCell name their weights: one step at a time

    @property
    def op(self) -> str:
        return self.layers[0].op

    @property
    def features(self) -> int:
        return self.layers[0].features

    @property
    def output(self) -> int:
        return self.layers[-1].output * (2 if self.bidirectional else 1)

    def __str__(self) -> str:
        kind = ("bidirectional " if self.bidirectional else "") + self.op
        return f"{kind} {self.path!r:.100} {self.features} -> {self.output}, {len(self.layers)} layer(s)"


@dataclass(frozen=True)
class Matrix:
    """A module with a `weight` of two axes: a linear layer [out, in], or an embedding [vocabulary, features]."""

    path: str
    shape: tuple[int, int]
    bias: bool

    def __str__(self) -> str:
        return f"{self.path!r:.100} {list(self.shape)}{'' if self.bias else ' without bias'}"


@dataclass
class Layers:
    """What was found, by name; `rest` are the tensors that belong to none of it."""

    stacks: list[Stack] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Stack | Matrix]:
        """The recurrent modules, then the matrices."""
        return [*self.stacks, *self.matrices]

    def __str__(self) -> str:
        shown = [*map(str, self.stacks), *(f"matrix {matrix}" for matrix in self.matrices)]
        more = [f"and {len(shown) - MAX_SHOWN} more"] if len(shown) > MAX_SHOWN else []
        return "; ".join(shown[:MAX_SHOWN] + more)


def find_layers(weights: Weights) -> Layers:
    """Group the tensors of a state dict into modules. Raises FormatError if a recurrent module is inconsistent."""
    names = sorted((name for name in weights.names
                    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORED)), key=by_number)
    layers = Layers()
    claimed: set[str] = set()
    counts: dict[str, int] = {}
    for name in names:
        match = _RECURRENT.fullmatch(name)
        if match:
            path = match["path"] or ""
            counts[path] = max(counts.get(path, 0), int(match["layer"] or 0) + 1)
    for path, count in counts.items():
        layers.stacks.append(_stack(weights, path, count, claimed))
    for name in names:
        match = _MATRIX.fullmatch(name)
        if match and len(weights.shape(name)) == 2 and 0 not in weights.shape(name):
            bias = name.removesuffix("weight") + "bias"
            has_bias = bias in weights
            if has_bias and weights.shape(bias) != weights.shape(name)[:1]:
                continue
            claimed.update((name, bias))
            rows, columns = weights.shape(name)
            layers.matrices.append(Matrix(match["path"] or "", (rows, columns), has_bias))
    layers.rest = [name for name in names if name not in claimed]
    return layers


def _stack(weights: Weights, path: str, count: int, claimed: set[str]) -> Stack:
    bidirectional = bool(names_of_layer(weights, path, 0, True))
    sizes: list[Sizes] = []
    cell = False
    for layer in range(count):
        where = f"recurrent module {path!r:.100}, layer {layer}"
        directions = [names_of_layer(weights, path, layer, reverse) for reverse in (False, True)[:1 + bidirectional]]
        if not all(directions):
            raise FormatError(f"{where}: its tensors are missing, though the module has {count} layer(s)")
        found = [sizes_of(weights, names, where) for names in directions]
        if any(other != found[0] for other in found):
            raise FormatError(f"{where}: the two directions differ in size")
        if sizes and (found[0].op != sizes[-1].op or found[0].features != sizes[-1].output * len(directions)):
            raise FormatError(f"{where}: it reads {found[0].features} features and the layer below gives "
                              f"{sizes[-1].output * len(directions)}")
        sizes.append(found[0])
        cell = cell or directions[0]["weight_ih"].endswith("weight_ih")
        for names in directions:
            claimed.update(names.values())
    return Stack(path, tuple(sizes), bidirectional, cell)
