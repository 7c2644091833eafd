"""Running a plan: values by name, step after step."""

from __future__ import annotations

from typing import Mapping

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from .lower import HostStep, Plan, Segment

Rows = Mapping[int, np.ndarray]


def execute(plan: Plan, values: dict[str, np.ndarray], batch: int, *, lengths: Mapping[object, np.ndarray],
            state_in: Rows, state_out: Rows, threads: int, out: Mapping[str, np.ndarray] = {},
            split: str = "auto", block_steps: int = 0) -> dict[str, np.ndarray]:
    """The values of the plan's outputs, by name.

    values: the checked inputs by name, in the graph's dtypes; it is added to. lengths: int32 [batch] by the symbol of a
    time axis. state_in, state_out: state rows by segment, see StateLayout; may be empty. out: arrays of the
    right shape and dtype to write outputs to.
    """
    if lengths:
        _check_lengths_apply(plan, lengths)
    for number, step in enumerate(plan.steps):
        if isinstance(step, Segment):
            _run_segment(plan, step, values, batch, lengths, state_in.get(number), state_out.get(number), threads, out,
                         split, block_steps)
        else:
            _run_host(step, values)
    return {name: values[name] for name in plan.outputs}


def _check_lengths_apply(plan: Plan, lengths: Mapping[object, np.ndarray]) -> None:
    """Refuse lengths where an operator would mix padding into real steps."""
    for step in plan.steps:
        if isinstance(step, HostStep) and not step.keeps_time:
            shapes = [plan.values[name].shape for name in step.node.inputs if name]
            if any(symbol in shape for shape in shapes for symbol in lengths):
                raise UnsupportedError(f"lengths cannot be used with this model: node {step.node.name!r} "
                                       f"({getattr(step.node, 'op_type', step.node.op)}) works across time")


def _run_segment(plan: Plan, segment: Segment, values: dict[str, np.ndarray], batch: int,
                 lengths: Mapping[object, np.ndarray], state_in: np.ndarray | None, state_out: np.ndarray | None,
                 threads: int, out: Mapping[str, np.ndarray], split: str, block_steps: int) -> None:
    steps = [0] * len(segment.axes)
    inputs = []
    for port in segment.ports:
        array = values[port.value]
        if port.ids:
            array = token_ids(array, port.value)
        else:
            array = np.ascontiguousarray(array, plan.dtype)
        if port.axis is not None:
            steps[port.axis] = array.shape[1]
        batch = array.shape[0]
        inputs.append(array)
    axis_lengths = [_lengths_of(axis.lengths, values) if axis.lengths else lengths.get(axis.time)
                    for axis in segment.axes]
    outputs = []
    for port in segment.outputs:
        shape = (batch, port.features) if port.axis is None else (batch, steps[port.axis], port.features)
        array = out.get(port.value)
        if array is None:
            array = np.empty(shape, plan.dtype)
        values[port.value] = array
        outputs.append(array)
    segment.core.run(batch, steps, axis_lengths, inputs, outputs, state_in, state_out, threads, split, block_steps)


def _lengths_of(name: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """Lengths that the graph itself computes or takes as an input."""
    return token_ids(values[name], name)


def token_ids(array: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers as C-contiguous int32; ArgumentError for one that does not fit."""
    if array.dtype == np.int32:
        return np.ascontiguousarray(array)
    if array.dtype.itemsize >= 4 and array.size and (array.max() > 2**31 - 1 or array.min() < -2**31):
        raise ArgumentError(f"{name}: a token id does not fit 32 bits")
    return np.ascontiguousarray(array, np.int32)


def _run_host(step: HostStep, values: dict[str, np.ndarray]) -> None:
    inputs = [values[name] if name else None for name in step.node.inputs]
    with np.errstate(all="ignore"):
        results = step.function(inputs)
    for name, result in zip(step.node.outputs, results):
        if name:
            values[name] = result
