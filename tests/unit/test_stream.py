"""Streams: a model fed step by step. What they give, keep, copy and refuse; two threads."""

import threading
from functools import partial

import numpy as np
import pytest
import random_layers
from random_layers import normal

import lstm_engine as le
from lstm_engine.graph import GRU, LSTM, Dense, Graph, Operator, Pool, Value

B, T, I, H, VOCABULARY = 3, 7, 4, 5, 11        # noqa: E741  (ONNX calls it so)
lstm = partial(random_layers.lstm, I, H)


def tokens(last=False):
    return le.Model([le.Embedding(normal(VOCABULARY, I)), lstm(return_sequences=not last),
                     le.Dense(normal(H, 2), normal(2), "softmax")])


X = normal(B, T, I)
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (B, T)).astype(np.int32)


def same_state(one, other):
    assert one.keys() == other.keys()
    for layer, parts in one.items():
        assert parts.keys() == other[layer].keys()
        for part, array in parts.items():
            np.testing.assert_array_equal(array, other[layer][part])


# ---- what a stream gives ------------------------------------------------------------------------------------

def test_steps_and_chunks_are_the_sequence():
    model = le.Model([lstm()])
    wanted, final = model.predict(X, return_state=True)
    with model.stream(batch=B) as stream:
        for t in range(3):
            y = stream.step(X[:, t])
            assert y.shape == (B, H)
            np.testing.assert_array_equal(y, wanted[:, t])
        np.testing.assert_array_equal(stream.run(X[:, 3:]), wanted[:, 3:])
        same_state(stream.state, final)


@pytest.mark.parametrize("last", (False, True))
def test_a_last_step_layer_emits_every_step(last):
    wanted = tokens().predict(IDS)
    stream = tokens(last).stream(batch=B)
    np.testing.assert_array_equal(stream.step(IDS[:, 0]), wanted[:, 0])
    np.testing.assert_array_equal(stream.run(IDS[:, 1:]), wanted[:, 1:])
    assert stream.run(IDS[:, :0]).shape == (B, 0, 2)


def test_every_form_of_a_step_is_the_same():
    model = le.Model([lstm()])
    wanted = model.predict(X)[:, 0]
    column = X[:, 0]
    for step in (column, column.astype(float), np.asfortranarray(column), column.astype(">f4"), column.tolist(),
                 X[:, :1], {"input": column}):
        np.testing.assert_array_equal(model.stream(B).step(step), wanted)
    ids = tokens()
    wanted = ids.predict(IDS)[:, 0]
    for step in (IDS[:, 0], IDS[:, 0].astype(np.int64), IDS[:, 0].astype(np.uint8), IDS[:, 0].tolist(), IDS[:, :1]):
        np.testing.assert_array_equal(ids.stream(B).step(step), wanted)


def test_float64_streams():
    model = le.Model([lstm()], dtype="float64")
    wanted = model.predict(X)
    stream = model.stream(B)
    made = np.stack([stream.step(X[:, t]) for t in range(T)], axis=1)
    assert made.dtype == np.float64
    # BLAS may sum one step in another order than seven; a cell magnifies 1e-16 by less than a hundred here.
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-14)


def test_a_stack_streams_with_several_outputs():
    graph = Graph((Value("x", ("batch", "time", I)),),
                  (LSTM(name="a", inputs=("x",), outputs=("y",), W=normal(1, 4 * H, I), R=normal(1, 4 * H, H)),
                   GRU(name="b", inputs=("y",), outputs=("z", "h"), W=normal(1, 3 * H, H), R=normal(1, 3 * H, H))),
                  ("y", "z", "h"))
    model = le.Model(graph)
    wanted = model.predict(X)
    stream = model.stream(B)
    first = stream.step(X[:, 0])
    rest = stream.run(X[:, 1:])
    for name in ("y", "z"):
        np.testing.assert_array_equal(first[name], wanted[name][:, 0])
        np.testing.assert_array_equal(rest[name], wanted[name][:, 1:])
    np.testing.assert_array_equal(rest["h"], wanted["z"][:, 1:])          # a last state has every step's here


# ---- state --------------------------------------------------------------------------------------------------

def test_state_saved_and_set():
    model = le.Model([lstm()])
    stream = model.stream(B)
    stream.run(X[:, :3])
    saved = stream.state
    first = stream.run(X[:, 3:])
    stream.state = saved
    np.testing.assert_array_equal(stream.run(X[:, 3:]), first)
    saved["lstm"]["h"][:] = 9                                # a copy: the stream does not see this
    other = model.stream(B)
    other.state = stream.state
    np.testing.assert_array_equal(other.step(X[:, 0]), stream.step(X[:, 0]))


