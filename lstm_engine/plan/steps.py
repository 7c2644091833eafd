"""The steps of a plan: C segments with their weights packed, and host operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _core
from ..graph import Node, Recurrent
from ..graph.nodes import Dim
from .partition import AxisKey


@dataclass(frozen=True)
class Port:
    """An input or output of a segment: the value, the time axis it stands on (None: a vector), and what makes it."""

    value: str
    axis: int | None
    ids: bool
    features: int
    maker: Node | None = None


@dataclass
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


@dataclass(frozen=True)
class HostStep:
    """One node in NumPy. `keeps_time`: no step of the output depends on another step of the input."""

    node: Node
    kernel: Callable[..., Any]                        # on arrays in order; see `host_ops.registry`
    run: Callable[[dict[str, np.ndarray]], None]      # on values by name, under np.errstate(all="ignore")
    keeps_time: bool


Step = Segment | HostStep
