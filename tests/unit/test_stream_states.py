"""Streams with masks and with explicit states: what a step without data gives, what is fed back, what starts anew."""

import numpy as np
import pytest
from random_layers import normal

import lstm_engine as le
from lstm_engine.graph import GRU, LSTM, Dense, Graph, Mask, Operator, Value
from lstm_engine.graph import Embedding as EmbeddingNode

B, T, I, H, VOCABULARY = 3, 7, 4, 5, 11        # noqa: E741  (ONNX calls it so)


def plain_lstm():
    return le.Model([le.LSTM(normal(1, 4 * H, I), normal(1, 4 * H, H), normal(1, 8 * H))])


X = normal(B, T, I)
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (B, T)).astype(np.int32)
PAIRS = {"h_in": "h_out", "c_in": "c_out"}


# ---- masks --------------------------------------------------------------------------------------------------

def masked_model(zero_masked=False, last=False, empty="initial", head=False):
    embedding = EmbeddingNode(name="embed", inputs=("ids",), outputs=("x",), table=normal(VOCABULARY, I))
    cell = LSTM(name="lstm", inputs=("x", "", "", "", "real"), outputs=("", "h") if last else ("y",),
                W=normal(1, 4 * H, I), R=normal(1, 4 * H, H), B=normal(1, 8 * H), zero_masked=zero_masked, empty=empty)
    made = "h" if last else "y"
    dense = Dense(name="dense", inputs=(made,), outputs=("out",), kernel=normal(H, 3), bias=normal(3))
    return le.Model(Graph((Value("ids", ("batch", "time"), "int32"),),
                          (embedding, Mask(name="mask", inputs=("ids",), outputs=("real",), value=0), cell,
                           *([dense] if head else [])), ("out" if head else made,)))


@pytest.mark.parametrize("zero_masked", (False, True))
@pytest.mark.parametrize("sizes", ((1,) * T, (2, 2, 3), (3, 4), (T,)))
def test_a_masked_step_repeats_the_output_before_it_in_any_chunks(sizes, zero_masked):
    ids = np.where(np.random.default_rng(1).random((B, T)) < 0.5, 0, IDS).astype(np.int32)
    ids[0] = 0                                                # a row without a step
    ids[1, :2] = 0                                            # masked before its first step
    model = masked_model(zero_masked)
    wanted = model.predict(ids)
    stream, start = model.stream(B), 0
    for size in sizes:
        piece = ids[:, start:start + size]
        y = stream.step(piece[:, 0])[:, None] if size == 1 else stream.run(piece)
        np.testing.assert_array_equal(y, wanted[:, start:start + size])
        start += size


@pytest.mark.parametrize("head", (False, True))
@pytest.mark.parametrize("empty", ("initial", "zero"))
def test_the_last_output_of_a_masked_model_in_a_stream(empty, head):
    """A masked step repeats the output before it, though a whole row of masked steps would give 0; under a Dense too,
    which runs in the same call of the core."""
    ids = np.array([[0, 3, 0, 4, 0, 0, 5, 0]], np.int32)
    stream = masked_model(last=True, empty=empty, head=head).stream()
    wanted = masked_model(head=head).predict(ids)
    for t in range(ids.shape[1]):
        np.testing.assert_array_equal(stream.step(ids[:, t]), wanted[:, t])


def test_a_row_without_steps_shows_zero_and_keeps_its_state():
    ids = np.array([[3, 4], [0, 0]], np.int32)
    start = {"lstm": {"h": normal(2, 1, H), "c": normal(2, 1, H, seed=1)}}
    for empty in ("initial", "zero"):
        h, state = masked_model(last=True, empty=empty).predict(ids, initial_state=start, return_state=True)
        np.testing.assert_array_equal(h[1], 0 if empty == "zero" else start["lstm"]["h"][1, 0])
        np.testing.assert_array_equal(h[0], state["lstm"]["h"][0, 0])
        for part, array in start["lstm"].items():
            np.testing.assert_array_equal(state["lstm"][part][1], array[1])


# ---- explicit states ------------------------------------------------------------------------------------------

def cell_with_explicit_states(batch="batch", scaled=False):
    """h and c go in and come out by name, as ONNX models have it."""
    nodes = [LSTM(name="lstm", inputs=("x", "", "h_in", "c_in"), outputs=("y", "h_out", "c_out"), W=normal(1, 4 * H, I),
                  R=normal(1, 4 * H, H), B=normal(1, 8 * H))]
    if scaled:
        nodes.append(Operator(name="scale", inputs=("y", ""), outputs=("z",), op_type="Mul",
                              constants={1: np.asarray(2, np.float32)}))
    return le.Model(Graph((Value("x", (batch, "time", I)), Value("h_in", (batch, H)), Value("c_in", (batch, H))),
                          tuple(nodes), ("z" if scaled else "y", "h_out", "c_out")))


