"""Lengths that a graph itself has, against ONNX Runtime and torch: Y is 0 past the end, and what comes after it works
on these steps as on any other. Only the lengths that `predict` is given zero what is past the end.

The engine, the model saved and loaded, and the float64 reference are all held to ONNX Runtime, over a grid: what
follows the layer, the layout, the lengths, and calls that come again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.plan import Segment
from lstm_engine.reference import run

pytest.importorskip("onnxruntime")

# float32 sums of at most 8 terms through a few tanh, sigmoid and exp, in another order of summation
CLOSE = {"rtol": 1e-5, "atol": 2e-6}
HALF = np.full((1, 2, 2), 0.5, np.float32)


def weights(*shape: int) -> np.ndarray:
    return (0.5 * np.random.default_rng(shape).standard_normal(shape)).astype(np.float32)


CONSTANTS: dict[str, Any] = {
    "K": weights(3, 2), "B": weights(2) + 1, "one": np.array([1]), "zero": np.array([0]), "last": np.int64(-1),
    "W2": weights(1, 3, 3), "R2": weights(1, 3, 3), "B2": weights(1, 6) + 1, "none": np.array([], np.int64)}

# What follows the sequence s [time, batch, 3], and the value that it makes.
AFTER: dict[str, list[Any]] = {
    "nothing": [node("Identity", "s", "o")],
    "Sigmoid": [node("Sigmoid", "s", "o")],
    "Exp": [node("Exp", "s", "o")],
    "Softmax": [node("Softmax", "s", "o", axis=-1)],
    "Dense": [node("MatMul", "s K", "d"), node("Add", "d B", "o")],
    "Dense, then Sigmoid": [node("MatMul", "s K", "d"), node("Add", "d B", "e"), node("Sigmoid", "e", "o")],
    "a constant added": [node("Add", "s B2", "e"), node("Tanh", "e", "o")],
    "mean over time": [node("Sigmoid", "s", "e"), node("ReduceMean", "e zero", "o", keepdims=0)],
    "max over time": [node("Exp", "s", "e"), node("ReduceMax", "e zero", "o", keepdims=0)],
    "last step": [node("Gather", "s last", "g", axis=0), node("Sigmoid", "g", "o")],
    "a layer without lengths": [node("RNN", "s W2 R2 B2", "second", hidden_size=3), node("Squeeze", "second one", "o")],
    "a layer of the same lengths": [node("RNN", "s W2 R2 B2 l", "o", hidden_size=3)],
    "Sigmoid, then a layer of the same lengths": [node("Sigmoid", "s", "e"),
                                                  node("RNN", "e W2 R2 B2 l", "o", hidden_size=3)],
    "Exp, then a layer without lengths, backwards": [
        node("Exp", "s", "e"), node("RNN", "e W2 R2 B2", "o", hidden_size=3, direction="reverse")],
    "softmax over time": [node("Softmax", "s", "o", axis=0)],
    "the sequence beside its own sigmoid": [node("Sigmoid", "s", "e"), node("Concat", "s e", "o", axis=2)],
}


def after_layer(op: str, follows: str, batch_first: bool, direction: str = "forward") -> Any:
    """A recurrent layer with lengths `l`, then what `AFTER` says, then the layout of the input again."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    tensors = {**CONSTANTS, "W": weights(1, 3 * gates, 2), "R": weights(1, 3 * gates, 3), "Bl": weights(1, 6 * gates)}
    tensors["B2"] = tensors["B2"] if follows != "a constant added" else weights(3)
    nodes = [node("Transpose", "x", "xt", perm=[1, 0, 2])] if batch_first else [node("Identity", "x", "xt")]
    nodes += [node(op, "xt W R Bl l", "Y", hidden_size=3, direction=direction), node("Squeeze", "Y one", "s"),
              *AFTER[follows]]
    shape = ("batch", "time", 2) if batch_first else ("time", "batch", 2)
    return model(nodes, {"x": shape, "l": ("int32", ("batch",))}, "o", tensors)


def feeds(batch_first: bool) -> list[dict[str, np.ndarray]]:
    made = []
    for steps, lengths in ((4, [4, 0, 2]), (3, [1]), (4, [0, 0, 0]), (4, [4, 4, 4]), (1, [1, 0])):
        x = np.random.default_rng(steps).standard_normal((steps, len(lengths), 2)).astype(np.float32)
        x = np.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x
        made.append({"x": x, "l": np.array(lengths, np.int32)})
    return made


