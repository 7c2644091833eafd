"""Every argument of every public function is given what it is not made for: the right answer, or one of our errors."""


import copy
import pickle

import numpy as np
import pytest
from misuse import ODD, Subclass, keeps_the_rule

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value


def filled(*shape: int) -> np.ndarray:
    return np.full(shape, 0.1, np.float32)


X = filled(1, 2, 3)
IDS = np.ones((1, 2), np.int32)
W, R, B = filled(1, 8, 3), filled(1, 8, 2), filled(1, 16)


def lstm() -> le.Model:
    return le.Model([le.LSTM(W, R, B)])


def tokens() -> le.Model:
    return le.Model([le.Embedding(filled(10, 3)), le.LSTM(W, R, B)])


def several() -> le.Model:
    """Two inputs, two outputs, through NumPy; one output is a constant of the model."""
    nodes = (Operator(name="add", inputs=("a", "b"), outputs=("sum",), op_type="Add"),
             Operator(name="same", inputs=("a",), outputs=("same",), op_type="Identity"))
    return le.Model(Graph((Value("a", ("batch", 3)), Value("b", ("batch", 3))), nodes, ("sum", "same")))


def set_state(value) -> None:
    lstm().stream(1).state = value


PREDICT = ("lengths", "batch_size", "progress", "out", "threads", "initial_state", "return_state", "nan")
OPERATOR = ("B", "sequence_lens", "initial_h", "direction", "activations", "activation_alpha", "activation_beta",
            "clip", "layout", "hidden_size", "threads")
PADDING = ("length", "side", "truncate", "value", "dtype")
CONVERT = ("gemm", "dtype", "spec", "pool", "activations", "order", "example_inputs")
SITES = {
    "predict x": lambda v: lstm().predict(v),
    "predict ids": lambda v: tokens().predict(v),
    "predict two": lambda v: several().predict(v),
    "predict second": lambda v: several().predict((filled(1, 3), v)),
    "predict by name": lambda v: lstm().predict({"input": v}),
    "predict list": lambda v: lstm().predict([X[0], v]),
    "predict state": lambda v: lstm().predict(X, initial_state={"lstm": {"h": v}}),
    "predict lengths by name": lambda v: lstm().predict(X, {"input": v}),
    "predict out by name": lambda v: several().predict((filled(1, 3), filled(1, 3)), out={"sum": v}),
    **{f"predict {name}": lambda v, name=name: lstm().predict(X, **{name: v}) for name in PREDICT},
    **{f"predict ids {name}": lambda v, name=name: tokens().predict(IDS, **{name: v}) for name in PREDICT},
    "stream batch": lambda v: lstm().stream(v),
    "stream states": lambda v: lstm().stream(1, v),
    "stream threads": lambda v: lstm().stream(1, None, v),
    "step": lambda v: lstm().stream(1).step(v),
    "step ids": lambda v: tokens().stream(1).step(v),
    "run": lambda v: lstm().stream(1).run(v),
    "run ids": lambda v: tokens().stream(1).run(v),
    "reset": lambda v: lstm().stream(1).reset(v),
    "state": set_state,
    "Model": le.Model,
    "Model of one": lambda v: le.Model([v]),
    "Model gemm": lambda v: le.Model([le.Dense(filled(3, 2))], gemm=v),
    "Model dtype": lambda v: le.Model([le.Dense(filled(3, 2))], dtype=v),
    "Embedding": lambda v: le.Model([le.Embedding(v)]),
    "Dense": lambda v: le.Model([le.Dense(v)]),
    "Dense bias": lambda v: le.Model([le.Dense(filled(3, 2), v)]),
    "Dense activation": lambda v: le.Model([le.Dense(filled(3, 2), None, v)]),
    "Activate": lambda v: le.Model([le.Dense(filled(3, 2)), le.Activate(v)]),
    "Pool": lambda v: le.Model([le.LSTM(W, R), le.Pool(v)]),
    **{f"LSTM {name}": lambda v, name=name: le.Model([le.LSTM(**{"W": W, "R": R, name: v})])
       for name in ("W", "R", "B", "direction", "return_sequences", "activations", "clip", "P", "projection",
                    "input_forget", "peephole_output", "cell_clip")},
    "GRU linear_before_reset": lambda v: le.Model([le.GRU(filled(1, 6, 3), filled(1, 6, 2), linear_before_reset=v)]),
    "RNN activations": lambda v: le.Model([le.RNN(filled(1, 2, 3), filled(1, 2, 2), activations=v)]),
    **{f"ops X {name}": lambda v, name=name: getattr(le.ops, name)(v, W, R) for name in ("lstm", "gru", "rnn")},
    "ops W": lambda v: le.ops.lstm(X, v, R),
    "ops R": lambda v: le.ops.lstm(X, W, v),
    **{f"ops {name}": lambda v, name=name: le.ops.lstm(X, W, R, **{name: v})
       for name in (*OPERATOR, "P", "initial_c", "input_forget")},
    "ops gru": lambda v: le.ops.gru(X, filled(1, 6, 3), filled(1, 6, 2), linear_before_reset=v),
    "pad_sequences": le.pad_sequences,
    "pad_sequences list": lambda v: le.pad_sequences([[1, 2], v]),
    **{f"pad_sequences {name}": lambda v, name=name: le.pad_sequences([[1, 2]], **{name: v}) for name in PADDING
       if name != "length"},
    "load": le.load,
    "save": lambda v: lstm().save(v),
    "convert": le.convert,
    **{f"convert {name}": lambda v, name=name: le.convert("missing.onnx", **{name: v}) for name in CONVERT},
    "verify": lambda v: le.verify(v, "missing.onnx"),
    "set_isa": le.set_isa,
    "set_num_threads": le.set_num_threads,
}
HUGE = {("pad_sequences list", "an array without memory"), ("pad_sequences", "an array without memory"),
        ("pad_sequences value", "an array without memory")}      # the system may give the memory, a page at a time


