"""Lengths and streams: past its end a row has 0 and nothing reads it; what cannot keep to that is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node

import lstm_engine as le

pytest.importorskip("onnx")

RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    "W": RNG.standard_normal((1, 3, 3)).astype(np.float32), "R": RNG.standard_normal((1, 3, 3)).astype(np.float32),
    "one": np.array([1]), "two": np.array([2]), "zero": np.array([0]), "ones": np.ones((3, 1), np.float32)}
RNN = [node("RNN", "x W R", "Y h", hidden_size=3), node("Squeeze", "Y one", "s")]       # s [time, batch, 3], h [1, ...]
X = RNG.standard_normal((4, 2, 3)).astype(np.float32)
LENGTHS = [2, 4]
PAST = np.arange(4)[:, None] >= np.array(LENGTHS)                                       # [time, batch]


def converted(nodes: list[Any], outputs: str = "y", x: tuple = ("time", "batch", 3), **inputs: tuple) -> le.Model:
    return le.convert(model(RNN + nodes, {"x": x, **inputs}, outputs, TENSORS))


APART = {
    "in the middle": [node("Transpose", "s", "y", perm=[1, 2, 0])],
    "beside the last state": [node("Add", "s h", "y")],
    "gathered from a table": [node("Cast", "x", "i", to=7), node("Sub", "i i", "k"),
                              node("Gather", "ones k", "g", axis=0), node("Squeeze", "g last", "t"),
                              node("Add", "s t", "y")],
    "what is not 0 at 0": [node("Cos", "s", "y")],
    "steps by the last state": [node("Transpose", "s", "b", perm=[1, 0, 2]),
                                node("Transpose", "h", "c", perm=[1, 2, 0]), node("MatMul", "b c", "y")],
}
TENSORS["last"] = np.array([-1])


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("case", APART)
def test_past_the_end_is_0_and_read_by_nothing(case: str, fixed: bool) -> None:
    engine = converted(APART[case], x=(4, 2, 3) if fixed else ("time", "batch", 3))
    got = engine.predict(X, lengths=LENGTHS)
    filled = np.where(PAST[:, :, None], np.float32(7), X)                  # other numbers past the end
    np.testing.assert_array_equal(got, engine.predict(filled, lengths=LENGTHS))
    free = converted(APART[case])
    for row, length in enumerate(LENGTHS):
        alone = free.predict(X[:length, row:row + 1])
        rows, time = (0, alone.ndim - 1) if case == "in the middle" else (0, 1) if "by" in case else (1, 0)
        own = np.moveaxis(got, (rows, time), (0, 1))[row]
        # The same sums, perhaps in a product of another shape.
        np.testing.assert_allclose(own[:length], np.moveaxis(alone, (rows, time), (0, 1))[0], rtol=0, atol=1e-6)
        assert len(own) == 4 and not own[length:].any()


ACROSS = {
    "a sequence of a length of its own": ([node("Add", "s other", "y")], {"other": ("steps", "batch", 3)}, "Add"),
    "joined with one": ([node("Concat", "s other", "y", axis=2)], {"other": ("steps", "batch", 3)}, "Concat"),
    "steps by steps": ([node("Transpose", "s", "b", perm=[1, 0, 2]), node("Transpose", "s", "c", perm=[1, 2, 0]),
                        node("MatMul", "b c", "p"), node("MatMul", "p b", "y")], {}, "MatMul"),
    "the sum over time": ([node("ReduceSum", "s zero", "y")], {}, "ReduceSum"),
}


@pytest.mark.parametrize("case", ACROSS)
def test_steps_that_meet_are_refused(case: str) -> None:
    nodes, others, op = ACROSS[case]
    engine = converted(nodes, **others)
    feeds = {"x": X, **dict.fromkeys(others, X)}
    with pytest.raises(le.UnsupportedError, match=rf"lengths cannot be used .* \({op}\) works across time"):
        engine.predict(feeds, lengths={"x": LENGTHS})
    with pytest.raises(le.UnsupportedError, match=rf"nothing says whether|\({op}\) works across time"):
        engine.stream(2)


def test_a_softmax_over_steps_of_a_fixed_number_is_refused() -> None:
    nodes = [node("Transpose", "s", "b", perm=[1, 0, 2]), node("MatMul", "b ones", "q"), node("Squeeze", "q two", "v"),
             node("Softmax", "v", "y", axis=1)]
    engine = converted(nodes, x=(4, 2, 3))
    with pytest.raises(le.UnsupportedError, match="works across time"):
        engine.predict(X, lengths=LENGTHS)


def test_a_mean_over_rows_that_ended_is_refused() -> None:
    engine = converted([node("ReduceMean", "s one", "m"), node("Sub", "s m", "y")])
    with pytest.raises(le.UnsupportedError, match=r"lengths .*'reducemean_m' .*makes a row of the steps of others"):
        engine.predict(X, lengths=LENGTHS)


def test_the_mean_of_last_states_is_none_of_the_padding() -> None:
    engine = converted([node("ReduceMean", "h one", "m"), node("Sub", "s m", "y")])
    got = engine.predict(X, lengths=LENGTHS)
    last = np.stack([converted([], "h").predict(X[:length, row:row + 1])[0, 0] for row, length in enumerate(LENGTHS)])
    wanted = converted([], "s").predict(X) - last.mean(axis=0)
    np.testing.assert_allclose(got, np.where(PAST[:, :, None], 0, wanted), rtol=0, atol=1e-6)


def test_an_axis_that_may_be_time_is_asked_about() -> None:
    """Another input's axis of any size, under another name: padding of it would come through, unseen."""
    engine = converted([node("Mul", "h other", "y")], other=("steps", "batch", 1))
    other = np.ones((4, 2, 1), np.float32)
    with pytest.raises(le.ArgumentError, match=r"'steps' of input 'other' .*lengths=\{'x': \.\.\.\}"):
        engine.predict({"x": X, "other": other}, lengths=LENGTHS)
    h = converted([], "h").predict(X, lengths=LENGTHS)
    np.testing.assert_array_equal(engine.predict({"x": X, "other": other}, lengths={"x": LENGTHS}), h * other)
    with pytest.raises(le.UnsupportedError, match="cannot run step by step: nothing says whether 'steps' of input"):
        engine.stream(2)
    with pytest.raises(le.UnsupportedError, match="cannot run step by step: nothing says whether 'steps' of input"):
        converted([node("Neg", "other", "z")], "s z", other=("steps", "batch", 1)).stream(2)


