"""Streams of ONNX models with windows over time: in any layout, against ONNX Runtime; their states; what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs
from streamed import cuts, in_pieces, joined, piece

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(7)
BATCH, CHANNELS, STEPS, HIDDEN = 3, 4, 13, 5
# float32 on both sides: sums of some dozen products of numbers below 1 through a handful of layers.
TOLERANCE = 5e-6


def weights(*shape: int) -> np.ndarray:
    return (0.4 * RNG.standard_normal(shape)).astype(np.float32)


TENSORS: dict[str, Any] = {
    "k": weights(CHANNELS, CHANNELS, 3), "b": weights(CHANNELS), "k2": weights(CHANNELS, CHANNELS, 2),
    "depth": weights(CHANNELS, 1, 3), "front": np.array([0, 0, 4, 0, 0, 0]), "front2": np.array([0, 0, 2, 0, 0, 0]),
    "both": np.array([0, 0, 1, 0, 0, 1]), "edge": np.array([0, 0, 2, 0, 0, 0]),
    "W": weights(1, 4 * HIDDEN, CHANNELS), "R": weights(1, 4 * HIDDEN, HIDDEN), "B": weights(1, 8 * HIDDEN),
    "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "ends": np.array([-2]), "last": np.array([-1]),
    "some": np.array([[[True], [False], [True], [False]]]), "far": np.array([2**63 - 1]),
    "least": np.array([-2**63]), "five": np.array([HIDDEN]), "step": np.array([1]), "half": np.float32(0.5)}
X = RNG.standard_normal((BATCH, CHANNELS, STEPS)).astype(np.float32)
# An LSTM behind channels-first "c", its output [batch, time, hidden] "y".
RECURRENT = [node("Transpose", "c", "t", perm=[2, 0, 1]), node("LSTM", "t W R B", "Y", hidden_size=HIDDEN),
             node("Squeeze", "Y one", "s"), node("Transpose", "s", "y", perm=[1, 0, 2])]

# Nodes from "x" [batch, channels, time] to "c" in the same order, and in multiples of how many steps they come.
CASES: dict[str, tuple[list[Any], int]] = {
    "causal pads": ([node("Conv", "x k b", "c", pads=[2, 0])], 1),
    "padded before": ([node("Pad", "x front", "p"), node("Conv", "p k b", "c", dilations=[2])], 1),
    "padded with another number": ([node("Pad", "x front2 half", "p"), node("Conv", "p k", "c")], 1),
    "padded twice": ([node("Pad", "x edge half", "p"), node("Conv", "p k b", "c", pads=[2, 0], dilations=[2])], 1),
    "padded less than it reads": ([node("Conv", "x k b", "c", pads=[1, 0])], 1),
    "no padding": ([node("Conv", "x k b", "c", auto_pad="VALID")], 1),
    "by channel": ([node("Conv", "x depth", "c", group=CHANNELS, pads=[2, 0])], 1),
    "both ends, cropped": ([node("Conv", "x k b", "w", pads=[2, 2]), node("Slice", "w zero ends two step", "c")], 1),
    "both ends, cropped later": ([node("Conv", "x k b", "w", pads=[2, 2]), node("Relu", "w", "r"),
                                  node("Slice", "r zero ends two", "c")], 1),
    "residual": ([node("Conv", "x k b", "w"), node("Slice", "x two far two", "v"), node("Add", "w v", "c")], 1),
    "residual, from the front": ([node("Conv", "x k", "w"), node("Slice", "x one last two", "v"),
                                  node("Add", "w v", "c")], 1),
    "largest": ([node("MaxPool", "x", "c", kernel_shape=[3])], 1),
    "largest, padded": ([node("MaxPool", "x", "c", kernel_shape=[3], pads=[2, 0], dilations=[1])], 1),
    "mean": ([node("AveragePool", "x", "c", kernel_shape=[2])], 1),
    "mean of padding too": ([node("AveragePool", "x", "c", kernel_shape=[3], pads=[2, 0], count_include_pad=1)], 1),
    "through another order": ([node("Pad", "x front2", "p"), node("Transpose", "p", "t0", perm=[0, 2, 1]),
                               node("Transpose", "t0", "t1", perm=[0, 2, 1]), node("Conv", "t1 k", "c")], 1),
    "over an axis more": ([node("Unsqueeze", "x last", "u"), node("Pad", "u front4", "p"),
                           node("Conv", "p k4", "w"), node("Squeeze", "w last", "c")], 1),
    "strides": ([node("Conv", "x k b", "c", strides=[2], pads=[2, 0])], 2),
    "strides, late": ([node("Conv", "x k2", "w"), node("MaxPool", "w", "c", kernel_shape=[2], strides=[2])], 2),
    "strides of both": ([node("MaxPool", "x", "w", kernel_shape=[3], strides=[3]),
                         node("Conv", "w k2", "c", strides=[2])], 6),
}
TENSORS |= {"front4": np.array([0, 0, 2, 0, 0, 0, 0, 0]), "k4": TENSORS["k"][..., None]}


def converted(nodes: list[Any], outputs: str, x: tuple = ("batch", CHANNELS, "time"), **others: Any) -> Any:
    return model(nodes, {"x": x, **others}, outputs, TENSORS)


@pytest.mark.parametrize("steps", ["time", STEPS], ids=["any steps", "fixed"])
@pytest.mark.parametrize("ends", ["conv", "lstm"])
@pytest.mark.parametrize("case", CASES)
def test_pieces_are_the_whole(case: str, ends: str, steps: Any) -> None:
    nodes, at_once = CASES[case]
    source = converted(nodes + (RECURRENT if ends == "lstm" else []), "y" if ends == "lstm" else "c",
                       ("batch", CHANNELS, steps))
    wanted, = runtime_outputs(source, {"x": X}).values()
    ours, time = le.convert(source), 1 if ends == "lstm" else 2
    for sizes in cuts(RNG, STEPS, at_once):
        x = piece(X, 2, 0, STEPS - STEPS % at_once)
        made, = in_pieces(ours, x, sizes, axis=2).values()
        whole = joined(made, time)
        assert wanted.shape[time] - (at_once > 1) <= whole.shape[time] <= wanted.shape[time], sizes
        np.testing.assert_allclose(whole, piece(wanted, time, 0, whole.shape[time]), rtol=0, atol=TOLERANCE)


def test_short_pieces_have_the_bits_of_the_whole() -> None:
    """Convolutions of few windows run in the core, where no window's sum depends on what stands beside it."""
    source = le.convert(converted(CASES["causal pads"][0] + RECURRENT, "y"))
    wanted = source.predict(X)
    for sizes in cuts(RNG, STEPS):
        np.testing.assert_array_equal(joined(in_pieces(source, X, sizes, axis=2)["y"]), wanted)


