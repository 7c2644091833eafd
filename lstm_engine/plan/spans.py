"""Which steps of every value are settled once so many of the inputs have come.

A value whose steps do not depend on steps to come can be made in pieces. Windows that slide along time make it lag: of
t steps of the inputs, t - lag of its own are settled, and all of them are what the whole sequence has there. What is
padded stands before its first step (`before`) until a window reads it, or behind its last (`behind`), where it is of no
use to a stream, unless it is cropped again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UnsupportedError
from ..graph import Loop, Node, Operator, Pool, Recurrent, Value
from ..operators import OPERATORS
from ..operators.eventually import Fate, fate, only_choice
from ..operators.past import Fills, Work
from ..operators.places import Counts, Mixed, Mixes, Place, need
from .row_axes import axis_call, place_of_operator
from .step_axes import steps_of_layer, takes_last_of


@dataclass(frozen=True)
class Span:
    """Where the steps stand in a value (None: it is one for the whole sequence so far, as a last state is), and how
    they stand to those of the inputs. rate: of so many steps of the inputs comes one of its own. lag: in its own steps;
    -1 of what does not depend on steps at all.

    behind: steps at its end that are made of padding; `padded` says by which node, and what to do instead.
    """

    place: Place = None
    lag: int = -1
    rate: int = 1
    before: Fills = ()
    behind: int = 0
    padded: str = ""

    @property
    def plain(self) -> bool:
        """Whether nothing stands before or behind its own steps."""
        return not self.before and not self.behind

    @property
    def waits(self) -> int:
        """It is there, or has a step at least, once more steps of the inputs than this have come."""
        return (self.lag + 1) * self.rate - 1

    def timed(self) -> bool:
        return self.place is not None


ALWAYS = Span()
OF_THE_WHOLE = "works with the number of steps of the whole sequence, which a stream does not know"
MOST_MEMORY = 1 << 40       # steps of a past, far more than memory holds; an index for them is an int64
MOST_AT_ONCE = 1 << 20      # steps of the inputs for one of a value


@dataclass(frozen=True)
class Slide:
    """A node that works along time: at which axis of its input and of its output, how many steps of the past it needs,
    what stands there at the beginning, and the node that does it with the past before the new steps."""

    axis: int
    memory: int
    start: Fills
    node: Operator

    @property
    def grows(self) -> int:
        """Steps that are still missing from its past at the beginning."""
        return self.memory - count(self.start)


def count(fills: Fills) -> int:
    """The steps of a padding."""
    return sum(steps for steps, _ in fills)


def refusal(why: str) -> UnsupportedError:
    return UnsupportedError(f"this model cannot run step by step: {why}")


def _label(node: Node) -> str:
    return f"node {node.name!r} ({getattr(node, 'op_type', node.op)})"


class Spans:
    """The span of every value of a graph, and its nodes that work along time, up to the first node whose steps cannot
    be made in pieces: `failure` names it. start: the place of time in the inputs.
    """

    def __init__(self, nodes: Sequence[Node], values: Mapping[str, Value], start: Mapping[str, int | None]) -> None:
        self.values = values
        self.spans = {name: ALWAYS if at is None else Span(at, 0) for name, at in start.items()}
        self.fates: dict[str, Fate] = {}                                    # of numbers made of the number of steps
        self.given: dict[int, np.ndarray] = {}                              # by id of the node: all that it can make
        self.slides: dict[int, Slide] = {}                                  # by id of the node
        self.layers: list[str] = []                                         # nodes of the house that go through time
        self.stopped = False                                                # at a node that slides along time
        self.failure: UnsupportedError | None = None
        for node in nodes:
            try:
                made = self._made(node)
            except Mixes as mixes:
                slides = isinstance(node, Operator) and OPERATORS[node.op_type].past is not None
                self.stopped = slides and bool(str(mixes))
                self.failure = refusal(f"{_label(node)} {str(mixes) or 'works across time'}")
                return
            self.spans.update((name, span) for name, span in zip(node.outputs, made) if name)

    def _made(self, node: Node) -> list[Span]:
        given = [self.spans[name] if name else ALWAYS for name in node.inputs]
        lag = max([span.waits for span in given], default=-1)
        if not any(span.timed() for span in given):
            return [Span(None, lag)] * len(node.outputs)
        if isinstance(node, Operator):
            return [self._of_operator(node, given, lag)] * len(node.outputs)
        return self._of_layer(node, given, lag)

    def _of_layer(self, node: Node, given: list[Span], lag: int) -> list[Span]:
        need(not isinstance(node, Loop))                    # its turns may be steps
        places = [span.place if isinstance(span.place, int) else None for span in given]
        if any(isinstance(span.place, Counts | Mixed) for span in given):
            raise Mixes
        made = steps_of_layer(node, places, len(self.values[node.inputs[0]].shape))
        along = isinstance(node, (Recurrent, Pool)) and places[0] == 1
        if along:
            self.layers.append(node.name)
        first = self._aligned(node, given, plain=along)
        return [Span(None, lag) if place is None else replace(first, place=place) for place in made]

    def _of_operator(self, node: Operator, given: list[Span], lag: int) -> Span:
        first = given[0]
        if isinstance(first.place, int) and (past := OPERATORS[node.op_type].past) is not None:
            dim = self.values[node.inputs[0]].shape[first.place]
            work = past(axis_call(node, [span.place for span in given], self.values, dim), first.place)
            if work is not None:
                return self._slid(node, first, work)
        counts = any(isinstance(span.place, Counts) for span in given)
        if isinstance(first.place, int) and takes_last_of(node, len(self.values[node.inputs[0]].shape), first.place):
            self._aligned(node, given, plain=True)
            return Span(None, lag)
        fates = [self.fates.get(name) for name in node.inputs]
        if (only := only_choice(node, fates)) is not None:
            self.given[id(node)] = only
            return ALWAYS
        if made := Fate.GROWS if _counts_steps(node, first, self.values) else fate(node, fates):
            self.fates.update((name, made) for name in node.outputs)
        if any(isinstance(span.place, Mixed) for span in given):
            need(made is not None, OF_THE_WHOLE)
            return Span(Mixed(node.name), lag)
        aligned = self._aligned(node, given, plain=False)
        dim = next((self.values[name].shape[span.place] for name, span in zip(node.inputs, given)
                    if isinstance(span.place, int)), 0)
        try:
            place = place_of_operator(node, [span.place for span in given], self.values, dim)
        except Mixes as mixes:
            if not counts or str(mixes):
                raise
            need(made is not None, OF_THE_WHOLE)
            return Span(Mixed(node.name), lag)
        if (counts or isinstance(place, Counts)) and (aligned.lag > 0 or not aligned.plain):
            need(made is not None, "counts the steps of a value that has others than the inputs")
            return Span(Mixed(node.name), lag)
        return replace(aligned, place=place)

    def _aligned(self, node: Node, given: list[Span], plain: bool) -> Span:
        """What all inputs with steps have in common. plain: nothing may stand before or behind them."""
        timed = [(name, span) for name, span in zip(node.inputs, given) if span.timed()]
        name, first = timed[0]
        for other, span in timed[1:]:
            if span.rate != first.rate:
                raise Mixes(f"puts together steps of {name!r} and {other!r}, of which one comes for every {first.rate} "
                            f"and every {span.rate} of the inputs")
            if span.lag != first.lag:
                need(not any(isinstance(one.place, Counts) for one in (span, first)), OF_THE_WHOLE)
                (early, _), (late, _) = sorted([(name, first.lag), (other, span.lag)], key=lambda pair: pair[1])
                by = abs(span.lag - first.lag)
                raise Mixes(f"puts together steps of {early!r} and {late!r} that are {by} apart in time; crop the "
                            f"first {by} steps of {early!r} (Cropping1D(({by}, 0)), x[:, {by}:]), or pad what leads to "
                            f"{late!r} by {by} in front")
            if span.behind != first.behind:
                raise Mixes(f"puts steps of {name!r} and {other!r} together, of which one has padding at its end; "
                            f"{span.padded or first.padded}")
        if any(span.before for _, span in timed) and not (len(timed) == 1 and _moves_alone(node, name)):
            raise Mixes(f"takes padding that stands in front of {name!r}; in a stream a convolution or pool must read "
                        "it next")
        if plain and first.behind:
            raise Mixes(f"goes through steps to come: {first.padded}")
        return first

    def _slid(self, node: Operator, x: Span, work: Work) -> Span:
        """The span of what slides along time. What is padded in front waits for the window that reads it, which then
        has that much of its past from the beginning."""
        assert isinstance(x.place, int)
        before, behind, padded = work.before + x.before, x.behind + work.behind, x.padded
        if work.behind:
            padded = f"{_label(node)} pads {work.behind} steps at the end, where a stream has steps to come; " \
                     f"{work.instead}"
        if work.stride > 1 and x.behind:
            raise Mixes(f"goes through steps to come: {x.padded}")
        first, before = _dropped(before, work.first)
        last, behind = max(0, work.last - behind), max(0, behind - work.last)
        reach, ready = work.reach + first + last, count(before) if work.reads else 0
        # Windows that are full when the newest step of all that have come is there; what the next one begins with is
        # kept. Of strides of 1 that is a window but for its newest step.
        lag = -(-(reach + x.lag - ready) // work.stride) - 1
        memory = work.stride * lag + ready - x.lag
        if memory < ready or ready > reach - 1 or lag < 0 or before and not work.reads and reach > 1:
            raise Mixes(f"has {count(before)} steps of padding in front of the first, and windows of {reach}; pad by "
                        f"{reach - 1} at most")
        rate = x.rate * work.stride
        if memory > MOST_MEMORY:
            raise Mixes(f"keeps more than {MOST_MEMORY} steps of the past")
        if rate > MOST_AT_ONCE:
            raise Mixes(f"gives one step for {rate} of the inputs; at most {MOST_AT_ONCE} are supported in a stream")
        self.slides[id(node)] = Slide(x.place, memory, before if work.reads else (), work.again(first, last))
        return Span(x.place, lag, rate, () if work.reads else before, behind, padded)


def _counts_steps(node: Operator, x: Span, values: Mapping[str, Value]) -> bool:
    """Whether a node gives the number of steps of a value, and no other number."""
    if node.op_type != "Shape" or not isinstance(x.place, int):
        return False
    rank = len(values[node.inputs[0]].shape)
    end = node.attributes.get("end", rank)
    return list(range(rank))[node.attributes.get("start", 0):end] == [x.place]


def _moves_alone(node: Node, name: str) -> bool:
    """Whether all that a node makes are elements of this input, none of another, as Where takes some of."""
    if not isinstance(node, Operator):
        return False
    spec, own = OPERATORS[node.op_type], node.inputs.index(name)
    return spec.moves_only(own) and not any(
        spec.moves_only(at) and (given or at in node.constants) for at, given in enumerate(node.inputs) if at != own)


def _dropped(before: Fills, steps: int) -> tuple[int, Fills]:
    """What is left of so many steps to drop, and of the padding in front, which goes first."""
    left = list(before)
    while steps and left:
        (size, value), *rest = left
        taken = min(size, steps)
        steps -= taken
        left = [(size - taken, value), *rest] if size > taken else rest
    return steps, tuple(left)
