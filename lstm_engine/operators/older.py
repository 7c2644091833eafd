"""Forms that older opsets gave an operator, and what brings them to the one form that the registry knows.

A rule stands with its operator (`older=`). It gets the node and the facts known of its inputs, and returns the nodes
that stand for it. Sources: the "Version" sections of ONNX's operator documentation (Changelog.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ..errors import FormatError
from ..graph.nodes import Shape
from .families import Declared

LATEST = 21             # the opset whose forms the registry has


# A node as a file has it: a dataclass with `name`, `op`, `inputs`, `outputs`, `attributes`, `domain`, `opset` (the
# version of the operators that its graph asks for), `label` (what messages call it) and `numbers(attribute, whole)`.
FileNode = Any


class Facts(Protocol):
    """What the walk over the graph knows so far."""

    def constant(self, name: str) -> np.ndarray | None:
        """The array of a constant value, None for others."""

    def rank(self, name: str) -> int:
        """The number of axes of a value."""

    def shape(self, name: str) -> Shape:
        """The sizes of a value, as far as they are known."""

    def open_sizes(self) -> frozenset[str]:
        """The symbols of the model's inputs: sizes that come with a run, each of its own."""

    def dtype(self, name: str) -> str:
        """The type of a value's elements."""

    def add_constant(self, hint: str, array: np.ndarray) -> str:
        """The name of a new constant."""

    def new_name(self, hint: str) -> str:
        """A name that no value has."""


OlderForm = Callable[[FileNode, Facts], list[FileNode]]
# By name, behind its domain and a point where that is not ONNX's own.
FORMS: Declared[OlderForm] = Declared()


def modern(node: FileNode, facts: Facts) -> list[FileNode]:
    """The nodes that stand for `node`, in today's form. Raises UnsupportedError for options that have none.

    A node that lacks its first input or output stays as it is: the registry refuses it by name.
    """
    rule = FORMS.get(f"{node.domain}.{node.op}" if node.domain else node.op)
    return rule(node, facts) if rule and any(node.inputs[:1]) and any(node.outputs[:1]) else [node]


def older_only(name: str) -> Callable[[OlderForm], OlderForm]:
    """Register the rule of an operator that today's forms of others stand for. name: as `FORMS` has it."""
    def register(rule: OlderForm) -> OlderForm:
        FORMS.add(name, rule)
        return rule
    return register


# ---- what rules are made of -----------------------------------------------------------------------------------------

def instead(node: FileNode, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], part: str = "",
            **attributes: Any) -> FileNode:
    """A node of today's opset in place of `node`, or of a part of it."""
    return replace(node, name=f"{node.name}/{part}" if part else node.name, op=op, inputs=inputs, outputs=outputs,
                   attributes=attributes, domain="", opset=LATEST)


def without(node: FileNode, *names: str, **added: Any) -> FileNode:
    kept = {name: value for name, value in node.attributes.items() if name not in names}
    return replace(node, attributes=kept | added)


def to_input(node: FileNode, facts: Facts, attribute: str, position: int, whole: bool = True) -> FileNode:
    """Move an attribute to an input, where the node has it."""
    if attribute not in node.attributes:
        return node
    array = node.numbers(attribute, whole)
    inputs = list(node.inputs) + [""] * (position + 1 - len(node.inputs))
    if inputs[position]:
        raise FormatError(f"{node.label}: {attribute!r} is given as an attribute and as an input")
    inputs[position] = facts.add_constant(f"{node.outputs[0]}/{attribute}", array)
    return replace(without(node, attribute), inputs=tuple(inputs))


def attributes_to_inputs(**positions: int) -> OlderForm:
    """The rule of an operator that had whole numbers in attributes which are inputs today, at these positions."""
    def rule(node: FileNode, facts: Facts) -> list[FileNode]:
        for attribute, position in positions.items():
            node = to_input(node, facts, attribute, position)
        return [node]
    return rule


def trimmed(node: FileNode) -> FileNode:
    """Without empty names at the end of the outputs."""
    outputs = list(node.outputs)
    while len(outputs) > 1 and not outputs[-1]:
        outputs.pop()
    return replace(node, outputs=tuple(outputs))


def optional_outputs(node: FileNode, facts: Facts) -> list[FileNode]:
    """The rule of an operator whose outputs after the first may be left out."""
    return [trimmed(node)]
