"""Model.predict: parts of a batch, given outputs, states handed on, inputs and outputs, dtypes, BLAS, pickling."""

import io
import pickle
import threading
from contextlib import redirect_stderr, redirect_stdout
from functools import partial

import numpy as np
import pytest
import random_layers
from random_layers import normal
from same_bits import NETWORKS, Network, Weights, is_causal

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import GRU, LSTM, Dense, Graph, Operator, Value

B, T, I, H = 5, 6, 4, 7        # noqa: E741  (ONNX calls it so)
lstm = partial(random_layers.lstm, I, H)
# float32 sums of at most 20 terms of size 1 over 6 steps.
CLOSE = dict(rtol=0, atol=3e-6)


def cell(kind=LSTM, name="cell", features=I, dirs=1, inputs=("x",), outputs=("y",), **fields):
    rows = kind.gates * H
    return kind(name=name, inputs=inputs, outputs=outputs, W=normal(dirs, rows, features), R=normal(dirs, rows, H),
                B=normal(dirs, 2 * rows), direction="bidirectional" if dirs == 2 else "forward", **fields)


def two_ways():
    """Two inputs, two outputs: a sequence and a vector of other numbers."""
    graph = Graph((Value("x", ("batch", "time", I)), Value("v", ("batch", 3))),
                  (cell(outputs=("y", "h")), Dense(name="dense", inputs=("h",), outputs=("d",), kernel=normal(H, 3)),
                   Operator(name="add", inputs=("d", "v"), outputs=("s",), op_type="Add")), ("y", "s"))
    return le.Model(graph)


def time_major():
    """ONNX's layout 0 outside: x [time, batch, I], y [time, 1, batch, H], h [1, batch, H]."""
    def move(name, op_type, x, y, **attributes):
        constants = {1: np.array([attributes.pop("axis")])} if op_type == "Unsqueeze" else {}
        return Operator(name=name, inputs=(x, *[""] * len(constants)), outputs=(y,), op_type=op_type,
                        constants=constants, attributes=attributes)

    return le.Model(Graph((Value("x", ("time", "batch", I)),), (
        move("in", "Transpose", "x", "turned", perm=(1, 0, 2)), cell(inputs=("turned",), outputs=("seq", "last")),
        move("out", "Transpose", "seq", "back", perm=(1, 0, 2)), move("dirs", "Unsqueeze", "back", "y", axis=1),
        move("dirs_h", "Unsqueeze", "last", "h", axis=0)), ("y", "h")))


X = normal(B, T, I)
LENGTHS = np.array([6, 0, 3, 1, 5])


# ---- parts of a batch, progress -------------------------------------------------------------------------------

@pytest.mark.parametrize("batch_size", (1, 2, 3, 5, 99, np.int64(2)))
def test_batch_size(batch_size):
    model = le.Model([lstm()])
    np.testing.assert_array_equal(model.predict(X, batch_size=batch_size), model.predict(X))
    y, state = model.predict(X, LENGTHS, batch_size=batch_size, return_state=True)
    whole, final = model.predict(X, LENGTHS, return_state=True)
    np.testing.assert_array_equal(y, whole)
    for part in "hc":
        np.testing.assert_array_equal(state["lstm"][part], final["lstm"][part])
    again = model.predict(X, initial_state=final, batch_size=batch_size)
    np.testing.assert_array_equal(again, model.predict(X, initial_state=final))


def test_parts_of_several_inputs_and_outputs():
    model, v = two_ways(), normal(B, 3)
    whole = model.predict({"x": X, "v": v})
    for result in (model.predict((X, v), batch_size=2), model.predict({"v": v, "x": X}, batch_size=1), model((X, v))):
        assert list(result) == ["y", "s"]
        for name in whole:
            np.testing.assert_array_equal(result[name], whole[name])


