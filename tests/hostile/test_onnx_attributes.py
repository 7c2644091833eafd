"""ONNX nodes whose attributes are of another kind than ONNX says: refused, or an answer."""

import itertools

import numpy as np
import pytest
from misuse import keeps_the_rule

import lstm_engine as le
from lstm_engine.operators import OPERATORS

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402

WRONG = ["abc", b"", -1, 2**62, -2**63, 1.5, float("nan"), float("inf"), [1], [1.5], ["a"], [0, 0], [2**62, 2**62],
         [-1] * 20]
# Attributes that older opsets gave what is an input now, and those of nodes that the table does not hold.
OLDER = {"Squeeze": ["axes"], "Unsqueeze": ["axes"], "Split": ["split"], "Slice": ["starts", "ends", "axes"],
         "TopK": ["k"], "Clip": ["min", "max"], "Pad": ["pads", "value"], "Dropout": ["ratio"],
         "Constant": ["value_int", "value_ints", "value_float", "value_floats", "value_string", "value"],
         "BatchNormalization": ["spatial", "epsilon"], "Gemm": ["alpha", "transA"], "ConstantOfShape": ["value"],
         "LSTM": ["hidden_size", "direction", "activations", "clip", "layout", "input_forget", "activation_alpha"],
         "GRU": ["hidden_size", "linear_before_reset", "direction"], "RNN": ["hidden_size", "activations"]}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
OPS = sorted({*OPERATORS, *OLDER})


def model(op: str, opset: int, **attributes) -> "onnx.ModelProto":
    """One node on a float x and as many constants as it needs."""
    shape: list = ["b", "t", 4]
    tensors = [np.ones(1, np.float32)] * ((OPERATORS[op].inputs[0] if op in OPERATORS else 1) - 1)
    if op in GATES:
        shape = [None, "b", 3]
        tensors = [np.ones((1, GATES[op] * 2, 3), np.float32), np.ones((1, GATES[op] * 2, 2), np.float32)]
    constants = [numpy_helper.from_array(tensor, f"c{number}") for number, tensor in enumerate(tensors)]
    inputs = [] if op == "Constant" else ["x", *(constant.name for constant in constants)]
    graph = helper.make_graph([helper.make_node(op, inputs, ["y"], **attributes)], "g",
                              [helper.make_tensor_value_info("x", 1, shape)],
                              [helper.make_tensor_value_info("y", 1, None)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("op", OPS)
def test_attributes_of_another_kind(op):
    names = {*OLDER.get(op, ()), *(OPERATORS[op].attributes if op in OPERATORS else ()), "axis", "axes"}
    x = np.ones((3, 3, 3 if op in GATES else 4), np.float32)
    for name, wrong, opset in itertools.product(sorted(names), WRONG, (9, 13, 21)):
        source = model(op, opset, **{name: wrong})
        try:
            keeps_the_rule(lambda source=source: le.convert(source).predict(x))
        except BaseException as error:
            raise AssertionError(f"{op}: {name} = {wrong!r}, opset {opset}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("op, attribute, wrong, message", [
    ("Squeeze", "axes", "abc", "node 'y' .Squeeze.: attribute 'axes' must be whole numbers, got 'abc'"),
    ("Squeeze", "axes", 1.5, "attribute 'axes' must be whole numbers, got 1.5"),           # it was cut to 1
    ("ReduceMean", "axes", ["a"], "attribute 'axes' must be whole numbers"),
    ("Clip", "min", "abc", "attribute 'min' must be numbers, got 'abc'"),
    ("Constant", "value_int", 1.5, "attribute 'value_int' must be whole numbers, got 1.5"),
])
def test_what_is_said(op, attribute, wrong, message):
    with pytest.raises(le.FormatError, match=message):
        le.convert(model(op, 9 if op != "Constant" else 13, **{attribute: wrong}))


@pytest.mark.parametrize("opset", [9, 13, 21])
def test_nodes_without_inputs_or_outputs(opset):
    """Of every operator, with and without an attribute that an older opset had in place of an input."""
    for op, older in itertools.product([*OPS, "Dropout", "Scatter", "If", "Loop", "Scan", "Softmax"], (False, True)):
        attributes = {name: [1] for name in OLDER.get(op, ())[:1]} if older else {}
        for inputs, outputs in (([], ["y"]), ([""], ["y"]), (["", "x"], ["y"]), (["x"], []), (["x"], [""]), ([], [])):
            graph = helper.make_graph([helper.make_node(op, inputs, outputs, **attributes)], "g",
                                      [helper.make_tensor_value_info("x", 1, ["b", "t", 4])],
                                      [helper.make_tensor_value_info("y", 1, None)])
            source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
            error = keeps_the_rule(lambda source=source: le.convert(source))
            # A list, a loop's output or an empty sum may be made of nothing; a model without its output may not.
            assert error is not None or outputs == ["y"], (op, inputs, outputs)


def test_inputs_without_a_name_or_without_elements():
    value = helper.make_tensor_value_info
    for inputs in ([""], []):
        graph = helper.make_graph([helper.make_node("Abs", inputs, ["y"])], "g", [value("x", 1, ["b", 4])],
                                  [value("y", 1, None)])
        with pytest.raises(le.FormatError, match="takes 1 inputs, not 0"):
            le.convert(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    empty = model("RNN", 17, hidden_size=2)
    empty.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 0
    assert isinstance(keeps_the_rule(lambda: le.convert(empty)), le.UnsupportedError)