def engine_and_saved(source: Any, path: Any) -> tuple[le.Model, le.Model]:
    engine = le.convert(source)
    engine.save(path)
    return engine, le.load(path)


@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("follows", AFTER)
@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_what_follows_a_layer_with_lengths(op, follows, batch_first, tmp_path):
    source = after_layer(op, follows, batch_first, "reverse" if op == "GRU" else "forward")
    graph = imported(source)
    models = engine_and_saved(source, tmp_path / "m.lstm")
    wanted = [runtime_outputs(source, feed)["o"] for feed in feeds(batch_first)]
    for _ in range(3):
        for feed, want in zip(feeds(batch_first), wanted):
            for engine in models:
                np.testing.assert_allclose(engine.predict(feed), want, **CLOSE)
    for feed, want in zip(feeds(batch_first), wanted):
        np.testing.assert_allclose(run(graph, feed)["o"], want, **CLOSE)


def ones_through(*after: Any) -> np.ndarray:
    source = model([node("RNN", "x W W - l", "Y", hidden_size=2), *after], {"x": (3, 1, 2), "l": ("int32", (1,))}, "o",
                   {"W": HALF, "zero": np.array([0])})
    feed = {"x": np.ones((3, 1, 2), np.float32), "l": np.array([1], np.int32)}
    wanted = runtime_outputs(source, feed)["o"]
    made = le.convert(source).predict(feed)
    np.testing.assert_allclose(made, wanted, **CLOSE)
    return made


def test_sigmoid_of_the_steps_past_the_end_is_a_half():
    np.testing.assert_allclose(ones_through(node("Sigmoid", "Y", "o"))[:, 0, 0, 0], [0.6817, 0.5, 0.5], atol=1e-4)


def test_the_mean_over_time_counts_the_steps_past_the_end():
    made = ones_through(node("Sigmoid", "Y", "s"), node("ReduceMean", "s zero", "o", keepdims=0))
    np.testing.assert_allclose(made.ravel(), [0.5606, 0.5606], atol=1e-4)


