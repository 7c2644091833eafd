"""Every way in which a spec lays arrays out, against NumPy, and packed layers, against torch."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers.arrays import expressions as limits
from lstm_engine.importers.arrays.draft import draft_spec
from lstm_engine.importers.arrays.expressions import Expressions
from lstm_engine.importers.arrays.spec import graph_from_spec
from lstm_engine.importers.reading.weights import Entry, Weights
from lstm_engine.operators import validate
from lstm_engine.reference import run

RNG = np.random.default_rng(0)
A, V, N = RNG.standard_normal((4, 6)).astype("f4"), RNG.standard_normal(6).astype("f4"), np.arange(6, dtype="i8")
U, H = np.uint8([3, 15]), np.float16([60000])
ARRAYS = {"a": A, "v": V, "i": N, "d": A.astype("f8"), "one": np.float32([2.0]), "u": U, "h": H, "t": np.array([True])}


def weights(arrays=ARRAYS):
    return Weights({name: Entry(a.shape, a.dtype.name, lambda a=a: a) for name, a in arrays.items()})


def evaluate(expression, **more):
    return Expressions(weights()).evaluate("here", expression, **more)


@pytest.mark.parametrize("expression, expected", [
    ({"slice": "a", "axis": 1, "start": 2, "stop": 5}, A[:, 2:5]),
    ({"slice": "a", "start": 3}, A[3:]), ({"slice": "a", "stop": 0}, A[:0]), ({"slice": "a"}, A),
    ({"split": "a", "axis": 1, "parts": 3, "part": 2}, A[:, 4:]), ({"split": "a", "parts": 4, "part": 0}, A[:1]),
    ({"permute": "a", "axes": [1, 0]}, A.T), ({"permute": {"reshape": "a", "shape": [2, 2, 6]}, "axes": [2, 0, 1]},
                                              A.reshape(2, 2, 6).transpose(2, 0, 1)),
    ({"reshape": "a", "shape": [2, 12]}, A.reshape(2, 12)), ({"reshape": "one", "shape": []}, np.float32(2)),
    ({"flip": "a"}, A[::-1]), ({"flip": "a", "axis": 1}, A[:, ::-1]),
    ({"add": ["i", {"value": [2**62], "dtype": "int64"}]}, N + 2**62), ({"multiply": ["u", "u"]}, U * U),
    ({"add": ["one", {"value": [[1]]}]}, np.float32([[3]])), ({"multiply": ["one", {"value": []}]}, np.zeros(0, "f4")),
    ({"add": ["h", "h"]}, H.astype("f4") * 2),
    ({"add": ["v", "v", {"value": 1}]}, V + V + 1), ({"multiply": ["a", "one"]}, A * np.float32(2)),
    ({"multiply": ["one", "a"]}, A * np.float32(2)), ({"add": ["a", "d"]}, A + A.astype("f8")),
    ({"concat": ["a", "a"], "axis": 1}, np.concatenate([A, A], 1)), (["v", "v"], np.stack([V, V])),
    ({"value": [[1, 2.5]]}, np.float32([[1, 2.5]])), ({"value": 3, "dtype": "int64"}, np.int64(3)),
    ({"value": [], "dtype": "int64"}, np.zeros(0, "i8")), ({"value": [True], "dtype": "bool"}, np.array([True])),
    ({"tensor": {"slice": {"tensor": "a", "transpose": True}, "stop": 4}, "gates": "ifco"}, A.T[[0, 3, 1, 2]]),
], ids=str)
def test_what_numpy_makes(expression, expected):
    found = evaluate(expression, numbers=any(f"'{name}'" in str(expression) for name in "iu"))
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.flags.c_contiguous


def test_integers_are_for_constants_alone():
    np.testing.assert_array_equal(evaluate({"slice": "i", "stop": 2}, numbers=True), N[:2], strict=True)
    with pytest.raises(UnsupportedError, match="tensor 'i' is int64; weights must be one of"):
        evaluate({"slice": "i", "stop": 2})
    both = Expressions(weights())
    both.evaluate("here", {"slice": "i"}, numbers=True)
    with pytest.raises(UnsupportedError, match="tensor 'i' is int64; weights must be one of"):       # also if kept
        both.evaluate("here", {"slice": "i"})


@pytest.mark.parametrize("expression, message", [
    ({"add": ["u", {"value": [250, 250], "dtype": "uint8"}]}, "add gives a number that is beyond uint8"),
    ({"multiply": ["u", "u", "u"]}, "multiply gives a number that is beyond uint8"),
    ({"add": [{"value": 2**62, "dtype": "int64"}] * 2}, "add gives a number that is beyond int64"),
    ({"multiply": [{"value": -2**40, "dtype": "int64"}] * 2}, "multiply gives a number that is beyond int64"),
    ({"multiply": [{"value": 3037000500, "dtype": "int64"}] * 2}, "multiply gives a number that is beyond int64"),
    ({"add": [{"value": 2**31 - 1, "dtype": "int32"}, {"value": 1, "dtype": "int32"}]},
     "add gives a number that is beyond int32"),
    ({"add": ["t", "t"]}, "add of bool and bool"),
    ({"add": ["i", {"value": 1, "dtype": "uint8"}]}, "add of int64 and uint8"),
    ({"concat": ["i", "v"]}, "arrays of float32 and int64 cannot be joined"),
    ({"concat": ["t", "u"]}, "arrays of bool and uint8 cannot be joined"),
    (["i", {"slice": "v"}], "arrays of float32 and int64 cannot be joined"),
])
def test_whole_numbers_neither_wrap_nor_become_others(expression, message):
    with pytest.raises(FormatError) as caught:
        evaluate(expression, numbers=True)
    assert str(caught.value) == f"spec: here: {message}"


def test_the_largest_whole_numbers_are_right():
    """Nearest to where they would wrap, but for the last 2^13, which float64 does not tell from beyond."""
    value = {"value": [2**63 - 2**14], "dtype": "int64"}
    found = evaluate({"add": [value, {"value": [2], "dtype": "int64"}]}, numbers=True)
    assert found.tolist() == [2**63 - 2**14 + 2]


def test_infinity_is_for_constants_alone():
    assert evaluate({"value": float("-inf")}, numbers=True) == -np.inf
    for number in ("inf", "nan"):
        with pytest.raises(FormatError, match='"value" holds a number that is not finite, which no weight is'):
            evaluate({"value": float(number)})


@pytest.mark.parametrize("expression, message", [
    ({"slice": "a", "axis": 2}, '"axis" must be a whole number from 0 to 1, got 2'),
    ({"slice": "a", "axis": -1}, '"axis" must be a whole number from 0 to 1, got -1'),
    ({"slice": "a", "start": True}, '"start" must be a whole number from 0 to 4, got True'),
    ({"slice": "a", "start": 3, "stop": 2}, "the slice from 3 to 2 ends before it begins"),
    ({"slice": "a", "stop": 5}, '"stop" must be a whole number from 0 to 4, got 5'),
    ({"slice": {"value": 1}}, "slice of an array without axes"),
    ({"split": "a", "parts": 3, "part": 0}, "4 elements cannot be split into 3 equal parts"),
    ({"split": "a", "parts": 0, "part": 0}, "4 elements cannot be split into 0 equal parts"),
    ({"split": "a", "parts": 2, "part": 2}, '"part" must be a whole number from 0 to 1, got 2'),
    ({"split": "a", "parts": 2}, '"part" must be a whole number from 0 to 1, got None'),
    ({"permute": "a", "axes": [0, 0]}, '"axes" must be the 2 axes of [4, 6] in some order, got [0, 0]'),
    ({"permute": "a", "axes": ["0", "1"]}, '"axes" must be the 2 axes of [4, 6] in some order, got [\'0\', \'1\']'),
    ({"reshape": "a", "shape": [5, 5]}, '"shape" must be a list of sizes of 24 elements in all, got [5, 5]'),
    ({"reshape": "a", "shape": [-1]}, '"shape" must be a list of sizes of 24 elements in all, got [-1]'),
    ({"add": ["a", "v"]}, "add of [4, 6] and [6]"),
    ({"add": ["v", {"value": [[1]]}]}, "add of [6] and [1, 1]"),
    ({"multiply": [{"value": [[1]]}, "v"]}, "multiply of [1, 1] and [6]"),
    ({"multiply": ["v", {"slice": "v", "stop": 0}]}, "multiply of [6] and [0]"),
    ({"add": [{"value": 3e38}] * 2}, "add gives a number that is beyond float32"),
    ({"multiply": ["v", {"value": 3e38}, {"value": 3e38}]}, "multiply gives a number that is beyond float32"),
    ({"add": [{"value": 1, "dtype": "int64"}, "v"]}, "add of int64 and float32"),
    ({"concat": ["a", "a"], "axis": 3}, "arrays of [[4, 6], [4, 6]] cannot be joined"),
    ({"value": [[1], [1, 2]]}, '"value" must be a number, or lists of numbers of one length on each level'),
    ({"value": [1.5], "dtype": "int64"}, '"value" must hold numbers of int64'),
    ({"value": [True]}, '"value" must hold numbers of float32'),
    ({"value": 1e39}, '"value" holds a number that is beyond float32'),
    ({"value": 2**70, "dtype": "int64"}, '"value" holds a number that is beyond int64'),
    ({"value": 10**400}, '"value" holds a number that is beyond float32'),
    ({"value": 1, "dtype": "object"}, '"dtype" must be one of float32, float64, int64, int32, uint8, bool, got '
                                      "'object'"),
    ({"value": [[0] * 300] * 300}, '"value" holds more than 65536 numbers; put them into the file'),
])
def test_what_cannot_be(expression, message):
    with pytest.raises(FormatError) as caught:
        evaluate(expression)
    assert str(caught.value) == f"spec: here: {message}"


@pytest.mark.parametrize("expression", [{"slice": "a", "zeros": 1}, {"add": []}, {"add": "a"}, {"value": 1, "axis": 0},
                                        {"flip": "a", "start": 1}, {}, {"unknown": "a"}])
def test_keys_that_do_not_go_together(expression):
    with pytest.raises(FormatError, match="must be the name of an array"):
        evaluate(expression)


def test_what_is_made_is_counted(monkeypatch):
    monkeypatch.setattr(limits, "FREE_BYTES", 0)
    with pytest.raises(FormatError, match="the spec makes more than 0 MiB and 16 times the arrays of the file"):
        evaluate({"concat": [{"multiply": ["a", "one"]}] * 100})


# ---- packed layers ---------------------------------------------------------------------------------------------

def graph_of(arrays, *nodes):
    spec = {"inputs": [{"name": "x", "shape": ["batch", "time", 5], "dtype": "float64"}], "nodes": list(nodes)}
    return validate(graph_from_spec(spec, weights(arrays)))


def check(graph, module, x):
    """1e-12: the same float64 sums in another order."""
    found = run(graph, {"x": x.numpy()})[graph.outputs[0]]
    assert np.abs(found - module(x)[0].detach().numpy()).max() <= 1e-12


def torch_layer(kind, *sizes, **more):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(*sizes, batch_first=True, **more).double()
    return module, torch.randn(3, 7, 5, dtype=torch.float64), {
        name: value.detach().numpy() for name, value in module.state_dict().items()}


def test_joined_kernels_of_tensorflow_1():
    """The same weights with the columns moved, the forget bias taken off: what a BasicLSTMCell would have kept."""
    module, x, state = torch_layer("LSTM", 5, 4)
    i, f, j, o = (np.arange(4) + 4 * gate for gate in range(4))
    order = np.concatenate([i, j, f, o])
    kernel = np.concatenate([state["weight_ih_l0"], state["weight_hh_l0"]], 1).T[:, order]
    bias = (state["bias_ih_l0"] + state["bias_hh_l0"])[order] - np.repeat([0, 0, 1.0, 0], 4)
    record = {"op": "LSTM", "name": "l", "tf1": {"kernel": "k", "bias": "b", "forget_bias": 1.0}}
    check(graph_of({"k": kernel, "b": bias}, record), module, x)
    # The same by hand.
    def half(start, stop):
        return [{"tensor": {"slice": {"tensor": "k", "transpose": True}, "axis": 1, "start": start, "stop": stop},
                 "gates": "icfo"}]
    added = {"add": ["b", {"value": [0.0] * 8 + [1.0] * 4 + [0.0] * 4, "dtype": "float64"}]}
    zeros = {"multiply": ["b", {"value": 0.0, "dtype": "float64"}]}
    check(graph_of({"k": kernel, "b": bias}, {
        "op": "LSTM", "name": "l", "W": half(0, 5), "R": half(5, 9),
        "B": [{"concat": [{"tensor": added, "gates": "icfo"}, zeros]}]}), module, x)


def test_gru_of_tensorflow_1():
    """Against its own equations: r, u = sigmoid([x, h] G + g); c = tanh([x, r h] K + k); h' = u h + (1 - u) c."""
    rng = np.random.default_rng(1)
    arrays = {"g": rng.standard_normal((9, 8)), "gb": rng.standard_normal(8), "c": rng.standard_normal((9, 4)),
              "cb": rng.standard_normal(4)}
    graph = graph_of(arrays, {"op": "GRU", "name": "g", "tf1": {
        "gates_kernel": "g", "gates_bias": "gb", "candidate_kernel": "c", "candidate_bias": "cb"}})
    x, h, outputs = rng.standard_normal((2, 6, 5)), np.zeros((2, 4)), []
    for step in range(6):
        r, u = np.split(1 / (1 + np.exp(-(np.concatenate([x[:, step], h], 1) @ arrays["g"] + arrays["gb"]))), 2, 1)
        c = np.tanh(np.concatenate([x[:, step], r * h], 1) @ arrays["c"] + arrays["cb"])
        h = u * h + (1 - u) * c
        outputs.append(h)
    assert np.abs(run(graph, {"x": x})["g"] - np.stack(outputs, 1)).max() <= 1e-12


