"""One layer at several places: its arrays stand at one of them, and all that is set of it is heeded at each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import lstm_engine as le
from lstm_engine.errors import FormatError

L = keras.layers
WIDTH = 4
# What makes a layer to be used twice, [batch, time, 4] -> the same; and what shares something inside with the next.
WHOLE: dict[str, Callable] = {
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(2, return_sequences=True)),
    "RNN": lambda: L.RNN([L.LSTMCell(3), L.GRUCell(WIDTH)], return_sequences=True),
    "LSTM": lambda: L.LSTM(WIDTH, return_sequences=True),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(WIDTH)),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(WIDTH)),
    "Conv1D": lambda: L.Conv1D(WIDTH, 3, padding="same")}
INSIDE: dict[str, tuple[Callable, Callable]] = {
    "cell": (lambda: L.GRUCell(WIDTH), lambda cell: L.RNN(cell, return_sequences=True)),
    "one of several cells": (lambda: L.GRUCell(WIDTH), lambda cell: L.RNN([cell, L.SimpleRNNCell(WIDTH)],
                                                                       return_sequences=True)),
    "layer": (lambda: L.Dense(WIDTH), L.TimeDistributed)}


def inside_and_outside(layer) -> keras.Model:
    """The layer in a model inside the model, and beside it."""
    given, x = keras.Input((None, WIDTH)), keras.Input((None, WIDTH))
    made = keras.Model(given, layer(given) * 2)(x)
    return keras.Model(x, layer(made) + made)


def check(model: keras.Model, tmp_path, *names: str) -> None:
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(0.3 * np.abs(rng.standard_normal(tuple(variable.shape))) + 0.05)
    x = rng.standard_normal((2, 5, WIDTH)).astype(np.float32)
    wanted = model.predict(x, verbose=0)
    for name in names:
        model.save(tmp_path / name)
        np.testing.assert_allclose(le.convert(tmp_path / name).predict(x), wanted, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(le.convert(model).predict(x), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_layer_of_a_model_and_of_one_inside_it(kind, tmp_path):
    check(inside_and_outside(WHOLE[kind]()), tmp_path, "m.keras", "m.h5")


@pytest.mark.parametrize("kind", INSIDE)
def test_what_several_wrappers_hold(kind, tmp_path):
    make, wrap = INSIDE[kind]
    held, x = make(), keras.Input((None, WIDTH))
    check(keras.Model(x, wrap(held)(wrap(held)(x))), tmp_path, "m.keras")


def test_a_layer_inside_a_wrapper_and_outside_it(tmp_path):
    dense, x = L.Dense(WIDTH), keras.Input((None, WIDTH))
    made = L.TimeDistributed(dense)(x)
    check(keras.Model(x, dense(made) + made), tmp_path, "m.keras")


@pytest.mark.filterwarnings("ignore:the JSON names no version")
def test_json_does_not_say_that_layers_are_one(tmp_path):
    model = inside_and_outside(L.Dense(WIDTH))
    (tmp_path / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(FormatError, match="found none; if the layer is used in several .* save the whole model"):
        le.convert(tmp_path / "m.json")
