"""Inputs of as many rows as steps, by fixed sizes: an axis of rows is none of steps."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import recurrent

import lstm_engine as le
from lstm_engine.graph import LSTM, Graph, Operator, Value


def model() -> le.Model:
    """A sequence [2, 2, 3] through a layer, and a vector [2] beside it."""
    return le.Model(Graph((Value("x", (2, 2, 3)), Value("v", (2,))),
                          (recurrent(LSTM), Operator(name="o", inputs=("v",), outputs=("w",), op_type="Neg")),
                          ("y", "w")))


def test_missing_values_are_masked_where_there_are_steps_and_refused_where_there_are_none():
    x, v = np.ones((2, 2, 3), np.float32), np.array([1, np.nan], np.float32)
    plain = model().predict({"x": x, "v": v})
    x[1, 1, 0] = np.nan
    masked = model().predict({"x": x, "v": np.ones(2, np.float32)}, nan="mask")
    np.testing.assert_array_equal(masked["y"][0], plain["y"][0])
    np.testing.assert_array_equal(masked["y"][1, 1], plain["y"][1, 0])
    with pytest.raises(le.ArgumentError, match="input 'v': NaN in an input that has no time axis cannot be masked"):
        model().predict({"x": x, "v": v}, nan="mask")
