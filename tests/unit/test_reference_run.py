"""Whole graphs through the oracle: each kind of node, lengths, states, inputs that do not fit."""

import dataclasses

import numpy as np
import pytest
from graphs import BATCH_TIME, SEQUENCE, every_node, one_node, recurrent, weights

from lstm_engine import reference
from lstm_engine.errors import ArgumentError
from lstm_engine.graph import (
    GRU,
    LSTM,
    RNN,
    SIGMOID,
    Activate,
    Activation,
    Dense,
    Embedding,
    Graph,
    Mask,
    Operator,
    Pool,
    Value,
)
from lstm_engine.graph.gates import TORCH_LSTM, reorder

RNG = np.random.default_rng(7)
X = RNG.standard_normal((4, 5, 3))
LENGTHS = np.array([5, 0, 2, 4])


def only(results):
    (array,) = results.values()
    return array


def test_a_classifier_is_what_torch_computes():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(11, 3, dtype=torch.float64)
    lstm = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True, dtype=torch.float64)
    head = torch.nn.Linear(8, 2, dtype=torch.float64)
    ids = RNG.integers(0, 11, (6, 7))
    _, (h, _) = lstm(embedding(torch.tensor(ids)))
    expected = torch.sigmoid(head(torch.cat([h[0], h[1]], dim=1))).detach().numpy()

    def stacked(*kinds):
        return np.stack([np.concatenate([reorder(getattr(lstm, f"{kind}_l0{side}").detach().numpy(), TORCH_LSTM)
                                         for kind in kinds]) for side in ("", "_reverse")])

    graph = Graph(
        (Value("ids", BATCH_TIME, "int32"),),
        (Embedding(name="e", inputs=("ids",), outputs=("x",), table=embedding.weight.detach().numpy()),
         LSTM(name="l", inputs=("x",), outputs=("", "h"), W=stacked("weight_ih"), R=stacked("weight_hh"),
              B=stacked("bias_ih", "bias_hh"), direction="bidirectional"),
         Dense(name="d", inputs=("h",), outputs=("y",), kernel=head.weight.detach().numpy().T,
               bias=head.bias.detach().numpy(), activation=SIGMOID)), ("y",))
    # Float64 on both sides, summed in another order.
    np.testing.assert_allclose(reference.run(graph, {"ids": ids})["y"], expected, rtol=1e-12)


def test_every_node_runs_and_gives_the_shapes_inferred():
    results, states = reference.run(every_node(), {"ids": [[0, 1, 6], [2, 3, 4]], "h0": weights(2, 4)},
                                    return_state=True)
    assert {name: array.shape for name, array in results.items()} == {"y": (2, 5), "state": (2, 2)}
    assert {name: {key: array.shape for key, array in state.items()} for name, state in states.items()} == {
        "lstm": {"h": (2, 2, 2), "c": (2, 2, 2)}, "gru": {"h": (2, 1, 2)},
        "projected": {"h": (2, 1, 1), "c": (2, 1, 2)}, "rnn": {"h": (2, 1, 2)}}
    np.testing.assert_allclose(results["y"].sum(axis=1), 1.0, rtol=1e-14)       # a softmax; 5 roundings
    np.testing.assert_array_equal(results["state"], states["rnn"]["h"][:, 0])


def test_a_mask_node_and_a_mask_input():
    ids = np.array([[0, 3, 0], [2, 0, 5]])
    graph = Graph((Value("ids", BATCH_TIME, "int32"),),
                  (Embedding(name="e", inputs=("ids",), outputs=("x",), table=weights(6, 3)),
                   Mask(name="m", inputs=("ids",), outputs=("mask",)),
                   recurrent(RNN, ("x", "", "", "", "mask"), ("y",))), ("y", "mask"))
    results = reference.run(graph, {"ids": ids})
    np.testing.assert_array_equal(results["mask"], [[False, True, False], [True, False, True]])
    y = results["y"]
    assert not y[0, 0].any() and (y[0, 1] == y[0, 2]).all() and (y[1, 0] == y[1, 1]).all()


