"""Brings nodes of older operator versions to the one form that `operators` knows.

A rule gets the node and the facts known of its inputs and returns the nodes that stand for it. Sources: the
"Version" sections of ONNX's operator documentation (Changelog.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..model import OnnxNode


class Facts(Protocol):
    """What the walk over the graph knows so far."""

    def constant(self, name: str) -> np.ndarray | None:
        """The array of a constant value, None for others."""

    def rank(self, name: str) -> int:
        """The number of axes of a value."""

    def add_constant(self, hint: str, array: np.ndarray) -> str:
        """The name of a new constant."""

    def new_name(self, hint: str) -> str:
        """A name that no value has."""


Rule = Callable[[OnnxNode, Facts], list[OnnxNode]]
_RULES: dict[str, Rule] = {}


def modern(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    """The nodes that stand for `node`, in today's form. Raises UnsupportedError for options that have none.

    A node that lacks its first input or output stays as it is: the table of operators refuses it by name.
    """
    rule = None if node.domain else _RULES.get(node.op)
    return rule(node, facts) if rule and any(node.inputs[:1]) and any(node.outputs[:1]) else [node]


def _rule(names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for name in names.split():
            _RULES[name] = function
        return function
    return register


def _without(node: OnnxNode, *names: str, **added: Any) -> OnnxNode:
    kept = {name: value for name, value in node.attributes.items() if name not in names}
    return replace(node, attributes=kept | added)


def _to_input(node: OnnxNode, facts: Facts, attribute: str, position: int, whole: bool = True) -> OnnxNode:
    """Move an attribute to an input, where the node has it."""
    if attribute not in node.attributes:
        return node
    array = node.numbers(attribute, whole)
    inputs = list(node.inputs) + [""] * (position + 1 - len(node.inputs))
    if inputs[position]:
        raise FormatError(f"{node.label}: {attribute!r} is given as an attribute and as an input")
    inputs[position] = facts.add_constant(f"{node.outputs[0]}/{attribute}", array)
    return replace(_without(node, attribute), inputs=tuple(inputs))


@_rule("Squeeze Unsqueeze ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare"
       " ReduceLogSum ReduceLogSumExp")
def _axes(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_to_input(node, facts, "axes", 1)]


@_rule("Split")
def _split(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_to_input(node, facts, "split", 1)]


@_rule("Slice")
def _slice(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    for position, attribute in ((1, "starts"), (2, "ends"), (3, "axes")):
        node = _to_input(node, facts, attribute, position)
    return [node]


@_rule("TopK")
def _top_k(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    if "k" in node.attributes:
        node = _to_input(_without(node, k=[node.attributes["k"]]), facts, "k", 1)
    return [_trimmed(node)]


@_rule("Clip")
def _clip(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_to_input(_to_input(node, facts, "min", 1, False), facts, "max", 2, False)]


@_rule("Pad")
def _pad(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_to_input(_to_input(node, facts, "pads", 1), facts, "value", 2, False)]


@_rule("Softmax LogSoftmax")
def _softmax(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    """Before version 13 the axes from `axis` on were one: the input was seen as a matrix."""
    if node.opset >= 13:
        return [node]
    rank, axis = facts.rank(node.inputs[0]), node.attributes.get("axis", 1)
    if axis in (-1, rank - 1):
        return [_without(node, axis=-1)]
    shape, flat, soft = (facts.new_name(f"{node.outputs[0]}/{part}") for part in ("shape", "flat", "softmax"))
    return [OnnxNode(f"{node.name}/shape", "Shape", node.inputs, (shape,), {}, "", 21),
            OnnxNode(f"{node.name}/flat", "Flatten", node.inputs, (flat,), {"axis": axis}, "", 21),
            replace(_without(node, axis=-1), inputs=(flat,), outputs=(soft,)),
            OnnxNode(f"{node.name}/unflat", "Reshape", (soft, shape), node.outputs, {}, "", 21)]


@_rule("Dropout")
def _dropout(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    training = facts.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.False_
    if training is None or np.any(training) or any(node.outputs[1:]):
        raise UnsupportedError(f"{node.label}: dropout in training mode, or its mask, is not supported")
    return [OnnxNode(node.name, "Identity", node.inputs[:1], node.outputs[:1], {}, "", 21)]


@_rule("BatchNormalization")
def _batch_normalization(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    if not node.attributes.get("spatial", 1):
        raise UnsupportedError(f"{node.label}: attribute 'spatial' = 0 is not supported")
    return [_trimmed(_without(node, "spatial", "is_test", "consumed_inputs"))]


def _trimmed(node: OnnxNode) -> OnnxNode:
    """Without empty names at the end of the outputs."""
    outputs = list(node.outputs)
    while len(outputs) > 1 and not outputs[-1]:
        outputs.pop()
    return replace(node, outputs=tuple(outputs))


@_rule("MaxPool LayerNormalization")
def _optional_outputs(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_trimmed(node)]


@_rule("GroupNormalization")
def _group_normalization(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    """Before version 21 scale and bias had one element a group, not one a channel."""
    if node.opset >= 21:
        return [node]
    raise UnsupportedError(f"{node.label}: version 18 (scale and bias by group) is not supported; export with "
                           "version 21 of ONNX's operators")


@_rule("ConstantOfShape")
def _constant_of_shape(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    if "value" not in node.attributes:
        return [node]
    fill = facts.add_constant(f"{node.outputs[0]}/value", np.asarray(node.attributes["value"]))
    return [replace(_without(node, "value"), inputs=(node.inputs[0], fill))]


@_rule("Scatter")
def _scatter(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [replace(node, op="ScatterElements")]


@_rule("Cast CastLike")
def _cast(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    """`saturate` and `round_mode` speak of 8-bit floats only."""
    return [_without(node, "saturate", "round_mode")]


@_rule("LSTM GRU RNN")
def _recurrent(node: OnnxNode, facts: Facts) -> list[OnnxNode]:
    return [_without(node, "output_sequence")]
