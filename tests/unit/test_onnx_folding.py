"""What is worked out before the run: constants, shapes with symbols, If, functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, graph, imported, kinds, model, node

from lstm_engine.errors import FormatError, UnsupportedError

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
X = {"x": ("batch", "time", 4)}
FEED = {"x": RNG.standard_normal((2, 5, 4)).astype(np.float32)}
# float32 sums of a few terms near 1, against float64.
TOLERANCE = 2e-6


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def weights(op: str, gates: int, hidden: int = 3) -> dict[str, np.ndarray]:
    return {"W": RNG.standard_normal((1, gates * hidden, 4)).astype(np.float32),
            "R": RNG.standard_normal((1, gates * hidden, hidden)).astype(np.float32)}


def test_a_shape_with_the_sizes_of_its_input_under_allowzero() -> None:
    """Reshape to (Shape(x)[0], Shape(x)[1], 2, 2) and back, with allowzero=1 as torch's newer exporter writes it."""
    nodes = [node("Shape", "x", "rows", start=0, end=1), node("Shape", "x", "steps", start=1, end=2),
             node("Concat", "rows steps two two", "apart", axis=0), node("Concat", "rows steps four", "whole", axis=0),
             node("Reshape", "x apart", "a", allowzero=1), node("Transpose", "a", "t", perm=[0, 1, 3, 2]),
             node("Reshape", "t whole", "y", allowzero=1)]
    check(model(nodes, X, "y", {"two": ints(2), "four": ints(4)}), FEED, TOLERANCE)


def test_computed_weights() -> None:
    """W, R and B put together from other constants, as tools write them that reorder gates in the graph."""
    parts = {f"g{i}": RNG.standard_normal((3, 4)).astype(np.float32) for i in range(4)}
    nodes = [node("Concat", "g0 g3 g1 g2", "w", axis=0), node("Unsqueeze", "w zero", "W"),
             node("Transpose", "r", "rt", perm=[1, 0]), node("Unsqueeze", "rt zero", "R"),
             node("Concat", "bx bh", "b", axis=0), node("Unsqueeze", "b zero", "B"),
             node("Transpose", "x", "xt", perm=[1, 0, 2]), node("LSTM", "xt W R B", "- Yh -", hidden_size=3)]
    tensors = {**parts, "zero": ints(0), "r": RNG.standard_normal((3, 12)).astype(np.float32),
               "bx": RNG.standard_normal(12).astype(np.float32), "bh": np.zeros(12, np.float32)}
    made = check(model(nodes, X, "Yh", tensors), FEED, TOLERANCE)
    assert kinds(made) == ["LSTM", "Unsqueeze"]
    np.testing.assert_array_equal(made.nodes[0].W[0], np.concatenate([parts[f"g{i}"] for i in (0, 3, 1, 2)]))


def test_zero_states_made_from_shapes() -> None:
    """Shape, Gather, Unsqueeze, Concat, ConstantOfShape: the states that exporters build are our default."""
    nodes = [node("Transpose", "x", "xt", perm=[1, 0, 2]), node("Shape", "xt", "s"),
             node("Gather", "s one", "b", axis=0), node("Unsqueeze", "b zero", "bb"),
             node("Concat", "dirs bb hid", "shape", axis=0),
             node("ConstantOfShape", "shape", "h0"), node("Expand", "null shape", "c0"),
             node("LSTM", "xt W R - - h0 c0", "- Yh -", hidden_size=3)]
    tensors = {**weights("LSTM", 4), "one": np.array(1), "zero": ints(0), "dirs": ints(1), "hid": ints(3),
               "null": np.zeros((1, 1, 1), np.float32)}
    made = check(model(nodes, X, "Yh", tensors), FEED, TOLERANCE)
    assert kinds(made) == ["LSTM", "Unsqueeze"] and made.nodes[0].inputs == ("x",)


def test_states_that_are_not_zero_stay() -> None:
    fill = onnx.numpy_helper.from_array(np.float32([0.5]))
    nodes = [node("Transpose", "x", "xt", perm=[1, 0, 2]), node("Shape", "xt", "s", start=1, end=2),
             node("Concat", "dirs s hid", "shape", axis=0), node("ConstantOfShape", "shape", "h0", value=fill),
             node("LSTM", "xt W R - - h0", "- Yh -", hidden_size=3)]
    tensors = {**weights("LSTM", 4), "dirs": ints(1), "hid": ints(3)}
    made = check(model(nodes, X, "Yh", tensors), FEED, TOLERANCE)
    assert made.nodes[-2].inputs[2]


