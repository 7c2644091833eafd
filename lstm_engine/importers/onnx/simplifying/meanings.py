"""What the operators in a loop's body mean, as equations of states and steps.

Only what is understood has a meaning: any other operator, axis or shape makes the value unknown, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ....graph.activations import SIGMOID, Activation
from ....graph.nodes import Operator
from ....operators import OPERATORS, operator_attributes
from . import expressions as ex
from .body import Body, Scanned, TooMuch, features_of, row_axis
from .expressions import Expression, NotACell, is_one
from .recurrent import Cell
from .shortcuts import activation_of
from .steps import Step
from .turns import Number, goes_to

NO_END = 2**31 - 1              # an end past any axis, as TensorFlow writes it

Rule = Callable[[Body, Operator], "Expression | list[Expression]"]
_RULES: dict[str, Rule] = {}


def _means(*op_types: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(op_types, rule))
        return rule
    return register


def read(body: Body, steps: Sequence[Step]) -> None:
    """Give the results of operators their meaning, in order."""
    for step in steps:
        if isinstance(step, Cell):
            try:
                body.note_cell(step)
            except NotACell as reason:
                body.reasons.update(dict.fromkeys(step.node.outputs, str(reason)))
            continue
        if not isinstance(step, Operator):
            body.reasons.update(dict.fromkeys(step.outputs, f"{step.name!r} is a loop inside it"))
            continue
        body.maker.update((name, step) for name in step.outputs if name)
        try:
            body.note_number(step)
            if not any(step.inputs):
                raise NotACell(f"node {step.name!r} ({step.op_type}) reads constants alone")
            rule = _activated if activation_of(step) else _RULES.get(step.op_type) or _moved
            made = rule(body, step)
            for name, expression in zip(step.outputs, made if isinstance(made, list) else [made]):
                if name:
                    body.put(name, expression)
        except TooMuch:
            raise
        except NotACell as reason:
            body.reasons.update(dict.fromkeys(step.outputs, str(reason)))


def _rows_agree(body: Body, step: Operator) -> int:
    """The width of the result of an operator that works element by element on rows that stand side by side."""
    shape = body.facts.value(step.outputs[0]).shape
    kinds = [body.facts.value(name) for name in step.inputs if name]
    bare = {len(value.shape) == 1 and value.dtype == "bool" for value in kinds}
    if len(bare) > 1 or not shape:
        raise NotACell(f"node {step.name!r} ({step.op_type}) brings rows and features together")
    if bare == {True}:
        return 1
    if len({row_axis(value.shape) for value in kinds} - {0}) > 1 or not isinstance(shape[-1], int):
        raise NotACell(f"node {step.name!r} ({step.op_type}) brings different axes together")
    row_axis(shape)
    return shape[-1]


def _activated(body: Body, step: Operator) -> Expression:
    activation = activation_of(step)
    if activation is None or not OPERATORS[step.op_type].elementwise:
        raise NotACell(f"node {step.name!r} ({step.op_type}) mixes features")
    inner = body.expression(step.inputs[0])
    body.squashed[step.outputs[0]] = activation, inner
    return ex.atom(step.outputs[0], ex.width_of(inner))


def _moved(body: Body, step: Operator) -> Expression:
    """Operators that keep the elements and their order."""
    if not OPERATORS[step.op_type].in_order or not step.inputs[0] or any(step.inputs[1:]) or len(step.outputs) != 1:
        raise NotACell(f"node {step.name!r} ({step.op_type}) is no part of one")
    expression = body.expression(step.inputs[0])
    before, after = (body.facts.value(name).shape for name in (step.inputs[0], step.outputs[0]))
    bare = [dim for dim in before if dim != 1] == [dim for dim in after if dim != 1]      # [rows] and [rows, 1]
    if before[-1:] != after[-1:] and not (bare and expression[0].of_row and ex.width_of(expression) == 1):
        raise NotACell(f"node {step.name!r} ({step.op_type}) brings rows and features together")
    return expression


@_means("Add", "Sub", "Sum")
def _add(body: Body, step: Operator) -> Expression:
    width = _rows_agree(body, step)
    parts = [body.operand(step, i, width) for i in range(len(step.inputs))]
    if step.op_type == "Sub":
        parts[1] = ex.scaled(parts[1], np.array(-1.0))
    total = parts[0]
    for other in parts[1:]:
        total = ex.plus(total, other)
    constants = [array for array in step.constants.values() if array.size == 1]
    if len(step.inputs) == 2 and constants and step.op_type == "Add":
        name = next(filter(None, step.inputs))
        alpha, beta, inner = body.scaled_of.get(name, (1.0, 0.0, name))
        body.scaled_of[step.outputs[0]] = alpha, beta + float(constants[0].item()), inner
    if any(map(ex.is_large, step.constants.values())) and ex.simple(total):
        return body.apart(step.outputs[0], total)
    return total


@_means("Neg")
def _negative(body: Body, step: Operator) -> Expression:
    return ex.scaled(body.expression(step.inputs[0]), np.array(-1.0))


@_means("Mul", "Div", "And")
def _multiply(body: Body, step: Operator) -> Expression:
    width = _rows_agree(body, step)
    if step.constants:
        position, array = next(iter(step.constants.items()))
        if step.op_type == "Div" and (position == 0 or not array.all()):
            raise NotACell(f"node {step.name!r} (Div) divides by what is computed")
        ex.constant(array, width)
        factor = array.astype(np.float64) if step.op_type != "Div" else 1 / array.astype(np.float64)
        name = step.inputs[1 - position]
        inner = ex.widened(body.expression(name), width)
        if array.size == 1:
            body.scaled_of[step.outputs[0]] = float(factor.item()), 0.0, name
        return ex.scaled(inner, factor)
    if step.op_type == "Div":
        raise NotACell(f"node {step.name!r} (Div) divides by what is computed")
    for gate, x in (step.inputs, step.inputs[::-1]):                    # x * sigmoid(x)
        squash = body.squashed.get(gate)
        if squash is not None and squash[0] == SIGMOID and ex.is_same(squash[1], body.expression(x)):
            body.squashed[step.outputs[0]] = Activation.of("silu"), squash[1]
            return ex.atom(step.outputs[0], width)
    one, other = (body.plain(name, body.expression(name)) for name in step.inputs)
    return ex.times(one, other)


@_means("Not")
def _not(body: Body, step: Operator) -> Expression:
    return ex.plus(ex.constant(np.array(1.0), 1), ex.scaled(body.expression(step.inputs[0]), np.array(-1.0)))


@_means("Cast")
def _cast(body: Body, step: Operator) -> Expression:
    """A truth value as a number, 0 or 1."""
    _must_be_computed(step)
    if body.facts.value(step.inputs[0]).dtype != "bool":
        raise NotACell(f"node {step.name!r} (Cast) changes the type of numbers")
    return body.expression(step.inputs[0])


@_means("Where")
def _where(body: Body, step: Operator) -> Expression:
    width = _rows_agree(body, step)
    if not step.inputs[0]:
        raise NotACell(f"node {step.name!r} (Where) chooses by a constant")
    truth = body.expression(step.inputs[0])
    names = [name or f"{step.outputs[0]}/{i}" for i, name in enumerate(step.inputs)]
    one, other = (body.plain(names[i], body.operand(step, i, width)) for i in (1, 2))
    otherwise = ex.plus(ex.constant(np.array(1.0), 1), ex.scaled(truth, np.array(-1.0)))
    return ex.plus(ex.times(truth, one), ex.times(otherwise, other))


@_means("Expand", "Tile")
def _repeat(body: Body, step: Operator) -> Expression:
    """A number of the row, repeated for its features."""
    _must_be_computed(step)
    before, after = (body.facts.value(name).shape for name in (step.inputs[0], step.outputs[0]))
    expression = body.expression(step.inputs[0])
    if not expression[0].of_row or len(before) < 2 or len(before) != len(after) or before[:-1] != after[:-1]:
        raise NotACell(f"node {step.name!r} ({step.op_type}) repeats rows")
    width = after[-1]
    if not isinstance(width, int) or width < 1:
        raise NotACell(f"node {step.name!r} ({step.op_type}) repeats a value so often as only the run knows")
    return (ex.Block(width, expression[0].terms),)


@_means("MatMul")
def _matmul(body: Body, step: Operator) -> Expression:
    matrix = step.constants.get(1)
    if not step.inputs[0] or matrix is None or matrix.ndim != 2:
        raise NotACell(f"node {step.name!r} (MatMul) multiplies what is computed")
    return _product(body, step.inputs[0], matrix)


def _product(body: Body, name: str, matrix: np.ndarray) -> Expression:
    """A value times a matrix; one that has a matrix in it is taken as it is."""
    inner = body.expression(name)
    if any(c.ndim == 2 or (not product and ex.is_large(c)) for block in inner for product, c in block.terms.items()):
        inner = body.apart(name, inner)
    if any(not product or not is_one(c) for block in inner for product, c in block.terms.items()):
        body.spend(matrix.nbytes)
    return ex.times_matrix(inner, matrix)


@_means("Gemm")
def _gemm(body: Body, step: Operator) -> Expression:
    given = operator_attributes(step)
    matrix = step.constants.get(1)
    if not step.inputs[0] or matrix is None or given["transA"]:
        raise NotACell(f"node {step.name!r} (Gemm) multiplies what is computed")
    matrix = matrix.T if given["transB"] else matrix
    total = _product(body, step.inputs[0], matrix)
    if given["alpha"] != 1:
        total = ex.scaled(total, np.array(given["alpha"]))
    if len(step.inputs) > 2 and (step.inputs[2] or 2 in step.constants) and given["beta"] != 0:
        shape = step.constants[2].shape if 2 in step.constants else body.facts.value(step.inputs[2]).shape
        if 2 not in step.constants and row_axis(shape) not in (0, 2):
            raise NotACell(f"node {step.name!r} (Gemm) brings different axes together")
        added = body.operand(step, 2, matrix.shape[1])
        if ex.width_of(added) != matrix.shape[1]:
            raise NotACell(f"node {step.name!r} (Gemm) spreads a value out")
        total = ex.plus(total, ex.scaled(added, np.array(given["beta"])) if given["beta"] != 1 else added)
    return total


def _must_be_computed(step: Operator) -> None:
    if not step.inputs[0]:
        raise NotACell(f"node {step.name!r} ({step.op_type}) works on a constant")


def _last_axis(body: Body, step: Operator, axis: int) -> int:
    """The size of the last axis of an operator's input, along which it must work."""
    _must_be_computed(step)
    shape = body.facts.value(step.inputs[0]).shape
    if not shape or axis % len(shape) != len(shape) - 1 or not isinstance(shape[-1], int):
        raise NotACell(f"node {step.name!r} ({step.op_type}) works along another axis than that of the features")
    return shape[-1]