@pytest.mark.parametrize("kind", ["last", "mean", "max"])
def test_pooling_sees_the_real_steps_alone(kind):
    graph = one_node(Pool(name="p", inputs=("x",), outputs=("y",), kind=kind))
    pooled = reference.run(graph, {"x": X}, lengths=LENGTHS)["y"]
    reduce = {"last": lambda rows: rows[-1], "mean": lambda rows: rows.mean(axis=0),
              "max": lambda rows: rows.max(axis=0)}
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(pooled[row], reduce[kind](X[row, :length]) if length else np.zeros(3))
    np.testing.assert_array_equal(only(reference.run(graph, {"x": X}))[0], pooled[0])


def test_lengths_reach_every_layer_and_zero_the_padding():
    graph = Graph((Value("x", SEQUENCE),),
                  (recurrent(LSTM, ("x",), ("a",), dirs=2, name="first"),
                   recurrent(GRU, ("a",), ("b", "h"), features=4, direction="reverse", name="second"),
                   Dense(name="d", inputs=("b",), outputs=("y",), kernel=weights(2, 3), bias=weights(3))), ("y", "h"))
    padded = reference.run(graph, {"x": X}, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = reference.run(graph, {"x": X[row:row + 1, :length]})
        # Another batch size may make NumPy sum a product in another order: a few roundings of float64.
        np.testing.assert_allclose(padded["y"][row, :length], alone["y"][0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(padded["h"][row], alone["h"][0], rtol=1e-12, atol=1e-14)
        assert not padded["y"][row, length:].any()


def test_a_lengths_input_goes_before_the_argument():
    node = recurrent(RNN, ("x", "n"), ("y", "h"))
    graph = one_node(node, Value("x", SEQUENCE), Value("n", ("batch",), "int32"))
    given = reference.run(graph, {"x": X, "n": LENGTHS}, lengths=np.array([5, 5, 5, 5]))
    without = one_node(dataclasses.replace(node, inputs=("x",)))
    np.testing.assert_array_equal(given["h"], reference.run(without, {"x": X}, lengths=LENGTHS)["h"])


def test_lengths_by_axis_where_there_are_two():
    def pool(name):
        return Pool(name=name, inputs=(name,), outputs=(f"last of {name}",))

    graph = Graph((Value("a", ("batch", "time", 3)), Value("b", ("batch", "other", 3))), (pool("a"), pool("b")),
                  ("last of a", "last of b"))
    results = reference.run(graph, {"a": X, "b": X}, lengths={"other": LENGTHS})
    np.testing.assert_array_equal(results["last of a"], X[:, -1])
    np.testing.assert_array_equal(results["last of b"][2], X[2, 1])
    with pytest.raises(ArgumentError, match=r"a dict by time axis: the graph has 2 \(\['other', 'time'\]\)"):
        reference.run(graph, {"a": X, "b": X}, lengths=LENGTHS)


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN])
def test_states_carry_a_sequence_over(kind):
    graph = one_node(recurrent(kind))
    whole, last = reference.run(graph, {"x": X}, return_state=True)
    first, state = reference.run(graph, {"x": X[:, :2]}, return_state=True)
    second, end = reference.run(graph, {"x": X[:, 2:]}, initial_state=state, return_state=True)
    np.testing.assert_array_equal(np.concatenate([first["y"], second["y"]], axis=1), whole["y"])
    for key, array in last["cell"].items():
        np.testing.assert_array_equal(end["cell"][key], array)


def test_a_row_of_length_0_leaves_its_state_or_zero():
    graph = one_node(recurrent(LSTM, outputs=("y", "h")))
    start = {"cell": {"h": np.ones((4, 1, 2)), "c": np.ones((4, 1, 2))}}
    results, states = reference.run(graph, {"x": X}, LENGTHS, start, True)
    assert not results["y"][1].any() and (results["h"][1] == 1).all() and (states["cell"]["c"][1] == 1).all()
    results, states = reference.run(graph, {"x": X}, LENGTHS, start, True, empty="zero")
    assert not results["h"][1].any() and results["h"][0].any()
    assert (states["cell"]["c"][1] == 1).all()                # what is carried on is the state, not what was shown


def test_states_that_are_inputs_and_outputs():
    node = recurrent(LSTM, ("x", "", "h0", "c0"), ("y", "h", "c"), dirs=2)
    graph = one_node(node, Value("x", SEQUENCE), Value("h0", ("batch", 4)), Value("c0", ("batch", 4)))
    h0, c0 = RNG.standard_normal((2, 4, 4))
    results = reference.run(graph, {"x": X, "h0": h0, "c0": c0})
    Y, Y_h, Y_c = reference.lstm(X, node.W, node.R, node.B, direction="bidirectional",
                                 initial_h=np.stack([h0[:, :2], h0[:, 2:]], axis=1),
                                 initial_c=np.stack([c0[:, :2], c0[:, 2:]], axis=1))
    np.testing.assert_array_equal(results["y"], np.concatenate([Y[:, :, 0], Y[:, :, 1]], axis=-1))
    np.testing.assert_array_equal(results["h"], np.concatenate([Y_h[:, 0], Y_h[:, 1]], axis=-1))
    np.testing.assert_array_equal(results["c"], np.concatenate([Y_c[:, 0], Y_c[:, 1]], axis=-1))
    with pytest.raises(ArgumentError, match="initial_state of 'cell': its states are already inputs of the graph"):
        reference.run(graph, {"x": X, "h0": h0, "c0": c0}, initial_state={"cell": {"h": Y_h}})


def test_operators_stay_in_float64():
    tenth = np.asarray(0.1, np.float32)
    graph = one_node(Operator(name="o", inputs=("x", ""), outputs=("y",), op_type="Mul", constants={1: tenth}))
    y = reference.run(graph, {"x": X})["y"]
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, X * np.float64(tenth))


