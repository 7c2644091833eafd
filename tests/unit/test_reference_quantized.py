"""The reference's quantised products against plain loops over Python's integers and NumPy's scalars."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import recurrent, weights
from quantized_models import as_quantized, stacked

from lstm_engine import reference
from lstm_engine.graph import GRU, LSTM, Dense, Embedding, Graph, Value
from lstm_engine.graph.quantized import LARGEST, Quantized, quantized
from lstm_engine.reference.quantized import factor, quantized_rows, rounded_elsewhere

f32 = np.float32


def int8_row(row: np.ndarray) -> tuple[list[int], np.float32]:
    """A row by the definition, number by number."""
    row = [f32(number) for number in row]
    if not all(np.isfinite(number) for number in row):
        return [0] * len(row), f32(np.nan)
    largest = max(abs(number) for number in row)
    if largest == 0:
        return [0] * len(row), f32(1)
    with np.errstate(over="ignore"):
        inverse = f32(127) / largest
    clamped = not np.isfinite(inverse)
    inverse = LARGEST if clamped else inverse
    scale = f32(1) / LARGEST if clamped else largest / f32(127)
    return [int(np.rint(number * inverse)) for number in row], scale


def int8_product(x: np.ndarray, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x [rows, K] times int8 weights [channels, K]: [rows, channels] in float32."""
    out = np.empty((len(x), len(weight)), f32)
    for number, row in enumerate(x):
        q, row_scale = int8_row(row)
        for channel, values in enumerate(weight):
            total = sum(a * int(b) for a, b in zip(q, values, strict=True))
            with np.errstate(over="ignore", invalid="ignore"):             # of the row of 3e38
                out[number, channel] = f32(total) * f32(row_scale * f32(scale[channel]))
    return out


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x)) if x >= 0 else np.exp(x) / (1 + np.exp(x))


ROWS = np.array([[0.5, -1, 0.25, 1.0], [0, 0, 0, 0], [1e-38, -1e-39, 0, 3e-39], [3e38, -1, 2, 1], [1.5, 2.5, -127, 3.5],
                 [np.nan, 1, 2, 3], [np.inf, 1, 2, 3], [1e-45, 0, 0, 0]], np.float32)


def test_rows_are_quantised_by_the_definition():
    """Among them rows of zeros, of tiny numbers, whose inverse is beyond float32, ties, NaN and infinity."""
    values, scale = quantized_rows(ROWS)
    for row, q, s in zip(ROWS, values, scale[:, 0], strict=True):
        expected, expected_scale = int8_row(row)
        assert q.tolist() == expected and (s == expected_scale or np.isnan(s) and np.isnan(expected_scale))
    assert values[4].tolist() == [2, 2, -127, 4]           # ties go to the even integer


def test_a_product_of_int8_is_that_of_plain_integers():
    x, kernel = np.concatenate([ROWS, weights(5, 4)]), quantized(weights(4, 7), "int8", -1, "kernel")
    made = x.astype(np.float64) @ factor(kernel)
    expected = int8_product(x, np.asarray(kernel.values).T, kernel.scale)
    np.testing.assert_array_equal(made, expected.astype(np.float64))
    assert np.isnan(made[5:7]).all() and np.isfinite(made[[0, 1, 2, 4]]).all() and (made[1] == 0).all()


def test_the_largest_sum_is_exact():
    """65,536 products of 127 and 127, all of one sign: the most that int32 must hold."""
    count = 65_536
    kernel = Quantized("int8", np.full((count, 1), -127, np.int8), np.ones(1, f32), -1)
    made = np.full((1, count), 127.0) @ factor(kernel)
    assert made[0, 0] == -127 * 127 * count                # a multiple of 2^16 below 2^31: exact in float32


def test_an_int8_lstm_is_its_equations_with_plain_products():
    """Peepholes and a projection among them: every product has its own rows, the projected h too."""
    node = recurrent(LSTM, features=3, hidden=4, R=weights(1, 16, 2), projection=weights(1, 2, 4), P=weights(1, 12))
    graph = as_quantized(Graph((Value("x", ("batch", "time", 3)),), (node,), ("y",)), "int8")
    cell = graph.nodes[0]
    x = weights(2, 3, 3)
    made = reference.run(graph, {"x": x})["y"]
    h, c = np.zeros((2, 2)), np.zeros((2, 4))
    for t in range(3):
        parts = int8_product(x[:, t], cell.W.values[0], cell.W.scale[0]).astype(np.float64) \
            + int8_product(h, cell.R.values[0], cell.R.scale[0])
        parts += cell.B[0, :16].astype(np.float64) + cell.B[0, 16:]
        i, o, f, g = np.split(parts, 4, axis=1)
        p_i, p_o, p_f = np.split(cell.P[0].astype(np.float64), 3)
        for row in range(2):
            for unit in range(4):
                before = c[row, unit]
                c[row, unit] = sigmoid(f[row, unit] + p_f[unit] * before) * before \
                    + sigmoid(i[row, unit] + p_i[unit] * before) * np.tanh(g[row, unit])
        whole = np.array([[sigmoid(o[row, unit] + p_o[unit] * c[row, unit]) * np.tanh(c[row, unit])
                           for unit in range(4)] for row in range(2)])
        h = int8_product(whole, cell.projection.values[0], cell.projection.scale[0]).astype(np.float64)
        np.testing.assert_allclose(made[:, t], h, rtol=1e-14, atol=0)      # float64's exp, in two forms


