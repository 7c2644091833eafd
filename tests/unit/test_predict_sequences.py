"""Sequences of unequal length, as lists and with lengths, and steps with missing values."""

from functools import partial

import numpy as np
import pytest
import random_layers
from random_layers import normal

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import LSTM, Graph, Value

B, T, I, H, VOCABULARY = 5, 6, 4, 7, 13        # noqa: E741  (ONNX calls it so)
lstm = partial(random_layers.lstm, I, H)
# float32 sums of at most 12 terms of size 1 over 6 steps.
CLOSE = dict(rtol=0, atol=2e-6)


X = normal(B, T, I)
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (B, T)).astype(np.int32)
LENGTHS = np.array([6, 0, 3, 1, 5])


def rows(x, lengths=LENGTHS):
    return [row[:length] for row, length in zip(x, lengths, strict=True)]


MODELS = {"forward": lambda: [lstm()], "reverse": lambda: [lstm("reverse")],
          "bidirectional": lambda: [lstm("bidirectional")],
          "last": lambda: [lstm(return_sequences=False)], "mean": lambda: [lstm(), le.Pool("mean")],
          "max": lambda: [lstm("bidirectional"), le.Pool("max")], "pool last": lambda: [lstm(), le.Pool("last")]}


@pytest.mark.parametrize("name", MODELS)
def test_lengths_lists_and_the_oracle_agree(name):
    model = le.Model(MODELS[name]())
    padded = X.copy()
    padded[np.arange(T) >= LENGTHS[:, None]] = np.nan        # what stands in the padding does not matter
    exact = reference.run(model.graph, {"input": X}, lengths=LENGTHS)["output"]
    y = model.predict(padded, LENGTHS)
    np.testing.assert_allclose(y, exact, **CLOSE)
    for given in (LENGTHS.tolist(), tuple(LENGTHS), LENGTHS.astype(np.uint8), {"input": LENGTHS}):
        np.testing.assert_array_equal(model.predict(padded, given), y)
    listed = model.predict(rows(X))
    if y.ndim == 2:
        np.testing.assert_array_equal(listed, y)
        return
    assert isinstance(listed, list) and [part.shape for part in listed] == [(length, y.shape[2]) for length in LENGTHS]
    for part, whole, length in zip(listed, y, LENGTHS, strict=True):
        np.testing.assert_array_equal(part, whole[:length])
        assert not whole[length:].any()


@pytest.mark.parametrize("form", (list, np.asarray, lambda row: row.astype(np.float64), lambda row: row.tolist(),
                                  np.asfortranarray, lambda row: row.astype(">f4"), lambda row: tuple(map(tuple, row))))