def test_states_move_between_predict_and_stream():
    model = le.Model([lstm()])
    _, state = model.predict(X[:, :3], return_state=True)
    stream = model.stream(B)
    stream.state = state
    np.testing.assert_array_equal(stream.run(X[:, 3:]), model.predict(X)[:, 3:])


def test_a_state_set_in_part_is_zero_elsewhere():
    stream = le.Model([lstm()]).stream(B)
    stream.run(X)
    stream.state = {"lstm": {"h": normal(B, 1, H)}}
    assert not stream.state["lstm"]["c"].any()
    np.testing.assert_array_equal(stream.state["lstm"]["h"], normal(B, 1, H))


def test_reset():
    model = le.Model([lstm()])
    stream = model.stream(B)
    fresh = stream.run(X)
    stream.reset()
    np.testing.assert_array_equal(stream.run(X), fresh)
    stream.reset([0, 2])
    again = stream.run(X)
    np.testing.assert_array_equal(again[[0, 2]], fresh[[0, 2]])
    assert not np.array_equal(again[1], fresh[1])
    stream.reset(1)
    stream.reset([])
    np.testing.assert_array_equal(stream.run(X)[1], fresh[1])


def test_rows_do_not_touch_each_other():
    """NaN in one sequence of a stream stays there, and goes when its row is reset."""
    model = le.Model([lstm()])
    stream, broken = model.stream(B), X.copy()
    broken[1, 2] = np.nan
    y = stream.run(broken)
    assert np.isnan(y[1, 2:]).all() and not np.isnan(y[[0, 2]]).any()
    stream.reset(1)
    np.testing.assert_array_equal(stream.run(X)[1], model.predict(X)[1])


# ---- refused ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch", (0, -1, 1.5, True, "2", None))
def test_a_wrong_batch_is_refused(batch):
    with pytest.raises(le.ArgumentError, match="stream: batch must be a whole number of at least 1"):
        le.Model([lstm()]).stream(batch=batch)


@pytest.mark.parametrize("layers, message", (
    (lambda: [lstm(direction="bidirectional")],
     "layer 'lstm' is bidirectional, so its first output needs the last input"),
    (lambda: [lstm(), le.RNN(normal(1, H, H), normal(1, H, H), direction="reverse")], "layer 'rnn' is reverse"),
    (lambda: [lstm(), le.Pool("mean")], "pools over all steps"),
    (lambda: [lstm(), le.Pool("max")], "pools over all steps")))
def test_a_model_that_needs_the_future_is_refused(layers, message):
    with pytest.raises(le.UnsupportedError, match=message):
        le.Model(layers()).stream()


def test_an_operator_across_time_is_refused():
    graph = Graph((Value("x", ("batch", "time", I)),),
                  (LSTM(name="a", inputs=("x",), outputs=("y",), W=normal(1, 4 * H, I), R=normal(1, 4 * H, H)),
                   Operator(name="attend", inputs=("y",), outputs=("z",), op_type="Softmax",
                            attributes={"axis": 1})), ("z",))
    with pytest.raises(le.UnsupportedError, match=r"node 'attend' \(Softmax\) works across time"):
        le.Model(graph).stream()


def sequence_and(*nodes, outputs):
    """An LSTM whose sequence is "y" and whose last step is "h", and nodes on them."""
    cell = LSTM(name="a", inputs=("x",), outputs=("y", "h"), W=normal(1, 4 * H, I), R=normal(1, 4 * H, H))
    return le.Model(Graph((Value("x", ("batch", "time", I)),), (cell, *nodes), outputs))


def last_step(index=-1, name="last"):
    return Operator(name=name, inputs=("y", ""), outputs=(name,), op_type="Gather", attributes={"axis": 1},
                    constants={1: np.asarray(index)})


