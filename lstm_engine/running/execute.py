"""Running a plan: values by name, step after step."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..graph import Mask, Node, Recurrent
from ..operators.guards import holds
from ..plan import HostStep, LoopStep, Plan, Segment
from ..plan.partition import AxisKey
from ..plan.steps import Step
from .bound import Runner
from .looping import Turns, run_loop
from .masks import AxisRun
from .ports import graph_lengths, graph_mask, sizes, whole_numbers

Rows = Mapping[int, np.ndarray]


def execute(runner: Runner, values: dict[str, np.ndarray], batch: int, *, lengths: Mapping[object, np.ndarray],
            state_in: Rows, state_out: Rows, threads: int, out: Mapping[str, np.ndarray] = {},
            masks: Mapping[object, np.ndarray] = {}, split: str = "auto", block_steps: int = 0, carry: bool = False,
            skip: Collection[int] = ()) -> dict[str, np.ndarray]:
    """The values of the plan's outputs, by name. Call it under `entry`: the operators' arithmetic is IEEE's, unwarned.

    batch: rows of the model, which those of a segment may differ from.
    values: the checked inputs by name, in the graph's dtypes; it changes. lengths: int32 [batch] by the symbol of a
    time axis. state_in, state_out: state rows by segment, see StateLayout; may be empty. out: arrays of the
    right shape and dtype to write outputs to. masks: bool [batch, time] by the symbol of a time axis: steps that are
    not there, which leave every state alone and repeat the output before them. carry: the sequences began before these
    values did, so that what a layer gave before the first step is the h of `state_in`, not 0. skip: numbers of steps
    that have nothing to do; a segment's state stays what it is, and outputs that only they make are left out.
    """
    plan = runner.plan
    for what, axes in (("lengths", lengths), ('nan="mask"', masks)):
        if axes:
            _check_steps_apply(plan, axes, what)
    bound = runner.find(values, threads)
    plain = not (lengths or masks or out or state_in or state_out or block_steps or skip) and split == "auto"
    if plain and (results := runner.recorded(bound, values, threads)) is not None:
        return results
    account = runner.account(bound, values)
    for number, (step, done, guard) in enumerate(zip(plan.steps, plan.drops, plan.guards)):
        passed = number in skip
        if passed or guard and not holds(guard, values):
            if passed and number in state_out:
                state_out[number][...] = state_in[number]
            elif not passed:
                _pass_over(step, number, state_in, state_out)
            if account is not None:
                account.passed_over()
            continue
        if account is not None:
            account.before(step, values, threads)
        if isinstance(step, HostStep):
            step.run(values)
        elif isinstance(step, LoopStep):
            body = runner.of_body(step)

            def turn(given: dict[str, np.ndarray], body: Runner = body) -> dict[str, np.ndarray]:
                return execute(body, given, batch, lengths={}, state_in={}, state_out={}, threads=threads)
            run_loop(step, values, Turns(body, turn, threads, step.node.around), account)
        else:
            before, after = state_in.get(number), state_out.get(number)
            if lengths or masks or out or split != "auto" or block_steps or before is not None or after is not None \
                    or not _run_plain(step, values, threads):
                _run_segment(plan, step, values, batch, lengths, masks, before, after, threads, out, split,
                             block_steps, carry)
        if account is not None:
            account.after(step, values)
        for name in done:
            values.pop(name, None)          # a port may be left out of a run
    bound.within = True
    if account is not None:
        bound.work = account.worked
    return {name: values[name] for name in plan.outputs if not skip or name in values}


def _pass_over(step: Step, number: int, state_in: Rows, state_out: Rows) -> None:
    if isinstance(step, Segment) and (number in state_in or number in state_out):
        raise UnsupportedError(f"layer {step.layers[0].name!r} stands in a branch of the model that these inputs do "
                               "not take; its state can neither be given nor returned")


def _check_steps_apply(plan: Plan, axes: Mapping[object, np.ndarray], what: str) -> None:
    """Refuse lengths and masks where an operator would mix steps that do not count into those that do."""
    for symbol in axes:
        if why := plan.mixes_padding.get(symbol):           # type: ignore[call-overload]
            raise UnsupportedError(f"{what} cannot be used with this model: {why}{_masks_itself(plan)}")
    for step in plan.steps:
        if isinstance(step, Segment) and step.rows != plan.axes.batch \
                and any(axis.time in axes for axis in step.axes):
            raise UnsupportedError(f"{what} cannot be used with this model: node {step.nodes[0].name!r} runs over "
                                   f"other rows ({step.rows}) than the batch ({plan.axes.batch})")


def _masks_itself(plan: Plan) -> str:
    """What to do instead, where the model finds padding by its value."""
    inputs = {value.name for value in plan.inputs}
    mask = next((node for node in plan.skeleton.nodes if isinstance(node, Mask) and node.inputs[0] in inputs), None)
    return "" if mask is None else (
        f"; it leaves out itself what is {mask.value} in {mask.inputs[0]!r}: give one array that is padded with that, "
        f"le.pad_sequences(sequences, side='right', value={mask.value})")


def _run_plain(segment: Segment, values: dict[str, np.ndarray], threads: int) -> bool:
    """Run a segment on its inputs as they are, where it has no lengths or masks and they need no more than a cast."""
    if any(axis.lengths or axis.mask for axis in segment.axes):
        return False
    inputs = [np.ascontiguousarray(values[port.value]) for port in segment.ports]
    results = segment.core.try_run(inputs, threads)
    if results is None:
        return False
    for port, array in zip(segment.outputs, results):
        values[port.value] = array
    return True


def _run_segment(plan: Plan, segment: Segment, values: dict[str, np.ndarray], batch: int,
                 lengths: Mapping[object, np.ndarray], masks: Mapping[object, np.ndarray], state_in: np.ndarray | None,
                 state_out: np.ndarray | None, threads: int, out: Mapping[str, np.ndarray], split: str,
                 block_steps: int, carry: bool) -> None:
    rows, steps = sizes(segment, values)
    if rows != batch and (state_in is not None or state_out is not None):
        raise UnsupportedError(f"layer {segment.layers[0].name!r} runs on {rows} rows, not over the batch of {batch}; "
                               "its state can neither be given nor returned")
    axes = [_axis_run(axis, lengths, masks, values, rows, full) for axis, full in zip(segment.axes, steps)]
    inputs = []
    for port in segment.ports:
        array = values[port.value]
        if port.axis is not None:
            array = axes[port.axis].compact(array)
            axes[port.axis].steps = array.shape[1]
        inputs.append(whole_numbers(array, port.value) if port.ids else np.ascontiguousarray(array, segment.core.dtype))
    targets = [out.get(port.value) if port.axis is None or axes[port.axis].mask is None else None
               for port in segment.outputs]
    outputs = segment.core.run(inputs, threads, [axis.lengths for axis in axes], targets, state_in, state_out, split,
                               block_steps, carry)
    for port, array in zip(segment.outputs, outputs):
        axis = None if port.axis is None else axes[port.axis]
        if axis is not None and axis.mask is not None:
            array = axis.expand(array, port.maker, _carried(segment, port.maker, state_in) if carry else None)
        values[port.value] = array


def _carried(segment: Segment, maker: Node | None, state_in: np.ndarray | None) -> np.ndarray | None:
    """What a recurrent layer gave last before this run: its h."""
    if state_in is None or not isinstance(maker, Recurrent) or maker.zero_masked:
        return None
    slots = {layer: (h, size) for layer, _, h, size, *_ in segment.core.state_slots()}
    h, size = slots[maker.name]
    return state_in[:, h:h + size]


def _axis_run(axis: AxisKey, lengths: Mapping[object, np.ndarray], masks: Mapping[object, np.ndarray],
              values: dict[str, np.ndarray], rows: int, steps: int) -> AxisRun:
    """A time axis of a segment of so many rows and steps: the lengths and masks of the caller, and the graph's own."""
    own = lengths.get(axis.time)
    if own is not None and own.shape != (rows,):
        raise ArgumentError(f"lengths: expected {rows} of them, the rows of a value with time axis {axis.time!r}, "
                            f"got {len(own)}")
    if axis.lengths:
        own = graph_lengths(axis.lengths, values[axis.lengths], rows, steps, own)
    mask = graph_mask(axis.mask, values[axis.mask], rows, steps) if axis.mask else None
    if axis.time in masks:
        given = masks[axis.time]
        if given.shape != (rows, steps):
            raise ArgumentError(f'nan="mask": expected a mask {[rows, steps]}, got {list(given.shape)}')
        mask = given if mask is None else mask & given
    return AxisRun(own, mask, steps)
