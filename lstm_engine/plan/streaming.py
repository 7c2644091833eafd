"""A plan whose windows over time run step by step: their past comes in and goes out as a value.

A convolution, pool, pad or slice along time is put in the form that it has in a stream: the last steps of its input
stand before the new ones. So a chunk of steps is an ordinary run of an ordinary plan, under the same limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm, prod

import numpy as np

from ..errors import GraphError, UnsupportedError
from ..graph import Activate, Graph, Node, Operator, Pool, Recurrent, Value
from ..graph.names import Names
from ..graph.nodes import Dim
from ..operators import OPERATORS, infer_shapes
from ..operators.guards import guards
from ..operators.past import Fills
from .lower import Plan, lower
from .row_axes import place_of, row_places
from .spans import MOST_AT_ONCE, Spans, refusal
from .weights import restore

MOST_CANDIDATES = 16        # axes of the inputs that may be time, each followed through the graph
MOST_FOLLOWED = 1 << 18     # nodes, in all of these ways


@dataclass(frozen=True)
class Past:
    """The past of a node that works along time: the input `value` of the plan that brings it, the output `after` that
    gives it behind the steps of a call. At most `memory` steps stand along `axis`; at the beginning those of `start`.

    lag, rate: of the node's input, see `Span`. rows: the axis of the sequences, None if none is known.
    """

    node: str
    value: str
    after: str
    axis: int
    memory: int
    start: Fills
    lag: int
    rate: int
    rows: int | None
    shape: tuple[Dim, ...]
    dtype: str

    @property
    def grows(self) -> int:
        """Steps that are missing at the beginning."""
        return self.memory - sum(steps for steps, _ in self.start)

    def has(self, come: int) -> int:
        """Its number of steps after so many of the model's have come."""
        return self.memory - self.grows + min(max(come // self.rate - self.lag, 0), self.grows)

    def sizes(self, batch: int, steps: int) -> tuple[int, ...]:
        """Its shape with so many steps, in a stream of `batch` sequences."""
        sizes = [dim if isinstance(dim, int) else batch for dim in self.shape]
        return (*sizes[:self.axis], steps, *sizes[self.axis + 1:])

    def beginning(self, batch: int) -> np.ndarray:
        """What stands there before the first step."""
        array = np.empty(self.sizes(batch, self.memory - self.grows), self.dtype)
        least = np.iinfo(array.dtype).min if array.dtype.kind in "iu" else 0
        at = 0
        for steps, fill in self.start:
            array[(slice(None),) * self.axis + (slice(at, at + steps),)] = \
                least if array.dtype.kind in "iu" and fill == -np.inf else fill
            at += steps
        return array

    def nbytes(self, batch: int) -> int:
        return prod(self.sizes(batch, self.memory)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Streaming:
    """What a stream of a model with windows over time runs: a plan in which they have a past.

    waits: each value is there once more steps of the inputs than this have come; -1: from the beginning. at_once: steps
    come in multiples of this number, for `strided`, a node, gives one for several.
    """

    plan: Plan
    pasts: tuple[Past, ...]
    waits: Mapping[str, int]
    at_once: int
    strided: str


def streaming(plan: Plan, threads: int) -> tuple[Streaming, Graph] | None:
    """The plan with windows along time in the form that they have in a stream; None if it has none. Beside it its graph
    with all weights, for whoever checks the plan: not to be kept, for the plan has packed them.

    Raises UnsupportedError, with the reason, for a model whose windows cannot run step by step.
    """
    if not any(isinstance(node, Operator) and OPERATORS[node.op_type].past for node in plan.skeleton.nodes):
        return None
    found = _chosen(plan)
    if found is None or not found.spans.slides:
        return None
    graph, waits, pasts = _with_pasts(found, plan)
    rates = {name: span.rate for name, span in found.spans.spans.items()}
    at_once = lcm(*rates.values())
    if at_once > MOST_AT_ONCE:
        raise refusal(f"its steps come in pieces of {at_once} at least; at most {MOST_AT_ONCE} are supported")
    graph = restore(graph)
    made = lower(graph, isa=plan.isa, gemm=plan.gemm, threads=threads, limits=plan.bounds.limits)
    axes = made.axes.followed({name: span.place for name, span in found.spans.spans.items()})
    strided = next((name for name, rate in rates.items() if rate > 1), "")
    return Streaming(replace(made, axes=axes), pasts, waits, at_once, strided), graph


# ---- which axis is time ---------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Found:
    """A graph with one axis of its inputs taken for time, of any size."""

    graph: Graph
    spans: Spans
    start: dict[str, int | None]
    named: bool                 # the model itself leaves the size of that axis open

    @property
    def reaches(self) -> bool:
        """Whether the axis goes through a recurrent or pooling layer, or windows slide along it."""
        return bool(self.spans.layers or self.spans.slides or self.spans.stopped)


def _chosen(plan: Plan) -> _Found | None:
    """The graph with the axis of time found: the one that goes through the layers, or, where there are none, the one
    that windows slide along."""
    starts = _starts(plan)
    if not starts:
        return None
    followed = [found for start in starts if (found := _followed(plan.skeleton, start)) is not None]
    tried = [found for found in followed if found.reaches] or [found for found in followed if found.named]
    layers = any(isinstance(node, (Recurrent, Pool)) for node in plan.skeleton.nodes)
    right = [found for found in tried if found.spans.failure is None and found.reaches
             and (found.spans.layers or not layers)]
    if len(right) > 1:
        right = [found for found in right if found.named] or right
    if len(right) == 1:
        return right[0]
    if right:
        axes = ", ".join(f"axis {at} of {name!r}" for found in right for name, at in found.start.items()
                         if at is not None)
        raise refusal(f"nothing says which axis is time, {axes}; give the one a name and the others their sizes at "
                      "conversion: spec={'shapes': {...}}")
    failed = [found.spans.failure for found in sorted(tried, key=lambda found: (not found.spans.layers,
                                                                                not found.named))
              if found.spans.failure is not None]
    # A model of nothing but windows, of fixed sizes, may as well take an image at each step: nothing is carried then.
    if failed and failed[0] is not None and (layers or any(found.named for found in tried)):
        raise failed[0] if any(found.named for found in tried) else refusal(
            f"{str(failed[0]).partition(': ')[2]} (the model says how many steps a sequence has; where its shapes hold "
            "for that number alone, convert one that leaves it open)")
    return None


def _starts(plan: Plan) -> list[dict[str, int | None]]:
    """What may be the axis of time in the inputs: each way to take axes of one symbol, or of one size, for it."""
    axes, inputs = plan.axes, plan.inputs
    known = {value.name: at for value in inputs if (at := axes.time_axis(value.name)) is not None
             and isinstance(value.shape[at], str)}
    if len({axes.time(name) for name in known}) > 1:
        return []
    if known:
        return [{value.name: known.get(value.name) for value in inputs}]
    free = {value.name: [at for at, dim in enumerate(value.shape)
                         if dim != axes.batch or isinstance(dim, int) and at != axes.batch_axis(value.name)]
            for value in inputs}
    starts: list[dict[str, int | None]] = []
    for value in inputs:
        for at in free[value.name]:
            start: dict[str, int | None] = {}
            for other in inputs:
                places = [at] if other is value else \
                    [place for place in free[other.name] if other.shape[place] == value.shape[at]]
                start[other.name] = places[0] if len(places) == 1 else None
            if start not in starts:
                starts.append(start)
            if len(starts) > MOST_CANDIDATES or len(starts) * len(plan.skeleton.nodes) > MOST_FOLLOWED:
                return []
    return starts


def _followed(graph: Graph, start: dict[str, int | None]) -> _Found | None:
    """The graph with these axes of its inputs of any size; None where its shapes do not allow that."""
    taken = {dim for value in graph.inputs for dim in value.shape if isinstance(dim, str)}
    symbol = next((str(value.shape[at]) for value in graph.inputs
                   if (at := start[value.name]) is not None and isinstance(value.shape[at], str)), "")
    named = bool(symbol)
    symbol = symbol or Names(taken).unused("steps")
    inputs = tuple(value if (at := start[value.name]) is None else
                   replace(value, shape=(*value.shape[:at], symbol, *value.shape[at + 1:])) for value in graph.inputs)
    freed = replace(graph, inputs=inputs)
    try:
        values = infer_shapes(freed)
        free = all(at is None or values[name].shape[at] == symbol for name, at in start.items())
    except (GraphError, UnsupportedError):
        free = False
    if not free:
        found = _Found(graph, Spans(graph.nodes, infer_shapes(graph), start), start, named)
        name, at = next((name, at) for name, at in start.items() if at is not None)
        if found.spans.failure is None:
            found.spans.failure = refusal(f"windows slide along axis {at} of {name!r}, and its shapes hold for that "
                                          "number of steps alone")
        return found if found.spans.slides or found.spans.stopped else None
    return _Found(freed, Spans(freed.nodes, values, start), start, named)


# ---- the graph of a stream ------------------------------------------------------------------------------------------

def _with_pasts(found: _Found, plan: Plan) -> tuple[Graph, dict[str, int], tuple[Past, ...]]:
    graph, spans = found.graph, found.spans
    for name in graph.outputs:
        span = spans.spans[name]
        if span.behind:
            raise refusal(f"output {name!r} needs steps to come: {span.padded}")
        if span.before:
            raise refusal(f"output {name!r} begins with padding before the first step")
        if span.timed() and not isinstance(span.place, int):
            raise refusal(f"output {name!r} is the number of steps")
    batch = plan.axes.batch
    rows = row_places(graph.nodes, spans.values, {value.name: place_of(value, batch, plan.axes.batch_axis(value.name))
                                                  for value in graph.inputs}, batch)
    names = Names([*spans.values, *(node.name for node in graph.nodes),
                   *(dim for value in spans.values.values() for dim in value.shape if isinstance(dim, str))])
    waits = {name: span.waits for name, span in spans.spans.items()}
    nodes: list[Node] = []
    pasts: list[Past] = []
    for node, guard in zip(graph.nodes, guards(graph)):
        slide = spans.slides.get(id(node))
        if id(node) in spans.given:
            nodes.append(_only(node, spans.given[id(node)], spans.values))
            continue
        if slide is not None and slide.memory and guard:
            raise refusal(f"node {node.name!r} works along time in a branch, so steps might go past it; where the "
                          "condition is the same in every run, give the input it comes from at conversion: "
                          "spec={'fixed': {input: value}}")
        if slide is None or not slide.memory:
            nodes += _with_features_last(node, spans.values, names) if slide is None else [slide.node]
            continue
        x = spans.values[node.inputs[0]]
        past, joined, after = (names.unused(f"{node.name}/{part}") for part in ("past", "with_past", "past_after"))
        at = rows[x.name]
        own = spans.spans[x.name]
        pasts.append(Past(node.name, past, after, slide.axis, slide.memory, slide.start, own.lag, own.rate,
                          at if isinstance(at, int) else None, _past_shape(node, x, slide.axis, names, batch), x.dtype))
        nodes += [_joined(joined, (past, x.name), slide.axis),
                  replace(slide.node, inputs=(joined, *slide.node.inputs[1:])),
                  _last(after, joined, slide.axis, slide.memory)]
        waits |= {past: -1, joined: waits[x.name], after: waits[x.name]}
    for node in nodes:
        for name in node.outputs:
            waits.setdefault(name, max((waits[given] for given in node.inputs if given), default=-1))
    if spans.given:
        nodes = _needed(nodes, (*graph.outputs, *(past.after for past in pasts)))
    inputs = (*graph.inputs, *(Value(past.value, past.shape, past.dtype) for past in pasts))
    return (replace(graph, inputs=inputs, nodes=tuple(nodes),
                    outputs=(*graph.outputs, *(past.after for past in pasts))), waits, tuple(pasts))


def _with_features_last(node: Node, values: Mapping[str, Value], names: Names) -> list[Node]:
    """A node; an activation of numbers whose last axis is of any size between two Transposes, for the core takes
    features of a fixed number there."""
    shape = values[node.inputs[0]].shape if isinstance(node, Activate) else ()
    sized = next((at for at in range(len(shape) - 2, 0, -1) if isinstance(shape[at], int)), None)
    if not shape or isinstance(shape[-1], int) or sized is None:
        return [node]
    order = list(range(len(shape)))
    order[sized], order[-1] = order[-1], order[sized]
    x, y = (names.unused(f"{node.name}/{part}") for part in ("features_last", "activated"))

    def turned(before: str, after: str) -> Node:
        return Operator(name=x if after == x else names.unused(f"{node.name}/turned"), inputs=(before,),
                        outputs=(after,), op_type="Transpose", attributes={"perm": tuple(order)})
    return [turned(node.inputs[0], x), replace(node, inputs=(x,), outputs=(y,)), turned(y, node.outputs[0])]


def _only(node: Node, element: np.ndarray, values: Mapping[str, Value]) -> Node:
    """The one element that a node can make, without the number of steps that it asks for."""
    name = node.outputs[0]
    shape = tuple(dim for dim in values[name].shape if isinstance(dim, int))
    if len(shape) != len(values[name].shape):
        raise refusal(f"node {node.name!r} looks at the number of steps of the whole sequence")
    return Operator(name=node.name, inputs=("",), outputs=(name,), op_type="Identity",
                    constants={0: np.broadcast_to(element.reshape(()), shape).copy()})


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Without what led to conditions that nobody looks at any more."""
    needed, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _past_shape(node: Node, x: Value, axis: int, names: Names, batch: Dim) -> tuple[Dim, ...]:
    shape = [names.unused(f"{node.name}/steps") if at == axis else dim for at, dim in enumerate(x.shape)]
    unknown = [dim for at, dim in enumerate(shape) if isinstance(dim, str) and at != axis and dim != batch]
    if unknown:
        raise refusal(f"node {node.name!r} keeps a past of {list(x.shape)}, of which {unknown[0]!r} is not known; fix "
                      "it at conversion: spec={'shapes': {...}}")
    return tuple(shape)


def _joined(name: str, parts: Sequence[str], axis: int) -> Node:
    return Operator(name=name, inputs=tuple(parts), outputs=(name,), op_type="Concat", attributes={"axis": axis})


def _last(name: str, x: str, axis: int, steps: int) -> Node:
    bounds = {1: np.array([-steps]), 2: np.array([np.iinfo(np.int64).max]), 3: np.array([axis])}
    return Operator(name=name, inputs=(x, "", "", ""), outputs=(name,), op_type="Slice", constants=bounds)