@pytest.mark.parametrize("batch", ("batch", "N", B))
def test_explicit_states_are_fed_back(batch):
    model = cell_with_explicit_states(batch)
    wanted = plain_lstm().predict(X)
    stream = model.stream(B, states=PAIRS)
    first = stream.step(X[:, :1])
    np.testing.assert_array_equal(first, wanted[:, :1])
    np.testing.assert_array_equal(stream.run(X[:, 1:4]), wanted[:, 1:4])
    saved = stream.state
    assert set(saved) == set(PAIRS) and saved["h_in"].shape == (B, H)
    rest = stream.run(X[:, 4:])
    stream.state = saved
    np.testing.assert_array_equal(stream.run(X[:, 4:]), rest)
    stream.reset(2)
    assert not stream.state["h_in"][2].any() and stream.state["h_in"][1].any()
    stream.reset()
    assert not stream.state["c_in"].any()


def test_explicit_states_beside_host_operators():
    stream = cell_with_explicit_states(scaled=True).stream(B, states=PAIRS)
    np.testing.assert_array_equal(stream.run(X), 2 * plain_lstm().predict(X))


def test_a_layer_without_a_pair_starts_anew_each_step():
    """As in a loop of predict: the inner layer of a step runs over rows of its own, here three of each sequence."""
    inner = GRU(name="inner", inputs=("bands",), outputs=("", "band"), W=normal(1, 3 * I, 1), R=normal(1, 3 * I, I))
    outer = LSTM(name="outer", inputs=("frame", "", "h_in", "c_in"), outputs=("y", "h_out", "c_out"),
                 W=normal(1, 4 * H, 3 * I), R=normal(1, 4 * H, H))

    def reshape(name, x, y, *shape):
        return Operator(name=name, inputs=(x, ""), outputs=(y,), op_type="Reshape", constants={1: np.array(shape)})

    model = le.Model(Graph((Value("x", (2, 1, 12)), Value("h_in", (2, H)), Value("c_in", (2, H))),
                           (reshape("split", "x", "bands", 6, 4, 1), inner, reshape("join", "band", "frame", 2, 1, -1),
                            outer), ("y", "h_out", "c_out")))
    fed, stream = {name: np.zeros((2, H), np.float32) for name in PAIRS}, model.stream(2, states=PAIRS)
    for x in normal(4, 2, 1, 12):
        results = model.predict({"x": x, **fed})
        fed = {name: results[source] for name, source in PAIRS.items()}
        np.testing.assert_array_equal(stream.step(x), results["y"])
        assert stream.state.keys() == PAIRS.keys()
    with pytest.raises(le.ArgumentError, match="state 'inner': the stream has no such state; it has h_in, c_in"):
        stream.state = {"inner": {"h": normal(6, 1, I)}}


def test_wrong_pairs_are_named():
    model = cell_with_explicit_states()
    for states, kind, message in (({"q": "h_out"}, le.ArgumentError, "names the input 'q'"),
                                  ({"h_in": "q"}, le.ArgumentError, "names the output 'q'"),
                                  ({"x": "y", "h_in": "h_out", "c_in": "c_out"}, le.ArgumentError, "no input is left"),
                                  (["h_in"], le.ArgumentTypeError, "states is a dict")):
        with pytest.raises(kind, match=message):
            model.stream(B, states=states)
    unsized = model.stream(B, states={"x": "y"})
    with pytest.raises(le.ArgumentError, match=r"size of state 'x' .* is not known.* stream.state = \{'x': array\}"):
        unsized.step({"h_in": normal(B, H), "c_in": normal(B, H)})
    stream = model.stream(B, states=PAIRS)
    stream.run(X)
    before = stream.state
    for state in ({"h_in": normal(B, 4)}, {"h_in": np.full((B, H), "a")}, {"h_in": [[1], [1, 2]]}, {"q": {"h": 1}}):
        with pytest.raises((le.ArgumentError, le.ArgumentTypeError)):
            stream.state = state
    for name in PAIRS:
        np.testing.assert_array_equal(stream.state[name], before[name])


# ---- pairs that the layers themselves tell ------------------------------------------------------------------------