def test_picking_the_last_step_emits_every_step():
    wanted = le.Model([lstm()]).predict(X)
    model = le.Model(Graph((Value("x", ("batch", "time", I)),),
                           (LSTM(name="a", inputs=("x",), outputs=("y",), W=normal(1, 4 * H, I),
                                 R=normal(1, 4 * H, H), B=normal(1, 8 * H)), last_step()), ("last",)))
    np.testing.assert_array_equal(model.predict(X), wanted[:, -1])
    stream = model.stream(B)
    np.testing.assert_array_equal(stream.step(X[:, 0]), wanted[:, 0])
    np.testing.assert_array_equal(stream.run(X[:, 1:]), wanted[:, 1:])
    for index in (0, -2, [-1]):
        nodes = (last_step(index),)
        with pytest.raises(le.UnsupportedError, match=r"node 'last' \(Gather\) works across time"):
            sequence_and(*nodes, outputs=("last",)).stream()


@pytest.mark.parametrize("taken", ("h", "last", "pooled"))
def test_a_last_step_that_enters_every_step_is_refused(taken):
    """Repeated for a decoder, or added to each step: the first step needs the last input."""
    pool = Pool(name="pooled", inputs=("y",), outputs=("pooled",))
    take = {"h": (), "last": (last_step(),), "pooled": (pool,)}[taken]
    wide = Operator(name="wide", inputs=(taken, ""), outputs=("w",), op_type="Unsqueeze",
                    constants={1: np.array([1])})
    repeat = Operator(name="repeat", inputs=("w", ""), outputs=("r",), op_type="Expand",
                      constants={1: np.array([1, 6, 1])})
    decoder = GRU(name="decoder", inputs=("r",), outputs=("z",), W=normal(1, 3 * H, H), R=normal(1, 3 * H, H))
    add = Operator(name="add", inputs=("y", "w"), outputs=("s",), op_type="Add")
    for nodes, output, name in (((wide, repeat, decoder), "z", "repeat"), ((wide, add), "s", "add")):
        with pytest.raises(le.UnsupportedError, match=f"node '{name}' makes a sequence from the last step of another"):
            sequence_and(*take, *nodes, outputs=(output,)).stream()


STEP_REFUSED = {
    "several steps": (X[:, :2], le.ArgumentError, "input 'input' has 2 steps; use run"),
    "rank 1": (X[0, 0], le.ArgumentError, r"expected shape \[batch, time, 4\], got \[4\]"),
    "other rows": (X[:2, 0], le.ArgumentError, "expected the 3 rows of this stream, got 2"),
    "other features": (X[:, 0, :3], le.ArgumentError, r"expected shape \[batch, time, 4\], got \[3, 1, 3\]"),
    "objects": (X[:, 0].astype(object), le.ArgumentTypeError, "Python objects"),
    "complex": (X[:, 0].astype(complex), le.ArgumentTypeError, "got dtype complex128"),
    "ragged": ([[1, 2, 3, 4], [1], [2]], le.ArgumentError, "not a rectangular array"),
    "masked": (np.ma.masked_greater(X[:, 0], 0), le.ArgumentTypeError, "a masked array"),
    "nothing": (None, le.ArgumentTypeError, "Python objects"),
    "wrong name": ({"x": X[:, 0]}, le.ArgumentError, "inputs must be named input; got x"),
}


@pytest.mark.parametrize("case", STEP_REFUSED)
def test_a_wrong_step_is_refused_and_changes_nothing(case):
    x, kind, message = STEP_REFUSED[case]
    stream = le.Model([lstm()]).stream(B)
    stream.run(X)
    before = stream.state
    with pytest.raises(kind, match=message):
        stream.step(x)
    same_state(stream.state, before)


@pytest.mark.parametrize("last", (False, True))
@pytest.mark.parametrize("wrong", (-1, VOCABULARY, 2**31, -2**40))
def test_a_wrong_token_changes_nothing(last, wrong):
    """Also where the steps before it have run already: a model of last outputs runs each step on its own."""
    stream = tokens(last).stream(B)
    stream.run(IDS)
    before = stream.state
    chunk = IDS.astype(np.int64)
    chunk[1, 4] = wrong
    with pytest.raises(le.ArgumentError, match="outside the vocabulary|does not fit int32"):
        stream.run(chunk)
    same_state(stream.state, before)
    with pytest.raises(le.ArgumentError):
        stream.step(chunk[:, 4])
    same_state(stream.state, before)


def test_chunks_have_one_number_of_steps():
    stream = le.Model([lstm()]).stream(B)
    with pytest.raises(le.ArgumentError, match="must have the same number of steps"):
        stream.run([X[0], X[1], X[2, :3]])
    np.testing.assert_array_equal(stream.run(list(X)), le.Model([lstm()]).predict(X))


