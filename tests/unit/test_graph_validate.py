"""Validation: each rule has a graph that breaks it, and the exact complaint."""

import dataclasses

import numpy as np
import pytest
from graphs import SEQUENCE, every_node, one_node, recurrent, weights

from lstm_engine.errors import GraphError, LstmEngineError, UnsupportedError
from lstm_engine.graph import (
    GRU,
    LSTM,
    RELU,
    RNN,
    SIGMOID,
    TANH,
    Activate,
    Activation,
    Dense,
    Embedding,
    Graph,
    Mask,
    Node,
    Operator,
    Pool,
    Value,
)
from lstm_engine.operators import validate

X = Value("x", SEQUENCE)


def test_a_valid_graph_comes_back_itself():
    graph = every_node()
    assert validate(graph) is graph


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_may_hold_nan_and_infinity(bad):
    validate(one_node(recurrent(LSTM, W=np.full((1, 8, 3), bad, np.float32))))


def test_a_graph_error_is_a_value_error():
    with pytest.raises(ValueError) as caught:
        validate(one_node(recurrent(LSTM, direction="sideways")))
    assert isinstance(caught.value, LstmEngineError)


f = weights
LINEAR_AND_SOFTMAX = ((SIGMOID, TANH, Activation("softmax")),)
RECURRENT = [
    (dict(W=f(8, 3)), r"W must be \[1, 8, I\], of rank 3, got \[8, 3\]"),
    (dict(W=f(2, 8, 3)), r"W must be \[1, 8, I\], each size from 1 to 2147483647, got \[2, 8, 3\]"),
    (dict(W=f(1, 6, 3)), r"W must be \[1, 8, I\], each size .*, got \[1, 6, 3\]"),
    (dict(W=f(1, 8, 0)), r"W must be \[1, 8, I\], each size .*, got \[1, 8, 0\]"),
    (dict(W=[[1.0]]), r"W must be a NumPy array, got list"),
    (dict(W=np.ones((1, 8, 3), np.int32)), r"W must be one of float16, float32, float64, got int32"),
    (dict(W=np.ones((1, 8, 3), object)), r"W must be one of .*, got object"),
    (dict(R=f(1, 8, 3)), r"R must be \[1, 8, 2\], each size .*, got \[1, 8, 3\]"),
    (dict(R=f(1, 7, 2)), r"its second size a multiple of 4 gates, got \[1, 7, 2\]"),
    (dict(R=f(1, 3, 2)), r"its second size a multiple of 4 gates, got \[1, 3, 2\]"),
    (dict(R=f(1, 0, 0)), r"R must be \[1, 4\*H, H\], each size from 1 .*, got \[1, 0, 0\]"),
    (dict(R=np.zeros((1, 0, 2**40), np.float32)), r"R must be \[1, 4\*H, H\], each size from 1"),
    (dict(B=f(1, 8)), r"B must be \[1, 16\], each size .*, got \[1, 8\]"),
    (dict(B=f(1, 16, dtype="float64")), r"B must be float32, as W is, got float64"),
    (dict(P=f(1, 8)), r"P must be \[1, 6\], each size .*, got \[1, 8\]"),
    (dict(projection=f(1, 3, 3)), r"projection must be \[1, P, 2\], each size .*, got \[1, 3, 3\]"),
    (dict(projection=f(1, 1, 2)), r"R must be \[1, 8, 1\], each size .*, got \[1, 8, 2\]"),
    (dict(direction="backward"), r"direction must be one of forward, reverse, bidirectional, got 'backward'"),
    (dict(direction="bidirectional"), r"R must be \[2, 4\*H, H\], each size .*, got \[1, 8, 2\]"),
    (dict(activations=((SIGMOID, TANH),)), r"activations must be 1 tuple\(s\) of 3, one per direction, got \[2\]"),
    (dict(activations=((SIGMOID, TANH, TANH),) * 2), r"activations must be 1 tuple\(s\) of 3.*got \[3, 3\]"),
    (dict(activations=(("sigmoid", "tanh", "tanh"),)), r"activation must be an Activation, got 'sigmoid'"),
    (dict(activations=LINEAR_AND_SOFTMAX), r"activation must be an element-wise function, got softmax"),
    (dict(activations=((SIGMOID, TANH, Activation("tanh", 1.0)),)), r"tanh's alpha must be None: .* got 1.0"),
    (dict(activations=((SIGMOID, TANH, Activation("elu")),)), r"elu's alpha must be a finite number, got None"),
    (dict(activations=((SIGMOID, TANH, Activation("elu", np.nan)),)), r"elu's alpha must be a finite number, got nan"),
    (dict(clip=0), r"clip must be a finite number above 0, or None, got 0"),
    (dict(clip=-1.0), r"clip must be a finite number above 0, or None, got -1.0"),
    (dict(clip=np.inf), r"clip must be a finite number above 0, or None, got inf"),
    (dict(clip=True), r"clip must be a finite number above 0, or None, got True"),
    (dict(clip="3"), r"clip must be a finite number above 0, or None, got '3'"),
    (dict(cell_clip=0.0), r"cell_clip must be a finite number above 0"),
    (dict(input_forget=1), r"input_forget must be a bool, got 1"),
    (dict(zero_masked=None), r"zero_masked must be a bool, got None"),
    (dict(peephole_output="next"), r"peephole_output must be one of current, previous, got 'next'"),
    (dict(inputs=()), r"inputs must be \(x, lengths, initial_h, initial_c, mask\), the first 1 required, got 0"),
    (dict(inputs=("x",) * 6), r"inputs must be \(x, .*\), the first 1 required, got 6 names"),
    (dict(empty="none"), r"empty must be one of initial, zero, got 'none'"),
    (dict(inputs=("", "x")), r"input x must be named, got an empty name"),
    (dict(outputs=()), r"outputs must be \(Y, Y_h, Y_c\), got 0 names"),
    (dict(outputs=("", "")), r"outputs must be named, at least one of them, got empty names alone"),
    (dict(outputs=("a", "b", "c", "d")), r"outputs must be \(Y, Y_h, Y_c\), got 4 names"),
]


