"""`predict(out=)` where only the run tells a size, and arrays that may not be one."""

from __future__ import annotations

from typing import Any

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


# ---- the output's own dtype -----------------------------------------------------------------------------------------

DTYPES = {"place": np.int64, "above": np.bool_, "wide": np.float64, "whole": np.int32, "y": np.float32}


def of_many_dtypes() -> Any:
    """An ONNX model of float32 layers whose outputs are of other dtypes."""
    onnx_graphs = pytest.importorskip("onnx_graphs")
    node, rng = onnx_graphs.node, np.random.default_rng(4)
    return onnx_graphs.model(
        [node("LSTM", "x W R", "l", hidden_size=4), node("Squeeze", "l one", "y"),
         node("ArgMax", "y", "place", axis=2, keepdims=0), node("Greater", "y zero", "above"),
         node("Cast", "y", "wide", to=11), node("Mul", "y ten", "tens"), node("Cast", "tens", "whole", to=6)],
        {"x": ("time", "batch", 3)}, "place above wide whole y",
        {"W": rng.standard_normal((1, 16, 3)).astype("f4"), "R": rng.standard_normal((1, 16, 4)).astype("f4"),
         "one": np.array([1]), "zero": np.float32(0), "ten": np.float32(10)})


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"lengths": [5, 2, 4]}, {"threads": 2}], ids=str)
def test_each_output_goes_to_an_array_of_its_own_dtype(options):
    onnx_graphs = pytest.importorskip("onnx_graphs")
    pytest.importorskip("onnxruntime")
    source, engine = of_many_dtypes(), le.convert(of_many_dtypes())
    x = np.random.default_rng(6).standard_normal((5, 3, 3)).astype(np.float32)
    wanted = onnx_graphs.runtime_outputs(source, {"x": x})
    if "lengths" in options:
        for row, length in enumerate(options["lengths"]):
            for array in wanted.values():
                array[length:, row] = 0
    for _ in range(3):                                          # the third is a recorded run
        out = {name: np.ones(wanted[name].shape, dtype) for name, dtype in DTYPES.items()}
        made = engine.predict(x, out=out, **options)
        for name, array in out.items():
            assert made[name] is array and array.dtype == wanted[name].dtype, name
            np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-6, err_msg=name)     # five steps, sums of 7


@pytest.mark.parametrize("name", DTYPES)
def test_another_dtype_than_the_output_has_is_refused(name):
    engine = le.convert(of_many_dtypes())
    x = np.zeros((5, 3, 3), np.float32)
    shape = (5, 3) if name == "place" else (5, 3, 4)
    for dtype in {*DTYPES.values()} - {DTYPES[name]}:
        with pytest.raises(ArgumentError, match=rf"out '{name}': expected {np.dtype(DTYPES[name])} of shape .*, got "
                                                rf"{np.dtype(dtype)} of shape"):
            engine.predict(x, out={name: np.ones(shape, dtype)})


def test_one_output_of_whole_numbers():
    """The only output, given as an array: of float32 layers, an int64."""
    x = Value("x", ("batch", "time", 3))
    rnn = RNN(name="rnn", inputs=("x",), outputs=("y",), W=np.eye(3, dtype=np.float32)[None],
              R=np.zeros((1, 3, 3), np.float32))
    most = Operator(name="most", inputs=("y",), outputs=("place",), op_type="ArgMax",
                    attributes={"axis": 2, "keepdims": 0})
    engine, data = le.Model(Graph((x,), (rnn, most), ("place",))), np.eye(3, dtype=np.float32)[None, [2, 0, 1, 1]]
    for _ in range(3):
        out = np.full((1, 4), -1, np.int64)
        assert engine.predict(data, out=out) is out
        np.testing.assert_array_equal(out, [[2, 0, 1, 1]])
    with pytest.raises(ArgumentError, match="expected int64"):
        engine.predict(data, out=np.ones((1, 4), np.float32))


@pytest.mark.parametrize("options", [{}, {"lengths": [4, 3]}, {"batch_size": 1}, {"nan": "mask"}], ids=str)
def test_a_memory_map_is_an_array_like_any_other(tmp_path, options):
    x = Value("x", ("batch", "time", 3))
    rnn = RNN(name="rnn", inputs=("x",), outputs=("y",), W=np.eye(3, dtype=np.float32)[None],
              R=np.zeros((1, 3, 3), np.float32))
    engine, data = le.Model(Graph((x,), (rnn,), ("y",))), np.ones((2, 4, 3), np.float32)
    given = np.memmap(tmp_path / "x", np.float32, "w+", shape=data.shape)
    given[...] = data
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=data.shape)
    assert engine.predict(given, out=out, **options) is out
    np.testing.assert_array_equal(out, engine.predict(data, **options))
    assert out.any()


@pytest.mark.parametrize("dtype, other", [("float64", "float32"), ("float32", "float64")])
def test_layers_alone_write_to_their_own_dtype(dtype, other):
    """The direct way to the core, which is handed `out` as it comes."""
    x = Value("x", ("batch", "time", 3), dtype)
    rnn = RNN(name="rnn", inputs=("x",), outputs=("y",), W=np.eye(3, dtype=dtype)[None], R=np.zeros((1, 3, 3), dtype))
    engine, data = le.Model(Graph((x,), (rnn,), ("y",))), np.ones((2, 4, 3), dtype)
    out = np.zeros((2, 4, 3), dtype)
    assert engine.predict(data, out=out) is out
    np.testing.assert_allclose(out, np.tanh(data), rtol=1e-6)           # a rounding or two of a float32
    with pytest.raises(ArgumentError, match=f"expected {dtype} of shape .*, got {other}"):
        engine.predict(data, out=out.astype(other))
