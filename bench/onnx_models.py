"""ONNX models, float32, of the graphs that are timed, for the engines that read ONNX.

ONNX's recurrent operators are time first: the models take [time, batch, features] and give the same, so that
nobody pays for transposing. (OpenVINO works batch first inside; with Transpose nodes at the doors it is no
faster.) What goes straight from a recurrent operator to an output, or from an input to its state, keeps
ONNX's extra axis of directions, for squeezing it away would copy: `house_order` drops it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lstm_engine.graph import GRU, LSTM, Activate, Activation, Dense, Embedding, Graph, Node, Pool, Recurrent
from lstm_engine.operators import infer_shapes

from .engines.base import NotSupported

_NAMES = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softmax": "Softmax"}
OPSET = 17


class _Maker:
    def __init__(self, graph: Graph, lengths: str) -> None:
        self.graph, self.lengths = graph, lengths
        self.shapes = infer_shapes(graph)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.count = 0
        read = {name for node in graph.nodes for name in node.inputs}
        recurrent = [node for node in graph.nodes if isinstance(node, Recurrent) and node.dirs == 1]
        self.bare = {
            name for node in recurrent for name in node.outputs if name in graph.outputs and name not in read
        }
        self.bare |= {name for node in recurrent for name in node.inputs[2:4]} & {
            value.name for value in graph.inputs
        }

    def new(self, hint: str) -> str:
        self.count += 1
        return f"{hint}_{self.count}"

    def constant(self, array: np.ndarray, hint: str) -> str:
        name = self.new(hint)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str = "", **attributes) -> str:
        output = output or self.new(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def sequence(self, name: str) -> bool:
        """Whether a value has a time axis: numbers of rank 3, ids of rank 2."""
        value = self.shapes[name]
        return len(value.shape) == (3 if value.dtype.startswith("float") else 2)

    def activation(self, activation: Activation, x: str, output: str) -> str:
        attributes = {"axis": -1} if activation.name == "softmax" else {}
        return self.op(_NAMES[activation.name], [x], output, **attributes)

    def add(self, node: Node, named: dict[str, str]) -> None:
        """`named`: house value -> ONNX value; added to."""
        if isinstance(node, Embedding):
            named[node.outputs[0]] = self.op(
                "Gather", [self.constant(node.table, "table"), named[node.inputs[0]]]
            )
        elif isinstance(node, Dense):
            x = self.op("MatMul", [named[node.inputs[0]], self.constant(node.kernel, "kernel")])
            if node.bias is not None:
                x = self.op("Add", [x, self.constant(node.bias, "bias")])
            if node.activation.name != "linear":
                x = self.activation(node.activation, x, "")
            named[node.outputs[0]] = x
        elif isinstance(node, Activate):
            named[node.outputs[0]] = self.activation(node.activation, named[node.inputs[0]], "")
        elif isinstance(node, Pool) and node.kind == "last":
            last = self.constant(np.array(-1), "last")
            named[node.outputs[0]] = self.op("Gather", [named[node.inputs[0]], last], axis=0)
        else:
            assert isinstance(node, Recurrent), node
            self.recurrent(node, named)

    def recurrent(self, node: Recurrent, named: dict[str, str]) -> None:
        inputs = [
            named[node.inputs[0]],
            self.constant(node.W, "W"),
            self.constant(node.R, "R"),
            "" if node.B is None else self.constant(node.B, "B"),
            self.lengths,
        ]
        for name in node.inputs[2:4]:
            if name in self.bare:
                inputs.append(name)
                continue
            # [batch, dirs*H] -> [dirs, batch, H]
            split = self.op("Reshape", [named[name], self.constant(np.array([0, node.dirs, -1]), "split")])
            inputs.append(self.op("Transpose", [split], perm=[1, 0, 2]))
        outputs = [
            name if name in self.bare else self.new(part) if name else ""
            for part, name in zip(("Y", "Y_h", "Y_c"), node.outputs)
        ]
        attributes: dict[str, Any] = {"hidden_size": node.hidden, "direction": node.direction}
        functions = [_NAMES[function.name] for direction in node.activations for function in direction]
        if functions != [_NAMES[f.name] for f in node.default_activations] * node.dirs:
            attributes["activations"] = functions
        if isinstance(node, GRU):
            attributes["linear_before_reset"] = int(node.linear_before_reset)
        if isinstance(node, LSTM):
            if node.projection is not None:
                raise NotSupported("ONNX's LSTM has no projection")
            if node.P is not None:
                inputs += [""] * (7 - len(inputs)) + [self.constant(node.P, "P")]
        while inputs[-1] == "":
            inputs.pop()
        self.nodes.append(helper.make_node(node.op, inputs, outputs, **attributes))
        for name, made, part in zip(node.outputs, outputs, ("Y", "Y_h", "Y_c")):
            if name:
                named[name] = made if made == name else self.joined(made, node.dirs, part == "Y")

    def joined(self, made: str, dirs: int, sequence: bool) -> str:
        """Y [time, dirs, batch, H] -> [time, batch, dirs*H]; Y_h [dirs, batch, H] -> [batch, dirs*H]."""
        axis = 1 if sequence else 0
        if dirs == 1:
            return self.op("Squeeze", [made, self.constant(np.array([axis]), "axis")])
        moved = self.op("Transpose", [made], perm=[0, 2, 1, 3] if sequence else [1, 0, 2])
        return self.op(
            "Reshape", [moved, self.constant(np.array([0, 0, -1] if sequence else [0, -1]), "join")]
        )


def onnx_model(graph: Graph, *, lengths: bool = False) -> onnx.ModelProto:
    """The graph as an ONNX model, names kept; sequences are [time, batch, ...], ids int32.

    lengths: one more input "lengths", int32 [batch].
    """
    maker = _Maker(graph, "lengths" if lengths else "")
    inputs, named = [], {}
    for value in graph.inputs:
        shape, named[value.name] = list(value.shape), value.name
        if maker.sequence(value.name):
            shape[:2] = shape[1::-1]
        elif value.name in maker.bare:
            shape.insert(0, 1)
        kind = TensorProto.FLOAT if value.dtype.startswith("float") else TensorProto.INT32
        inputs.append(helper.make_tensor_value_info(value.name, kind, shape))
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    for node in graph.nodes:
        maker.add(node, named)
    outputs = []
    for name in graph.outputs:
        if named[name] != name:
            maker.op("Identity", [named[name]], name)
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    made = helper.make_graph(maker.nodes, "bench", inputs, outputs, maker.weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def house_order(graph: Graph, outputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the ONNX model gave, by output name: [batch, time, F] or [batch, F], copies."""
    shapes, made = infer_shapes(graph), {}
    for name, y in zip(graph.outputs, outputs, strict=True):
        rank = len(shapes[name].shape)
        if y.ndim > rank:
            y = y.squeeze(1 if rank == 3 else 0)
        made[name] = y.swapaxes(0, 1).copy() if rank == 3 else y.copy()
    return made