@pytest.mark.parametrize("fields, message", RECURRENT)
def test_a_recurrent_node_that_breaks_a_rule_is_refused(fields, message):
    with pytest.raises(GraphError, match=rf"^node 'cell' \(LSTM\): .*{message}"):
        validate(one_node(recurrent(LSTM, **fields)))


OTHERS = [
    (recurrent(GRU, outputs=("y", "h", "c")), r"'cell' \(GRU\): outputs must be \(Y, Y_h\), got 3 names"),
    (recurrent(RNN, ("x", "", "", "x")), r"'cell' \(RNN\): input initial_c must be left out"),
    (recurrent(GRU, linear_before_reset=1), r"linear_before_reset must be a bool, got 1"),
    (Embedding(name="e", inputs=("x",), outputs=("y",), table=f(3)), r"table must be \[vocabulary, features\]"),
    (Embedding(name="e", inputs=("x",), outputs=("y",), table=f(0, 3)), r"table must be .*got \[0, 3\]"),
    (Dense(name="d", inputs=("x",), outputs=("y",), kernel=f(3, 2), bias=f(3)), r"bias must be \[2\], .*got \[3\]"),
    (Dense(name="d", inputs=("x",), outputs=("y",), kernel=f(3, 2), bias=f(2, dtype="float16")),
     r"bias must be float32, as kernel is, got float16"),
    (Dense(name="d", inputs=("x",), outputs=("y",), kernel=f(3, 2), activation="relu"), r"must be an Activation"),
    (Dense(name="d", inputs=("x", "x"), outputs=("y",), kernel=f(3, 2)), r"inputs must be \(x\)"),
    (Activate(name="a", inputs=("x",), outputs=("y", "z")), r"outputs must be \(y\), got 2 names"),
    (Pool(name="p", inputs=("x",), outputs=("y",), kind="sum"), r"kind must be one of last, mean, max, got 'sum'"),
    (Mask(name="m", inputs=("x",), outputs=("y",), value=0.0), r"value must be an int32, got 0.0"),
    (Mask(name="m", inputs=("x",), outputs=("y",), value=2**31), r"value must be an int32, got 2147483648"),
    (Operator(name="o", inputs=("x",), outputs=("y",), op_type=""), r"op_type must be the name"),
    (Operator(name="o", inputs=("x",), outputs=("",), op_type="Abs"), r"outputs must be named"),
    (Operator(name="o", inputs=("x",), outputs=("y",), op_type="Elu", attributes={"alpha": np.inf}),
     r"attribute alpha must be an int64, finite float, string or a tuple of them, got inf"),
    (Operator(name="o", inputs=("x",), outputs=("y",), op_type="Flatten", attributes={"axis": 2**63}),
     r"attribute axis must be an int64"),
    (Operator(name="o", inputs=("x",), outputs=("y",), op_type="Transpose", attributes={"perm": [0, 1]}),
     r"attribute perm must be .* got \[0, 1\]"),
    (Operator(name="o", inputs=("x", "x"), outputs=("y",), op_type="Add", constants={1: f(1)}),
     r"input 1 must be left empty, as a constant stands there, got x"),
    (Operator(name="o", inputs=("x",), outputs=("y",), op_type="Add", constants={1: f(1)}),
     r"constants must be at positions 0 to 0 of the inputs, got 1"),
    (Operator(name="o", inputs=("x", ""), outputs=("y",), op_type="Add", constants={1: f(1).astype("complex64")}),
     r"constant 1 must be an array of .*, got complex64"),
    (Operator(name="o", inputs=("x", ""), outputs=("y",), op_type="Add", constants={1: 2.0}), r"got float"),
    (Node(name="n", inputs=("x",), outputs=("y",)), r"node 'n': Node is not a node; known: Embedding, LSTM"),
]


