"""Whole configurations of Keras with most kinds of layer in them, and their arrays, for damage to be done to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras_files import functional, layer, sequential
from keras_files import random as numbers

H = 3


def tensor(name: str, call: int = 0, index: int = 0) -> dict:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, index]}}


def called(*args: Any, **kwargs: Any) -> list:
    return [{"args": list(args), "kwargs": kwargs}]


def operation(kind: str, name: str, inbound: list, **config: Any) -> dict:
    return {**layer(kind, name, inbound, **config), "module": "keras.src.ops.numpy"}


def keras_3() -> tuple[dict, dict]:
    """Most kinds of layer, wired as Keras 3 writes it, and their arrays."""
    lstm = layer("LSTM", "one", units=H, return_sequences=True)
    inner = sequential(layer("InputLayer", "i", batch_shape=[None, None, H]), layer("Dense", "d", units=H), name="in")
    stack = {"class_name": "StackedRNNCells", "config": {"cells": [layer("LSTMCell", "a", units=H),
                                                                   layer("GRUCell", "b", units=H)]}}
    layers = [
        layer("InputLayer", "ids", [], batch_shape=[None, 4], dtype="int32"),
        layer("Embedding", "table", called(tensor("ids")), input_dim=7, output_dim=H, mask_zero=True),
        operation("NotEqual", "mask", called(tensor("ids"), 0)),
        layer("Bidirectional", "bi", called(tensor("table"), mask=tensor("mask")), layer=lstm, merge_mode="sum"),
        {**inner, "name": "in", "inbound_nodes": called(tensor("bi"))},
        layer("RNN", "rnn", called(tensor("in")), cell=stack, return_sequences=True, return_state=True),
        layer("LSTM", "states", called(tensor("rnn"), initial_state=[tensor("rnn", 0, 1), tensor("rnn", 0, 2)]),
              units=H, return_sequences=True, go_backwards=True),
        layer("Concatenate", "cat", called([tensor("states"), tensor("bi")]), axis=-1),
        layer("LayerNormalization", "norm", called(tensor("cat")), axis=[-1]),
        layer("BatchNormalization", "batch", called(tensor("norm")), axis=-1, center=False),
        layer("TimeDistributed", "td", called(tensor("batch")), layer=layer("Dense", "t", units=2)),
        operation("GetItem", "item", called(tensor("td"), [{"class_name": "__slice__", "config": {"start": None,
                                            "stop": None, "step": None}}, -1])),
        operation("Mean", "mean", called(tensor("td")), axis=1, keepdims=False),
        layer("Add", "sum", called([tensor("item"), tensor("mean")])),
        layer("RepeatVector", "repeat", called(tensor("sum")), n=3),
        layer("Reshape", "shape", called(tensor("repeat")), target_shape=[2, -1]),
        layer("Permute", "turn", called(tensor("shape")), dims=[2, 1]),
        layer("Flatten", "flat", called(tensor("turn"))),
        layer("GlobalMaxPooling1D", "pool", called(tensor("cat"))),
    ]
    arrays = {"table/embeddings": [(7, H)], "bi/forward_layer/cell": cell(4), "bi/backward_layer/cell": cell(4),
              "rnn/cell/cells/lstm_cell": cell(4), "rnn/cell/cells/gru_cell": cell(3), "states/cell": cell(4),
              "in/layers/dense": [(H, H), (H,)], "norm": [(2 * H,)] * 2, "batch": [(2 * H,)] * 3,
              "td/layer": [(2 * H, 2), (2,)]}
    groups = {"table/embeddings": "embedding", "bi": "bidirectional", "states": "lstm", "in": "sequential",
              "norm": "layer_normalization", "batch": "batch_normalization", "td": "time_distributed"}
    named = {}
    for place, shapes in arrays.items():
        head = place if place in groups else place.partition("/")[0]
        path = groups.get(head, head) + place[len(head):]
        named.update({f"layers/{path}/vars/{i}": np.abs(numbers(i, *shape)) for i, shape in enumerate(shapes)})
    layers = [{"module": "keras.layers", **entry} for entry in layers]
    config = functional(layers, [["ids", 0, 0]], [["flat", 0, 0], ["pool", 0, 0]])
    return {"config": config, "metadata": {"keras_version": "3.10.0"}}, named


def cell(gates: int) -> list[tuple[int, ...]]:
    return [(H, gates * H), (H, gates * H), (gates * H,)]


def keras_2() -> tuple[dict, dict]:
    """A model inside a model and initial states, as Keras 2 wrote it into HDF5."""
    inner = sequential(layer("BatchNormalization", "norm", axis=[2], batch_input_shape=[None, None, H]),
                       layer("GRU", "gru", units=H, return_sequences=True), name="inner")
    layers = [
        layer("InputLayer", "x", [], batch_input_shape=[None, 5, H]),
        layer("InputLayer", "h", [], batch_input_shape=[None, H]),
        {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]},
        layer("SimpleRNN", "rnn", [[["inner", 2, 0, {}], ["h", 0, 0, {}]]], units=H),
        layer("LSTM", "lstm", [[["x", 0, 0, {"initial_state": [["rnn", 0, 0], ["h", 0, 0]]}]]], units=H),
        layer("Dense", "dense", [[["lstm", 0, 0, {}]]], units=2, activation={"class_name": "ReLU", "config": {
            "name": "r", "max_value": 6.0}})]
    shapes = {"inner": {"n/gamma": (H,), "n/beta": (H,), "g/kernel": (H, 3 * H), "g/recurrent_kernel": (H, 3 * H),
                        "g/bias": (3 * H,), "n/moving_mean": (H,), "n/moving_variance": (H,)},
              "rnn": {"kernel": (H, H), "recurrent_kernel": (H, H), "bias": (H,)},
              "lstm": dict(zip(("kernel", "recurrent_kernel", "bias"), cell(4))),
              "dense": {"kernel": (H, 2), "bias": (2,)}}
    config = functional(layers, [["x", 0, 0], ["h", 0, 0]], [["dense", 0, 0]])
    arrays = {f"{name}/{weight}": np.abs(numbers(1, *shape)) for name, weights in shapes.items()
              for weight, shape in weights.items()}
    stored = [[name, list(weights)] for name, weights in shapes.items()]
    return {"config": config, "metadata": {"keras_version": "2.4.0"}, "layers": stored}, arrays