@pytest.mark.parametrize("rows", ([-1], [B], [0.5], "a", [True, False, True], [[0], [1, 2]]))
def test_wrong_rows_are_not_reset(rows):
    stream = le.Model([lstm()]).stream(B)
    stream.run(X)
    before = stream.state
    with pytest.raises(le.ArgumentError, match="reset"):
        stream.reset(rows)
    same_state(stream.state, before)


@pytest.mark.parametrize("state, kind, message", (
    (None, le.ArgumentTypeError, "a state is a dict"),
    ({"lstm": {"h": normal(1, 1, H)}}, le.ArgumentError, r"state lstm.h: expected shape \(3, 1, 5\), got \(1, 1, 5\)"),
    ({"gru": {"h": normal(B, 1, H)}}, le.ArgumentError, "the model has no such state; it has lstm.h, lstm.c"),
    ({"lstm": {"z": normal(B, 1, H)}}, le.ArgumentError, "the model has no such state"),
    ({"lstm": None}, le.ArgumentTypeError, "state of layer 'lstm': expected a dict"),
    ({"lstm": {"h": [[1], [1, 2]]}}, le.ArgumentError, "state lstm.h: not a rectangular array"),
    ({"lstm": {"h": np.full((B, 1, H), 1j)}}, le.ArgumentTypeError, "expected numbers, got dtype complex128")))
def test_a_wrong_state_is_not_set(state, kind, message):
    stream = le.Model([lstm()]).stream(B)
    stream.run(X)
    before = stream.state
    with pytest.raises(kind, match=message):
        stream.state = state
    same_state(stream.state, before)


# ---- the end, and two threads ---------------------------------------------------------------------------------

def test_a_closed_stream_refuses_everything_but_close():
    with le.Model([lstm()]).stream(B) as stream:
        stream.step(X[:, 0])

    def assign():
        stream.state = {}

    for use in (lambda: stream.step(X[:, 0]), lambda: stream.run(X), lambda: stream.state, assign, stream.reset,
                stream.__enter__):
        with pytest.raises(le.StreamError, match="the stream is closed"):
            use()
    stream.close()


def test_a_second_thread_is_refused():
    """The second thread comes while the first is inside: held there by what it does between checking and running."""
    model = le.Model([lstm()])
    stream = model.stream(B)
    stream.run(X)
    before = stream.state
    inside, leave, results = threading.Event(), threading.Event(), []

    class Slow:
        """An array-like that takes its time to become an array."""

        def __array__(self, dtype=None, copy=None):
            inside.set()
            leave.wait(10)
            return X

    first = threading.Thread(target=lambda: results.append(stream.run(Slow())))
    first.start()
    assert inside.wait(10)
    try:
        for use in (lambda: stream.step(X[:, 0]), lambda: stream.run(X), lambda: stream.state, stream.reset):
            with pytest.raises(le.StreamError, match="in use by another thread"):
                use()
    finally:
        leave.set()
        first.join()
    other = model.stream(B)
    other.state = before
    np.testing.assert_array_equal(results[0], other.run(X))
    same_state(stream.state, other.state)


def test_many_threads_hammer_one_stream():
    """Each call runs whole or is refused: the outputs that come are those of the calls, in some order."""
    model = le.Model([lstm()])
    stream, made, refused = model.stream(1), [], []
    one = np.ascontiguousarray(X[:1, 0])

    def use():
        for _ in range(200):
            try:
                made.append(stream.step(one))
            except le.StreamError:
                refused.append(1)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) + len(refused) == 800
    wanted = model.predict(np.repeat(one[:, None], len(made), axis=1))[0]
    found = {y.tobytes() for y in made}
    assert found == {step.tobytes() for step in wanted}


def test_a_layer_of_the_graph_runs_between_segments_in_a_stream():
    """Dense of rank 3 after a host operator: the same as predict."""
    graph = Graph((Value("x", ("batch", "time", I)),),
                  (LSTM(name="a", inputs=("x",), outputs=("y",), W=normal(1, 4 * H, I), R=normal(1, 4 * H, H)),
                   Operator(name="abs", inputs=("y",), outputs=("z",), op_type="Abs"),
                   Dense(name="dense", inputs=("z",), outputs=("out",), kernel=normal(H, 3))), ("out",))
    model = le.Model(graph)
    stream = model.stream(B)
    made = np.stack([stream.step(X[:, t]) for t in range(T)], axis=1)
    np.testing.assert_array_equal(made, model.predict(X))
