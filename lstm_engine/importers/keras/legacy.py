"""Arrays of older files, put at the paths that Keras 3 gives them.

Legacy HDF5 files keep the arrays of each top-level layer as one flat list. The first `.keras` files, of Keras
2.12 and 2.13, number the groups of a class in their own way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FormatError
from .cells import KINDS
from .config import Layer, Tree, snake_case
from .recurrent import stacked_roles

_KNOWN = ("kernel", "recurrent_kernel", "bias", "embeddings", "gamma", "beta", "moving_mean", "moving_variance",
          "alpha")


@dataclass(frozen=True)
class Slot:
    """A place for one array: "<path>/vars/<number>"; what it is; whether training changes it."""

    path: str
    number: int
    what: str
    trainable: bool


def by_path(tree: Tree, model: Layer, stored: list, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by the paths that a `.keras` file has.

    stored: [[layer name, [weight name, ...]], ...]; arrays by "layer name/weight name".
    Raises FormatError if a layer's list does not fit its configuration.
    """
    names = {layer_name: weight_names for layer_name, weight_names in stored}
    if len(names) != len(stored):
        raise FormatError("HDF5 attribute 'layer_names' names a layer twice")
    placed: dict[str, np.ndarray] = {}
    for layer in model.layers:
        weight_names = names.get(layer.name, [])
        slots = _slots(tree, layer)
        if len(weight_names) == len(slots):
            # Keras lists what training changes first, then what it does not, over all layers of a model.
            slots = [slot for slot in slots if slot.trainable] + [slot for slot in slots if not slot.trainable]
        else:
            slots = _other_count(layer, slots, len(weight_names))
        for slot, weight_name in zip(slots, weight_names):
            called = weight_name.rpartition("/")[2].partition(":")[0]
            if called in _KNOWN and slot.what and called != slot.what:
                raise FormatError(f"{layer}: its array {weight_name!r} stands where {slot.what!r} was expected")
            placed[f"{slot.path}/vars/{slot.number}"] = arrays[f"{layer.name}/{weight_name}"]
    return placed


def renumbered(tree: Tree, model: Layer, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a `.keras` file of Keras 2.12 or 2.13, with the group numbers of Keras 3.

    There a layer with weights took two numbers of its class (it was met as "layer_with_weights-0" and as
    "layer-0"): lstm, lstm_2, lstm_4. The order is the same, so the n-th group with arrays is the n-th layer.
    """
    moved: dict[str, str] = {}
    _match_groups(tree, model, "", sorted(arrays), moved)
    placed: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        parts = name.split("/")
        heads = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
        head = next((head for head in heads if head in moved), "")
        placed[moved.get(head, head) + name[len(head):]] = array
    return placed


def _match_groups(tree: Tree, model: Layer, stored: str, names: list[str], moved: dict[str, str]) -> None:
    """Note in `moved` where the groups below `stored` belong: those of `model`'s layers."""
    prefix = f"{stored}/layers/" if stored else "layers/"
    present = {name[len(prefix):].partition("/")[0] for name in names if name.startswith(prefix)}
    by_class: dict[str, list[Layer]] = {}
    for layer in model.layers:
        if _slots(tree, layer):
            by_class.setdefault(snake_case(layer.kind), []).append(layer)
    for group, layers in by_class.items():
        numbers = sorted(int(match[1] or 0) for match in (re.fullmatch(rf"{group}(?:_(\d{{1,9}}))?", name)
                                                          for name in present) if match)
        if len(numbers) != len(layers):
            raise FormatError(f"{prefix}{group}: {len(numbers)} groups of arrays for {len(layers)} layers")
        for layer, number in zip(layers, numbers):
            here = f"{prefix}{group}_{number}" if number else f"{prefix}{group}"
            moved[here] = layer.path
            if layer.is_model:
                _match_groups(tree, layer, here, names, moved)


def _other_count(layer: Layer, slots: list[Slot], count: int) -> list[Slot]:
    """Slots for a list of another length than today's Keras writes: that of Keras 1, one array for each gate."""
    paths = list(dict.fromkeys(slot.path for slot in slots)) or [layer.path]
    if layer.is_model or count % len(paths):
        raise FormatError(f"{layer}: the file holds {count} arrays for it; expected {len(slots)}")
    each = count // len(paths)
    return [Slot(path, number, "", True) for path in paths for number in range(each)]


def _slots(tree: Tree, layer: Layer) -> list[Slot]:
    """The places of a layer and all inside it, in Keras' order."""
    if layer.is_model:
        return [slot for inner in layer.layers for slot in _slots(tree, inner)]
    config = layer.config
    trainable = bool(config.get("trainable", True))
    if layer.kind == "Bidirectional":
        entry = config.get("layer")
        return [*_inner(tree, layer, entry, "forward_layer"),
                *_inner(tree, layer, config.get("backward_layer") or entry, "backward_layer")]
    if layer.kind == "TimeDistributed":
        return _inner(tree, layer, config.get("layer"), "layer")
    if layer.kind == "RNN":
        cell = config.get("cell")
        if isinstance(cell, list):
            cell = {"class_name": "StackedRNNCells", "config": {"cells": cell}}
        return _inner(tree, layer, cell, "cell")
    if layer.kind == "StackedRNNCells":
        return [slot for role, entry in stacked_roles(layer) for slot in _inner(tree, layer, entry, role)]
    return [Slot(layer.path, number, what, trainable and not what.startswith("moving_"))
            for number, what in enumerate(_variables(layer.kind, config))]


def _inner(tree: Tree, layer: Layer, entry: Any, role: str) -> list[Slot]:
    return _slots(tree, tree.child(layer, entry, role))


def _variables(kind: str, config: Mapping[str, Any]) -> list[str]:
    bias = ["bias"] if config.get("use_bias", True) else []
    if kind in KINDS:
        return ["kernel", "recurrent_kernel", *bias]
    if kind == "Dense":
        return ["kernel", *bias]
    if kind == "Embedding":
        return ["embeddings"]
    if kind == "PReLU":
        return ["alpha"]
    if kind in ("BatchNormalization", "LayerNormalization"):
        scale = ["gamma"] if config.get("scale", True) else []
        center = ["beta"] if config.get("center", True) else []
        moving = ["moving_mean", "moving_variance"] if kind == "BatchNormalization" else []
        return [*scale, *center, *moving]
    return []
