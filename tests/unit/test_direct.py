"""The thin way through predict and streams: the answers of the long way, to the bit, and not by going there."""

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import LSTM, Dense, Graph, Value
from lstm_engine.running.inputs import InputCheck

rng = np.random.default_rng(0)
H, F = 12, 5
W, R, B = (rng.standard_normal(shape).astype("f4") for shape in ((1, 4 * H, F), (1, 4 * H, H), (1, 8 * H)))
HEAD = le.Dense(rng.standard_normal((H, 3)).astype("f4"), rng.standard_normal(3).astype("f4"))
TABLE = le.Embedding(rng.standard_normal((20, F)).astype("f4"))
X = rng.standard_normal((4, 7, F))
IDS = rng.integers(0, 20, (4, 7))
LENGTHS = [7, 0, 3, 5]


def lstm(**options):
    return le.LSTM(W, R, B, **options)


MODELS = {
    "sequences": (lambda: le.Model([lstm(), HEAD]), X),
    "last step": (lambda: le.Model([lstm(return_sequences=False), HEAD]), X),
    "ids": (lambda: le.Model([TABLE, lstm(return_sequences=False), HEAD]), IDS),
    "id sequences": (lambda: le.Model([TABLE, lstm()]), IDS),
    "float64": (lambda: le.Model([lstm(), HEAD], dtype="float64"), X),
    "fixed": (lambda: le.Model(Graph((Value("x", (4, 7, F)),), (cell(),), ("y",))), X),
    "vectors": (lambda: le.Model(Graph((Value("v", ("batch", H)),), (dense("v"),), ("d",))),
                rng.standard_normal((4, H))),
}


def cell(inputs=("x",), outputs=("y",)):
    return LSTM(name="cell", inputs=inputs, outputs=outputs, W=W, R=R, B=B)


def dense(x):
    return Dense(name="dense", inputs=(x,), outputs=("d",), kernel=HEAD.kernel, bias=HEAD.bias)


def native(x, model):
    """x in the dtype that the core reads."""
    return x.astype("i4" if x.dtype.kind == "i" else model.dtype)


def calls(model, x):
    """Calls that the quick way answers, by name; x is a native array."""
    name = next(iter(model.inputs))
    out = np.empty_like(model.predict(x))
    found = {
        "array": lambda: model.predict(x),
        "64 bits": lambda: model.predict(x.astype("i8" if x.dtype.kind == "i" else "f8")),
        "32 bits": lambda: model.predict(x.astype("i4" if x.dtype.kind == "i" else "f4")),
        "dict": lambda: model.predict({name: x}), "out": lambda: model.predict(x, out=out),
        "out dict": lambda: model.predict({name: x}, out={next(iter(model.outputs)): out}),
        "threads": lambda: model.predict(x, threads=2),
    }
    if x.ndim + (x.dtype.kind == "i") == 3:
        wide = np.array(LENGTHS)
        found |= {"lengths": lambda: model.predict(x, LENGTHS), "lengths int64": lambda: model.predict(x, wide),
                  "lengths int32": lambda: model.predict(x, wide.astype("i4"), out=out),
                  "no rows": lambda: model.predict(x[:0], []) if "batch" in model.inputs[name].shape else np.empty(0)}
        if "time" in model.inputs[name].shape:
            rows = [row[:length] for row, length in zip(x, LENGTHS, strict=True)]
            found |= {"list": lambda: model.predict(rows),
                      "list of 64 bits": lambda: model.predict([row.astype("i8" if x.dtype.kind == "i" else "f8")
                                                                for row in rows])}
    return found


def long_way(model, monkeypatch):
    monkeypatch.setattr(model, "_direct", None)
    monkeypatch.setattr(model, "_only", None)


@pytest.mark.parametrize("name", MODELS)
def test_same_bits_as_the_long_way(name, monkeypatch):
    make, x = MODELS[name]
    model, other = make(), make()
    long_way(other, monkeypatch)
    x = native(x, model)
    for call, expected in zip(calls(model, x).items(), calls(other, x).values(), strict=True):
        y, wanted = call[1](), expected()
        assert type(y) is type(wanted), call[0]
        for own, want in zip(y, wanted, strict=True):
            assert own.dtype == want.dtype and own.shape == want.shape, call[0]
            assert own.tobytes() == want.tobytes(), call[0]


@pytest.mark.parametrize("name", MODELS)
def test_the_long_way_is_not_taken(name, monkeypatch):
    make, x = MODELS[name]
    model = make()
    own = calls(model, native(x, model))
    own.pop("no rows", None)                 # an empty list of lengths says nothing of its type

    def refuse(*args):
        raise AssertionError("took the long way")

    monkeypatch.setattr(InputCheck, "__call__", refuse)
    for call in own.values():
        call()


def test_out_is_filled_and_returned():
    model = le.Model([lstm()])
    out = np.full((4, 7, H), 9, "f4")
    assert model.predict(X.astype("f4"), out=out) is out
    assert np.array_equal(out, model.predict(X.astype("f4")))


