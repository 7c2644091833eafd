"""The graph in the making: its nodes, its constants, and how each ONNX value is seen in it."""

from __future__ import annotations

from ....data_types import FLOAT16, FLOAT32
from ....graph import Graph, Loop, Operator, Value
from ....graph.derived import Derived
from ....graph.nodes import Shape
from ..simplifying.fold import Folded
from ..simplifying.steps import Turned
from .layouts import Builder
from .views import View


class Mapper:
    """Turns steps into nodes one after the other. `views` says how each ONNX value is seen in the new graph."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.constants = folded.constants
        self.build = Builder()
        self.derived = Derived()
        self.views: dict[str, View] = {}
        self.joined: dict[str, tuple[int, list[tuple[View, int]]]] = {}    # results of Concat: axis, what is joined
        self.build.names.reserve(*folded.outputs)        # names of outputs are given at the end
        for value in folded.inputs:
            self.build.names.reserve(value.name)
            self.add_root(value.name, value)
            if value.dtype == "float16":
                self._widen(value)

    def shape(self, name: str) -> Shape:
        """The shape of an ONNX value."""
        return self.folded.values[name].shape

    def add_root(self, name: str, value: Value) -> None:
        """Let an ONNX value be the value of the new graph that has `value`'s name and shape."""
        self.build.values[value.name] = value
        self.views[name] = View.whole(value.name, value.shape)

    def array(self, name: str) -> str:
        """The name in the new graph of an ONNX value in its own layout; "" for one left out."""
        if not name:
            return ""
        if name in self.constants:
            return self.build.constant(name, self.constants[name])
        return self.build.array(self.views[name], self.shape(name))

    def keep(self, step: Operator) -> None:
        """An operator that stays: run by NumPy on values in ONNX's own layout."""
        outputs = []
        for name in step.outputs:
            made = self.build.name(name) if name in self.folded.values else ""
            outputs.append(made)
            if made:
                value = self.folded.values[name]
                self.add_root(name, Value(made, value.shape, value.dtype))
        if step.op_type == "Concat" and all(name in self.views for name in step.inputs):
            axis = step.attributes["axis"] % len(self.shape(step.inputs[0]))
            sizes = [self.shape(name)[axis] for name in step.inputs]
            if all(isinstance(size, int) for size in sizes):
                self.joined[outputs[0]] = axis, [(self.views[n], s) for n, s in zip(step.inputs, sizes)]
        self.build.nodes.append(Operator(
            name=self.build.node_name(step.name), inputs=tuple(map(self.array, step.inputs)), outputs=tuple(outputs),
            op_type=step.op_type, attributes=step.attributes, constants=step.constants))

    def loop(self, step: Turned, body: Graph) -> None:
        """A loop with its body, on values in ONNX's own layout."""
        outputs = tuple(self.build.name(name) for name in step.outputs)
        for name, made in zip(step.outputs, outputs):
            value = self.folded.values[name]
            self.add_root(name, Value(made, value.shape, value.dtype))
        constants = {i: self.constants[name] for i, name in enumerate(step.inputs) if name in self.constants}
        inputs = tuple("" if i in constants else self.array(name) for i, name in enumerate(step.inputs))
        self.build.nodes.append(Loop(
            name=self.build.node_name(step.name), inputs=inputs, outputs=outputs, constants=constants, body=body,
            states=step.states, sequence_axes=step.sequence_axes, backwards=step.backwards,
            result_axes=step.result_axes, turned=step.turned))

    def _widen(self, value: Value) -> None:
        """Let a float16 input be read as float32."""
        made = self.build.name(f"{value.name}/float32")
        self.build.nodes.append(Operator(name=self.build.node_name(made), inputs=(value.name,), outputs=(made,),
                                         op_type="Cast", attributes={"to": FLOAT32}))
        self.add_root(value.name, Value(made, value.shape, "float32"))

    def output(self, name: str, value: str) -> str:
        """Make `name` a value of the new graph that is ONNX's output."""
        if any(name == given.name for given in self.folded.inputs):
            return name                             # an input that goes out as it came in
        if value in self.constants:
            made = self.build.constant(value, self.constants[value])
        else:
            made = self.array(value)
        half = name in self.folded.half_outputs
        self.build.nodes.append(Operator(name=self.build.node_name(name), inputs=(made,), outputs=(name,),
                                         op_type="Cast" if half else "Identity",
                                         attributes={"to": FLOAT16} if half else {}))
        return name