def test_a_reshape_that_only_symbols_make_plain() -> None:
    """Sizes read from the input and put together again: the reshape changes nothing."""
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "b", axis=0), node("Gather", "s one", "t", axis=0),
             node("Mul", "b t", "bt"), node("Unsqueeze", "bt ax", "u1"), node("Concat", "u1 four", "flat", axis=0),
             node("Reshape", "x flat", "m"), node("MatMul", "m k", "mk"), node("Unsqueeze", "b ax", "u2"),
             node("Unsqueeze", "t ax", "u3"), node("Concat", "u2 u3 minus", "back", axis=0),
             node("Reshape", "mk back", "y")]
    tensors = {"zero": np.array(0), "one": np.array(1), "ax": ints(0), "four": ints(4), "minus": ints(-1),
               "k": RNG.standard_normal((4, 3)).astype(np.float32)}
    assert kinds(check(model(nodes, X, "y", tensors), FEED, TOLERANCE)) == ["Dense"]


def test_a_slice_to_the_own_length() -> None:
    nodes = [node("Shape", "x", "t", start=1, end=2), node("Slice", "x zero t one", "y")]
    made = check(model(nodes, X, "y", {"zero": ints(0), "one": ints(1)}), FEED, 0)
    assert kinds(made) == ["Identity"]


def test_a_size_made_up_is_not_taken_for_one_given() -> None:
    """An input whose symbol looks like one this importer would make for another value's unknown size."""
    nodes = [node("NonZero", "x", "y"), node("Transpose", "y", "yt"), node("Reshape", "yt shape", "z"),
             node("Shape", "o", "so"), node("Concat", "so one", "shape", axis=0), node("Identity", "o", "o2")]
    source = model(nodes, {"x": (2, 2), "o": ("y_1",)}, "z", {"one": ints(1)})
    check(source, {"x": np.float32([[1, 0], [1, 1]]), "o": np.zeros(6, np.float32)}, 0)


def branch(nodes: list, outputs: str, **tensors: Any) -> Any:
    return graph(nodes, {}, outputs, tensors)


def test_if_on_constants_nested_and_captured() -> None:
    inner = node("If", "yes", "o", name="inner",
                 then_branch=branch([node("Mul", "x two", "o1")], "o1", two=np.float32(2)),
                 else_branch=branch([node("Mod", "x x", "o2", fmod=1)], "o2"))
    outer = node("If", "no", "y", name="outer", then_branch=branch([node("Mod", "x x", "n", fmod=1)], "n"),
                 else_branch=branch([inner, node("Add", "o five", "p")], "p", five=np.float32(5)))
    made = check(model([outer], X, "y", {"yes": np.True_, "no": np.False_}), FEED, TOLERANCE)
    assert kinds(made) == ["Mul", "Add"]
    assert [float(n.constants[1]) for n in made.nodes] == [2, 5]


def test_if_on_an_input_that_is_fixed() -> None:
    nodes = [node("Equal", "sr rate", "is16"), node("If", "is16", "y", name="pick",
             then_branch=branch([node("Relu", "x", "a")], "a"), else_branch=branch([node("Tanh", "x", "b")], "b"))]
    source = model(nodes, {**X, "sr": ("int64", ())}, "y", {"rate": np.array(16000)})
    for rate, activation in ((16000, "relu"), (8000, "tanh")):
        made = check(source, {**FEED, "sr": np.array(rate)}, TOLERANCE, fixed={"sr": rate})
        assert made.nodes[0].activation.name == activation and [v.name for v in made.inputs] == ["x"]
    assert kinds(imported(source)) == ["Equal", "Activate", "Activate", "If"]


def test_if_on_a_shape() -> None:
    """PyTorch's squeeze of an axis of unknown size: decided by the sizes where they are given."""
    nodes = [node("Shape", "x", "s"), node("Gather", "s one", "t", axis=0), node("Equal", "t one", "is1"),
             node("If", "is1", "y", name="squeeze", then_branch=branch([node("Squeeze", "x ax", "a")], "a"),
                  else_branch=branch([node("Identity", "x", "b")], "b"))]
    source = model(nodes, X, "y", {"one": np.array(1), "ax": ints(1)})
    check(source, FEED, 0, shapes={"x": [2, 5, 4]})
    check(source, {"x": FEED["x"][:, :1]}, 0, shapes={"x": [2, 1, 4]})