def test_layers_that_name_the_same_lengths_are_one_segment():
    nodes = [node("LSTM", "x W0 R - l", "Y0", hidden_size=3), node("Squeeze", "Y0 one", "s0")]
    for k in (1, 2):
        nodes += [node("LSTM", f"s{k - 1} W R - l", f"Y{k}", hidden_size=3), node("Squeeze", f"Y{k} one", f"s{k}")]
    source = model(nodes, {"x": ("time", "batch", 2), "l": ("int32", ("batch",))}, "s2",
                   {"W0": weights(1, 12, 2), "W": weights(1, 12, 3), "R": weights(1, 12, 3), "one": np.array([1])})
    engine = le.convert(source)
    assert sum(isinstance(step, Segment) for step in engine._plan.steps) == 1
    for feed in feeds(batch_first=False):
        np.testing.assert_allclose(engine.predict(feed), runtime_outputs(source, feed)["s2"], **CLOSE)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_of_torch_give_the_bias_past_each_end(bidirectional):
    """pack_padded_sequence -> LSTM -> pad_packed_sequence -> Linear, as torch's exporter of ONNX writes it."""
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(2, 3, num_layers=2, batch_first=True, bidirectional=bidirectional)
            self.fc = torch.nn.Linear(3 * (1 + bidirectional), 2)

        def forward(self, x, lengths):
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=True)
            made, _ = torch.nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
            return self.fc(made)

    torch.manual_seed(0)
    module = Packed().eval()
    buffer = io.BytesIO()
    torch.onnx.export(module, (torch.zeros(3, 4, 2), torch.tensor([4, 3, 1])), buffer, dynamo=False,
                      input_names=["x", "lengths"], output_names=["o"],
                      dynamic_axes={"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}})
    engine = le.convert(onnx.load_from_string(buffer.getvalue()))
    for lengths in ([4, 2, 1], [5, 5, 1, 1], [3], [4, 2, 1]):
        x = np.random.default_rng(len(lengths)).standard_normal((len(lengths), lengths[0], 2)).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(x), torch.tensor(lengths)).numpy()
        names = list(engine.inputs)
        made = engine.predict(dict(zip(names, (x, np.array(lengths, engine.inputs[names[1]].dtype)))))
        np.testing.assert_allclose(made, wanted, **CLOSE)
        if lengths[-1] < lengths[0]:
            np.testing.assert_allclose(made[-1, -1], module.fc.bias.detach().numpy(), **CLOSE)


# ---- the lengths of the caller beside those of the graph --------------------------------------------------------

def alone(engine: le.Model, feed: Mapping[str, np.ndarray], own: list[int]) -> np.ndarray:
    """Each row by itself, without its padding; zeros behind."""
    wanted = None
    for row, length in enumerate(own):
        made = engine.predict({"x": np.ascontiguousarray(feed["x"][row:row + 1, :length]), "l": feed["l"][row:row + 1]})
        made = made.swapaxes(0, 1)
        wanted = np.zeros((len(own), feed["x"].shape[1], *made.shape[2:]), made.dtype) if wanted is None else wanted
        wanted[row, :length] = made[0]
    assert wanted is not None
    return wanted


@pytest.mark.parametrize("follows", ["nothing", "Sigmoid", "Dense", "a layer without lengths"])
def test_the_callers_lengths_cut_off_what_the_graphs_leave(follows):
    engine = le.convert(after_layer("LSTM", follows, batch_first=True))
    x = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    feed, own = {"x": x, "l": np.array([1, 3, 0], np.int32)}, [2, 3, 5]
    wanted = alone(engine, feed, own)
    np.testing.assert_allclose(engine.predict(feed, lengths=own).swapaxes(0, 1), wanted, **CLOSE)
    listed = engine.predict({"x": [row[:length] for row, length in zip(x, own)], "l": feed["l"]})
    for row, want, length in zip(listed, wanted, own):
        np.testing.assert_allclose(row.reshape(want[:length].shape), want[:length], **CLOSE)


def test_lengths_of_the_graph_past_those_of_the_caller_are_refused():
    engine = le.convert(after_layer("LSTM", "Sigmoid", batch_first=True))
    feed = {"x": np.ones((2, 5, 2), np.float32), "l": np.array([1, 4], np.int32)}
    with pytest.raises(le.ArgumentError, match="lengths 'l': row 1 is 4; expected 0 to 3, the length that predict was"):
        engine.predict(feed, lengths=[2, 3])


@pytest.mark.parametrize("lengths, message", [
    ([4, 5], r"lengths 'l': row 1 is 5; expected 0 to 4, the steps of its input"),
    ([-1, 4], r"lengths 'l': row 0 is -1; expected 0 to 4"),
    ([2, 2, 2], r"input 'l': expected shape \[2\], got \[3\]")])
def test_lengths_of_the_graph_that_do_not_fit(lengths, message):
    engine = le.convert(after_layer("GRU", "Sigmoid", batch_first=True))
    for _ in range(3):
        with pytest.raises(le.ArgumentError, match=message):
            engine.predict({"x": np.ones((2, 4, 2), np.float32), "l": np.array(lengths, np.int32)})


def test_lengths_that_the_graph_computes_are_looked_at():
    """Of another rank, number or range than the layer needs: known only when the graph runs."""
    source = model([node("Slice", "n zero t zero", "r"), node("Cast", "r", "l", to=6),
                    node("RNN", "x W W - l", "Y", hidden_size=2)],
                   {"x": ("time", "batch", 2), "n": ("int64", ("k",)), "t": ("int64", (1,))}, "Y",
                   {"W": HALF, "zero": np.array([0])})
    engine = le.convert(source)
    x = np.ones((3, 2, 2), np.float32)
    right = {"x": x, "n": np.array([3, 1]), "t": np.array([2])}
    for _ in range(3):
        np.testing.assert_allclose(engine.predict(right), runtime_outputs(source, right)["Y"], **CLOSE)
        with pytest.raises(le.ArgumentError, match=r"lengths 'l': expected shape \[2\], got \[3\]"):
            engine.predict({**right, "n": np.array([3, 1, 2]), "t": np.array([3])})
        with pytest.raises(le.ArgumentError, match="lengths 'l': row 1 is 9; expected 0 to 3"):
            engine.predict({**right, "n": np.array([3, 9])})
