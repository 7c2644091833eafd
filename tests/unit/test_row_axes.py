"""`batch_size`: rows run in parts where nothing mixes them, to the numbers of one run; else it is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model, node

import lstm_engine as le

pytest.importorskip("onnx")

X = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
TENSORS: dict[str, Any] = {
    "K": np.random.default_rng(1).standard_normal((3, 3)).astype(np.float32), "zero": np.array([0]),
    "one": np.array([1]), "two": np.array([2]), "last": np.int64(-1), "row": np.ones((1, 3), np.float32),
    "rows": np.array([-1, 3]), "apart": np.array([0, -1]), "merged": np.array([-1, 12]), "far": np.array([2**40])}

APART = {
    "Dense": [node("MatMul", "x K", "y")],
    "softmax of features": [node("Softmax", "x", "y", axis=-1)],
    "softmax over time": [node("Softmax", "x", "y", axis=1)],
    "mean over time": [node("ReduceMean", "x one", "y", keepdims=0)],
    "last step": [node("Gather", "x last", "y", axis=1)],
    "flattened": [node("Reshape", "x apart", "y")],
    "transposed": [node("Transpose", "x", "y", perm=[2, 1, 0])],
    "joined": [node("Tanh", "x", "t"), node("Concat", "x t", "y", axis=2)],
    "a row added": [node("Add", "x row", "y")],
    "scores of steps": [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")],
    "a slice of time": [node("Slice", "x one far one", "y")],
    "einsum": [node("Einsum", "x K", "y", equation="btf,fg->btg")],
}
SIZES = [node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0)]         # n: [the number of rows]
APART |= {
    "flattened to a computed shape": [*SIZES, node("Concat", "n less", "t", axis=0), node("Reshape", "x t", "y")],
    "zeros of a computed shape": [*SIZES, node("Concat", "n one three", "t", axis=0), node("ConstantOfShape", "t", "z"),
                                  node("Concat", "x z", "y", axis=1)],
    "a row spread": [*SIZES, node("Concat", "n one three", "t", axis=0), node("Unsqueeze", "row one", "r"),
                     node("Expand", "row t", "e"), node("Concat", "e x", "y", axis=1)],
    "scalars of sizes": [node("Shape", "x", "s"), node("Gather", "s first", "n", axis=0),
                         node("Gather", "s index1", "m", axis=0), node("Unsqueeze", "n zero", "p"),
                         node("Unsqueeze", "m zero", "q"), node("Concat", "p q three", "t", axis=0),
                         node("Reshape", "x t", "y")],
    "divided by the number of steps": [node("Shape", "x", "s"), node("Gather", "s one", "n", axis=0),
                                       node("Cast", "n", "f", to=1), node("Div", "x f", "y")],
}
MIXED = {
    "as many zeros as rows beside them": [*SIZES, node("Concat", "one n three", "t", axis=0),
                                          node("ConstantOfShape", "t", "z"),
                                          node("ReduceSum", "z one", "e", keepdims=1), node("Add", "x e", "y")],
    "steps before rows": [*SIZES, node("Gather", "s one", "m", axis=0), node("Concat", "m n three", "t", axis=0),
                          node("Reshape", "x t", "y")],
    "softmax over rows": [node("Softmax", "x", "y", axis=0)],
    "less the mean of rows": [node("ReduceMean", "x zero", "m", keepdims=1), node("Sub", "x m", "y")],
    "the last row added": [node("Gather", "x last", "m", axis=0), node("Add", "x m", "y")],
    "rows turned round": [node("Slice", "x last1 -far zero last1", "y")],
    "a sum along rows": [node("CumSum", "x first", "y")],
    "rows by rows": [node("Gather", "x last", "v", axis=1), node("Transpose", "v", "t", perm=[1, 0]),
                     node("MatMul", "v t", "y")],
    "all steps of all rows": [node("Reshape", "x rows", "r"), node("ReduceMax", "r zero", "m", keepdims=1),
                              node("Add", "x m", "y")],
    "divided by the number of rows": [node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0),
                                      node("Cast", "n", "f", to=1), node("Div", "x f", "y")],
}


def converted(nodes: list[Any]) -> le.Model:
    tensors = {**TENSORS, "last1": np.array([-1]), "less": np.array([-1]),
               "three": np.array([3]), "index1": np.int64(1), "-far": np.array([-(2**40)]), "first": np.int64(0)}
    return le.convert(model(nodes, {"x": ("batch", "time", 3)}, "y", tensors))


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("case", APART)
def test_rows_that_nothing_mixes_run_in_parts(case, size):
    engine = converted(APART[case])
    np.testing.assert_allclose(engine.predict(X, batch_size=size), engine.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_outputs_without_rows_come_as_one(size):
    """A constant, an input that all rows share, and what is made of it, beside outputs with rows."""
    nodes = [node("Tanh", "x", "y"), node("Neg", "shared", "z"), node("Add", "x shared", "a")]
    engine = le.convert(model(nodes, {"x": ("batch", "time", 3), "shared": (1, 3)}, "y z K shared a", TENSORS))
    feeds = {"x": X, "shared": TENSORS["row"]}
    whole = engine.predict(feeds)
    for name, array in engine.predict(feeds, batch_size=size).items():
        np.testing.assert_allclose(array, whole[name], rtol=0, atol=1e-6)
    into = {"z": np.empty((1, 3), np.float32), "y": np.empty_like(X)}
    got = engine.predict(feeds, batch_size=size, out=into)
    assert got["z"] is into["z"] and got["y"] is into["y"]
    np.testing.assert_array_equal(into["z"], -feeds["shared"])


@pytest.mark.parametrize("case", MIXED)
def test_rows_that_a_node_mixes_do_not(case):
    engine = converted(MIXED[case])
    whole = engine.predict(X)
    np.testing.assert_array_equal(engine.predict(X, batch_size=len(X)), whole)
    with pytest.raises(le.UnsupportedError, match="batch_size: this model makes 'y' of all rows at once, in '"):
        engine.predict(X, batch_size=2)


def test_a_type_taken_from_an_input_takes_no_rows_from_it():
    """What CastLike makes has the shape of its first input, whatever the second has."""
    converted = le.convert(model([node("CastLike", "b x", "y")], {"x": ("batch",), "b": ()}, "y"))
    given = {"x": np.zeros(3, np.float32), "b": np.float32(2)}
    assert converted.predict(given, batch_size=1) == converted.predict(given) == 2


def test_one_name_for_rows_and_steps_is_no_time_axis():
    """In a graph; of a file the two are two, as ONNX Runtime has it (test_onnx_inputs.py)."""
    made = imported(model([node("Transpose", "x", "t", perm=[1, 0, 2]), node("RNN", "t W W", "y", hidden_size=3)],
                          {"x": ("b", "t", 3)}, "y", {"W": TENSORS["K"][None]}))
    engine = le.Model(replace(made, inputs=(replace(made.inputs[0], shape=("n", "n", 3)),)))
    square = X[:4]
    assert engine.predict(square).shape == (4, 1, 4, 3)
    with pytest.raises(le.LstmEngineError, match="no input of the model has a time axis"):
        engine.predict(square, lengths=[1, 2, 3, 4])
