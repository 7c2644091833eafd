"""Where the weights of a model live: large matrices packed in the core alone, everything else as arrays, each once.

The core packs its weights for the kernels, so a matrix that also stayed as the array it came in would be held twice.
`SkeletonBuilder` makes the nodes a plan keeps: `Packed` stands for each such matrix. `restore` unpacks them, to the
bit. A model thus depends neither on its file after loading, nor on arrays that its maker may change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any, SupportsIndex, TypeVar

import numpy as np

from .. import _core
from ..graph import Graph, Loop, Node, Operator
from ..graph.derived import Derived, Place, place
from ..graph.nodes import every_node
from ..graph.quantized import Quantized
from ..graph.rows import Rows
from ..pages import lone
from .pickling import Reduced, reduced

_MATRICES = ("W", "R", "projection", "kernel", "table")
N = TypeVar("N", bound=Node)
Source = tuple[_core.CoreModel, int, str]           # core, number of the operation, field


def arrays_of(node: Node) -> Iterator[np.ndarray]:
    """The arrays of a node's weights, those of quantised ones among them."""
    for weight in node.tensors().values():
        if isinstance(weight, Quantized):
            yield from map(held, weight.arrays())
        else:
            yield weight


def held(weight: np.ndarray | Rows) -> np.ndarray:
    """A weight of a graph that is not a skeleton: an array."""
    assert isinstance(weight, np.ndarray)
    return weight


class Packed(Rows):
    """A weight whose values the core holds. Stands once for an array that nodes share."""

    def __init__(self, array: np.ndarray, quantized: bool = False) -> None:
        super().__init__(array.shape, array.dtype)
        self.quantized = quantized                  # the values of a Quantized, which the core has in their own type
        self.source: Source | None = None

    def rows(self, begin: int, end: int) -> np.ndarray:
        """Rows as they came."""
        assert self.source is not None
        core, number, field = self.source
        out = np.empty((end - begin, self.shape[-1]), self.dtype if self.quantized else core.dtype)
        core.unpack(number, field, begin, out)
        return out.astype(self.dtype, copy=False)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Reduced:
        return reduced(self, protocol)


