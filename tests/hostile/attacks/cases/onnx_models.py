"""ONNX messages: read by protobuf in a confined process, then checked as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx_graphs import graph, model, node
from onnx_hostile import lstm_model, tensor_of, wrong, zeros

from lstm_engine.errors import FormatError, GraphError, LimitError, UnsupportedError

from ..attack import Table, floats

ORT = "ONNX Runtime, 2026: reads beyond W, R, B, P"


TABLE = Table(".onnx", "model.onnx", lambda: lstm_model().SerializeToString())


def refuse(name: str, source: str, change: Callable[[Any], object], message: str, error: type = FormatError) -> None:
    """The whole model after a change."""
    def make() -> bytes:
        changed = lstm_model()
        change(changed)
        return changed.SerializeToString()
    TABLE.refuse(name, source, make, error, message)


def raw(name: str, source: str, data: Callable[[], bytes], message: str, error: type = FormatError) -> None:
    TABLE.refuse(name, source, data, error, message)


def dims(*sizes: int, data: bytes | None = None) -> Callable[[Any], None]:
    def change(source: Any) -> None:
        tensor_of(source, "W").dims[:] = sizes
        if data is not None:
            tensor_of(source, "W").raw_data = data
    return change


def attribute(**values: Any) -> Callable[[Any], None]:
    """Attributes of the LSTM, after its own."""
    def change(source: Any) -> None:
        from onnx import helper
        for name, value in values.items():
            kept = [entry for entry in source.graph.node[2].attribute if entry.name != name]
            del source.graph.node[2].attribute[:]
            source.graph.node[2].attribute.extend([*kept, helper.make_attribute(name, value)])
    return change


def typed(source: Any) -> None:
    tensor_of(source, "W").ClearField("raw_data")
    tensor_of(source, "W").float_data.extend([1.0, 2.0])


def deep(levels: int) -> bytes:
    """If inside If, written by hand: protobuf's own library refuses to build it."""
    def field(number: int, data: bytes) -> bytes:
        size, length = len(data), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data
    inner = b""
    for _ in range(levels):
        # GraphProto.node = 1, NodeProto.op_type = 4, NodeProto.attribute = 5, AttributeProto.g = 6, .name = 1
        inner = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05"))
    return b"\x08\x08" + field(7, inner) + field(8, b"\x10\x15")


def made(op: str, inputs: str, tensors: dict, shape: tuple = ("b", 4), **attributes: Any) -> Callable[[], bytes]:
    """A model of one operator that asks for much."""
    return lambda: model([node(op, inputs, "z"), node("Add", "z z", "y")] if not attributes else
                         [node(op, inputs, "z", **attributes), node("Add", "z z", "y")], {"x": shape}, "y",
                         tensors).SerializeToString()


def function(body: str, count: int = 1) -> Callable[[], bytes]:
    """A model that calls a function, whose body calls `body` `count` times."""
    def make() -> bytes:
        from onnx import helper
        opset = [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)]
        functions = []
        names = ["f0"] if body == "f0" else [f"f{i}" for i in range(24)]
        for i, name in enumerate(names):
            called = body if body == "f0" else (f"f{i + 1}" if i + 1 < len(names) else "")
            nodes = [helper.make_node(called or "Relu", [f"v{k}"], [f"v{k + 1}"], domain="f" if called else "")
                     for k in range(count)]
            functions.append(helper.make_function("f", name, ["v0"], [f"v{count}"], nodes, opset))
        return model([node("f0", "x", "y", domain="f")], {"x": ("b", 4)}, "y", functions=functions,
                     domains={"f": 1}).SerializeToString()
    return make


def loop(trips: int, outputs: str) -> bytes:
    body = graph([node("Identity", "c", "c_out"), node("Add", "s one", "s_out"), node("Identity", "s_out", "scan")],
                 {"i": ("int64", ()), "c": ("bool", ()), "s": (1,)}, "c_out s_out scan")
    return model([node("Loop", "n - s0", "last all", body=body), node("Add", "x last", "y")], {"x": ("b", 1)}, outputs,
        {
        "n": np.array(trips), "s0": floats(1), "one": floats(1)}).SerializeToString()


# Bytes that are no message.
raw("a length of 4 GB", "CWE-789, protobuf", lambda: b"\x3a\xff\xff\xff\xff\x0f", "not an ONNX model, or a damaged one")
raw("a varint without an end", "CWE-835, protobuf", lambda: b"\x08" + b"\xff" * 40,
    "not an ONNX model, or a damaged one")
