"""What predict refuses: each wrong argument by its name, with what was expected and what came."""

from functools import partial

import numpy as np
import pytest
import random_layers
from random_layers import normal

import lstm_engine as le
from lstm_engine.graph import LSTM, Graph, Value

B, T, I, H, VOCABULARY = 3, 6, 4, 5, 9        # noqa: E741  (ONNX calls it so)
lstm = partial(random_layers.lstm, I, H)


X = normal(B, T, I)
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (B, T)).astype(np.int32)
OUT = np.empty((B, T, H), np.float32)
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False
WRONG_INPUT = {
    "complex": (X.astype(complex), le.ArgumentTypeError, "input 'input': expected numbers .* got dtype complex128"),
    "objects": (X.astype(object), le.ArgumentTypeError, "an array of Python objects"),
    "text": (np.full((B, T, I), "a"), le.ArgumentTypeError, "got dtype <U1"),
    "dates": (np.full((B, T, I), "2020-01-01", "M8[D]"), le.ArgumentTypeError, "got dtype datetime64"),
    "nothing": (None, le.ArgumentTypeError, "Python objects"),
    "masked": (np.ma.masked_greater(X, 0), le.ArgumentTypeError, "a masked array"),
    "a number": (3.0, le.ArgumentError, r"expected shape \[batch, time, 4\], got \[\]"),
    "rank 2": (X[0], le.ArgumentError, r"expected shape \[batch, time, 4\], got \[6, 4\]"),
    "rank 4": (X[None], le.ArgumentError, r"got \[1, 3, 6, 4\]"),
    "fewer features": (X[..., :2], le.ArgumentError, r"expected shape \[batch, time, 4\], got \[3, 6, 2\]"),
    "no features": (X[..., :0], le.ArgumentError, r"got \[3, 6, 0\]"),
    "too long": (np.lib.stride_tricks.as_strided(X, (1, 2**31, I), (0, 0, 4)), le.ArgumentError,
                 "no size may be above 2147483647"),
    "too many": (np.lib.stride_tricks.as_strided(X, (2**31, 1, I), (0, 0, 4)), le.ArgumentError,
                 "no size may be above 2147483647"),
    "wrong name": ({"x": X}, le.ArgumentError, "inputs must be named input; got x"),
    "a name too many": ({"input": X, "y": X}, le.ArgumentError, "inputs must be named input; got input, y"),
    "a list of wrong features": ([X[0], X[1, :, :2]], le.ArgumentError,
                                 r"sequence 1 of input 'input': expected shape \[time, 4\], got \[6, 2\]"),
    "a list of rank 1": ([X[0], X[0, 0]], le.ArgumentError,
                         r"sequence 1 of input 'input': expected shape \[time, 4\], got \[4\]"),
    "a list of nothing": ([X[0], None], le.ArgumentError, "not a rectangular array"),
    "a list of text": ([[["a"] * I]], le.ArgumentTypeError, "sequence 0 of input 'input'.* got dtype <U1"),
    "a ragged sequence": ([[[1.0] * I, [1.0]]], le.ArgumentError,
                          "sequence 0 of input 'input': not a rectangular array"),
}


@pytest.mark.parametrize("case", WRONG_INPUT)
def test_wrong_inputs(case):
    x, kind, message = WRONG_INPUT[case]
    with pytest.raises(kind, match=message) as caught:
        le.Model([lstm()]).predict(x)
    assert isinstance(caught.value, (ValueError, TypeError)) and isinstance(caught.value, le.LstmEngineError)