# ---- step ---------------------------------------------------------------------------------------------------

def test_steps_of_a_padded_model() -> None:
    ours = le.convert(converted(CASES["causal pads"][0] + RECURRENT, "y"))
    wanted = ours.predict(X)
    with ours.stream(BATCH) as stream:
        for t in range(STEPS):
            np.testing.assert_allclose(stream.step(X[:, :, t]), wanted[:, t], rtol=0, atol=TOLERANCE)


def test_a_step_without_an_output_is_refused_and_not_taken() -> None:
    source = converted(CASES["no padding"][0] + RECURRENT, "y")
    wanted, = runtime_outputs(source, {"x": X}).values()
    stream = le.convert(source).stream(BATCH)
    with pytest.raises(le.ArgumentError, match=r"output 'y' has its first step after 3 of the inputs.* 0 have come"):
        stream.step(X[:, :, 0])
    assert stream.run(X[:, :, :2]).shape == (BATCH, 0, HIDDEN)
    for t in range(2, STEPS):
        np.testing.assert_allclose(stream.step(X[:, :, t]), wanted[:, t - 2], rtol=0, atol=TOLERANCE)


def test_pieces_of_strided_windows_are_multiples() -> None:
    stream = le.convert(converted(CASES["strides"][0] + RECURRENT, "y")).stream(BATCH)
    with pytest.raises(le.ArgumentError, match="multiples of 2, as 'c' has strides along time, got 3"):
        stream.run(X[:, :, :3])
    with pytest.raises(le.ArgumentError, match="multiples of 2, as 'c' has strides along time; give them to run"):
        stream.step(X[:, :, 0])


