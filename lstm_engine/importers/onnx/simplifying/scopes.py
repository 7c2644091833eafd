"""What a graph inside a node is read with: its names, and the walk through the model that it is part of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ....graph.nodes import Operator, Shape, Value
from ..model import OnnxGraph, OnnxNode
from .budget import Budget
from .order import names_read
from .recurrent import Cell

if TYPE_CHECKING:
    from .lists import TensorList


class Scope:
    """Names as a graph writes them, and the values they stand for; what is not here is looked up outside."""

    def __init__(self, outer: Scope | None = None, outermost: bool = False) -> None:
        self.names: dict[str, str] = {}
        self.outer = outer
        self.outermost = outermost
        self.graph: tuple[Sequence[OnnxNode], Sequence[str]] = ((), ())     # the nodes in it, and what it gives
        self._read: frozenset[str] | None = None

    def find(self, name: str) -> str | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


    def reads(self, name: str) -> bool:
        """Whether a name is read in this scope, or given by it."""
        if self._read is None:
            nodes, outputs = self.graph
            self._read = names_read(nodes, outputs)
        return name in self._read


class Walk(Protocol):
    """What is asked of the walk through the model (`fold`). Names of values are those of the walk, not of a scope."""

    budget: Budget

    def constant(self, name: str) -> np.ndarray | None: ...
    def value(self, name: str) -> Value: ...
    def rank(self, name: str) -> int: ...
    def add_constant(self, hint: str, array: np.ndarray) -> str: ...
    def new_name(self, hint: str) -> str: ...
    def own(self, graph: OnnxGraph, scope: Scope) -> None: ...
    def nodes(self, nodes: Sequence[OnnxNode], outputs: Sequence[str], scope: Scope, depth: int) -> None: ...
    def inside(self, nodes: Sequence[OnnxNode], outputs: Sequence[str], scope: Scope, depth: int
               ) -> list[Operator | Cell]: ...
    def count_steps(self) -> int: ...
    def forget_steps(self, count: int) -> None: ...
    def operator(self, node: OnnxNode) -> None: ...
    def cell(self, cell: Cell) -> None: ...
    def add_list(self, hint: str, made: TensorList) -> str: ...
    def list_of(self, name: str) -> TensorList | None: ...
    def add_value(self, hint: str, shape: Shape, dtype: str) -> str: ...
    def elements_of(self, name: str) -> np.ndarray | None: ...
    def is_zero(self, name: str) -> bool: ...
    def makers_of(self, names: Sequence[str]) -> list[Operator]: ...
    def same_as(self, name: str) -> str: ...
    def bind(self, node: OnnxNode, made: Sequence[str], scope: Scope) -> None: ...
    def note_one_rank(self, sentence: str) -> None: ...
    def count_nodes(self, count: int, depth: int) -> None: ...
