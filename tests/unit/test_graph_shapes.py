"""Shape inference: every node's rule, and what is learnt about symbols."""

import numpy as np
import pytest
from graphs import BATCH_TIME, SEQUENCE, every_node, one_node, recurrent, weights

from lstm_engine.errors import GraphError
from lstm_engine.graph import GRU, LSTM, RNN, Activate, Dense, Embedding, Graph, Operator, Pool, Value
from lstm_engine.graph.shapes import Symbols
from lstm_engine.operators import infer_shapes


def described(graph):
    return {name: (value.shape, value.dtype) for name, value in infer_shapes(graph).items()}


def test_every_node_has_the_shape_its_docstring_states():
    f32 = "float32"
    assert described(every_node()) == {
        "ids": (BATCH_TIME, "int32"), "h0": (("batch", 4), f32), "x": (("batch", "time", 3), f32),
        "real": (BATCH_TIME, "bool"), "a": (("batch", "time", 4), f32), "b": (("batch", "time", 2), f32),
        "c": (("batch", "time", 1), f32), "d": (("batch", "time", 2), f32), "state": (("batch", 2), f32),
        "e": (("batch", "time", 2), f32), "f": (("batch", "time", 2), f32), "g": (("batch", 2), f32),
        "h": (("batch", 5), f32), "y": (("batch", 5), f32)}


def test_a_projected_lstm_has_small_h_and_full_c():
    node = recurrent(LSTM, outputs=("y", "h", "c"), dirs=2, hidden=5, R=weights(2, 20, 3),
                     projection=weights(2, 3, 5))
    shapes = infer_shapes(one_node(node))
    assert [shapes[name].shape for name in "yhc"] == [("batch", "time", 6), ("batch", 6), ("batch", 10)]