@pytest.fixture(autouse=True)
def untouched(tmp_path, monkeypatch):
    """Files go to a folder of the test's own, and the settings of the process are as before."""
    monkeypatch.chdir(tmp_path)
    yield
    le.set_isa(None)
    le.set_num_threads(None)


@pytest.mark.parametrize("site", SITES)
def test_whatever_the_argument(site):
    for name, make in ODD.items():
        if (site, name) in HUGE:
            continue
        try:
            keeps_the_rule(lambda make=make: SITES[site](make()))
        except BaseException as error:
            raise AssertionError(f"{site}: {name}: {type(error).__name__}: {error}") from error


# ---- valid, though rare --------------------------------------------------------------------------------------

def test_an_empty_batch_with_states():
    model = lstm()
    nothing = np.zeros((0, 5, 3), np.float32)
    state = {"lstm": {"h": np.zeros((0, 1, 2), np.float32), "c": np.zeros((0, 1, 2), np.float32)}}
    y, after = model.predict(nothing, initial_state=state, return_state=True)
    assert y.shape == (0, 5, 2) and after["lstm"]["h"].shape == after["lstm"]["c"].shape == (0, 1, 2)
    assert model.predict(nothing, lengths=[], initial_state=state).shape == (0, 5, 2)


def test_states_beyond_float32_are_infinite_without_a_warning():
    given = {"lstm": {"c": np.full((1, 1, 2), 1e300)}}
    wanted = {"lstm": {"c": np.full((1, 1, 2), np.inf, np.float32)}}
    with np.errstate(all="raise"):
        assert np.array_equal(lstm().predict(X, initial_state=given), lstm().predict(X, initial_state=wanted))


ARRAYS = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f4"),
    "big-endian float64": lambda x: x.astype(">f8"),
    "Fortran's order": np.asfortranarray,
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "with gaps": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    "a subclass": lambda x: x.view(Subclass),
    "a masked array without a mask": np.ma.masked_array,
    "lists": lambda x: x.tolist(),
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
}


@pytest.mark.parametrize("form", ARRAYS)
def test_numbers_in_any_form_are_the_same_numbers(form):
    x = np.random.default_rng(0).integers(-8, 8, (3, 4, 3)).astype(np.float32)          # exact in every dtype
    model, state = lstm(), {"lstm": {"h": x[:, :1, :2].copy()}}
    given = ARRAYS[form](x)
    wanted = model.predict(x, initial_state=state)
    with_state = {"lstm": {"h": ARRAYS[form](state["lstm"]["h"]) if form != "with gaps" else state["lstm"]["h"]}}
    assert np.array_equal(model.predict(given, initial_state=with_state), wanted)
    assert np.array_equal(np.array(model.predict(given)), model.predict(x))
    assert np.array_equal(np.array(model.stream(3).run(given)), model.predict(x))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", ">i4", "i8", "u8", "u4"])
