"""The chains that the sizes of the layers allow, and what the caller says of them.

A state dict does not say in which order its layers run. A reading is one order in which every layer reads as many
features as the one before it gives, and no layer is left out; a matrix without a bias may also be the embedding that
begins the chain. More than one reading is a question to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ....errors import ArgumentError, ArgumentTypeError
from ....graph.activations import ACTIVATIONS
from ....types import PoolReading
from .layers import Layers, Matrix, Stack

MAX_UNORDERED = 8              # layers whose orders are all tried
SHOWN = 6                      # readings that a message lists
POOLS = get_args(PoolReading)
NOTHING = ("none", "linear")
RNN_ACTIVATIONS = ("tanh", "relu")
_TYPEABLE = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Step:
    """A layer at its place in a chain: a recurrent module, or a matrix as "Dense" or "Embedding"."""

    part: Stack | Matrix
    op: str

    @property
    def features(self) -> int | None:
        """What it reads; None for token ids."""
        if isinstance(self.part, Stack):
            return self.part.features
        return self.part.shape[1] if self.op == "Dense" else None

    @property
    def output(self) -> int:
        if isinstance(self.part, Stack):
            return self.part.output
        return self.part.shape[0] if self.op == "Dense" else self.part.shape[1]

    @property
    def label(self) -> str:
        """What messages, options and nodes call it: its path, or its kind where the file is the module's own."""
        return self.part.path or {"Dense": "linear", "Embedding": "embedding"}.get(self.op, self.op.lower())


Chain = tuple[Step, ...]


@dataclass(frozen=True)
class Settled:
    """What the caller says of weights alone, checked in kind: names are checked against a chain by `check_names`."""

    pool: str | None = None
    activations: Mapping[str, Any] | None = None
    order: tuple[str, ...] | None = None

    @classmethod
    def of(cls, pool: Any, activations: Any, order: Any) -> Settled:
        """Raises ArgumentError or ArgumentTypeError naming the option."""
        if pool is not None and pool not in POOLS:
            raise ArgumentError(f"pool must be one of {', '.join(POOLS)}, got {pool!r:.50}")
        if activations is not None and not isinstance(activations, Mapping):
            raise ArgumentTypeError("activations must map names of layers to activations, "
                                    f"got {type(activations).__name__}")
        for label, activation in (activations or {}).items():
            if isinstance(activation, str) and activation not in (*ACTIVATIONS, *NOTHING):
                raise ArgumentError(f"activations: {label!r:.100} has {activation!r:.50}; known: none, "
                                    f"{', '.join(ACTIVATIONS)}")
        if order is not None and (isinstance(order, str) or not isinstance(order, Sequence)
                                  or not all(isinstance(label, str) for label in order)):
            raise ArgumentTypeError(f"order must be a list of names of layers, got {order!r:.100}")
        return cls(pool, activations, None if order is None else tuple(order))

    def activation(self, step: Step) -> Any:
        """The activation given for a layer, "linear" for none; None if nothing was said."""
        given = (self.activations or {}).get(step.label)
        return "linear" if isinstance(given, str) and given in NOTHING else given

    def check_names(self, layers: Layers) -> None:
        """Raise ArgumentError for a name that is not one layer's, or an order that has not every layer once."""
        labels = [label for part in layers.parts for label in labels_of(part)]
        for option, names in (("activations", self.activations), ("order", self.order)):
            for name in names or ():
                if labels.count(name) != 1:
                    raise ArgumentError(f"{option}: there is no layer, or more than one, called {name!r:.100}; the "
                                        f"layers are {', '.join(f'{label!r:.100}' for label in sorted(labels))}")
        if self.order is None:
            return
        for name in self.order:
            if self.order.count(name) > 1:
                raise ArgumentError(f"order: every layer must stand in it once; {name!r:.100} stands twice")
        for part in layers.parts:
            if len(labels_of(part) & set(self.order)) != 1:
                raise ArgumentError(f"order: every layer must stand in it once; {part} does not")


def roles(part: Stack | Matrix) -> list[Step]:
    """What a layer can be: tables have no bias."""
    if isinstance(part, Stack):
        return [Step(part, part.op)]
    return [Step(part, "Dense")] if part.bias else [Step(part, "Dense"), Step(part, "Embedding")]


def labels_of(part: Stack | Matrix) -> set[str]:
    """What a layer can be called."""
    return {step.label for step in roles(part)}


def readings(layers: Layers, order: tuple[str, ...] | None) -> list[Chain]:
    """The chains of all layers that fit, in the given order if there is one; at most SHOWN + 1 are looked for."""
    found = []
    for chain in _extend((), layers.parts, order):
        found.append(chain)
        if len(found) > SHOWN:
            break
    return found


def _extend(chain: Chain, left: list[Stack | Matrix], order: tuple[str, ...] | None) -> Iterator[Chain]:
    if not left:
        yield chain
    for part in left:
        for step in roles(part):
            if order is not None and step.label != order[len(chain)]:
                continue
            if not chain or chain[-1].output == step.features:      # token ids enter at the beginning alone
                yield from _extend((*chain, step), [other for other in left if other is not part], order)


def typed(labels: Sequence[str]) -> str | None:
    """Names as they are typed after --order; None if one of them cannot be typed as it is."""
    return ",".join(labels) if all(_TYPEABLE.fullmatch(label) for label in labels) else None
