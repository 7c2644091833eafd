"""Files that others wrote with Keras, and vectors of theirs, through the importer and the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from keras_files import layer, legacy, sequential

from lstm_engine import reference
from lstm_engine.errors import UnsupportedError
from lstm_engine.importers import ImportOptions, import_graph


def test_har(real):
    """A classifier of Keras 3.10, optimizer state inside; its outputs: test_real_models.py."""
    graph = import_graph(real / "har_keras3" / "lstm_model.keras")
    assert [node.op for node in graph.nodes] == ["LSTM", "LSTM", "Dense", "Dense"] and graph.outputs == ("dense_3",)


FRUGALLY = {"lstm_2": 3, "lstm_3": 3, "bidirectional_2": 12, "lstm_6": 3, "bidirectional_3": 6, "lstm_9": 3,
            "lstm_10": 3, "bidirectional_5": 12, "lstm_13": 3, "bidirectional_6": 6, "lstm_15": 12}


def test_frugally(real):
    """tf-keras 2.2.4: 5 inputs, 17 outputs, odd activations, states in and out; Keras 3 cannot load it."""
    graph = import_graph(real / "frugally_old" / "lstm.h5")
    assert [(value.name, value.shape[1:]) for value in graph.inputs] == [
        ("input_1", (17, 4)), ("input_2", (1, 10)), ("input_3", ("time", 4)), ("input_4", (12,)), ("input_5", (12,))]
    rng = np.random.default_rng(0)
    inputs = {value.name: rng.standard_normal([{"batch": 3, "time": 7}.get(size, size) for size in value.shape])
              for value in graph.inputs}
    made = reference.run(graph, inputs)
    assert len(graph.outputs) == len(made) == 17
    for name, width in FRUGALLY.items():
        assert made[name].shape == ((3, 7, width) if name == "lstm_15" else (3, width))
    np.testing.assert_allclose(made["lstm_2"], _frugally_lstm_2(real, inputs["input_1"]), rtol=1e-12, atol=1e-12)


def _frugally_lstm_2(real: Path, x: np.ndarray) -> np.ndarray:
    """lstm_1 (recurrent activation relu) and lstm_2 on top of it, written out from the file's own arrays."""
    with h5py.File(real / "frugally_old" / "lstm.h5") as file:
        weights = {name: [file[f"model_weights/{name}/{name}/{kind}:0"][()].astype(np.float64)
                          for kind in ("kernel", "recurrent_kernel", "bias")] for name in ("lstm_1", "lstm_2")}

    def relu(z):
        return np.maximum(z, 0)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for name, gate in (("lstm_1", relu), ("lstm_2", sigmoid)):
        kernel, recurrent, bias = weights[name]
        h = c = np.zeros((len(x), len(recurrent)))
        steps = []
        for x_t in x.swapaxes(0, 1):
            i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4, axis=-1)
            c = gate(f) * c + gate(i) * np.tanh(g)
            h = gate(o) * np.tanh(c)
            steps.append(h)
        x = np.stack(steps, axis=1)
    return x[:, -1]


def keras_js_cases(real: Path, kind: str) -> dict[str, dict]:
    return json.loads((real / "keras_js_vectors" / f"{kind}.json").read_text())


def array(vector: dict) -> np.ndarray:
    return np.array(vector["data"]).reshape(vector["shape"])


@pytest.mark.parametrize("number", range(9))
def test_keras_js_lstm(number, real, tmp_path):
    """Vectors of Keras 2.0. The stateful ones expect the second call's output, on the same input."""
    case = keras_js_cases(real, "LSTM")[f"recurrent.LSTM.{number}"]
    titles = json.loads((real / "keras_js_vectors" / "configs.json").read_text())
    settings = dict(entry.split("=") for entry in titles[f"recurrent.LSTM.{number}"].split(", "))
    config = {key: json.loads(value.replace("'", '"').replace("True", "true").replace("False", "false"))
              for key, value in settings.items()}
    weights = [array(vector) for vector in case["weights"]]
    config["use_bias"] = len(weights) == 3              # the last case's title says otherwise than its weights
    x, expected = array(case["input"]), array(case["expected"])
    entry = layer("LSTM", "lstm", batch_input_shape=[1, None, x.shape[1]], **config)
    names = ("lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0")
    graph = import_graph(legacy(tmp_path / "m.h5", sequential(entry), {"lstm": dict(zip(names, weights))}, "2.0.6"))
    calls = 2 if config.get("stateful") else 1
    # The carried state goes on where the first call ended, as over twice the steps.
    made = reference.run(graph, {graph.inputs[0].name: np.concatenate([x] * calls)[None]})["lstm"][0]
    if config.get("return_sequences"):
        made = made[-len(x):]
    np.testing.assert_allclose(made, expected, rtol=0, atol=5e-6)       # the vectors have six decimals