raw("messages nested 2,000 deep", "CVE-2025-4565, protobuf", lambda: deep(2000), "not an ONNX model, or a damaged one")
raw("graphs nested 24 deep", "CWE-674", lambda: deep(24), "graphs are nested more than 16 deep")
raw("a pointer of Git LFS", "no attack: a file not fetched",
    lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS")

# Sizes.
refuse("W smaller than hidden_size", ORT, wrong("W", 1, 11, 4),
    "W must be [1, 12, 4] for hidden_size 3, got [1, 11, 4]")
refuse("W of rank 2", ORT, wrong("W", 1, 12), "W must be [1, 12, input size], got [1, 12]")
refuse("R larger than hidden_size", ORT, wrong("R", 1, 12, 300), "R must be [1, 12, 3] for hidden_size 3")
refuse("B of half its length", ORT, wrong("B", 1, 12), "B must be [1, 24] for hidden_size 3, got [1, 12]")
refuse("B without elements", ORT, wrong("B", 0), "B must be [1, 24] for hidden_size 3, got [0]")
refuse("P of another length", ORT, lambda source: (
    source.graph.node[2].input.extend(["", "", "", "P"]),
    source.graph.initializer.add().CopyFrom(zeros("P", 1, 5))), "P must be [1, 9] for hidden_size 3, got [1, 5]")
refuse("hidden_size of 2^62", ORT, attribute(hidden_size=2**62),
    "hidden_size is 4611686018427387904; expected a number")
refuse("hidden_size of -3", ORT, attribute(hidden_size=-3), "hidden_size is -3; expected a number")
refuse("an input of another width", ORT, wrong("table", 7, 9), "X must be float32 [time, batch, 4]")
refuse("raw data shorter than its dims", "CWE-125", dims(1, 12, 40),
       "dims [1, 12, 40] of float32 need 1920 bytes, raw_data has 192")
refuse("dims whose product is 0 in 64 bits", "CWE-190", dims(2**32, 2**32, data=b""), "overflows")
refuse("negative dims", "CWE-195", dims(-1, 12, -4), "dims [-1, 12, -4] are not a shape")
refuse("fewer numbers than dims", "CWE-125", typed, "need 48 elements, float_data has 2")
refuse("rank 300", "CWE-787", dims(*[1] * 300, data=bytes(4)), "are not a shape")

# Structure.
refuse("a tensor stored twice", "parser differentials", lambda source: source.graph.initializer.append(
    tensor_of(source, "W")), "tensor 'W' is stored twice")
refuse("a node that reads its own output", "CWE-835", lambda source: source.graph.node[2].input.__setitem__(0, "Y"),
       "node 'lstm' (LSTM): it needs its own result")
refuse("an output that nobody makes", "CWE-476", lambda source: setattr(source.graph.output[0], "name", "nothing"),
       "value 'nothing' is made by no node and is no input")
refuse("strings as weights", "CWE-843", lambda source: setattr(tensor_of(source, "W"), "data_type", 8),
       "elements of type string are not supported", UnsupportedError)
refuse("an unknown element type", "CWE-843", lambda source: setattr(tensor_of(source, "W"), "data_type", 99),
       "elements of type 99 are not supported", UnsupportedError)
refuse("an operator of a domain of its own", "CWE-470", lambda source: (
    setattr(source.graph.node[4], "domain", "evil"), setattr(source.graph.node[4], "op_type", "System")),
    "evil.System): this operator is not supported", UnsupportedError)
refuse("an attribute of another kind", "CWE-843", attribute(direction=[1, 2]), "direction is (1, 2); expected forward")
refuse("a direction that is not UTF-8", "CWE-176", attribute(direction=b"\xff\xfe"), "a string attribute is not UTF-8")
refuse("a name that clears the terminal", "CWE-150", lambda source: (
    setattr(source.graph.node[2], "name", "\x1b[2J\x1b]0;x\x07"), wrong("R", 3)(source)), r"node '\x1b[2J\x1b]0;x\x07'")
raw("a function that calls itself", "CWE-674", function("f0"), "functions call each other more than 32 deep",
    UnsupportedError)
raw("functions that call each other 2^24 times", "CVE-2003-1564", function("next", 2),
    "the model has more than 20000 nodes",
    UnsupportedError)

# Operators that ask for much, where everything is constant and could be computed at once.
raw("ConstantOfShape of 2^60", "CWE-789", made("ConstantOfShape", "n", {"n": np.array([2**60])}),
    "value 'z': the size of [1152921504606846976] overflows",
    GraphError)
raw("Expand to 2^50", "CWE-789", made("Expand", "c n", {"c": floats(1), "n": np.array([2**25, 2**25])}),
    "brings the memory of this call to 4,503,599,627,370,496 bytes", LimitError)
raw("Tile 2^40 times", "CWE-789", made("Tile", "c n", {"c": floats(1), "n": np.array([2**40])}),
    "brings the memory of this call to 4,398,046,511,104 bytes", LimitError)
raw("Range of 2^62", "CWE-789", made("Range", "a n s", {"a": np.array(0), "n": np.array(2**62), "s": np.array(1)}),
    "overflows",
    GraphError)
raw("Range with a step of 0", "CWE-369", made("Range", "a n s", {"a": np.array(0), "n": np.array(9), "s": np.array(0)}),
    "node 'range_z' (Range): the step is 0")
raw("Pad by 2^62", "CWE-190", made("Pad", "c n", {"c": floats(1), "n": np.array([2**62, 2**62])}), "overflows",
    GraphError)
raw("OneHot of depth 2^40", "CWE-789", made("OneHot", "c d v", {"c": np.array([1]), "d": np.array(2**40),
    "v": floats(2)}),
    "brings the memory of this call to 21,990,232,555,520 bytes", LimitError)
raw("Gather beyond its table", "CWE-125", made("Gather", "c n", {"c": floats(4), "n": np.array([9])}),
    "index 9 is out of bounds for axis 0 with size 4")
raw("Reshape to another count", "CWE-131", made("Reshape", "c n", {"c": floats(4), "n": np.array([5])}),
    "4 elements cannot take the shape [5]")
raw("Split into 2^40 parts", "CWE-789", made("Split", "c", {"c": floats(4)}, num_outputs=2**40),
    "num_outputs is 1099511627776, but the node has 1 outputs")
raw("Loop of 2^62 trips", "CWE-835", lambda: loop(2**62, "y all"), "overflows", GraphError)
raw("Loop of 2^40 trips", "CWE-835", lambda: loop(2**40, "y"), "(Loop) brings the work of this call to", LimitError)
