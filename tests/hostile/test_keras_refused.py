"""Configurations that are refused: wiring, settings and arrays that do not fit, layers that would run code."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import functional, layer, random, sequential, zipped
from keras_hostile import ARRAYS, CONFIG, SHAPE, H, doubling, nested, refused, tensor

from lstm_engine.errors import FormatError, UnsupportedError


def test_models_nested_too_deeply(tmp_path):
    refused(zipped(tmp_path / "m.keras", nested(200), ARRAYS), FormatError, "layers are nested more than 32 deep")


@pytest.mark.parametrize("kind", ["Activation", "Dropout"])
def test_models_that_multiply(kind, tmp_path):
    """Each model calls the one inside it twice: 2^20 layers from a configuration of 20."""
    refused(zipped(tmp_path / "m.keras", doubling(20, kind), ARRAYS), UnsupportedError,
        "the model has more than 100000 layers")


def wired(*nodes, inputs=None, outputs=None) -> dict:
    """A functional model of one Activation, called as given."""
    return functional([layer("InputLayer", "x", [], batch_shape=SHAPE),
                       layer("Activation", "a", list(nodes), activation="tanh")],
                      ["x", 0, 0] if inputs is None else inputs, ["a", 0, 0] if outputs is None else outputs)


@pytest.mark.parametrize("config, message", [
    (wired({"args": [tensor("a")], "kwargs": {}}), "form a cycle through 'a'"),
    (wired({"args": [tensor("b")], "kwargs": {}}), "reads output 0 of call 0 of 'b', which does not exist"),
    (wired({"args": [tensor("x", 1)], "kwargs": {}}), "reads output 0 of call 1 of 'x', which does not exist"),
    (wired({"args": [tensor("x", 0, 5)], "kwargs": {}}), "reads output 5 of call 0 of 'x', which does not exist"),
    (wired({"args": [tensor("x", 0, -1)], "kwargs": {}}), "reads output -1 of call 0 of 'x', which does not exist"),
    (wired({"args": [], "kwargs": {}}), "layer 'a' (Activation) is called with None; expected tensors"),
    (wired({"args": [5], "kwargs": {}}), "layer 'a' (Activation) is called with 5; expected tensors"),
    (wired({"args": [[tensor("x"), tensor("x")]], "kwargs": {}}), "is called with 2 inputs; expected 1"),
    (wired(5), "a call in inbound_nodes is 5, which is no known form"),
    (wired([["x", 0]]), "a call in inbound_nodes is [['x', 0]], which is no known form"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs=["a", 7, 0]), "output 0 of call 7 of 'a'"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs=[]), "'output_layers' holds []; expected [layer name, call"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs="a"), "'output_layers' holds 'a'; expected [layer name"),
    (wired({"args": [tensor("x")], "kwargs": {}}, inputs=["y", 0, 0]), "input_layers names 'y', which is not a layer"),
    (wired({"args": [tensor("x")], "kwargs": {}}, inputs=["a", 0, 0]),
     "layer 'a' (Activation) is an input of the model; expected an InputLayer with a shape"),
    (functional([layer("InputLayer", "x", [], batch_shape=SHAPE)] * 2, ["x", 0, 0], ["x", 0, 0]),
     "two layers are called 'x'"),
    (functional([layer("InputLayer", "x", [], batch_shape="wide")], ["x", 0, 0], ["x", 0, 0]),
     "layer 'x' (InputLayer): its input shape is 'wide'; expected a list of sizes and null"),
    (functional([layer("InputLayer", "x", [], batch_shape=[None, -3])], ["x", 0, 0], ["x", 0, 0]),
     "layer 'x' (InputLayer): its input shape is [None, -3]; expected a list of sizes and null"),
])
def test_wiring_that_leads_nowhere(config, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), FormatError, message)


# Layers that would run code, or that nobody here knows.
@pytest.mark.parametrize("entry, message", [
    (layer("Lambda", "evil", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}),
     "layer 'evil' (Lambda) is refused: it holds Python code, and code from a file is never run"),
    (layer("TFSMLayer", "evil", filepath="/tmp/model"), "layer 'evil' (TFSMLayer) is refused: it runs a TensorFlow"),
    (layer("TorchModuleWrapper", "evil", module="gASV"), "layer 'evil' (TorchModuleWrapper) is refused: it holds a "
                                                         "pickled PyTorch module"),
    ({**layer("Custom>MyLSTM", "mine"), "module": None}, "layer 'mine' is of the custom class 'Custom>MyLSTM', "
                                                         "which is refused"),
    ({**layer("MyLSTM", "mine"), "module": "my.package", "registered_name": "mine>MyLSTM"},
     "layer 'mine' is of the custom class 'mine>MyLSTM', which is refused: what it computes is not in the file"),
    ({**layer("LSTM", "mine"), "module": "os", "registered_name": None},
     "layer 'mine' is of the custom class 'os.LSTM', which is refused"),
    ({**layer("LSTM", "mine"), "module": "keras.layers", "registered_name": "evil>LSTM"},
     "layer 'mine' is of the custom class 'evil>LSTM', which is refused"),
    (layer("LocallyConnected1D", "odd"), "layer 'odd' (LocallyConnected1D) is not supported; supported: Activation, "),
])
def test_layers_that_are_refused_by_name(entry, message, tmp_path):
    first = layer("LSTM", "lstm", units=H, batch_shape=SHAPE)
    refused(zipped(tmp_path / "m.keras", sequential(first, entry), ARRAYS), UnsupportedError, message)


def test_a_model_class_of_its_own(tmp_path):
    config = {"module": "my.package", "class_name": "Translator", "config": {}, "registered_name": "my>Translator"}
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), UnsupportedError,
            "a model of class 'Translator' is not supported: its own code says what it computes; supported: "
            "Sequential, Functional")


def changed(**settings) -> dict:
    return sequential(layer("LSTM", "lstm", **{"units": H, "batch_shape": SHAPE, **settings}),
                      layer("Dense", "dense", units=2))


@pytest.mark.parametrize("config, kind, message", [
    (changed(units=4), FormatError, "layer 'lstm' (LSTM): kernel has the shape [2, 12]; expected [any, 16]"),
    (changed(units=-3), FormatError, "layer 'lstm' (LSTM): 'units' is -3; expected a number from 1 to 1099511627775"),
    (changed(units=10**30), FormatError, "layer 'lstm' (LSTM): 'units' is 1000000000000000000000000000000; expected"),
    (changed(units="3"), FormatError, "layer 'lstm' (LSTM): 'units' is '3'; expected int"),
    (changed(units=True), FormatError, "layer 'lstm' (LSTM): 'units' is True; expected int"),
    (changed(use_bias=False), FormatError, "layer 'lstm' (LSTM): expected 2 arrays at layers/lstm/cell/vars, found "
                                           "0, 1, 2"),
    (changed(batch_shape=[None, None, 5]), FormatError, "layer 'lstm' (LSTM): its input has 5 features, its kernel "
                                                        "takes 2"),
    (changed(batch_shape=[None, 5]), FormatError, "layer 'lstm' (LSTM): its input has the shape [batch, 5]; expected "
                                                  "3 dimensions"),
    (changed(activation={"class_name": "function", "config": "relu", "module": "os", "registered_name": "relu"}),
     UnsupportedError, "layer 'lstm' (LSTM): activation 'relu' is not supported"),
    (changed(activation=5), FormatError, "layer 'lstm' (LSTM): an activation is 5; expected a name or an object"),
    (changed(dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}), UnsupportedError,
     "layer 'lstm' (LSTM) is quantised by Keras (dtype policy 'QuantizedDTypePolicy'), which is not supported"),
])
def test_settings_that_do_not_fit(config, kind, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), kind, message)


@pytest.mark.parametrize("change, kind, message", [
    ({"layers/dense/vars/0": None}, FormatError, "layer 'dense' (Dense): expected 2 arrays at layers/dense/vars, "
                                                 "found 1"),
    ({"layers/dense/vars/2": random(1, 2)}, FormatError, "expected 2 arrays at layers/dense/vars, found 0, 1, 2"),
    ({"layers/dense/vars/1": random(1, 3)}, FormatError, "layer 'dense' (Dense): bias has the shape [3]; expected [2]"),
    ({"layers/dense/vars/0": random(1, 5, 2)}, FormatError, "layer 'dense' (Dense): its input has the shape [batch, "
                                                            "3], its kernel takes 5 inputs"),
    ({"layers/dense/vars/0": np.ones((3, 2), np.int8)}, UnsupportedError, "its weights are int8; supported: floating"),
    ({"layers/dense/kernel": random(1, 2)}, FormatError, "HDF5 dataset 'layers/dense/kernel': expected a name that "
                                                         "ends in vars/<number>"),
    ({"layers/dense/vars/00": random(1, 2)}, FormatError, "HDF5 dataset 'layers/dense/vars/00' is there twice"),
])
def test_arrays_that_do_not_fit(change, kind, message, tmp_path):
    arrays = {name: array for name, array in {**ARRAYS, **change}.items() if array is not None}
    refused(zipped(tmp_path / "m.keras", CONFIG, arrays), kind, message)
