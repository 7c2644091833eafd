"""What is inside a wrapper: the layer of a Bidirectional or TimeDistributed, the cells of an RNN."""

from __future__ import annotations

from typing import Any

from ....errors import FormatError
from .config import Layer, Tree, snake_case
from .settings import Settings

# The normalisations of a LayerNormLSTMCell: of x W, of h R and of c.
NORMS = ("kernel_norm", "recurrent_norm", "state_norm")


def parts(tree: Tree, layer: Layer) -> list[tuple[Layer, str, int | None]]:
    """What a wrapper holds, what Keras calls it there, and its number if it is one of several cells."""
    config = layer.config
    if layer.kind == "Bidirectional":
        entry = config.get("layer")
        sides = [(tree.child(layer, entry, "forward_layer"), "forward"),
                 (tree.child(layer, config.get("backward_layer") or entry, "backward_layer"), "backward")]
        return [(inner, f"{side}_{inner.name.removeprefix(f'{side}_')}", None) for inner, side in sides]
    if layer.kind in ("TimeDistributed", "SpectralNormalization"):
        inner = tree.child(layer, config.get("layer"), "layer")
        return [(inner, inner.name, None)]
    if layer.kind in ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention"):
        bias = Settings({"use_bias": layer.config.get("use_bias", True)})
        roles = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
        return [(Layer(called, "EinsumDense", bias, f"{layer.where}/{called}", f"{layer.path}/{role}_dense"), called,
                 None) for role, called in roles.items()]
    if layer.kind == "CRF" and layer.config.get("use_kernel", True) is True:
        return [(Layer("dense", "Dense", Settings({"use_bias": True}), f"{layer.where}/dense",
                       f"{layer.path}/_dense_layer"), "dense", None)]
    if layer.kind == "LayerNormLSTMCell":
        return [(Layer(name, "LayerNormalization", Settings({}), f"{layer.where}/{name}", f"{layer.path}/{name}"), name,
                 None) for name in NORMS]
    if layer.kind == "RNN":
        inner = tree.child(layer, cell_entry(layer), "cell")
        return [(inner, inner.name, None)]
    if layer.kind == "StackedRNNCells":
        cells = [tree.child(layer, entry, role) for role, entry in stacked_roles(layer)]
        return [(inner, inner.name, number) for number, inner in enumerate(cells)]
    return []


def cell_entry(layer: Layer) -> Any:
    """The configuration of an RNN's cell; of several cells Keras 2 wrote a list."""
    cell = layer.config.get("cell")
    return {"class_name": "StackedRNNCells", "config": {"cells": cell}} if isinstance(cell, list) else cell


def stacked_roles(cell: Layer) -> list[tuple[str, Any]]:
    """(role, configuration) of each of StackedRNNCells' cells, the role as Keras names its group."""
    counts: dict[str, int] = {}
    roles = []
    for entry in cell.get("cells", list):
        kind = snake_case(str(entry.get("class_name"))) if isinstance(entry, dict) else ""
        index = counts[kind] = counts.get(kind, -1) + 1
        roles.append((f"cells/{kind}_{index}" if index else f"cells/{kind}", entry))
    if not roles:
        raise FormatError(f"{cell} has no cells")
    return roles