@pytest.mark.parametrize("op, gates", [("LSTM", "zrh"), ("LSTM", "h"), ("GRU", "ifco"), ("RNN", "rzh")])
def test_an_order_of_gates_of_another_cell(op, gates):
    """12 rows are four gates of three units and three gates of four."""
    arrays = {"w": np.zeros((1, 12, 5)), "r": np.zeros((12, 3))}
    with pytest.raises(FormatError) as caught:
        graph_of(arrays, {"op": op, "name": "l", "W": "w",
                          "R": [{"tensor": {"flip": {"tensor": "r", "gates": gates}}}]})
    assert str(caught.value) == f"spec: nodes[0] ('l', {op}): R: \"gates\" of {op} are the letters " \
                                f"{ {'LSTM': 'ifco', 'GRU': 'rzh', 'RNN': 'h'}[op]}, got {gates!r}"


def test_every_layer_of_a_buffer_has_a_node():
    buffer = {"w": np.zeros(2 * (16 * 9 + 32))}
    said = {"buffer": "w", "features": 5, "hidden": 4, "layers": 2}
    with pytest.raises(FormatError, match="^spec: nodes.0. .*need 336 numbers, 'w' has 352$"):
        graph_of(buffer, {"op": "LSTM", "name": "l", "cudnn": said | {"layer": 0}})
    buffer = {"w": np.zeros(336)}
    for layers, left in (((0,), 1), ((1, 1), 0)):
        with pytest.raises(FormatError, match=f"^spec: no node takes layer {left} of the 2 in cuDNN's buffer 'w'$"):
            graph_of(buffer, *({"op": "LSTM", "name": f"l{layer}", "cudnn": said | {"layer": layer}}
                               for layer in layers))
    # One layer that reads 15 features has as many numbers.
    other = {"buffer": "w", "features": 15, "hidden": 4, "layers": 1, "layer": 0, "bidirectional": False}
    with pytest.raises(FormatError, match="another node says of the buffer 'w' that it is .'LSTM', 5, 4, 2, False"):
        graph_of({"w": np.zeros(336)}, {"op": "LSTM", "name": "a", "cudnn": said | {"layer": 0}},
                 {"op": "LSTM", "name": "b", "cudnn": other})


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_draft_of_keras_layers_for_cudnn(kind):
    """Keras kept cuDNN's matrices, [units, in] of each gate, under the sizes [in, units], and two biases: told by the
    length of these. Against torch, which runs what cuDNN runs."""
    module, x, state = torch_layer(kind, 5, 4)
    order = [0, 1, 2, 3] if kind == "LSTM" else [1, 0, 2]                    # Keras' z, r, h of torch's r, z, h
    def laid(name):
        gates = np.split(state[name], len(order))
        return np.concatenate([gates[gate].reshape(gates[gate].shape[::-1]) for gate in order], 1)
    def biases(name):
        return np.concatenate([np.split(state[name], len(order))[gate] for gate in order])
    arrays = {"l/kernel": laid("weight_ih_l0"), "l/recurrent_kernel": laid("weight_hh_l0"),
              "l/bias": np.concatenate([biases("bias_ih_l0"), biases("bias_hh_l0")])}
    spec = draft_spec(weights(arrays))
    assert [node["op"] for node in spec["nodes"]] == [kind] and spec["inputs"][0]["shape"][-1] == 5
    check(validate(graph_from_spec(spec, weights(arrays))), module, x)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("both", [False, True])