@pytest.mark.parametrize("dtype, computed", [("float16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_the_weights_decide_the_dtype(dtype, computed):
    table = Embedding(name="e", inputs=("ids",), outputs=("y",), table=weights(4, 2, dtype=dtype))
    assert infer_shapes(one_node(table, Value("ids", BATCH_TIME, "int64")))["y"].dtype == computed
    assert infer_shapes(one_node(recurrent(GRU, dtype=dtype)))["y"].dtype == computed
    dense = Dense(name="d", inputs=("x",), outputs=("y",), kernel=weights(3, 2, dtype=dtype))
    assert infer_shapes(one_node(dense))["y"].dtype == computed


def test_outputs_left_out_have_no_value():
    assert set(infer_shapes(one_node(recurrent(LSTM, outputs=("", "", "c"))))) == {"x", "c"}


def test_a_weight_fixes_a_symbol_everywhere():
    graph = Graph((Value("x", ("batch", "time", "width")), Value("other", ("batch", "width"))),
                  (recurrent(RNN),), ("y",))
    shapes = infer_shapes(graph)
    assert shapes["x"].shape == ("batch", "time", 3) and shapes["other"].shape == ("batch", 3)


def test_symbols_that_must_agree_become_one():
    node = recurrent(RNN, ("x", "n", "", "", "mask"))
    shapes = infer_shapes(one_node(node, Value("x", SEQUENCE), Value("n", ("rows",), "int32"),
                                   Value("mask", ("b", "steps"), "bool")))
    batch, time, _ = shapes["y"].shape
    assert shapes["n"].shape == (batch,) and shapes["mask"].shape == (batch, time)


def test_a_fixed_batch_in_a_state_fixes_the_batch():
    node = recurrent(RNN, ("x", "", "h0"))
    assert infer_shapes(one_node(node, Value("x", SEQUENCE), Value("h0", (8, 2))))["y"].shape == (8, "time", 2)


def test_a_symbol_cannot_be_two_numbers():
    graph = Graph((Value("x", ("batch", "time", "width")), Value("z", ("batch", "time", "width"))),
                  (recurrent(RNN), recurrent(RNN, ("z",), ("w",), features=4, name="second")), ("y", "w"))
    with pytest.raises(GraphError, match=r"'second' \(RNN\): input x \('z'\) must be \[batch, time, 4\], "
                                         r"got \[batch, time, 3\]"):
        infer_shapes(graph)


def test_many_symbols_become_one():
    inputs = tuple(Value(f"m{i}", ("b", f"t{i}"), "bool") for i in range(50))
    nodes = tuple(recurrent(RNN, ("x", "", "", "", f"m{i}"), (f"y{i}",), name=f"n{i}") for i in range(50))
    shapes = infer_shapes(Graph((Value("x", SEQUENCE), *inputs), nodes, ("y0",)))
    assert {shapes[f"m{i}"].shape for i in range(50)} == {shapes["x"].shape[:2]}


def test_a_hostile_chain_of_symbols_costs_no_more_than_its_length():
    class Counting(dict):
        steps = 0

        def __getitem__(self, key):
            Counting.steps += 1
            return super().__getitem__(key)

    symbols, length = Symbols(), 1000
    symbols._meaning = Counting()
    for i in range(length):
        symbols.unify(f"s{i + 1}", f"s{i}")
    assert {symbols.resolve(f"s{i}") for i in range(length)} == {f"s{length}"}
    assert Counting.steps < 3 * length          # without shortcuts it is length**2 / 2


def test_dense_keeps_the_leading_axes():
    node = Dense(name="d", inputs=("x",), outputs=("y",), kernel=weights(3, 6))
    assert infer_shapes(one_node(node, Value("x", ("a", "b", 4, 3))))["y"].shape == ("a", "b", 4, 6)


ids, sequence, vector = Value("x", BATCH_TIME, "int32"), Value("x", SEQUENCE), Value("x", ("batch", 3))
dense = Dense(name="d", inputs=("x",), outputs=("y",), kernel=weights(3, 6))
lstm_inputs = (("n", ("batch",), "int32"), ("h0", ("batch", 2), "float32"), ("c0", ("batch", 2), "float32"),
               ("mask", BATCH_TIME, "bool"))


@pytest.mark.parametrize("node, value, message", [
    (recurrent(RNN), vector, r"input x \('x'\) must be \[batch, time, 3\], of rank 3, got \[batch, 3\]"),
    (recurrent(RNN, features=4), sequence, r"must be \[batch, time, 4\], got \[batch, time, 3\]"),
    (recurrent(RNN), Value("x", SEQUENCE, "int32"), "of dtype float32 or float64, got int32"),
    (Embedding(name="e", inputs=("x",), outputs=("y",), table=weights(4, 2)), sequence, "int32 or int64 or uint8"),
    (Embedding(name="e", inputs=("x",), outputs=("y",), table=weights(4, 2)), Value("x", ("batch",), "int32"),
     r"\[batch, time\], of rank 2, got \[batch\]"),
    (dense, Value("x", ("batch", 4)), r"must be \[batch, 3\], got \[batch, 4\]"),
    (dense, Value("x", ()), r"must be \[\.\.\., 3\], got \[\]"),
    (dense, ids, "of dtype float32 or float64, got int32"),
    (Pool(name="p", inputs=("x",), outputs=("y",)), vector, "of rank 3"),
    (Activate(name="a", inputs=("x",), outputs=("y",)), Value("x", BATCH_TIME, "bool"), "got bool"),
    (Operator(name="o", inputs=("x",), outputs=("y", "z"), op_type="Abs"), sequence, r"takes 1 outputs, not 2"),
])
def test_an_input_that_does_not_fit_is_named(node, value, message):
    with pytest.raises(GraphError, match=message):
        infer_shapes(one_node(node, value))


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("wrong, message", [
    (lambda shape, dtype: ((*shape, 1), dtype), r"must be \["),
    (lambda shape, dtype: ((*shape[:-1], 9), dtype), r"must be \["),
    (lambda shape, dtype: (shape, "uint8"), "must be of dtype .*got uint8"),
])
def test_the_other_inputs_of_a_recurrent_node_are_checked(position, wrong, message):
    values = [Value(name, shape, dtype) for name, shape, dtype in lstm_inputs]
    fixed = Value("x", (5, 4, 3))           # numbers, so that a wrong 9 cannot be taken for a symbol's meaning
    node = recurrent(LSTM, ("x", "n", "h0", "c0", "mask"))
    infer_shapes(one_node(node, fixed, *values))
    name, shape, dtype = lstm_inputs[position]
    values[position] = Value(name, *wrong(shape, dtype))
    with pytest.raises(GraphError, match=rf"'cell' \(LSTM\): input .*\('{name}'\) {message}"):
        infer_shapes(one_node(node, fixed, *values))


def test_a_missing_value_is_named():
    with pytest.raises(GraphError, match=r"node 'cell' \(LSTM\): input 'z' is made neither"):
        infer_shapes(one_node(recurrent(LSTM, ("z",))))


def test_shapes_do_not_touch_the_arrays():
    node = recurrent(LSTM, W=np.full((1, 8, 3), np.nan, np.float32))
    assert infer_shapes(one_node(node))["y"].shape == ("batch", "time", 2)
