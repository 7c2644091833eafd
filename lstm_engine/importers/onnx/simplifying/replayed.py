"""What a turn computes of its step and its output alone, computed of all steps at once: the layers behind a cell.

An operator that works on rows by themselves does the same to [time, ...] as to a step of it, turn by turn. Which those
are is said here one by one; with another in between the loop is no layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ....graph.nodes import Operator
from ....operators import OPERATORS, operator_attributes
from ..model import OnnxNode
from .body import Body, Scanned
from .expressions import NotACell, times_number
from .scopes import Walk

MOST_OPERATORS = 64         # behind one cell


def steps_to(body: Body, name: str, given: Callable[[str], str]) -> tuple[list[Operator], dict[str, str]]:
    """The operators that make a value of given ones, in order, and those that they read.

    given: what a value is that a turn is given or makes, "" for any other. Raises NotACell where it needs another.
    """
    found: dict[str, Operator] = {}
    read: dict[str, str] = {}
    pending = [name]
    while pending:
        value = pending.pop()
        if value in read or value in found:
            continue
        if which := given(value):
            read[value] = which
            continue
        step = body.maker.get(value)
        if step is None or len(found) == MOST_OPERATORS:
            raise NotACell("a result is not the cell's output, nor made of it and of its step alone")
        _check(body, step)
        found[value] = step
        pending += filter(None, step.inputs)
    order = {id(step): place for place, step in enumerate(body.maker.values())}
    return sorted(found.values(), key=lambda step: order[id(step)]), read


def sequence_of(body: Body, name: str) -> Scanned:
    """A value that a turn makes of its steps alone, as a sequence of its own. Raises NotACell for another."""
    steps, read = steps_to(body, name, lambda value: value if value in body.sequences else "")
    ways = {body.sequences[which].backwards for which in read.values()}
    if len(ways) != 1:
        raise NotACell(f"{name!r} is made of nothing that a step brings, or of steps in different directions")
    return Scanned(name, 0, ways.pop(), body.facts.value(name).shape, tuple(steps), tuple(read.items()))


def replay(walk: Walk, hint: str, steps: list[Operator], given: Mapping[str, str], name: str) -> str:
    """The value of all steps, [time, ...]. given: by what a turn is given or makes, the value of all steps."""
    made = dict(given)

    def add(op: str, *inputs: str, **attributes: Any) -> str:
        result = walk.new_name(f"{hint}/{op}")
        walk.operator(OnnxNode(result, op, inputs, (result,), attributes))
        return walk.same_as(result)

    for step in steps:
        inputs = [walk.add_constant(f"{hint}/constant", step.constants[i]) if i in step.constants else made[part]
                  if part else "" for i, part in enumerate(step.inputs)]
        attributes = dict(step.attributes)
        if "axis" in operator_attributes(step) and step.op_type != "Gather":
            attributes["axis"] = -1
        if step.op_type == "Gemm":
            made[step.outputs[0]] = _gemm(walk, step, inputs, add)
        else:
            made[step.outputs[0]] = add(step.op_type, *inputs, **attributes)
    return made[name]


def _gemm(walk: Walk, step: Operator, inputs: list[str], add: Any) -> str:
    """alpha * x K + beta * b, of x with another axis in front."""
    attributes, kernel = operator_attributes(step), step.constants[1]
    kernel = times_number(kernel.T if attributes["transB"] else kernel, attributes["alpha"])
    product: str = add("MatMul", inputs[0], walk.add_constant("kernel", np.ascontiguousarray(kernel)))
    if 2 not in step.constants or not attributes["beta"]:
        return product
    bias = times_number(step.constants[2], attributes["beta"])
    result: str = add("Add", product, walk.add_constant("bias", bias))
    return result


def _check(body: Body, step: Operator) -> None:
    """Raise NotACell unless an operator does to all steps what it does to each."""
    spec, shape = OPERATORS[step.op_type], body.facts.value(step.outputs[0]).shape
    values = [body.facts.value(name).shape for name in step.inputs if name]
    alone = len(step.outputs) == 1 and all(len(value) == len(shape) for value in values) and bool(values)
    if spec.elementwise and not spec.in_order:
        fits = all(array.ndim <= len(shape) for array in step.constants.values()) and "axis" not in spec.attributes
    elif step.op_type == "Gather":                          # rows of a table by ids
        fits, alone = 0 in step.constants and operator_attributes(step)["axis"] in (0, -step.constants[0].ndim), True
    elif step.op_type == "MatMul":
        fits = len(shape) >= 2 and 1 in step.constants and step.constants[1].ndim == 2
    elif step.op_type == "Gemm":
        bias = step.constants.get(2)
        fits = 1 in step.constants and not operator_attributes(step)["transA"] and not any(step.inputs[1:]) \
            and (bias is None or bias.ndim < 2 or bias.shape[0] == 1)
    else:                                                   # Softmax and its like, over the features
        last = operator_attributes(step).get("axis") in (-1, len(shape) - 1)
        fits = bool(spec.activation) and last and len(shape) > 1
    if not fits or not alone:
        raise NotACell(f"node {step.name!r} ({step.op_type}) stands between the cell and a result")