def test_buffers_of_cudnn(kind, both):
    """torch's flat weights are cuDNN's buffer: all matrices, then all biases."""
    module, x, state = torch_layer(kind, 5, 4, 3, bidirectional=both)
    names = [name for matrices in (True, False) for group in module._all_weights for name in group
             if name.startswith("weight") == matrices]
    buffer = np.concatenate([state[name].ravel() for name in names])
    said = {"buffer": "w", "features": 5, "hidden": 4, "layers": 3, "bidirectional": both}
    more = {"activations": [["tanh"]] * (1 + both)} if kind == "RNN" else {}
    graph = graph_of({"w": buffer}, *({"op": kind, "name": f"l{layer}", "cudnn": said | {"layer": layer}, **more}
                                      for layer in range(3)))
    check(graph, module, x)
    with pytest.raises(FormatError, match=r"3 layer\(s\) of .* need \d+ numbers, 'w' has"):
        graph_of({"w": buffer[:-1]}, {"op": kind, "name": "l", "cudnn": said | {"layer": 0}})


K = {"k": np.zeros((9, 16)), "b": np.zeros(16)}
TF1 = {"kernel": "k", "bias": "b", "forget_bias": 1.0}


@pytest.mark.parametrize("record, message", [
    ({"op": "LSTM", "tf1": {"kernel": "k", "bias": "b"}}, "tf1: 'forget_bias' is missing"),
    ({"op": "LSTM", "tf1": TF1 | {"forget_bias": "1"}}, "tf1: \"forget_bias\" must be a number, got '1'"),
    ({"op": "LSTM", "tf1": TF1 | {"w": "k"}}, "tf1: unknown key 'w'; known: kernel, bias, forget_bias"),
    ({"op": "LSTM", "tf1": TF1 | {"bias": "k"}}, "tf1: 'k' must have 1 axes, got [9, 16]"),
    ({"op": "LSTM", "tf1": TF1, "direction": "bidirectional"}, "a cell of TensorFlow 1 has one direction; give two "
                                                               "nodes"),
    ({"op": "LSTM", "tf1": TF1, "W": "k"}, '"tf1" stands for W, R, B, P, projection; give one or the other'),
    ({"op": "LSTM", "tf1": TF1, "torch": ""}, '"torch" stands for W, R, B, P, projection, tf1; give one or the other'),
    ({"op": "LSTM", "tf1": []}, '"tf1" must be an object, got a list'),
    ({"op": "RNN", "tf1": TF1}, '"tf1" is for LSTM and GRU'),
    ({"op": "GRU", "tf1": {"gates_kernel": "k", "gates_bias": "b", "candidate_kernel": "k", "candidate_bias": "b"}},
     "tf1: gates [I + H, 2 H] and [2 H], candidate [I + H, H] and [H], got [[9, 16], [16], [9, 16], [16]]"),
    ({"op": "LSTM", "cudnn": {"buffer": "b", "features": 5, "hidden": 4, "layers": 1, "layer": 1}},
     "cudnn: layer 1 of 1, which are counted from 0"),
    ({"op": "LSTM", "cudnn": {"buffer": "b", "features": 5, "hidden": 0, "layers": 1, "layer": 0}},
     "cudnn: 'hidden' must be a whole number, got 0"),
    ({"op": "LSTM", "cudnn": {"buffer": "k", "features": 5, "hidden": 4, "layers": 1, "layer": 0}},
     "cudnn: \"buffer\" must name an array of one axis, got 'k'"),
])
def test_packed_layers_that_do_not_fit(record, message):
    with pytest.raises(FormatError) as caught:
        graph_of(K, {"name": "l", **record})
    assert str(caught.value) == f"spec: nodes[0] ('l', {record['op']}): {message}"