@pytest.mark.parametrize("ids, kind, message", (
    (np.array([[1, -1]]), le.ArgumentError, "token id -1 at row 0, step 1 is outside the vocabulary of 9"),
    (np.array([[1, 2], [3, 9]], np.int32), le.ArgumentError,
     "token id 9 at row 1, step 1 is outside the vocabulary of 9"),
    (np.array([[1, 2**31]]), le.ArgumentError, "input 'input': 2147483648 does not fit int32"),
    (np.array([[1, -2**40]]), le.ArgumentError, "input 'input': -1099511627776 does not fit int32"),
    (np.array([[1, 2**63]], np.uint64), le.ArgumentError, "input 'input': 9223372036854775808 does not fit int32"),
    ([[1], [2, 2**31]], le.ArgumentError, "sequence 1 of input 'input': 2147483648 does not fit int32"),
    ([[1], [2, 10]], le.ArgumentError, "token id 10 at row 1, step 1"),
    (IDS.astype(float), le.ArgumentTypeError, r"expected whole numbers \(token ids\) .* got dtype float64"),
    (IDS > 3, le.ArgumentTypeError, r"expected whole numbers \(token ids\) .* got dtype bool"),
    (IDS[0], le.ArgumentError, r"expected shape \[batch, time\], got \[6\]"),
    (IDS[..., None], le.ArgumentError, r"expected shape \[batch, time\], got \[3, 6, 1\]")))
@pytest.mark.parametrize("threads", (1, 2))
def test_wrong_token_ids(ids, kind, message, threads):
    with pytest.raises(kind, match=message):
        le.Model([le.Embedding(normal(VOCABULARY, I)), lstm()]).predict(ids, threads=threads)


@pytest.mark.parametrize("lengths, kind, message", (
    ([1, -1, 2], le.ArgumentError, r"lengths\[1\] is -1; expected 0 to 6, the steps of the array"),
    ([1, 2, 7], le.ArgumentError, r"lengths\[2\] is 7; expected 0 to 6"),
    ([1, 2, 2**40], le.ArgumentError, r"lengths\[2\] is 1099511627776"),
    (np.array([1, 2, 2**63], np.uint64), le.ArgumentError, r"lengths\[2\] is 9223372036854775808"),
    ([1, 2], le.ArgumentError, r"lengths: expected 3 of them, one for each row, got shape \[2\]"),
    (4, le.ArgumentError, r"lengths: expected 3 of them, one for each row, got shape \[\]"),
    ([[1, 2, 3]], le.ArgumentError, r"got shape \[1, 3\]"),
    ([[1], [1, 2], [1]], le.ArgumentError, "lengths: not a rectangular array"),
    ([1.0, 2.0, 3.0], le.ArgumentTypeError, "lengths: expected whole numbers, got dtype float64"),
    ([True, True, False], le.ArgumentTypeError, "lengths: expected whole numbers, got dtype bool"),
    ([None, 1, 2], le.ArgumentTypeError, "lengths: expected numbers, got an array of Python objects"),
    ("abc", le.ArgumentTypeError, "lengths: expected whole numbers"),
    ({"x": [1, 2, 3]}, le.ArgumentError, "lengths: 'x' is no input with a time axis; there are input")))
def test_wrong_lengths(lengths, kind, message):
    with pytest.raises(kind, match=message):
        le.Model([lstm()]).predict(X, lengths)


def test_lengths_of_a_list_are_its_own():
    with pytest.raises(le.ArgumentError, match="lengths cannot be given with a list of sequences"):
        le.Model([lstm()]).predict([X[0], X[1, :3]], lengths=[1, 2])


@pytest.mark.parametrize("value", (0, -1, 1.5, True, "2", float("nan"), float("inf"), np.array([1, 2]), [2]))
def test_wrong_batch_size_and_threads(value):
    model = le.Model([lstm()])
    with pytest.raises(le.ArgumentError, match="batch_size must be a whole number of at least 1"):
        model.predict(X, batch_size=value)
    with pytest.raises(le.ArgumentError, match="threads must be a whole number from 1 to 1024"):
        model.predict(X, threads=value)


@pytest.mark.parametrize("out, kind, message", (
    (OUT[:2], le.ArgumentError,
     r"out 'output': expected float32 of shape \[3, 6, 5\], got float32 of shape \[2, 6, 5\]"),
    (OUT.astype(float), le.ArgumentError, r"expected float32 of shape .* got float64"),
    (OUT.astype(">f4"), le.ArgumentError, "got >f4"),
    (np.empty((B, T, 2 * H), np.float32)[..., ::2], le.ArgumentError, "must be writeable and C-contiguous"),
    (READ_ONLY, le.ArgumentError, "must be writeable and C-contiguous"),
    ({"y": OUT}, le.ArgumentError, "out: 'y' is no output of the model; it has output"),
    ([OUT], le.ArgumentTypeError, "out 'output': expected an array, got list")))
