"""Every argument of every public function is given what it is not made for: the right answer, or one of our errors."""


import numpy as np
import pytest
from misuse import ODD, keeps_the_rule

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
