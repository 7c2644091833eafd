"""A mask compares ids and takes steps out, but computes nothing: the same sequence has the same bits around it too."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import GRU, LSTM, Dense, Embedding, Graph, Mask, Operator, Value

VOCABULARY, FEATURES, HIDDEN = 9, 13, 21           # sizes that fill no vector
PROMISE = "Equal sequences give equal bits whatever the batch, padding, chunking and threads."


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng([7, *shape]).standard_normal(shape).astype(np.float32) / 2


def graph(kind: type, *more: Operator) -> Graph:
    """Ids, of which 0 is no step, to a sequence."""
    rows = kind.gates * HIDDEN
    cell = kind(name="cell", inputs=("x", "", "", "", "real"), outputs=("h",), W=normal(1, rows, FEATURES),
                R=normal(1, rows, HIDDEN), B=normal(1, 2 * rows))
    return Graph((Value("ids", ("batch", "time"), "int32"),),
                 (Embedding(name="look", inputs=("ids",), outputs=("x",), table=normal(VOCABULARY, FEATURES)),
                  Mask(name="mask", inputs=("ids",), outputs=("real",), value=0), cell,
                  Dense(name="head", inputs=("h",), outputs=("y",), kernel=normal(HIDDEN, 5), bias=normal(5)), *more),
                 (more[-1].outputs[0] if more else "y",))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_masked_sequence_keeps_its_bits(kind: type) -> None:
    model = le.Model(graph(kind))
    assert PROMISE in model.summary() and "1 operator runs in NumPy: Mask" in model.summary()
    rng = np.random.default_rng(11)
    ids = rng.integers(0, VOCABULARY, (7, 12)).astype(np.int32) * (rng.random((7, 12)) < 0.7)
    ids[0], ids[1, :5], ids[2, 6:], ids[3] = 0, 0, 0, rng.integers(1, VOCABULARY, 12)
    ids = ids.astype(np.int32)
    wanted = model.predict(ids, threads=1)
    for threads in (1, 2):
        for row in range(len(ids)):
            assert model.predict(ids[row:row + 1], threads=threads).tobytes() == wanted[row].tobytes()
        order = rng.permutation(len(ids))
        assert model.predict(ids[order], threads=threads).tobytes() == wanted[order].tobytes()
        padded = np.concatenate([ids, np.zeros((7, 5), np.int32)], axis=1)
        assert model.predict(padded, threads=threads)[:, :12].tobytes() == wanted.tobytes()
        stream = model.stream(batch=7, threads=threads)
        pieces = [stream.run(ids[:, :4]), stream.step(ids[:, 4])[:, None], stream.run(ids[:, 5:])]
        assert np.concatenate(pieces, axis=1).tobytes() == wanted.tobytes()


def test_an_operator_that_computes_ends_the_promise() -> None:
    summed = Operator(name="sum", inputs=("y", ""), outputs=("s",), op_type="ReduceSum", attributes={"keepdims": 0},
                      constants={1: np.array([2], np.int64)})
    assert PROMISE not in (text := le.Model(graph(LSTM, summed)).summary())
    assert "may differ in their last bits between batches (host operators)" in text
