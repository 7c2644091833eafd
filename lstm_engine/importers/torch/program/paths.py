"""How the conditions of a program name its inputs: by the place where each stands in a call of forward."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ....errors import FormatError
from ....strict_json import parse_value

LONGEST_KEYS = 20_000       # of the names of one dict among the arguments, as JSON
_MEMBER = re.compile(r"(.{1,200})_(\d{1,4})")


def paths_of(names: list[str], tree: Any, inputs: list[str | None]) -> dict[str, str]:
    """Where each input stands in a call: "L['x']", "L['state'][0]"; what the tree does not tell is left out.

    names: of forward's arguments. tree: the serialized structure of (args, kwargs). inputs: its leaves in order.
    """
    found: dict[str, str] = {}
    leaves = iter(inputs)
    args, kwargs = _children(tree)[:2] if len(_children(tree)) == 2 else (None, None)
    if args is None:
        return {}
    positional = _children(args)
    if len(names) < len(positional):
        return {}
    for name, child in zip(names, positional):
        places = [f"L[{name!r}]"]
        member = _MEMBER.fullmatch(name)
        if member and member[1] not in names:       # one of *args, which torch calls args_0, args_1
            places.append(f"L[{member[1]!r}][{int(member[2])}]")
        _walk(child, places, leaves, found)
    for key, child in zip(_keys(kwargs), _children(kwargs)):
        _walk(child, [f"L[{key!r}]"], leaves, found)
    return found


def _walk(node: Any, places: list[str], leaves: Iterator[str | None], found: dict[str, str]) -> None:
    children = _children(node)
    if node.get("type") is None:
        name = next(leaves, None)
        if name:
            found.update((place, name) for place in places)
        return
    keys = _keys(node) or list(range(len(children)))
    for key, child in zip(keys, children):
        _walk(child, [f"{place}[{key!r}]" for place in places], leaves, found)


def _children(node: Any) -> list[Any]:
    children = node.get("children_spec") if isinstance(node, dict) else None
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []


def _keys(node: Any) -> list[Any]:
    context = node.get("context") if isinstance(node, dict) else None
    if not isinstance(context, str) or len(context) > LONGEST_KEYS or not str(node.get("type")).endswith("dict"):
        return []
    try:
        keys = parse_value(context, "keys")
    except FormatError:
        return []
    return keys if isinstance(keys, list) and all(isinstance(key, (str, int)) for key in keys) else []
