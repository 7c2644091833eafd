"""Live models, the importer's face, and the options and packages it needs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import layer, legacy, random, sequential, zipped

import lstm_engine as le
from lstm_engine.errors import ArgumentError, LstmEngineError, MissingDependencyError, UnsupportedError
from lstm_engine.importers import ImportOptions, import_graph
from lstm_engine.importers import keras as importer
from lstm_engine.importers.reading import sandbox

CONFIG = sequential(layer("Dense", "dense", units=2, batch_shape=[None, 3]))
ARRAYS = {"layers/dense/vars/0": random(1, 3, 2), "layers/dense/vars/1": random(2, 2)}


@pytest.fixture
def keras():
    pytest.importorskip("torch")
    return pytest.importorskip("keras")


def zip_head(name: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(22) + len(name).to_bytes(2, "little") + bytes(2) + name + b"what follows"


@pytest.mark.parametrize("head, expected", [
    (b"\x89HDF\r\n\x1a\n", True), (zip_head(b"metadata.json"), True), (zip_head(b"config.json"), True),
    (b' {"class_name": "Sequential", "config": {}}', True), (b'{"class": 1}', False),
    (zip_head(b"config.json.bak"), False), (zip_head(b"archive/data.pkl"), False),
    (b"\x08\x07", False), (zip_head(b"x.npy"), False), (b"", False)])
def test_what_it_knows(head, expected):
    assert importer.knows(head) is expected


def test_a_keras_file_of_another_name(tmp_path):
    path = zipped(tmp_path / "model.zip", CONFIG, ARRAYS)
    np.testing.assert_array_equal(import_graph(path).nodes[0].kernel, ARRAYS["layers/dense/vars/0"])


def test_hdf5_under_the_name_of_a_zip(tmp_path):
    """Keras before 2.12 wrote HDF5 whatever the file was called."""
    path = legacy(tmp_path / "model.keras", CONFIG, {"dense": {"kernel:0": random(1, 3, 2), "bias:0": random(2, 2)}})
    np.testing.assert_array_equal(import_graph(path).nodes[0].kernel, random(1, 3, 2))


def test_what_is_live(keras):
    assert importer.claims_live(keras.Sequential())
    for other in (keras.layers.Dense(2), np.ones(3), "model.keras", object(), keras.Sequential):
        assert not importer.claims_live(other)


def test_a_live_model_is_copied(keras):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    graph = import_graph(model)
    before = graph.nodes[0].kernel.copy()
    model.layers[0].kernel.assign(before + 1)
    np.testing.assert_array_equal(graph.nodes[0].kernel, before)
    assert graph.metadata["producer"] == f"keras {keras.__version__}"


def test_a_subclassed_model(keras):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Mine()
    model(np.ones((1, 3), np.float32))
    with pytest.raises(UnsupportedError, match="the model is of the custom class '.*Mine', which is refused.*export"):
        import_graph(model)


def test_a_layer_of_a_class_of_its_own(keras):
    class MyLSTM(keras.layers.LSTM):
        pass

    model = keras.Sequential([keras.Input((None, 3)), MyLSTM(2, name="mine")])
    with pytest.raises(UnsupportedError, match="layer 'mine' is of the custom class '.*MyLSTM', which is refused"):
        import_graph(model)


def test_an_activation_of_ones_own(keras):
    def twice(x):
        return x * 2

    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(2, activation=twice, name="lstm")])
    with pytest.raises(UnsupportedError, match=r"layer 'lstm' \(LSTM\): activation '.*' is not supported"):
        import_graph(model)


def test_a_model_that_is_not_built(keras):
    with pytest.raises(UnsupportedError, match="not built|input shape is not known"):
        import_graph(keras.Sequential([keras.layers.LSTM(2)]))


def test_stateful_layers_are_named(tmp_path):
    config = sequential(layer("SimpleRNN", "rnn", units=2, batch_shape=[4, None, 3], stateful=True))
    arrays = {f"layers/simple_rnn/cell/vars/{i}": random(i, *shape) for i, shape in enumerate([(3, 2), (2, 2), (2,)])}
    graph = import_graph(zipped(tmp_path / "m.keras", config, arrays))
    assert graph.metadata["stateful"] == "rnn"
    assert graph.inputs[0].shape == ("batch", "time", 3)       # the batch that Keras fixed is free


@pytest.mark.parametrize("options", [ImportOptions(pool="last"), ImportOptions(spec={"nodes": []})])
def test_options_for_weights_alone(options, tmp_path):
    with pytest.raises(ArgumentError, match="a Keras file says how it pools|a .keras file says what it is"):
        import_graph(zipped(tmp_path / "m.keras", CONFIG, ARRAYS), options)


def test_options_of_a_live_model(keras):
    with pytest.raises(ArgumentError, match="a live model says what it computes"):
        import_graph(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), ImportOptions(pool="last"))


def test_a_spec_over_weights_alone(tmp_path):
    path = legacy(tmp_path / "weights.h5", CONFIG, {"dense": {"kernel": random(1, 3, 2), "bias": random(2, 2)}})
    spec = {"inputs": [{"name": "x", "shape": ["batch", 3]}], "nodes": [
        {"op": "Dense", "name": "d", "kernel": "model_weights/dense/kernel", "bias": "model_weights/dense/bias"}]}
    graph = import_graph(path, ImportOptions(spec=spec))
    np.testing.assert_array_equal(graph.nodes[0].bias, random(2, 2))


def test_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise ImportError('No module named h5py')")
    path = zipped(tmp_path / "m.keras", CONFIG, ARRAYS)
    monkeypatch.syspath_prepend(str(tmp_path))
    message = r"reading Keras files needs h5py: pip install 'lstm-engine\[keras\]'"
    with pytest.raises(MissingDependencyError, match=message):
        import_graph(path)


def test_a_frozen_program(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.sys, "frozen", True, raising=False)
    with pytest.raises(UnsupportedError, match="runs in a separate Python process, which this frozen program cannot"):
        import_graph(zipped(tmp_path / "m.keras", CONFIG, ARRAYS))


def test_a_live_model_is_compared_with_itself(keras):
    """Its own call, put on one layer: no configuration says so, its outputs do."""
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, name="lstm"), keras.layers.Dense(2)])
    assert le.convert(model).predict(np.ones((2, 5, 3), np.float32)).shape == (2, 2)
    right = model.layers[1].call
    model.layers[1].call = lambda x, training=None: right(x) + 0.01
    with pytest.raises(LstmEngineError, match=r"output 'dense\w*' for inputs .* differs from the Keras model by 0\.01"):
        le.convert(model)


@pytest.mark.parametrize("kind, found", [("Dense", 1e-4), ("BatchNormalization", 1e-4), ("Rescaling", 1e-10),
                                         ("Softmax", 1e-10)])
def test_the_comparison_knows_what_keras_makes_of_float64(kind, found, keras):
    """On PyTorch its products, and some functions, are of float32; what Keras keeps in float64 is held to that."""
    sizes = {"Dense": {"units": 4}, "Rescaling": {"scale": 1 / 3}}.get(kind, {})
    made = getattr(keras.layers, kind)(**sizes, dtype="float64")
    model = keras.Sequential([keras.Input((5, 3), dtype="float64"), made])
    assert [value.dtype for value in le.convert(model).outputs.values()] == ["float64"]
    right = model.layers[0].call
    model.layers[0].call = lambda x, **given: right(x, **given) + found
    with pytest.raises(LstmEngineError, match=f"differs from the Keras model by {found:g} "):
        le.convert(model)


def test_the_comparison_heeds_conditioning(keras):
    """Numbers of a million: float32 differs by more than a small model's, and the model is right."""
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4), keras.layers.Dense(40, name="up"),
                              keras.layers.Dense(1)])
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign((300 if "dense" in variable.path or "up" in variable.path else 1)
                        * rng.standard_normal(tuple(variable.shape)))
    assert le.convert(model).outputs


