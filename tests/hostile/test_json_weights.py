"""Weights in JSON that lie, nest, repeat or overflow, each with its exact error."""

from __future__ import annotations

import json

import pytest
from torch_bytes import write

import lstm_engine as le
from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import import_graph
from lstm_engine.importers.reading import json_arrays

GRU = {"weight_ih_l0": [[1.0, 2.0]] * 3, "weight_hh_l0": [[0.5]] * 3}


NAM = {"version": "0.5.4", "architecture": "LSTM", "sample_rate": 48000,
       "config": {"input_size": 1, "hidden_size": 2, "num_layers": 1}, "weights": [0.5] * 39}


def refused(tmp_path, content, kind=FormatError):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path = write(tmp_path, data, "a.json")
    with pytest.raises(kind) as caught:
        import_graph(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_good_one(tmp_path):
    assert import_graph(write(tmp_path, json.dumps(GRU).encode(), "a.json")).nodes[0].W.shape == (1, 3, 2)
    assert le.convert(json.dumps(GRU).encode(), pool="last")
    marked = write(tmp_path, b"\xef\xbb\xbf" + json.dumps(GRU).encode(), "b.json")
    assert import_graph(marked).nodes[0].W.shape == (1, 3, 2)


BEGIN = b'{"weight_ih_l0": [[1.0, 2.0]], '


@pytest.mark.parametrize("content, message", [
    (GRU | {"weight_hh_l0": [[1.0], [1.0, 2.0], [1.0]]},
     "'weight_hh_l0': lists of other lengths than [3, 1] have"),
    (GRU | {"weight_hh_l0": [[1.0], 2.0, [1.0]]}, "'weight_hh_l0': lists of other lengths than [3, 1] have"),
    (GRU | {"weight_hh_l0": [1.0, [2.0]]}, "'weight_hh_l0': must hold numbers, got [2.0]"),
    (GRU | {"weight_hh_l0": [[1.0], [True], [1.0]]}, "'weight_hh_l0': must hold numbers, got True"),
    (GRU | {"weight_hh_l0": [[1.0], ["1"], [1.0]]}, "'weight_hh_l0': must hold numbers, got '1'"),
    (GRU | {"weight_hh_l0": [[1.0], [None], [1.0]]}, "'weight_hh_l0': must hold numbers, got None"),
    (GRU | {"weight_hh_l0": [[1.0], [{}], [1.0]]}, "'weight_hh_l0': must hold numbers, got {}"),
    (GRU | {"weight_hh_l0": [[1e39]] * 3}, "'weight_hh_l0': a number beyond float32"),
    (GRU | {"weight_hh_l0": [[10**400]] * 3}, "'weight_hh_l0': a number beyond float64"),
    (BEGIN + b'"weight_hh_l0": [[1e999]]}', "'weight_hh_l0': a number beyond float32"),
    (BEGIN + b'"weight_hh_l0": [[NaN]]}', "JSON: NaN is no JSON number"),
    (BEGIN + b'"weight_ih_l0": [[1.0]]}', "JSON: the key 'weight_ih_l0' appears twice in one object"),
    (BEGIN + b'"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON: nested too deeply"),
    (BEGIN + b'"a": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}", "'a': lists nested more than 16 deep"),
    (BEGIN + b'"a": ' + b'{"b":' * 40 + b"1" + b"}" * 41, f"'{'a.' + 'b.' * 16}': objects nested more than 16 deep"),
    (BEGIN + b'"b": 1', "JSON that does not end: the file is truncated; fetch or copy it again"),
    (BEGIN + b'"b": [[]]}', "recurrent module '', layer 0: weight_hh is missing; found {'weight_ih': [1, 2]}"),
    (BEGIN + b'"b": "\xff"}', "JSON: not UTF-8 at byte 37"),
    (GRU | {"bias_ih_l0": 0.5}, "'bias_ih_l0' must be a list of numbers"),
    (GRU | {"fc": {"weight": [[1.0]], "bias": ["a"]}}, "'fc.bias' must be a list of numbers"),
    ({"a.weight": [1.0], "a": {"weight": [1.0]}}, "two arrays are named 'a.weight'"),
    ({"state_dict": {"a.weight": [1.0]}, "a.weight": [1.0]}, "two arrays are named 'a.weight'"),
    ({"state_dict": [], "model_data": {}}, "'state_dict' must be an object, got a list"),
    ({"state_dict": {}, "model_data": 5}, "'model_data' must be an object, got a int"),
    ({"in_shape": [None, 1], "layers": [{"type": "dense", "shape": [2], "weights": [[[1.0]], [1.0]]}]},
     "layers[0] ('dense'): its arrays must be [[1, 2], [2]], got [[1, 1], [1]]"),
    ({"in_shape": [None, 1], "layers": [{"type": "lstm", "shape": [1], "weights": [[[1.0] * 4]] * 3}]},
     "layers[0] ('lstm'): its arrays must be [[1, 4], [1, 4], [4]], got [[1, 4], [1, 4], [1, 4]]"),
    ({"in_shape": [None, 1], "layers": [{"type": "activation", "activation": "tanh", "shape": [2]}]},
     "layers[0] ('activation'): gives 2 features, and reads 1"),
    ({"in_shape": [], "layers": [{}]}, '"in_shape" must be a list of up to three sizes, the last the features, got []'),
    ({"in_shape": [1], "layers": []}, '"layers" must be a list of 1 to 256 layers'),
    (NAM | {"weights": [0.5] * 38}, '"weights": 1 layer(s) of 2 units over 1 input(s) need 39 numbers, got [38]'),
    (NAM | {"weights": [[0.5] * 39]}, '"weights": 1 layer(s) of 2 units over 1 input(s) need 39 numbers, got [1, 39]'),
    (NAM | {"weights": 5}, '"weights": 1 layer(s) of 2 units over 1 input(s) need 39 numbers, got []'),
    (NAM | {"weights": ["a"]}, "'weights': must hold numbers, got 'a'"),
    (NAM | {"config": NAM["config"] | {"num_layers": 65}},
     '"config": num_layers must be a number from 1 to 64, got 65'),
    (NAM | {"config": NAM["config"] | {"hidden_size": True}},
     '"config": hidden_size must be a number from 1 to 65536, got True'),
    ({"in_shape": [1], "layers": [5]}, "layers[0] must be an object, got a int"),
    ({"in_shape": [1], "layers": [{"type": "dense", "shape": [2**40]}]},
     "layers[0] ('dense'): \"shape\" must be a list of up to three sizes, the last the features, got [1099511627776]"),
], ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_exact_errors(tmp_path, content, message):
    assert refused(tmp_path, content) == message


@pytest.mark.parametrize("content, message", [
    (NAM | {"architecture": "WaveNet"}, "a model of Neural Amp Modeler of the architecture 'WaveNet'; read is 'LSTM'."),
    (NAM | {"config": {}}, '"config" must say input_size, hidden_size, num_layers and nothing else, got {}'),
    (NAM | {"config": NAM["config"] | {"out_channels": 2}},
     '"config" must say input_size, hidden_size, num_layers and'),
    (NAM | {"head": 1}, "Neural Amp Modeler's JSON says 'head', which is not known; known: version, architecture"),
    ({"state_dict": {}}, "the file holds no arrays; expected lists of numbers under the names of a state dict"),
    ({"in_shape": [1], "layers": [{"type": "conv1d"}]}, "layers[0] ('conv1d'): is not read; read are dense, time-"),
    ({"in_shape": [1], "layers": [{"type": "dense", "activation": "prelu"}]},
     "layers[0] ('dense'): the activation 'prelu'; known: "),
    ({"in_shape": [1], "layers": [{"type": "lstm", "activation": "relu", "shape": [1], "weights": []}]},
     "layers[0] ('lstm'): its activation is 'relu'; RTNeural's has tanh inside"),
    ({"in_shape": [1], "layers": [{"type": "dense", "dilation": 2}]}, "layers[0] ('dense'): says 'dilation', which is"),
    ({"in_shape": [1], "in_skip": 1, "layers": []}, "RTNeural's JSON says 'in_skip', which is not known; known: "),
], ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_what_is_not_supported(tmp_path, content, message):
    assert refused(tmp_path, content, UnsupportedError).startswith(message)


def test_sizes_are_looked_at_before_anything_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json_arrays, "MAX_BYTES", 100)
    assert refused(tmp_path, GRU | {"a": [1.0] * 100}).startswith("JSON of ")
    monkeypatch.undo()
    many = BEGIN + b'"a": [' + b"[]," * 3_000_000 + b"[]]}"
    assert refused(tmp_path, many).startswith("JSON of so many values that they would take some 320 MB; at most 192")
