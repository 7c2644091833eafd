"""From a graph to steps that run: C segments with their weights packed, and host operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import _core
from ..graph import Activate, Dense, Embedding, Graph, Loop, Node, Operator, Pool, Recurrent, Value
from ..limits import Limits
from ..operators.guards import Guard
from ..operators.inference import infer_shapes
from ..types import Dtype, Gemm
from .axes import Axes
from .bounds import Bounds
from .partition import AxisKey, Part, optional, partition
from .steps import HostStep, LoopStep, Port, Segment, Step
from .weights import Sharing, SkeletonBuilder

if TYPE_CHECKING:
    from ..graph.nodes import Dim
    from ..operators.places import Place


@dataclass(frozen=True, eq=False)
class Plan:
    """A graph ready to run on one instruction set. `values` are the graph's, by name.

    `skeleton`: the graph without the matrices that the segments hold packed; see `weights.restore`.
    """

    skeleton: Graph
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    values: dict[str, Value]
    steps: tuple[Step, ...]
    dtype: Dtype
    isa: str
    gemm: Gemm
    axes: Axes
    bounds: Bounds
    drops: tuple[tuple[str, ...], ...]          # values that nobody reads after a step
    guards: tuple[Guard, ...]                   # when each step is run

    @cached_property
    def direct(self) -> Segment | None:
        """The segment that is all of the plan and takes and gives its inputs and outputs as they are, with no lengths,
        masks or axes of its own: the core alone then says what fits, and one call of it is a run."""
        segment = self.steps[0] if len(self.steps) == 1 else None
        if not isinstance(segment, Segment) or any(axis.lengths or axis.mask for axis in segment.axes) \
                or {port.value for port in segment.ports} != {value.name for value in self.inputs} \
                or len(segment.ports) != len(self.inputs) or not segment.takes_declared(self.values) \
                or sorted(port.value for port in segment.outputs) != sorted(self.outputs):
            return None
        batches = {self.values[port.value].shape[0] for port in segment.ports}
        # One name for two axes would make their sizes equal, which the core does not check.
        symbols = [dim for dim in (*batches, *(axis.time for axis in segment.axes)) if isinstance(dim, str)]
        return segment if len(batches) == 1 and len(symbols) == len(set(symbols)) else None

    @cached_property
    def mixes_rows(self) -> str:
        """What keeps the rows of the batch from running in parts, "" where they can."""
        if not isinstance(self.axes.batch, str):
            return f"fixes its batch ({self.axes.batch})"
        from ..operators.places import Counts, Mixed

        places = self.rows_apart
        for name in (*(value.name for value in self.inputs), *self.outputs):
            place = places[name]
            if isinstance(place, Mixed):
                return f"makes {name!r} of all rows at once, in {place.node}"
            if isinstance(place, Counts):
                return f"gives the number of its rows ({name})"
        return ""

    @cached_property
    def rows_apart(self) -> dict[str, Place]:
        """Where the rows of the batch stand in every value; see `row_axes`."""
        from .row_axes import place_of, row_places

        batch = self.axes.batch
        start = {value.name: place_of(value, batch, self.axes.batch_axis(value.name)) for value in self.inputs}
        return row_places(self.skeleton.nodes, self.values, start, batch)

    @cached_property
    def steps_apart(self) -> dict[Dim, dict[str, Place]]:
        """Where each time axis stands in every value; see `step_axes`."""
        from .step_axes import step_places

        return {time: step_places(self.skeleton.nodes, self.inputs, self.axes, time) for time in self.axes.times}

    @cached_property
    def mixes_padding(self) -> dict[Dim, str]:
        """The node that keeps lengths of a time axis from being given, "" where they can be."""
        from .step_axes import across_time, mixed_in_time

        found = {}
        for time, places in self.steps_apart.items():
            mixed = mixed_in_time(self.skeleton.nodes, self.rows_apart, places)
            found[time] = across_time(places, self.outputs) or mixed and \
                f"node {mixed} makes a row of the steps of others"
        return found


def compute_dtype(graph: Graph, values: dict[str, Value]) -> Dtype:
    """What the layers of a graph compute in: float64 if any of them does, else float32. values: with their shapes."""
    for node in graph.nodes:
        if isinstance(node, Loop) and compute_dtype(node.body, infer_shapes(node.body)) == "float64":
            return "float64"
    wide = any(values[name].dtype == "float64" for node in graph.nodes if not isinstance(node, (Operator, Loop))
               for name in node.outputs if name)
    return "float64" if wide else "float32"


def lower(graph: Graph, *, isa: str, gemm: Gemm = "packed", threads: int = 1, limits: Limits | None = None,
          values: dict[str, Value] | None = None, sharing: Sharing | None = None) -> Plan:
    """Split the graph into steps and pack the weights of the C segments for one instruction set, on `threads`.

    The plan holds no array of the graph that it can do without. limits: of its calls. values: of the graph, where their
    shapes are inferred already. sharing: of the graph around it, for the body of a loop. Raises UnsupportedError for a
    node that neither the core nor NumPy runs, by name.
    """
    values = infer_shapes(graph) if values is None else values
    axes = Axes.of(graph, values)
    parts = partition(graph, values)
    sharing, bounds = sharing or Sharing(graph), Bounds.of(graph, limits or Limits())
    skeletons = SkeletonBuilder(graph, [part.nodes[0] for part in parts if not part.core], sharing)
    steps: list[Step] = []
    for part in parts:
        node = part.nodes[0]
        if part.core:
            core = _core.CoreModel(isa, part.dtype, gemm, threads)
            steps.append(_segment(part, values, core, skeletons, sharing))
        elif isinstance(node, Loop):
            body = lower(node.body, isa=isa, gemm=gemm, threads=threads, limits=limits, sharing=sharing)
            steps.append(LoopStep(skeletons.loop(node, body.skeleton), body))
        else:
            steps.append(_host_step(skeletons.host(node), values, isa, sharing, bounds))
    for step in steps:
        if isinstance(step, Segment):
            bounds.limit_direct_calls(step)
    inputs = tuple(values[value.name] for value in graph.inputs)
    plan = Plan(skeletons.skeleton(), inputs, graph.outputs, values, tuple(steps), compute_dtype(graph, values), isa,
                gemm, axes, bounds, _drops(steps, graph.outputs), tuple(part.guard for part in parts))
    if plan.direct is not None:
        sizes = [values[plan.direct.ports[0].value].shape[0], *(axis.time for axis in plan.direct.axes)]
        batch, *steps_of_axes = [dim if isinstance(dim, int) else None for dim in sizes]
        plan.direct.core.fix_sizes(batch, steps_of_axes)
    return plan


def _drops(steps: list[Step], outputs: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each step the values that no later one reads: they need not be held while the rest runs."""
    needed = set(outputs)
    drops = []
    for step in reversed(steps):
        named = {name for name in step.reads() | step.makes() if name}
        drops.append(tuple(sorted(named - needed)))
        needed |= named
    return tuple(drops[::-1])


