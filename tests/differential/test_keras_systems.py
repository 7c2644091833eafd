"""The reference systems as Keras models of random weights, from a file and live, against Keras in float32.

Sizes of layers are real; time and batch are small, because Keras on PyTorch steps through time in Python.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras_models import check, floats, ids, inputs_of, keras_outputs, randomise

import lstm_engine as le
from lstm_engine.graph import Graph

# Keras, and the core, round each step's sums of up to 884 products to float32 (6e-8 each), the oracle does not round at
# all; sigmoid and tanh shrink errors, so that they stay within some 30 roundings of values up to 1.
CLOSE = 2e-6


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session()


def randomised(model: keras.Model) -> keras.Model:
    """Keras' own initial weights, which suit the sizes, and random biases."""
    rng = np.random.default_rng(7)
    for variable in model.weights:
        if "bias" in variable.path:
            variable.assign(0.1 * rng.standard_normal(tuple(variable.shape)))
    return model


def same_as_keras(model: keras.Model, arrays: list[np.ndarray], tmp_path: Path) -> Graph:
    """Compare the oracle and the core, each on the file's graph and the live model's, with Keras; the file's graph."""
    graph = check(model, arrays, tmp_path, CLOSE)
    for source in (tmp_path / "model.keras", model):
        converted = le.convert(source)
        made = converted.predict(inputs_of(graph, arrays))
        listed = [made[name] for name in graph.outputs] if isinstance(made, dict) else [made]
        for name, mine, want in zip(graph.outputs, listed, keras_outputs(model, arrays), strict=True):
            np.testing.assert_allclose(mine, want, rtol=CLOSE, atol=CLOSE, err_msg=name)
    return graph


def test_sentiment(tmp_path):
    model = keras.Sequential([
        L.Input((None,), dtype="int32"), L.Embedding(20000, 100), L.LSTM(100, return_sequences=True), L.LSTM(100),
        L.Dense(1, activation="sigmoid")])
    same_as_keras(randomised(model), [ids(1, batch=3, time=40, vocabulary=20000)], tmp_path)


def test_sequences_and_states(tmp_path):
    x = L.Input((None, 64))
    graph = same_as_keras(randomised(keras.Model(x, L.LSTM(128, return_sequences=True, return_state=True)(x))),
                  [floats(3, 25, 64)], tmp_path)
    assert [node.outputs for node in graph.nodes] == [graph.outputs]


def test_translator(tmp_path):
    source = L.Input((None,), dtype="int32")
    _, h, c = L.LSTM(256, return_state=True)(L.Embedding(500, 128)(source))
    target = L.Input((None,), dtype="int32")
    decoded = L.LSTM(256, return_sequences=True)(L.Embedding(600, 128)(target), initial_state=[h, c])
    model = keras.Model([source, target], L.Dense(600, activation="softmax")(decoded))
    graph = same_as_keras(randomised(model), [ids(1, time=12, vocabulary=500), ids(2, time=9, vocabulary=600)],
                          tmp_path)
    encoder, decoder = (node for node in graph.nodes if node.op == "LSTM")
    assert decoder.inputs[2:4] == encoder.outputs[1:3]


def test_language_model(tmp_path):
    model = keras.Sequential([L.Input((None,), dtype="int32"), L.Embedding(10000, 128), L.LSTM(256),
                              L.Dense(10000, activation="softmax")])
    same_as_keras(randomised(model), [ids(3, batch=2, time=20, vocabulary=10000)], tmp_path)


def test_frames_with_relu(tmp_path):
    model = keras.Sequential([L.Input((None, 784)), L.LSTM(128, activation="relu", return_sequences=True),
                              L.TimeDistributed(L.Dense(10, activation="softmax"))])
    same_as_keras(randomised(model), [np.abs(floats(2, 12, 784)) / 2], tmp_path)


def test_activity(tmp_path):
    model = keras.Sequential([L.Input((None, 9)), L.LSTM(128, return_sequences=True), L.Dropout(0.5), L.LSTM(64),
                              L.Dense(6, activation="softmax")])
    same_as_keras(randomised(model), [floats(3, 30, 9)], tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_other_precisions_are_widened(policy, tmp_path):
    """The weights are the same numbers in float32; what Keras computes from them is rounded far more coarsely."""
    keras.config.set_dtype_policy(policy)
    try:
        # Keras' default for the recurrent kernel, orthogonal, does not exist in half precision.
        model = randomise(keras.Sequential([
            L.Input((None, 3)), L.LSTM(4, return_sequences=True, recurrent_initializer="zeros"), L.Dense(2)]))
    finally:
        keras.config.set_dtype_policy("float32")
    graph = check_weights(model, tmp_path)
    assert {array.dtype.name for node in graph.nodes for array in node.tensors().values()} == {"float32"}


def check_weights(model, tmp_path):
    from keras_models import assert_same_graph

    from lstm_engine.importers import import_graph

    live = import_graph(model)
    model.save(tmp_path / "model.keras")
    graph = import_graph(tmp_path / "model.keras")
    assert_same_graph(live, graph)
    kernel = model.layers[-1].kernel.value.detach().float().numpy()
    np.testing.assert_array_equal(graph.nodes[-1].kernel, kernel)
    return graph
