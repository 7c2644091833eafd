"""The steps of a plan: C segments with their weights packed, and host operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from ..graph import Loop, Node, Operator, Recurrent, Value
from ..graph.nodes import Dim
from .partition import AxisKey

if TYPE_CHECKING:
    from ..operators.kernels import Kernel, Repetition
    from .lower import Plan


class Port(NamedTuple):
    """An input or output of a segment: the value, the time axis it stands on (None: a vector), and what makes it."""

    value: str
    axis: int | None
    ids: bool
    features: int
    maker: Node | None = None


@dataclass(eq=False)
class Segment:
    """One call of the C core, all of it on `rows` rows. Outputs are [rows, time, features] on an axis, or
    [rows, features]."""

    core: _core.CoreModel
    rows: Dim | None = None
    ports: list[Port] = field(default_factory=list)
    axes: list[AxisKey] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    layers: list[Recurrent] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    node_axes: list[int | None] = field(default_factory=list)        # where each node's first input stands

    def reads(self) -> set[str]:
        """The names of the values that come in."""
        return {port.value for port in self.ports} | {name for axis in self.axes for name in (axis.lengths, axis.mask)}

    def makes(self) -> set[str]:
        return {port.value for port in self.outputs}

    def takes_declared(self, values: Mapping[str, Value]) -> bool:
        """Whether every number comes in the dtype that the segment computes in."""
        return all(port.ids or values[port.value].dtype == self.core.dtype for port in self.ports)


def through_core(kernel: Kernel, repetition: Repetition, core: _core.CoreModel) -> Kernel:
    """`kernel`, with how it is repeated, and the core that it runs on."""
    from ..operators.kernels import repeatable

    kernel.core = core                                # type: ignore[attr-defined]
    return repeatable(kernel, repetition)


class HostStep(NamedTuple):
    """One node in NumPy."""

    node: Node
    kernel: Callable[..., Any]                        # on arrays in order; see `operators.kernels`
    run: Callable[[dict[str, np.ndarray]], None]      # on values by name, under np.errstate(all="ignore")

    def reads(self) -> set[str]:
        """The names of the values that come in."""
        return set(self.node.inputs)

    def makes(self) -> set[str]:
        return set(self.node.outputs)

    def inputs(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray | None]:
        """What the kernel is called with, constants in their places, None for what is left out."""
        return inputs_of(self.node, values)

    @property
    def core(self) -> _core.CoreModel | None:
        """The core that the kernel runs on, where it does."""
        return getattr(self.kernel, "core", None)


def inputs_of(node: Node, values: Mapping[str, np.ndarray]) -> list[np.ndarray | None]:
    """What a node is run on: constants in their places, None for what is left out."""
    constants = node.constants if isinstance(node, (Operator, Loop)) else {}
    return [constants[i] if i in constants else values[name] if name else None for i, name in enumerate(node.inputs)]


class LoopStep(NamedTuple):
    """One loop, and the plan of its body."""

    node: Loop
    body: Plan

    def reads(self) -> set[str]:
        """The names of the values that come in."""
        return set(self.node.inputs)

    def makes(self) -> set[str]:
        return set(self.node.outputs)


Step = Segment | HostStep | LoopStep
