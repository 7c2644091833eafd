"""A run that begins with a zero state skips the products with it: to the bit what an explicit zero state gives."""

from __future__ import annotations

import numpy as np
import pytest
from same_bits import ISAS, NETWORKS, Network, same

import lstm_engine as le

CELLS = ("lstm", "lstm peepholes", "lstm projection", "gru reset after", "gru reset before", "gru relu", "rnn", "stack")


def explicit(model: le.Model, x: np.ndarray) -> np.ndarray:
    """The same run with a state of zeros given."""
    return model.predict(x, initial_state=model.stream(batch=len(x)).state, return_state=True)[0]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (7, 1), (1, 2), (5, 3)])
def test_a_zero_state_given_or_not(kind, isa, batch, time):
    network = Network(kind, features=17, hidden=70, batch=batch, time=time, seed=2)
    model = network.model(isa)
    same(model.predict(network.input()), explicit(model, network.input()), "a zero state")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("cell", [le.LSTM, le.GRU, le.RNN])
def test_a_recurrent_weight_that_is_no_number_is_not_skipped(cell, weight, isa):
    """0 * inf and 0 * NaN are NaN: in the unit that the weight belongs to, and nowhere else after one step."""
    gates, rng = {le.LSTM: 4, le.GRU: 3, le.RNN: 1}[cell], np.random.default_rng(4)
    W, R = (rng.standard_normal((1, gates * 40, 40)).astype(np.float32) for _ in range(2))
    R[0, 33, 5] = weight
    le.set_isa(isa)
    try:
        model = le.Model([cell(W, R)])
    finally:
        le.set_isa(None)
    for batch in (1, 3):
        y = model.predict(rng.standard_normal((batch, 1, 40)).astype(np.float32))[:, 0]
        assert np.isnan(y[:, 33]).all() and not np.isnan(np.delete(y, 33, axis=1)).any()


def test_every_cell_is_covered():
    assert set(CELLS) <= set(NETWORKS)
