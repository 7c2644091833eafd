"""What a call returns is the caller's alone: writing to it changes no input, state, other output or later answer."""

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value

ONES = np.ones((1, 3), np.float32)


def node(op: str, inputs: tuple[str, ...], output: str, **options) -> Operator:
    return Operator(name=output, inputs=inputs, outputs=(output,), op_type=op, **options)


def carried() -> le.Model:
    """h2 = x + h; y is h2 once more, e is x once more, k a constant."""
    constant = np.full((1, 3), 7, np.float32)
    nodes = (node("Add", ("x", "h"), "h2"), node("Identity", ("h2",), "y"), node("Identity", ("x",), "e"),
             node("Identity", ("",), "k", constants={0: constant}))
    return le.Model(Graph((Value("x", ("batch", 3)), Value("h", ("batch", 3))), nodes, ("y", "e", "k", "h2")))


def test_answers_of_a_stream_are_apart_from_its_states_inputs_and_constants():
    stream, x = carried().stream(1, {"h": "h2"}), ONES.copy()
    first = stream.step(x)
    for array in first.values():
        array[...] = 99
    assert (x == 1).all() and (stream.state["h"] == 1).all()
    second = stream.step(x)
    assert (second["y"] == 2).all() and (second["e"] == 1).all() and (second["k"] == 7).all()


def test_a_state_that_is_an_input_passed_on_is_a_copy():
    model = le.Model(Graph((Value("x", ("batch", 3)), Value("h", ("batch", 3))),
                           (node("Identity", ("x",), "h2"), node("Add", ("x", "h"), "y")), ("y", "h2")))
    stream, x = model.stream(1, {"h": "h2"}), ONES.copy()
    stream.step(x)
    x[...] = 50
    assert (stream.state["h"] == 1).all() and (stream.step(ONES) == 2).all()


@pytest.mark.parametrize("calls", [1, 2, 3])         # from the second on the run is replayed
def test_outputs_of_predict_are_apart(calls):
    model = carried()
    for _ in range(calls):
        made = model.predict((ONES, ONES))
        made["h2"][...] = 99
        assert (made["y"] == 2).all()
        made["y"][...] = 98
        made["k"][...] = 97
        assert (made["h2"] == 99).all() and (ONES == 1).all()
    assert (model.predict((ONES, ONES))["k"] == 7).all()


def test_out_that_shares_memory_is_refused():
    model, memory = carried(), np.zeros((2, 3), np.float32)
    x = np.ones((1, 3), np.float32)
    with pytest.raises(le.ArgumentError, match="share memory"):
        model.predict((ONES, ONES), out={"y": memory[:1], "h2": memory[:1]})
    with pytest.raises(le.ArgumentError, match="shares memory with an input"):
        model.predict((x, ONES), out={"y": x})
    quick = le.Model([le.Dense(np.eye(3, dtype=np.float32))])
    x = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    with pytest.raises(le.ArgumentError, match="shares memory with an input"):
        quick.predict(x, out=x)


def test_out_may_be_what_lengths_and_states_were_given_in():
    """Both are copied before the run begins, so writing over them harms nobody."""
    model = le.Model([le.LSTM(np.full((1, 12, 3), 0.1, np.float32), np.full((1, 12, 3), 0.1, np.float32),
                              return_sequences=False)])
    x, state = np.ones((2, 4, 3), np.float32), np.full((2, 1, 3), 0.5, np.float32)
    wanted = model.predict(x, initial_state={"lstm": {"h": state}})
    given = state.copy()
    assert np.array_equal(model.predict(x, initial_state={"lstm": {"h": given}}, out=given.reshape(2, 3)), wanted)


def test_out_of_a_masked_array_is_refused():
    model = le.Model([le.Dense(np.eye(3, dtype=np.float32))])
    x = np.ones((1, 2, 3), np.float32)
    with pytest.raises(le.ArgumentTypeError, match="MaskedArray"):
        model.predict(x, out=np.ma.masked_all((1, 2, 3), np.float32))
