"""The order of nodes: only those that outputs need, each after what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ....errors import FormatError
from ...order import Circle, in_order
from ..model import OnnxGraph, OnnxNode


def needed_nodes(nodes: Sequence[OnnxNode], outputs: Sequence[str], known: Callable[[str], bool]) -> list[OnnxNode]:
    """The nodes that `outputs` need, in an order that can run; `known` says which names come from outside.

    Raises FormatError for a name made twice or by no node, and for nodes that need each other in a circle.
    """
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in maker or known(name):
                raise FormatError(f"{node.label}: value {name!r} is made twice")
            maker[name] = i
    needs: dict[int, set[int]] = {}
    pending = [maker[name] for name in outputs if _made(name, maker, known, "the graph's outputs")]
    while pending:
        i = pending.pop()
        if i in needs:
            continue
        needs[i] = {maker[name] for name in _reads(nodes[i]) if name in maker}
        for name in filter(None, nodes[i].inputs):
            _made(name, maker, known, nodes[i].label)
        pending += needs[i]
    try:
        return [nodes[i] for i in in_order({i: needs[i] for i in sorted(needs)})]
    except Circle as circle:
        label = nodes[circle.item].label
        raise FormatError(f"{label}: it needs its own result, directly or through other nodes") from None


def names_read(nodes: Sequence[OnnxNode], outputs: Sequence[str]) -> frozenset[str]:
    """Every name that nodes or outputs read."""
    return frozenset(outputs).union(*map(_reads, nodes))


def _made(name: str, maker: dict[str, int], known: Callable[[str], bool], who: str) -> bool:
    """Whether a node makes `name`; raises FormatError if nothing does."""
    if name not in maker and not known(name):
        raise FormatError(f"{who}: value {name!r} is made by no node and is no input")
    return name in maker


def _reads(node: OnnxNode) -> Iterator[str]:
    """Names that a node needs, those that its inner graphs take from around it included."""
    yield from filter(None, node.inputs)
    for value in node.attributes.values():
        if isinstance(value, OnnxGraph):
            own = {*value.tensors, *(given.name for given in value.inputs), *(name for inside in value.nodes
                                                                             for name in inside.outputs)}
            yield from (name for inside in value.nodes for name in _reads(inside) if name not in own)
            yield from (name for name in value.outputs if name not in own)
