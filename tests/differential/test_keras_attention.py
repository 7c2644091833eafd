"""Attention, wrappers around each step, and layers that scale, in Keras models: against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras_models import BATCH, EXACT, check, embedded, floats, ids, randomise, sequence

import lstm_engine as le

pytestmark = pytest.mark.usefixtures("double_precision")

QUERIES, KEYS = 5, 7

ATTENTION = {
    "dot": lambda q, v: L.Attention()([q, v]),
    "dot with keys": lambda q, v: L.Attention()([q, v, L.Dense(4)(v)]),
    "dot scaled": lambda q, v: L.Attention(use_scale=True, dropout=0.3)([q, v]),
    "concat": lambda q, v: L.Attention(score_mode="concat")([q, v]),
    "concat scaled": lambda q, v: L.Attention(score_mode="concat", use_scale=True)([q, v]),
    "causal": lambda q, v: L.Attention()([q, v], use_causal_mask=True),
    "with its scores": lambda q, v: L.Attention()([q, v], return_attention_scores=True),
    "additive": lambda q, v: L.AdditiveAttention()([q, v]),
    "additive unscaled": lambda q, v: L.AdditiveAttention(use_scale=False)([q, v, v]),
    "heads": lambda q, v: L.MultiHeadAttention(3, 2)(q, v),
    "heads of other sizes": lambda q, v: L.MultiHeadAttention(2, 3, value_dim=5, output_shape=6)(
        q, v, key=L.Dense(2)(v)),
    "heads without bias": lambda q, v: L.MultiHeadAttention(2, 2, use_bias=False, dropout=0.2)(query=q, value=v),
    "heads causal": lambda q, v: L.MultiHeadAttention(2, 2)(q, v, use_causal_mask=True),
    "heads with their scores": lambda q, v: L.MultiHeadAttention(2, 2)(q, v, return_attention_scores=True),
    "dot layer": lambda q, v: L.Dot(axes=2)([q, v]),
    "dot layer over other axes": lambda q, v: L.Dot(axes=(2, 1))([q, L.Permute((2, 1))(v)]),
    "dot layer of vectors": lambda q, v: [L.Dot(axes=1)([L.GlobalMaxPooling1D()(q), L.GlobalMaxPooling1D()(v)]),
                                          L.Dot(axes=(2, 1))([q, L.GlobalMaxPooling1D()(v)]),
                                          L.Dot(axes=(1, -1))([L.GlobalMaxPooling1D()(q), v])],
}


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name, fixed, tmp_path):
    q, v = sequence(4, QUERIES if fixed else None), sequence(4, KEYS if fixed else None)
    made = ATTENTION[name](L.LSTM(4, return_sequences=True)(q), v)
    made = list(made) if isinstance(made, (list, tuple)) else [made]
    check(randomise(keras.Model([q, v], made)), [floats(BATCH, QUERIES, 4), floats(BATCH, KEYS, 4, seed=5)], tmp_path,
          EXACT)


@pytest.mark.parametrize("layer", [L.Attention, L.AdditiveAttention])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_heeds_masks(layer, causal, tmp_path):
    x, a = embedded(features=4)
    y, b = embedded(features=4)
    attended = layer()([a, b], use_causal_mask=causal)
    model = keras.Model([x, y], [attended, L.LSTM(3)(attended), L.GlobalAveragePooling1D()(layer()([b, a]))])
    one, other = ids(3), ids(4)
    one[3] = other[3] = [0, 2, 1, 0, 5, 0]           # a step in every row: a row without any is 0 / 0 in the pool
    check(randomise(model), [one, other], tmp_path, EXACT)


def test_heads_of_a_masked_input_are_refused():
    x, a = embedded(features=4)
    with pytest.raises(le.UnsupportedError, match="MultiHeadAttention.*masked input is not supported"):
        le.convert(keras.Model(x, L.MultiHeadAttention(2, 2)(a, a)))


def inner_functional():
    x = L.Input((6, 4))
    return keras.Model(x, L.Dense(3)(L.LSTM(4)(L.Conv1D(3, 2, activation="relu")(x))))


# Layers inside TimeDistributed over [batch, time, 6, 4].
EACH_STEP = {
    "conv": lambda: L.Conv1D(3, 2, padding="same"),
    "pool": lambda: L.GlobalAveragePooling1D(),
    "max pool": lambda: L.MaxPooling1D(2),
    "flatten": lambda: L.Flatten(),
    "reshape": lambda: L.Reshape((3, 8)),
    "permute": lambda: L.Permute((2, 1)),
    "lstm": lambda: L.LSTM(3),
    "lstm sequences": lambda: L.LSTM(3, return_sequences=True),
    "bidirectional": lambda: L.Bidirectional(L.GRU(2)),
    "batch normalization": lambda: L.BatchNormalization(),
    "layer normalization": lambda: L.LayerNormalization(axis=(1, 2)),
    "dense": lambda: L.Dense(2, activation="tanh"),
    "sequential": lambda: keras.Sequential([L.Conv1D(2, 3), L.Flatten(), L.Dense(3)]),
    "functional": inner_functional,
}


@pytest.mark.parametrize("time", [None, 3])
@pytest.mark.parametrize("name", EACH_STEP)
def test_time_distributed(name, time, tmp_path):
    x = L.Input((time, 6, 4), dtype="float64")
    made = L.TimeDistributed(EACH_STEP[name]())(x)
    outputs = [made] + ([L.LSTM(3)(made)] if len(made.shape) == 3 else [])
    check(randomise(keras.Model(x, outputs)), [floats(2, 3, 6, 4)], tmp_path, EXACT)


def test_words_of_sentences_of_documents(tmp_path):
    """A hierarchical attention network's two levels: an encoder of words in each sentence, one of sentences."""
    words = L.Input((6,), dtype="int32")
    sentence = keras.Model(words, L.Bidirectional(L.GRU(3))(L.Embedding(11, 4)(words)))
    x = L.Input((None, 6), dtype="int32")
    h = L.LSTM(4, return_sequences=True)(L.TimeDistributed(sentence)(x))
    model = keras.Model(x, L.Dense(2)(L.GlobalMaxPooling1D()(L.AdditiveAttention()([h, h]))))
    check(randomise(model), [np.random.default_rng(1).integers(0, 11, (BATCH, 5, 6)).astype("int32")], tmp_path, EXACT)


