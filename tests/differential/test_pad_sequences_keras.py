"""le.pad_sequences against keras.utils.pad_sequences, which nobody here wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lstm_engine as le
from lstm_engine.plan.ragged import padding_of

keras_pad = pytest.importorskip("keras").utils.pad_sequences
KERAS_SIDE = {"left": "pre", "right": "post"}
SIDES = st.sampled_from(sorted(KERAS_SIDE))
# Keras' own maxlen=0 fails (its s[-0:] is the whole sequence), so lengths begin at 1 here.
LENGTHS = st.none() | st.integers(1, 9)


def assert_as_keras(sequences, length, side, truncate, value, dtype):
    ours = le.pad_sequences(sequences, length, side=side, truncate=truncate, value=value)
    right = keras_pad(sequences, maxlen=length, dtype=dtype, padding=KERAS_SIDE[side],
                      truncating=KERAS_SIDE[truncate], value=value)
    assert ours.dtype == right.dtype and ours.shape == right.shape
    np.testing.assert_array_equal(ours, right)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("truncate", ["left", "right"])
@pytest.mark.parametrize("length", [None, 1, 2, 3, 4, 500])
@pytest.mark.parametrize("value", [0, -1, 7])
def test_a_grid_of_ids(side, truncate, length, value):
    assert_as_keras([[1], [2, 3], [], [4, 5, 6], (7, 8, 9, 10)], length, side, truncate, value, "int32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [None, 2, 6])
def test_a_grid_of_features(dtype, side, length):
    rng = np.random.default_rng(3)
    x = [rng.standard_normal((steps, 3)).astype(dtype) for steps in (4, 0, 1, 5)]
    assert_as_keras(x, length, side, "right", -1.5, dtype)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(-2**31, 2**31 - 1), max_size=7), min_size=1, max_size=6), LENGTHS, SIDES, SIDES,
       st.integers(-5, 5))
def test_ids(sequences, length, side, truncate, value):
    assert_as_keras(sequences, length, side, truncate, value, "int32")


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3), LENGTHS, SIDES, SIDES, st.floats(width=32))
def test_features(data, features, length, side, truncate, value):
    steps = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any))
    sequences = [data.draw(hnp.arrays(np.float32, (own, features), elements=st.floats(width=32))) for own in steps]
    assert_as_keras(sequences, length, side, truncate, value, "float32")


@pytest.mark.parametrize("mask", [False, True])
def test_a_model_gets_the_padding_that_it_was_trained_on(mask):
    """Keras pads. Without a mask the padded steps count, and a list, which has none, is another question; with a mask
    the two are one. What `padding_of` says of the model is what is so."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), keras.layers.Embedding(20, 4, mask_zero=mask),
                              keras.layers.LSTM(6), keras.layers.Dense(1, activation="sigmoid")])
    # A large bias moves the state while padding goes by, as training does.
    model.layers[1].set_weights([w * 3 + 0.5 for w in model.layers[1].get_weights()])
    sequences = [[3, 1, 4], [15, 9], [2, 6, 5, 3, 5]]
    right = keras.ops.convert_to_numpy(model(keras_pad(sequences, maxlen=12)))
    ours = le.convert(model)
    # float32 rounding of values below 1 over 12 steps.
    np.testing.assert_allclose(ours.predict(le.pad_sequences(sequences, length=12)), right, rtol=0, atol=2e-6)
    assert padding_of(ours.graph).mask == ("all" if mask else "none")
    unpadded = ours.predict([np.array(row) for row in sequences])
    if mask:
        np.testing.assert_allclose(unpadded, right, rtol=0, atol=2e-6)
    else:
        assert abs(unpadded - right).max() > 1e-3
