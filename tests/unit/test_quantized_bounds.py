"""Products with quantised weights stay within the error bounds of docs/numerics.md, and come near them."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import one_node, weights
from quantized_bounds import U, lstm_step_bounds, product_bound, rms_estimate, sum_bound
from quantized_models import QUANTIZED_TYPES

import lstm_engine as le
from lstm_engine.graph import LSTM, RNN, Activation, Dense, Graph, Value

ISAS = le.info()["isas"]
F32 = np.float32
LINEAR = Activation.of("linear")


@pytest.fixture(params=ISAS)
def isa(request):
    le.set_isa(request.param)
    yield request.param
    le.set_isa(None)


def away(kind: str, terms: int) -> np.ndarray:
    """Numbers that are all rounded in the same direction, as far as they can be: the first is the largest."""
    if kind in ("int8", "int8_weights"):
        numbers = np.full(terms, 126.501, F32)
        numbers[0] = 127
        return numbers
    return np.full(terms, 1 + (2.0**-8 if kind == "bfloat16" else 2.0**-11) + 2.0**-20, F32)


def worst(kind: str, terms: int, rows: int = 5, channels: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """x [rows, K], w [channels, K], whose signs alternate together so that all errors add up."""
    signs = np.where(np.arange(terms) % 2, -1, 1).astype(F32)
    inputs = away(kind, terms) if kind in ("int8", "bfloat16") else np.ones(terms, F32)
    return (np.tile(inputs * signs, (rows, 1)) * (2.0 ** np.arange(rows))[:, None].astype(F32),
            np.tile(away(kind, terms) * signs, (channels, 1)) * (2.0 ** -np.arange(channels))[:, None].astype(F32))


def with_outlier(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[:, 0] = 1e4
    return array


def inputs_of(kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    x, w = weights(5, 130), weights(21, 130, seed=1)
    sparse = np.where(weights(5, 130, seed=2) > 0.8, x, 0).astype(F32)
    sparse[0] = 0
    wide = (10.0 ** np.random.default_rng(3).uniform(-4, 4, (2, 130))).astype(F32)
    cases = {f"random, {terms} terms": (weights(5, terms), weights(21, terms, seed=1))
             for terms in (1, 2, 63, 64, 65, 700)}
    cases |= {f"worst, {terms} terms": worst(kind, terms) for terms in (3, 64, 200)}
    return cases | {
        "all equal": (np.full((5, 130), 0.7, F32), np.full((21, 130), -0.3, F32)),
        "outlier of x": (with_outlier(x), w),
        "outlier of w": (x, with_outlier(w)),
        "zeros": (sparse, np.where(np.arange(21)[:, None] % 3, w, 0).astype(F32)),
        "of all sizes": (x * wide[0], w * wide[1]),
        "tiny x": (x * F32(1e-30), w),
        "tiny w": (x, w * F32(1e-6)),
        "a product that is denormal": (x * F32(1e-20), w * F32(1e-20)),
        "denormal": (x * F32(1e-39), w),
        "denormal weights": (x, w * F32(1e-39)),
        "smallest of all": (np.full((5, 130), 1e-45, F32), w),
        "huge x": (x * F32(1e35), w),
        "huge": (x * F32(1e18), w * F32(1e4 if kind == "float16" else 1e17)),
        "sums above 2^24": (np.full((5, 4097), 126.6, F32), np.full((21, 4097), 126.3, F32)),
    }


def dense(w: np.ndarray, kind: str) -> le.Model:
    """x w.T, w [channels, K]."""
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=np.ascontiguousarray(w.T))
    return le.quantize(le.Model(one_node(node, Value("x", ("batch", w.shape[1])))), kind)


@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_products_are_within_their_bound_and_reach_it(isa, kind):
    reached = {}
    for name, (x, w) in inputs_of(kind).items():
        exact = x.astype(np.float64) @ w.T.astype(np.float64)
        off = np.abs(dense(w, kind).predict(x) - exact)
        bound = product_bound(kind, x, w)
        assert (off <= bound).all(), (name, (off - bound).max())
        reached[name] = (off / np.where(bound == 0, 1, bound)).max()
    assert max(reached.values()) >= 0.9, reached         # what is meant to be the worst case is
    # Nor is a bound out of all proportion to what happens to random numbers.
    assert min(reached[f"random, {terms} terms"] for terms in (2, 64, 700)) >= 0.02, reached


@pytest.mark.parametrize("terms", [1, 130, 4097, 30_001])
def test_the_float_part_of_int8_is_three_roundings(isa, terms):
    """Beside scale * scale * the exact sum of integers, which here is above 2^24 and odd."""
    x, w = np.full((5, terms), 127, F32), np.full((21, terms), 127, F32)
    x[:, -1] = 1 / F32(1.1)
    x *= F32(1.1) ** np.arange(5)[:, None].astype(F32)
    s_x, s_w = (np.abs(array).max(axis=-1, keepdims=True).astype(F32) / F32(127) for array in (x, w))
    integers = np.rint(x * (F32(127) / np.abs(x).max(axis=-1, keepdims=True))).astype(np.int64)
    exact = (integers @ np.full((terms, 21), 127)) * (s_x.astype(np.float64) * s_w.T.astype(np.float64))
    off = np.abs(dense(w, "int8").predict(x) - exact)
    assert (off <= 3 * U * (1 + 3 * U) * np.abs(exact)).all()
    if terms > 1040:
        assert (off > 0.1 * U * np.abs(exact)).any()     # it does round


def test_int8_errors_of_random_numbers_are_as_estimated(isa):
    """The estimate, which is no bound. The errors of a row have its roundings in common: 64 independent rows say what
    their root mean square is to some 3 %, and 10 % is three times that."""
    x, w = weights(64, 256, seed=4), weights(64, 256, seed=5)
    off = dense(w, "int8").predict(x) - x.astype(np.float64) @ w.T.astype(np.float64)
    assert np.sqrt((off**2).mean()) == pytest.approx(rms_estimate(x, w), rel=0.1)


@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_a_pre_activation_is_within_the_bounds_of_its_parts(isa, kind):
    """One step of a linear RNN: its state is the pre-activation."""
    reached = 0.0
    for terms in (3, 70, 200):
        x, W = worst(kind, terms)
        h, R = weights(5, 21, seed=6), weights(21, 21, seed=7)
        B = weights(1, 42, seed=8)
        node = RNN(name="rnn", inputs=("x", "", "h"), outputs=("y",), W=W[None], R=R[None], B=B,
                   activations=((LINEAR,),))
        graph = Graph((Value("x", ("batch", "time", terms)), Value("h", ("batch", 21))), (node,), ("y",))
        made = le.quantize(le.Model(graph), kind).predict({"x": x[:, None], "h": h})[:, 0]
        parts = [x.astype(np.float64) @ W.T, h.astype(np.float64) @ R.T, np.abs(B[0, :21]) + np.abs(B[0, 21:])]
        bias = B[0, :21].astype(np.float64) + B[0, 21:]
        bound = sum_bound([*parts[:2], np.broadcast_to(parts[2], made.shape)],
                          [product_bound(kind, x, W), product_bound(kind, h, R)])
        off = np.abs(made - (parts[0] + parts[1] + bias))
        assert (off <= bound).all()
        reached = max(reached, float((off / bound).max()))
    assert reached >= 0.5


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_a_step_of_an_lstm_is_within_the_bounds_of_its_gates(isa, kind):
    """Random weights, and the worst case: products in g alone, where tanh is as steep as it gets and i is 1."""
    steep, reached = worst(kind, 8, channels=13), 0.0
    for size in (0.125, 1, 4):
        for case in ("random", "worst"):
            if case == "random":
                x, h, c = weights(5, 30), np.tanh(weights(5, 13)), 2 * weights(5, 13, seed=9)
                W, R, B = F32(size) * weights(52, 30), F32(size) * weights(52, 13), weights(1, 104)
            else:
                x, h, c = steep[0][:1], np.zeros((1, 13), F32), np.zeros((1, 13), F32)
                W, R, B = np.zeros((52, 8), F32), np.zeros((52, 13), F32), np.zeros((1, 104), F32)
                W[39:] = F32(size * 2.0**-np.ceil(np.log2(np.abs(x).max() * np.abs(steep[1]).max()))) * steep[1]
                B[0, :13] = 30
                B[0, 39:52] = -(x.astype(np.float64) @ W[39:].T)[0]
            node = LSTM(name="lstm", inputs=("x", "", "h", "c"), outputs=("", "h1", "c1"), W=W[None], R=R[None], B=B)
            graph = Graph((Value("x", ("batch", "time", x.shape[1])), Value("h", ("batch", 13)),
                           Value("c", ("batch", 13))), (node,), ("h1", "c1"))
            made = le.quantize(le.Model(graph), kind).predict({"x": x[:, None], "h": h, "c": c})
            x_part, h_part = x.astype(np.float64) @ W.T, h.astype(np.float64) @ R.T
            bias = np.broadcast_to(np.abs(B[0, :52]) + np.abs(B[0, 52:]), x_part.shape)
            bounds = np.split(sum_bound([x_part, h_part, bias], [product_bound(kind, x, W), product_bound(kind, h, R)]),
                              4, axis=-1)
            i, o, f, g = np.split(x_part + h_part + B[0, :52].astype(np.float64) + B[0, 52:], 4, axis=-1)
            c1 = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            bound_c, bound_h = lstm_step_bounds(bounds, c)
            assert (np.abs(made["c1"] - c1) <= bound_c).all()
            assert (np.abs(made["h1"] - sigmoid(o) * np.tanh(c1)) <= bound_h).all()
            reached = max(reached, float((np.abs(made["c1"] - c1) / bound_c).max()))
    assert reached >= 0.5


@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_steps_are_within_the_bounds_that_follow_from_step_to_step(isa, kind):
    """Where the recurrent weights of a unit add up to a fifth, and cells forget: the bound converges."""
    x, W, R, B = weights(5, 20, 30) / 4, weights(52, 30) / 4, weights(52, 13), np.zeros((1, 104), F32)
    B[0, 26:39] = -2
    R *= F32(0.2) / np.abs(R).sum(-1, keepdims=True)
    node = LSTM(name="lstm", inputs=("x",), outputs=("y",), W=W[None], R=R[None], B=B)
    graph = Graph((Value("x", ("batch", "time", 30)),), (node,), ("y",))
    made = le.quantize(le.Model(graph), kind).predict(x)
    h, c, off_h, off_c = (np.zeros((5, 13)) for _ in range(4))
    bias, magnitude = (np.broadcast_to(b[0, :52].astype(np.float64) + b[0, 52:], (5, 52)) for b in (B, np.abs(B)))
    for step in range(20):
        x_part, h_part = x[:, step].astype(np.float64) @ W.T, h @ R.T
        most_h = np.abs(h) + off_h                              # of the states that the engine really has
        pre = sum_bound([x_part, most_h @ np.abs(R).T, magnitude],
                        [product_bound(kind, x[:, step], W), product_bound(kind, most_h, R)])
        bounds = np.split(pre + off_h @ np.abs(R).T, 4, axis=-1)
        i, o, f, g = np.split(x_part + h_part + bias, 4, axis=-1)
        of_gates, _ = lstm_step_bounds(bounds, np.abs(c) + off_c)
        off_c = np.minimum(1, sigmoid(f) + bounds[2] / 4) * off_c + of_gates
        off_h = bounds[1] / 4 + off_c + 2.0**-21 + 2.0**-24
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        assert (np.abs(made[:, step] - h) <= off_h).all(), step
    assert np.median(off_h) < {"int8": 0.2, "int8_weights": 0.05, "bfloat16": 0.05, "float16": 0.005}[kind], off_h


# ---- rows ------------------------------------------------------------------------------------------------------------

def models_of(kind: str) -> list[tuple[le.Model, np.ndarray]]:
    """A Dense layer, and an LSTM under one, each with rows enough for two tiles of any kernel and one row more."""
    w, x = weights(37, 70), weights(33, 70)
    lstm = [le.LSTM(weights(1, 76, 11), weights(1, 76, 19) / 4), le.Dense(weights(19, 5))]
    return [(dense(w, kind), x), (le.quantize(le.Model(lstm), kind), weights(33, 6, 11))]


@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_rows_have_the_bits_that_they_have_alone(isa, kind):
    for model, x in models_of(kind):
        together = model.predict(x)
        for count in (1, 2, 3, 4, 5, 17, 32):
            for begin in range(0, len(x), count):
                np.testing.assert_array_equal(model.predict(x[begin:begin + count]), together[begin:begin + count])


@pytest.mark.parametrize("wild", [1e30, 1e-40, np.nan, np.inf])
@pytest.mark.parametrize("kind", QUANTIZED_TYPES)
def test_what_a_row_holds_leaves_the_others_alone(isa, kind, wild):
    for model, x in models_of(kind):
        before = model.predict(x)
        for row in (0, 16, 32):
            other = x.copy()
            other[row] *= F32(wild)
            after = model.predict(other)
            np.testing.assert_array_equal(np.delete(after, row, 0), np.delete(before, row, 0))
            assert not np.array_equal(after[row], before[row])
