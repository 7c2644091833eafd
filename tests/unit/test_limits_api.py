"""Limits as an API: what they are, where they hold, and that they are not in files."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return rng.random((1, 64, 8), "f4"), rng.random((1, 64, 16), "f4")


def model(arrays, **limits) -> le.Model:
    return le.Model([le.LSTM(*arrays), le.Dense(np.ones((16, 4), "f4"))], limits=le.Limits(**limits))


def with_operator(arrays, **limits) -> le.Model:
    """The same with an operator of NumPy's, which no quick way leads to."""
    plain = model(arrays)
    node = Operator(name="erf", inputs=(plain.graph.outputs[0],), outputs=("out",), op_type="Erf")
    made = dataclasses.replace(plain.graph, nodes=(*plain.graph.nodes, node), outputs=("out",))
    return le.Model(made, limits=le.Limits(**limits))


def test_defaults_and_untrusted():
    assert le.Limits() == le.Limits(memory=None, work=None, steps=None, nodes=None, weights=None)
    strict = le.Limits.untrusted()
    assert all(getattr(strict, field.name) is not None for field in dataclasses.fields(strict))
    assert le.Limits.untrusted(steps=7) == dataclasses.replace(strict, steps=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        strict.steps = 8
    assert le.Model([le.Dense(np.ones((2, 2), "f4"))]).limits == le.Limits()
    assert le.Limits(memory=np.int64(5)).memory == 5 and type(le.Limits(memory=np.int64(5)).memory) is int


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(le.Limits)])
@pytest.mark.parametrize("value", [0, -1, 1.5, "4G", True, float("nan")])
def test_values_that_are_no_limits(field, value):
    with pytest.raises(le.ArgumentError, match=f"Limits: {field} must be a whole number of at least 1"):
        le.Limits(**{field: value})


@pytest.mark.parametrize("given", [5, "untrusted", {"memory": 5}, le.Limits])
def test_limits_of_another_kind(given, tmp_path):
    layers = [le.Dense(np.ones((2, 2), "f4"))]
    le.Model(layers).save(tmp_path / "m.lstm")
    for call in (lambda: le.Model(layers, limits=given), lambda: le.load(tmp_path / "m.lstm", limits=given),
                 lambda: le.convert(tmp_path / "m.onnx", limits=given)):
        with pytest.raises(le.ArgumentError, match=r"limits: expected le.Limits\(...\), got"):
            call()


CALLS = {
    "array": lambda m, x: m.predict(x),
    "float64": lambda m, x: m.predict(x.astype("f8")),
    "out": lambda m, x: m.predict(x, out=np.empty((*x.shape[:2], 4), "f4")),
    "lengths": lambda m, x: m.predict(x, lengths=[1] * len(x)),
    "list": lambda m, x: m.predict([x[0], x[0, :1]]),
    "dict": lambda m, x: m.predict({"input": x}),
    "batch_size": lambda m, x: m.predict(x, batch_size=1),
    "state": lambda m, x: m.predict(x, return_state=True),
    "mask": lambda m, x: m.predict(x, nan="mask"),
    "stream": lambda m, x: m.stream(batch=len(x)).run(x),
}


@pytest.mark.parametrize("made", [model, with_operator])
@pytest.mark.parametrize("call", CALLS)
def test_steps_hold_in_every_call(call, made, arrays):
    limited = made(arrays, steps=20)
    x = np.ones((3, 21, 8), "f4")
    with pytest.raises(le.LimitError) as caught:
        CALLS[call](limited, x)
    assert str(caught.value) == ("input 'input' has 21 steps; at most 20 are allowed (Limits.steps). If that is "
                                 "meant: limits=le.Limits(steps=21), or --max-steps 21")
    CALLS[call](limited, x[:, :20])


@pytest.mark.parametrize("made", [model, with_operator])
@pytest.mark.parametrize("call", [name for name in CALLS if name != "out"])
def test_memory_holds_in_every_call(call, made, arrays):
    """More than the outputs and states of 3 short rows, less than those of 3 long ones."""
    limited = made(arrays, memory=150_000)
    CALLS[call](limited, np.ones((3, 20, 8), "f4"))
    with pytest.raises(le.LimitError, match=r"\(Limits.memory\)"):
        for _ in range(3):                                # also where a shape comes again
            CALLS[call](limited, np.ones((3, 5000, 8), "f4"))