class Sharing:
    """What the cores of one plan are given to pack, so that each array is packed once; for as long as a plan is made.

    An array that one node alone has is packed and let go: only what several name is kept until the last is made.
    """

    def __init__(self, graph: Graph) -> None:
        places = Counter(place(array) for node in every_node(graph) for array in arrays_of(node))
        self._shared = {own for own, count in places.items() if count > 1}
        self._derived = Derived()
        self._store = _core.Store() if self._shared else None
        self._lone = lone(array for node in every_node(graph) for array in arrays_of(node))

    def stands_for(self, own: np.ndarray, array: np.ndarray) -> None:
        """`own` is read in place of `array`, by all nodes that have that."""
        if self._is_shared(array):
            self._shared.add(place(own))

    def _is_shared(self, array: np.ndarray) -> bool:
        return bool(self._shared) and place(array) in self._shared

    def lend(self, core: _core.CoreModel, node: Node) -> None:
        """Let the layer that is added next, for this node, share what is packed where it has weights of others."""
        if self._store is not None:
            core.share(self._store if any(map(self._is_shared, arrays_of(node))) else None)

    def use_up(self, core: _core.CoreModel, node: Node) -> None:
        """Let the layer that is added next, for this node, give back the memory of its matrices while it packs them,
        where it is the last to read them."""
        matrices = [weight.values if isinstance(weight, Quantized) else weight
                    for name, weight in node.tensors().items() if name in _MATRICES]
        core.consume(bool(matrices) and all(id(array) in self._lone for array in matrices))

    def made(self, way: Hashable, make: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
        """make(array), the same array for all nodes that share `array`; `way` tells makers apart."""
        return self._derived.get(way, make, array) if self._is_shared(array) else make(array)

    def contiguous(self, weight: Any, dtype: str) -> Any:
        """A weight as a core takes it: C-contiguous, an array of its dtype or a Quantized of its own types."""
        if isinstance(weight, Quantized):
            scale = None if weight.scale is None else self.contiguous(weight.scale, "float32")
            return replace(weight, values=self.contiguous(held(weight.values), weight.values.dtype.name), scale=scale)
        return self.made(dtype, lambda array: np.ascontiguousarray(array, dtype), weight)


class SkeletonBuilder:
    """Makes the nodes that a plan keeps out of those of a graph, which must outlive it."""

    def __init__(self, graph: Graph, host: Iterable[Node], sharing: Sharing) -> None:
        self.graph, self.sharing = graph, sharing
        self._nodes: dict[int, Any] = {}
        # What NumPy reads stays an array; a view is copied, since it would keep alive all it is a part of.
        self._arrays: dict[Place, Any] = {}
        self._quantised: dict[int, Quantized] = {}
        for node in host:
            for weight in node.tensors().values():
                self._whole(weight)

    def _whole(self, weight: Any) -> Any:
        """A weight that NumPy reads, or hands to a core of its own: as arrays, a quantised one too."""
        if not isinstance(weight, Quantized):
            return self._keep(weight)
        if id(weight) not in self._quantised:
            scale = None if weight.scale is None else self._keep(weight.scale)
            self._quantised[id(weight)] = replace(weight, values=self._keep(held(weight.values)), scale=scale)
        return self._quantised[id(weight)]

    def _keep(self, array: np.ndarray) -> np.ndarray:
        own = place(array)
        if own not in self._arrays:
            self._arrays[own] = array if array.base is None else array.copy()
            self.sharing.stands_for(self._arrays[own], array)
        kept: np.ndarray = self._arrays[own]
        return kept

    def host(self, node: N) -> N:
        """A node that NumPy runs, its weights as arrays."""
        if isinstance(node, (Operator, Loop)):
            changed: dict[str, Any] = {"constants": {at: self._keep(array) for at, array in node.constants.items()}}
        else:
            changed = {name: self._whole(weight) for name, weight in node.tensors().items()}
        skeleton = replace(node, **changed)
        self._nodes[id(node)] = skeleton
        return skeleton

    def loop(self, node: Loop, body: Graph) -> Loop:
        """A loop, with the skeleton of its body."""
        self._nodes[id(node)] = skeleton = replace(self.host(node), body=body)
        return skeleton

    def core(self, node: N, core: _core.CoreModel, number: int) -> N:
        """A node that `core` runs as operation `number`, its matrices packed there."""
        changed: dict[str, Any] = {}
        for name, weight in node.tensors().items():
            if isinstance(weight, Quantized):
                changed[name] = self._quantized(weight, (core, number, name))
            elif name not in _MATRICES or not np.can_cast(weight.dtype, core.dtype, "safe"):
                changed[name] = self._keep(weight)
            else:
                changed[name] = self._packed(weight, Packed(weight), (core, number, name))
        self._nodes[id(node)] = skeleton = replace(node, **changed)
        return skeleton

    def _packed(self, array: np.ndarray, packed: Packed, source: Source) -> Any:
        """What stands for an array that the core has, once for all who share it: an array where NumPy reads it."""
        kept = self._arrays.setdefault(place(array), packed)
        if isinstance(kept, Packed) and kept.source is None:
            kept.source = source
        return kept

    def _quantized(self, weight: Quantized, source: Source) -> Quantized:
        """A quantised weight with its values packed, once for all nodes that share it."""
        if id(weight) not in self._quantised:
            values = self._packed(held(weight.values), Packed(held(weight.values), quantized=True), source)
            scale = None if weight.scale is None else self._keep(weight.scale)
            self._quantised[id(weight)] = replace(weight, values=values, scale=scale)
        return self._quantised[id(weight)]

    def skeleton(self) -> Graph:
        """The graph with the nodes made so far in place of its own."""
        return replace(self.graph, nodes=tuple(self._nodes.get(id(node), node) for node in self.graph.nodes))


def restore(skeleton: Graph) -> Graph:
    """The whole graph: a node's weights as the arrays they came as, shared where they were shared."""
    made: dict[int, np.ndarray] = {}
    quantized: dict[int, Quantized] = {}

    def array(weight: Any) -> Any:
        if not isinstance(weight, Rows):
            return weight
        if id(weight) not in made:
            made[id(weight)] = weight.whole()
        return made[id(weight)]

    def whole(node: Node) -> Node:
        held: dict[str, Any] = dict(node.tensors())
        changed: dict[str, Any] = {}
        for name, weight in held.items():
            if isinstance(weight, Rows):
                changed[name] = array(weight)
            elif isinstance(weight, Quantized) and isinstance(weight.values, Rows):
                if id(weight) not in quantized:         # several may hold the same values
                    quantized[id(weight)] = replace(weight, values=array(weight.values))
                changed[name] = quantized[id(weight)]
        if isinstance(node, Loop):
            changed["body"] = replace(node.body, nodes=tuple(map(whole, node.body.nodes)))
        return replace(node, **changed) if changed else node

    return replace(skeleton, nodes=tuple(whole(node) for node in skeleton.nodes))


def held_bytes(skeletons: Iterable[Graph]) -> tuple[int, int]:
    """Bytes of the arrays beside what is packed: the constants of host operators, and weights that are not those."""
    operators: dict[int, int] = {}
    layers: dict[int, int] = {}
    for node in (node for skeleton in skeletons for node in every_node(skeleton)):
        parts = (part for weight in node.tensors().values()
                 for part in (weight.arrays() if isinstance(weight, Quantized) else (weight,)))
        for array in parts:
            if not isinstance(array, Rows):
                (operators if isinstance(node, (Operator, Loop)) else layers)[id(array)] = array.nbytes
    return sum(operators.values()), sum(size for array, size in layers.items() if array not in operators)