def test_parts_lists_and_missing_values_together():
    model = le.Model([lstm()])
    holed = X.copy()
    holed[2, 1] = np.nan
    rows = [row[:length] for row, length in zip(holed, LENGTHS, strict=True)]
    whole = model.predict(rows, nan="mask")
    for one, other in zip(model.predict(rows, nan="mask", batch_size=2), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_that_cannot_be_parted_is_refused():
    fixed = le.Model(Graph((Value("x", (B, "time", I)),), (cell(),), ("y",)))
    np.testing.assert_array_equal(fixed.predict(X, batch_size=B), le.Model([lstm()]).predict(X))
    with pytest.raises(le.UnsupportedError, match="batch_size: this model fixes its batch"):
        fixed.predict(X, batch_size=2)
    mean = Operator(name="mean", inputs=("y", ""), outputs=("m",), op_type="ReduceMean", attributes={"keepdims": 0},
                    constants={1: np.array([0])})
    across = le.Model(Graph((Value("x", ("batch", "time", I)),), (cell(), mean), ("m",)))
    assert across.predict(X).shape == (T, H)
    with pytest.raises(le.UnsupportedError, match=r"makes 'm' of all rows at once, in 'mean' \(ReduceMean\)"):
        across.predict(X, batch_size=2)


def test_progress_goes_to_stderr_and_changes_nothing():
    model, err, out = le.Model([lstm()]), io.StringIO(), io.StringIO()
    with redirect_stderr(err), redirect_stdout(out):
        y = model.predict(X, progress=True)
    np.testing.assert_array_equal(y, model.predict(X))
    assert f"{B}/{B}" in err.getvalue() and err.getvalue().endswith("\n") and not out.getvalue()
    err = io.StringIO()
    with redirect_stderr(err):
        assert model.predict(X[:0], progress=True).shape == (0, T, H)


# ---- given outputs ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", ({}, {"batch_size": 2}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "batch_size": 2},
                                     {"nan": "mask"}, {"nan": "mask", "batch_size": 2}, {"progress": True}))
def test_out_is_filled_and_returned(options):
    model, x = le.Model([lstm()]), X.copy()
    x[0, 2] = np.nan if "nan" in options else x[0, 2]
    wanted = model.predict(x, **options)
    for out in (np.full_like(wanted, 7), {"output": np.full_like(wanted, 7)}):
        y = model.predict(x, out=out, **options)
        given = out["output"] if isinstance(out, dict) else out
        assert y is given
        np.testing.assert_array_equal(given, wanted)


@pytest.mark.parametrize("batch_size", (None, 2))
def test_out_of_several_outputs_host_operators_among_them(batch_size):
    model, v = two_ways(), normal(B, 3)
    wanted = model.predict((X, v))
    out = {name: np.full_like(array, 7) for name, array in wanted.items()}
    result = model.predict((X, v), out=out, batch_size=batch_size)
    for name, array in wanted.items():
        assert result[name] is out[name]
        np.testing.assert_array_equal(out[name], array)
    only = {"s": np.empty((B, 3), np.float32)}
    assert model.predict((X, v), out=only, batch_size=batch_size)["s"] is only["s"]
    np.testing.assert_array_equal(only["s"], wanted["s"])


def test_results_are_the_callers_own():
    """An output that is an input or a constant of the model, passed on: writing to it must change neither."""
    identity = Operator(name="same", inputs=("x",), outputs=("copy",), op_type="Identity")
    constant = Operator(name="fixed", inputs=("",), outputs=("const",), op_type="Identity", constants={0: normal(2, 2)})
    model = le.Model(Graph((Value("x", ("batch", "time", I)),), (cell(), identity, constant), ("y", "copy", "const")))
    x = X.copy()
    first = model.predict(x)
    first["copy"][:] = 9
    first["const"][:] = 9
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(model.predict(x)["const"], normal(2, 2))
    padded = model.predict(x, LENGTHS)["copy"]
    np.testing.assert_array_equal(x, X)                       # the zeros past the end are not written into the input
    assert not padded[1].any()


# ---- states -----------------------------------------------------------------------------------------------------