@pytest.mark.parametrize("made", [model, with_operator])
def test_limits_change_no_bits(made, arrays):
    x = np.random.default_rng(1).random((5, 30, 8), "f4")
    wanted = made(arrays).predict(x)
    for limits in ({"memory": 1 << 30}, {"memory": 150_000}, {"work": 1 << 30}, {"steps": 30}):
        limited = made(arrays, **limits)
        for _ in range(3):
            assert limited.predict(x).tobytes() == wanted.tobytes()


@pytest.mark.unchecked("the check goes through a plan step by step beside every recorded run")
def test_calls_of_shapes_seen_before_are_not_looked_at_again(arrays, monkeypatch):
    limited = with_operator(arrays, memory=1 << 20)
    looked: list = []
    account = limited._runner.account
    monkeypatch.setattr(limited._runner, "account",
                        lambda *given, **more: looked.append(made := account(*given, **more)) or made)
    for _ in range(4):
        limited.predict(np.ones((2, 5, 8), "f4"))
    # Two runs step by step, or one and the making of a recording; the first alone is looked at.
    assert looked and looked[0] is not None and not any(looked[1:]) and len(looked) <= 2
    limited.predict(np.ones((2, 6, 8), "f4"))
    assert looked[-1] is not None


def test_a_stream_of_too_many_sequences(arrays):
    limited = model(arrays, memory=100_000)
    with pytest.raises(le.LimitError, match="the states of 1000 sequences need 256,000 bytes"):
        limited.stream(batch=1000)
    assert limited.stream(batch=10).step(np.ones((10, 8), "f4")).shape == (10, 4)


def test_outputs_of_many_parts_count_together(arrays):
    limited, x = model(arrays, memory=100_000), np.ones((1000, 10, 8), "f4")
    with pytest.raises(le.LimitError, match="batch_size=10: 100 parts of the outputs and the whole need 320,000 bytes"):
        limited.predict(x, batch_size=10)
    out = np.empty((1000, 10, 4), "f4")
    assert limited.predict(x, batch_size=10, out=out) is out


def test_pickles_keep_them_and_files_do_not(arrays, tmp_path):
    limited = model(arrays, steps=20)
    assert pickle.loads(pickle.dumps(limited)).limits == limited.limits == le.Limits(steps=20)
    limited.save(tmp_path / "m.lstm")
    model(arrays).save(tmp_path / "n.lstm")
    assert (tmp_path / "m.lstm").read_bytes() == (tmp_path / "n.lstm").read_bytes()
    assert le.load(tmp_path / "m.lstm").limits == le.Limits()
    assert le.load(tmp_path / "m.lstm", limits=le.Limits(steps=3)).limits.steps == 3


def test_nodes_and_weights_are_looked_at_before_packing(tmp_path):
    kernel = np.ones((64, 64), "f4")
    layers = [le.Dense(kernel) for _ in range(5)]
    le.Model(layers).save(tmp_path / "m.lstm")
    with pytest.raises(le.LimitError, match=r"the model has 5 nodes; at most 4 are allowed \(Limits.nodes\)"):
        le.load(tmp_path / "m.lstm", limits=le.Limits(nodes=4))
    with pytest.raises(le.LimitError, match=r"the model's weights take 16,384 bytes; at most 16,383 are allowed"):
        le.load(tmp_path / "m.lstm", limits=le.Limits(weights=16_383))
    assert le.load(tmp_path / "m.lstm", limits=le.Limits(nodes=5, weights=16_384)).limits.nodes == 5


def test_a_file_larger_than_its_weights_may_be_is_not_read(tmp_path):
    path = tmp_path / "large.lstm"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    for call in (le.load, le.convert):
        with pytest.raises(le.LimitError, match=r"large.lstm: the file has 209,715,200 bytes; at most 1,000,000 are"):
            call(path, limits=le.Limits(weights=1_000_000))


def test_graph_without_a_time_axis_has_no_steps():
    node = Operator(name="n", inputs=("x",), outputs=("y",), op_type="Neg")
    limited = le.Model(Graph((Value("x", ("batch", 30)),), (node,), ("y",)), limits=le.Limits(steps=2))
    assert limited.predict(np.ones((50, 30), "f4")).shape == (50, 30)
