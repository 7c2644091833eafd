"""Whether a plan can run step by step, and what a stream of it is fed with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..errors import ArgumentError, UnsupportedError
from ..graph import Node, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim
from .axes import Axes
from .lower import Plan
from .state_pairs import advice
from .step_axes import across_time, step_places, takes_last_step
from .steps import HostStep, Segment
from .streaming import Streaming


def fed_inputs(plan: Plan, batch: int, pairs: Mapping[str, str], streaming: Streaming | None = None,
               proven: bool = False) -> tuple[tuple[Value, ...], Axes]:
    """The inputs that a stream of `batch` sequences is fed with, in the shapes that its calls may have, and their axes.

    pairs: explicit states, {input: output}; such inputs feed themselves. streaming: what made the plan of another,
    where windows slide along time. proven: the pairs are those of `state_pairs`, so the model is a sequence all the
    same. Raises UnsupportedError if the model cannot run step by step, ArgumentError for names or a batch that are not
    the model's.
    """
    names = {value.name for value in plan.inputs}
    for name, source in pairs.items():
        if name not in names:
            raise ArgumentError(f"stream: states names the input {name!r}; the model has {', '.join(sorted(names))}")
        if source not in plan.outputs:
            raise ArgumentError(f"stream: states names the output {source!r}; the model has {', '.join(plan.outputs)}")
    own = pairs.keys() | {past.value for past in streaming.pasts} if streaming else pairs.keys()
    inputs = tuple(value for value in plan.inputs if value.name not in own)
    if not inputs:
        raise ArgumentError("stream: no input is left to feed")
    for value in inputs:
        axis = plan.axes.batch_axis(value.name)
        if axis is not None and isinstance(value.shape[axis], int) and value.shape[axis] != batch:
            raise ArgumentError(f"stream: batch is {batch}, but input {value.name!r} {_text(value)} fixes it: "
                                f"make the stream with batch={value.shape[axis]}")
    if pairs and not proven:
        return inputs, plan.axes            # such a model is a step by its own definition
    for value in inputs:
        if other := plan.axes.unsettled(value.name):
            raise UnsupportedError(f"this model cannot run step by step: nothing says whether {other!r} of input "
                                   f"{value.name!r} {list(value.shape)} is the time axis; give both one name in the "
                                   "model's inputs, or fix its size (spec={'shapes': ...})")
    for time in plan.axes.times if streaming is None else ():       # else it has been followed
        places = step_places(plan.skeleton.nodes, plan.inputs, plan.axes, time, streamed=True)
        if why := across_time(places, plan.outputs):
            raise UnsupportedError(f"this model cannot run step by step: {why}")
    _refuse_last_steps_in_sequences(plan)
    for step, guard in zip(plan.steps, plan.guards):
        if guard and isinstance(step, Segment) and step.layers:
            raise UnsupportedError(f"this model cannot run step by step: layer {step.layers[0].name!r} stands in a "
                                   "branch, so steps might go past it; where the condition is the same in every run, "
                                   "give the input it comes from at conversion: spec={'fixed': {input: value}}")
    for node in _nodes(plan):
        if isinstance(node, Recurrent) and node.direction != "forward":
            raise UnsupportedError(f"this model cannot run step by step: layer {node.name!r} is {node.direction}, "
                                   "so its first output needs the last input")
        if isinstance(node, Pool) and node.kind != "last":
            raise UnsupportedError(f"this model cannot run step by step: {node.name!r} pools over all steps "
                                   f"({node.kind})")
        if isinstance(node, Recurrent) and any(node.inputs[1:2 if proven else 4]):
            raise UnsupportedError(f"this model cannot run step by step: layer {node.name!r} takes its lengths or "
                                   "initial state from another value; pair explicit states: "
                                   f"{_advice(plan, streaming)}")
    return _of_any_steps(plan, inputs) if streaming is None and not pairs else (inputs, plan.axes)


def _advice(plan: Plan, streaming: Streaming | None) -> str:
    """What pairs of states may be given, of inputs and outputs that are the model's own."""
    pasts = streaming.pasts if streaming else ()
    inner = {past.value for past in pasts} | {past.after for past in pasts}
    return advice(plan, [value.name for value in plan.inputs if value.name not in inner],
                  [name for name in plan.outputs if name not in inner])


def _of_any_steps(plan: Plan, inputs: tuple[Value, ...]) -> tuple[tuple[Value, ...], Axes]:
    """The inputs with as many steps as a call brings, also where the model says how many a sequence has: a stream goes
    through it in pieces. An operator may have been made for that number, so where one takes part the number stays."""
    if any(isinstance(step, HostStep) and isinstance(step.node, Operator) for step in plan.steps):
        return inputs, plan.axes
    names: dict[Dim, str] = {}
    taken = {dim for value in plan.values.values() for dim in value.shape}
    free = []
    for value in inputs:
        axis = plan.axes.time_axis(value.name)
        if axis is not None and isinstance(steps := value.shape[axis], int):
            name = names.setdefault(steps, next(name for number in itertools.count() if (
                name := f"steps{number or ''}") not in taken.union(names.values())))
            value = replace(value, shape=(*value.shape[:axis], name, *value.shape[axis + 1:]))
        free.append(value)
    return tuple(free), replace(plan.axes, values={value.name: value for value in free},
                                times=plan.axes.times.union(names.values()))


def _text(value: Value) -> str:
    return f"[{', '.join(map(str, value.shape))}]"


def _refuse_last_steps_in_sequences(plan: Plan) -> None:
    """Refuse a model in which the last step of a sequence enters every step of another: none can be made before it."""
    last: set[str] = set()                     # values that depend on a last step and have no time themselves
    for node in _nodes(plan):
        depends = not last.isdisjoint(node.inputs) or isinstance(node, Pool) or takes_last_step(node, plan.axes)
        for position, name in enumerate(node.outputs):
            if not name or not (depends or isinstance(node, Recurrent) and position > 0):
                continue
            if plan.axes.time_axis(name) is not None:
                raise UnsupportedError(f"this model cannot run step by step: node {node.name!r} makes a sequence from "
                                       "the last step of another, so its first step needs the last input")
            last.add(name)


def _nodes(plan: Plan) -> Iterator[Node]:
    for step in plan.steps:
        yield from step.nodes if isinstance(step, Segment) else [step.node]