@pytest.mark.parametrize("after", [True, False])
def test_an_int8_gru_quantises_what_its_products_read(after):
    """Where the reset comes before the product, r * h is quantised, not h."""
    node = recurrent(GRU, features=3, hidden=4, linear_before_reset=after)
    graph = as_quantized(Graph((Value("x", ("batch", "time", 3)),), (node,), ("y",)), "int8")
    cell = graph.nodes[0]
    x = weights(2, 3, 3)
    made = reference.run(graph, {"x": x})["y"]
    h = np.zeros((2, 4))
    wb, rb = np.split(cell.B[0].astype(np.float64), 2)
    logistic = np.vectorize(sigmoid)
    for t in range(3):
        a = int8_product(x[:, t], cell.W.values[0], cell.W.scale[0]).astype(np.float64) + wb
        b = int8_product(h, cell.R.values[0], cell.R.scale[0]).astype(np.float64)
        z, r = logistic(a[:, :4] + b[:, :4] + rb[:4]), logistic(a[:, 4:8] + b[:, 4:8] + rb[4:8])
        if after:
            inner = r * (b[:, 8:] + rb[8:])
        else:
            inner = int8_product(r * h, cell.R.values[0, 8:], cell.R.scale[0, 8:]).astype(np.float64) + rb[8:]
        h = (1 - z) * np.tanh(a[:, 8:] + inner) + z * h
        np.testing.assert_allclose(made[:, t], h, rtol=1e-13, atol=0)


def test_bfloat16_rounds_the_rows_too():
    torch = pytest.importorskip("torch")
    x, kernel = weights(6, 9), weights(9, 5)
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=quantized(kernel, "bfloat16", -1, "kernel"))
    made = reference.run(Graph((Value("x", ("batch", 9)),), (node,), ("y",)), {"x": x})["y"]
    rounded = (torch.from_numpy(array).bfloat16().double().numpy() for array in (x, kernel))
    expected = next(rounded) @ next(rounded)
    np.testing.assert_allclose(made, expected, rtol=1e-13, atol=1e-15)     # float64 sums in another order


@pytest.mark.parametrize("to", ["int8_weights", "float16"])
def test_types_of_storage_alone_are_their_float_weights(to):
    graph = as_quantized(stacked(), to)
    ids = np.arange(14).reshape(2, 7) % 11
    made = reference.run(graph, {"ids": ids})["y"]
    floats = Graph(graph.inputs, tuple(type(node)(**{**vars(node), **{
        name: np.asarray(weight) for name, weight in node.tensors().items()}}) for node in graph.nodes), graph.outputs)
    np.testing.assert_array_equal(made, reference.run(floats, {"ids": ids})["y"])


@pytest.mark.parametrize("to", ["int8", "int8_weights"])
def test_a_row_of_a_table_is_dequantised_when_it_is_looked_up(to):
    table = weights(5, 3)
    node = Embedding(name="e", inputs=("ids",), outputs=("x",), table=quantized(table, to, -2, "table"))
    made = reference.run(Graph((Value("ids", ("batch", "time"), "int32"),), (node,), ("x",)), {"ids": [[4, 0]]})["x"]
    expected = [[f32(q) * node.table.scale[row] for q in node.table.values[row]] for row in (4, 0)]
    np.testing.assert_array_equal(made[0], np.array(expected, np.float64))


def test_a_row_with_nan_makes_nan_from_its_step_on():
    node = recurrent(LSTM, features=3, hidden=4)
    graph = as_quantized(Graph((Value("x", ("batch", "time", 3)),), (node,), ("y",)), "int8")
    x = weights(2, 5, 3)
    x[1, 2, 0] = np.inf
    made = reference.run(graph, {"x": x})["y"]
    assert np.isfinite(made[0]).all() and np.isfinite(made[1, :2]).all() and np.isnan(made[1, 2:]).all()


@pytest.mark.parametrize("to", ["int8", "bfloat16"])
def test_roundings_near_a_tie_may_go_either_way(to):
    """What `rounded_elsewhere` changes is at most one unit of a number that stands at a tie, and elsewhere nothing but
    the roundings of float32 sums, which are far below 2^-12 here."""
    unit = 1.0 if to == "int8" else 1 / 128
    kernel = Quantized(to, np.eye(3, dtype=np.int8), np.ones(3, f32), -1) if to == "int8" \
        else quantized(np.eye(3, dtype=f32), to, -1, "kernel")
    tie = np.array([[127.0, 2.5, 3.25]]) if to == "int8" else np.array([[1.0, 1 + 1 / 256, 1.0]])
    made = {tuple((np.rint(rounded_elsewhere(seed, lambda: tie @ factor(kernel))[0] * 4096) / 4096).tolist())
            for seed in range(20)}
    assert {first for first, _, _ in made} == {tie[0, 0]} and len({last for _, _, last in made}) == 1
    middle = sorted(number for _, number, _ in made)
    assert len(middle) == 2 and middle[1] - middle[0] == unit