@pytest.mark.parametrize("number", [0, 1])
def test_keras_js_time_distributed(number, real, tmp_path):
    case = keras_js_cases(real, "TimeDistributed")[f"wrappers.TimeDistributed.{number}"]
    weights = [array(vector) for vector in case["weights"]]
    x = array(case["input"])
    *window, _, units = weights[0].shape
    inner = layer("Conv2D", "conv", filters=units, kernel_size=window) if window else layer("Dense", "d", units=units)
    config = sequential(layer("TimeDistributed", "td", layer=inner, batch_input_shape=[None, *x.shape]))
    path = legacy(tmp_path / "m.h5", config, {"td": {"td/kernel:0": weights[0], "td/bias:0": weights[1]}}, "2.0.6")
    graph = import_graph(path)
    made = reference.run(graph, {graph.inputs[0].name: x[None]})["td"][0]
    np.testing.assert_allclose(made, array(case["expected"]), rtol=0, atol=5e-6)


def textgenrnn_model(real: Path, path: Path) -> Path:
    """textgenrnn's weights with the configuration that its code builds, up to its own attention layer."""
    with h5py.File(real / "textgenrnn" / "textgenrnn_weights.hdf5") as file:
        layers = {name: {weight.decode(): file[name][weight][()] for weight in file[name].attrs["weight_names"]}
                  for name in ("embedding", "rnn_1", "rnn_2")}
    config = {"class_name": "Model", "config": {"name": "textgenrnn", "layers": [
        layer("InputLayer", "input", [], batch_input_shape=[None, 40]),
        layer("Embedding", "embedding", [[["input", 0, 0, {}]]], input_dim=465, output_dim=100),
        layer("LSTM", "rnn_1", [[["embedding", 0, 0, {}]]], units=128, return_sequences=True,
              recurrent_activation="sigmoid"),
        layer("LSTM", "rnn_2", [[["rnn_1", 0, 0, {}]]], units=128, return_sequences=True,
              recurrent_activation="sigmoid"),
        layer("Concatenate", "rnn_concat", [[[name, 0, 0, {}] for name in ("embedding", "rnn_1", "rnn_2")]], axis=-1),
    ], "input_layers": [["input", 0, 0]], "output_layers": [["rnn_concat", 0, 0]]}}
    return legacy(path, config, layers, "2.1.5")


def test_textgenrnn(real, tmp_path):
    """Weights in cuDNN's layout, which only the length of the biases tells; read raw they predict nothing."""
    graph = import_graph(textgenrnn_model(real, tmp_path / "m.h5"))
    golden = np.load(real / "textgenrnn" / "golden.npz")
    sequence = reference.run(graph, {"input": golden["ids"]})["rnn_concat"]
    with h5py.File(real / "textgenrnn" / "textgenrnn_weights.hdf5") as file:
        attention = file["attention/attention/attention_W:0"][()].astype(np.float64)
        kernel, bias = (file[f"output/output/{kind}:0"][()].astype(np.float64) for kind in ("kernel", "bias"))
    score = np.exp(sequence @ attention)
    logits = (sequence * score / score.sum(axis=1, keepdims=True)).sum(axis=1) @ kernel + bias
    made = np.exp(logits - logits.max(axis=-1, keepdims=True))
    made /= made.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(made, golden["softmax"], rtol=0, atol=2e-6)    # float32 rounding over 40 steps


def test_weights_alone_say_what_they_lack(real):
    with pytest.raises(UnsupportedError, match="textgenrnn_weights.hdf5: the HDF5 file holds no model_config: weights "
                                               "alone do not say what the model is"):
        import_graph(real / "textgenrnn" / "textgenrnn_weights.hdf5")


def test_weights_alone_with_a_spec(real):
    """A spec names the datasets by their paths."""
    spec = {"inputs": [{"name": "x", "shape": ["batch", "time", 356]}], "nodes": [
        {"op": "Dense", "name": "head", "kernel": "output/output/kernel:0", "bias": "output/output/bias:0"}],
        "ignore": ["embedding/*", "rnn_*", "attention/*"]}
    graph = import_graph(real / "textgenrnn" / "textgenrnn_weights.hdf5", ImportOptions(spec=spec))
    assert graph.nodes[0].kernel.shape == (356, 465)
