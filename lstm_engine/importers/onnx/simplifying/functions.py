"""Expands a call of one of the model's own functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model import Attribute, OnnxFunction, OnnxGraph, OnnxNode, Reference


def body_of(function: OnnxFunction, call: OnnxNode) -> list[OnnxNode]:
    """The function's nodes with the attributes of the call put in; names of values stay formal."""
    given = function.defaults | call.attributes
    return _filled(function.nodes, given, f"{call.name or call.op}/")


def _filled(nodes: list[OnnxNode], given: Mapping[str, Attribute], prefix: str) -> list[OnnxNode]:
    made = []
    for node in nodes:
        attributes = {}
        for name, value in node.attributes.items():
            if isinstance(value, Reference):
                if value.name not in given:
                    continue            # an optional attribute that the call leaves out
                value = given[value.name]
            elif isinstance(value, OnnxGraph):
                value = replace(value, nodes=_filled(value.nodes, given, prefix))
            attributes[name] = value
        made.append(replace(node, name=prefix + (node.name or node.op), attributes=attributes))
    return made