@pytest.mark.parametrize("batch", ("batch", "N", B))
def test_layers_that_begin_with_inputs_and_end_with_outputs_go_on(batch):
    """Whether h comes out where h went in is seen by the layer, so nothing need be said; in any pieces."""
    model, wanted = cell_with_explicit_states(batch, scaled=True), 2 * plain_lstm().predict(X)
    stream = model.stream(B)
    assert stream.state.keys() == PAIRS.keys()
    np.testing.assert_array_equal(stream.step(X[:, 0]), wanted[:, 0])
    np.testing.assert_array_equal(stream.run(X[:, 1:5]), wanted[:, 1:5])
    saved = stream.state
    np.testing.assert_array_equal(stream.run(X[:, 5:]), wanted[:, 5:])
    stream.state = saved
    np.testing.assert_array_equal(stream.run(X[:, 5:]), wanted[:, 5:])
    stream.reset(1)
    assert not stream.state["h_in"][1].any() and stream.state["h_in"][0].any()


def recurrent(h_in, c_in, h_out, c_out, after=(), outputs=("y", "h_out", "c_out")):
    cell = LSTM(name="lstm", inputs=("x", "", h_in, c_in), outputs=("y", h_out, c_out), W=normal(1, 4 * H, I),
                R=normal(1, 4 * H, H), B=normal(1, 8 * H))
    return le.Model(Graph((Value("x", ("batch", "time", I)), Value("h_in", ("batch", H)), Value("c_in", ("batch", H))),
                          (cell, *after), outputs))


def test_names_decide_nothing():
    """Where h goes in under the name of c, and comes out under that of h, the layer tells."""
    model = recurrent("c_in", "h_in", "h_out", "c_out")
    stream = model.stream(B)
    np.testing.assert_array_equal(joined_steps(stream), plain_lstm().predict(X))
    np.testing.assert_array_equal(stream.state["c_in"], plain_lstm().predict(X)[:, -1])


def joined_steps(stream):
    return np.stack([stream.step(X[:, t]) for t in range(T)], 1)


def operator(op, x, y, **constants):
    return Operator(name=y, inputs=(x, *[""] * len(constants)), outputs=(y,), op_type=op,
                    constants={1 + i: array for i, array in enumerate(constants.values())})


