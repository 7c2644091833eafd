"""Tensors of a training among the weights: the weights of a loss and the counts of metrics, which a module registers
like any other and which take no part in what it computes."""

from __future__ import annotations

import glob
from collections.abc import Sequence

from ...reading.weights import Weights

# What attributes that hold a loss of torch.nn are called, and what such a loss calls the weights that it has.
_LOSSES = frozenset(("criterion", "loss", "losses", "loss_fn", "loss_func", "loss_function"))
_OF_LOSS = ("weight", "pos_weight")
_CHANGES = frozenset(("weight", "bias", "scale", "gain", "temperature", "alpha", "beta", "gamma"))     # what they feed
_METRICS = frozenset(("metric", "metrics", "acc", "accuracy"))


def of_training(weights: Weights, rest: Sequence[str]) -> list[str]:
    """Which of the tensors that belong to no layer are those: a vector called as a loss calls its weights, alone in
    what is called a loss, and tensors without axes in what is called a metric."""
    return [name for name in rest if _is_of_loss(weights, name) or _is_of_metric(weights, name)]


def _is_of_loss(weights: Weights, name: str) -> bool:
    path, _, last = name.rpartition(".")
    return last in _OF_LOSS and path.rpartition(".")[2].lower() in _LOSSES and len(weights.shape(name)) == 1 \
        and f"{path}.bias" not in weights


def _is_of_metric(weights: Weights, name: str) -> bool:
    *path, last = name.split(".")
    return weights.shape(name) == () and last not in _CHANGES and any(
        not _METRICS.isdisjoint(part.lower().split("_")) for part in path)


def patterns(names: Sequence[str]) -> list[str]:
    """The names as patterns that match them alone."""
    return [glob.escape(name) for name in names]