def test_a_list_may_hold_any_form_of_sequence(form):
    model, lengths = le.Model([lstm()]), [6, 2, 3, 1, 5]
    made = model.predict([form(row) for row in rows(X, lengths)])
    for one, other in zip(made, model.predict(rows(X, lengths)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_list_gives_a_list_whatever_its_lengths():
    """The form of the answer must not depend on the numbers in the list."""
    model = le.Model([lstm()])
    for given in ([X[0], X[1]], [X[0], X[1, :3]], [X[0]], X.tolist(), []):
        assert isinstance(model.predict(given), list) and len(model.predict(given)) == len(given)
    ids = le.Model([le.Embedding(normal(VOCABULARY, I)), lstm()])
    for given in ([[1, 2], [3]], [[1, 2], [3, 4]], [[]], [[], [1]], [np.array([1, 2], np.uint8), [3]], IDS.tolist()):
        result = ids.predict(given)
        assert isinstance(result, list) and [len(part) for part in result] == [len(item) for item in given]
    # With lengths a list is an array, written out.
    assert isinstance(model.predict(X.tolist(), lengths=LENGTHS), np.ndarray)


def test_sequences_without_steps():
    model = le.Model([lstm()])
    for given in ([[], []], [[], X[0].tolist()], [X[0, :0], X[1]], [np.empty((0, I)), X[1, :2]]):
        result = model.predict(given)
        assert [part.shape for part in result] == [(len(item), H) for item in given]
    assert model.predict([]) == []
    assert le.Model([lstm(return_sequences=False)]).predict([]).shape == (0, H)


def test_only_the_last_step_of_the_longest_sequence_costs():
    """The padded array of a list is as long as the longest sequence, so a list of short ones stays short."""
    model = le.Model([lstm()])
    y, state = model.predict([X[0, :1], X[1, :2]], return_state=True)
    assert [len(part) for part in y] == [1, 2]
    np.testing.assert_array_equal(state["lstm"]["h"][0, 0], y[0][-1])
    np.testing.assert_array_equal(state["lstm"]["h"][1, 0], y[1][-1])


def test_tokens_past_the_end_may_be_anything():
    model = le.Model([le.Embedding(normal(VOCABULARY, I)), lstm()])
    wanted = model.predict(IDS, LENGTHS)
    for filler in (-1, VOCABULARY, 2**31 - 1, 2**40):
        ids = IDS.astype(np.int64)
        ids[np.arange(T) >= LENGTHS[:, None]] = filler
        np.testing.assert_array_equal(model.predict(ids, LENGTHS), wanted)
        with pytest.raises(le.ArgumentError):
            model.predict(ids)


def test_two_inputs_with_lengths_of_their_own():
    def cell(name, x, y):
        return LSTM(name=name, inputs=(x,), outputs=(y,), W=normal(1, 4 * H, I),
                    R=normal(1, 4 * H, H), B=normal(1, 8 * H))

    graph = Graph((Value("a", ("batch", "time_a", I)), Value("b", ("batch", "time_b", I))),
                  (cell("one", "a", "y"), cell("two", "b", "z")), ("y", "z"))
    model, single = le.Model(graph), le.Model([lstm()])
    short = [2, 1, 0, 2, 2]
    result = model.predict({"a": X, "b": X[:, :2]}, {"a": LENGTHS, "b": short})
    np.testing.assert_array_equal(result["y"], single.predict(X, LENGTHS))
    np.testing.assert_array_equal(result["z"], single.predict(X[:, :2], short))
    listed = model.predict({"a": rows(X), "b": rows(X, short)})
    assert [len(part) for part in listed["y"]] == list(LENGTHS) and [len(part) for part in listed["z"]] == short
    only = model.predict({"a": X, "b": X}, {"b": LENGTHS})
    np.testing.assert_array_equal(only["y"], single.predict(X))
    with pytest.raises(le.ArgumentError, match="the model has 2 time axes; give a dict by input name"):
        model.predict({"a": X, "b": X}, LENGTHS)


def test_symbols_that_turn_out_equal_share_their_lengths():
    """A mask says which steps of its sequence count, so their time axes are one, whatever the graph calls them."""
    cell = LSTM(name="cell", inputs=("a", "", "", "", "mask"), outputs=("y",), W=normal(1, 4 * H, I),
                R=normal(1, 4 * H, H), B=normal(1, 8 * H))
    graph = Graph((Value("a", ("batch", "T", I)), Value("mask", ("batch", "U"), "bool")), (cell,), ("y",))
    model, single = le.Model(graph), le.Model([lstm()])
    mask = np.ones((B, T), bool)
    for lengths in ({"a": LENGTHS}, {"mask": LENGTHS}, LENGTHS):
        np.testing.assert_array_equal(model.predict({"a": X, "mask": mask}, lengths), single.predict(X, LENGTHS))
    with pytest.raises(le.ArgumentError, match="other lengths than those of the input before"):
        model.predict({"a": X, "mask": mask}, {"a": LENGTHS, "mask": LENGTHS[::-1]})


# ---- missing values ---------------------------------------------------------------------------------------------

def holed():
    x = X.copy()
    x[0, 2, 1] = x[0, 3] = x[2, 0, 0] = x[3, T - 1, 2] = np.nan
    x[4] = np.nan
    return x


def test_nan_propagates_by_default():
    y = le.Model([lstm()]).predict(holed())
    assert np.isnan(y[0, 2:]).all() and not np.isnan(y[0, :2]).any() and not np.isnan(y[1]).any()


def test_nan_as_an_error_names_its_place():
    model = le.Model([lstm()])
    with pytest.raises(le.ArgumentError, match=r"input 'input': NaN at \[0, 2, 1\]"):
        model.predict(holed(), nan="error")
    np.testing.assert_array_equal(model.predict(X, nan="error"), model.predict(X))
    padded = X.copy()
    padded[np.arange(T) >= LENGTHS[:, None]] = np.nan        # past the end of a sequence nothing is missing
    np.testing.assert_array_equal(model.predict(padded, LENGTHS, nan="error"), model.predict(X, LENGTHS))


@pytest.mark.parametrize("direction", ("forward", "reverse", "bidirectional"))
def test_nan_masked_is_a_step_that_is_not_there(direction):
    model = le.Model([lstm(direction)])
    x = holed()
    there = ~np.isnan(x).any(axis=2)
    layer = model.graph.nodes[0]
    Y, Y_h, _ = reference.lstm(np.nan_to_num(x), layer.W, layer.R, layer.B, direction=direction, mask=there)
    y, state = model.predict(x, nan="mask", return_state=True)
    np.testing.assert_allclose(y, Y.reshape(B, T, -1), **CLOSE)
    np.testing.assert_allclose(state["lstm"]["h"], Y_h, **CLOSE)
    assert not y[4].any() and not state["lstm"]["h"][4].any()
    np.testing.assert_array_equal(model.predict(X, nan="mask"), model.predict(X))


def test_nan_masked_with_lengths_pools_and_heads():
    x = holed()
    for pool in ("last", "mean", "max"):
        model = le.Model([lstm(), le.Pool(pool), le.Dense(normal(H, 3), normal(3))])
        y = model.predict(x, LENGTHS, nan="mask")
        for i, length in enumerate(LENGTHS):
            there = x[i, :length][~np.isnan(x[i, :length]).any(axis=1)]
            np.testing.assert_array_equal(y[i], model.predict([there])[0])


def test_missing_values_elsewhere():
    with pytest.raises(le.ArgumentError, match="nan is one of propagate, error, mask, not 'skip'"):
        le.Model([lstm()]).predict(X, nan="skip")
    ids = le.Model([le.Embedding(normal(VOCABULARY, I)), lstm()])
    np.testing.assert_array_equal(ids.predict(IDS, nan="mask"), ids.predict(IDS))
    graph = Graph((Value("x", ("batch", "time", I)), Value("h", ("batch", H))),
                  (LSTM(name="cell", inputs=("x", "", "h"), outputs=("y",), W=normal(1, 4 * H, I),
                        R=normal(1, 4 * H, H)),), ("y",))
    with pytest.raises(le.ArgumentError, match="input 'h': NaN in an input that has no time axis"):
        le.Model(graph).predict({"x": X, "h": np.full((B, H), np.nan)}, nan="mask")
