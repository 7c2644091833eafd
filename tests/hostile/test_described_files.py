"""What the parser's process may say of a file that owns it: a description is checked to its last part."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("h5py")

from json_damage import at, places
from keras_configs import keras_2
from onnx_graphs import model, node

from lstm_engine.errors import FormatError
from lstm_engine.importers.keras import _graph
from lstm_engine.importers.onnx.reading import proto
from lstm_engine.importers.onnx.reading.described import check


def description() -> tuple[dict, dict[str, np.ndarray]]:
    """Of a model with every kind of part: a function, a graph in a node, tensors, attributes of each kind."""
    from onnx import TensorProto, helper

    inner = helper.make_graph([node("Identity", "x", "z")], "inner", [], [onnx.ValueInfoProto(name="z")])
    nodes = [node("If", "c", "y", then_branch=inner, else_branch=inner, a=1, b=1.5, c="s", d=[1, 2], e=[0.5], f=["t"]),
             node("Constant", "-", "k", value=onnx.numpy_helper.from_array(np.zeros(2, np.float32)))]
    function = helper.make_function("own", "twice", ["a"], ["b"], [node("Add", "a a", "b")],
                                    [helper.make_opsetid("", 21)])
    source = model(nodes, {"x": ("b", 3), "c": ("bool", ())}, "y", {"w": np.ones((2, 3), np.float32)},
                   functions=[function])
    outside = source.graph.initializer.add(name="o", data_type=TensorProto.FLOAT, dims=[2],
                                           data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="w.bin")
    described, lazy = proto.describe(source)
    return json.loads(json.dumps(described)), {name: np.asarray(array) for name, array in lazy.items()}


def test_what_the_parser_says_is_taken():
    check(*description())


# A value for each type that JSON has; none of them may stand where another type belongs.
OTHERS = [None, True, 1, 1.5, "other", [], {}, [1], {"a": 1}, 10**30, -1]


def test_no_part_may_be_of_another_kind():
    """Every part replaced by every other kind of value: refused, or taken where the form allows it."""
    described, arrays = description()
    paths = list(places(described))
    assert len(paths) > 100
    refused = 0
    for path in paths:
        for value in OTHERS:
            made = copy.deepcopy(described)
            at(made, path[:-1])[path[-1]] = value
            try:
                check(made, arrays)
            except FormatError as error:
                assert "the ONNX (protobuf) parser answered" in str(error)
                refused += 1
    # Most kinds fit nowhere; an empty list or object may stand for a longer one, any text for another.
    assert refused > 0.75 * len(paths) * len(OTHERS)


@pytest.mark.parametrize("path, value", [
    (("graph",), None), (("opsets", ""), "21"), (("opsets", ""), 2**63), (("opsets",), []),
    (("graph", "nodes", 0, "inputs"), "c"), (("graph", "nodes", 0, "inputs", 0), None),
    (("graph", "nodes", 0, "attributes", "a"), ["i"]), (("graph", "nodes", 0, "attributes", "a"), ["i", 2**63]),
    (("graph", "nodes", 0, "attributes", "a"), ["i", True]), (("graph", "nodes", 0, "attributes", "a", 0), []),
    (("graph", "nodes", 0, "attributes", "d"), ["is", [1, "2"]]), (("graph", "inputs", 0), ["x", 1]),
    (("graph", "inputs", 0, 2), [-1]), (("graph", "tensors", "w", "array"), "t99"),
    (("graph", "tensors", "w", "array"), ["t0"]), (("graph", "tensors", "w", "dims"), [3, 2]),
    (("graph", "tensors", "w", "dtype"), "object"), (("graph", "tensors", "o", "dims"), [0, 2**33, 2**33]),
    (("graph", "tensors", "o", "dims"), [1] * 17), (("graph", "tensors", "o", "external"), {"location": 1}),
    (("functions", 0, "nodes"), {}), (("functions",), None),
])
def test_descriptions_that_are_none(path: tuple, value: Any):
    described, arrays = description()
    at(described, path[:-1])[path[-1]] = value
    with pytest.raises(FormatError, match=r"the ONNX \(protobuf\) parser answered '\w+' that is no part of a model"):
        check(described, arrays)


@pytest.mark.parametrize("layers", [
    None, {}, 1, [1], [[]], [["inner"]], [["inner", "x"]], [["inner", [1]]], [[1, []]], [["inner", ["g/other"]]],
    [[["inner"], []]],
])
def test_lists_of_layers_that_are_none(layers: Any):
    contents, arrays = keras_2()
    with pytest.raises(FormatError, match="the HDF5 parser answered no list of layers and their arrays"):
        _graph({**contents, "layers": layers}, arrays)
