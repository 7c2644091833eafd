"""Operators that only move elements: followed as views, not run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....graph.nodes import Operator
from ..simplifying.numbers import LARGE
from .mapper import Mapper
from .views import View, join

# What the outputs of a step are views of; None where it must be run.
Rule = Callable[[Mapper, Operator], list[View | None] | None]
_RULES: dict[str, Rule] = {}


def _moves(op_type: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES[op_type] = rule
        return rule
    return register


def follow(mapper: Mapper, step: Operator) -> bool:
    """Give the outputs of a step that moves elements their views; False if it must be run."""
    rule = _RULES.get(step.op_type)
    if rule is None or any(name not in mapper.views for name in step.inputs[:1]):
        return False
    views = rule(mapper, step)
    if views is None or any(view is None for view in views):
        return False
    for name, view in zip(step.outputs, views):
        if name and view is not None:
            mapper.views[name] = _through_concat(mapper, view)
    return True


def _through_concat(mapper: Mapper, view: View) -> View:
    """The view of one input of a Concat, where it sees no other: the last layer's state out of all layers'."""
    while view.root in mapper.joined:
        axis, pieces = mapper.joined[view.root]
        inner = _piece(view, axis, pieces)
        if inner is None:
            return view
        view = inner
    return view


def _piece(view: View, axis: int, pieces: list[tuple[View, int]]) -> View | None:
    picked = dict(view.picks)
    leading = []
    for factor in view.of_axis(axis):
        if factor not in picked:
            break
        leading.append(factor)
    offset, count = 0, 1
    for factor in view.of_axis(axis):
        size = view.size(factor)
        assert isinstance(size, int)        # the sizes of the pieces are known, so their sum is
        offset = offset * size + (picked[factor] % size if factor in leading else 0)
        count *= 1 if factor in leading else size
    at = 0
    while offset >= pieces[at][1]:
        offset -= pieces[at][1]
        at += 1
    inner, size = pieces[at]
    if not leading or offset + count > size:
        return None
    cut = inner if count == size else inner.pick(axis, offset, keep=True) if count == 1 else None
    return None if cut is None else view.without(leading).compose(cut)


def _axes(step: Operator, position: int = 1) -> list[int]:
    return [int(axis) for axis in np.ravel(step.constants[position])]


@_moves("Transpose")
def _transpose(mapper: Mapper, step: Operator) -> list[View | None]:
    view = mapper.views[step.inputs[0]]
    return [view.transpose(step.attributes.get("perm") or tuple(reversed(range(len(view.axes)))))]


@_moves("Squeeze")
def _squeeze(mapper: Mapper, step: Operator) -> list[View | None] | None:
    view = mapper.views[step.inputs[0]]
    if len(step.inputs) < 2:
        return [view.squeeze([i for i, dim in enumerate(mapper.shape(step.inputs[0])) if dim == 1])]
    return [view.squeeze(_axes(step))] if 1 in step.constants else None


@_moves("Unsqueeze")
def _unsqueeze(mapper: Mapper, step: Operator) -> list[View | None] | None:
    return [mapper.views[step.inputs[0]].unsqueeze(_axes(step))] if 1 in step.constants else None


@_moves("Reshape")
@_moves("Flatten")
def _reshape(mapper: Mapper, step: Operator) -> list[View | None]:
    return [mapper.views[step.inputs[0]].reshape(mapper.shape(step.outputs[0]))]


@_moves("Gather")
def _gather(mapper: Mapper, step: Operator) -> list[View | None] | None:
    """Gather of one index that is a constant."""
    index = step.constants.get(1)
    view = mapper.views[step.inputs[0]]
    if index is None or index.size != 1 or index.ndim > 1:
        return None
    axis = step.attributes.get("axis", 0) % len(view.axes)
    return [view.pick(axis, int(index.reshape(())), keep=index.ndim == 1)]


@_moves("Slice")
def _slice(mapper: Mapper, step: Operator) -> list[View | None] | None:
    """Slice of one index of one axis, or of one element of each of several."""
    view: View | None = mapper.views[step.inputs[0]]
    if any(name for name in step.inputs[1:]):
        return None
    starts, ends = _axes(step, 1), _axes(step, 2)
    axes = _axes(step, 3) if 3 in step.constants else list(range(len(starts)))
    steps = _axes(step, 4) if 4 in step.constants else [1] * len(starts)
    shape = mapper.shape(step.inputs[0])
    for start, end, axis, stride in zip(starts, ends, axes, steps):
        dim = shape[axis]
        if stride != 1:
            return None
        if start == 0 and (end >= LARGE // 2 or (isinstance(dim, int) and end >= dim)):
            continue
        first = start + dim if isinstance(dim, int) and start < 0 else start
        last = end if end >= 0 or not isinstance(dim, int) else end + dim
        one = (last == first + 1 and (first >= 0 or last < 0)) or (first == -1 and (end >= LARGE // 2)) or (
            isinstance(dim, int) and first == dim - 1 and last >= dim)
        view = view.pick(axis % len(shape), first, keep=True) if one and view is not None else None
        if view is None:
            return None
    return [view]


@_moves("Split")
def _split(mapper: Mapper, step: Operator) -> list[View | None] | None:
    """Split into single indices, as the two directions of a layer."""
    axis = step.attributes.get("axis", 0)
    view, count = mapper.views[step.inputs[0]], len(step.outputs)
    if mapper.shape(step.inputs[0])[axis] != count or any(step.inputs[1:]):
        return None
    if 1 in step.constants and any(size != 1 for size in _axes(step)):
        return None
    return [view.pick(axis % len(view.axes), i, keep=True) for i in range(count)]


@_moves("Concat")
def _concat(mapper: Mapper, step: Operator) -> list[View | None] | None:
    """Concat that puts together what was taken apart."""
    if not all(name in mapper.views for name in step.inputs):
        return None
    views = [mapper.views[name] for name in step.inputs]
    return [join(views, step.attributes["axis"] % len(views[0].axes))]