@pytest.mark.parametrize("out", ["shape", "dtype", "read-only", "strided", "shared", "list"])
def test_an_out_that_does_not_fit_is_refused(out):
    model = le.Model([lstm()])
    x = X.astype("f4")
    good = np.zeros((4, 7, H), "f4")
    memory = np.zeros(4 * 7 * (H + F), "f4")
    bad = {"shape": good[:3], "dtype": good.astype("f8"), "strided": np.zeros((4, 7, 2 * H), "f4")[..., ::2],
           "read-only": np.broadcast_to(good, good.shape), "list": good.tolist(),
           "shared": memory[4 * 7 * F - 1:-1].reshape(4, 7, H)}[out]
    if out == "shared":
        x = memory[:4 * 7 * F].reshape(4, 7, F)
    with pytest.raises((ValueError, TypeError), match="^out"):
        model.predict(x, out=bad)


@pytest.mark.parametrize("lengths", [[7, 8, 1, 1], [7, -1, 1, 1], [7, 7], [2.0, 1, 1, 1], [True, True, True, True],
                                     np.array([[1, 2, 3, 4]]), [2**70, 1, 1, 1], [2**32, 1, 1, 1]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises((ValueError, TypeError), match="lengths"):
        le.Model([lstm()]).predict(X, lengths=lengths)


@pytest.mark.parametrize("ids", [[[2**32]], [[-2**31 - 1]], [[20]], [[-1]]])
def test_ids_that_do_not_fit_are_refused(ids):
    with pytest.raises(ValueError, match=r"fit|token"):
        le.Model([TABLE, lstm()]).predict(np.array(ids))


def test_a_number_beyond_float32_becomes_infinite_without_a_warning():
    model = le.Model([HEAD])
    name, value = next(iter(model.inputs.items()))
    x = np.full([1] * (len(value.shape) - 1) + [H], 1e300)
    with np.errstate(all="raise"):
        assert not np.isfinite(model.predict(x)).any()


def states_model(batch="batch"):
    inputs = (Value("h", (batch, H)), Value("x", (batch, "time", F)), Value("c", (batch, H)))
    return le.Model(Graph(inputs, (cell(("x", "", "h", "c"), ("y", "h2", "c2")),), ("c2", "y", "h2")))


@pytest.mark.parametrize("batch", ["batch", 4])
def test_several_inputs_and_outputs(batch, monkeypatch):
    model, other = states_model(batch), states_model(batch)
    long_way(other, monkeypatch)
    given = {"x": X.astype("f4"), "c": rng.standard_normal((4, H)), "h": rng.standard_normal((4, H)).astype("f4")}
    wanted = other.predict(given)

    def refuse(*args):
        raise AssertionError("took the long way")

    monkeypatch.setattr(InputCheck, "__call__", refuse)
    y = model.predict(given)
    assert list(y) == list(wanted) == ["c2", "y", "h2"]
    assert all(y[name].tobytes() == wanted[name].tobytes() for name in wanted)
    again = model.predict((given["h"], given["x"], given["c"]))
    assert again["y"].tobytes() == y["y"].tobytes()


@pytest.mark.parametrize("change", [{"h": (3, H)}, {"c": (4, H + 1)}, {"x": (4, 7, F, 1)}, {"x": (3, 7, F)}])
def test_several_inputs_that_disagree_are_refused(change):
    shapes = {"x": (4, 7, F), "h": (4, H), "c": (4, H)} | change
    with pytest.raises(ValueError, match="input"):
        states_model().predict({name: np.zeros(shape, "f4") for name, shape in shapes.items()})


def test_a_fixed_size_is_insisted_on():
    model = MODELS["fixed"][0]()
    for shape in ((3, 7, F), (4, 6, F)):
        with pytest.raises(ValueError, match="expected"):
            model.predict(np.zeros(shape, "f4"))


def test_two_axes_of_one_name_take_the_long_way():
    """The core knows nothing of the sizes being equal."""
    model = le.Model(Graph((Value("x", ("n", "n", F)),), (cell(),), ("y",)))
    assert model.predict(np.zeros((3, 3, F), "f4")).shape == (3, 3, H)
    with pytest.raises(ValueError, match="expected"):
        model.predict(np.zeros((3, 4, F), "f4"))


@pytest.mark.parametrize("name", ["sequences", "last step", "ids", "id sequences", "float64"])
def test_streams(name, monkeypatch):
    make, x = MODELS[name]
    model = make()
    whole = model.stream(4)
    monkeypatch.setattr(whole, "_fast", None)
    steps = [whole.step(x[:, t]) for t in range(7)]
    if name not in ("last step", "ids"):            # those give one output a step, which is not one run of the core
        def refuse(*args):
            raise AssertionError("took the long way")
        monkeypatch.setattr(InputCheck, "__call__", refuse)
    quick = model.stream(4)
    parts = [quick.run(np.ascontiguousarray(x[:, :3])), quick.step(np.ascontiguousarray(x[:, 3]))[:, None],
             quick.run(np.ascontiguousarray(native(x[:, 4:], model)))]
    joined = np.concatenate(parts, axis=1)
    assert joined.dtype == model.dtype and joined.tobytes() == np.stack(steps, axis=1).tobytes()
    assert all(np.array_equal(quick.state[layer][part], whole.state[layer][part])
               for layer, parts in whole.state.items() for part in parts)


def test_a_failed_chunk_leaves_the_state():
    stream = le.Model([TABLE, lstm()]).stream(1)
    stream.run(np.array([[1, 2]]))
    before = stream.state
    with pytest.raises(ValueError, match="token"):
        stream.run(np.array([[1, 99]]))
    after = stream.state
    assert all(np.array_equal(before[layer][part], after[layer][part]) for layer in before for part in before[layer])