@_means("Split")
def _split(body: Body, step: Operator) -> list[Expression]:
    _last_axis(body, step, operator_attributes(step)["axis"])
    inner = body.expression(step.inputs[0])
    if any(step.inputs[1:]):
        raise NotACell(f"node {step.name!r} (Split) has sizes that are computed")
    made, at = [], 0
    for name in step.outputs:
        width = body.facts.value(name).shape[-1] if name else None
        if not isinstance(width, int):
            raise NotACell(f"node {step.name!r} (Split) leaves a part out")
        made.append(ex.part(inner, at, at + width))
        at += width
    return made


@_means("Slice")
def _slice(body: Body, step: Operator) -> Expression:
    _must_be_computed(step)
    shape = body.facts.value(step.inputs[0]).shape
    if any(step.inputs[1:]):
        raise NotACell(f"node {step.name!r} (Slice) takes a part that is computed")
    starts, ends = (step.constants[i].reshape(-1).tolist() for i in (1, 2))
    axes = step.constants[3].reshape(-1).tolist() if 3 in step.constants else list(range(len(starts)))
    strides = step.constants[4].reshape(-1).tolist() if 4 in step.constants else [1] * len(starts)
    made = body.expression(step.inputs[0])
    for start, end, axis, stride in zip(starts, ends, axes, strides):
        dim = shape[axis]
        if stride == 1 and start == 0 and end >= (NO_END if isinstance(dim, str) else dim):
            continue
        width = _last_axis(body, step, axis)
        low, high, _ = slice(start, end).indices(width)
        if stride != 1 or low >= high:
            raise NotACell(f"node {step.name!r} (Slice) takes elements apart")
        made = ex.part(made, low, high)
    return made


