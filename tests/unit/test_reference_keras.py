"""The oracle's mask semantics against Keras: masks left, in the middle, right and everywhere."""

import numpy as np
import pytest

from lstm_engine import reference
from lstm_engine.graph.gates import KERAS_GRU, KERAS_LSTM, reorder

pytest.importorskip("torch")
keras = pytest.importorskip("keras")

# Keras computes in float32: some 15 roundings of 6e-8 of values around 1.
CLOSE = dict(rtol=1e-6, atol=1e-6)
FEATURES, H, TIME = 5, 4, 6
MASK = np.array([[1, 1, 1, 1, 1, 1],       # nothing masked
                 [0, 0, 1, 1, 1, 1],       # left
                 [1, 1, 0, 0, 1, 1],       # middle
                 [1, 1, 1, 0, 0, 0],       # right
                 [0, 1, 0, 1, 0, 0],       # all three
                 [0, 0, 0, 0, 0, 0]], bool)
BATCH = len(MASK)
KINDS = {"LSTM": (reference.lstm, KERAS_LSTM, {}), "SimpleRNN": (reference.rnn, "h", {}),
         "GRU": (reference.gru, KERAS_GRU, {"linear_before_reset": True}),
         "GRU before reset": (reference.gru, KERAS_GRU, {"linear_before_reset": False})}


def build(kind: str, **options):
    if kind.startswith("GRU"):
        options["reset_after"] = kind == "GRU"
    layer = getattr(keras.layers, kind.split()[0])(H, return_sequences=True, bias_initializer="normal",
                                                   return_state=True, **options)
    layer.build((None, TIME, FEATURES))
    return layer


def onnx_weights(layer, order: str) -> list[np.ndarray]:
    """W, R, B of one Keras layer, in ONNX's order, for one direction."""
    kernel, recurrent, bias = (weight.detach().numpy() for weight in map(lambda v: v.value, layer.weights))
    input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return [reorder(kernel.T, order), reorder(recurrent.T, order),
            np.concatenate([reorder(input_bias, order), reorder(recurrent_bias, order)])]


def data(kind: str) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    states = 2 if kind == "LSTM" else 1
    return (rng.standard_normal((BATCH, TIME, FEATURES)).astype("float32"),
            [rng.standard_normal((BATCH, H)).astype("float32") for _ in range(states)])


def call(layer, x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
    """What the layer gives for MASK, as arrays."""
    return [tensor.detach().numpy() for tensor in layer(x, mask=MASK, initial_state=states)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("zero_masked", [False, True])
def test_a_masked_layer(kind, go_backwards, zero_masked):
    keras.utils.set_random_seed(4)
    layer = build(kind, go_backwards=go_backwards, zero_output_for_mask=zero_masked)
    x, states = data(kind)
    y, *finals = call(layer, x, states)
    function, order, options = KINDS[kind]
    W, R, B = onnx_weights(layer, order)
    names = dict(zip(("initial_h", "initial_c"), (state[:, None] for state in states), strict=False))
    Y, *ours = function(x, W[None], R[None], B[None], mask=MASK, zero_masked=zero_masked, **names, **options,
                        direction="reverse" if go_backwards else "forward")
    np.testing.assert_allclose(Y[:, ::-1, 0] if go_backwards else Y[:, :, 0], y, **CLOSE)
    for final, theirs in zip(ours, finals, strict=True):
        np.testing.assert_allclose(final[:, 0], theirs, **CLOSE)
    np.testing.assert_array_equal(ours[0][-1, 0], states[0][-1], "an all-masked row keeps its initial state")


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_bidirectional_layer_zeroes_masked_steps(kind):
    keras.utils.set_random_seed(5)
    layer = keras.layers.Bidirectional(build(kind))
    x, states = data(kind)
    forward, backward = states, [-state for state in states]
    y, *finals = call(layer, x, forward + backward)
    function, order, options = KINDS[kind]
    W, R, B = (np.stack(pair) for pair in zip(onnx_weights(layer.forward_layer, order),
                                              onnx_weights(layer.backward_layer, order), strict=True))
    names = {name: np.stack([f, b], axis=1)
             for name, f, b in zip(("initial_h", "initial_c"), forward, backward, strict=False)}
    Y, *ours = function(x, W, R, B, direction="bidirectional", mask=MASK, zero_masked=True, **names, **options)
    np.testing.assert_allclose(Y.reshape(BATCH, TIME, 2 * H), y, **CLOSE)
    for i, final in enumerate(ours):
        np.testing.assert_allclose(final[:, 0], finals[i], **CLOSE)
        np.testing.assert_allclose(final[:, 1], finals[len(ours) + i], **CLOSE)
