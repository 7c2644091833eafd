"""Weights that a file holds as whole numbers with scales, and that became floats on the way: held as int8 again.

Importers permute gates, transpose, join and slice what a file holds, each in its own place. None of that changes a
number, so a weight is known again by its numbers: where each of its output channels is int8 times one of the scales
that the file has, to the bit, it is held so. What cannot be seen so (a zero point that takes it out of int8, scales of
blocks, scales along the other axis, a product with something else) stays float32, which is right as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..types import Array
from .derived import Place, place
from .nodes import Graph, Node, Operator
from .quantized import Quantized, channel_axis
from .rows import BLOCK_BYTES
from .weights import MATRICES

LARGEST = 128           # of an int8, which has -128 too
MOST_TRIES = 16         # of scales that a channel's largest number fits; a file could have one for each of 128


def with_int8(graph: Graph, scales: Iterable[Any]) -> Graph:
    """The graph with those layers in int8_weights whose matrices are all int8 times scales of the file.

    scales: arrays of any shape, of what the file holds as whole numbers. A graph with a layer of float64 stays as it
    is: quantised layers compute in float32.
    """
    known = np.unique(np.concatenate([np.asarray(scale, np.float32).ravel() for scale in scales] or
                                     [np.empty(0, np.float32)]))
    known = known[np.isfinite(known) & (known > 0)]
    layers = [node for node in graph.nodes if not isinstance(node, Operator)]
    if not known.size or any(array.dtype == np.float64 for node in layers for array in node.tensors().values()):
        return graph
    finder = _Finder(known)
    return dataclasses.replace(graph, nodes=tuple(map(finder.node, graph.nodes)))


def with_floats(graph: Graph) -> Graph:
    """The graph with float32 arrays in the place of quantised weights; those that were one stay one."""
    made: dict[int, Array] = {}
    nodes = []
    for node in graph.nodes:
        changed: dict[str, Any] = {}
        for name, weight in {} if isinstance(node, Operator) else node.tensors().items():
            if isinstance(weight, Quantized):
                if id(weight) not in made:
                    made[id(weight)] = weight.whole()
                changed[name] = made[id(weight)]
        nodes.append(dataclasses.replace(node, **changed) if changed else node)
    return dataclasses.replace(graph, nodes=tuple(nodes))


def same_quantised(graph: Graph, other: Graph) -> bool:
    """Whether each quantised weight of a graph is, number for number and in its type, in another of the same layers."""
    beside = {node.name: node for node in other.nodes}
    for node in graph.nodes:
        for name, weight in {} if isinstance(node, Operator) else node.tensors().items():
            if not isinstance(weight, Quantized):
                continue
            theirs = getattr(beside.get(node.name), name, None)
            if not isinstance(theirs, Quantized) or theirs.type != weight.type or theirs.shape != weight.shape \
                    or not all(np.array_equal(one, two) for one, two in zip(weight.held().arrays(),
                                                                            theirs.held().arrays(), strict=True)):
                return False
    return True


class _Finder:
    """Finds int8 in weights. What several layers share is found once, and shared again.

    scales: float32, ascending, above 0 and finite.
    """

    def __init__(self, scales: Array) -> None:
        self.scales = scales
        self._found: dict[tuple[Place, int], Quantized | None] = {}

    def node(self, node: Node) -> Node:
        """The node with its matrices in int8_weights if all of them can be; else as it is."""
        if isinstance(node, Operator):
            return node
        made: dict[str, Any] = {}
        for name, array in node.tensors().items():
            if name in MATRICES:
                made[name] = self._weight(array, channel_axis(name))
                if made[name] is None:
                    return node
        return dataclasses.replace(node, **made) if made else node

    def _weight(self, array: Any, axis: int) -> Quantized | None:
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not array.size:
            return None
        key = place(array), axis
        if key not in self._found:
            self._found[key] = self._searched(array, axis)
        return self._found[key]

    def _searched(self, array: Array, axis: int) -> Quantized | None:
        values = np.empty(array.shape, np.int8)
        scale = np.empty((*array.shape[:-2], array.shape[axis]), np.float32)
        for outer in np.ndindex(*array.shape[:-2]):
            channels, kept = (matrix if axis == -2 else matrix.T for matrix in (array[outer], values[outer]))
            some = max(1, BLOCK_BYTES // (4 * channels.shape[1]))
            for begin in range(0, len(channels), some):
                part = slice(begin, begin + some)
                found = self._channels(np.ascontiguousarray(channels[part]))
                if found is None:
                    return None
                kept[part], scale[outer][part] = found
        values.flags.writeable = scale.flags.writeable = False
        return Quantized("int8_weights", values, scale, axis)

    def _channels(self, rows: Array) -> tuple[Array, Array] | None:
        """The int8 [channels, K] and the scales [channels] that are rows [channels, K]; None if one row is not.

        The largest magnitude of a row is a whole number of its scale: for each such number there are few scales to try.
        """
        largest = np.abs(rows).max(axis=1)
        if not np.isfinite(largest).all():
            return None
        values, scale = np.zeros(rows.shape, np.int8), np.ones(len(rows), np.float32)
        left, tries = np.flatnonzero(largest), 0
        for count in range(LARGEST, 0, -1):
            # Where count * scale rounds to the largest number, the scale is within 2 steps of float32 around this.
            around = largest[left] / np.float32(count)
            first = np.searchsorted(self.scales, np.nextafter(np.nextafter(around, np.float32(0)), np.float32(0)))
            for nth in range(5):
                tried = self.scales[np.minimum(first + nth, len(self.scales) - 1)]
                with np.errstate(over="ignore", under="ignore"):
                    may = np.flatnonzero(tried * np.float32(count) == largest[left])
                    tries += len(may)
                    whole = np.clip(np.rint(rows[left[may]] / tried[may, None]), -LARGEST, LARGEST - 1).astype(np.int8)
                    same = _same_bits(whole.astype(np.float32) * tried[may, None], rows[left[may]])
                here = may[same]
                values[left[here]], scale[left[here]] = whole[same], tried[here]
                keep = np.ones(len(left), bool)
                keep[here] = False
                left, first = left[keep], first[keep]
            if not left.size or tries > MOST_TRIES * len(rows):
                break
        zeros = largest == 0
        if left.size or not _same_bits(np.zeros_like(rows[zeros]), rows[zeros]).all():
            return None
        return values, scale


def _same_bits(one: Array, other: Array) -> Array:
    """Of each row whether it is the other's to the bit: -0.0 is no int8."""
    same: Array = (one.view(np.uint32) == other.view(np.uint32)).all(axis=1)
    return same