SCALED = {
    "groups": lambda: L.GroupNormalization(2),
    "groups of one channel": lambda: L.GroupNormalization(-1, scale=False),
    "one group": lambda: L.GroupNormalization(1, center=False, epsilon=0.1),
    "rescaling": lambda: L.Rescaling(0.5, offset=2),
    "rescaling each": lambda: L.Rescaling([0.5, 1, 2, 3.0], offset=[1, 2, 3, 4]),
    "given statistics": lambda: L.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 0, 4, 9]),
    "one given statistic": lambda: L.Normalization(mean=3.0, variance=2.0, axis=None),
    "inverted": lambda: L.Normalization(mean=3.0, variance=2.0, axis=None, invert=True),
    "spectral": lambda: L.SpectralNormalization(L.Dense(3)),
}


@pytest.mark.parametrize("name", SCALED)
def test_layers_that_scale(name, tmp_path):
    x = sequence(4)
    middle = SCALED[name]()(x)
    check(randomise(keras.Model(x, [middle, L.LSTM(3)(middle)])), [floats(BATCH, 6, 4)], tmp_path, EXACT)


@pytest.mark.parametrize("axis", [-1, None, (1, 2)])
@pytest.mark.parametrize("file_name", ["model.keras", "model.h5"])
def test_normalization_adapted(axis, file_name, tmp_path):
    layer = L.Normalization(axis=axis)
    layer.adapt(floats(20, 6, 4, seed=7) * [1, 2, 3, 0] + 5)
    x = sequence(4, 6)
    check(randomise(keras.Model(x, L.LSTM(3)(layer(x)))), [floats(BATCH, 6, 4)], tmp_path, EXACT, file_name)


def test_all_of_it_in_a_legacy_file(tmp_path):
    x = L.Input((5, 6, 4), dtype="float64")
    h = L.TimeDistributed(keras.Sequential([L.Conv1D(4, 2), L.GlobalMaxPooling1D()]))(x)
    h = L.GroupNormalization(2)(L.MultiHeadAttention(2, 3)(h, h))
    h = L.Attention(use_scale=True, score_mode="concat")([h, L.AdditiveAttention()([h, h])])
    check(randomise(keras.Model(x, L.LSTM(3)(h))), [floats(2, 5, 6, 4)], tmp_path, EXACT, "model.h5")
