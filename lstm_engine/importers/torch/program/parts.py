"""Parts of a program that stand in it as programs of their own: what `with torch.no_grad()` has around it, or autocast
that is off. They change no number, so their nodes are put in their place, under names that nothing else has.

Source of the layout: torch/_higher_order_ops/wrap.py, torch/_export/serde/schema.py (GraphArgument).
"""

from __future__ import annotations

from typing import Any

from ....errors import FormatError, UnsupportedError

MAX_DEPTH = 20
# How many arguments stand before the part itself, and the one that must be false, if there is one.
_WRAPPERS = {"torch.ops.higher_order.wrap_with_set_grad_enabled": (1, None),
             "torch.ops.higher_order.wrap_with_autocast": (4, 2)}


def with_parts(graph: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A serialized graph with the nodes of its parts among its own. Raises FormatError, UnsupportedError."""
    nodes = graph.get("nodes")
    if not isinstance(nodes, list) or not any(_is_wrapper(node) for node in nodes):
        return graph
    if depth > MAX_DEPTH:
        raise UnsupportedError(f"parts of the program stand in each other more than {MAX_DEPTH} deep")
    made: dict[str, Any] = {**graph, "nodes": []}
    for table in ("tensor_values", "sym_int_values"):
        made[table] = dict(_of(graph, table, dict))
    for at, node in enumerate(nodes):
        if not _is_wrapper(node):
            made["nodes"].append(node)
            continue
        _put(made, node, f"part{depth}_{at}_", depth)
    return made


def _is_wrapper(node: Any) -> bool:
    """Whether a node has a part that changes no number."""
    if not isinstance(node, dict) or not isinstance(node.get("target"), str) or node["target"] not in _WRAPPERS:
        return False
    _, off = _WRAPPERS[node["target"]]
    given = node.get("inputs")
    return off is None or isinstance(given, list) and len(given) > off and isinstance(given[off], dict) and (
        given[off].get("arg") == {"as_bool": False})


def _put(made: dict[str, Any], node: dict[str, Any], prefix: str, depth: int) -> None:
    """Put the nodes of a part, and what is said of its values, into the graph that is made."""
    before, _ = _WRAPPERS[node["target"]]
    given: list[Any] = [item.get("arg") if isinstance(item, dict) else None for item in _of(node, "inputs", list)]
    held: Any = given[before].get("as_graph") if len(given) > before and isinstance(given[before], dict) else None
    part = with_parts(_of(held, "graph", dict), depth + 1)
    inside, outside = _of(part, "inputs", list), given[before + 1:]
    made_inside, results = _of(part, "outputs", list), _of(node, "outputs", list)
    if len(inside) != len(outside) or len(made_inside) != len(results):
        raise FormatError(f"node {node.get('name')!r:.100}: its part has other inputs or outputs than it is given")
    names: dict[str, str] = {}
    for value, argument in zip(inside, outside):
        names[_name(value, node)] = _name(argument, node)
    for inner in _of(part, "nodes", list):
        if not isinstance(inner, dict):
            raise FormatError("a node must be a JSON object")
        for output in _names_in(inner.get("outputs")):
            names.setdefault(output, f"{prefix}{output}")
        made["nodes"].append({**inner, "inputs": _renamed(inner.get("inputs"), names),
                              "outputs": _renamed(inner.get("outputs"), names)})
    for table in ("tensor_values", "sym_int_values"):
        made[table].update((names[name], value) for name, value in _of(part, table, dict).items()
                           if name in names and names[name] not in made[table])
    for value, result in zip(made_inside, results):
        name = _name(value, node)
        alias = {"name": "self", "arg": {"as_tensor": {"name": names.get(name, name)}}}
        made["nodes"].append({"target": "torch.ops.aten.alias.default", "inputs": [alias], "outputs": [result],
                              "name": _name(result, node)})


def _of(tree: Any, name: str, kind: type) -> Any:
    value = tree.get(name) if isinstance(tree, dict) else None
    if not isinstance(value, kind):
        raise FormatError(f"model.json: a part of the program must have {name!r}")
    return value


def _name(argument: Any, node: dict[str, Any]) -> str:
    """The name of a tensor or a size that goes into a part or comes out of it."""
    found = list(_names_in(argument))
    if len(found) != 1:
        raise UnsupportedError(f"node {node.get('name')!r:.100} ({node['target']}): what goes into it or comes out of "
                               "it is no tensor and no open size, which is not supported")
    return found[0]


def _names_in(argument: Any) -> list[str]:
    """The names of values in serialized arguments."""
    if isinstance(argument, list):
        return [name for item in argument for name in _names_in(item)]
    if not isinstance(argument, dict):
        return []
    if isinstance(argument.get("name"), str) and set(argument) == {"name"}:
        return [argument["name"]]
    if isinstance(argument.get("as_name"), str):
        return [argument["as_name"]]
    return [name for item in argument.values() for name in _names_in(item)]


def _renamed(argument: Any, names: dict[str, str]) -> Any:
    if isinstance(argument, list):
        return [_renamed(item, names) for item in argument]
    if not isinstance(argument, dict):
        return argument
    if isinstance(argument.get("name"), str) and set(argument) == {"name"}:
        return {"name": names.get(argument["name"], argument["name"])}
    if isinstance(argument.get("as_name"), str):
        return {**argument, "as_name": names.get(argument["as_name"], argument["as_name"])}
    return {key: _renamed(item, names) for key, item in argument.items()}