def test_a_net_of_operators_with_several_inputs_and_outputs():
    """Operators are named by `op_type`, their integers stand in the spec; against NumPy."""
    spec = {"inputs": [{"name": "x", "shape": ["batch", "time", 6]}, {"name": "y", "shape": ["batch", "time", 6]}],
            "nodes": [
                {"op": "Operator", "name": "cut", "op_type": "Split", "attributes": {"axis": 2, "num_outputs": 2},
                 "inputs": ["x"], "outputs": ["left", "right"]},
                {"op": "Operator", "name": "part", "op_type": "Slice", "inputs": ["y", "", "", ""], "outputs": ["p"],
                 "constants": {"1": {"value": [0], "dtype": "int64"}, "2": {"value": [3], "dtype": "int64"},
                               "3": {"value": [2], "dtype": "int64"}}},
                {"op": "Operator", "name": "sum", "op_type": "Add", "inputs": ["left", "p"], "outputs": ["s"]},
                {"op": "Operator", "name": "scale", "op_type": "Mul", "inputs": ["right", ""], "outputs": ["t"],
                 "constants": {"1": {"slice": "v", "stop": 3}}},
                {"op": "Operator", "name": "pick", "op_type": "Gather", "attributes": {"axis": 2},
                 "inputs": ["t", ""], "outputs": ["u"], "constants": {"1": {"slice": "i", "stop": 2}}}],
            "outputs": ["s", "u"], "ignore": ["a", "d", "one", "u", "h", "t"]}
    graph = validate(graph_from_spec(spec, weights()))
    x, y = RNG.standard_normal((2, 2, 4, 6)).astype("f4")
    found = run(graph, {"x": x, "y": y})
    np.testing.assert_allclose(found["s"], x[..., :3] + y[..., :3], rtol=1e-6)           # float32 against float64
    np.testing.assert_allclose(found["u"], (x[..., 3:] * V[:3])[..., :2], rtol=1e-6)