def test_the_comparison_leaves_the_model_as_it_was(keras):
    import torch

    model = keras.Sequential([keras.Input((None, 3), batch_size=2), keras.layers.LSTM(4, stateful=True, name="carry"),
                              keras.layers.Dropout(0.5)])
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    first = model.predict(x, verbose=0)
    states = [np.array(state.detach().cpu() if hasattr(state, "detach") else state.value.detach().cpu())
              for state in model.layers[0].states]
    drawn = torch.get_rng_state()
    with pytest.warns(UserWarning, match=r"stateful layers \(carry\): .* Model.stream"):
        ours = le.convert(model)
    assert torch.equal(drawn, torch.get_rng_state())
    for state, before in zip(model.layers[0].states, states, strict=True):
        np.testing.assert_array_equal(np.array(state.value.detach().cpu()), before)
    np.testing.assert_allclose(ours.predict(x), first, atol=1e-6)       # from a zero state, as Keras' first
    second = model.predict(x, verbose=0)
    with ours.stream(2) as stream:
        stream.run(x)
        np.testing.assert_allclose(stream.run(x)[:, -1], second, atol=1e-6)


def test_a_model_whose_class_is_called_as_keras_calls_its_own(keras):
    class Functional(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    x = keras.Input((3,))
    with pytest.raises(UnsupportedError, match="the model is of the custom class '.*Functional', which is refused"):
        import_graph(Functional(x, keras.layers.Dense(2)(x)))


@pytest.mark.parametrize("wrap, name", [(lambda inner: inner, "rnn"), (
    lambda inner: layer("Bidirectional", "both", layer=inner, batch_shape=[4, None, 3]), "both")])
def test_stateful_layers_are_said_once(wrap, name, tmp_path):
    inner = layer("SimpleRNN", "rnn", units=2, batch_shape=[4, None, 3], stateful=True)
    root = "simple_rnn" if name == "rnn" else "bidirectional"
    sides = ("",) if name == "rnn" else ("forward_layer/", "backward_layer/")
    arrays = {f"layers/{root}/{side}cell/vars/{i}": random(i, *shape) for side in sides
              for i, shape in enumerate([(3, 2), (2, 2), (2,)])}
    path = zipped(tmp_path / "m.keras", sequential(wrap(inner)), arrays)
    with pytest.warns(UserWarning, match=rf"stateful layers \({name}\): in Keras a second predict goes on") as caught:
        model = le.convert(path)
    assert len(caught) == 1
    model.save(tmp_path / "m.lstm")
    assert le.load(tmp_path / "m.lstm").graph.metadata["stateful"] == name
