"""Keras models of random weights, layer by layer: the imported graph, run by the oracle, against Keras in float64."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras import ops
from keras_models import BATCH, EXACT, TIME, VOCABULARY, check, embedded, floats, ids, randomise, sequence

pytestmark = pytest.mark.usefixtures("double_precision")

RECURRENT = {
    "lstm": lambda **options: L.LSTM(4, **options),
    "gru": lambda **options: L.GRU(4, **options),
    "gru before reset": lambda **options: L.GRU(4, reset_after=False, **options),
    "rnn": lambda **options: L.SimpleRNN(4, **options),
    "lstm no bias": lambda **options: L.LSTM(4, use_bias=False, **options),
    "gru no bias": lambda **options: L.GRU(4, use_bias=False, **options),
    "lstm cell": lambda **options: L.RNN(L.LSTMCell(4), **options),
    "gru cell": lambda **options: L.RNN(L.GRUCell(4), **options),
    "stack": lambda **options: L.RNN([L.LSTMCell(3), L.GRUCell(5), L.LSTMCell(4), L.SimpleRNNCell(2)], **options),
    "odd activations": lambda **options: L.LSTM(4, activation="softsign", recurrent_activation="hard_sigmoid",
                                                **options),
    "gru relu": lambda **options: L.GRU(4, activation="relu", recurrent_activation="linear", **options),
}
STATES = {"lstm": [4, 4], "lstm no bias": [4, 4], "lstm cell": [4, 4], "odd activations": [4, 4],
          "stack": [3, 3, 5, 4, 4, 2]}


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent(kind, masked, backwards, sequences, tmp_path):
    x, e = embedded(masked)
    y = RECURRENT[kind](return_sequences=sequences, go_backwards=backwards, return_state=True)(e)
    check(randomise(keras.Model(x, y)), [ids()], tmp_path, EXACT)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("explicit_mask", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "stack"])
def test_initial_states(kind, sequences, explicit_mask, zero, tmp_path):
    """Without an explicit mask, Keras 3 drops the embedding's mask where initial states are given."""
    x, e = embedded()
    sizes = STATES.get(kind, [4])
    states = [L.Input((size,), dtype="float64") for size in sizes]
    nested = states
    if kind == "stack":
        nested = [states[:2], states[2], states[3:5], states[5]]
    layer = RECURRENT[kind](return_sequences=sequences, zero_output_for_mask=zero, return_state=True)
    mask = ops.not_equal(x, 0) if explicit_mask else None
    y = layer(e, initial_state=nested, mask=mask)
    arrays = [ids(), *(floats(BATCH, size, seed=size) for size in sizes)]
    check(randomise(keras.Model([x, *states], y)), arrays, tmp_path, EXACT)


MERGES = [(kind, mode) for kind in ("lstm", "gru") for mode in ("concat", "sum", "mul", "ave", None)]


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind, mode", [*MERGES, ("rnn", "concat"), ("lstm cell", "ave")])
def test_bidirectional(kind, mode, masked, sequences, tmp_path):
    x, e = embedded(masked)
    y = L.Bidirectional(RECURRENT[kind](return_sequences=sequences), merge_mode=mode)(e)
    check(randomise(keras.Model(x, y)), [ids()], tmp_path, EXACT)


BACKWARD = {
    "other units": lambda: (L.LSTM(4, return_sequences=True), L.LSTM(5, return_sequences=True, go_backwards=True)),
    "other kind": lambda: (L.LSTM(4, return_sequences=True), L.GRU(4, return_sequences=True, go_backwards=True)),
    "other activations": lambda: (L.GRU(4, return_sequences=True),
                                  L.GRU(4, return_sequences=True, go_backwards=True, activation="relu")),
    "one bias": lambda: (L.LSTM(4), L.LSTM(4, use_bias=False, go_backwards=True)),
    "turned": lambda: (L.LSTM(4, return_sequences=True, go_backwards=True), L.LSTM(4, return_sequences=True)),
    "turned last": lambda: (L.LSTM(4, go_backwards=True), L.LSTM(3)),
    "stacked cells": lambda: (L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True),
                              L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True, go_backwards=True)),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", BACKWARD)