def test_states_handed_on_continue_the_sequence():
    model = le.Model([lstm(), le.GRU(normal(1, 3 * H, H), normal(1, 3 * H, H))])
    y, state = model.predict(X[:, :2], return_state=True)
    assert state.keys() == {"lstm", "gru"} and state["lstm"].keys() == {"h", "c"} and state["gru"].keys() == {"h"}
    assert state["lstm"]["c"].shape == (B, 1, H)
    rest, final = model.predict(X[:, 2:], initial_state=state, return_state=True)
    whole, whole_final = model.predict(X, return_state=True)
    np.testing.assert_array_equal(np.concatenate([y, rest], axis=1), whole)
    np.testing.assert_array_equal(final["gru"]["h"], whole_final["gru"]["h"])
    np.testing.assert_array_equal(final["gru"]["h"][:, 0], whole[:, -1])


def test_states_of_both_directions():
    layer = le.LSTM(normal(2, 4 * H, I), normal(2, 4 * H, H), normal(2, 8 * H), direction="bidirectional")
    model = le.Model([layer])
    given = {"lstm": {"h": normal(B, 2, H), "c": normal(B, 2, H, seed=1)}}
    y, state = model.predict(X, LENGTHS, initial_state=given, return_state=True)
    Y, Y_h, Y_c = reference.lstm(X, layer.W, layer.R, layer.B, LENGTHS, given["lstm"]["h"], given["lstm"]["c"],
                                 direction="bidirectional")
    np.testing.assert_allclose(y, Y.reshape(B, T, 2 * H), **CLOSE)
    np.testing.assert_allclose(state["lstm"]["h"], Y_h, **CLOSE)
    np.testing.assert_allclose(state["lstm"]["c"], Y_c, **CLOSE)
    np.testing.assert_array_equal(state["lstm"]["h"][1], given["lstm"]["h"][1])         # the row without steps


def test_a_state_is_cast_and_copied():
    model = le.Model([lstm()])
    state = {"lstm": {"h": normal(B, 1, H).astype(float).tolist()}}
    y = model.predict(X, initial_state=state)
    np.testing.assert_array_equal(y, model.predict(X, initial_state={"lstm": {"h": normal(B, 1, H)}}))
    _, final = model.predict(X, return_state=True)
    kept = final["lstm"]["h"].copy()
    model.predict(-X, return_state=True)
    np.testing.assert_array_equal(final["lstm"]["h"], kept)
    assert final["lstm"]["h"].flags.owndata and final["lstm"]["h"].flags.writeable


# ---- nothing at all ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", ((0, T, I), (B, 0, I), (0, 0, I)))
@pytest.mark.parametrize("options", ({}, {"batch_size": 2}, {"threads": 2}, {"nan": "mask"}, {"nan": "error"}))
def test_no_rows_and_no_steps(shape, options):
    x = np.zeros(shape, np.float32)
    y, state = le.Model([lstm()]).predict(x, return_state=True, **options)
    assert y.shape == (*shape[:2], H) and state["lstm"]["h"].shape == (shape[0], 1, H)
    assert not state["lstm"]["h"].any()
    head = le.Model([lstm(return_sequences=False), le.Dense(normal(H, 2), normal(2))])
    z = head.predict(x, **options)
    np.testing.assert_array_equal(z, np.tile(normal(2), (shape[0], 1)))
    for kind in ("last", "mean", "max"):
        assert not le.Model([lstm(), le.Pool(kind)]).predict(x, **options).any()
    lengths = np.zeros(shape[0], int)
    assert le.Model([lstm()]).predict(x, lengths, **options).shape == (*shape[:2], H)


def test_no_steps_keep_the_state():
    given = {"lstm": {"h": normal(B, 1, H), "c": normal(B, 1, H, seed=2)}}
    _, state = le.Model([lstm()]).predict(X[:, :0], initial_state=given, return_state=True)
    for part in "hc":
        np.testing.assert_array_equal(state["lstm"][part], given["lstm"][part])


# ---- layouts ----------------------------------------------------------------------------------------------------

