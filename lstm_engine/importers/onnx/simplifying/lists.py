"""Sequences of tensors, which no value of ours is: followed by what is in them, as PyTorch's lists are used.

A list is known by its elements, or is what a loop appended turn by turn, one behind the other in one tensor. What takes
an element out, counts them or puts them together is then an operator on tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..model import OnnxNode
from .scopes import Scope, Walk


@dataclass(frozen=True)
class TensorList:
    """elements: names of values. stacked: or the value along whose first axis they stand. appended_to: the list that a
    turn of a loop was given, behind which the elements come."""

    elements: tuple[str, ...] = ()
    stacked: str = ""
    appended_to: str = ""


# What an operator makes: a list, or the name of a value.
Rule = Callable[[Walk, OnnxNode, "Sequence[str]"], "TensorList | str"]
RULES: dict[str, Rule] = {}
_ATTRIBUTES = {"SequenceEmpty": {"dtype"}, "SplitToSequence": {"axis", "keepdims"},
               "ConcatFromSequence": {"axis", "new_axis"}}


def _makes(op: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES[op] = rule
        return rule
    return register


def follow(walk: Walk, node: OnnxNode, scope: Scope) -> None:
    """Give the output of an operator on lists its meaning. Raises FormatError, UnsupportedError."""
    if unknown := sorted(node.attributes.keys() - _ATTRIBUTES.get(node.op, set())):
        raise UnsupportedError(f"{node.label}: attribute {unknown[0]!r} is not supported")
    if len(node.outputs) != 1:
        raise FormatError(f"{node.label}: makes one output, not {len(node.outputs)}")
    made = RULES[node.op](walk, node, [scope.find(name) or "" for name in node.inputs])
    name = node.outputs[0]
    if isinstance(made, TensorList):
        walk.bind(node, [walk.add_list(name, made)], scope)
        return
    result = name if scope.outermost else walk.new_name(name)
    walk.operator(replace(node, op="Identity", inputs=(made,), outputs=(result,), attributes={}))
    walk.bind(node, [walk.same_as(result)], scope)


def _list(walk: Walk, node: OnnxNode, inputs: Sequence[str], least: int, most: int) -> TensorList:
    """The list that an operator reads first."""
    if not least <= len(inputs) <= most or not all(inputs[:least]):
        raise FormatError(f"{node.label}: takes {least} to {most} inputs, not {len(inputs)}")
    found = walk.list_of(inputs[0])
    if found is None:
        raise FormatError(f"{node.label}: {node.inputs[0]!r} is no sequence of tensors")
    return found


def _unknown(node: OnnxNode) -> UnsupportedError:
    return UnsupportedError(f"{node.label}: a sequence of tensors is read where only the run knows what is in it; "
                            "supported are sequences that begin empty and are appended to, in order")


@_makes("SequenceEmpty")
def _empty(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> TensorList:
    return TensorList()


@_makes("SequenceConstruct")
def _construct(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> TensorList:
    if not all(inputs):
        raise FormatError(f"{node.label}: an input is left out")
    for name in inputs:
        walk.value(name)
    return TensorList(tuple(inputs))


@_makes("SplitToSequence")
def _split(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> TensorList:
    """Parts of an axis: one element each, of however many there are, or of sizes that are known."""
    axis, keep = node.attributes.get("axis", 0), node.attributes.get("keepdims", 1)
    if not 1 <= len(inputs) <= 2 or not inputs[0] or type(axis) is not int or keep not in (0, 1):
        raise FormatError(f"{node.label}: takes a tensor and perhaps sizes, with an axis and keepdims of 0 or 1, got "
                          f"{len(inputs)} inputs, {axis!r:.60} and {keep!r:.60}")
    shape = walk.value(inputs[0]).shape
    rank = len(shape)
    if not -rank <= axis < rank:
        raise FormatError(f"{node.label}: axis {axis} is outside the {rank} axes of its input")
    axis %= rank
    sizes = walk.constant(inputs[1]) if inputs[1:] and inputs[1] else None
    if sizes is None and inputs[1:] and inputs[1]:
        raise _unknown(node)
    if sizes is not None and not keep:
        raise UnsupportedError(f"{node.label}: keepdims is 0 beside sizes of parts, which ONNX says to ignore and ONNX "
                               "Runtime does not; leave one of them out")
    if sizes is None or (not sizes.ndim and sizes.item() == 1):
        order = (axis, *range(axis), *range(axis + 1, rank))
        turned = _made(walk, node, "Transpose", inputs[0], perm=order) if axis else inputs[0]
        if sizes is None and not keep:
            return TensorList(stacked=turned)
        return TensorList(stacked=_made(walk, node, "Unsqueeze", turned, _axes(walk, node, axis + 1)))
    return TensorList(tuple(_made(walk, node, "Slice", inputs[0], _axes(walk, node, begin), _axes(walk, node, end),
                                  _axes(walk, node, axis)) for begin, end in _parts(walk, node, sizes, shape[axis])))


def _parts(walk: Walk, node: OnnxNode, sizes: np.ndarray, size: int | str) -> list[tuple[int, int]]:
    """Begin and end of each part: one size for all of them, of which the last may be smaller, or a size for each."""
    if isinstance(size, str):
        raise _unknown(node)
    if sizes.dtype.kind not in "iu" or sizes.ndim > 1 or (sizes < 0).any() or (not sizes.ndim and not sizes):
        raise FormatError(f"{node.label}: the sizes of its parts must be whole numbers, one or a list of them")
    walk.count_nodes(-(-size // int(sizes)) if not sizes.ndim else len(sizes), 0)
    widths = sizes.tolist() if sizes.ndim else [int(sizes)] * (size // int(sizes)) + [size % int(sizes)] * bool(
        size % int(sizes))
    if sum(widths) != size:
        raise FormatError(f"{node.label}: its parts have {sum(widths)} elements together, the axis {size}")
    ends = np.cumsum(widths).tolist()
    return list(zip([0, *ends[:-1]], ends))


@_makes("SequenceInsert")
def _insert(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> TensorList:
    found = _list(walk, node, inputs, 2, 3)
    walk.value(inputs[1])
    if inputs[2:]:
        raise _unknown(node)
    if found.stacked:
        return joined(walk, node, found, TensorList((inputs[1],)))
    return replace(found, elements=(*found.elements, inputs[1]))


@_makes("SequenceAt")
def _at(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> str:
    found = _list(walk, node, inputs, 2, 2)
    if found.stacked:
        return _made(walk, node, "Gather", found.stacked, inputs[1], axis=0)
    place = walk.constant(inputs[1])
    if found.appended_to or place is None or place.size != 1 or place.dtype.kind != "i":
        raise _unknown(node)
    count, at = len(found.elements), int(place.item())
    if not -count <= at < count:
        raise FormatError(f"{node.label}: place {at} is outside the {count} of {node.inputs[0]!r}")
    return found.elements[at]


@_makes("SequenceLength")
def _length(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> str:
    found = _list(walk, node, inputs, 1, 1)
    if found.appended_to:
        raise _unknown(node)
    if not found.stacked:
        return walk.add_constant(f"{node.name}/length", np.array(len(found.elements)))
    first = walk.add_constant(f"{node.name}/first", np.array(0))
    return _made(walk, node, "Gather", _made(walk, node, "Shape", found.stacked), first, axis=0)


@_makes("ConcatFromSequence")
def _concat(walk: Walk, node: OnnxNode, inputs: Sequence[str]) -> str:
    found = _list(walk, node, inputs, 1, 1)
    axis, new = node.attributes.get("axis"), node.attributes.get("new_axis", 0)
    if type(axis) is not int or new not in (0, 1):
        raise FormatError(f"{node.label}: axis is {axis!r:.60} and new_axis {new!r:.60}; expected a whole number, and "
                          "0 or 1")
    if found.appended_to or not (found.stacked or found.elements):
        raise _unknown(node)
    rank = walk.rank(found.stacked) - 1 if found.stacked else walk.rank(found.elements[0])
    if not -rank - new <= axis < rank + new:
        raise FormatError(f"{node.label}: axis {axis} is outside the {rank + new} of its result")
    axis %= rank + new
    if found.stacked:
        return _unstacked(walk, node, found.stacked, axis, bool(new))
    parts = [_made(walk, node, "Unsqueeze", name, _axes(walk, node, axis)) if new else name for name in found.elements]
    return _made(walk, node, "Concat", *parts, axis=axis)


def joined(walk: Walk, node: OnnxNode, *lists: TensorList) -> TensorList:
    """Lists one behind the other, none of which a loop appends to: their elements have one size."""
    first = _axes(walk, node, 0)
    parts = [part for found in lists for part in (
        [found.stacked] if found.stacked else [_made(walk, node, "Unsqueeze", one, first) for one in found.elements])]
    return TensorList(stacked=parts[0] if len(parts) == 1 else _made(walk, node, "Concat", *parts, axis=0))


def _unstacked(walk: Walk, node: OnnxNode, stacked: str, axis: int, new: bool) -> str:
    """The elements that stand along the first axis, along another: one of its own, or one of theirs."""
    shape = walk.value(stacked).shape
    order = (*range(1, axis + 1), 0, *range(axis + 1, len(shape)))
    turned = _made(walk, node, "Transpose", stacked, perm=order) if axis else stacked
    if new:
        return turned
    behind = shape[axis + 2:]
    if shape[axis + 1] == 1:
        return _made(walk, node, "Squeeze", turned, _axes(walk, node, axis + 1))
    if not all(isinstance(size, int) for size in behind):
        raise _unknown(node)
    return _made(walk, node, "Reshape", turned, _axes(walk, node, *[0] * axis, -1, *behind))       # type: ignore[arg-type]


def _axes(walk: Walk, node: OnnxNode, *axes: int) -> str:
    return walk.add_constant(f"{node.name}/axes", np.array(axes, np.int64))


def _made(walk: Walk, node: OnnxNode, op: str, *inputs: str, **attributes: Any) -> str:
    name = walk.new_name(f"{node.name or node.op}/{op}")
    walk.operator(OnnxNode(name, op, tuple(inputs), (name,), attributes, opset=node.opset))
    return walk.same_as(name)