def _host_step(node: Node, values: dict[str, Value], isa: str, sharing: Sharing, bounds: Bounds) -> HostStep:
    from .host_nodes import host_kernel, host_step  # a plan of segments alone has no such step

    kernel = bounds.checked(node, host_kernel(node, values, isa, sharing))
    return HostStep(node, kernel, host_step(node, kernel))


def _segment(part: Part, values: dict[str, Value], core: _core.CoreModel, skeletons: SkeletonBuilder, sharing: Sharing
             ) -> Segment:
    builder = _SegmentBuilder(core, part, values, skeletons, sharing)
    for node, axis in zip(part.nodes, part.axes):
        builder.add(node, axis)
    return builder.finish()


class _SegmentBuilder:
    """Adds the nodes of one part to a C model."""

    def __init__(self, core: _core.CoreModel, part: Part, values: dict[str, Value], skeletons: SkeletonBuilder,
                 sharing: Sharing) -> None:
        self.segment, self.sharing = Segment(core, part.rows), sharing
        self.part, self.values, self.dtype, self.skeletons = part, values, core.dtype, skeletons
        self.numbers: dict[tuple[str, AxisKey | None], int] = {}      # a value on an axis -> its number in the core

    def _axis_number(self, axis: AxisKey) -> int:
        if axis not in self.segment.axes:
            self.segment.axes.append(axis)
        return self.segment.axes.index(axis)

    def _number(self, name: str, axis: AxisKey | None, ids: bool = False) -> int:
        """The core's number of a value: made in this segment already, or brought in through a port."""
        if name in self.part.made:
            axis = self.part.made[name]
        if (name, axis) not in self.numbers:
            core = self.segment.core
            sequence, index = axis is not None, 0 if axis is None else self._axis_number(axis)
            features = 0 if ids else int(self.values[name].shape[-1])
            self.numbers[name, axis] = (core.input_ids(sequence, index, name) if ids
                                        else core.input(sequence, index, features, name))
            self.segment.ports.append(Port(name, index if sequence else None, ids, features))
        return self.numbers[name, axis]

    def _weights(self, weight: Any) -> Any:
        """A weight as the core takes it."""
        return self.sharing.contiguous(weight, self.dtype)

    def _cast(self, node: Recurrent) -> Recurrent:
        """The node with its weights as the core takes them."""
        weights: dict[str, Any] = {name: self._weights(array) for name, array in node.tensors().items()}
        return replace(node, **weights)

    def add(self, node: Node, axis: AxisKey | None) -> None:
        core = self.segment.core
        self.sharing.lend(core, node)
        self.sharing.use_up(core, node)
        x = self._number(node.inputs[0], axis, isinstance(node, Embedding))
        numbers: tuple[int, ...]
        if isinstance(node, Embedding):
            numbers = (core.embedding(x, self._weights(node.table)),)
        elif isinstance(node, Dense):
            bias = None if node.bias is None else self._weights(node.bias)
            numbers = (core.dense(x, self._weights(node.kernel), bias, node.activation),)
        elif isinstance(node, Activate):
            numbers = (core.activate(x, node.activation),)
        elif isinstance(node, Pool):
            numbers = (core.pool(x, node.kind),)
        else:
            assert isinstance(node, Recurrent)
            states = [self._number(name, None) if name else -1
                      for name in (optional(node.inputs, 2), optional(node.inputs, 3))]
            Y, Y_h, Y_c = (bool(optional(node.outputs, position)) for position in range(3))
            numbers = core.recurrent(self._cast(node), x, states[0], states[1], Y, Y_h, Y_c)
        skeleton = self.skeletons.core(node, core, len(self.segment.nodes))
        self.segment.nodes.append(skeleton)
        stands = self.part.made[node.inputs[0]] if node.inputs[0] in self.part.made else axis
        self.segment.node_axes.append(None if stands is None else self._axis_number(stands))
        if isinstance(skeleton, Recurrent):
            self.segment.layers.append(skeleton)
        for name, number in zip(node.outputs, numbers):
            if name:
                self.numbers[name, self.part.made[name]] = number

    def finish(self) -> Segment:
        segment = self.segment
        makers = {name: node for node in self.segment.nodes for name in node.outputs if name}
        for name in self.part.exports:
            axis = self.part.made[name]
            features = int(self.values[name].shape[-1])
            index = None if axis is None else segment.axes.index(axis)
            segment.core.output(self.numbers[name, axis], name)
            segment.outputs.append(Port(name, index, False, features, makers[name]))
        segment.core.finish()
        return segment