def test_time_first_inputs_and_outputs():
    """Everything that counts rows or steps finds them where they stand."""
    model, house = time_major(), le.Model([lstm()])
    x = np.ascontiguousarray(X.swapaxes(0, 1))
    for options in ({}, {"batch_size": 2}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "batch_size": 3}):
        wanted, final = house.predict(X, return_state=True, **options)
        result, state = model.predict(x, return_state=True, **options)
        np.testing.assert_array_equal(result["y"][:, 0].swapaxes(0, 1), wanted)
        np.testing.assert_array_equal(result["h"][0], final["lstm"]["h"][:, 0])
        np.testing.assert_array_equal(state["cell"]["c"], final["lstm"]["c"])
        np.testing.assert_array_equal(model.predict(x, initial_state=state)["y"][:, 0].swapaxes(0, 1),
                                      house.predict(X, initial_state=final))
    rows = [row[:length] for row, length in zip(X, LENGTHS, strict=True)]
    listed = model.predict(rows)
    for mine, right in zip(listed["y"], house.predict(rows), strict=True):
        np.testing.assert_array_equal(mine[:, 0], right)
    holed = X.copy()
    holed[1, 3, 2] = holed[4, 0] = np.nan
    np.testing.assert_array_equal(model.predict(holed.swapaxes(0, 1), nan="mask")["y"][:, 0].swapaxes(0, 1),
                                  house.predict(holed, nan="mask"))
    with pytest.raises(le.ArgumentError, match="lengths: expected 5 of them"):
        model.predict(x, lengths=[1] * T)


def test_time_first_streams():
    model, wanted = time_major(), le.Model([lstm()]).predict(X)
    stream = model.stream(B)
    first = stream.step(X[:, 0])
    np.testing.assert_array_equal(first["y"][0], wanted[:, 0])
    rest = stream.run(X[:, 1:].swapaxes(0, 1))
    np.testing.assert_array_equal(rest["y"][:, 0].swapaxes(0, 1), wanted[:, 1:])
    np.testing.assert_array_equal(rest["h"][:, 0].swapaxes(0, 1), wanted[:, 1:])


def test_lengths_are_refused_where_an_operator_works_across_time():
    """Softmax over the steps, of rank 3 and of rank 2."""
    for nodes, output in (
            ([Operator(name="attend", inputs=("y",), outputs=("z",), op_type="Softmax", attributes={"axis": 1})], "z"),
            ([Dense(name="score", inputs=("y",), outputs=("s",), kernel=normal(H, 1)),
              Operator(name="flat", inputs=("s", ""), outputs=("f",), op_type="Squeeze", constants={1: np.array([2])}),
              Operator(name="attend", inputs=("f",), outputs=("z",), op_type="Softmax",
                       attributes={"axis": -1})], "z")):
        model = le.Model(Graph((Value("x", ("batch", "time", I)),), (cell(), *nodes), (output,)))
        model.predict(X)
        for options in ({"lengths": LENGTHS}, {"nan": "mask"}):
            holed = X.copy()
            holed[0, 0, 0] = np.nan
            with pytest.raises(le.UnsupportedError, match=r"cannot be used with this model: node 'attend' \(Softmax\)"):
                model.predict(holed, **options)


def test_features_as_many_as_steps_are_no_steps():
    """With sizes alone to go by, a vector of T features stays whole under lengths."""
    dense = Dense(name="dense", inputs=("h",), outputs=("d",), kernel=normal(H, T))
    fixed = le.Model(Graph((Value("x", ("batch", T, I)),), (cell(outputs=("", "h")), dense), ("d",)))
    free = le.Model(Graph((Value("x", ("batch", "time", I)),), (cell(outputs=("", "h")), dense), ("d",)))
    np.testing.assert_array_equal(fixed.predict(X, LENGTHS), free.predict(X, LENGTHS))


# ---- dtypes, BLAS, copies ---------------------------------------------------------------------------------------