def test_wrong_out(out, kind, message):
    with pytest.raises(kind, match=message):
        le.Model([lstm()]).predict(X, out=out)


def test_out_must_not_be_the_input():
    square = le.Model([le.RNN(normal(1, I, I), normal(1, I, I))])
    x = X.copy()
    with pytest.raises(le.ArgumentError, match="out 'output': shares memory with an input"):
        square.predict(x, out=x)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("state, kind, message", (
    ([], le.ArgumentTypeError, "a state is a dict"),
    ({"gru": {"h": normal(B, 1, H)}}, le.ArgumentError,
     "state 'gru'.'h': the model has no such state; it has lstm.h, lstm.c"),
    ({"lstm": {"z": normal(B, 1, H)}}, le.ArgumentError, "state 'lstm'.'z': the model has no such state"),
    ({"lstm": normal(B, 1, H)}, le.ArgumentTypeError, "state of layer 'lstm': expected a dict of arrays, got ndarray"),
    ({"lstm": {"h": normal(B, H)}}, le.ArgumentError, r"state lstm.h: expected shape \(3, 1, 5\), got \(3, 5\)"),
    ({"lstm": {"c": normal(B + 1, 1, H)}}, le.ArgumentError,
     r"state lstm.c: expected shape \(3, 1, 5\), got \(4, 1, 5\)"),
    ({"lstm": {"h": np.full((B, 1, H), 1j)}}, le.ArgumentTypeError,
     "state lstm.h: expected numbers, got dtype complex128"),
    ({"lstm": {"h": [[1], [1, 2]]}}, le.ArgumentError, "state lstm.h: not a rectangular array")))
def test_wrong_states(state, kind, message):
    with pytest.raises(kind, match=message):
        le.Model([lstm()]).predict(X, initial_state=state)


def test_a_state_that_the_graph_sets_cannot_be_given():
    graph = Graph((Value("x", ("batch", "time", I)), Value("h", ("batch", H))),
                  (LSTM(name="cell", inputs=("x", "", "h"), outputs=("y",), W=normal(1, 4 * H, I),
                        R=normal(1, 4 * H, H)),), ("y",))
    inputs = {"x": X, "h": normal(B, H)}
    model = le.Model(graph)
    with pytest.raises(le.ArgumentError, match="state cell.h: the model sets it from one of its own values"):
        model.predict(inputs, initial_state={"cell": {"h": normal(B, 1, H)}})
    model.predict(inputs, initial_state={"cell": {"c": normal(B, 1, H)}})


def test_several_inputs_need_names_or_a_tuple():
    graph = Graph((Value("x", ("batch", "time", I)), Value("h", ("batch", H))),
                  (LSTM(name="cell", inputs=("x", "", "h"), outputs=("y", "z"), W=normal(1, 4 * H, I),
                        R=normal(1, 4 * H, H)),),
                  ("y", "z"))
    model, h = le.Model(graph), normal(B, H)
    for x in (X, [X, h], (X,), (X, h, h)):
        with pytest.raises(le.ArgumentTypeError, match=r"2 inputs: give a dict by name \(x, h\) or a tuple"):
            model.predict(x)
    with pytest.raises(le.ArgumentError, match="inputs must be named x, h; got x"):
        model.predict({"x": X})
    with pytest.raises(le.ArgumentError, match=r"input 'h': expected shape \[3, 5\], got \[2, 5\]"):
        model.predict((X, h[:2]))
    with pytest.raises(le.ArgumentTypeError, match=r"out: the model has 2 outputs; give a dict by name \(y, z\)"):
        model.predict((X, h), out=OUT)


def test_unknown_options_are_refused():
    for options in ({"gemm": "mkl"}, {"dtype": "float16"}, {"dtype": np.float32}):
        with pytest.raises(le.ArgumentError, match="(gemm|dtype) is one of"):
            le.Model([lstm()], **options)
    with pytest.raises(le.ArgumentError, match="instruction set 'sse9' is not in this build"):
        le.set_isa("sse9")
