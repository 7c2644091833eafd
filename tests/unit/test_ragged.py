"""Whether padding is part of a model, as its graph says."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.plan.ragged import padding_of

W, R = np.ones((1, 16, 2), np.float32), np.ones((1, 16, 4), np.float32)


def keras_model(*layers, shape=(None,), dtype="int32"):
    keras = pytest.importorskip("keras")
    return le.convert(keras.Sequential([keras.Input(shape, dtype=dtype), *layers]))


def kinds(model: le.Model) -> tuple[str, int, int]:
    padding = padding_of(model.graph)
    return padding.mask, len(padding.masked), len(padding.unmasked)


@pytest.fixture
def layers():
    return pytest.importorskip("keras").layers


def test_a_keras_model_without_a_mask(layers):
    model = keras_model(layers.Embedding(9, 3), layers.Bidirectional(layers.LSTM(4)))
    assert kinds(model) == ("none", 0, 1)
    assert "no mask is in the model" in padding_of(model.graph).note
    assert "le.pad_sequences" in padding_of(model.graph).note


def test_mask_zero_reaches_every_layer(layers):
    model = keras_model(layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4, return_sequences=True),
                        layers.Dropout(0.1), layers.GRU(3))
    assert kinds(model) == ("all", 2, 0) and "pad_sequences" not in padding_of(model.graph).note


def test_the_layer_masking(layers):
    model = keras_model(layers.Masking(-1.0), layers.LSTM(4), shape=(None, 2), dtype="float32")
    assert kinds(model) == ("all", 1, 0)


def test_a_pool_that_does_not_heed_the_mask(layers):
    model = keras_model(layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4, return_sequences=True),
                        layers.GlobalMaxPooling1D(name="top"))
    assert kinds(model) == ("some", 1, 1)
    assert padding_of(model.graph).unmasked[0].startswith("top")
    assert "mask does not reach top" in padding_of(model.graph).note


def test_a_fixed_number_of_steps_is_padded_too(layers):
    assert kinds(keras_model(layers.Embedding(9, 3), layers.LSTM(4), shape=(7,))) == ("none", 0, 1)


def test_a_decoder_of_a_repeated_vector_is_none_of_it(layers):
    model = keras_model(layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4), layers.RepeatVector(3),
                        layers.LSTM(4, return_sequences=True))
    assert kinds(model) == ("all", 1, 0)


def test_lengths_that_are_an_input_of_the_model():
    node = g.LSTM(name="lstm", inputs=("x", "n"), outputs=("", "h"), W=W, R=R)
    inputs = (g.Value("x", ("batch", "time", 2)), g.Value("n", ("batch",), "int32"))
    assert kinds(le.Model(g.Graph(inputs, (node,), ("h",)))) == ("all", 1, 0)


@pytest.mark.parametrize("shape", [("batch", 2), (1, "time", 2), ("batch", 1, 2)])
def test_nothing_that_could_be_unequal(shape):
    node = g.Dense(name="d", inputs=("x",), outputs=("y",), kernel=np.ones((2, 1), np.float32))
    if len(shape) == 3:
        node = g.LSTM(name="lstm", inputs=("x",), outputs=("y",), W=W, R=R)
    assert padding_of(le.Model(g.Graph((g.Value("x", shape),), (node,), ("y",))).graph) is None


def test_the_plan_says_what_the_graph_says(layers):
    model = keras_model(layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4, return_sequences=True),
                        layers.GlobalMaxPooling1D())
    assert padding_of(model.graph) == padding_of(model._plan.skeleton, model._plan.values)