def test_ids_of_any_whole_dtype(dtype):
    ids = np.array([[1, 2, 9], [0, 3, 4]])
    wanted = tokens().predict(ids.astype(np.int32))
    assert np.array_equal(tokens().predict(ids.astype(dtype)), wanted)
    assert np.array_equal(tokens().predict(ids.astype(dtype), np.array([3, 3], dtype)), wanted)


# ---- one refused by its words --------------------------------------------------------------------------------

def test_what_they_say():
    for call, message in ((lambda: lstm().stream(2**31), "stream: batch may be at most 2147483647, got 2147483648"),
                          (lambda: lstm().predict(X, nan=np.array([])), "nan is one of propagate, error, mask, not"),
                          (lambda: lstm().save(3), "save: expected the path of a file .* not int"),
                          (lambda: le.load(None), "load: expected a path .* or an open binary file, not NoneType"),
                          (lambda: le.set_isa(["avx2"]), "is not in this build"),
                          (lambda: lstm().predict(X, progress="yes"), "progress is True or False, not 'yes'"),
                          (lambda: le.Model([le.LSTM("a", None, 3)]), "lstm.W: expected an array of numbers")):
        with pytest.raises(le.LstmEngineError, match=message):
            call()


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("model", [lstm, tokens, several])
def test_models_are_copied_and_streams_are_not(copied, model):
    made = model()
    with pytest.raises(le.ArgumentTypeError, match="neither pickled nor copied"):
        copied(made.stream(1))
    again = copied(made)
    again = pickle.loads(again) if isinstance(again, bytes) else again
    given = {name: np.ones([1 if isinstance(dim, str) else dim for dim in value.shape], value.dtype)
             for name, value in made.inputs.items()}
    mine, theirs = made.predict(given), again.predict(given)
    mine, theirs = (({"y": y} if not isinstance(y, dict) else y) for y in (mine, theirs))
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("error", [le.ArgumentError("a"), le.FileError(2, "b"), le.OutOfMemoryError("c")])
def test_errors_are_copied(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)


def test_the_batch_of_a_stream_is_what_it_was_made_with():
    with pytest.raises(AttributeError):
        lstm().stream(1).batch = 5


@pytest.mark.parametrize("form", ARRAYS)
@pytest.mark.parametrize("layout", [0, 1])
def test_operators_take_numbers_in_any_form(form, layout):
    x = np.random.default_rng(0).integers(-8, 8, (3, 4, 3)).astype(np.float32)
    given = ARRAYS[form](x)
    dtype = given.dtype if isinstance(given, np.ndarray) else np.dtype(np.float32)
    weights = [array.astype(dtype.newbyteorder("=")) for array in (W, R, B)]
    if dtype == np.longdouble and dtype != np.float64:
        with pytest.raises(le.ArgumentTypeError, match="X: expected float32 or float64"):
            le.ops.lstm(given, *weights, layout=layout)
        return
    made = le.ops.lstm(given, *[ARRAYS[form](array) if array.ndim == 3 else array for array in weights], layout=layout)
    wanted = le.ops.lstm(x.astype(dtype.newbyteorder("=")), *weights, layout=layout)
    assert all(np.array_equal(a, b) for a, b in zip(made, wanted, strict=True))


@pytest.mark.parametrize("form", ARRAYS)
def test_weights_in_any_form(form):
    weights = [np.random.default_rng(1).integers(-8, 8, array.shape).astype(np.float32) / 8 for array in (W, R)]
    wanted = le.Model([le.LSTM(*weights)], dtype="float32").predict(X)
    given = [ARRAYS[form](array) for array in weights]
    if form == "long double":
        with pytest.raises(le.GraphError, match="[WR] must be one of float16, float32, float64"):
            le.Model([le.LSTM(*given)])
        return
    assert np.array_equal(le.Model([le.LSTM(*given)], dtype="float32").predict(X), wanted)