@pytest.mark.parametrize("node, message", OTHERS)
def test_any_other_node_that_breaks_a_rule_is_refused(node, message):
    with pytest.raises(GraphError, match=message):
        validate(one_node(node))


@pytest.mark.parametrize("node", [
    recurrent(RNN, activations=((Activation("swoosh"),),)),
    Dense(name="cell", inputs=("x",), outputs=("y",), kernel=f(3, 2), activation=Activation("swoosh")),
])
def test_an_unknown_activation_is_not_supported(node):
    with pytest.raises(UnsupportedError, match=r"activation 'swoosh' is not supported; supported: linear, sigmoid"):
        validate(one_node(node))


def test_an_unknown_operator_is_not_supported():
    with pytest.raises(UnsupportedError, match=r"'o'.*operator 'Teleport' is not supported"):
        validate(one_node(Operator(name="o", inputs=("x",), outputs=("y",), op_type="Teleport")))


good = recurrent(RNN)
GRAPHS = [
    (Graph((X,), (good,), ()), "at least one output, got none"),
    (Graph((X,), (good,), ("y", "y")), "output names must be unique, got 'y' twice"),
    (Graph((X,), (good,), ("z",)), "output 'z' is neither made by a node nor given to the graph"),
    (Graph((X,), (good,), ("",)), "output names must be strings that are not empty, got ''"),
    (Graph((X, X), (good,), ("y",)), "value names must be unique, got 'x' twice"),
    (Graph((X,), (recurrent(RNN, outputs=("x",)),), ("x",)), "value names must be unique, got 'x' twice"),
    (Graph((X,), (good, recurrent(RNN, outputs=("z",))), ("y",)), "node names must be unique, got 'cell' twice"),
    (Graph((X,), (recurrent(RNN, name=""),), ("y",)), "node names must be strings that are not empty"),
    (Graph((X,), (recurrent(RNN, name="\ud800"),), ("y",)), "node names must be text that UTF-8 can hold"),
    (Graph((X,), (recurrent(RNN, ("b",), ("a",), name="1"), recurrent(RNN, ("a",), ("b",), name="2")), ("a",)),
     "node '1' .*input 'b' is made neither by an earlier node nor given"),
    (Graph((Value("x", SEQUENCE, "float8"),), (good,), ("y",)), "input 'x': dtype must be one of float32, .*'float8'"),
    (Graph((Value("x", ("batch", -1, 3)),), (good,), ("y",)), r"input 'x': each dimension .* got \[batch, -1, 3\]"),
    (Graph((Value("x", ("batch", "", 3)),), (good,), ("y",)), "input 'x': each dimension must be a symbol or from 0"),
    (Graph((Value("x", ("batch", 2**31, 3)),), (good,), ("y",)), "input 'x': each dimension must be"),
    (Graph((Value("x", ("batch", True, 3)),), (good,), ("y",)), "input 'x': each dimension must be"),
    (Graph((X, Value("big", (2**30, 2**30, 2**30))), (good,), ("y",)), "value 'big': the size of .* overflows"),
    (Graph([X], (good,), ("y",)), "inputs of the graph must be a tuple of Value"),
    (Graph((X,), ("node",), ("y",)), "nodes of the graph must be a tuple of Node"),
    (Graph((X,), (good,), "y"), "outputs of the graph must be a tuple of str"),
    (Graph((X,), (recurrent(RNN, outputs=("y", 3)),), ("y",)), r"'cell' \(RNN\): outputs must be a tuple of names"),
    (Graph((X,), (good,), ("y",), {"source": 3}), "metadata must map strings to strings, got 'source': 3"),
]


@pytest.mark.parametrize("graph, message", GRAPHS)
def test_a_graph_that_breaks_a_rule_is_refused(graph, message):
    with pytest.raises(GraphError, match=message):
        validate(graph)


def test_values_of_a_dense_chain_that_overflow_are_refused():
    wide = Dense(name="wide", inputs=("x",), outputs=("y",), kernel=f(1, 9))
    with pytest.raises(GraphError, match=r"value 'y': the size of \[536870912, 536870912, 9\] overflows"):
        validate(one_node(wide, Value("x", (2**29, 2**29, 1))))


def test_every_field_of_every_node_is_covered_by_a_rule_or_a_name():
    """A new field needs a rule here and in `graph.weights`; this fails until someone has thought of it."""
    known = {"name", "inputs", "outputs", "table", "W", "R", "B", "P", "projection", "direction", "activations", "clip",
             "zero_masked", "empty", "input_forget", "peephole_output", "cell_clip", "linear_before_reset", "kernel",
             "bias", "activation", "kind", "value", "op_type", "attributes", "constants", "body", "states",
             "sequence_axes", "backwards", "result_axes", "turned"}
    from lstm_engine.graph import NODE_TYPES
    assert {field.name for kind in NODE_TYPES.values() for field in dataclasses.fields(kind)} == known


def test_relu_in_a_cell_is_fine():
    validate(one_node(recurrent(LSTM, activations=((SIGMOID, RELU, RELU),))))