@_means("Concat")
def _concat(body: Body, step: Operator) -> Expression:
    if step.constants:
        raise NotACell(f"node {step.name!r} (Concat) puts a constant beside a value")
    _last_axis(body, step, step.attributes["axis"])
    _rows_agree(body, step)
    return ex.joined([body.expression(name) for name in step.inputs])


@_means("Clip", "Min", "Max")
def _clip(body: Body, step: Operator) -> Expression:
    """Clipping that is an activation: HardSigmoid, Relu, Relu6, or -1 to 1."""
    name = next(filter(None, step.inputs), "")
    bounds = {i: array for i, array in step.constants.items() if array.size == 1}
    if any(other for other in step.inputs if other not in ("", name)) or len(bounds) != len(step.constants):
        raise NotACell(f"node {step.name!r} ({step.op_type}) has bounds that are computed")
    low, high, inner = body.between.get(name, (-math.inf, math.inf, name))
    numbers = [float(array.item()) for array in bounds.values()]
    if any(map(math.isnan, numbers)):
        raise NotACell(f"node {step.name!r} ({step.op_type}) has a bound that is no number")
    if step.op_type != "Min":
        low = max([low, *(numbers if step.op_type == "Max" else [float(bounds[1].item())] if 1 in bounds else [])])
    if step.op_type != "Max":
        high = min([high, *(numbers if step.op_type == "Min" else [float(bounds[2].item())] if 2 in bounds else [])])
    if not low <= high:
        raise NotACell(f"node {step.name!r} ({step.op_type}) clips to nothing")
    body.between[step.outputs[0]] = low, high, inner
    if (low, high) == (0, 1):
        alpha, beta, unscaled = body.scaled_of.get(inner, (1.0, 0.0, inner))
        made = Activation.of("hard_sigmoid", alpha, beta), body.expression(unscaled)
    else:
        made = Activation.of(_CLIPPED.get((low, high), "linear")), body.expression(inner)
    if (low, high) in _CLIPPED or (low, high) == (0, 1):
        body.squashed[step.outputs[0]] = made
    return ex.atom(step.outputs[0], ex.width_of(body.expression(name)))


