"""Branches on sizes that are open: what their statements do, and what can be written of both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..program.schema import Call
from .tree import Assign, Attribute, CallOf, If, Name, Run


def only_names(body: Sequence[Any]) -> bool:
    """Whether statements do nothing but give names to values."""
    return all(isinstance(one, Assign) and all(isinstance(target, Name) for target in one.targets)
               or isinstance(one, If) and only_names(one.then) and only_names(one.otherwise) for one in body)


def harmless(call: Call) -> bool:
    """Whether a call can be made where TorchScript would not have made it: it can fail of no sizes."""
    word = call.target.rpartition("_operator.")[2]
    return call.target == "torch.ops.aten.sym_size.int" or word in ("add", "sub", "mul") or (
        word in ("floordiv", "mod") and type(call.arguments["b"]) is int and call.arguments["b"] > 0)


def raises(body: Sequence[Any]) -> bool:
    """Whether statements raise an error, whatever else they do."""
    return any(isinstance(one, Run) and isinstance(one.value, CallOf) and isinstance(one.value.function, Attribute)
               and one.value.function.name == "RaiseException" for one in body)