# ---- states -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case", ["causal pads", "no padding", "residual", "largest, padded", "strides"])
def test_a_state_is_handed_on(case: str) -> None:
    """To another stream, at any time, also before the first output; a copy, which later steps do not change."""
    nodes, at_once = CASES[case]
    source = converted(nodes + RECURRENT, "y")
    wanted, = runtime_outputs(source, {"x": X}).values()
    ours = le.convert(source)
    for begin in range(0, STEPS - at_once, at_once):
        stream, other = ours.stream(BATCH), ours.stream(BATCH)
        before = stream.run(X[:, :, :begin])
        saved = pickle.loads(pickle.dumps(stream.state))
        size = (STEPS - begin) // at_once * at_once
        after = stream.run(piece(X, 2, begin, size))
        other.run(X[:, :, :2 * at_once])
        other.state = saved
        np.testing.assert_array_equal(other.run(piece(X, 2, begin, size)), after)
        whole = joined([before, after])
        np.testing.assert_allclose(whole, wanted[:, :whole.shape[1]], rtol=0, atol=TOLERANCE)


def test_the_past_in_a_state() -> None:
    stream = le.convert(converted(CASES["padded before"][0] + RECURRENT, "y")).stream(BATCH)
    name, = (name for name, parts in stream.state.items() if "past" in parts)
    past = stream.state[name]["past"]
    assert past.shape == (BATCH, CHANNELS, 4) and not past.any()
    stream.run(X[:, :, :3])
    np.testing.assert_array_equal(stream.state[name]["past"], np.concatenate([past[..., :1], X[..., :3]], 2))
    kept = stream.state
    for wrong, kind, message in (
            ({name: {"past": past[:, :, 1:]}}, le.ArgumentError, r"past: expected shape \[3, 4, 4\], got \[3, 4, 3\]"),
            ({name: {"past": past[:2]}}, le.ArgumentError, r"expected shape \[3, 4, 4\], got \[2, 4, 4\]"),
            ({name: {"h": past}}, le.ArgumentError, "there is no 'h'; it has past"),
            ({name: past}, le.ArgumentTypeError, "expected a dict of arrays"),
            ({name: {"past": past.astype("U1")}}, le.ArgumentTypeError, "past"),
            ({"nobody": {"past": past}}, le.ArgumentError, "'nobody'")):
        with pytest.raises(kind, match=message):
            stream.state = wrong
    for layer, parts in kept.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(stream.state[layer][part], array)


def test_pasts_of_windows_that_fill_up_must_agree() -> None:
    nodes = [node("Conv", "x k", "w"), node("Conv", "w k2", "c")]
    stream = le.convert(converted(nodes, "c")).stream(BATCH)
    stream.run(X[:, :, :5])
    state = stream.state
    first, second = state
    assert [state[name]["past"].shape[2] for name in (first, second)] == [2, 1]
    with pytest.raises(le.ArgumentError, match=f"{first!r}: expected a past of 2 steps, as 3 steps .*, got 1"):
        stream.state = {first: {"past": state[first]["past"][:, :, 1:]}, second: state[second]}
    with pytest.raises(le.ArgumentError, match="expected a past of 2 steps"):
        stream.state = {second: state[second]}
    stream.state = {}
    assert stream.run(X[:, :, :3]).shape[2] == 0 and stream.run(X[:, :, 3:5]).shape[2] == 2


def test_the_past_of_strided_windows_fills_up_in_multiples() -> None:
    """Half a piece would put all windows to come one step off."""
    stream = le.convert(converted([node("Conv", "x k b", "c", strides=[2])], "c")).stream(BATCH)
    stream.run(X[:, :, :2])
    (name, parts), = stream.state.items()
    assert parts["past"].shape[2] == 2
    with pytest.raises(le.ArgumentError, match="those of 1 steps, which come in multiples of 2 here"):
        stream.state = {name: {"past": parts["past"][:, :, 1:]}}