def test_a_stream_gives_each_step_of_an_output_of_few_axes() -> None:
    """The steps of an output that is no sequence stand where those of the input do, or behind all axes it has."""
    nodes = [node("RNN", "x W R", "- h", hidden_size=3, layout=1), node("ReduceSum", "h", "total", keepdims=0),
             node("ReduceSum", "h all", "sums", keepdims=0)]
    engine = le.convert(model(nodes, {"x": ("batch", "time", 3)}, "total sums", {**TENSORS, "all": np.array([0, 1])}))
    x = X.swapaxes(0, 1)
    got = engine.stream(2).run(x)
    begun = [engine.predict(x[:, :t + 1]) for t in range(4)]
    np.testing.assert_allclose(got["total"], [now["total"] for now in begun], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got["sums"], np.stack([now["sums"] for now in begun], 1), rtol=0, atol=1e-6)
    none = engine.stream(2).run(x[:, :0])
    assert none["total"].shape == (0,) and none["sums"].shape == (3, 0)


@pytest.mark.parametrize("lengths", [LENGTHS, {"x": LENGTHS}])
def test_an_axis_that_may_be_rows_is_refused(lengths: Any) -> None:
    engine = converted([node("Neg", "other", "y")], "h y", other=("time", "people", 3))
    with pytest.raises(le.ArgumentError, match="nothing says whether 'people' of input 'other' .* are the rows"):
        engine.predict({"x": X, "other": X}, lengths=lengths)