def built(kind, **options):
    return le.Model(NETWORKS[kind](Weights(np.random.default_rng(3), 20, 33)), **options)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("options, tolerance", (
    # float32: sums of up to 33 terms of size 1/6 over 7 steps, through a stack. float64: the same with 1e-16.
    ({"gemm": "blas"}, 3e-6), ({"dtype": "float64"}, 1e-14), ({"dtype": "float64", "gemm": "blas"}, 1e-14)))
def test_blas_and_float64_everywhere(kind, options, tolerance):
    x = Network(kind, 20, 33, 6, 7, 3).input()
    model, lengths = built(kind, **options), np.array([7, 0, 3, 7, 1, 5])
    exact = reference.run(model.graph, {"input": x})["output"]
    y = model.predict(x)
    assert y.dtype == model.dtype == options.get("dtype", "float32") and model.gemm == options.get("gemm", "packed")
    np.testing.assert_allclose(y, exact, rtol=0, atol=tolerance)
    exact = reference.run(model.graph, {"input": x}, lengths=lengths)["output"]
    np.testing.assert_allclose(model.predict(x, lengths, threads=2), exact, rtol=0, atol=tolerance)
    if is_causal(model):
        whole = reference.run(model.graph, {"input": x})["output"]
        made = model.stream(len(x)).run(x)
        np.testing.assert_allclose(made if whole.ndim == 3 else made[:, -1], whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("options", ({}, {"gemm": "blas"}, {"dtype": "float64"}))
def test_models_pickle(kind, options):
    model = built(kind, **options)
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.gemm, copy.dtype, repr(copy)) == (model.gemm, model.dtype, repr(model))
    assert copy.summary() == model.summary()
    x = Network(kind, 20, 33, 6, 7, 3).input()
    np.testing.assert_array_equal(copy.predict(x), model.predict(x))


def test_the_dtype_belongs_to_the_model():
    single, double = le.Model([lstm()]), le.Model([lstm()], dtype="float64")
    assert single.predict(X.astype(float)).dtype == np.float32
    assert double.predict(X).dtype == np.float64
    np.testing.assert_array_equal(single.predict(X.astype(float)), single.predict(X))
    wide = le.LSTM(normal(1, 4 * H, I).astype(float), normal(1, 4 * H, H).astype(float))
    assert le.Model([wide]).dtype == "float64" and le.Model([wide], dtype="float32").dtype == "float32"


def test_numbers_of_other_kinds_are_cast():
    model = le.Model([lstm()])
    whole = np.arange(B * T * I).reshape(B, T, I) % 5
    wanted = model.predict(whole.astype(np.float32))
    for dtype in (np.int8, np.uint16, np.int64, np.float16, np.float64, np.longdouble, ">f8"):
        np.testing.assert_array_equal(model.predict(whole.astype(dtype)), wanted)
    np.testing.assert_array_equal(model.predict(whole > 2), model.predict((whole > 2).astype(np.float32)))
    beyond = np.zeros((1, 1, I))
    beyond[..., 0] = 1e300
    with np.errstate(all="raise"):                            # a number beyond float32 is inf, as IEEE has it
        np.testing.assert_array_equal(model.predict(beyond), model.predict(np.where(beyond > 0, np.inf, 0)))


def test_one_model_in_many_threads():
    model = built("stack of ways")
    x = Network("stack of ways", 20, 33, 6, 7, 3).input()
    inputs = [x[:n, :t] for n, t in ((6, 7), (1, 7), (3, 2), (6, 1))]
    wanted = [model.predict(part) for part in inputs]
    wrong = []

    def use(number):
        for turn in range(30):
            which = (number + turn) % len(inputs)
            if not np.array_equal(model.predict(inputs[which], threads=1 + turn % 2), wanted[which]):
                wrong.append((number, turn))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_kinds_of_cells_are_all_tried():
    """The networks of the tests above hold every cell and both ways of the reset gate."""
    nodes = [node for kind in NETWORKS for node in built(kind).graph.nodes]
    assert {node.op for node in nodes} >= {"LSTM", "GRU", "RNN", "Dense", "Embedding", "Pool"}
    assert {node.linear_before_reset for node in nodes if isinstance(node, GRU)} == {False, True}
