"""What a file says beyond the usual is honoured, or refused by name: settings, arguments of calls, old options."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import functional, layer, legacy, random, sequential, zipped

from lstm_engine import reference
from lstm_engine.errors import UnsupportedError
from lstm_engine.importers import import_graph

I = H = 3          # noqa: E741  (inputs and units, as ONNX calls them)
SHAPE = [None, None, I]
NORM = {f"norm/{what}:0": np.abs(random(seed, I)) + 0.5
        for seed, what in enumerate(("gamma", "beta", "moving_mean", "moving_variance"))}
DENSE = {"dense/kernel:0": random(1, I, H), "dense/bias:0": random(2, H)}
LSTM = {"lstm/kernel:0": random(3, I, 4 * H), "lstm/recurrent_kernel:0": random(4, H, 4 * H),
        "lstm/bias:0": random(5, 4 * H)}
ARRAYS = {"norm": NORM, "dense": DENSE, "lstm": LSTM}


def called(tmp_path, kind: str, kwargs: dict, version: str, name: str, **settings):
    """A functional model of one layer, called with these keywords as that version writes them."""
    if version >= "3":
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": SHAPE, "keras_history": ["x", 0, 0]}}
        nodes = [{"args": [tensor], "kwargs": kwargs}]
    else:
        nodes = [[["x", 0, 0, kwargs]]]
    shape = {"batch_shape" if version >= "3" else "batch_input_shape": SHAPE}
    config = functional([layer("InputLayer", "x", [], **shape), layer(kind, name, nodes, **settings)],
                        [["x", 0, 0]], [[name, 0, 0]])
    return import_graph(legacy(tmp_path / "m.h5", config, {"x": {}, name: ARRAYS.get(name, {})}, version))


TRAINING = [("BatchNormalization", "norm", {}, "uses the statistics of the batch"),
            ("Dropout", "drop", {"rate": 0.5}, "has rate 0.5 and is random"),
            ("GaussianNoise", "noise", {"stddev": 0.5}, "has stddev 0.5 and is random"),
            ("LSTM", "lstm", {"units": H, "recurrent_dropout": 0.1}, "has recurrent_dropout 0.1 and is random"),
            ("SpectralNormalization", "spectral", {"layer": layer("Activation", "tanh", activation="tanh")},
             "divides its kernel by its norm")]


@pytest.mark.parametrize("version", ["2.2.4", "2.15.0", "3.10.0"])
@pytest.mark.parametrize("kind, name, settings, does", TRAINING)
def test_training_in_a_call(kind, name, settings, does, version, tmp_path):
    message = rf"layer '{name}' \({kind}\) is called with training=True, which {does}"
    with pytest.raises(UnsupportedError, match=message):
        called(tmp_path, kind, {"training": True}, version, name, **settings)
    for training in (False, None):
        assert called(tmp_path, kind, {"training": training}, version, name, **settings).outputs


@pytest.mark.parametrize("kind, name, settings", [
    ("Dropout", "drop", {"rate": 0.0}), ("LSTM", "lstm", {"units": H}), ("Dense", "dense", {"units": H}),
    ("BatchNormalization", "norm", {"trainable": False})])
def test_training_that_changes_nothing(kind, name, settings, tmp_path):
    assert called(tmp_path, kind, {"training": True}, "2.15.0", name, **settings).outputs


def test_training_of_a_frozen_normalization_before_tensorflow_2(tmp_path):
    with pytest.raises(UnsupportedError, match="uses the statistics of the batch"):
        called(tmp_path, "BatchNormalization", {"training": True}, "2.2.4", "norm", trainable=False)


@pytest.mark.parametrize("inner", [
    layer("TimeDistributed", "td", layer=layer("Dropout", "drop", rate=0.5)),
    layer("Bidirectional", "bi", layer=layer("RNN", "rnn", cell=layer("LSTMCell", "cell", units=H, dropout=0.5))),
    {**sequential(layer("Dropout", "drop", rate=0.5, batch_input_shape=SHAPE), name="deep"), "name": "deep"}])
def test_training_of_what_is_inside(inner, tmp_path):
    model = sequential(layer("InputLayer", "y", batch_input_shape=SHAPE), inner, name="inner")
    entry = {**model, "name": "inner", "inbound_nodes": [[["x", 0, 0, {"training": True}]]]}
    config = functional([layer("InputLayer", "x", [], batch_input_shape=SHAPE), entry], [["x", 0, 0]],
                        [["inner", 1, 0]])
    stored = {} if "LSTM" not in str(inner) else {
        f"bi/{side}_rnn/cell/{name.partition('/')[2]}": array for side in ("forward", "backward")
        for name, array in LSTM.items()}
    with pytest.raises(UnsupportedError, match=r"layer 'inner' .* is called with training=True, and layer 'inner/.*"
                                               r"' \(.*\) inside it, which has .* and is random"):
        import_graph(legacy(tmp_path / "m.h5", config, {"x": {}, "inner": stored}, "2.15.0"))


@pytest.mark.parametrize("kwargs, message", [
    ({"constants": 1}, "is called with the arguments constants, which are not supported"),
    ({"initial_state": 1}, "is called with the arguments initial_state, which are not supported"),
    ({"mask": ["x", 0, 0]}, "is called with 1 masks for 1 inputs; supported: one mask for each input of LSTM"),
    ({"training": "yes"}, "is called with training='yes'; supported: true, false, or none")])
def test_arguments_that_a_dense_layer_does_not_have(kwargs, message, tmp_path):
    with pytest.raises(UnsupportedError, match=rf"layer 'dense' \(Dense\) {message}"):
        called(tmp_path, "Dense", kwargs, "2.15.0", "dense", units=H)


@pytest.mark.parametrize("kind, name, settings, key, value", [
    ("Dense", "dense", {"units": H}, "rank", 3), ("Dense", "dense", {"units": H}, "quantization_config", {"bits": 8}),
    ("BatchNormalization", "norm", {}, "mode", 1), ("BatchNormalization", "norm", {}, "renorm", True),
    ("LSTM", "lstm", {"units": H}, "projection", 2), ("LSTM", "lstm", {"units": H}, "cell_clip", 1.0),
    ("Reshape", "shape", {"target_shape": [1, I]}, "order", "F"),
    ("Activation", "relu", {"activation": {"class_name": "ReLU", "config": {"offset": 1.0}}}, "offset", 1.0)])
def test_a_setting_that_nobody_reads(kind, name, settings, key, value, tmp_path):
    settings = settings if key in str(settings) else {**settings, key: value}
    with pytest.raises(UnsupportedError, match=rf"layer '{name}' \(.*\): its setting '{key}' is .*, which is not"):
        called(tmp_path, kind, {}, "2.15.0", name, **settings)


def test_settings_that_say_nothing(tmp_path):
    """Nothing, and what only training has to do with."""
    off = {"unknown": None, "another": False, "third": [], "kernel_initializer": {"class_name": "Zeros"},
           "bias_regularizer": {"l2": 1}, "activity_regularizer": {"l2": 1}}
    assert called(tmp_path, "Dense", {}, "2.15.0", "dense", units=H, **off).outputs


# Keras 1's BatchNormalization. Its arrays: gamma, beta, running_mean, running_std.
def keras1_norm(tmp_path, version: str | None, **settings):
    config = sequential(layer("BatchNormalization", "norm", batch_input_shape=SHAPE, epsilon=0.01, **settings))
    names = ("gamma", "beta", "running_mean", "running_std")
    stored = {f"norm_{what}": array for what, array in zip(names, NORM.values())}
    return import_graph(legacy(tmp_path / "m.h5", config, {"norm": stored}, version))


@pytest.mark.parametrize("version", ["1.0.7", "1.2.2", None])
def test_keras_1_normalization_of_each_sample(version, tmp_path):
    """The formula: Keras 1.2.2, layers/normalization.py, mode 1."""
    x = random(9, 2, 5, I).astype(np.float64)
    gamma, beta, *_ = NORM.values()
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 0.01)
    wanted = gamma * (x - x.mean(axis=-1, keepdims=True)) / (deviation + 0.01) + beta
    graph = keras1_norm(tmp_path, version, mode=1, axis=-1)
    made = reference.run(graph, {graph.inputs[0].name: x.astype(np.float32)})[graph.outputs[0]]
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)    # float32 inputs and constants


def test_keras_1_normalization_by_moving_statistics(tmp_path):
    x = random(9, 2, 5, I)
    gamma, beta, mean, variance = NORM.values()
    graph = keras1_norm(tmp_path, "1.2.2", mode=0, axis=2)
    made = reference.run(graph, {graph.inputs[0].name: x})[graph.outputs[0]]
    np.testing.assert_allclose(made, (x - mean) / np.sqrt(variance + 0.01) * gamma + beta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("version, settings, message", [
    ("1.2.2", {"mode": 2}, "mode 2 with axis -1 is not supported .2 uses the statistics of the batch"),
    ("1.2.2", {"mode": 1, "axis": 1}, "mode 1 with axis 1 is not supported"),
    (None, {"mode": 0}, "of a file without keras_version is not supported: until Keras 1.0.5 its running_std")])
def test_keras_1_normalization_refused(version, settings, message, tmp_path):
    with pytest.raises(UnsupportedError, match=message):
        keras1_norm(tmp_path, version, **settings)


def test_an_argument_of_an_operation_that_nobody_reads(tmp_path):
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": SHAPE, "keras_history": ["x", 0, 0]}}
    for kwargs in ({"where": 1.0}, {"initial": 5.0}, {"dtype": "float16"}):
        entry = {"class_name": "Max", "module": "keras.src.ops.numpy", "config": {"name": "max", "axis": 1}, "name":
                 "max", "inbound_nodes": [{"args": [tensor], "kwargs": kwargs}]}
        config = functional([layer("InputLayer", "x", [], batch_shape=SHAPE), entry], [["x", 0, 0]], [["max", 0, 0]])
        with pytest.raises(UnsupportedError, match=r"layer 'max' \(ops.Max\)"):
            import_graph(zipped(tmp_path / "m.keras", config, {}))


def test_floats_are_compared_as_floats(tmp_path):
    """x != 0 of an input that is no id: 0.3 counts as a step."""
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "keras_history": ["x", 0, 0]}}
    entry = {"class_name": "NotEqual", "module": "keras.src.ops.numpy", "config": {"name": "mask"}, "name": "mask",
             "inbound_nodes": [{"args": [tensor, 0], "kwargs": {}}]}
    config = functional([layer("InputLayer", "x", [], batch_shape=[None, 4]), entry], [["x", 0, 0]], [["mask", 0, 0]])
    graph = import_graph(zipped(tmp_path / "m.keras", config, {}))
    made = reference.run(graph, {"x": np.array([[0.3, 0, -0.5, 2]], np.float32)})[graph.outputs[0]]
    np.testing.assert_array_equal(made, [[True, False, True, True]])
