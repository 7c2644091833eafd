"""One layer at several places: in models inside models, in wrappers, a cell in several RNNs.

Keras writes the arrays of such a layer at one of its places, which depends on how it walked through the models.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

from .config import Layer, Tree, walk
from .parts import parts


def share(tree: Tree, model: Layer, stored: Iterable[str]) -> dict[str, str]:
    """Make one layer of those in several models that are one; stored: the names of all arrays ("<path>/vars/0").

    Returns where the arrays of what is inside wrappers stand, by its path, where that is elsewhere.
    """
    inside = [part for layer in walk(model) for part in _parts(tree, layer)]
    everywhere = [*walk(model), *inside]
    places: dict[int, list[Layer]] = {}
    for layer in everywhere:
        if layer.shared is not None:
            places.setdefault(layer.shared, []).append(layer)
    names, moved = sorted(stored) if places else [], {}
    held = {id(part) for part in inside}
    for layers in places.values():
        holder = _holder(layers, everywhere, names)
        for layer in layers:
            if layer is holder:
                continue
            if id(layer) not in held:
                _become(layer, holder)
            elif layer.kind == holder.kind and not _has_any(names, f"{layer.path}/"):
                moved[layer.path] = holder.path
    return moved


def _parts(tree: Tree, layer: Layer) -> Iterator[Layer]:
    """What stands inside a wrapper, and inside that."""
    for inner, _, _ in parts(tree, layer):
        yield inner
        yield from _parts(tree, inner)


def _holder(layers: list[Layer], everywhere: list[Layer], names: list[str]) -> Layer:
    """The place of one layer that has its arrays, else the first."""
    for layer in layers:
        if _has_any(names, f"{layer.path}/"):
            return layer
    # Of a place Keras may have lost the number: it is alike in all else, and has the arrays.
    config = _without_numbers(layers[0].config)
    others = [layer for layer in everywhere if layer.shared is None and layer.kind == layers[0].kind
              and _without_numbers(layer.config) == config and _has_any(names, f"{layer.path}/")]
    return others[0] if len(others) == 1 else layers[0]


def _without_numbers(value: Any) -> Any:
    """A configuration without the numbers of what is shared in it."""
    if isinstance(value, dict):
        return {key: _without_numbers(entry) for key, entry in value.items() if key != "shared_object_id"}
    return [_without_numbers(entry) for entry in value] if isinstance(value, list) else value


def _has_any(names: list[str], prefix: str) -> bool:
    """Whether any of sorted names begins so."""
    place = bisect_left(names, prefix)
    return place < len(names) and names[place].startswith(prefix)


def _become(layer: Layer, other: Layer) -> None:
    """Give a layer the settings and the arrays of the one that it is, and the layers inside it theirs."""
    if layer.kind == other.kind and len(layer.layers) == len(other.layers):
        layer.path, layer.config = other.path, other.config
        for inner, one in zip(layer.layers, other.layers):
            _become(inner, one)