_CLIPPED = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh"}


@_means("Gather")
def _gather(body: Body, step: Operator) -> Expression:
    """One step of a sequence that stands around the loop, or rows of a table by ids."""
    table = step.constants.get(0)
    if table is not None and step.inputs[1]:
        return ex.atom(step.outputs[0], features_of(body.facts.value(step.outputs[0])))
    index = body.number(step.inputs[1]) if len(step.inputs) == 2 and step.inputs[1] else None
    name = step.inputs[0]
    if index is None or not name or not body.is_outside(name):
        raise NotACell(f"node {step.name!r} (Gather) reads something else than one step of a sequence")
    value = body.facts.value(name)
    axis = step.attributes.get("axis", 0) % len(value.shape)
    if len(body.facts.value(step.inputs[1]).shape):
        raise NotACell(f"node {step.name!r} (Gather) reads several steps")
    size = value.shape[axis]
    backwards = goes_to(index, Number.of(size))
    if backwards is None:
        raise NotACell(f"node {step.name!r} (Gather) reads another step than the next")
    if not body.counts(index, Number.of(size)):
        raise NotACell(f"node {step.name!r} (Gather) is told its step by numbers of a type that rounds or wraps")
    shape = value.shape[:axis] + value.shape[axis + 1:]
    body.given(step.outputs[0], Scanned(name, axis, backwards, shape), Number.of(size))
    return body.expression(step.outputs[0])
