"""`predict(out=)` where only the run tells a size, and arrays that may not be one."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.errors import ArgumentError
from lstm_engine.graph import RNN, Dense, Graph, Operator, Value


@pytest.fixture
def gathered() -> le.Model:
    """Rows of x where an input is not 0, and the same through a Dense: their number is known when the model runs."""
    x, rows = Value("x", ("batch", 3)), Value("rows", ("n",), "int64")
    where = Operator(name="where", inputs=("rows",), outputs=("where",), op_type="NonZero")
    flat = Operator(name="flat", inputs=("where", ""), outputs=("flat",), op_type="Squeeze",
                    constants={1: np.array([0], np.int64)})
    pick = Operator(name="pick", inputs=("x", "flat"), outputs=("picked",), op_type="Gather", attributes={"axis": 0})
    dense = Dense(name="dense", inputs=("picked",), outputs=("made",), kernel=np.eye(3, 2, dtype=np.float32))
    return le.Model(Graph((x, rows), (where, flat, pick, dense), ("picked", "made")))


X = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_a_size_that_only_the_run_tells(gathered):
    inputs = {"x": X, "rows": np.array([1, 0, 2, 0])}
    out = {"picked": np.empty((2, 3), np.float32), "made": np.empty((2, 2), np.float32)}
    y = gathered.predict(inputs, out=out)
    assert y["picked"] is out["picked"] and y["made"] is out["made"]
    np.testing.assert_array_equal(out["picked"], X[[0, 2]])
    np.testing.assert_array_equal(out["made"], X[[0, 2], :2])


@pytest.mark.parametrize("name, rows, width", [("picked", 3, 3), ("picked", 1, 3), ("made", 3, 2), ("made", 1, 2)])
def test_another_size_is_refused_and_never_broadcast(gathered, name, rows, width):
    with pytest.raises(ArgumentError, match=rf"'{name}'.*expected shape \[2, {width}\], got \[{rows}, {width}\]"):
        gathered.predict({"x": X, "rows": np.array([1, 0, 2, 0])}, out={name: np.empty((rows, width), np.float32)})


def test_outputs_in_one_memory_are_refused(gathered):
    memory = np.empty((2, 3), np.float32)
    with pytest.raises(ArgumentError, match="out 'picked' and 'made' share memory"):
        gathered.predict({"x": X, "rows": np.array([1, 0, 2, 0])},
                         out={"picked": memory, "made": memory.reshape(-1)[:4].reshape(2, 2)})


def test_an_output_that_was_expanded_is_an_array_of_its_own():
    """A caller may write to it, and `lengths` cut it off."""
    x = Value("x", ("batch", "time", 3))
    rnn = RNN(name="rnn", inputs=("x",), outputs=("y",), W=np.eye(3, dtype=np.float32)[None],
              R=np.zeros((1, 3, 3), np.float32))
    wide = Operator(name="wide", inputs=("y", ""), outputs=("wide",), op_type="Unsqueeze",
                    constants={1: np.array([2], np.int64)})
    expand = Operator(name="expand", inputs=("wide", ""), outputs=("z",), op_type="Expand",
                      constants={1: np.array([1, 1, 4, 3], np.int64)})
    model = le.Model(Graph((x,), (rnn, wide, expand), ("z",)))
    data = np.ones((2, 5, 3), np.float32)
    for _ in range(3):                                       # the third is a recorded run
        z = model.predict(data)
        assert z.flags.writeable
        np.testing.assert_array_equal(z, np.repeat(np.tanh(data)[:, :, None], 4, axis=2))
    cut = model.predict(data, lengths=[2, 5])
    assert (cut[0, 2:] == 0).all() and (cut[0, :2] != 0).all() and (cut[1] != 0).all()