def test_a_backward_layer_of_its_own(kind, masked, tmp_path):
    x, e = embedded(masked)
    forward, backward = BACKWARD[kind]()
    y = L.Bidirectional(forward, backward_layer=backward)(e)
    check(randomise(keras.Model(x, y)), [ids()], tmp_path, EXACT)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("explicit_mask", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_bidirectional_states(kind, explicit_mask, sequences, tmp_path):
    """States in and out: forward h, c, then backward h, c."""
    x, e = embedded(False)
    states = [L.Input((4,), dtype="float64") for _ in range(4 if kind == "lstm" else 2)]
    layer = L.Bidirectional(RECURRENT[kind](return_sequences=sequences, return_state=True))
    y = layer(e, initial_state=states, mask=ops.not_equal(x, 0) if explicit_mask else None)
    arrays = [ids(), *(floats(BATCH, 4, seed=number) for number in range(len(states)))]
    check(randomise(keras.Model([x, *states], y)), arrays, tmp_path, EXACT)


def test_encoder_decoder(tmp_path):
    source, e = embedded(False)
    _, h, c = L.LSTM(5, return_state=True)(e)
    target, d = embedded(False)
    d = L.LSTM(5, return_sequences=True)(d, initial_state=[h, c])
    y = L.TimeDistributed(L.Dense(VOCABULARY, activation="softmax"))(d)
    graph = check(randomise(keras.Model([source, target], y)), [ids(), ids(5, time=9)], tmp_path, EXACT)
    # Two sequences of their own lengths.
    assert [value.shape for value in graph.inputs] == [("batch", "time"), ("batch", "time_2")]
    assert [value.dtype for value in graph.inputs] == ["int32", "int32"]


def test_bidirectional_encoder_and_decoder(tmp_path):
    source, e = embedded()
    _, *states = L.Bidirectional(L.LSTM(3, return_state=True))(e)
    h, c = L.Concatenate()([states[0], states[2]]), L.Concatenate()([states[1], states[3]])
    target, d = embedded()
    y = L.Dense(5)(L.LSTM(6, return_sequences=True)(d, initial_state=[h, c]))
    check(randomise(keras.Model([source, target], y)), [ids(), ids(5, time=9)], tmp_path, EXACT)


ACTIVATIONS = ["relu", "relu6", "elu", "selu", "softplus", "softsign", "silu", "swish", "gelu", "tanh", "sigmoid",
               "exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "mish", "log_softmax",
               "log_sigmoid", "softmax", "linear", "celu"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, tmp_path):
    x = sequence()
    y = [L.Dense(4, activation=name)(x), L.Activation(name)(x)]
    if name not in ("softmax", "log_softmax"):
        y.append(L.SimpleRNN(3, activation=name, return_sequences=True)(x))
    check(randomise(keras.Model(x, y), scale=1.0), [floats(BATCH, TIME, 3)], tmp_path, EXACT)


LAYERS = {
    "dense on vectors": lambda x: L.Dense(4)(L.Flatten()(x)),
    "dense without bias": lambda x: L.Dense(4, use_bias=False)(x),
    "time distributed": lambda x: L.TimeDistributed(L.Dense(4, activation="tanh"))(x),
    "time distributed activation": lambda x: L.TimeDistributed(L.Activation("relu"))(x),
    "dropouts": lambda x: L.Dense(2)(L.SpatialDropout1D(0.5)(L.GaussianNoise(1.0)(L.GaussianDropout(0.5)(
        L.AlphaDropout(0.5)(L.ActivityRegularization(0.1)(L.Dropout(0.5)(x))))))),
    "relu": lambda x: L.ReLU()(x),
    "relu 6": lambda x: L.ReLU(max_value=6.0)(x),
    "relu slope": lambda x: L.ReLU(negative_slope=0.2)(x),
    "relu threshold": lambda x: L.ReLU(threshold=0.5)(x),
    "leaky relu": lambda x: L.LeakyReLU(negative_slope=0.15)(x),
    "elu": lambda x: L.ELU(alpha=0.7)(x),
    "prelu": lambda x: L.PReLU()(x),
    "prelu shared": lambda x: L.PReLU(shared_axes=[1])(x),
    "softmax": lambda x: L.Softmax()(x),
    "softmax over time": lambda x: L.Softmax(axis=1)(x),
    "activation layer in dense": lambda x: L.Dense(3, activation=L.LeakyReLU(negative_slope=0.3))(x),
    "concatenate": lambda x: L.Concatenate()([x, L.Dense(2)(x)]),
    "concatenate over time": lambda x: L.Concatenate(axis=1)([x, L.Dense(3)(x), x]),
    "add": lambda x: L.Add()([x, L.Dense(3)(x), x]),
    "subtract": lambda x: L.Subtract()([x, L.Dense(3)(x)]),
    "multiply": lambda x: L.Multiply()([x, L.Dense(1)(x)]),
    "average": lambda x: L.Average()([x, L.Dense(3)(x), L.Dense(3)(x)]),
    "maximum": lambda x: L.Maximum()([x, L.Dense(3)(x)]),
    "minimum": lambda x: L.Minimum()([x, L.Dense(3)(x)]),
    "add of other ranks": lambda x: L.Add()([x, L.LSTM(3)(x)]),
    "flatten": lambda x: L.Flatten()(x),
    "reshape": lambda x: L.Reshape((3, TIME))(x),
    "reshape with a rest": lambda x: L.Reshape((-1, 2, 3))(x),
    "permute": lambda x: L.LSTM(2)(L.Permute((2, 1))(x)),
    "repeat vector": lambda x: L.LSTM(2, return_sequences=True)(L.RepeatVector(5)(L.LSTM(3)(x))),
    "average pooling": lambda x: L.GlobalAveragePooling1D()(x),
    "max pooling": lambda x: L.GlobalMaxPooling1D(keepdims=True)(x),
    "layer normalization": lambda x: L.LayerNormalization(epsilon=0.01)(x),
    "layer normalization bare": lambda x: L.LayerNormalization(center=False, scale=False)(x),
    "layer normalization centred": lambda x: L.LayerNormalization(scale=False)(x),
    "layer normalization of two axes": lambda x: L.LayerNormalization(axis=(1, 2))(x),
    "batch normalization": lambda x: L.BatchNormalization(epsilon=0.01)(x),
    "batch normalization bare": lambda x: L.BatchNormalization(center=False, scale=False)(x),
    "batch normalization over time": lambda x: L.BatchNormalization(axis=1)(x),
    "batch normalization of vectors": lambda x: L.BatchNormalization()(L.LSTM(3)(x)),
    "identity": lambda x: L.Identity()(x),
    "masking": lambda x: L.LSTM(3)(L.Masking(0.0)(x)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    x = sequence(3, TIME)
    array = floats(BATCH, TIME, 3)
    array[1, 2] = 0
    array[2, 3:] = 0
    check(randomise(keras.Model(x, LAYERS[name](x))), [array], tmp_path, EXACT)


OPERATIONS = {
    "arithmetic": lambda x: 1 - (x * 2 + 1) / 3 - x,
    "last step": lambda x: x[:, -1],
    "a feature": lambda x: x[:, :, 0],
    "slices": lambda x: x[:, 1:-1, ::2],
    "steps": lambda x: x[:, ::2],
    "ellipsis": lambda x: x[..., 1:],
    "activations": lambda x: ops.tanh(ops.relu(x)) + ops.sigmoid(x) + ops.softmax(x) + ops.silu(x),
    "gelu": lambda x: ops.gelu(x) + ops.gelu(x, approximate=False),
    "slopes": lambda x: ops.leaky_relu(x) + ops.elu(x),
    "mean": lambda x: ops.mean(x, axis=1),
    "max": lambda x: ops.max(x, axis=-1, keepdims=True),
    "sum": lambda x: ops.sum(x, axis=[1, 2]),
    "concatenate": lambda x: ops.concatenate([x, x * 2], axis=-1),
    "stack": lambda x: ops.stack([x, -x], axis=2),
    "expand and squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 2) * 2, axis=2),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "reshape": lambda x: ops.reshape(x, (-1, 2, TIME * 3 // 2)),
    "flip": lambda x: ops.flip(x, axis=1),
    "square and root": lambda x: ops.sqrt(ops.square(x) + 1),
    "power": lambda x: ops.maximum(x, 0.5) ** 2,
    "exp": lambda x: ops.exp(ops.abs(x)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, tmp_path):
    x = sequence(3, TIME)
    check(randomise(keras.Model(x, OPERATIONS[name](x))), [floats(BATCH, TIME, 3)], tmp_path, EXACT)
