"""What ONNX graphs become: house nodes where there is one, host operators in the rest, an exact refusal otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, imported, kinds, model, node

import lstm_engine as le
from lstm_engine.errors import ArgumentError, FormatError, UnsupportedError
from lstm_engine.graph import Dense
from lstm_engine.importers import onnx as importer

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
# float32 sums of at most ten products near 1, against float64.
TOLERANCE = 3e-6


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


LSTM = {"W": f(1, 12, 4), "R": f(1, 12, 3), "B": f(1, 24)}
X = {"x": ("batch", "time", 4)}
FEED = {"x": f(2, 5, 4)}
INTO = [node("Transpose", "x", "xt", perm=[1, 0, 2]), node("LSTM", "xt W R B", "Y Yh Yc", hidden_size=3)]
OUT = [node("Squeeze", "Y one", "s"), node("Transpose", "s", "seq", perm=[1, 0, 2])]
ONE = {"one": np.array([1])}


def around(nodes: list, tensors: dict | None = None, outputs: str = "y", inputs: dict | None = None) -> Any:
    """A model with `nodes` after a batch-first LSTM whose sequence is "seq"."""
    return model(INTO + OUT + nodes, {**X, **(inputs or {})}, outputs, {**LSTM, **ONE, **(tensors or {})})


def test_the_wrapping_of_a_batch_first_layer_goes() -> None:
    assert kinds(check(around([], outputs="seq"), FEED, TOLERANCE)) == ["LSTM"]


def test_a_time_major_interface_stays() -> None:
    source = model(INTO[1:] + OUT[:1], {"xt": ("time", "batch", 4)}, "s", {**LSTM, **ONE})
    made = check(source, {"xt": f(5, 2, 4)}, TOLERANCE)
    assert kinds(made) == ["Transpose", "LSTM", "Transpose"]
    assert made.inputs[0].shape == ("time", "batch", 4)


@pytest.mark.parametrize("nodes, tensors, expected", [
    ([node("MatMul", "seq k", "m"), node("Add", "m b", "a"), node("Sigmoid", "a", "y")], {"k": f(3, 2), "b": f(2)},
     ["LSTM", "Dense"]),
    ([node("MatMul", "seq k", "m"), node("Add", "b m", "y")], {"k": f(3, 2), "b": f(1, 1, 2)}, ["LSTM", "Dense"]),
    ([node("MatMul", "seq k", "m"), node("Add", "m m", "y")], {"k": f(3, 2)}, ["LSTM", "Dense", "Add"]),
    ([node("MatMul", "seq k", "m"), node("Tanh", "m", "t"), node("Add", "t b", "y")], {"k": f(3, 2), "b": f(2)},
     ["LSTM", "Dense", "Add"]),
    ([node("MatMul", "seq k", "m"), node("Softmax", "m", "y", axis=-1)], {"k": f(3, 2)}, ["LSTM", "Dense"]),
    ([node("Softmax", "seq", "y", axis=1)], {}, ["LSTM", "Softmax"]),
    ([node("Gather", "seq i", "g", axis=1), node("Gemm", "g k b", "y", transB=1, alpha=0.5, beta=2.0)],
     {"i": np.array(-1), "k": f(2, 3), "b": f(2)}, ["LSTM", "Pool", "Dense"]),
    ([node("Gather", "seq i", "y", axis=1)], {"i": np.array(1)}, ["LSTM", "Gather"]),
    ([node("Gather", "seq i", "y", axis=1)], {"i": np.array([0, -1])}, ["LSTM", "Gather"]),
    ([node("Slice", "seq from to a", "c"), node("Squeeze", "c a", "y")],
     {"from": np.array([-1]), "to": np.array([2**63 - 1]), "a": np.array([1])}, ["LSTM", "Pool"]),
    ([node("Slice", "seq from to a", "y")], {"from": np.array([-2]), "to": np.array([2**63 - 1]), "a": np.array([1])},
     ["LSTM", "Slice"]),
    ([node("Slice", "seq from to a st", "y")], {"from": np.array([-1]), "to": np.array([-2**63]), "a": np.array([1]),
                                           "st": np.array([-1])}, ["LSTM", "Slice"]),
    ([node("Relu", "seq", "r"), node("Gather", "r i", "y", axis=1)], {"i": np.array(-1)}, ["LSTM", "Activate", "Pool"]),
    ([node("Unsqueeze", "seq zero", "u"), node("LayerNormalization", "u g", "n", axis=3),
      node("Squeeze", "n zero", "y")], {"zero": np.array([0]), "g": f(3)}, ["LSTM", "LayerNormalization"]),
    ([node("Unsqueeze", "seq zero", "u"), node("Softmax", "u", "n", axis=3), node("Squeeze", "n zero", "y")],
     {"zero": np.array([0])}, ["LSTM", "Activate"]),
    ([node("ReduceMean", "seq one", "y", keepdims=0)], {}, ["LSTM", "ReduceMean"]),
    ([node("Mul", "seq c", "y")], {"c": np.float32(2)}, ["LSTM", "Mul"]),
    ([node("Mul", "seq c", "y")], {"c": f(2, 1, 1)}, ["LSTM", "Mul"]),
    ([node("Dropout", "seq", "d"), node("Identity", "d", "y")], {}, ["LSTM"]),
    ([node("Selu", "seq", "y", alpha=1.5, gamma=1.1)], {}, ["LSTM", "Activate"]),
    ([node("Clip", "seq lo hi", "y")], {"lo": np.float32(-0.1), "hi": np.float32(0.2)}, ["LSTM", "Clip"]),
])
def test_what_follows_a_layer(nodes: list, tensors: dict, expected: list) -> None:
    assert kinds(check(around(nodes, tensors), FEED, TOLERANCE)) == expected


def test_bias_and_activation_are_not_taken_from_others() -> None:
    """What a second reader, or an output, needs as it was is not fused away."""
    nodes = [node("MatMul", "seq k", "m"), node("Add", "m b", "a"), node("Sigmoid", "a", "y")]
    made = check(around(nodes, {"k": f(3, 2), "b": f(2)}, "y m a"), FEED, TOLERANCE)
    assert kinds(made) == ["LSTM", "Dense", "Add", "Activate"] and made.outputs == ("y", "m", "a")
    assert all(n.bias is None for n in made.nodes if isinstance(n, Dense))


def test_no_pool_where_there_are_lengths() -> None:
    """The last step of a padded sequence is zeros in ONNX; the last real step is something else."""
    nodes = [INTO[0], node("LSTM", "xt W R B lens", "Y Yh Yc", hidden_size=3), *OUT,
             node("Gather", "seq last", "y", axis=1)]
    source = model(nodes, {**X, "lens": ("int32", ("batch",))}, "y", {**LSTM, **ONE, "last": np.array(-1)})
    made = check(source, {**FEED, "lens": np.array([5, 2], np.int32)}, TOLERANCE)
    assert kinds(made) == ["LSTM", "Gather"]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_embedding(dtype: str) -> None:
    nodes = [node("Cast", "ids", "wide", to=onnx.TensorProto.INT64), node("Gather", "table wide", "e", axis=0),
             node("Transpose", "e", "y", perm=[1, 0, 2])]
    ids = RNG.integers(0, 9, (2, 5)).astype(dtype)
    made = check(model(nodes, {"ids": (dtype, ("batch", "time"))}, "y", {"table": f(9, 3)}), {"ids": ids}, 0)
    assert kinds(made) == ["Embedding", "Transpose"] and made.inputs[0].dtype == dtype


@pytest.mark.parametrize(("alpha", "beta", "added", "kind"), [
    (2.0, 0.5, 1.0, "Dense"), (1.0, 0.0, np.inf, "Dense"), (1e30, 1.0, 1.0, "Gemm"), (1.0, 1e30, 1e5, "Gemm")])
def test_factors_that_weights_cannot_take_stay_with_the_operator(alpha: float, beta: float, added: float, kind: str
                                                                 ) -> None:
    """alpha * K is infinite where alpha * (x K) is not; what is added 0 times ONNX Runtime does not look at."""
    source = model([node("Gemm", "x K C", "y", alpha=alpha, beta=beta)], {"x": ("rows", 4)}, "y",
                   {"K": f(4, 3) * np.float32(1e10), "C": np.full(3, added, np.float32)})
    size = 1e-10 / max(1, alpha)
    made = check(source, {"x": f(2, 4) * np.float32(size)}, TOLERANCE * max(1.0, abs(beta * added) if beta else 0))
    assert kinds(made) == [kind]


def test_activations_along_time_stay_operators() -> None:
    """Values of a convolution over time have no rows of a known size."""
    nodes = [node("Transpose", "x", "xt", perm=[0, 2, 1]), node("Conv", "xt k", "c"), node("Relu", "c", "y")]
    made = check(model(nodes, X, "y", {"k": f(2, 4, 3)}), FEED, TOLERANCE)
    assert kinds(made) == ["Transpose", "Conv", "Relu"]


def test_ids_that_are_computed_keep_their_cast() -> None:
    nodes = [node("Cast", "x", "ids", to=onnx.TensorProto.INT64), node("Gather", "table ids", "y", axis=0)]
    made = check(model(nodes, {"x": ("batch", "time")}, "y", {"table": f(9, 3)}),
                 {"x": np.float32([[1.7, 2.2], [0.1, 8.9]])}, 0)
    assert kinds(made) == ["Cast", "Embedding"]


def test_two_layers_time_major_inside() -> None:
    second = {"W2": f(2, 12, 3), "R2": f(2, 12, 3)}
    nodes = [*INTO, OUT[0], node("LSTM", "s W2 R2", "Y2 Yh2 -", hidden_size=3, direction="bidirectional"),
             node("Transpose", "Y2", "t2", perm=[2, 0, 1, 3]), node("Reshape", "t2 shape", "y")]
    made = check(model(nodes, X, "y Yh2", {**LSTM, **ONE, **second, "shape": np.array([0, 0, -1])}), FEED, TOLERANCE)
    assert kinds(made) == ["LSTM", "LSTM", "Reshape", "Transpose"]


def test_directions_split_and_joined() -> None:
    """As Keras models come out: each direction on its own, then side by side again."""
    weights = {"W": f(2, 12, 4), "R": f(2, 12, 3)}
    nodes = [INTO[0], node("LSTM", "xt W R", "Y - -", hidden_size=3, direction="bidirectional"),
             node("Split", "Y", "fw bw", axis=1, num_outputs=2), node("Squeeze", "fw one", "f1"),
             node("Squeeze", "bw one", "b1"), node("Concat", "f1 b1", "j", axis=2),
             node("Transpose", "j", "y", perm=[1, 0, 2])]
    assert kinds(check(model(nodes, X, "y", {**weights, **ONE}), FEED, TOLERANCE)) == ["LSTM"]


def test_outputs_that_are_inputs_constants_or_twice_the_same() -> None:
    nodes = [node("Identity", "x", "a"), node("Identity", "k", "b"), node("Relu", "x", "c"), node("Identity", "c", "d")]
    made = check(model(nodes, X, "a b c d", {"k": f(2, 2)}), FEED, 0)
    assert made.outputs == ("a", "b", "c", "d") and kinds(made).count("Identity") == 3


def test_an_input_that_is_an_output_and_one_named_twice(tmp_path: Any) -> None:
    source = model([node("Relu", "x", "y")], X, "y x y")
    made = check(source, FEED, 0)
    assert made.outputs == ("y", "x") and kinds(made) == ["Activate"]
    own = le.convert(source)
    own.save(tmp_path / "m.lstm")
    for runs in (own, le.load(tmp_path / "m.lstm")):
        for _ in range(3):                                  # plain, recorded, replayed
            got = runs.predict(FEED["x"])
            np.testing.assert_array_equal(got["x"], FEED["x"])
            assert not np.shares_memory(got["x"], FEED["x"])
    got = le.convert(around([], outputs="seq x")).predict(FEED["x"], lengths=[2, 5])["x"]
    np.testing.assert_array_equal(got, FEED["x"] * (np.arange(5) < np.array([[2], [5]]))[:, :, None])
    assert FEED["x"].all()                                  # what was given is as it was
    check(model([], X, "x"), FEED, 0)
    check(model([node("Relu", "x", "y")], X, "k x", {"k": f(2, 2)}), FEED, 0)


def test_metadata() -> None:
    source = around([], outputs="seq")
    source.producer_name, source.producer_version = "someone", "1.2"
    assert imported(source).metadata == {"source": "onnx", "opset": "21", "producer": "someone 1.2"}


@pytest.mark.parametrize("source, message", [
    (lambda: around([node("NonMaxSuppression", "seq seq", "y", name="nms")]),
     "node 'nms' (NonMaxSuppression): this operator is not supported; supported: LSTM, GRU, RNN, Abs, "),
    (lambda: around([node("Inverse", "seq", "y", name="inv", domain="com.microsoft")],
                    ), "node 'inv' (com.microsoft.Inverse): this operator is not supported"),
    (lambda: around([node("Pad", "seq p", "y", name="pad", mode="mirror")], {"p": np.zeros(6, np.int64)}),
     "node 'pad' (Pad): attribute 'mode' = 'mirror' is not supported; supported: constant, reflect, edge, wrap"),
    (lambda: _typed(onnx.TensorProto.STRING),
     "input 'x' is of data type 8; supported: float32, float64, int32, int64, uint8, bool"),
    (lambda: model([node("Relu", "x", "y")], X, "y", opset=6),
     "the model asks for version 6 of ONNX's operators; versions from 7 on are supported"),
])
def test_refused(source: Any, message: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        imported(source())
    assert message in str(caught.value)


def _typed(data_type: int) -> Any:
    source = model([node("Identity", "x", "y")], X, "y")
    source.graph.input[0].type.tensor_type.elem_type = data_type
    return source


def test_what_no_output_needs_may_be_anything() -> None:
    assert kinds(check(around([node("NonZero", "seq", "unused")], outputs="seq"), FEED, TOLERANCE)) == ["LSTM"]


def test_claims() -> None:
    data = around([], outputs="seq").SerializeToString()
    assert importer.knows(data[:4096])
    for head in (b"PK\x03\x04", b"\x80\x02", b"\x89HDF\r\n\x1a\n", b"\x08\x12\x00\x00\x00\x00\x00\x00{", b""):
        assert not importer.knows(head)
    assert importer.claims_live(around([], outputs="seq")) and not importer.claims_live(object())


def test_options_that_do_not_fit() -> None:
    source = around([], outputs="seq")
    for spec, message in ((dict(fixed={"z": 1}), "spec names 'z'; the inputs of the model are 'x'"),
                          (dict(shapes={"x": [2, 5]}), "spec shapes of 'x' must be 3 sizes, got [2, 5]"),
                          (dict(shapes={"x": [2, 5, 3]}), "[2, 5, 3] does not fit ['batch', 'time', 4]"),
                          (dict(fixed={"x": np.zeros((2, 5, 3))}), "spec fixed of 'x' must be float32"),
                          (dict(other={}), "may hold 'fixed' and 'shapes', not 'other'")):
        with pytest.raises(ArgumentError) as caught:
            imported(source, **spec)
        assert message in str(caught.value)


def test_shapes_can_be_given() -> None:
    made = imported(around([], outputs="seq"), shapes={"x": [2, None, 4]})
    assert made.inputs[0].shape == (2, "time", 4)


def test_a_value_used_in_a_circle_or_not_made() -> None:
    circle = model([node("Add", "x b", "a", name="one"), node("Add", "x a", "b", name="two")], X, "b")
    with pytest.raises(FormatError, match=r"node 'one' \(Add\): it needs its own result"):
        imported(circle)
    with pytest.raises(FormatError, match=r"node 'relu_y' \(Relu\): value 'z' is made by no node and is no input"):
        imported(model([node("Relu", "z", "y")], X, "y"))
    with pytest.raises(FormatError, match=r"node 'again' \(Relu\): value 'y' is made twice"):
        imported(model([node("Relu", "x", "y"), node("Relu", "x", "y", name="again")], X, "y"))


def test_nodes_in_another_order() -> None:
    assert kinds(imported(model(list(reversed(INTO + OUT)), X, "seq", {**LSTM, **ONE}))) == ["LSTM"]


def test_the_last_element_of_none_is_an_error() -> None:
    """What follows is laid out for one: the transposition of axes of 1 is none."""
    nodes = [node("Slice", "x s e a", "y"), node("Transpose", "y", "z", perm=[1, 0, 2])]
    source = model(nodes, {"x": (1, "n", 4)}, "z", {"s": np.array([-1]), "e": np.array([2**31 - 1]), "a": ONE["one"]})
    engine = le.convert(source)
    for _ in range(3):
        np.testing.assert_array_equal(engine.predict(FEED["x"][:1]), FEED["x"][:1, -1:])
        with pytest.raises(ArgumentError, match=r"'slice_y' \(Slice\).* of an axis that has none: \[1, 0, 4"):
            engine.predict(FEED["x"][:1, :0])
