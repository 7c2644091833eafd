"""A stream answers by what it is given, not by the form it comes in: an array, a list, a dict, another dtype.

The models say how many steps a sequence has, or rows a batch; the answers are torch's for the sequence as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import LSTM, Embedding, Graph, Mask, Operator, Pool, Value

torch = pytest.importorskip("torch")

ROWS, STEPS, FEATURES, HIDDEN = 2, 10, 3, 4
X = np.random.default_rng(5).standard_normal((ROWS, STEPS, FEATURES)).astype(np.float32)
TOLERANCE = 1e-6            # of numbers below 1, after ten steps of sums of seven products

FORMS = {
    "array": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "another layout": lambda x: np.asfortranarray(x),
    "list": lambda x: x.tolist(),
    "dict": lambda x: {"x": x},
    "dict of a list": lambda x: {"x": x.tolist()},
}


def cell_and_answer(x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights in ONNX's order (i, o, f, c) of a torch.nn.LSTM (i, f, c, o), and what that makes of x."""
    torch.manual_seed(3)
    layer = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)

    def gates(array: Any) -> np.ndarray:
        i, f, c, o = np.split(array.detach().numpy(), 4)
        return np.concatenate([i, o, f, c])
    weights = {"W": gates(layer.weight_ih_l0)[None], "R": gates(layer.weight_hh_l0)[None],
               "B": np.concatenate([gates(layer.bias_ih_l0), gates(layer.bias_hh_l0)])[None]}
    return weights, layer(torch.from_numpy(x))[0].detach().numpy()


WEIGHTS, WANTED = cell_and_answer(X)


def model(shape: tuple, last: bool = False) -> le.Model:
    nodes: list[Any] = [LSTM(name="lstm", inputs=("x",), outputs=("y",), **WEIGHTS)]
    if last:
        nodes.append(Pool(name="last", inputs=("y",), outputs=("z",), kind="last"))
    return le.Model(Graph((Value("x", shape),), tuple(nodes), ("z" if last else "y",)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [("batch", STEPS, FEATURES), (ROWS, STEPS, FEATURES), (ROWS, "time", FEATURES),
                                   ("batch", "time", FEATURES), ("steps", STEPS, FEATURES)], ids=str)
def test_every_form_goes_through_in_pieces(shape: tuple, last: bool, form: str) -> None:
    given = FORMS[form]
    stream = model(shape, last).stream(batch=ROWS)
    made = [stream.step(given(X[:, 0]))[:, None], stream.run(given(X[:, 1:4])), stream.run(given(X[:, 4:4])),
            stream.step(given(X[:, 4:5])).reshape(ROWS, 1, HIDDEN), stream.run(given(X[:, 5:]))]
    assert [part.shape[1] for part in made] == [1, 3, 0, 1, 5]
    np.testing.assert_allclose(np.concatenate(made, 1), WANTED, rtol=0, atol=TOLERANCE)
    # More steps than the model says a sequence has: the state goes on.
    assert stream.run(given(np.concatenate([X, X], 1))).shape == (ROWS, 2 * STEPS, HIDDEN)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_refused_alike(form: str) -> None:
    given, stream = FORMS[form], model(("batch", STEPS, FEATURES)).stream(batch=ROWS)
    with pytest.raises(le.ArgumentError, match=r"input 'x': expected the 2 rows of this stream, got 1"):
        stream.step(given(X[:1, 0]))
    with pytest.raises(le.ArgumentError, match=r"'x': expected shape \[(batch, )?steps, 3\], got \[(2, )?10, 2\]"):
        stream.run(given(X[:, :, :2]))
    with pytest.raises(le.ArgumentError, match="10 steps; use run for more than one"):
        stream.step(given(X))
    np.testing.assert_allclose(stream.run(given(X)), WANTED, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_a_batch_that_the_model_fixes(batch: int, last: bool) -> None:
    with pytest.raises(le.ArgumentError, match=rf"batch is {batch}, but input 'x' \[2, time, 3\] fixes it: make the "
                                               "stream with batch=2"):
        model((ROWS, "time", FEATURES), last).stream(batch=batch)


def test_a_mask_takes_no_number_of_steps() -> None:
    """Ids of which 0 is none; the steps that are some are torch's sequence."""
    ids = np.array([[1, 0, 2, 3, 0], [0, 2, 0, 1, 3]])
    table = np.concatenate([np.full((1, FEATURES), 9, np.float32), X[0, :3]])
    graph = Graph((Value("ids", ("batch", 5), "int64"),),
                  (Embedding(name="look", inputs=("ids",), outputs=("x",), table=table),
                   Mask(name="mask", inputs=("ids",), outputs=("real",), value=0),
                   LSTM(name="lstm", inputs=("x", "", "", "", "real"), outputs=("y",), **WEIGHTS)), ("y",))
    rows = [cell_and_answer(table[row[row > 0]][None])[1][0] for row in ids]
    for form in (lambda x: x, lambda x: x.tolist(), lambda x: {"ids": x}):
        stream = le.Model(graph).stream(batch=2)
        made = np.concatenate([stream.run(form(ids[:, :2])), stream.step(form(ids[:, 2]))[:, None],
                               stream.run(form(ids[:, 3:]))], axis=1)
        for row, wanted, given in zip(made, rows, ids):
            np.testing.assert_allclose(row[given > 0], wanted, rtol=0, atol=TOLERANCE)


def test_an_operator_keeps_the_number_of_steps_that_it_was_made_for() -> None:
    graph = Graph((Value("x", ("batch", STEPS, FEATURES)),),
                  (LSTM(name="lstm", inputs=("x",), outputs=("y",), **WEIGHTS),
                   Operator(name="twice", inputs=("y", "y"), outputs=("z",), op_type="Add")), ("z",))
    stream = le.Model(graph).stream(batch=ROWS)
    for given in (X[:, :4], X[:, :4].tolist(), {"x": X[:, :4]}):
        with pytest.raises(le.ArgumentError, match=r"expected shape \[batch, 10, 3\], got \[2, 4, 3\]"):
            stream.run(given)
    np.testing.assert_allclose(stream.run(X.tolist()), 2 * WANTED, rtol=0, atol=2 * TOLERANCE)