def test_no_rows_are_legal():
    results = reference.run(every_node(), {"ids": np.zeros((0, 3), int), "h0": np.zeros((0, 4))})
    assert results["y"].shape == (0, 5)


softmax = one_node(Activate(name="a", inputs=("x",), outputs=("y",), activation=Activation("softmax")))
embedding = one_node(Embedding(name="e", inputs=("i",), outputs=("y",), table=weights(6, 3)),
                     Value("i", BATCH_TIME, "int32"))
two = Graph((Value("x", SEQUENCE), Value("z", ("batch", 3))), (recurrent(RNN),), ("y",))


@pytest.mark.parametrize("graph, inputs, options, message", [
    (softmax, {}, {}, r"inputs must be \['x'\], got \[\]"),
    (softmax, {"x": X, "z": X}, {}, r"inputs must be \['x'\], got \['x', 'z'\]"),
    (softmax, {"x": X[0]}, {}, r"input 'x' must be \[batch, time, 3\], got \[5, 3\]"),
    (softmax, {"x": X[..., :2]}, {}, r"input 'x' must be \[batch, time, 3\], got \[4, 5, 2\]"),
    (two, {"x": X, "z": X[:2, 0]}, {}, r"input 'z' must be \[batch, 3\], got \[2, 3\]"),
    (embedding, {"i": [[0, 6]]}, {}, r"node 'e': ids must be from 0 to 5, got 0 to 6"),
    (embedding, {"i": [[-1, 2]]}, {}, r"node 'e': ids must be from 0 to 5, got -1 to 2"),
    (embedding, {"i": [[2**32]]}, {}, r"input 'i' holds values beyond int32"),
    (embedding, {"i": [[1.0]]}, {}, r"input 'i' must be int32, got float64"),
    (two, {"x": X, "z": X[:, 0]}, dict(initial_state={"z": {}}), r"names no recurrent node of the graph: 'z'"),
    (two, {"x": X, "z": X[:, 0]}, dict(initial_state={"cell": {"c": X}}), r"RNN has no state \['c'\]"),
    (two, {"x": X, "z": X[:, 0]}, dict(initial_state={"cell": {"h": X}}), r"initial_h must be .* = \[4, 1, 2\]"),
    (two, {"x": X, "z": X[:, 0]}, dict(lengths=[1, 2]), r"lengths must be 4 integers, got int64 \[2\]"),
])
def test_what_does_not_fit_is_named(graph, inputs, options, message):
    with pytest.raises(ArgumentError, match=message):
        reference.run(graph, inputs, **options)