def test_a_shape_made_for_a_number_of_steps_is_refused() -> None:
    """A piece would begin each window anew."""
    TENSORS["apart"], TENSORS["together"] = np.array([-1, STEPS, 2, CHANNELS // 2]), np.array([-1, STEPS, CHANNELS])
    nodes = [*CASES["causal pads"][0], node("Transpose", "c", "q", perm=[0, 2, 1]), node("Reshape", "q apart", "r"),
             node("Softmax", "r", "u"), node("Reshape", "u together", "v"), node("Transpose", "v", "t", perm=[1, 0, 2]),
             *RECURRENT[1:]]
    with pytest.raises(le.UnsupportedError, match=r"\(the model says how many steps .* leaves it open\)"):
        le.convert(converted(nodes, "y", ("batch", CHANNELS, STEPS))).stream(BATCH)


def test_reset() -> None:
    ours = le.convert(converted(CASES["padded with another number"][0] + RECURRENT, "y"))
    stream = ours.stream(BATCH)
    whole = stream.run(X)
    stream.reset()
    np.testing.assert_array_equal(stream.run(X), whole)
    stream.reset(1)
    again = stream.run(X)
    np.testing.assert_array_equal(again[1], whole[1])
    assert not np.array_equal(again[0], whole[0])


def test_rows_that_begin_together_are_reset_together() -> None:
    stream = le.convert(converted(CASES["no padding"][0] + RECURRENT, "y")).stream(BATCH)
    stream.reset(1)                                     # nothing has come
    whole = stream.run(X)
    with pytest.raises(le.ArgumentError, match="begin together.* reset all of them"):
        stream.reset([0])
    stream.reset()
    np.testing.assert_array_equal(stream.run(X), whole)


def test_what_fails_takes_no_step() -> None:
    ours = le.convert(converted(CASES["causal pads"][0] + RECURRENT, "y"))
    stream, wanted = ours.stream(BATCH), ours.predict(X)
    stream.run(X[:, :, :6])
    for wrong in (X[:2, :, 6:], X[:, :3, 6:], X[:, :, 6:].astype("U1")):
        with pytest.raises((le.ArgumentError, le.ArgumentTypeError)):
            stream.run(wrong)
    np.testing.assert_allclose(stream.run(X[:, :, 6:]), wanted[:, 6:], rtol=0, atol=TOLERANCE)


def test_streams_share_what_is_packed_for_them() -> None:
    ours = le.convert(converted(CASES["causal pads"][0] + RECURRENT, "y"))
    before = ours.memory()["weights"]
    streams = [ours.stream(BATCH) for _ in range(3)]
    assert before < ours.memory()["weights"] <= 2 * before
    assert len({id(stream._runner) for stream in streams}) == 1
    copy = pickle.loads(pickle.dumps(ours))
    assert copy.memory()["weights"] == before
    np.testing.assert_array_equal(copy.stream(BATCH).run(X), streams[0].run(X))


def test_limits_hold_for_the_past() -> None:
    limits = le.Limits(memory=200_000)
    ours = le.convert(converted(CASES["causal pads"][0], "c"), limits=limits)
    with pytest.raises(le.LimitError, match="the states of 100000 sequences need"):
        ours.stream(100_000)


# ---- which axis is time -------------------------------------------------------------------------------------

def test_an_image_has_no_axis_of_time() -> None:
    TENSORS["image"] = weights(2, 1, 3, 3)
    nodes = [node("Conv", "x image", "c")]
    for shape in (("batch", 1, 8, 9), ("batch", 1, "height", "width")):
        with pytest.raises(le.UnsupportedError, match=r"nothing says which axis is time, axis 2 of 'x', axis 3 of 'x'"):
            le.convert(model(nodes, {"x": shape}, "c", TENSORS)).stream(1)
    x = RNG.standard_normal((1, 1, 8, 9)).astype(np.float32)
    for axis, shape in ((2, ("batch", 1, "time", 9)), (3, ("batch", 1, 8, "time"))):
        source = model(nodes, {"x": shape}, "c", TENSORS)
        wanted, = runtime_outputs(source, {"x": x}).values()
        made, = in_pieces(le.convert(source), x, [1, 2, 3], axis=axis).values()
        np.testing.assert_allclose(joined(made, axis), wanted, rtol=0, atol=TOLERANCE)


def test_as_many_channels_as_steps() -> None:
    source = converted(CASES["causal pads"][0] + RECURRENT, "y", (BATCH, CHANNELS, CHANNELS))
    x = X[:, :, :CHANNELS]
    wanted, = runtime_outputs(source, {"x": x}).values()
    made, = in_pieces(le.convert(source), x, [1, 2], axis=2).values()
    np.testing.assert_allclose(joined(made), wanted, rtol=0, atol=TOLERANCE)


# ---- refused ------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[list[Any], str]] = {
    "steps to come": ([node("Conv", "x k b", "c", pads=[1, 1])],
                      r"output 'c' needs steps to come: node 'conv_c' \(Conv\) pads 1 steps at the end.*pads \[2, 0\]"),
    "same": ([node("Conv", "x k b", "c", auto_pad="SAME_UPPER")], "pads 1 steps at the end"),
    "padded behind": ([node("Pad", "x both", "p"), node("Conv", "p k b", "c")],
                      r"'pad_p' \(Pad\) pads 1 steps at the end"),
    "means of fewer at first": ([node("AveragePool", "x", "c", kernel_shape=[3], pads=[2, 0])],
                                r"'averagepool_c' \(AveragePool\) averages fewer steps in its first windows"),
    "where the largest stand": ([node("MaxPool", "x", "c i", kernel_shape=[3])], r"works across time"),
    "an edge repeated": ([node("Pad", "x edge", "p", mode="edge"), node("Conv", "p k", "c")],
                         r"'pad_p' \(Pad\) pads the steps by 2 and 0 in mode 'edge'"),
    "from the middle": ([node("Slice", "x one two two", "v"), node("Conv", "v k", "c", pads=[2, 0])],
                        r"\(Slice\) picks steps by where they stand"),
    "from far on": ([node("Slice", "x far least two", "c")], r"\(Slice\) keeps more than 1099511627776 steps"),
    "a first state, which is no state of windows": (
        [node("Conv", "x k b", "c0", pads=[2, 0]), node("Transpose", "c0", "t", perm=[2, 0, 1]),
         node("Shape", "x", "rows", start=0, end=1), node("Concat", "one rows five", "size", axis=0),
         node("Expand", "half size", "h0"), node("LSTM", "t W R B - h0 h0", "c", hidden_size=HIDDEN)],
        r"pair explicit states: stream\(states=.*, of inputs none and outputs none"),
    "shares of the number of steps": ([node("Conv", "x k", "w"), node("Shape", "x", "n", start=2, end=3),
                                       node("Cast", "n", "f", to=1), node("Div", "w f", "c")],
                                      r"'div_c' \(Div\) works with the number of steps of the whole sequence"),
    "shares of them at once": ([node("Conv", "x k", "w", pads=[2, 0]), node("Shape", "x", "n", start=2, end=3),
                                node("Cast", "n", "f", to=1), node("Div", "w f", "c")],
                               r"'div_c' \(Div\) works with the number of steps of the whole sequence"),
    "every second": ([node("Slice", "x zero far two two", "v"), node("Conv", "v k", "c")], "picks steps by where"),
    "apart in time": ([node("Conv", "x k", "w"), node("Conv", "x k2", "v"), node("Slice", "v zero last two", "u"),
                       node("Add", "w x", "q"), node("Add", "u q", "c")],
                      r"'add_q' \(Add\) puts together steps of 'x' and 'w' that are 2 apart in time; crop the first 2 "
                      "steps of 'x'"),
    "another number in front": ([node("Pad", "x front2", "p"), node("Relu", "p", "r"), node("Conv", "r k", "c")],
                                r"'relu_r' \(Relu\) takes padding that stands in front of 'p'"),
    "others in front of some channels": ([node("Pad", "x front2", "p"), node("Where", "some p half", "r"),
                                          node("Conv", "r k", "c")],
                                         r"'where_r' \(Where\) takes padding that stands in front of 'p'"),
    "strides behind": ([node("Conv", "x k", "c", strides=[2], pads=[0, 1])], "takes windows every 2 steps and pads"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str) -> None:
    nodes, message = REFUSED[case]
    with pytest.raises(le.UnsupportedError, match="cannot run step by step.*(" + message + ")"):
        le.convert(converted(nodes, "c")).stream(BATCH)


def test_a_window_whose_weight_comes_with_a_run() -> None:
    """Constant over all steps, it goes into every call."""
    source = converted([node("Conv", "x kernel", "c", pads=[2, 0])], "c", kernel=(CHANNELS, CHANNELS, 3))
    feeds = {"x": X, "kernel": TENSORS["k"]}
    wanted, = runtime_outputs(source, feeds).values()
    stream = le.convert(source).stream(BATCH)
    made = [stream.run({"x": X[:, :, t:t + 3], "kernel": TENSORS["k"]}) for t in range(0, STEPS, 3)]
    np.testing.assert_allclose(joined(made, 2), wanted, rtol=0, atol=TOLERANCE)


# ---- what a graph asks of the number of steps ---------------------------------------------------------------

def guarded(condition: list[Any], conv: str = "x k b") -> Any:
    """A convolution that fails unless "holds" does, as exporters write it: an index of one element."""
    return converted([node("Conv", conv, "w"), node("Shape", "x", "steps", start=2, end=3), *condition,
                      node("Not", "holds", "not"), node("Cast", "not", "index", to=7),
                      node("Squeeze", "index zero", "which"), node("Gather", "unit which", "factor"),
                      node("Mul", "w factor", "c")], "c")


TENSORS |= {"unit": np.ones(1, np.float32), "four": np.array([4]), "none": np.array([0])}
HOLDS = {
    "at least": [node("GreaterOrEqual", "steps four", "holds")],
    "less than": [node("Less", "four steps", "holds")],
    "another": [node("Sub", "steps one", "fewer"), node("Equal", "fewer one", "same"), node("Not", "same", "holds")],
    "half of them": [node("Mod", "steps two", "odd"), node("Sub", "steps odd", "even"), node("Div", "even two", "hs"),
                     node("Add", "hs one", "more"), node("Greater", "more two", "holds")],
    "both": [node("Greater", "steps one", "p"), node("Greater", "steps two", "q"), node("And", "p q", "holds")],
    "either": [node("Less", "steps two", "p"), node("Greater", "steps two", "q"), node("Or", "p q", "holds")],
}
MAY_NOT = {
    "at most": [node("LessOrEqual", "steps four", "holds")],
    "even": [node("Mod", "steps two", "odd"), node("Equal", "odd none", "holds")],
    "fewer than none": [node("Sub", "four steps", "left"), node("Less", "left none", "holds")],
    "one of two": [node("Greater", "steps one", "p"), node("Less", "steps four", "q"), node("And", "p q", "holds")],
}


@pytest.mark.parametrize("case", HOLDS)
def test_what_holds_for_all_long_sequences_holds_in_a_stream(case: str) -> None:
    source = guarded(HOLDS[case])
    wanted, = runtime_outputs(source, {"x": X}).values()
    for sizes in cuts(RNG, STEPS):
        made, = in_pieces(le.convert(source), X, sizes, axis=2).values()
        np.testing.assert_allclose(joined(made, 2), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("case", MAY_NOT)
def test_what_may_fail_again_is_refused(case: str) -> None:
    with pytest.raises(le.UnsupportedError, match="works with the number of steps of the whole sequence"):
        le.convert(guarded(MAY_NOT[case])).stream(BATCH)


def test_normalised_channels_keep_lengths_apart() -> None:
    """A BatchNormalization works on channels alone, so steps may end at different places."""
    TENSORS["scale"], TENSORS["spread"] = np.abs(weights(CHANNELS)), np.abs(weights(CHANNELS)) + 1
    source = converted([node("BatchNormalization", "x scale b b spread", "c"), *RECURRENT], "y")
    lengths = [STEPS, 4, 9]
    made = le.convert(source).predict(X, lengths=lengths)
    for row, length in enumerate(lengths):
        alone, = runtime_outputs(source, {"x": X[row:row + 1, :, :length]}).values()
        np.testing.assert_allclose(made[row, :length], alone[0], rtol=0, atol=TOLERANCE)
        assert not made[row, length:].any()