UNPROVEN = {
    "changed on its way out": (lambda: recurrent("h_in", "c_in", "h", "c_out", [
        operator("Mul", "h", "h_out", by=np.asarray(0.5, np.float32))]), r"of inputs 'h_in' .*outputs 'h_out'"),
    "one of two comes out": (lambda: recurrent("h_in", "c_in", "h_out", "c_out", outputs=("y", "h_out")),
                             r"stream\(states=\{input: output, \.\.\.\}\), of inputs 'h_in'.*'c_in'.* 'h_out'"),
    "what it begins with is an output too": (lambda: recurrent("h_in", "c_in", "h_out", "c_out", [
        Operator(name="same", inputs=("h_in",), outputs=("z",), op_type="Identity")], ("y", "h_out", "c_out", "z")),
        r"of inputs 'h_in' .*outputs 'h_out'.*'z'"),
    "both begin with one": (lambda: recurrent("h_in", "h_in", "h_out", "c_out"), r"of inputs 'h_in'"),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_pairs_that_nothing_proves_are_asked_for(case):
    make, message = UNPROVEN[case]
    with pytest.raises(le.UnsupportedError, match="initial state from another value; pair explicit "
                                                  "states: .*" + message):
        make().stream(B)


def test_proven_pairs_of_what_is_no_sequence_are_spelled_out():
    """Shapes made for one step say nothing about several; with states= each call is one."""
    def one_step(x):
        return Operator(name=x, inputs=(x, ""), outputs=("z",), op_type="Reshape", constants={1: np.array([B, 1, H])})
    cell = LSTM(name="lstm", inputs=("x", "", "h_in", "c_in"), outputs=("y", "h_out", "c_out"), W=normal(1, 4 * H, I),
                R=normal(1, 4 * H, H), B=normal(1, 8 * H))
    model = le.Model(Graph((Value("x", (B, "time", I)), Value("h_in", (B, H)), Value("c_in", (B, H))),
                           (cell, one_step("y")), ("z", "h_out", "c_out")))
    with pytest.raises(le.UnsupportedError, match=rf"works across time.*stream\(states={PAIRS}\)"):
        model.stream(B)
    stream = model.stream(B, states=PAIRS)
    for t in range(T):
        np.testing.assert_array_equal(stream.step(X[:, t:t + 1])[:, 0], plain_lstm().predict(X)[:, t])


def test_what_shapes_leave_one_choice_for_is_spelled_out():
    gru = GRU(name="gru", inputs=("x", "", "before"), outputs=("y", "h"), W=normal(1, 3 * H, I), R=normal(1, 3 * H, H))
    model = le.Model(Graph((Value("x", ("batch", "time", I)), Value("before", ("batch", H))),
                           (gru, operator("Mul", "h", "after", by=np.asarray(1, np.float32))), ("y", "after")))
    with pytest.raises(le.UnsupportedError, match=r"if these are its states, stream\(states=\{'before': 'after'\}\)"):
        model.stream(B)
    stream = model.stream(B, states={"before": "after"})
    whole = le.Model([le.GRU(gru.W, gru.R)]).predict(X)
    np.testing.assert_array_equal(stream.run(X), whole)


def test_the_size_of_a_state_comes_with_the_first_call_or_from_the_caller():
    def smoothed(state):
        nodes = (operator("Mul", "s", "old", by=np.asarray(0.5, np.float32)),
                 Operator(name="sum", inputs=("x", "old"), outputs=("s_out",), op_type="Add"),
                 Operator(name="same", inputs=("s_out",), outputs=("y",), op_type="Neg"))
        return le.Model(Graph((Value("x", ("batch", "n")), Value("s", state)), nodes, ("y", "s_out")))

    x, start = normal(2, B, 6), normal(B, 6, seed=3)
    stream = smoothed(("batch", "n")).stream(B, states={"s": "s_out"})
    assert stream.state == {}
    np.testing.assert_array_equal(stream.step(x[0]), -x[0])
    np.testing.assert_array_equal(stream.step(x[1]), -(x[1] + x[0] / 2))
    stream = smoothed(("batch", "m")).stream(B, states={"s": "s_out"})
    stream.state = {"s": start}
    np.testing.assert_array_equal(stream.step(x[0]), -(x[0] + start / 2))
    with pytest.raises(le.ArgumentError, match=r"state 's': expected numbers of shape \(3, 6\), got float32"):
        stream.state = {"s": start[:, :5]}
    with pytest.raises(le.ArgumentError, match=r"state 's': expected numbers of shape \(3, m\)"):
        smoothed(("batch", "m")).stream(B, states={"s": "s_out"}).state = {"s": start[:2]}


def test_what_would_take_too_long_to_follow_is_asked_for():
    """A state that a file repeats without end is not followed to where it goes."""
    many = Operator(name="many", inputs=("h_in", ""), outputs=("m",), op_type="Tile",
                    constants={1: np.array([1, 1 << 27])})
    first = Operator(name="first", inputs=("m", "", "", ""), outputs=("h_first",), op_type="Slice",
                     constants={1: np.array([0]), 2: np.array([H]), 3: np.array([1])})
    cell = LSTM(name="lstm", inputs=("x", "", "h_first", "c_in"), outputs=("y", "h_out", "c_out"),
                W=normal(1, 4 * H, I), R=normal(1, 4 * H, H))
    model = le.Model(Graph((Value("x", ("batch", "time", I)), Value("h_in", ("batch", H)), Value("c_in", ("batch", H))),
                           (many, first, cell), ("y", "h_out", "c_out")))
    with pytest.raises(le.UnsupportedError, match="pair explicit states"):
        model.stream(B)


def test_inputs_without_time_are_given_whole_with_every_step():
    """A decoder that attends to what an encoder made, of any length: the same in every call."""
    cell = LSTM(name="lstm", inputs=("x", "", "h_in", "c_in"), outputs=("d", "h_out", "c_out"), W=normal(1, 4 * H, I),
                R=normal(1, 4 * H, H))
    turned = Operator(name="turned", inputs=("encoded",), outputs=("keys",), op_type="Transpose",
                      attributes={"perm": (0, 2, 1)})
    nodes = [cell, turned]
    for op, inputs, y in (("MatMul", ("d", "keys"), "scores"), ("Softmax", ("scores",), "shares"),
                          ("MatMul", ("shares", "encoded"), "y")):
        nodes.append(Operator(name=y, inputs=inputs, outputs=(y,), op_type=op))
    model = le.Model(Graph((Value("x", ("batch", "time", I)), Value("encoded", ("batch", "source", H)),
                            Value("h_in", ("batch", H)), Value("c_in", ("batch", H))), tuple(nodes),
                           ("y", "h_out", "c_out")))
    encoded, zeros = normal(B, 9, H, seed=4), np.zeros((B, H), np.float32)
    wanted = model.predict({"x": X, "encoded": encoded, "h_in": zeros, "c_in": zeros})["y"]
    with pytest.raises(le.UnsupportedError, match="nothing says whether 'source' of input 'encoded'"):
        model.stream(B)
    stream = model.stream(B, states=PAIRS)
    # Sums of nine products of numbers below 1 in a product of another shape.
    np.testing.assert_allclose(stream.step({"x": X[:, :1], "encoded": encoded}), wanted[:, :1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(stream.run({"x": X[:, 1:], "encoded": encoded}), wanted[:, 1:], rtol=0, atol=1e-6)
