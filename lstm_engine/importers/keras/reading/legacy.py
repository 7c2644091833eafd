"""Arrays of older files, put at the paths that Keras 3 gives them.

Legacy HDF5 files keep the arrays of each top-level layer as one flat list. The first `.keras` files, of Keras
2.12 and 2.13, number the groups of a class in their own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from .config import Layer, Tree, snake_case
from .naming import BESIDE, MAX_OWNERS, keras1_count, may_be, other_side, what_of, whose
from .owners import Owner, is_frozen, owners


def by_path(tree: Tree, model: Layer, stored: list[Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by the paths that a `.keras` file has.

    stored: [[layer name, [weight name, ...]], ...]; arrays by "layer name/weight name".
    Raises FormatError if a layer's list does not fit its configuration, UnsupportedError if neither names nor
    order say whose its arrays are.
    """
    if not _is_list_of_layers(stored, arrays):
        raise FormatError("the HDF5 parser answered no list of layers and their arrays")
    names = {layer_name: weight_names for layer_name, weight_names in stored}
    if len(names) != len(stored):
        raise FormatError("HDF5 attribute 'layer_names' names a layer twice")
    known = {layer.name for layer in model.layers}
    others = [name for name, weight_names in names.items() if weight_names and name not in known]
    if others:
        more = ", ..." if len(others) > 4 else ""
        raise FormatError(f"the file holds arrays of {', '.join(map(repr, others[:4]))}{more}, which are no layers of "
                          "the model; is it another model's?")
    placed: dict[str, np.ndarray] = {}
    for layer in model.layers:
        for path, weight_name in _placed(tree, layer, names.get(layer.name, [])):
            placed[path] = arrays[f"{layer.name}/{weight_name}"]
    return placed


def _is_list_of_layers(stored: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether it is what `by_path` takes: it comes from a process that a hostile file may own."""
    return type(stored) is list and all(
        type(entry) is list and len(entry) == 2 and type(entry[0]) is str and type(entry[1]) is list
        and all(type(name) is str and f"{entry[0]}/{name}" in arrays for name in entry[1]) for entry in stored)


def _placed(tree: Tree, layer: Layer, names: list[str]) -> Iterator[tuple[str, str]]:
    """(path, weight name) of each array of a top-level layer."""
    inner = owners(tree, layer)
    if len(inner) > MAX_OWNERS:
        raise UnsupportedError(f"{layer} holds {len(inner)} layers with arrays; supported: at most {MAX_OWNERS}")
    if len(inner) == 1 and not layer.is_model:       # how many arrays it may have is looked at where they are used
        yield from _in_order(layer, [(inner[0], number) for number in range(len(names))], names)
        return
    pairs, left, open_groups = whose(inner, names)
    for owner, group in pairs:
        yield from _in_order(layer, [(owner, number) for number in range(len(group.names))], group.names)
    if left or open_groups:
        open_names = {name for group in open_groups for name in group.names}
        yield from _by_order(tree, layer, left, [name for name in names if name in open_names])


def _in_order(layer: Layer, slots: Sequence[tuple[Owner, int]], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, weight name) of names that stand in the order of their slots, (layer, number) each."""
    for (owner, number), name in zip(slots, names):
        what = what_of(name)
        wanted = owner.variables[number] if number < len(owner.variables) else what
        if not may_be(what, wanted):
            raise FormatError(f"{layer}: its array {name!r} stands where {wanted!r} was expected")
        yield f"{owner.path}/vars/{number}", name


def _by_order(tree: Tree, layer: Layer, left: list[Owner], names: list[str]) -> Iterator[tuple[str, str]]:
    """(path, weight name) of what the names left open, by the order of the list: where nothing is frozen it tells."""
    slots = [(owner, number) for owner in left for number in range(len(owner.variables))]
    # What training changes comes first, then what it does not, over all layers of a model.
    slots.sort(key=lambda slot: slot[0].variables[slot[1]].startswith(BESIDE))
    if len(names) != len(slots):
        each = len(names) // max(len(left), 1)
        if layer.is_model or not left or len(names) % len(left) or any(keras1_count(owner) != each for owner in left):
            raise FormatError(f"{layer}: the file holds {len(names)} arrays for {_shown(left)}; expected {len(slots)}")
        slots = [(owner, number) for owner in left for number in range(each)]
    if is_frozen(tree, layer) or any(other_side(owner, name) for (owner, _), name in zip(slots, names)):
        raise UnsupportedError(
            f"{layer}: whose its arrays {', '.join(map(repr, names[:4]))}{', ...' if len(names) > 4 else ''} are "
            "cannot be told: layers inside it are frozen (trainable is false), which changes the order of arrays, "
            f"and their names fit {_shown(left)} equally well or not at all; save the model again as a .keras file")
    yield from _in_order(layer, slots, names)


def _shown(left: Sequence[Owner]) -> str:
    shown = ", ".join(map(str, left[:4])) or "no layer"
    return f"{shown}, ..." if len(left) > 4 else shown


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
        if owners(tree, layer):
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