def test_functions() -> None:
    """A model's own functions, one calling another, with attributes handed through and a default."""
    helper = onnx.helper
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    leak = helper.make_node("LeakyRelu", ["v"], ["w"])
    leak.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    inner = helper.make_function("own", "Leak", ["v"], ["w"], [leak], opsets, attributes=["slope"])
    call = helper.make_node("Leak", ["t"], ["r"], domain="own")
    call.attribute.append(onnx.AttributeProto(name="slope", ref_attr_name="s", type=onnx.AttributeProto.FLOAT))
    outer = helper.make_function("own", "Twice", ["a"], ["r"], [helper.make_node("Add", ["a", "a"], ["t"]), call],
                                 opsets, attribute_protos=[helper.make_attribute("s", 0.25)])
    nodes = [node("Twice", "x", "t", domain="own", s=0.5), node("Twice", "t", "y", domain="own")]
    made = check(model(nodes, X, "y", functions=[inner, outer], domains={"own": 1}), FEED, TOLERANCE)
    assert kinds(made) == ["Add", "Activate"] * 2
    assert [n.activation.alpha for n in made.nodes if n.op == "Activate"] == [0.5, 0.25]


def test_functions_that_call_themselves() -> None:
    helper = onnx.helper
    again = helper.make_function("own", "Again", ["a"], ["b"], [helper.make_node("Again", ["a"], ["b"], domain="own")],
                                 [helper.make_opsetid("own", 1)])
    with pytest.raises(UnsupportedError, match="functions call each other more than 32 deep"):
        imported(model([node("Again", "x", "y", domain="own")], X, "y", functions=[again], domains={"own": 1}))


def test_functions_that_double() -> None:
    """2^30 nodes out of 60: refused before they are made."""
    helper = onnx.helper
    functions = [helper.make_function("own", f"F{i}", ["a"], ["c"],
                                      [helper.make_node(f"F{i + 1}", ["a"], ["b"], domain="own"),
                                       helper.make_node(f"F{i + 1}", ["b"], ["c"], domain="own")],
                                      [helper.make_opsetid("own", 1)]) for i in range(30)]
    functions.append(helper.make_function("own", "F30", ["a"], ["c"], [helper.make_node("Relu", ["a"], ["c"])],
                                          [helper.make_opsetid("", 21)]))
    with pytest.raises(UnsupportedError, match="more than 20000 nodes"):
        imported(model([node("F0", "x", "y", domain="own")], X, "y", functions=functions, domains={"own": 1}))


def test_what_is_too_much_to_fold_is_left_to_the_run() -> None:
    """A constant of 4 GB is not made while reading; that it stays a node says so."""
    nodes = [node("Expand", "v big", "e"), node("Erf", "e", "f"), node("ReduceMax", "f", "m", keepdims=0),
             node("Mul", "x m", "y")]
    made = imported(model(nodes, X, "y", {"v": np.ones(1, np.float32), "big": ints(1 << 30)}))
    assert "Expand" in kinds(made) and "Erf" in kinds(made)


def test_folding_checks_what_it_runs() -> None:
    nodes = [node("Gather", "k i", "g", axis=0), node("Mul", "x g", "y")]
    with pytest.raises(FormatError, match=r"node 'gather_g' \(Gather\) cannot run on inputs .* out of bounds"):
        imported(model(nodes, X, "y", {"k": np.ones(3, np.float32), "i": np.array(7)}))


def test_shapes_that_cannot_fit() -> None:
    nodes = [node("MatMul", "x k", "y", name="mm")]
    with pytest.raises(FormatError, match=r"node 'mm' \(MatMul\): the inner sizes 4 and 5 differ"):
        imported(model(nodes, X, "y", {"k": np.ones((5, 2), np.float32)}))


@pytest.mark.parametrize(("place", "axis", "gone"), [(0, 1, True), (-1, -1, True), (0, 0, False), ([0], 1, False)])
def test_the_one_place_of_an_axis(place: Any, axis: int, gone: bool) -> None:
    """It is the tensor without that axis, which here takes back what was done before."""
    source = model([node("Unsqueeze", "x one", "u"), node("Gather", "u at", "g", axis=axis), node("Relu", "g", "y")],
                   {"x": ("batch",)}, "y", {"one": np.array([1]), "at": np.array(place)})
    made = check(source, {"x": np.array([1.5, -2, 3], np.float32)}, 0)
    assert (len(kinds(made)) == 1) is gone


def test_the_one_place_of_a_constant() -> None:
    source = model([node("Gather", "c at", "g", axis=0), node("Add", "x g", "y")], {"x": ("batch", 3)}, "y",
                   {"c": np.ones((1, 3), np.float32), "at": np.array(0)})
    check(source, {"x": np.zeros((2, 3), np.float32)}, 0)


def test_a_place_that_is_no_whole_number() -> None:
    source = model([node("Unsqueeze", "x one", "u"), node("Gather", "u at", "y", axis=1)], {"x": ("batch",)}, "y",
                   {"one": np.array([1]), "at": np.array(0.0, np.float32)})
    with pytest.raises(FormatError, match="Gather"):
        imported(source)
